//! HTTP/2, over TLS by ALPN and without TLS by its preface.

use crate::harness::{DEADLINE, Edge, SHORT, listener, run, tls};
use bytes::Bytes;
use hotspare::config::{Listener, Redirect};
use hotspare::runtime::tasks::LocalExec;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
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

/// h2's own encoder puts paths and names into the table and refers to them by their places there.
#[test]
fn trailers_that_a_client_writes_by_its_table_are_taken() {
    let edge = Edge::start(listener());
    run(async {
        let io = tokio::net::TcpStream::connect(edge.address).await.unwrap();
        let (sender, connection) = h2::client::handshake(io).await.unwrap();
        hotspare::runtime::tasks::spawn(async { drop(connection.await) });
        for round in 0..100_u32 {
            let mut sender = sender.clone().ready().await.unwrap();
            let request = Request::post(format!("http://localhost/length?{}", round % 7)).header("x-round", round % 5);
            let (response, mut upload) = sender.send_request(request.body(()).unwrap(), false).unwrap();
            upload.send_data(Bytes::from_static(b"abc"), false).unwrap();
            let trailers = [("x-round", round % 5), ("x-sum", round % 3), ("x-own", round % 60)];
            let named = trailers.map(|(name, value)| (name.parse().unwrap(), value.into()));
            upload.send_trailers(named.into_iter().collect()).unwrap();
            let mut body = response.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "3", "round {round}");
        }
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

type Streams = h2::client::SendRequest<Bytes>;

/// A client that sees single frames.
async fn connect_h2(edge: &Edge) -> Streams {
    let tcp = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    let (streams, connection) = h2::client::handshake(tcp).await.unwrap();
    hotspare::runtime::tasks::spawn(async { drop(connection.await) });
    streams
}

/// Head read, body to be sent.
async fn post(streams: &Streams, path: &str) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let request = Request::post(format!("http://localhost{path}")).body(()).unwrap();
    streams.clone().ready().await.unwrap().send_request(request, false).unwrap()
}

/// So many requests were begun; meanwhile this thread's connections go on.
async fn begun(edge: &Edge, many: usize) {
    let begun = async {
        while edge.begun() < many {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, begun).await.unwrap();
}

async fn all(mut body: h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[test]
fn an_answer_before_the_end_of_its_upload_is_whole_and_then_no_more_is_wanted() {
    let edge = Edge::start(listener());
    run(async {
        let streams = connect_h2(&edge).await;
        let (response, mut upload) = post(&streams, "/").await;
        assert_eq!(all(response.await.unwrap().into_body()).await.unwrap(), b"hello");
        let reason = std::future::poll_fn(|cx| upload.poll_reset(cx)).await.unwrap();
        assert_eq!(reason, h2::Reason::NO_ERROR);
    });
}

#[test]
fn a_body_that_breaks_off_is_a_reset_stream() {
    let edge = Edge::start(listener());
    run(async {
        let streams = connect_h2(&edge).await;
        let (response, _upload) = post(&streams, "/cut").await;
        let error = match response.await {
            Ok(response) => all(response.into_body()).await.unwrap_err(),
            Err(error) => error, // it overtook the head
        };
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
        let (response, _upload) = post(&streams, "/").await;
        assert_eq!(response.await.unwrap().status(), 200);
    });
}

#[test]
fn a_client_that_resets_a_stream_ends_what_runs_for_it() {
    let edge = Edge::start(listener());
    run(async {
        let streams = connect_h2(&edge).await;
        let (_response, mut upload) = post(&streams, "/wait").await;
        begun(&edge, 1).await;
        upload.send_reset(h2::Reason::CANCEL);
        // Sent behind the reset, on the same connection: when it is answered the reset was read.
        let (response, _upload) = post(&streams, "/").await;
        assert_eq!(response.await.unwrap().status(), 200);
        // The permit is for whoever waits: were the first still there, it would take it.
        let (response, _upload) = post(&streams, "/wait").await;
        begun(&edge, 3).await;
        edge.gate.add_permits(1);
        assert_eq!(all(response.await.unwrap().into_body()).await.unwrap(), b"waited");
    });
}

/// So many bytes, as there is room for them.
async fn send(upload: &mut h2::SendStream<Bytes>, mut left: usize, end: bool) {
    while left > 0 {
        upload.reserve_capacity(left);
        let room = std::future::poll_fn(|cx| upload.poll_capacity(cx)).await.unwrap().unwrap();
        let piece = room.min(left);
        left -= piece;
        upload.send_data(Bytes::from(vec![b'x'; piece]), end && left == 0).unwrap();
    }
}

#[test]
fn windows_open_as_an_upload_is_read_and_no_sooner() {
    const WINDOW: usize = 256 << 10;
    let edge = Edge::start(listener());
    run(async {
        let streams = connect_h2(&edge).await;
        let (response, mut upload) = post(&streams, "/wait").await;
        let (other, _other) = post(&streams, "/").await;
        other.await.unwrap(); // our SETTINGS are with the client by now
        send(&mut upload, WINDOW, false).await;
        // Nobody reads it: an answer on another stream is no sign of a window either.
        let (other, _other) = post(&streams, "/").await;
        other.await.unwrap();
        upload.reserve_capacity(1);
        assert_eq!(upload.capacity(), 0);
        edge.gate.add_permits(1);
        assert_eq!(all(response.await.unwrap().into_body()).await.unwrap(), b"waited");
        // One that is read is taken at any length.
        let (response, mut upload) = post(&streams, "/length").await;
        send(&mut upload, 12 * WINDOW, true).await;
        let length = all(response.await.unwrap().into_body()).await.unwrap();
        assert_eq!(String::from_utf8(length).unwrap(), (12 * WINDOW).to_string());
    });
}

#[test]
fn an_upload_that_nobody_reads_leaves_room_for_others() {
    let edge = Edge::start(listener());
    run(async {
        let streams = connect_h2(&edge).await;
        let (_response, mut unread) = post(&streams, "/wait").await;
        unread.reserve_capacity(4 << 20);
        // As much as there is room for, in pieces that the client's own buffer takes.
        loop {
            let (other, _other) = post(&streams, "/").await;
            other.await.unwrap();
            let room = unread.capacity();
            if room == 0 {
                break;
            }
            unread.send_data(Bytes::from(vec![b'x'; room]), false).unwrap();
        }
        let (response, mut upload) = post(&streams, "/length").await;
        send(&mut upload, 2 << 20, true).await;
        let length = all(response.await.unwrap().into_body()).await.unwrap();
        assert_eq!(String::from_utf8(length).unwrap(), (2 << 20).to_string());
    });
}

#[test]
fn head_is_answered_without_a_body_and_with_a_date() {
    let edge = Edge::start(listener());
    run(async {
        let streams = connect_h2(&edge).await;
        let request = Request::head("http://localhost/").body(()).unwrap();
        let (response, _upload) = streams.clone().ready().await.unwrap().send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert!(response.headers().contains_key("date"));
        assert!(response.body().is_end_stream());
    });
}
