//! A drain: what was begun is answered, what comes late is told so, and it ends in time.

use crate::harness::{Edge, LONG, SHORT, listener, run};
use crate::http2::{connect_plain, get};
use hotspare::edge::Order;
use http::Request;
use http_body_util::Empty;
use std::io::{Read, Write};
use std::time::Duration;

#[test]
fn a_request_in_flight_is_answered_with_connection_close_and_the_worker_ends() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.get("/");
    client.response();
    client.get("/wait");
    edge.eventually("begun", |_| edge.begun() == 2);
    edge.drain(LONG);
    edge.refuses();
    edge.gate.add_permits(1);
    let response = client.response();
    assert!(response.ends_with("waited") && response.contains("\r\nconnection: close\r\n"), "{response}");
    assert_eq!(client.rest(), "");
    edge.ended();
}

#[test]
fn a_response_under_way_is_finished_and_a_request_after_it_answered_as_the_last() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.send("GET /trickle HTTP/1.1\r\nhost: a\r\n\r\n");
    client.until("tri\r\n");
    edge.drain(LONG);
    edge.refuses();
    edge.gate.add_permits(1);
    client.until("cked\r\n0\r\n\r\n");
    client.get("/");
    assert!(client.response().contains("\r\nconnection: close\r\n"));
    assert_eq!(client.rest(), "");
    edge.ended();
}

#[test]
fn a_late_request_on_a_kept_connection_is_answered_with_connection_close() {
    let edge = Edge::start(listener());
    let (mut kept, mut silent) = (edge.connect(), edge.connect());
    kept.get("/");
    assert!(!kept.response().contains("connection: close"));
    edge.eventually("both are open", |cells| cells.connections_open.get() == 2);
    edge.drain(LONG);
    edge.refuses();
    kept.get("/");
    let response = kept.response();
    assert!(response.ends_with("hello") && response.contains("\r\nconnection: close\r\n"), "{response}");
    assert_eq!(kept.rest(), "");
    silent.get("/");
    assert!(silent.response().contains("\r\nconnection: close\r\n"), "a first request is late, too, and answered");
    drop(silent);
    edge.ended();
}

#[test]
fn connections_without_requests_hold_a_drain_for_a_moment_only() {
    let edge = Edge::start(listener());
    let (mut kept, mut fresh) = (edge.connect(), edge.connect());
    kept.get("/");
    kept.response();
    edge.eventually("both are open", |cells| cells.connections_open.get() == 2);
    edge.drain(LONG);
    assert_eq!(kept.rest(), "");
    assert_eq!(fresh.rest(), "");
    drop((kept, fresh));
    edge.ended();
}

#[test]
fn http_2_is_told_goaway_and_its_streams_end() {
    let edge = Edge::start(listener());
    run(async {
        let (mut sender, connection) = connect_plain(&edge).await;
        assert_eq!(get(&mut sender, "/").await.0, 200);
        let (_idle, idle_connection) = connect_plain(&edge).await;
        let mut other = sender.clone();
        let stream = hotspare::runtime::tasks::spawn(async move {
            assert_eq!(get(&mut other, "/wait").await, (200, "waited".to_owned()));
        });
        while edge.begun() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        edge.drain(LONG);
        idle_connection.await.unwrap();
        // Told while the stream still runs, not after it.
        while sender.try_send_request(Request::new(Empty::new())).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        edge.gate.add_permits(1);
        stream.await.unwrap();
        connection.await.unwrap();
    });
    edge.ended();
}

#[test]
fn what_outlasts_the_drain_timeout_is_cut() {
    let edge = Edge::start(listener());
    let (mut waiting, mut taking) = (edge.connect(), edge.connect());
    waiting.get("/wait");
    taking.get("/big");
    edge.eventually("begun", |_| edge.begun() == 2);
    edge.drain(SHORT);
    assert_eq!(waiting.rest(), "");
    edge.ended();
}

