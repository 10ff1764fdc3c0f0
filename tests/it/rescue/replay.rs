//! A small request body is kept while it streams, to be sent once more.

use super::{PATIENT, asked, calm, endpoints, told};
use crate::harness::client::request;
use crate::harness::endpoint::{in_turn, ok};
use crate::harness::{Act, Endpoint, eventually};

const IDEMPOTENT: &str = "retry = { idempotent = true }";

fn script(endpoints: &[&Endpoint], acts: impl IntoIterator<Item = Act>) {
    let acts = in_turn(acts);
    endpoints.iter().for_each(|endpoint| endpoint.set("/put", acts.clone()));
}

#[tokio::test(flavor = "local")]
async fn a_body_of_64_kib_is_sent_once_more_and_a_larger_one_is_not() {
    let [a, b] = endpoints(["a", "b"]).await;
    let door = calm(&[&a, &b], &[]).backend(PATIENT).backend(IDEMPOTENT).start().await;
    let full: String = (0..64 * 1024_u32).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())).collect();
    for method in ["PUT", "GET"] {
        script(&[&a, &b], [Act::Reset, ok("done")]);
        let sent = door.client().send(request(method, "/put", &full)).await.unwrap();
        assert_eq!(told(&sent), (200, "done".to_owned()), "{method}");
        for endpoint in [&a, &b] {
            assert!(endpoint.seen().last().unwrap().body == full.as_bytes(), "{method}: another body came");
        }
    }
    let before = asked(&[&a, &b], "put");
    script(&[&a, &b], [Act::Reset, ok("done")]);
    let sent = door.client().send(request("PUT", "/put", &format!("{full}x"))).await.unwrap();
    assert_eq!(sent.status(), 502);
    assert_eq!(asked(&[&a, &b], "put"), before + 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_longer_body_of_unknown_length_can_be_repeated_up_to_the_bound_and_streams_on_past_it() {
    let [a, b] = endpoints(["a", "b"]).await;
    let door = calm(&[&a, &b], &[]).backend(PATIENT).backend(IDEMPOTENT).start().await;
    for (chunks, status, times) in [(16, "200", 2), (17, "502", 1)] {
        script(&[&a, &b], [Act::Reset, ok("done")]);
        let before = asked(&[&a, &b], "put");
        let mut raw = door.client().raw().await;
        raw.write("PUT /put HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..chunks {
            raw.write(format!("1000\r\n{}\r\n", "z".repeat(4096))).await;
        }
        raw.write("0\r\n\r\n").await;
        let answer = raw.read_until("\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{chunks}: {answer}");
        assert_eq!(asked(&[&a, &b], "put"), before + times, "{chunks}");
    }
    // And a large one that nothing happens to arrives.
    script(&[&a, &b], [ok("done")]);
    let large = "z".repeat(1024 * 1024);
    assert_eq!(told(&door.client().send(request("PUT", "/put", &large)).await.unwrap()), (200, "done".to_owned()));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_a_client_still_sends_goes_on_to_the_next_endpoint() {
    let [a, b] = endpoints(["a", "b"]).await;
    let door = calm(&[&a, &b], &[]).backend(PATIENT).backend(IDEMPOTENT).start().await;
    script(&[&a, &b], [Act::AtHead(Act::Reset.into()), ok("done")]);
    let mut raw = door.client().raw().await;
    raw.write("PUT /put HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nfirst").await;
    eventually("the first has it", || asked(&[&a, &b], "put") == 1).await;
    // Whether the reset is seen before or after the rest comes, all of it goes to the other.
    raw.write(", last").await;
    assert!(raw.read_until("done").await.starts_with("HTTP/1.1 200 "));
    let bodies: Vec<Vec<u8>> = [a.seen(), b.seen()].concat().into_iter().map(|seen| seen.body).collect();
    assert!(bodies.contains(&b"first, last".to_vec()), "{bodies:?}");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn without_replay_a_body_that_has_begun_is_not_sent_once_more() {
    let [a, b] = endpoints(["a", "b"]).await;
    let door = calm(&[&a, &b], &[]).backend(PATIENT).backend(IDEMPOTENT).backend("replay = false").start().await;
    script(&[&a, &b], [Act::Reset, ok("done")]);
    assert_eq!(door.client().send(request("PUT", "/put", "x")).await.unwrap().status(), 502);
    assert_eq!(asked(&[&a, &b], "put"), 1);
    // What has no body needs nothing kept.
    script(&[&a, &b], [Act::Reset, ok("done")]);
    assert_eq!(door.client().send(request("DELETE", "/put", "")).await.unwrap().status(), 200);
    door.stop().await;
}
