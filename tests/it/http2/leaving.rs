//! Requests that are given up on, and connections that fall silent.

use super::endpoint::{Call, Endpoint, send};
use super::frames::{Frames, Then, answer};
use super::{LATER, before};
use crate::harness::client::request;
use crate::harness::{Door, eventually};
use bytes::Bytes;
use h2::Reason;
use hotspare::telemetry::metrics::Rescued;
use std::time::Duration;

fn get(path: &str) -> http::Request<http_body_util::Full<Bytes>> {
    request("GET", &format!("https://localhost{path}"), "")
}

/// Whatever is asked for under /wait never comes.
async fn patient_endpoint() -> Endpoint {
    Endpoint::start(|call: Call| async move {
        match call.path() {
            "/wait" => call.until_cancelled().await,
            "/endless" => {
                let mut call = call;
                let mut back = call.begin(200, &[]);
                back.send_data(Bytes::from(vec![b'x'; 32 * 1024]), false).unwrap();
                call.until_cut(back).await;
            }
            _ => call.answer("main").await,
        }
    })
    .await
}

#[tokio::test(flavor = "local")]
async fn a_client_that_leaves_cancels_its_own_stream_and_no_other() {
    let primary = patient_endpoint().await;
    let door = before(&primary).backend("hedge = false").start().await;
    for path in ["/wait", "/endless"] {
        for method in ["GET", "POST"] {
            let (leaving, staying) = (door.client().many().await, door.client().many().await);
            let before = primary.cancelled().len();
            let gone =
                tokio::task::spawn_local(leaving.send(request(method, &format!("https://localhost{path}"), "body")));
            eventually("it runs", || door.in_flight() == 1).await;
            let other = tokio::task::spawn_local(staying.head(get("/endless")));
            eventually("both run", || door.in_flight() == 2).await;
            gone.abort();
            drop(leaving);
            eventually("its stream was reset", || primary.cancelled().len() == before + 1).await;
            assert_eq!(primary.cancelled()[before], (path.to_owned(), Reason::CANCEL));
            assert_eq!(staying.send(get("/")).await.unwrap().status(), 200);
            assert_eq!(other.await.unwrap().status(), 200, "the other goes on");
            drop(staying);
            eventually("that one too", || primary.cancelled().len() == before + 2).await;
        }
    }
    assert_eq!(primary.connections(), 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_that_resets_a_stream_which_is_open_both_ways_resets_it_at_the_endpoint() {
    let primary = patient_endpoint().await;
    let door = before(&primary).start().await;
    let stream = door.client().connect("localhost", crate::harness::client::Version::H2).await;
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let running = tokio::spawn(connection);
    for (number, path) in ["/endless", "/wait"].into_iter().enumerate() {
        let request = http::Request::post(format!("https://localhost{path}")).body(()).unwrap();
        sender = sender.ready().await.unwrap();
        let (response, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"a piece"), false).unwrap();
        let response = if path == "/endless" { Ok(response.await.unwrap()) } else { Err(response) };
        eventually("it runs", || door.in_flight() == 1).await;
        body.send_reset(Reason::CANCEL);
        eventually("it is reset there", || primary.cancelled().len() == number + 1).await;
        assert_eq!(primary.cancelled()[number], (path.to_owned(), Reason::CANCEL));
        drop(response);
    }
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_hedge_that_loses_is_cancelled_alone() {
    let slow = patient_endpoint().await;
    let spare = Endpoint::start(|call: Call| call.answer("spare")).await;
    let door = before(&slow).secondary_at(spare.address).start().await;
    assert_eq!(&door.client().get("/").await.body()[..], b"main");
    assert_eq!(&door.client().get("/wait").await.body()[..], b"spare");
    assert_eq!(door.rescued(Rescued::Hedge), 1);
    eventually("it is cancelled", || slow.cancelled() == [("/wait".to_owned(), Reason::CANCEL)]).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_connection_that_is_silent_to_a_request_gets_no_other() {
    // The first connection falls silent, as one does that a firewall has forgotten; new ones are well.
    let primary = Frames::start(|nth, id| match nth {
        0 => (Vec::new(), Then::GoOn),
        _ => (answer(id, "main"), Then::GoOn),
    })
    .await;
    let door = Door::builder().workers(1).fall(1_000).failback(LATER).primary_at(primary.address).without_probe_path();
    let door = door.probe_keys("kind = \"tcp\"").backend("scheme = \"h2c\"\nhedge = false");
    let door = door.backend("timeouts = { head = \"2s\" }").start().await;
    assert_eq!(door.client().post("/", "").await.status(), 504);
    for _ in 0..3 {
        assert_eq!(&door.client().post("/", "").await.body()[..], b"main");
    }
    assert_eq!(primary.asked(), [(0, 1), (1, 1), (1, 3), (1, 5)]);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_body_that_breaks_off_goes_on_from_where_it_broke() {
    const LARGE: usize = 300_000;
    let primary = Endpoint::start(|mut call: Call| async move {
        let tag = ("etag", "\"a\"");
        match call.head.headers().get("range").map(|range| range.to_str().unwrap().to_owned()) {
            None => {
                let mut back = call.begin(200, &[tag, ("content-length", "300000")]);
                back.send_data(Bytes::from(vec![b'x'; 60_000]), false).unwrap();
                // A reset drops what is still to be sent: the piece is to be out before it.
                tokio::time::sleep(Duration::from_millis(50)).await;
                back.send_reset(Reason::NO_ERROR);
            }
            Some(range) => {
                let from: usize = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
                let range: &'static str = format!("bytes {from}-299999/300000").leak();
                let length: &'static str = (LARGE - from).to_string().leak();
                let back = call.begin(206, &[tag, ("content-range", range), ("content-length", length)]);
                send(back, Bytes::from(vec![b'x'; LARGE - from]), None).await;
            }
        }
    })
    .await;
    let door = before(&primary).start().await;
    assert_eq!(door.client().get("/").await.body().len(), LARGE);
    assert_eq!(door.rescued(Rescued::Resume), 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_that_freezes_costs_no_request_and_a_write_that_finds_no_connection_goes_elsewhere() {
    let primary = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(); // accepts by its kernel, and says nothing
    let spare = Endpoint::start(|call: Call| call.answer("spare")).await;
    let door = Door::builder().workers(1).primary_at(primary.local_addr().unwrap()).secondary_at(spare.address);
    let door = door.backend("scheme = \"h2c\"\nwrite_wait = \"10s\"\ntimeouts = { connect = \"200ms\" }");
    let door = door.start().await;
    let many = door.client().many().await;
    let reads = (0..10).map(|number| many.send(get(&format!("/{number}"))));
    let writes = (0..10).map(|number| many.send(request("POST", &format!("https://localhost/{number}"), "line")));
    let (reads, writes) = tokio::join!(futures_util::future::join_all(reads), futures_util::future::join_all(writes));
    for response in reads.into_iter().chain(writes) {
        assert_eq!(&response.unwrap().body()[..], b"spare");
    }
    door.serves_from("spare").await;
    tokio::time::timeout(Duration::from_secs(20), door.stop()).await.unwrap();
}
