//! Small responses are passed on only once they are whole.

use super::{PATIENT, asked, calm, endpoints, is_cut, told};
use crate::harness::client::request;
use crate::harness::endpoint::{Gate, behind, in_turn, ok, then};
use crate::harness::{Act, PATIENCE, eventually};
use hotspare::domain::FailureKind;
use hotspare::telemetry::metrics::Rescued;

/// A head with that length, and only the beginning of the body.
fn begun(length: usize, bytes: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; bytes]].concat()
}

/// The beginning of a body of unknown length.
fn chunk(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{fields}\r\n5\r\nfirst\r\n").into_bytes()
}

const LAST_CHUNK: &[u8] = b"6\r\n, last\r\n0\r\n\r\n";

#[tokio::test(flavor = "local")]
async fn a_small_body_that_breaks_off_is_fetched_elsewhere_before_the_client_sees_any_of_it() {
    let [a, b] = endpoints(["a", "b"]).await;
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    for (count, length) in [1_000, 64 * 1024].into_iter().enumerate() {
        a.set("/page", Act::WriteAndClose(begun(length, length - 1)));
        assert_eq!(told(&door.client().get("/page").await), (200, "b".to_owned()), "{length}");
        assert_eq!(door.rescued(Rescued::Held), count as u64 + 1);
    }
    assert_eq!(door.failures(FailureKind::Cut), 2);
    // One byte more is too much to be held.
    a.set("/page", Act::WriteAndClose(begun(64 * 1024 + 1, 10_000)));
    assert!(is_cut(&door.client().send(request("GET", "/page", "")).await));
    assert_eq!(b.count("get /page"), 2);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_small_body_that_stands_still_is_fetched_elsewhere() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", Act::Write(begun(1_000, 999)));
    let keys = "timeouts = { body_idle = \"300ms\" }\nhedge = false";
    let door = calm(&[&a], &[&b]).backend(PATIENT).backend(keys).start().await;
    // With nothing to send it elsewhere for but its own time.
    assert_eq!(told(&door.client().get("/page").await), (200, "b".to_owned()));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_page_of_unknown_length_that_breaks_off_at_once_is_fetched_elsewhere() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", Act::WriteAndClose(chunk("")));
    let door = calm(&[&a], &[&b]).backend(PATIENT).backend("hedge = false").start().await;
    // It is kept for 10 ms, and the end may come later than that on a busy machine.
    let mut whole = 0;
    for _ in 0..20 {
        if let Ok(page) = door.client().send(request("GET", "/page", "")).await {
            assert_eq!(told(&page), (200, "b".to_owned()));
            whole += 1;
        }
    }
    assert!(whole > 0, "none was kept");
    assert_eq!(door.rescued(Rescued::Held), whole);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_page_of_unknown_length_is_passed_on_though_it_is_not_whole() {
    let [a, b] = endpoints(["a", "b"]).await;
    let gate = Gate::default();
    a.set("/page", then(Act::Write(chunk("")), behind(&gate, Act::Write(LAST_CHUNK.to_vec()))));
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    raw.read_until("first").await; // were it kept for longer, the other one would be asked
    gate.open();
    raw.read_until(", last\r\n0\r\n\r\n").await;
    assert_eq!(b.seen().len(), 0);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_page_of_unknown_length_that_is_whole_in_time_gets_a_length_and_keeps_its_trailers() {
    let [a] = endpoints(["a"]).await;
    a.set("/page", Act::Write([&chunk("")[..], LAST_CHUNK].concat()));
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    assert_eq!(told(&door.client().get("/page").await), (200, "first, last".to_owned()));
    let trailed = b"6\r\n, last\r\n0\r\nx-sum: 7\r\n\r\n";
    a.set("/page", Act::Write([&chunk("trailer: x-sum\r\n")[..], trailed].concat()));
    let mut raw = door.client().raw().await;
    raw.write("GET /page HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nConnection: TE\r\n\r\n").await;
    raw.read_until("x-sum: 7\r\n\r\n").await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_must_not_wait_is_not_held() {
    let [a, b] = endpoints(["a", "b"]).await;
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    for fields in [
        "content-type: text/event-stream\r\n",
        "content-type: text/event-stream; charset=utf-8\r\n",
        "content-type: application/grpc\r\n",
        "content-type: application/grpc-web+proto\r\n",
        "x-accel-buffering: no\r\n",
    ] {
        a.set("/stream", Act::WriteAndClose(chunk(fields)));
        // Were it held, the cut would be seen before the client had anything, and it would come from elsewhere.
        for _ in 0..5 {
            assert!(is_cut(&door.client().send(request("GET", "/stream", "")).await), "{fields}");
        }
    }
    assert_eq!(b.seen().len(), 0);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn with_nothing_else_to_try_a_slow_page_is_passed_on_as_it_comes() {
    let [a] = endpoints(["a"]).await;
    let gate = Gate::default();
    let rest = [&[b'y'; 500][..], b"the end"].concat();
    a.set("/page", then(Act::Write(begun(1_007, 500)), behind(&gate, Act::Write(rest))));
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    raw.read_until("xxx").await; // while the rest is certain not to come
    gate.open();
    raw.read_until("the end").await;
    assert_eq!(a.count("get /page"), 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_slow_page_is_fetched_elsewhere_rather_than_passed_on_in_part() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", Act::Write(begun(1_000, 500)));
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    assert_eq!(told(&door.client().get("/page").await), (200, "b".to_owned()));
    assert_eq!(door.rescued(Rescued::Hedge), 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_response_without_a_body_is_whole_whatever_its_length_says() {
    let [a] = endpoints(["a"]).await;
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    let one = door.client().many().await;
    for (method, head) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 1000\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
    ] {
        a.set("/page", Act::Write(head.as_bytes().to_vec()));
        // Judged by the header it would be waited for: 60 s.
        let got = tokio::time::timeout(PATIENCE, one.send(request(method, "/page", ""))).await.unwrap().unwrap();
        let length = head.split_once("content-length: ").map(|(_, rest)| rest.trim());
        assert_eq!(got.headers().get("content-length").map(|it| it.to_str().unwrap()), length, "{method} {head}");
    }
    assert_eq!(a.connections(), 1, "its connection was kept each time");
    eventually("each was a good answer", || door.good() == 4).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_is_held_counts_as_answered_well_only_once_it_is_whole() {
    let [a, b] = endpoints(["a", "b"]).await;
    let acts = in_turn([Act::WriteAndClose(begun(100, 50)), ok("whole")]);
    a.set("/page", acts.clone());
    b.set("/page", acts);
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    assert_eq!(told(&door.client().get("/page").await), (200, "whole".to_owned()));
    assert_eq!((door.good(), door.failures(FailureKind::Cut)), (0, 1));
    assert_eq!(asked(&[&a, &b], "get /page"), 2);
    door.stop().await;
}
