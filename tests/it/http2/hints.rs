//! Interim responses of endpoints that speak HTTP/2.

use super::before;
use super::endpoint::{Call, Endpoint};
use crate::harness::client::Version;
use bytes::Bytes;
use http::{Response, StatusCode};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Hints at something before it answers, and says 100, which is nobody's.
async fn hinting(mut call: Call) {
    for status in [StatusCode::CONTINUE, StatusCode::EARLY_HINTS] {
        let mut interim = Response::new(());
        *interim.status_mut() = status;
        interim.headers_mut().insert("link", "</a.css>; rel=preload".parse().unwrap());
        call.back.send_informational(interim).unwrap();
    }
    call.answer("page").await;
}

#[tokio::test(flavor = "local")]
async fn early_hints_reach_clients_of_either_version_and_100_does_not() {
    let primary = Endpoint::start(hinting).await;
    let door = before(&primary).start().await;

    let stream = door.client().connect("localhost", Version::H2).await;
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let running = tokio::spawn(connection);
    let get = http::Request::get("https://localhost/").body(()).unwrap();
    let (mut response, _) = sender.send_request(get, true).unwrap();
    let mut hints = Vec::new();
    let response = poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(hint))) = response.poll_informational(cx) {
            hints.push((hint.status().as_u16(), hint.headers()["link"].clone()));
        }
        Pin::new(&mut response).poll(cx)
    });
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), Bytes::from_static(b"page"));
    assert_eq!(hints, [(103, "</a.css>; rel=preload".parse().unwrap())]);
    running.abort();

    let mut stream = door.client().connect("localhost", Version::Http1).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let _end = stream.read_to_end(&mut said).await;
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a.css>"), "{said}");
    assert!(said.contains("\r\n\r\nHTTP/1.1 200 OK\r\n") && !said.contains(" 100 "), "{said}");
    door.stop().await;
}
