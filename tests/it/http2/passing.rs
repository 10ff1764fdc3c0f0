//! What is passed on, and in which form.

use super::before;
use super::endpoint::{Call, Endpoint, send};
use crate::harness::Door;
use crate::harness::client::request;
use crate::harness::endpoint::Endpoint as Scripted;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;

#[tokio::test(flavor = "local")]
async fn requests_have_the_form_of_http2_and_nothing_of_the_connection() {
    let primary = Endpoint::start(|call: Call| call.answer("main")).await;
    let door = before(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write(
        "GET /a?b HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, te, x-hop\r\nTE: trailers, deflate\r\nKeep-Alive: timeout=5\r\n\
         X-Hop: 1\r\nX-Kept: Yes\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    assert!(raw.read_until("main").await.starts_with("HTTP/1.1 200 "));
    let seen = primary.seen().remove(0);
    let target = seen.uri();
    assert_eq!((target.scheme_str(), target.authority().unwrap().as_str()), (Some("http"), "localhost"));
    assert_eq!((target.path_and_query().unwrap().as_str(), &seen.body()[..]), ("/a?b", &b"abc"[..]));
    assert_eq!(seen.headers()["te"], "trailers");
    assert_eq!(seen.headers()["x-kept"], "Yes");
    for field in ["host", "connection", "keep-alive", "x-hop", "transfer-encoding", "content-length"] {
        assert!(!seen.headers().contains_key(field), "{field}");
    }
    raw.write("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(raw.read_until("main").await.starts_with("HTTP/1.1 200 "));
    assert_eq!((primary.seen()[1].uri().path(), primary.seen()[1].headers().get("te")), ("*", None));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn te_is_told_to_no_endpoint_of_http1_though_another_pool_speaks_http2() {
    let spare = Endpoint::start(|call: Call| call.answer("spare")).await;
    let primary = Scripted::start("main").await;
    let door = Door::builder().primary(&primary).secondary_at(spare.address).backend("scheme = \"h2c\"");
    let door = door.primary_keys("scheme = \"http\"").start().await;
    let mut with_te = request("GET", "/", "");
    with_te.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    assert_eq!(&door.client().send(with_te).await.unwrap().body()[..], b"main");
    assert!(primary.seen()[0].field("te").is_empty());
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn trailers_pass_both_ways() {
    let primary = Endpoint::start(|mut call: Call| async move {
        let (_, trailers) = call.read().await;
        let back = call.begin(200, &[]);
        send(back, Bytes::from_static(b"body"), trailers).await;
    })
    .await;
    let door = before(&primary).start().await;
    let stream = door.client().connect("localhost", crate::harness::client::Version::H2).await;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.unwrap();
    let running = tokio::spawn(connection);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("42"));
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"ping"))), Ok(Frame::trailers(trailers.clone()))];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let post = Request::post("https://localhost/").header("te", "trailers").body(body).unwrap();
    let back = sender.send_request(post).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(back.trailers(), Some(&trailers));
    assert_eq!(&back.to_bytes()[..], b"body");
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_upgrade_is_refused_and_told_why() {
    let primary = Endpoint::start(|call: Call| call.answer("main")).await;
    let door = before(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let reply = raw.read_until("</html>").await;
    assert!(reply.starts_with("HTTP/1.1 501 ") && reply.contains("no other protocol can be spoken here"), "{reply}");
    assert_eq!(primary.connections(), 0);
    door.stop().await;
}
