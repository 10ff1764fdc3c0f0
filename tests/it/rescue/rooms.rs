//! What is kept in memory for requests has a bound: past it everything goes on, with less to fall back on.

use super::{PATIENT, asked, calm, endpoints, is_cut, told};
use crate::harness::client::{Sent, request};
use crate::harness::endpoint::{in_turn, ok, response};
use crate::harness::{Act, Door, Endpoint, eventually};
use futures_util::future::join_all;
use hotspare::telemetry::metrics::Buffered;

/// For one connection to bring more requests than any room is for.
const STREAMS: &str = "limits = { max_streams = 2000 }";

/// What is held or kept of one request at most.
const EACH: usize = 64 * 1024;
const ROOM: &str = "max_buffered = \"8MiB\"";
const HELD: usize = 6 * 1024 * 1024 / EACH;
const KEPT: usize = 8 * 1024 * 1024 / EACH;

/// How much is kept, and how often there was no room.
fn kept(door: &Door, what: Buffered) -> (u64, u64) {
    let bytes = door.count_at_workers(|cells| u64::try_from(cells.buffered[what as usize].get()).unwrap());
    (bytes, door.count_at_workers(|cells| cells.not_buffered[what as usize].get()))
}

fn at(path: &str) -> String {
    format!("https://localhost{path}")
}

async fn get(door: &Door, path: &str) -> Sent {
    door.client().send(request("GET", path, "")).await
}

#[tokio::test(flavor = "local")]
async fn with_its_room_used_up_a_worker_passes_responses_on_as_they_come_and_holds_them_again_later() {
    let [a, b] = endpoints(["a", "b"]).await;
    let page = vec![b'p'; EACH];
    a.set("/page", Act::Write(response(200, &[], &page)));
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf".to_vec();
    a.set("/cut", Act::WriteAndClose(half));
    let door = calm(&[&a], &[&b]).backend(PATIENT).backend("hedge = false").listener(STREAMS).top(ROOM).workers(1);
    let door = door.start().await;

    // A client that takes nothing: what was held for it stays here. One response fewer than there is room for, and one is held still.
    let greedy = door.client().many_without_bodies().await;
    let heads = join_all((1..HELD).map(|_| greedy.head(request("GET", &at("/page"), "")))).await;
    assert!(heads.iter().all(|head| head.status() == 200), "whole, each of them");
    assert_eq!(told(&get(&door, "/cut").await.unwrap()), (200, "b".to_owned()));
    let last = greedy.head(request("GET", &at("/page"), "")).await;
    assert!(is_cut(&get(&door, "/cut").await), "there is no room to hold it");
    assert!(get(&door, "/page").await.unwrap().body()[..] == page[..]);
    assert_eq!((b.count("get /cut"), b.count("get /page")), (1, 0));

    assert_eq!(kept(&door, Buffered::Response), ((HELD * EACH) as u64, 2));

    drop((greedy, heads, last));
    eventually("they have ended", || door.in_flight() == 0).await;
    assert_eq!(kept(&door, Buffered::Response), (0, 2));
    assert_eq!(told(&get(&door, "/cut").await.unwrap()), (200, "b".to_owned()));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn with_its_room_used_up_a_worker_keeps_no_uploads_and_keeps_them_again_later() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/wait", Act::Silence);
    b.set("/wait", Act::Silence);
    let keys = "retry = { idempotent = true }";
    let door = calm(&[&a, &b], &[]).backend(PATIENT).backend(keys).listener(STREAMS).top(ROOM).workers(1).start().await;
    let put = async |times: usize, [first, second]: [Act; 2]| -> http::Response<bytes::Bytes> {
        let acts = in_turn([first, second]);
        [&a, &b].iter().for_each(|endpoint| endpoint.set("/put", acts.clone()));
        let before = asked(&[&a, &b], "put /put");
        let answer = door.client().send(request("PUT", "/put", "all of it")).await.unwrap();
        assert_eq!(asked(&[&a, &b], "put /put") - before, times);
        answer
    };

    let many = door.client().many().await;
    let wait = |_| tokio::task::spawn_local(many.send(request("PUT", &at("/wait"), "x")));
    let mut waiting: Vec<_> = (1..KEPT).map(wait).collect();
    eventually("they run", || asked(&[&a, &b], "put /wait") == KEPT - 1).await;
    assert_eq!(told(&put(2, [Act::Reset, ok("done")]).await), (200, "done".to_owned()));
    waiting.push(wait(0));
    eventually("all run", || asked(&[&a, &b], "put /wait") == KEPT).await;
    assert_eq!(put(1, [Act::Reset, ok("done")]).await.status(), 502, "there is no room to keep it");
    assert_eq!(told(&put(1, [ok("first"), ok("second")]).await), (200, "first".to_owned()));
    assert!(all_of(&[&a, &b]), "another body came");

    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(kept(&door, Buffered::Request), ((KEPT * EACH) as u64, 2));
    drop(many);
    eventually("they have ended", || door.in_flight() == 0).await;
    assert_eq!(kept(&door, Buffered::Request), (0, 2));
    assert_eq!(told(&put(2, [Act::Reset, ok("done")]).await), (200, "done".to_owned()));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn with_no_room_at_all_every_request_is_served_and_a_reload_brings_the_rescue_back() {
    let [a, b] = endpoints(["a", "b"]).await;
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf".to_vec();
    a.set("/cut", Act::WriteAndClose(half));
    let keys = "retry = { idempotent = true }";
    let door = calm(&[&a], &[&b]).backend(PATIENT).backend(keys).backend("hedge = false").top("max_buffered = \"0B\"");
    let mut door = door.start().await;
    for _ in 0..10 {
        assert_eq!(told(&get(&door, "/page").await.unwrap()), (200, "a".to_owned()));
        let put = door.client().send(request("PUT", "/page", "all of it")).await.unwrap();
        assert_eq!(told(&put), (200, "a".to_owned()));
    }
    assert!(is_cut(&get(&door, "/cut").await), "nothing of it was held");
    // As many as asked: bodies of requests, and of responses to those without one, to which it matters.
    assert_eq!((kept(&door, Buffered::Request), kept(&door, Buffered::Response)), ((0, 10), (0, 11)));
    door.reload(|built| built.set_top(ROOM)).await;
    assert_eq!(told(&get(&door, "/cut").await.unwrap()), (200, "b".to_owned()));
    assert_eq!(kept(&door, Buffered::Response), (0, 11));
    door.stop().await;
}

/// Whether each upload to /put came whole.
fn all_of(endpoints: &[&Endpoint]) -> bool {
    let seen = endpoints.iter().flat_map(|endpoint| endpoint.seen());
    seen.filter(|seen| seen.line().starts_with("put /put")).all(|seen| seen.body == b"all of it")
}
