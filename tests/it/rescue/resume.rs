//! A longer body that breaks off goes on.

use super::{PATIENT, asked, calm, endpoints, is_cut};
use crate::harness::client::{Sent, request};
use crate::harness::endpoint::{in_turn, status, then};
use crate::harness::{Act, Door, Endpoint, eventually};
use hotspare::telemetry::metrics::Rescued;

/// Too long to be held.
pub const LENGTH: usize = 100_000;

/// What it consists of.
pub fn whole() -> Vec<u8> {
    (0..LENGTH).map(|at| b'a' + u8::try_from(at * 7 % 26).unwrap()).collect()
}

/// A response of that status with these fields, and the bytes from `from` to `to`.
pub fn part(status: u16, fields: &str, from: usize, to: usize) -> Vec<u8> {
    [format!("HTTP/1.1 {status} OK\r\n{fields}\r\n").as_bytes(), &whole()[from..to]].concat()
}

/// The whole, cut after so many bytes.
pub fn cut(bytes: usize) -> Act {
    Act::WriteAndClose(part(200, &format!("content-length: {LENGTH}\r\netag: \"v1\"\r\n"), 0, bytes))
}

/// What belongs to a good rest from there on.
pub fn rest_fields(from: usize) -> String {
    let (length, last) = (LENGTH - from, LENGTH - 1);
    format!("content-length: {length}\r\ncontent-range: bytes {from}-{last}/{LENGTH}\r\netag: \"v1\"\r\n")
}

pub fn rest(from: usize) -> Act {
    Act::Write(part(206, &rest_fields(from), from, LENGTH))
}

pub fn rest_cut(from: usize, to: usize) -> Act {
    Act::WriteAndClose(part(206, &rest_fields(from), from, to))
}

pub fn by_range(first: Act, ranged: Act) -> Act {
    Act::ByRange(first.into(), ranged.into())
}

pub async fn get(door: &Door) -> Sent {
    door.client().send(request("GET", "/file", "")).await
}

#[track_caller]
pub fn is_whole(sent: &Sent) {
    let got = sent.as_ref().unwrap_or_else(|error| panic!("cut: {error}"));
    assert_eq!(got.status(), 200);
    assert!(got.body()[..] == whole()[..], "{} bytes, and not the right ones", got.body().len());
}

#[tokio::test(flavor = "local")]
async fn a_body_that_breaks_off_goes_on_and_the_client_gets_every_byte() {
    let [a] = endpoints(["a"]).await;
    a.set("/file", by_range(cut(30_000), rest(30_000)));
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    let mut asks = request("GET", "/file", "");
    asks.headers_mut().insert("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
    is_whole(&door.client().send(asks).await);
    let [first, second] = &a.seen()[..] else { panic!("{:?}", a.seen()) };
    assert!(first.field("range").is_empty());
    assert_eq!((second.field("range"), second.field("if-range")), (vec!["bytes=30000-"], vec!["\"v1\""]));
    assert!(second.field("if-modified-since").is_empty(), "a condition of the whole");
    eventually("it is counted", || door.rescued(Rescued::Resume) == 1).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_body_may_break_off_more_than_once() {
    let [a] = endpoints(["a"]).await;
    let rests = in_turn([rest_cut(10_000, 20_000), rest_cut(20_000, 99_999), rest(99_999)]);
    a.set("/file", by_range(cut(10_000), rests));
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    is_whole(&get(&door).await);
    assert_eq!(door.rescued(Rescued::Resume), 1, "one request");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn it_goes_on_eight_times_and_no_more() {
    let [a] = endpoints(["a"]).await;
    let rests = |times: usize, last: Act| {
        let cuts = (1..times).map(|at| rest_cut(at * 10_000, (at + 1) * 10_000));
        in_turn(cuts.chain([last]))
    };
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    a.set("/file", by_range(cut(10_000), rests(8, rest(80_000))));
    is_whole(&get(&door).await);
    a.set("/file", by_range(cut(10_000), rests(9, rest(90_000))));
    assert!(is_cut(&get(&door).await));
    assert_eq!(a.count("get /file"), 9 + 9);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_rest_that_brings_nothing_is_the_last() {
    let [a] = endpoints(["a"]).await;
    a.set("/file", by_range(cut(10_000), in_turn([rest_cut(10_000, 10_000), rest(10_000)])));
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    assert!(is_cut(&get(&door).await));
    assert_eq!(a.count("get /file"), 2);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn the_rest_comes_from_the_same_pool_first() {
    let [a, b, c] = endpoints(["a", "b", "c"]).await;
    let file = by_range(cut(30_000), rest(30_000));
    [&a, &b, &c].iter().for_each(|endpoint| endpoint.set("/file", file.clone()));
    let door = calm(&[&a, &b], &[&c]).backend(PATIENT).backend("resume = \"anywhere\"").start().await;
    for round in 1..=4 {
        is_whole(&get(&door).await);
        assert_eq!((a.count("get /file"), b.count("get /file")), (round, round), "from the other one");
    }
    assert_eq!(c.seen().len(), 0);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn from_another_pool_it_comes_only_where_equal_tags_mean_equal_bytes() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/file", by_range(cut(30_000), Act::Reset));
    b.set("/file", by_range(cut(0), rest(30_000)));
    for (keys, goes_on) in [("resume = \"pool\"", false), ("resume = \"anywhere\"", true)] {
        let door = calm(&[&a], &[&b]).backend(PATIENT).backend(keys).start().await;
        let got = get(&door).await;
        if goes_on {
            is_whole(&got)
        } else {
            assert!(is_cut(&got), "{keys}")
        }
        assert_eq!(b.count("get /file"), usize::from(goes_on), "{keys}");
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_that_fails_to_give_the_rest_is_not_the_last_that_is_asked() {
    let [a, b, c] = endpoints(["a", "b", "c"]).await;
    let rests = in_turn([status(503), Act::Reset, rest(30_000)]);
    [&a, &b, &c].iter().for_each(|endpoint| endpoint.set("/file", by_range(cut(30_000), rests.clone())));
    let door = calm(&[&a, &b, &c], &[]).backend(PATIENT).start().await;
    is_whole(&get(&door).await);
    assert_eq!(asked(&[&a, &b, &c], "get /file"), 4);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_body_that_hardly_moves_is_left_once_its_endpoint_is_out_of_service() {
    let a = Endpoint::start("a").await;
    let b = Endpoint::start("b").await;
    let begun = Act::Write(part(200, &format!("content-length: {LENGTH}\r\netag: \"v1\"\r\n"), 0, 30_000));
    let stalls = by_range(then(begun, Act::Silence), rest(30_000));
    a.set("/file", stalls.clone());
    b.set("/file", stalls);
    let door = Door::builder().primary(&a).primary(&b).backend(PATIENT).backend("hedge = false").start().await;
    let client = door.client();
    let got = tokio::task::spawn_local(async move { client.send(request("GET", "/file", "")).await });
    eventually("it has begun", || asked(&[&a, &b], "get /file") == 1).await;
    let its = if a.count("get /file") == 1 { &a } else { &b };
    its.set_probes(status(503));
    is_whole(&got.await.unwrap());
    door.stop().await;
}
