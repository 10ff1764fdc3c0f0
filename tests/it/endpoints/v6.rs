//! Over IPv6: endpoints, probes, and what is told of a client.

use crate::harness::line::At;
use crate::harness::{Door, Endpoint, eventually};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A free port of ::1.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "local")]
async fn clients_endpoints_and_probes_may_all_use_ipv6() {
    let primary = Endpoint::start_at("main", At::Tcp("[::1]:0".parse().unwrap()), None).await;
    let listen = free();
    let listener = format!("[[listener]]\naddress = \"{listen}\"\n");
    let door = Door::builder().primary(&primary).backend("forwarded = \"both\"").rest(&listener).start().await;
    let mut client = TcpStream::connect(listen).await.unwrap();
    let asked = format!("GET / HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n");
    client.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("main"), "{answer}");
    let seen = &primary.seen()[0];
    assert_eq!(seen.field("host"), [listen.to_string()]);
    assert_eq!(seen.field("x-forwarded-for"), ["::1"]);
    assert_eq!(seen.field("x-forwarded-host"), [listen.to_string()]);
    assert_eq!(seen.field("forwarded"), [format!("for=\"[::1]\";proto=http;host=\"{listen}\"")]);
    eventually("it is probed", || !primary.probed_by().is_empty()).await;
    door.stop().await;
}
