//! Bodies on their way to endpoints that answer before they have read them, or never read them.

use super::before;
use super::endpoint::{Call, Endpoint};
use super::frames::{DATA, END_HEADERS, HEADERS, STATUS_200};
use super::frames::{Frames, Then, answer, frame, reset};
use crate::harness::client::Version;
use crate::harness::{Door, PATIENCE, eventually};
use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use std::future::poll_fn;
use std::time::Duration;
use tokio::task::JoinHandle;

/// A connection of HTTP/2 to the door, for requests that go on by hand.
async fn line(door: &Door) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = door.client().connect("localhost", Version::H2).await;
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn post(path: &str) -> http::Request<()> {
    http::Request::post(format!("https://localhost{path}")).body(()).unwrap()
}

#[tokio::test(flavor = "local")]
async fn one_to_an_endpoint_that_has_answered_ends_with_the_answer() {
    let primary = Endpoint::start(|mut call: Call| async move {
        let mut back = call.begin(200, &[]);
        back.send_data(Bytes::from_static(b"enough"), true).unwrap();
        call.until_cut(back).await;
    })
    .await;
    let door = before(&primary).start().await;
    let (mut sender, running) = line(&door).await;
    let (response, mut sending) = sender.send_request(post("/"), false).unwrap();
    sending.send_data(Bytes::from(vec![b'x'; 200_000]), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "enough");
    assert!(body.data().await.is_none(), "that was all");
    let told = tokio::time::timeout(PATIENCE, poll_fn(|cx| sending.poll_reset(cx))).await;
    assert_eq!(told.expect("the client is told").unwrap(), Reason::NO_ERROR);
    eventually("the endpoint is told", || primary.cancelled() == [("/".to_owned(), Reason::CANCEL)]).await;
    eventually("nothing is left of it", || door.in_flight() == 0).await;
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn one_that_stands_still_ends_when_its_client_leaves() {
    let primary = Endpoint::start(|mut call: Call| async move {
        let back = call.begin(200, &[]);
        call.until_cut(back).await;
    })
    .await;
    let door = before(&primary).start().await;
    let (mut sender, running) = line(&door).await;
    let (response, mut sending) = sender.send_request(post("/"), false).unwrap();
    sending.send_data(Bytes::from(vec![b'x'; 200_000]), false).unwrap();
    let response = response.await.unwrap();
    sending.send_reset(Reason::CANCEL);
    drop(response);
    eventually("the endpoint is told", || primary.cancelled() == [("/".to_owned(), Reason::CANCEL)]).await;
    eventually("nothing is left of it", || door.in_flight() == 0).await;
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn one_that_stands_still_keeps_no_later_one_from_going_on() {
    // What it reads of one stream opens the window of all: 64 KiB of /stays take all there is of that.
    let primary = Endpoint::start(|call: Call| async move {
        match call.path() {
            "/stays" => call.until_cancelled().await,
            _ => call.answer("read").await,
        }
    })
    .await;
    let door = before(&primary).start().await;
    let (mut sender, running) = line(&door).await;
    let (response, mut sending) = sender.send_request(post("/stays"), false).unwrap();
    sending.send_data(Bytes::from(vec![b'x'; 200_000]), false).unwrap();
    eventually("it is there", || primary.most_at_once() == 1).await;
    tokio::time::sleep(Duration::from_millis(400)).await; // it is noticed after 250
    for _ in 0..3 {
        assert_eq!(&door.client().post("/", "some lines").await.body()[..], b"read");
    }
    assert_eq!(primary.connections(), 2);
    drop((response, sending));
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_answer_that_is_whole_stays_whole_when_the_endpoint_then_resets_the_upload() {
    for and_then in [Reason::NO_ERROR, Reason::CANCEL] {
        let primary =
            Frames::start(move |_, id| ([answer(id, "no more"), reset(id, and_then)].concat(), Then::GoOn)).await;
        let door = Door::builder().workers(1).primary_at(primary.address).without_probe_path();
        let door = door.probe_keys("kind = \"tcp\"").backend("scheme = \"h2c\"").start().await;
        let (mut sender, running) = line(&door).await;
        let (response, mut sending) = sender.send_request(post("/"), false).unwrap();
        sending.send_data(Bytes::from(vec![b'x'; 200_000]), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "no more", "{and_then:?}");
        assert!(body.data().await.is_none(), "that was all");
        running.abort();
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn an_answer_that_is_not_whole_is_cut_when_the_endpoint_resets_it_without_an_error() {
    let primary = Frames::start(|_, id| {
        let head = frame(HEADERS, END_HEADERS, id, STATUS_200);
        ([head, frame(DATA, 0, id, b"half"), reset(id, Reason::NO_ERROR)].concat(), Then::GoOn)
    })
    .await;
    let door = Door::builder().workers(1).primary_at(primary.address).without_probe_path();
    let door = door.probe_keys("kind = \"tcp\"").backend("scheme = \"h2c\"\nheld = false").start().await;
    let (mut sender, running) = line(&door).await;
    let (response, mut sending) = sender.send_request(post("/"), false).unwrap();
    sending.send_data(Bytes::from_static(b"a piece"), false).unwrap();
    let whole = async {
        let mut body = response.await?.into_body();
        while let Some(piece) = body.data().await {
            piece?;
        }
        Ok::<_, h2::Error>(())
    };
    assert!(whole.await.is_err());
    running.abort();
    door.stop().await;
}
