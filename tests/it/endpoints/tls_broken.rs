//! TLS to endpoints that are not whom they should be, or break off.

use super::{LATER, ONCE, PATIENT, error};
use crate::harness::client::request;
use crate::harness::door::Builder;
use crate::harness::endpoint::response;
use crate::harness::line::{Good, Issuer};
use crate::harness::{Act, Door, Endpoint};
use hotspare::domain::{FailureKind, Health};
use rustls::ServerConfig;
use std::sync::Arc;

const TLS: &str = "scheme = \"https\", ca_file = \"ca.crt\", tls_name = \"web.internal\"";

/// Each certificate that must not be believed.
fn wrong(issuer: &Issuer) -> [(&'static str, Arc<ServerConfig>); 3] {
    [
        ("for another name", issuer.server("shop.internal")),
        ("expired", issuer.server_for("web.internal", Good::Once, None)),
        ("a stranger's", Issuer::new().server("web.internal")),
    ]
}

/// A door whose primary has TLS, and where failures decide nothing.
fn patient(issuer: &Issuer) -> Builder {
    with_tls(issuer).backend(PATIENT).fall(1_000).failback(LATER)
}

fn with_tls(issuer: &Issuer) -> Builder {
    Door::builder().primary_keys(TLS).file("ca.crt", &issuer.pem())
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_with_a_wrong_certificate_gets_no_request_and_the_client_is_told() {
    let issuer = Issuer::new();
    for (what, server) in wrong(&issuer) {
        let primary = Endpoint::start_tls("main", server).await;
        let door = patient(&issuer).primary(&primary).backend(ONCE).start().await;
        for (count, refused) in [door.client().get("/").await, door.client().post("/", "x").await].iter().enumerate() {
            assert_eq!(
                (refused.status().as_u16(), error(refused)),
                (502, "hotspare; error=tls_certificate_error"),
                "{what}"
            );
            assert!(door.failures(FailureKind::Tls) > count as u64, "{what}");
        }
        assert_eq!(primary.seen().len() + primary.probed_with().len(), 0, "{what}");
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn reads_and_writes_go_on_to_an_endpoint_whose_certificate_is_right() {
    let issuer = Issuer::new();
    for (what, server) in wrong(&issuer) {
        let mut bad = Endpoint::start_tls("bad", issuer.server("web.internal")).await;
        let good = Endpoint::start_tls("good", issuer.server("web.internal")).await;
        let door = patient(&issuer).primary(&bad).primary(&good).start().await;
        bad.secure(server).await;
        for _ in 0..10 {
            assert_eq!(&door.client().get("/").await.body()[..], b"good", "{what}");
            assert_eq!(&door.client().post("/", "x").await.body()[..], b"good", "{what}");
        }
        assert!(door.failures(FailureKind::Tls) > 0, "{what}");
        assert_eq!((good.count("post"), bad.seen().len()), (10, 0), "{what}");
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn probes_take_an_endpoint_out_whose_certificate_is_wrong() {
    let issuer = Issuer::new();
    let mut primary = Endpoint::start_tls("main", issuer.server("web.internal")).await;
    let spare = Endpoint::start("spare").await;
    let door = with_tls(&issuer).primary(&primary).secondary(&spare).start().await;
    assert_eq!(&door.client().get("/").await.body()[..], b"main");
    primary.secure(issuer.server_for("web.internal", Good::Once, None)).await;
    door.serves_from("spare").await;
    assert!(matches!(door.health(0, 0), Health::Down(_)));
    assert_eq!(&door.client().get("/").await.body()[..], b"spare", "and a pool without TLS beside it is as it was");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_speaks_no_tls_is_told_from_a_wrong_certificate() {
    let issuer = Issuer::new();
    let greets = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = greets.local_addr().unwrap();
    let running = tokio::spawn(async move {
        loop {
            let (stream, _) = greets.accept().await.unwrap();
            let _said = stream.try_write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            tokio::spawn(async move {
                let _open = stream;
                std::future::pending::<()>().await;
            });
        }
    });
    let door = with_tls(&issuer).primary_at(address).backend(ONCE).start().await;
    let refused = door.client().get("/").await;
    assert_eq!((refused.status().as_u16(), error(&refused)), (502, "hotspare; error=tls_protocol_error"));
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_handshake_counts_within_the_time_for_connecting() {
    let issuer = Issuer::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // the kernel connects, nobody answers
    let door = with_tls(&issuer)
        .primary_at(silent.local_addr().unwrap())
        .backend(ONCE)
        .backend("timeouts = { connect = \"200ms\", head = \"1h\" }")
        .start()
        .await;
    let late = door.client().get("/").await;
    assert_eq!((late.status().as_u16(), error(&late)), (504, "hotspare; error=connection_timeout"));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_body_that_ends_with_the_connection_is_whole_only_if_tls_says_so() {
    let issuer = Issuer::new();
    let unbounded = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it".to_vec();
    let primary = Endpoint::start_tls("main", issuer.server("web.internal"))
        .await
        .on("/whole", Act::WriteAndClose(unbounded.clone()))
        .on("/cut", Act::WriteAndCut(unbounded));
    let door = with_tls(&issuer).primary(&primary).backend(ONCE).start().await;
    assert_eq!(&door.client().get("/whole").await.body()[..], b"all of it");
    assert_eq!(door.failures(FailureKind::Cut), 0);
    let sent = door.client().send(request("GET", "/cut", "")).await;
    assert!(sent.is_err(), "anybody on the way could have cut it: {sent:?}");
    assert_eq!(door.failures(FailureKind::Cut), 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_answer_before_the_upload_is_whole_reaches_the_client_over_tls_too() {
    let issuer = Issuer::new();
    let sorry = response(413, &[("connection", "close")], b"too much");
    let primary = Endpoint::start_tls("main", issuer.server("web.internal"))
        .await
        .on("/", Act::AtHead(Box::new(Act::WriteAndReset(sorry))));
    let door = with_tls(&issuer).primary(&primary).start().await;
    for _ in 0..20 {
        let sent = door.client().send(request("POST", "/", &"x".repeat(3_000_000))).await;
        // A client that is cut while it sends may miss the answer; one that is answered gets the endpoint's.
        if let Ok(answer) = sent {
            assert_eq!(
                (answer.status().as_u16(), &answer.body()[..]),
                (413, &b"too much"[..]),
                "{:?}",
                answer.headers()
            );
        }
    }
    door.stop().await;
}
