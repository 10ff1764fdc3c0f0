//! How long, how big: each limit says so where there is somebody to say it to, and harms no other connection.

use crate::harness::{Edge, LONG, LUMP, SHORT, listener};
use hotspare::config::{Limits, Listener};
use hotspare::telemetry::metrics::ReplyKind;
use std::io::{Read, Write};

fn limited(change: impl Fn(&mut Limits)) -> Edge {
    let mut listener = listener();
    change(&mut listener.limits);
    Edge::start(listener)
}

#[test]
fn a_head_that_does_not_come_gets_408() {
    let edge = limited(|limits| limits.header_timeout = SHORT);
    for begun in ["GET / HTTP/1.1\r\nhost: loc", "P", "PRI *"] {
        let response = edge.say(begun);
        assert!(response.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{begun}: {response:?}");
    }
    assert_eq!(edge.count(|cells| cells.client_timeouts.get()), 3);
}

#[test]
fn a_later_head_that_does_not_come_gets_408_long_before_the_idle_time() {
    let edge = limited(|limits| limits.header_timeout = SHORT);
    let mut client = edge.connect();
    client.get("/");
    assert!(client.response().ends_with("hello"));
    client.send("GET / HT");
    assert!(client.rest().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
}

#[test]
fn a_client_that_says_nothing_is_left_without_a_word() {
    let edge = limited(|limits| limits.header_timeout = SHORT);
    assert_eq!(edge.connect().rest(), "");
    assert_eq!(edge.count(|cells| cells.client_timeouts.get()), 1);
}

#[test]
fn a_connection_without_a_next_request_is_closed_without_a_word() {
    let edge = limited(|limits| limits.idle_timeout = SHORT);
    let mut client = edge.connect();
    client.get("/");
    assert!(client.response().ends_with("hello"));
    assert_eq!(client.rest(), "");
    assert_eq!(edge.count(|cells| cells.client_timeouts.get()), 0);
}

#[test]
fn a_request_that_runs_long_is_not_idle() {
    let edge = limited(|limits| {
        limits.idle_timeout = SHORT;
        limits.send_timeout = SHORT;
    });
    let mut client = edge.connect();
    client.get("/wait");
    std::thread::sleep(SHORT * 2);
    edge.gate.add_permits(1);
    assert!(client.response().ends_with("waited"));
}

#[test]
fn a_client_that_takes_nothing_is_dropped_and_one_that_takes_little_is_not() {
    let edge = limited(|limits| {
        limits.send_timeout = SHORT;
        limits.idle_timeout = LONG;
    });
    let mut stalled = edge.connect();
    stalled.get("/big");
    edge.eventually("dropped", |cells| cells.client_timeouts.get() == 1);
    edge.eventually("closed", |cells| cells.connections_open.get() == 0);
    let mut slow = edge.connect();
    slow.get("/big");
    let mut chunk = vec![0; 1 << 20];
    for _ in 0..20 {
        std::thread::sleep(SHORT / 5);
        slow.stream.read_exact(&mut chunk).expect("a client that takes something is served");
    }
}

#[test]
fn a_client_that_goes_on_taking_less_than_the_least_rate_is_dropped() {
    let takes_on = |min_rate| {
        let edge = limited(|limits| {
            limits.send_timeout = SHORT;
            limits.min_rate = min_rate;
        });
        let mut slow = edge.connect();
        slow.get("/big");
        // Some 5 MiB a second.
        let mut chunk = vec![0; 1 << 20];
        (0..40).all(|_| {
            std::thread::sleep(SHORT * 2 / 5);
            slow.stream.read_exact(&mut chunk).is_ok() && edge.count(|cells| cells.client_timeouts.get()) == 0
        })
    };
    assert!(takes_on(1 << 10));
    assert!(!takes_on(64 << 20));
}

#[test]
fn a_client_still_taking_the_last_piece_is_neither_idle_nor_safe_from_stalling() {
    let edge = limited(|limits| {
        limits.send_timeout = SHORT;
        limits.idle_timeout = SHORT;
    });
    let mut slow = edge.connect();
    slow.get("/lump");
    let mut chunk = vec![0; LUMP / 16];
    for _ in 0..16 {
        std::thread::sleep(SHORT / 8);
        slow.stream.read_exact(&mut chunk).expect("it is taking");
    }
    slow.get("/");
    slow.until("hello"); // it was busy taking all that time, so the connection is still there
    let mut stalled = edge.connect();
    stalled.get("/lump");
    edge.eventually("dropped", |cells| cells.client_timeouts.get() == 1);
}

#[test]
fn a_head_of_a_mebibyte_gets_431_and_the_client_hears_it() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    // It need not be taken whole; the answer counts.
    let _ = client.stream.write_all(head.as_bytes());
    assert!(client.rest().starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
    edge.eventually("counted", |cells| cells.replies[ReplyKind::Limit as usize].get() == 1);
}

#[test]
fn a_field_too_many_gets_431() {
    for max_headers in [100, 7] {
        let edge = limited(|limits| limits.max_headers = max_headers);
        let head = |fields| format!("GET / HTTP/1.1\r\nconnection: close\r\n{}\r\n", "a: b\r\n".repeat(fields));
        assert!(edge.say(&head(max_headers - 1)).starts_with("HTTP/1.1 200 "));
        assert!(edge.say(&head(max_headers)).starts_with("HTTP/1.1 431 "));
    }
}

#[test]
fn a_target_over_half_the_header_size_gets_414_and_the_connection_is_kept() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.get(&format!("/{}", "x".repeat(16 * 1024 - 1)));
    assert!(client.response().starts_with("HTTP/1.1 200 "));
    client.get(&format!("/{}", "x".repeat(16 * 1024)));
    assert!(client.response().starts_with("HTTP/1.1 414 URI Too Long\r\n"));
    client.get("/");
    assert!(client.response().ends_with("hello"));
}

#[test]
fn replies_of_the_edge_look_like_all_of_ours() {
    let mut listener = listener();
    listener.limits.header_timeout = SHORT;
    let edge = Edge::start(listener);
    let long = "x".repeat(16 * 1024);
    let asked = |accept: &str| format!("GET /{long} HTTP/1.1\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
    for (request, kind) in [
        (asked("text/html"), "text/html; charset=utf-8"),
        (asked("application/json"), "application/problem+json"),
        ("GET / HTTP/1.1\r\n".to_owned(), "text/html; charset=utf-8"),
    ] {
        let response = edge.say(&request);
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        for field in [
            "cache-control: no-store",
            "proxy-status: hotspare; error=http_request_error",
            &format!("content-type: {kind}"),
            &format!("content-length: {}", body.len()),
            "connection: close",
        ] {
            assert!(head.contains(&format!("\r\n{field}")), "{field} in {head}");
        }
    }
}

#[test]
fn a_handshake_that_does_not_come_is_ended_and_a_look_at_the_port_is_no_failure() {
    let (tls, _) = crate::harness::tls(&["h2", "http/1.1"]);
    let mut listener = Listener { tls: Some(tls), ..listener() };
    listener.limits.handshake_timeout = SHORT;
    let edge = Edge::start(listener);
    drop(edge.connect());
    edge.eventually("looked", |cells| cells.connections_accepted.get() == 1 && cells.connections_open.get() == 0);
    assert_eq!(edge.count(|cells| cells.handshakes_failed.get()), 0);
    assert_eq!(edge.connect().rest(), "");
    edge.eventually("late", |cells| cells.handshakes_failed.get() == 1 && cells.client_timeouts.get() == 1);
    edge.say("GET / HTTP/1.1\r\n\r\n");
    edge.eventually("failed", |cells| cells.handshakes_failed.get() == 2);
}
