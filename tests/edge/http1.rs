//! HTTP/1.1: heads, pipelining, redirects, and one client's trouble that stays its own.

use crate::harness::{Edge, LONG, listener};
use hotspare::config::{Protocols, Redirect};
use hotspare::telemetry::metrics::ReplyKind;
use std::io::{Read, Write};

#[test]
fn a_request_is_answered_and_the_connection_kept() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    for _ in 0..3 {
        client.get("/");
        let response = client.response();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("hello"), "{response}");
    }
    assert_eq!(edge.count(|cells| (cells.connections_accepted.get(), cells.connections_open.get())), (1, 1));
    drop(client);
    edge.eventually("closed", |cells| cells.connections_open.get() == 0);
}

#[test]
fn the_handler_is_told_who_the_client_is() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.get("/client");
    let address = client.stream.local_addr().unwrap();
    assert!(client.response().ends_with(&format!("{address} None HTTP/1.1")));
}

#[test]
fn pipelined_requests_are_all_answered_in_order() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.send(&format!(
        "{}{}{}",
        "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /length HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
    ));
    for expected in ["3", "hello", "5"] {
        let response = client.response();
        assert!(response.ends_with(&format!("\r\n\r\n{expected}")), "{response}");
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_within_its_time_is_a_request_like_any_other() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.stream.set_nodelay(true).unwrap();
    for byte in "POST / HTTP/1.1\r\nhost: localhost\r\n\r\n".chars() {
        client.send(byte.encode_utf8(&mut [0]));
    }
    assert!(client.response().ends_with("hello"));
}

#[test]
fn garbage_gets_400_and_is_counted() {
    for protocols in [Protocols { http1: true, h2: true }, Protocols { http1: true, h2: false }] {
        let edge = Edge::start(hotspare::config::Listener { protocols, ..listener() });
        for garbage in ["\x01\x02\x03 garbage\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "PRI and so on\r\n\r\n"] {
            let response = edge.say(garbage);
            assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{garbage:?}: {response:?}");
        }
        edge.eventually("counted", |cells| cells.replies[ReplyKind::BadRequest as usize].get() == 3);
    }
}

#[test]
fn a_panic_and_a_bad_client_harm_no_other_connection() {
    let edge = Edge::start(listener());
    let mut bystander = edge.connect();
    bystander.get("/wait");
    edge.eventually("connected", |cells| cells.connections_open.get() == 1);
    let mut unlucky = edge.connect();
    unlucky.get("/panic");
    assert_eq!(unlucky.rest(), "");
    edge.say("\0\0\0\0\0\0\0\r\n\r\n");
    edge.eventually("the panic is counted", |cells| cells.panics.get() == 1);
    edge.gate.add_permits(1);
    assert!(bystander.response().ends_with("waited"));
}

#[test]
fn an_answer_given_before_the_body_was_read_still_arrives() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8388608\r\n\r\n");
    // Closing with unread bytes would reset the connection, and the answer with it.
    let _ = client.stream.write_all(&[b'x'; 8_388_608]);
    assert!(client.response().ends_with("hello"));
    assert_eq!(client.rest(), "");
}

#[test]
fn a_cut_body_is_never_a_clean_end() {
    let edge = Edge::start(listener());
    let chunked = edge.say("GET /cut HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(!chunked.ends_with("0\r\n\r\n"), "{chunked}");
    // Without chunks only the end of the connection says where the body ends.
    let mut old = edge.connect();
    old.send("GET /cut HTTP/1.0\r\nhost: a\r\n\r\n");
    let error = old.stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn an_http_1_0_client_gets_clean_ends_where_nothing_was_cut() {
    let edge = Edge::start(listener());
    for request in ["GET / HTTP/1.0\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n"] {
        assert!(edge.say(request).starts_with("HTTP/1.0 200 OK\r\n"), "{request}");
    }
}

#[test]
fn a_redirect_listener_sends_to_https_and_forwards_nothing() {
    let edge = Edge::start(hotspare::config::Listener { redirect: Some(Redirect { port: 8443 }), ..listener() });
    let response = edge.say("GET /panic?x=1 HTTP/1.1\r\nhost: example.org:80\r\nconnection: close\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"), "{response}");
    assert!(response.contains("\r\nlocation: https://example.org:8443/panic?x=1\r\n"), "{response}");
    let response = edge.say("GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
    assert_eq!(edge.count(|cells| cells.replies[ReplyKind::Redirect as usize].get()), 1);
}

#[test]
fn a_client_that_leaves_drops_its_request() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.get("/wait");
    edge.eventually("connected", |cells| cells.connections_open.get() == 1);
    drop(client);
    edge.eventually("gone", |cells| cells.connections_open.get() == 0);
    edge.drain(LONG);
    edge.ended();
}
