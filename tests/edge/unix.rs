//! Connections over Unix sockets are connections like any others, whose clients have no address.

use crate::harness::{DEADLINE, Edge, SHORT, listener};
use hotspare::config::{Address, Listener};
use hotspare::edge::Order;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// A listener on a socket in a directory of its own.
fn unix() -> (tempfile::TempDir, PathBuf, Listener) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("http.sock");
    let listener = Listener { address: Address::Unix(path.clone().into()), ..listener() };
    (directory, path, listener)
}

/// A client that has asked for that.
fn ask(path: &PathBuf, what: &str) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {what} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    stream
}

fn answer(mut stream: UnixStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_waits_in_the_queue_of_a_unix_socket_that_goes_is_served() {
    let (_directory, path, listener) = unix();
    let mut edge = Edge::bound(listener);
    let early: Vec<_> = (0..20).map(|_| ask(&path, "/client")).collect();
    edge.listen(); // its owner has let go of it: nobody can connect any more
    assert!(!path.exists());
    edge.order(Order::Unlisten { address: edge.at.clone() });
    for stream in early {
        let answer = answer(stream);
        assert!(answer.ends_with("\r\n\r\nnobody None HTTP/1.1"), "{answer}");
    }
    edge.eventually("all are closed", |cells| cells.connections_open.get() == 0);
    assert_eq!(edge.count(|cells| cells.connections_accepted.get()), 20);
}

#[test]
fn a_reader_at_a_unix_socket_that_takes_nothing_is_dropped() {
    let (_directory, path, mut listener) = unix();
    listener.limits.send_timeout = SHORT;
    let mut edge = Edge::bound(listener);
    let _reader = ask(&path, "/big");
    edge.listen();
    edge.eventually("dropped", |cells| cells.client_timeouts.get() == 1 && cells.connections_open.get() == 0);
}
