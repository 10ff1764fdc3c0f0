//! WebSocket over HTTP/2 (RFC 8441), at endpoints that know it over HTTP/1.1.

use crate::harness::client::Version;
use crate::harness::endpoint::{Gate, ok, status};
use crate::harness::{Act, Door, Endpoint, eventually};
use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use hotspare::runtime::tasks;
use http::{Method, Request, Response};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// A client of HTTP/2 that has been told that it may ask for tunnels.
async fn client(door: &Door) -> h2::client::SendRequest<Bytes> {
    let stream = door.client().connect("localhost", Version::H2).await;
    let (streams, connection) = h2::client::handshake(stream).await.unwrap();
    tasks::spawn(async { drop(connection.await) });
    let told = async {
        while !streams.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, told).await.expect("it is announced");
    streams
}

async fn ask(
    streams: &h2::client::SendRequest<Bytes>,
    path: &str,
    protocol: Option<&'static str>,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("https://localhost{path}"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat");
    match protocol {
        Some(protocol) => request = request.extension(Protocol::from_static(protocol)),
        None => request = request.uri("localhost:443"),
    }
    let mut ready = streams.clone().ready().await.unwrap();
    let (response, stream) = ready.send_request(request.body(()).unwrap(), false).unwrap();
    (tokio::time::timeout(DEADLINE, response).await.unwrap().unwrap(), stream)
}

/// An endpoint that says what it hears.
fn echo() -> Act {
    Act::Agrees(Box::new(Act::Echo(Vec::new())))
}

async fn read(body: &mut RecvStream, many: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < many {
        let piece = tokio::time::timeout(DEADLINE, body.data()).await.unwrap().expect("more comes").unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        read.extend_from_slice(&piece);
    }
    read
}

#[tokio::test(flavor = "local")]
async fn bytes_go_both_ways_and_either_side_ends_its_own() {
    let primary = Endpoint::start("main").await.on("/chat", echo());
    let door = Door::builder().primary(&primary).start().await;
    let streams = client(&door).await;
    let (response, mut to) = ask(&streams, "/chat", Some("websocket")).await;
    assert_eq!(response.status(), 200);
    for name in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    let seen = primary.seen().pop().unwrap();
    assert_eq!((seen.field("connection"), seen.field("upgrade")), (vec!["upgrade"], vec!["websocket"]));
    assert_eq!(seen.field("sec-websocket-protocol"), ["chat"]);
    assert_eq!(door.in_flight(), 1, "a tunnel is in flight for as long as it lasts");

    let mut from = response.into_body();
    to.send_data(Bytes::from_static(b"hello"), false).unwrap();
    assert_eq!(read(&mut from, 5).await, b"hello");
    // More than any window, while another stream has its answer.
    let much = Bytes::from(vec![b'x'; 3 << 20]);
    let said = much.clone();
    let sending = async move {
        let mut left = said;
        while !left.is_empty() {
            to.reserve_capacity(left.len());
            let room = std::future::poll_fn(|cx| to.poll_capacity(cx)).await.unwrap().unwrap();
            let piece = left.split_to(room.min(left.len()));
            to.send_data(piece, false).unwrap();
        }
        to
    };
    let page = async {
        assert_eq!(door.client().get("/").await.status(), 200);
        read(&mut from, much.len()).await
    };
    let (mut to, heard) = tokio::join!(sending, page);
    assert_eq!(heard, much);
    // The client ends its side; the endpoint hears so and ends its own.
    to.send_data(Bytes::new(), true).unwrap();
    let rest = async {
        while let Some(piece) = from.data().await {
            assert!(piece.unwrap().is_empty(), "more than was said");
        }
    };
    tokio::time::timeout(DEADLINE, rest).await.unwrap();
    eventually("it has ended", || door.in_flight() == 0).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_that_resets_its_tunnel_ends_it_at_the_endpoint() {
    let primary = Endpoint::start("main").await.on("/chat", echo());
    let door = Door::builder().primary(&primary).start().await;
    let streams = client(&door).await;
    let (_response, mut to) = ask(&streams, "/chat", Some("websocket")).await;
    assert_eq!(door.in_flight(), 1);
    to.send_reset(Reason::CANCEL);
    eventually("it has ended", || door.in_flight() == 0).await;
    let (response, _to) = ask(&streams, "/chat", Some("websocket")).await;
    assert_eq!(response.status(), 200, "its connection goes on");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_reset_tunnel_ends_although_its_endpoint_takes_nothing_of_what_was_said() {
    let deaf = Act::Behind(Gate::default(), Box::new(Act::Write(Vec::new())));
    let primary = Endpoint::start("main").await.on("/chat", Act::Agrees(Box::new(deaf)));
    let door = Door::builder().primary(&primary).start().await;
    let streams = client(&door).await;
    let (_response, mut to) = ask(&streams, "/chat", Some("websocket")).await;
    to.reserve_capacity(64 << 20);
    // Until all that is between the two is full.
    loop {
        let (refused, _to) = ask(&streams, "/chat", None).await;
        assert_eq!(refused.status(), 405, "what was said before it is sent by now");
        let room = to.capacity();
        if room == 0 {
            break;
        }
        to.send_data(Bytes::from(vec![b'x'; room]), false).unwrap();
    }
    assert_eq!(door.in_flight(), 1);
    to.send_reset(Reason::CANCEL);
    eventually("it has ended", || door.in_flight() == 0).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_that_breaks_off_resets_the_tunnel() {
    let gate = Gate::default();
    let broken = Act::Behind(gate.clone(), Box::new(Act::WriteAndReset(Vec::new())));
    let primary = Endpoint::start("main").await.on("/chat", Act::Agrees(Box::new(broken)));
    let door = Door::builder().primary(&primary).start().await;
    let streams = client(&door).await;
    let (response, _to) = ask(&streams, "/chat", Some("websocket")).await;
    assert_eq!(response.status(), 200);
    gate.open();
    let ended = tokio::time::timeout(DEADLINE, response.into_body().data()).await.unwrap();
    assert!(ended.expect("no clean end").is_err());
    eventually("it has ended", || door.in_flight() == 0).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_is_no_agreement_is_no_tunnel() {
    let unproven = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let primary = Endpoint::start("main")
        .await
        .on("/chat", status(403))
        .on("/page", ok("a page"))
        .on("/unproven", Act::Echo(unproven.to_vec()));
    let door = Door::builder().primary(&primary).start().await;
    let streams = client(&door).await;
    for (path, protocol, expected) in [
        ("/chat", Some("websocket"), 403),
        ("/page", Some("websocket"), 502),
        ("/unproven", Some("websocket"), 502),
        ("/chat", Some("connect-udp"), 501),
        ("/chat", None, 405),
    ] {
        let (response, _to) = ask(&streams, path, protocol).await;
        assert_eq!(response.status(), expected, "{path} {protocol:?}");
    }
    assert_eq!(primary.seen().len(), 3);
    door.stop().await;
}
