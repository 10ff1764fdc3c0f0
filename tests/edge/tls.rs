//! TLS: which protocol is picked, what the handler learns of it.

use crate::harness::{Edge, listener, run, tls};
use hotspare::config::{Listener, Protocols};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

#[test]
fn a_client_without_alpn_speaks_http_1_1_and_its_server_name_is_known() {
    let (tls, client) = tls(&["h2", "http/1.1"]);
    let edge = Edge::start(Listener { tls: Some(tls), ..listener() });
    let answer = run(async {
        let tcp = tokio::net::TcpStream::connect(edge.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, tcp).await.unwrap();
        stream.write_all(b"GET /client HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("TLS is closed in order, too");
        answer
    });
    assert!(answer.ends_with(" Some(\"localhost\") HTTP/1.1"), "{answer}");
    assert_eq!(edge.count(|cells| cells.handshakes.get()), 1);
}

#[test]
fn alpn_picks_the_protocol_and_a_disabled_one_is_not_spoken() {
    for (offered, protocols, expected) in [
        ("h2", Protocols { http1: true, h2: true }, Some("h2")),
        ("http/1.1", Protocols { http1: true, h2: true }, Some("http/1.1")),
        ("h2", Protocols { http1: true, h2: false }, None),
    ] {
        let alpn: &[&str] = if protocols.h2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
        let (tls, mut client) = tls(alpn);
        client.alpn_protocols = vec![offered.into()];
        let edge = Edge::start(Listener { tls: Some(tls), protocols, ..listener() });
        let picked = run(async {
            let tcp = tokio::net::TcpStream::connect(edge.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(Arc::new(client)).connect(name, tcp).await.ok()?;
            stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap())
        });
        assert_eq!(picked.as_deref(), expected, "{offered} {protocols:?}");
    }
}
