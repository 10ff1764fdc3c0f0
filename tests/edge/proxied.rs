//! Connections that a trusted proxy makes: whose they are stands in the PROXY header before everything else, and without one that is
//! good they are closed.

use crate::harness::{Edge, LONG, Raw, SHORT, listener, run, tls};
use hotspare::config::{Limits, Listener, Proxies, ProxyProtocol};
use hotspare::telemetry::metrics::NotIntroduced;
use rustls::pki_types::ServerName;
use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

const V1: &str = "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\x02\x07\xc0\0\x02\x01\xdc\x04\x01\xbb\x04\0\0";
const REQUEST: &str = "GET /client HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A listener that only 127.0.0.1 may come to, with a header.
fn proxied() -> Listener {
    let trusted: Proxies = ["127.0.0.1/32".parse().unwrap()].into_iter().collect();
    Listener { proxy_protocol: ProxyProtocol::Require, trusted, ..listener() }
}

fn refused(edge: &Edge, cause: NotIntroduced) -> u64 {
    edge.count(|cells| cells.not_introduced[cause as usize].get())
}

/// All refusals, whatever for.
fn refusals(edge: &Edge) -> u64 {
    edge.count(|cells| cells.not_introduced.iter().map(|counter| counter.get()).sum())
}

fn send(client: &mut Raw, bytes: &[u8]) {
    client.stream.write_all(bytes).unwrap();
}

#[test]
fn the_client_is_whom_the_header_names_in_either_version() {
    let edge = Edge::start(proxied());
    for header in [V1.as_bytes(), V2] {
        let mut client = edge.connect();
        send(&mut client, &[header, REQUEST.as_bytes()].concat());
        let answer = client.rest();
        assert!(answer.ends_with("192.0.2.7:56324 None HTTP/1.1"), "{answer}");
    }
    let mut client = edge.connect();
    send(&mut client, b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 2\r\n");
    send(&mut client, REQUEST.as_bytes());
    assert!(client.rest().ends_with("192.0.2.7:1 None HTTP/1.1"));
    assert_eq!(refusals(&edge), 0);
}

#[test]
fn a_header_that_comes_byte_by_byte_is_one() {
    let edge = Edge::start(proxied());
    for header in [V1.as_bytes(), V2] {
        let mut client = edge.connect();
        client.stream.set_nodelay(true).unwrap();
        for byte in [header, REQUEST.as_bytes()].concat() {
            send(&mut client, &[byte]);
        }
        assert!(client.rest().ends_with("192.0.2.7:56324 None HTTP/1.1"));
    }
}

#[test]
fn what_follows_the_header_is_sniffed_as_ever() {
    let edge = Edge::start(proxied());
    let mut client = edge.connect();
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    send(&mut client, &[V2, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings].concat());
    client.until("\0\0\0\x04\x01\0\0\0\0"); // the acknowledgement of our settings: HTTP/2 is spoken
}

#[test]
fn a_connection_of_the_proxys_own_is_its_own() {
    let edge = Edge::start(proxied());
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\0"] {
        let mut client = edge.connect();
        send(&mut client, &[header, REQUEST.as_bytes()].concat());
        let answer = client.rest();
        assert!(answer.contains("\r\n\r\n127.0.0.1:"), "{answer}");
    }
}

#[test]
fn the_header_comes_before_tls_and_in_the_same_packet_too() {
    let (tls, client) = tls(&["http/1.1"]);
    let edge = Edge::start(Listener { tls: Some(tls), ..proxied() });
    let answer = run(async {
        let mut tcp = tokio::net::TcpStream::connect(edge.address).await.unwrap();
        tcp.write_all(V2).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, tcp).await.unwrap();
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert!(answer.ends_with("192.0.2.7:56324 Some(\"localhost\") HTTP/1.1"), "{answer}");
    // A check of the port: the proxy introduces itself and leaves. No handshake failed.
    let mut check = edge.connect();
    send(&mut check, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    check.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(check.rest(), "");
    // But one that goes on with something else has failed it.
    let mut other = edge.connect();
    send(&mut other, &[V1.as_bytes(), b"GET / HTTP/1.1\r\n\r\n"].concat());
    other.rest();
    edge.eventually("failed", |cells| cells.handshakes_failed.get() == 1);
}

#[test]
fn a_connection_without_a_good_header_is_closed_unheard_and_counted() {
    let edge = Edge::start(proxied());
    let mut long = b"\r\n\r\n\0\r\nQUIT\n\x20\0\xff\xff".to_vec();
    long.extend([0; 100]);
    for (bytes, cause) in [
        (REQUEST.as_bytes(), NotIntroduced::Missing),
        (b"\x16\x03\x01\x02\0", NotIntroduced::Missing),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 0x10 443\r\n", NotIntroduced::Malformed),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c", NotIntroduced::Malformed),
        (&long, NotIntroduced::TooLong),
    ] {
        let mut client = edge.connect();
        send(&mut client, bytes);
        edge.eventually("counted", |cells| cells.not_introduced[cause as usize].get() > 0);
        let answer = client.stream_end();
        assert_eq!(answer, b"", "{cause:?}");
    }
    let mut client = edge.connect();
    send(&mut client, &V2[..20]);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), "");
    assert_eq!(refused(&edge, NotIntroduced::Cut), 1);
    assert_eq!((refusals(&edge), edge.begun()), (6, 0));
    let mut silent = edge.connect();
    silent.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(silent.rest(), "");
    assert_eq!(refusals(&edge), 6, "whoever tests a port has done nothing wrong");
    edge.eventually("closed", |cells| cells.connections_open.get() == 0);
}

#[test]
fn nobody_but_a_trusted_proxy_may_say_who_they_are() {
    let trusted: Proxies = ["127.0.0.2/32".parse().unwrap()].into_iter().collect();
    let edge = Edge::start(Listener { trusted, ..proxied() });
    let mut client = edge.connect();
    let _maybe_closed = client.stream.write_all(&[V1.as_bytes(), REQUEST.as_bytes()].concat());
    assert_eq!(client.stream_end(), b"");
    assert_eq!((refused(&edge, NotIntroduced::Untrusted), refusals(&edge), edge.begun()), (1, 1, 0));
}

#[test]
fn where_no_header_is_required_none_is_understood() {
    let trusted: Proxies = ["127.0.0.1/32".parse().unwrap()].into_iter().collect();
    let edge = Edge::start(Listener { trusted, ..listener() });
    let answer = edge.say(&format!("{V1}{REQUEST}"));
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert_eq!(edge.begun(), 0);
}

#[test]
fn a_header_that_does_not_come_is_waited_for_no_longer_than_a_handshake() {
    let limits = Limits { handshake_timeout: SHORT, header_timeout: LONG, ..listener().limits };
    let (tls, _) = tls(&["http/1.1"]);
    for tls in [None, Some(tls)] {
        let edge = Edge::start(Listener { limits, tls, ..proxied() });
        for begun in [&b""[..], b"P", &V2[..27]] {
            let mut client = edge.connect();
            send(&mut client, begun);
            assert_eq!(client.rest(), "", "{begun:?}");
        }
        assert_eq!((refused(&edge, NotIntroduced::Late), refusals(&edge)), (3, 3));
        assert_eq!(edge.count(|cells| cells.client_timeouts.get()), 3);
    }
}
