//! How many connections there may be: in all, and of one client.

use crate::harness::{DEADLINE, Edge, LONG, listener};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Whether it serves a request on that connection.
fn serves(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut byte = [0];
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    sent.is_ok() && matches!(stream.read(&mut byte), Ok(1))
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
    waiting.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    waiting.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let mut byte = [0];
    let nothing = waiting.read(&mut byte).unwrap_err().kind();
    assert!(matches!(nothing, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    drop(held);
    waiting.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(waiting.read(&mut byte).unwrap(), 1);
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
