//! Each rescue can be switched off for a backend, and for a site, which has the last word.

use super::resume::{by_range, cut, is_whole, rest};
use super::{PATIENT, asked, calm, endpoints, told};
use crate::harness::client::{Sent, request};
use crate::harness::endpoint::{in_turn, ok};
use crate::harness::{Act, Door, Endpoint};
use std::time::Duration;

/// Both ways for each key: what the backend says for `/`, and its site otherwise for `/site`.
async fn doors(
    endpoints: &[&Endpoint],
    more: &[&Endpoint],
    on: &str,
    off: &str,
) -> [(Door, &'static str, &'static str); 2] {
    let start = async |backend: &str, site: &str| {
        let sites = format!(
            "[[site]]\nhosts = [\"localhost\"]\nbackend = \"sites\"\n[[site]]\nhosts = [\"localhost\"]\npath = \"/site\"\nbackend = \"sites\"\n{site}\n"
        );
        let idempotent = if on.starts_with("replay") { "retry = { idempotent = true }" } else { "" };
        calm(endpoints, more).backend(PATIENT).backend(idempotent).backend(backend).rest(&sites).start().await
    };
    [(start(on, off).await, "/x", "/site/x"), (start(off, on).await, "/site/x", "/x")]
}

async fn get(door: &Door, path: &str) -> Sent {
    door.client().send(request("GET", path, "")).await
}

fn script(endpoints: &[&Endpoint], act: &Act) {
    for path in ["/x", "/site/x"] {
        endpoints.iter().for_each(|endpoint| endpoint.set(path, act.clone()));
    }
}

#[tokio::test(flavor = "local")]
async fn retry() {
    let [a, b] = endpoints(["a", "b"]).await;
    script(&[&a], &Act::Reset);
    for (door, on, off) in doors(&[&a], &[&b], "retry = true", "retry = false").await {
        assert_eq!(get(&door, on).await.unwrap().status(), 200, "{on}");
        assert_eq!(get(&door, off).await.unwrap().status(), 502, "{off}");
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn retry_of_what_is_idempotent() {
    let [a, b] = endpoints(["a", "b"]).await;
    for (door, on, off) in
        doors(&[&a, &b], &[], "retry = { idempotent = true }", "retry = { idempotent = false }").await
    {
        for (path, status) in [(on, 200), (off, 502)] {
            script(&[&a, &b], &in_turn([Act::Reset, ok("done")]));
            let put = door.client().send(request("PUT", path, "x")).await.unwrap();
            assert_eq!(put.status(), status, "{path}");
        }
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn hedge() {
    let [a, b] = endpoints(["a", "b"]).await;
    script(&[&a], &Act::After(Duration::from_secs(2), ok("a").into()));
    for (door, on, off) in doors(&[&a], &[&b], "hedge = true", "hedge = false").await {
        assert_eq!(told(&get(&door, on).await.unwrap()), (200, "b".to_owned()), "{on}");
        assert_eq!(told(&get(&door, off).await.unwrap()), (200, "a".to_owned()), "{off}");
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn held() {
    let [a, b] = endpoints(["a", "b"]).await;
    script(&[&a], &Act::WriteAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun".to_vec()));
    for (door, on, off) in doors(&[&a], &[&b], "held = true", "held = false").await {
        assert_eq!(told(&get(&door, on).await.unwrap()), (200, "b".to_owned()), "{on}");
        assert!(get(&door, off).await.is_err(), "{off}");
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn resume() {
    let [a, b] = endpoints(["a", "b"]).await;
    script(&[&a], &by_range(cut(30_000), Act::Reset));
    script(&[&b], &rest(30_000));
    for (door, on, off) in doors(&[&a], &[&b], "resume = \"anywhere\"", "resume = \"pool\"").await {
        is_whole(&get(&door, on).await);
        assert!(get(&door, off).await.is_err(), "{off}");
        door.stop().await;
    }
    script(&[&a], &by_range(cut(30_000), rest(30_000)));
    for (door, on, off) in doors(&[&a], &[], "resume = \"pool\"", "resume = \"off\"").await {
        is_whole(&get(&door, on).await);
        assert!(get(&door, off).await.is_err(), "{off}");
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn replay() {
    let [a, b] = endpoints(["a", "b"]).await;
    for (door, on, off) in doors(&[&a, &b], &[], "replay = true", "replay = false").await {
        for (path, status, times) in [(on, 200, 2), (off, 502, 1)] {
            script(&[&a, &b], &in_turn([Act::Reset, ok("done")]));
            let before = asked(&[&a, &b], "put");
            let put = door.client().send(request("PUT", path, "x")).await.unwrap();
            assert_eq!((put.status().as_u16(), asked(&[&a, &b], "put")), (status, before + times), "{path}");
        }
        door.stop().await;
    }
}
