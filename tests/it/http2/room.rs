//! How much a connection carries, and who waits for another: what changes while it runs, and what is left of those that are gone.

use super::LATER;
use super::frames::{Frames, Then, allow, answer};
use crate::harness::client::{Version, request};
use crate::harness::door::Builder;
use crate::harness::{Door, eventually};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A door that lets a request wait at one endpoint until its head is overdue.
fn before(address: SocketAddr) -> Builder {
    let door = Door::builder().workers(1).fall(1_000).failback(LATER).primary_at(address).without_probe_path();
    door.probe_keys("kind = \"tcp\"").backend("scheme = \"h2c\"\nhedge = false\nretry = false")
}

#[tokio::test(flavor = "local")]
async fn a_connection_on_which_no_more_requests_are_allowed_is_given_none() {
    let primary = Frames::start(|nth, id| match nth {
        0 => ([answer(id, "main"), allow(0)].concat(), Then::GoOn),
        _ => (answer(id, "main"), Then::GoOn),
    })
    .await;
    let door = before(primary.address).backend("timeouts = { head = \"1s\" }").start().await;
    for _ in 0..3 {
        assert_eq!(&door.client().post("/", "").await.body()[..], b"main");
    }
    assert_eq!(primary.asked(), [(0, 1), (1, 1), (1, 3)]);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_request_has_its_place_for_no_longer_than_its_response_takes() {
    let primary = Frames::start_with(allow(1), |_, id| (answer(id, "main"), Then::GoOn)).await;
    let door = before(primary.address).backend("timeouts = { head = \"1s\" }").start().await;
    let stream = door.client().connect("localhost", Version::H2).await;
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let running = tokio::spawn(connection);
    let post = http::Request::post("https://localhost/").body(()).unwrap();
    let (response, mut sending) = sender.send_request(post, false).unwrap();
    sending.send_data(Bytes::from_static(b"a piece"), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "main");
    assert!(body.data().await.is_none(), "that was all");
    for _ in 0..3 {
        assert_eq!(&door.client().post("/", "").await.body()[..], b"main");
    }
    assert_eq!(primary.asked(), [(0, 1), (0, 3), (0, 5), (0, 7)]);
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn clients_that_leave_do_not_have_more_connections_opened() {
    // It accepts, and says nothing; probes close what they open, and say nothing either.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, opened) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let told = opened.clone();
    let accepting = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let told = told.clone();
            connections.spawn(async move {
                if stream.read_exact(&mut [0; 24]).await.is_ok() {
                    told.fetch_add(1, Ordering::SeqCst);
                    let _rest = stream.read_to_end(&mut Vec::new()).await;
                }
            });
        }
    });
    let door = before(address).backend("timeouts = { connect = \"60s\" }").start().await;
    let many = door.client().many().await;
    for number in 0..210 {
        let waiting = tokio::task::spawn_local(many.send(request("POST", "https://localhost/", "a line")));
        eventually("it waits for a connection", || door.in_flight() == 1).await;
        waiting.abort();
        eventually("it has left", || door.in_flight() == 0).await;
        assert!(opened.load(Ordering::SeqCst) <= 1, "after {number}");
    }
    accepting.abort();
    drop(many);
    door.stop().await;
}
