//! Which writes are sent once more, since they have provably not begun, and which are not.

use super::LATER;
use super::endpoint::{Call, Endpoint};
use super::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, STATUS_200, Then, answer, frame, goaway, reset};
use crate::harness::client::request;
use crate::harness::door::Builder;
use crate::harness::{Door, eventually};
use h2::Reason;
use hotspare::domain::FailureKind;
use std::net::SocketAddr;

/// Nothing is decided by failures, and probes, which these endpoints do not answer, decide nothing either.
fn patient(addresses: &[SocketAddr]) -> Builder {
    let door = Door::builder()
        .workers(1)
        .fall(1_000)
        .failback(LATER)
        .backend("scheme = \"h2c\"\nwrite_wait = \"300ms\"\nwrite_drain = \"100ms\"");
    let door = door.backend("tally = { trip = 1000, consecutive = 1000, confirm = \"10s\" }");
    let door = door.probe_keys("kind = \"tcp\"").without_probe_path();
    addresses.iter().fold(door, |door, address| door.primary_at(*address))
}

fn failures(door: &Door) -> u64 {
    FailureKind::ALL.into_iter().map(|kind| door.failures(kind)).sum()
}

/// Two endpoints, of which one does that and the other answers; a write sent until the first was asked, with what became of it.
async fn met_first(says: impl Fn(u32) -> (Vec<u8>, Then) + Send + Sync + 'static) -> (u16, usize) {
    let bad = Frames::start(move |_, id| says(id)).await;
    let good = Endpoint::start(|call: Call| call.answer("done")).await;
    let door = patient(&[bad.address, good.address]).start().await;
    loop {
        let ran = good.seen().len();
        let response = door.client().post("/", "one line").await;
        match bad.asked().len() {
            0 => assert_eq!(response.status(), 200),
            asked => {
                assert_eq!(asked, 1, "it is asked once");
                let ran = &good.seen()[ran..];
                assert!(ran.iter().all(|seen| &seen.body()[..] == b"one line"));
                let (status, ran) = (response.status().as_u16(), ran.len());
                door.stop().await;
                return (status, ran);
            }
        }
    }
}

#[tokio::test(flavor = "local")]
async fn a_write_whose_stream_is_refused_is_sent_to_another_endpoint_with_all_of_its_body() {
    assert_eq!(met_first(|id| (reset(id, Reason::REFUSED_STREAM), Then::GoOn)).await, (200, 1));
    for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::NO_ERROR, Reason::HTTP_1_1_REQUIRED] {
        assert_eq!(met_first(move |id| (reset(id, reason), Then::GoOn)).await, (502, 0), "{reason:?} proves nothing");
    }
}

#[tokio::test(flavor = "local")]
async fn a_write_above_the_last_stream_of_a_goaway_is_sent_once_more_and_no_other() {
    for reason in [Reason::ENHANCE_YOUR_CALM, Reason::INTERNAL_ERROR] {
        assert_eq!(met_first(move |_| (goaway(0, reason), Then::Close)).await, (200, 1), "{reason:?}");
    }
    for reason in [Reason::NO_ERROR, Reason::ENHANCE_YOUR_CALM] {
        assert_eq!(
            met_first(move |id| (goaway(id, reason), Then::Close)).await,
            (502, 0),
            "{reason:?}: it may have begun"
        );
    }
}

#[tokio::test(flavor = "local")]
async fn a_write_whose_connection_breaks_is_not_sent_once_more() {
    assert_eq!(met_first(|_| (Vec::new(), Then::Close)).await, (502, 0));
    assert_eq!(met_first(|_| (b"no frame of any kind".to_vec(), Then::Close)).await, (502, 0));
}

