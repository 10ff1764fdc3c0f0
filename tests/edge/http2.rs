//! HTTP/2, over TLS by ALPN and without TLS by its preface.

use crate::harness::{Edge, SHORT, listener, run, tls};
use bytes::Bytes;
use hotspare::config::{Listener, Redirect};
use hotspare::runtime::tasks::LocalExec;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

pub type Sender = SendRequest<Empty<Bytes>>;

/// A client and its connection, which ends when the server ends it.
pub async fn connect(io: impl AsyncRead + AsyncWrite + Unpin + 'static) -> (Sender, JoinHandle<()>) {
    let (sender, connection) = http2::Builder::new(LocalExec).handshake(TokioIo::new(io)).await.unwrap();
    (sender, hotspare::runtime::tasks::spawn(async { drop(connection.await) }))
}

pub async fn connect_plain(edge: &Edge) -> (Sender, JoinHandle<()>) {
    connect(tokio::net::TcpStream::connect(edge.address).await.unwrap()).await
}

/// Status and body.
pub async fn get(sender: &mut Sender, path: &str) -> (u16, String) {
    let request = Request::builder().uri(format!("http://localhost{path}")).body(Empty::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn http_2_is_spoken_over_tls() {
    let (tls, mut client) = tls(&["h2", "http/1.1"]);
    client.alpn_protocols = vec!["h2".into()];
    let edge = Edge::start(Listener { tls: Some(tls), ..listener() });
    let (status, body) = run(async {
        let tcp = tokio::net::TcpStream::connect(edge.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(client)).connect(name, tcp).await.unwrap();
        let (mut sender, _connection) = connect(stream).await;
        get(&mut sender, "/client").await
    });
    assert_eq!(status, 200);
    assert!(body.ends_with(" Some(\"localhost\") HTTP/2.0"), "{body}");
}

#[test]
fn http_2_without_tls_is_known_by_its_preface_and_streams_run_side_by_side() {
    let edge = Edge::start(listener());
    run(async {
        let (mut sender, _connection) = connect_plain(&edge).await;
        let mut other = sender.clone();
        let slow = hotspare::runtime::tasks::spawn(async move {
            assert_eq!(get(&mut other, "/wait").await.1, "waited");
        });
        assert_eq!(get(&mut sender, "/").await, (200, "hello".to_owned()));
        edge.gate.add_permits(1);
        slow.await.unwrap();
    });
}

#[test]
fn a_panic_ends_its_own_stream_alone() {
    let edge = Edge::start(listener());
    run(async {
        let (mut sender, _connection) = connect_plain(&edge).await;
        let request = Request::get("http://localhost/panic").body(Empty::new()).unwrap();
        sender.send_request(request).await.unwrap_err();
        assert_eq!(get(&mut sender, "/").await.0, 200);
    });
    edge.eventually("counted", |cells| cells.panics.get() == 1);
}

#[test]
fn limits_on_heads_hold_for_streams() {
    let edge = Edge::start(listener());
    run(async {
        let (mut sender, _connection) = connect_plain(&edge).await;
        assert_eq!(get(&mut sender, &format!("/{}", "x".repeat(16 * 1024))).await.0, 414);
        let fields = |count: usize, value: &str| {
            let request = Request::get("http://localhost/");
            let request = (0..count).fold(request, |request, n| request.header(format!("x-{n}"), value));
            request.body(Empty::new()).unwrap()
        };
        assert_eq!(sender.send_request(fields(101, "y")).await.unwrap().status(), 431);
        assert_eq!(sender.send_request(fields(9, &"y".repeat(4096))).await.unwrap().status(), 431);
        assert_eq!(get(&mut sender, "/").await.0, 200);
    });
}

#[test]
fn a_redirect_takes_the_host_from_the_authority() {
    let edge = Edge::start(Listener { redirect: Some(Redirect { port: 443 }), ..listener() });
    run(async {
        let (mut sender, _connection) = connect_plain(&edge).await;
        let request = Request::get("http://example.org:80/a?b").body(Empty::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["location"]),
            (308, &"https://example.org/a?b".parse().unwrap())
        );
    });
}

#[test]
fn a_connection_without_requests_is_ended_in_order() {
    let mut listener = listener();
    listener.limits.idle_timeout = SHORT;
    let edge = Edge::start(listener);
    run(async {
        let (mut sender, connection) = connect_plain(&edge).await;
        assert_eq!(get(&mut sender, "/").await.0, 200);
        connection.await.unwrap();
    });
    edge.eventually("closed", |cells| cells.connections_open.get() == 0);
    assert_eq!(edge.count(|cells| cells.client_timeouts.get()), 0);
}

#[test]
fn a_client_that_never_asks_is_ended_and_so_is_one_that_does_not_even_greet() {
    let mut listener = listener();
    listener.limits.header_timeout = SHORT;
    listener.protocols.http1 = false;
    let edge = Edge::start(listener);
    run(async {
        let (_sender, connection) = connect_plain(&edge).await;
        connection.await.unwrap();
    });
    assert_eq!(edge.count(|cells| cells.client_timeouts.get()), 1);
    edge.connect().rest();
    edge.eventually("both", |cells| cells.client_timeouts.get() == 2 && cells.connections_open.get() == 0);
}

#[test]
fn a_client_that_opens_no_window_is_dropped() {
    let mut listener = listener();
    listener.limits.send_timeout = SHORT;
    let edge = Edge::start(listener);
    run(async {
        let (mut sender, connection) = connect_plain(&edge).await;
        let request = Request::get("http://localhost/big").body(Empty::new()).unwrap();
        // Held, never read: the window closes while the socket itself stays open.
        let response = sender.send_request(request).await.unwrap();
        connection.await.unwrap();
        drop(response);
    });
    assert_eq!(edge.count(|cells| cells.client_timeouts.get()), 1);
}
