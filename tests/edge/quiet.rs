//! A connection of HTTP/1.1 that was quiet for so long that what speaks it was put away.

use crate::harness::{Edge, LONG, SHORT, listener, run, tls};
use hotspare::edge::conn::QUIET;
use std::net::Shutdown;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Past the moment at which a quiet connection is put away, which nothing outside shows.
fn wait() {
    std::thread::sleep(QUIET + SHORT);
}

#[test]
fn it_is_served_on_each_time_and_a_head_may_come_in_pieces() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    for after in ["", "\r\n"] {
        client.send(&format!("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n{after}"));
        assert!(client.response().ends_with("hello"));
        wait();
    }
    client.send("G");
    wait();
    client.send("ET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET /client HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(client.response().ends_with("hello"));
    assert!(client.response().ends_with("HTTP/1.1"));
    wait();
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), "");
    edge.eventually("closed", |cells| cells.connections_open.get() == 0);
    assert_eq!(edge.count(|cells| cells.client_timeouts.get()), 0);
}

#[test]
fn a_head_that_was_begun_before_is_gone_on_with() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET /client HT");
    assert!(client.response().ends_with("hello"));
    wait();
    client.send("TP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(client.response().ends_with("HTTP/1.1"));
}

#[test]
fn a_body_that_comes_after_its_answer_is_no_request() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    let body = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.send(&format!("POST /later HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len()));
    assert!(client.response().ends_with("later"));
    wait();
    client.send(body);
    client.get("/client");
    assert!(client.response().ends_with("HTTP/1.1"));
    assert_eq!(edge.begun(), 2);
}

#[test]
fn its_limits_go_on() {
    let mut limited = listener();
    limited.limits.idle_timeout = QUIET + SHORT;
    limited.limits.header_timeout = SHORT;
    let edge = Edge::start(limited);
    let mut idle = edge.connect();
    idle.get("/");
    assert!(idle.response().ends_with("hello"));
    let mut slow = edge.connect();
    slow.get("/");
    assert!(slow.response().ends_with("hello"));
    std::thread::sleep(QUIET + SHORT / 2);
    slow.send("G");
    assert!(slow.rest().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    assert_eq!(idle.rest(), "");
}

#[test]
fn a_drain_ends_it() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.get("/");
    assert!(client.response().ends_with("hello"));
    wait();
    edge.drain(LONG);
    assert_eq!(client.rest(), "");
    edge.ended();
}

#[test]
fn over_tls_it_is_served_on_too() {
    let (tls, client) = tls(&["http/1.1"]);
    let edge = Edge::start(hotspare::config::Listener { tls: Some(tls), ..listener() });
    run(async {
        let tcp = tokio::net::TcpStream::connect(edge.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "closed");
            }
            tokio::time::sleep(QUIET + SHORT).await;
        }
    });
}