#[test]
fn connections_in_the_accept_queue_are_served() {
    let mut edge = Edge::bound(listener());
    let mut clients: Vec<_> = (0..100).map(|_| edge.connect()).collect();
    edge.listen();
    edge.drain(LONG); // the worker has both orders before it accepts anything
    for client in &mut clients {
        client.get("/");
    }
    for client in &mut clients {
        assert!(client.response().ends_with("hello"));
    }
    drop(clients);
    edge.ended();
}

#[test]
fn a_removed_listener_drains_while_the_worker_goes_on() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.get("/wait");
    edge.eventually("begun", |_| edge.begun() == 1);
    edge.order(Order::Unlisten { address: edge.address.into() });
    edge.refuses();
    edge.gate.add_permits(1);
    assert!(client.response().ends_with("waited"));
    drop(client);
    edge.eventually("closed", |cells| cells.connections_open.get() == 0);
    edge.drain(LONG);
    edge.ended();
}

/// What clients send may cross with our goodbye, and many notice that only when they want to send the next request.
#[test]
fn a_request_that_comes_a_moment_after_its_listener_was_removed_is_served() {
    let edge = Edge::start(listener());
    let mut kept: Vec<_> = (0..10).map(|_| edge.connect()).collect();
    for client in &mut kept {
        client.get("/");
        client.response();
    }
    edge.order(Order::Unlisten { address: edge.address.into() });
    edge.refuses();
    std::thread::sleep(Duration::from_millis(100)); // the client's pause, which is what is tested
    for client in &mut kept {
        client.get("/");
        let response = client.response();
        assert!(response.ends_with("hello") && response.contains("\r\nconnection: close\r\n"), "{response}");
        assert_eq!(client.rest(), "");
    }
    edge.drain(LONG);
    edge.ended();
}

/// HTTP/2 says goodbye twice (RFC 9113, section 6.8): what crosses with the first is served, and the second names the last stream.
#[test]
fn a_stream_that_crosses_with_goaway_is_served() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // HEADERS that end their stream: GET, http, /, and a literal :authority.
    let get = |stream: u8| [&[0, 0, 6, 1, 5, 0, 0, 0, stream][..], &[0x82, 0x86, 0x84, 0x41, 1, b'a']].concat();
    let edge = Edge::start(listener());
    let mut raw = edge.connect();
    raw.stream.write_all(PREFACE).unwrap();
    raw.stream.write_all(&get(1)).unwrap();
    while frame(&mut raw.stream).kind != DATA {}
    edge.order(Order::Unlisten { address: edge.address.into() });
    let goodbye = std::iter::repeat_with(|| frame(&mut raw.stream)).find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(goodbye.payload[..4], [0x7f, 0xff, 0xff, 0xff], "any stream may be on its way");
    let ping = frame(&mut raw.stream);
    assert_eq!((ping.kind, ping.flags), (PING, 0));
    std::thread::sleep(Duration::from_millis(100)); // the way there and back
    raw.stream.write_all(&get(3)).unwrap();
    let answer = std::iter::repeat_with(|| frame(&mut raw.stream)).find(|frame| frame.kind == DATA).unwrap();
    assert_eq!((answer.stream, &answer.payload[..]), (3, &b"hello"[..]));
    raw.stream.write_all(&[&[0, 0, 8, PING, 1, 0, 0, 0, 0][..], &ping.payload].concat()).unwrap();
    let last = std::iter::repeat_with(|| frame(&mut raw.stream)).find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(last.payload[..8], [0, 0, 0, 3, 0, 0, 0, 0], "the last, and no error");
    assert_eq!(raw.rest(), "");
    edge.drain(LONG);
    edge.ended();
}

const DATA: u8 = 0;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u8,
    payload: Vec<u8>,
}

fn frame(from: &mut impl Read) -> Frame {
    let mut head = [0; 9];
    from.read_exact(&mut head).unwrap();
    let [_, high, low, kind, flags, _, _, _, stream] = head;
    let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    from.read_exact(&mut payload).unwrap();
    Frame { kind, flags, stream, payload }
}

#[test]
fn a_worker_that_nobody_can_order_anymore_drains() {
    let mut edge = Edge::start(listener());
    let mut client = edge.connect();
    client.get("/");
    client.response();
    drop(client);
    edge.abandon();
    edge.ended();
}
