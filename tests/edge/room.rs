//! How many connections there may be: in all, and of one client.

use crate::harness::{DEADLINE, Edge, LONG, listener};
use hotspare::edge::Order;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Whether it serves a request on that connection.
fn serves(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut byte = [0];
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    sent.is_ok() && matches!(stream.read(&mut byte), Ok(1))
}

/// Asks, and is answered by nobody for as long as a test can wait for nothing.
fn gets_nothing(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let nothing = stream.read(&mut [0]).unwrap_err().kind();
    assert!(matches!(nothing, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
}

#[test]
fn a_client_with_as_many_as_one_may_have_gets_no_more_until_one_has_gone() {
    let edge = Edge::with_room(listener(), 1_000, 3);
    let mut held: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(edge.address).unwrap()).collect();
    assert!(held.iter_mut().all(serves));
    assert!(!serves(&mut TcpStream::connect(edge.address).unwrap()));
    edge.eventually("counted", |cells| cells.connections_refused.get() == 1);
    assert!(held.iter_mut().all(serves), "those that it has are served on");
    held.pop();
    edge.eventually("gone", |cells| cells.connections_open.get() == 2);
    assert!(serves(&mut TcpStream::connect(edge.address).unwrap()));
}

#[test]
fn when_all_are_taken_new_clients_wait_until_others_have_gone() {
    let edge = Edge::with_room(listener(), 4, 1_000);
    // They have begun a request, so that none of them idles.
    let held: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(edge.address).unwrap();
            stream.write_all(b"GET / HT").unwrap();
            stream
        })
        .collect();
    edge.eventually("taken", |cells| cells.connections_open.get() == 4);
    let mut waiting = TcpStream::connect(edge.address).unwrap();
    gets_nothing(&mut waiting);
    drop(held);
    assert!(serves(&mut waiting));
}

#[test]
fn when_it_is_crowded_those_that_idle_make_room() {
    let mut patient = listener();
    (patient.limits.idle_timeout, patient.limits.header_timeout) = (LONG, LONG);
    let edge = Edge::with_room(patient, 10, 1_000);
    let mut idle: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(edge.address).unwrap()).collect();
    assert!(idle.iter_mut().all(serves));
    // Nothing happens as long as there is room.
    assert!(idle.iter_mut().all(serves));
    let fresh = TcpStream::connect(edge.address).unwrap();
    edge.eventually("all idle ones closed", |cells| cells.connections_open.get() == 0);
    drop(fresh);
}

#[test]
fn a_listener_that_goes_while_all_are_taken_serves_those_who_wait_once_there_is_room() {
    let edge = Edge::with_room(listener(), 2, 1_000);
    let held: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(edge.address).unwrap();
            stream.write_all(b"GET / HT").unwrap();
            stream
        })
        .collect();
    edge.eventually("taken", |cells| cells.connections_open.get() == 2);
    let mut waiting: Vec<TcpStream> = (0..6).map(|_| TcpStream::connect(edge.address).unwrap()).collect();
    edge.order(Order::Unlisten { address: edge.address.into() });
    waiting.iter_mut().for_each(gets_nothing);
    assert_eq!(edge.count(|cells| cells.connections_accepted.get()), 2, "no more than there is room for");
    drop(held);
    for stream in &mut waiting {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 1, "answered, though its listener is gone");
    }
}
