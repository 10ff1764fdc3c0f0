//! Bodies as they come from a client's connection, sent to one endpoint after another.

use super::*;
use crate::runtime::tasks;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

/// A client's connection, on which this was written, and the body of the request that it began.
async fn client(writes: &[u8]) -> (DuplexStream, ClientBody) {
    let (mut ours, theirs) = tokio::io::duplex(1024 * 1024);
    let (bodies, mut came) = mpsc::channel(1);
    tasks::spawn(async move {
        let service = service_fn(move |request: http::Request<Incoming>| {
            let bodies = bodies.clone();
            async move {
                bodies.send(ClientBody::Http1(request.into_body())).await.unwrap();
                std::future::pending::<Result<http::Response<http_body_util::Empty<Bytes>>, std::io::Error>>().await
            }
        });
        let _ended = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service).await;
    });
    ours.write_all(writes).await.unwrap();
    let body = tokio::time::timeout(PATIENCE, came.recv()).await.unwrap().unwrap();
    (ours, body)
}

fn with_length(length: usize, body: &[u8]) -> Vec<u8> {
    [format!("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n").as_bytes(), body].concat()
}

fn chunked(rest: &str) -> Vec<u8> {
    format!("PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n{rest}").into_bytes()
}

fn upload(body: ClientBody, size: Option<u64>, rooms: Option<&Rooms>) -> (Upload, Rc<UploadState>) {
    let clock = Clock::start();
    Upload::new(body, UploadLimits { idle: PATIENCE, min_rate: 0, size }, rooms, clock.now(), clock)
}

/// The next piece; `Err`: it failed.
async fn piece(upload: &mut Pin<Box<Upload>>) -> Result<Option<Bytes>, ()> {
    let next = tokio::time::timeout(PATIENCE, std::future::poll_fn(|context| upload.as_mut().poll_frame(context)));
    match next.await.expect("in time") {
        None => Ok(None),
        Some(Ok(frame)) => Ok(frame.into_data().ok()),
        Some(Err(UploadFailed(_))) => Err(()),
    }
}

async fn all(upload: Upload) -> Result<Bytes, UploadFailed> {
    Ok(tokio::time::timeout(PATIENCE, upload.collect()).await.expect("in time")?.to_bytes())
}

#[tokio::test(flavor = "local")]
async fn a_body_that_was_read_is_read_again_from_its_first_byte() {
    let rooms = Rooms::alone(KEPT_MAX);
    let (_client, body) = client(&with_length(5, b"whole")).await;
    let (first, state) = upload(body, None, Some(&rooms));
    assert!(state.can_be_sent_again() && state.end() == UploadEnd::Untouched);
    assert_eq!(all(first).await.unwrap(), "whole");
    for _ in 0..3 {
        let again = Upload::again(&state).unwrap();
        assert_eq!((again.size_hint().exact(), again.is_end_stream()), (Some(5), false));
        assert_eq!(all(again).await.unwrap(), "whole");
    }
    assert_eq!((state.bytes(), state.end()), (5, UploadEnd::Whole), "counted once");
    assert_eq!(rooms.taken(), KEPT_MAX);
    drop(state);
    assert_eq!(rooms.taken(), 0);
}

#[tokio::test(flavor = "local")]
async fn what_still_comes_follows_what_was_kept() {
    let rooms = Rooms::alone(KEPT_MAX);
    let (mut client, body) = client(&with_length(11, b"first")).await;
    let (first, state) = upload(body, None, Some(&rooms));
    let mut first = Box::pin(first);
    assert_eq!(piece(&mut first).await.unwrap().unwrap(), "first");
    let mut second = Box::pin(Upload::again(&state).unwrap());
    assert_eq!(second.size_hint().exact(), Some(11));
    assert_eq!(piece(&mut first).await, Err(()), "it is not its turn any more");
    assert_eq!(state.end(), UploadEnd::Streaming, "which says nothing of the client");
    assert_eq!(piece(&mut second).await.unwrap().unwrap(), "first");
    client.write_all(b", last").await.unwrap();
    assert_eq!(piece(&mut second).await.unwrap().unwrap(), ", last");
    assert!(second.is_end_stream() && piece(&mut second).await.unwrap().is_none());
    assert_eq!(all(Upload::again(&state).unwrap()).await.unwrap(), "first, last");
}

#[tokio::test(flavor = "local")]
async fn more_than_is_kept_streams_on_and_is_not_sent_again() {
    let fits = vec![b'x'; KEPT_MAX];
    for (length, again) in [(KEPT_MAX, true), (KEPT_MAX + 1, false)] {
        let rooms = Rooms::alone(KEPT_MAX);
        let chunk = format!("{KEPT_MAX:x}\r\n{}\r\n", String::from_utf8(fits.clone()).unwrap());
        let rest = if length > KEPT_MAX { "1\r\nx\r\n" } else { "" };
        for request in [with_length(length, &vec![b'x'; length]), chunked(&format!("{chunk}{rest}0\r\n\r\n"))] {
            let (_client, body) = client(&request).await;
            let (first, state) = upload(body, None, Some(&rooms));
            assert_eq!(all(first).await.unwrap().len(), length, "all of it passes");
            assert_eq!((state.can_be_sent_again(), Upload::again(&state).is_some()), (again, again), "{length}");
            assert_eq!(rooms.taken(), if again { KEPT_MAX } else { 0 }, "its room is given back at once");
        }
    }
}

#[tokio::test(flavor = "local")]
async fn without_room_only_what_was_not_touched_is_sent_again() {
    let none = Rooms::alone(KEPT_MAX - 1);
    for rooms in [None, Some(&none)] {
        let (_client, body) = client(&with_length(5, b"whole")).await;
        let (first, state) = upload(body, None, rooms);
        let second = Upload::again(&state).expect("nothing is gone");
        drop(first);
        assert_eq!(all(second).await.unwrap(), "whole");
        assert!(Upload::again(&state).is_none());
    }
}

#[tokio::test(flavor = "local")]
async fn a_body_that_ended_badly_is_not_sent_again() {
    let rooms = Rooms::alone(10 * KEPT_MAX);
    let (connection, body) = client(&with_length(10, b"half")).await;
    let (first, state) = upload(body, None, Some(&rooms));
    drop(connection);
    assert!(all(first).await.is_err());
    assert_eq!((state.end(), state.can_be_sent_again()), (UploadEnd::Broken, false));

    let (_client, body) = client(&with_length(10, b"0123456789")).await;
    let (first, state) = upload(body, Some(9), Some(&rooms));
    assert!(all(first).await.is_err());
    assert_eq!((state.end(), state.can_be_sent_again()), (UploadEnd::TooLarge, false));
}

#[tokio::test(flavor = "local")]
async fn a_body_with_trailers_is_not_kept() {
    let rooms = Rooms::alone(KEPT_MAX);
    let (_client, body) = client(&chunked("5\r\nwhole\r\n0\r\nx-sum: 1\r\n\r\n")).await;
    let (first, state) = upload(body, None, Some(&rooms));
    assert_eq!(all(first).await.unwrap(), "whole");
    assert!(!state.can_be_sent_again());
    assert_eq!(rooms.taken(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_request_without_a_body_needs_nothing_kept() {
    let rooms = Rooms::alone(KEPT_MAX);
    let (_client, body) = client(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let (first, state) = upload(body, None, Some(&rooms));
    assert!(first.is_end_stream() && state.is_empty() && rooms.taken() == 0);
    assert!(Upload::again(&state).unwrap().is_end_stream());
}
