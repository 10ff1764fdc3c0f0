//! TLS to endpoints that are as they should be: who is asked for, what is shown, what is kept.

use super::LATER;
use crate::harness::endpoint::{Seen, ok, response};
use crate::harness::line::{Good, Hello, Issuer};
use crate::harness::{Act, Door, Endpoint, PATIENCE, eventually};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::AsyncReadExt;

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap()
}

const NAMED: &str = "scheme = \"https\", ca_file = \"ca.crt\", tls_name = \"web.internal\"";

#[tokio::test(flavor = "local")]
async fn requests_and_probes_go_over_tls_to_whom_the_pool_names() {
    let issuer = Issuer::new();
    let primary = Endpoint::start_tls("main", issuer.server("web.internal")).await;
    let door = Door::builder().primary(&primary).primary_keys(NAMED).file("ca.crt", &issuer.pem()).start().await;
    let one = door.client().many().await;
    for _ in 0..5 {
        assert_eq!(&one.send(get("/")).await.unwrap().body()[..], b"main");
    }
    let hello = Hello {
        sni: Some("web.internal".to_owned()),
        alpn: Some("http/1.1".to_owned()),
        resumed: false,
        showed_certificate: false,
    };
    assert_eq!(primary.hellos(), std::slice::from_ref(&hello), "one connection, which is kept");
    assert_eq!(primary.seen().iter().map(Seen::line).collect::<Vec<_>>(), ["get / http/1.1"; 5]);
    eventually("it is probed again", || primary.probed_with().len() > 3).await;
    assert!(primary.probed_with().iter().all(|probe| *probe == hello), "and sees the certificate each time");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_without_another_name_must_be_whom_its_address_says() {
    let issuer = Issuer::new();
    let primary = Endpoint::start_tls("main", issuer.server("127.0.0.1")).await;
    let keys = "ca_file = \"ca.crt\"";
    let door = Door::builder()
        .primary(&primary)
        .primary_keys(keys)
        .backend("scheme = \"https\"")
        .file("ca.crt", &issuer.pem())
        .start()
        .await;
    assert_eq!(&door.client().get("/").await.body()[..], b"main");
    assert_eq!(primary.hellos()[0].sni, None, "an address is no name to tell");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn new_connections_of_traffic_resume_the_session() {
    let issuer = Issuer::new();
    let primary = Endpoint::start_tls("main", issuer.server("web.internal")).await;
    primary.set_otherwise(Act::WriteAndClose(response(200, &[("connection", "close")], b"main")));
    let door = Door::builder().primary(&primary).primary_keys(NAMED).file("ca.crt", &issuer.pem()).start().await;
    for _ in 0..10 {
        assert_eq!(&door.client().get("/").await.body()[..], b"main");
    }
    let resumed: Vec<bool> = primary.hellos().iter().map(|hello| hello.resumed).collect();
    assert_eq!(resumed.len(), 10);
    assert!(!resumed[0] && resumed[1..].iter().all(|resumed| *resumed), "{resumed:?}");
    assert!(primary.probed_with().iter().all(|probe| !probe.resumed));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_that_asks_who_we_are_is_shown_our_certificate_by_probes_too() {
    let issuer = Issuer::new();
    let primary = Endpoint::start_tls("main", issuer.server_for("web.internal", Good::Long, Some(&issuer))).await;
    let (certificate, key) = issuer.issue("hotspare.internal", Good::Long);
    let mut door = Door::builder()
        .primary(&primary)
        .primary_keys(NAMED)
        .file("ca.crt", &issuer.pem())
        .file("ours.pem", &certificate)
        .file("ours.key", &key)
        .start()
        .await;
    let refused = door.client().get("/").await;
    assert_eq!((refused.status().as_u16(), super::error(&refused)), (502, "hotspare; error=tls_alert_received"));
    assert_eq!((primary.seen().len(), primary.probed_with().len()), (0, 0));
    let with = format!("{NAMED}, client_cert = {{ cert = \"ours.pem\", key = \"ours.key\" }}");
    door.reload(|built| built.set_primary_keys(&with)).await;
    assert_eq!(&door.client().get("/").await.body()[..], b"main");
    eventually("it is probed", || !primary.probed_with().is_empty()).await;
    assert!(primary.hellos().iter().chain(&primary.probed_with()).all(|hello| hello.showed_certificate));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_reload_that_believes_others_leaves_no_connection_to_those_believed_before() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let primary = Endpoint::start_tls("main", issuer.server("web.internal")).await;
    let mut door = Door::builder()
        .primary(&primary)
        .primary_keys(NAMED)
        .backend(super::ONCE)
        .fall(1_000)
        .failback(LATER)
        .file("ca.crt", &issuer.pem())
        .start()
        .await;
    let one = door.client().many().await;
    assert_eq!(one.send(get("/")).await.unwrap().status(), 200);
    door.reload(|built| built.set_file("unrelated.txt", "")).await;
    assert_eq!(one.send(get("/")).await.unwrap().status(), 200);
    assert_eq!(primary.connections(), 1, "a reload that changes nothing of it keeps it");
    door.reload(|built| built.set_file("ca.crt", &other.pem())).await;
    let refused = one.send(get("/")).await.unwrap();
    assert_eq!((refused.status().as_u16(), super::error(&refused)), (502, "hotspare; error=tls_certificate_error"));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_proxy_header_goes_before_tls() {
    let issuer = Issuer::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = Door::builder()
        .primary_at(listener.local_addr().unwrap())
        .primary_keys(NAMED)
        .backend("proxy_protocol = \"v1\"\ntimeouts = { connect = \"20s\" }")
        .file("ca.crt", &issuer.pem());
    let begun = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut begun = [0; 64];
            let mut length = 0;
            while !begun[..length].contains(&b'\n') || begun[length - 1] == b'\n' {
                length += stream.read(&mut begun[length..]).await.unwrap();
            }
            let line = begun.iter().position(|byte| *byte == b'\n').unwrap();
            if begun.starts_with(b"PROXY TCP4 ") {
                return begun[line + 1];
            }
        }
    });
    let door = door.start().await;
    let client = door.client();
    let asking = tokio::task::spawn_local(async move { client.get("/").await });
    let begun = tokio::time::timeout(PATIENCE, begun).await.expect("a connection with a header");
    assert_eq!(begun.unwrap(), 0x16, "a handshake");
    asking.await.unwrap();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn upgrades_and_uploads_pass_over_tls() {
    let issuer = Issuer::new();
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let primary = Endpoint::start_tls("main", issuer.server("web.internal")).await;
    let primary = primary.on("/echo", Act::Echo(agreed.to_vec())).on("/upload", ok("taken"));
    let door = Door::builder().primary(&primary).primary_keys(NAMED).file("ca.crt", &issuer.pem()).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await;
    raw.read_until("\r\n\r\n").await;
    raw.write("there and back").await;
    assert_eq!(raw.read_until("back").await, "there and back");
    let large = "0123456789".repeat(300_000);
    assert_eq!(&door.client().post("/upload", &large).await.body()[..], b"taken");
    assert_eq!(primary.seen().last().unwrap().body, large.as_bytes());
    door.stop().await;
}