#[tokio::test(flavor = "local")]
async fn a_connection_that_goes_away_in_an_orderly_way_is_no_failure() {
    // Each connection answers one request, leaves with the second below its GOAWAY, and that goes to the next.
    let primary = Frames::start(|_, id| match id {
        1 => (answer(id, "main"), Then::GoOn),
        _ => (goaway(1, Reason::NO_ERROR), Then::Close),
    })
    .await;
    let door = patient(&[primary.address]).start().await;
    for _ in 0..5 {
        assert_eq!(&door.client().post("/", "one line").await.body()[..], b"main");
    }
    assert_eq!(failures(&door), 0);
    assert!(primary.asked().iter().map(|(nth, _)| nth).max() >= Some(&3), "{:?}", primary.asked());
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_runs_on_a_connection_that_goes_away_is_answered_to_its_end() {
    let primary = Frames::start(|nth, id| match (nth, id) {
        (0, 1) => ([frame(HEADERS, END_HEADERS, id, STATUS_200), frame(DATA, 0, id, b"one ")].concat(), Then::GoOn),
        (0, 3) => ([goaway(1, Reason::NO_ERROR), frame(DATA, END_STREAM, 1, b"whole")].concat(), Then::GoOn),
        _ => (answer(id, "main"), Then::GoOn),
    })
    .await;
    let door = patient(&[primary.address]).backend("hedge = false").start().await;
    let many = door.client().many().await;
    let get = |path: &str| request("GET", &format!("https://localhost{path}"), "");
    let first = tokio::task::spawn_local(many.send(get("/first")));
    eventually("it runs", || primary.asked() == [(0, 1)]).await;
    assert_eq!(&many.send(get("/second")).await.unwrap().body()[..], b"main");
    assert_eq!(&first.await.unwrap().unwrap().body()[..], b"one whole");
    assert_eq!((primary.asked(), failures(&door)), (vec![(0, 1), (0, 3), (1, 1)], 0));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn one_that_always_goes_away_is_asked_a_few_times_and_no_more() {
    let primary = Frames::start(|_, _| (goaway(0, Reason::NO_ERROR), Then::Close)).await;
    let door = patient(&[primary.address]).start().await;
    assert!([502, 503].contains(&door.client().post("/", "one line").await.status().as_u16()));
    assert!(failures(&door) > 0);
    assert!(primary.asked().len() < 40, "{:?}", primary.asked());
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn half_a_body_is_not_taken_for_the_whole_though_its_stream_ends_without_an_error() {
    let half = |id| [frame(HEADERS, END_HEADERS, id, STATUS_200), frame(DATA, 0, id, b"half of")].concat();
    let primary = Frames::start(move |nth, id| match (nth, id) {
        (0, 1) => ([half(id), reset(id, Reason::NO_ERROR)].concat(), Then::GoOn),
        (0, 5) => ([half(id), goaway(3, Reason::NO_ERROR)].concat(), Then::Close),
        _ => (answer(id, "the whole"), Then::GoOn),
    })
    .await;
    let door = patient(&[primary.address]).start().await;
    for _ in 0..3 {
        assert_eq!(&door.client().get("/").await.body()[..], b"the whole", "held, and fetched again");
    }
    assert_eq!(door.failures(FailureKind::Cut), 2);
    door.stop().await;
}

/// docs/decisions/0019: what users lost is counted, not what broke.
#[tokio::test(flavor = "local")]
async fn each_request_that_a_broken_connection_carried_counts_as_a_failure() {
    let primary = Frames::start(|_, id| (Vec::new(), if id == 9 { Then::Close } else { Then::GoOn })).await;
    let door = patient(&[primary.address]).backend("hedge = false\nretry = false").start().await;
    let many = door.client().many().await;
    let sent = (0..5).map(|_| many.send(request("GET", "https://localhost/", "")));
    for response in futures_util::future::join_all(sent).await {
        assert_eq!(response.unwrap().status(), 502);
    }
    assert_eq!(primary.asked(), [1, 3, 5, 7, 9].map(|id| (0, id)), "by one connection");
    assert_eq!((failures(&door), door.failures(FailureKind::Reset)), (5, 5));
    door.stop().await;
}
