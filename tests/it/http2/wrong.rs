//! Endpoints that do not speak what their pool's scheme says.

use super::endpoint::{Call, Endpoint, send};
use super::{LATER, before};
use crate::harness::endpoint::{Endpoint as Scripted, response};
use crate::harness::line::Issuer;
use crate::harness::{Act, Door, eventually};
use bytes::Bytes;
use hotspare::domain::{FailureKind, Health};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn error(reply: &http::Response<Bytes>) -> &str {
    reply.headers()["proxy-status"].to_str().unwrap()
}

#[tokio::test(flavor = "local")]
async fn one_that_speaks_http1_is_told_by_its_first_byte_and_nothing_is_sent_to_it() {
    let primary = Scripted::start("main").await;
    primary.set_otherwise(Act::WriteAndClose(response(400, &[("connection", "close")], b"what?")));
    let door = Door::builder()
        .workers(1)
        .primary(&primary)
        .fall(1_000)
        .failback(LATER)
        .backend("scheme = \"h2c\"")
        .start()
        .await;
    let reply = door.client().get("/").await;
    assert_eq!((reply.status().as_u16(), error(&reply)), (502, "hotspare; error=http_protocol_error"));
    assert!(door.failures(FailureKind::Malformed) > 0);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn its_probes_fail_and_writes_go_to_the_spare() {
    let primary = Scripted::start("main").await;
    primary.set_otherwise(Act::WriteAndClose(response(400, &[("connection", "close")], b"what?")));
    let spare = Endpoint::start(|call: Call| call.answer("spare")).await;
    let door = Door::builder().primary(&primary).secondary_at(spare.address).backend("scheme = \"h2c\"").start().await;
    for _ in 0..5 {
        assert_eq!(&door.client().post("/", "a line").await.body()[..], b"spare");
    }
    eventually("it is down", || matches!(door.health(0, 0), Health::Down(_))).await;
    assert!(matches!(door.health(1, 0), Health::Up { .. }));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn one_that_agrees_on_http1_over_tls_is_no_endpoint_of_that_pool() {
    let issuer = Issuer::new();
    for alpn in [Vec::new(), vec![b"http/1.1".to_vec()]] {
        let mut server = (*issuer.server("web.internal")).clone();
        server.alpn_protocols = alpn;
        let builder = h2::server::Builder::new();
        let primary = Endpoint::start_with(builder, Some(Arc::new(server)), |call: Call| call.answer("main")).await;
        let keys = "scheme = \"h2\", ca_file = \"ca.crt\", tls_name = \"web.internal\"";
        let door =
            Door::builder().workers(1).fall(1_000).failback(LATER).primary_at(primary.address).primary_keys(keys);
        let door = door.file("ca.crt", &issuer.pem()).start().await;
        let reply = door.client().get("/").await;
        assert_eq!(reply.status(), 502);
        assert!(error(&reply).starts_with("hotspare; error=tls_"), "{}", error(&reply));
        assert!(door.failures(FailureKind::Tls) > 0);
        assert_eq!(primary.connections() + primary.probes(), 0);
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn probes_of_grpc_go_over_tls_where_traffic_does() {
    let issuer = Issuer::new();
    let mut server = (*issuer.server("web.internal")).clone();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let asked = Arc::new(AtomicUsize::new(0));
    let told = asked.clone();
    let builder = h2::server::Builder::new();
    let primary = Endpoint::start_with(builder, Some(Arc::new(server)), move |mut call: Call| {
        told.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_eq!((call.path(), call.head.uri().scheme_str()), ("/grpc.health.v1.Health/Check", Some("https")));
            let back = call.begin(200, &[("content-type", "application/grpc")]);
            let trailers =
                http::HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), "0".parse().unwrap())]);
            send(back, Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]), Some(trailers)).await; // SERVING
        }
    })
    .await;
    let keys = "scheme = \"h2\", ca_file = \"ca.crt\", tls_name = \"web.internal\"";
    let door = Door::builder().primary_at(primary.address).primary_keys(keys).file("ca.crt", &issuer.pem());
    let door = door.without_probe_path().probe_keys("kind = \"grpc\"").start().await;
    eventually("it is asked", || asked.load(Ordering::SeqCst) > 3).await;
    assert!(matches!(door.health(0, 0), Health::Up { .. }));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_speaks_http2_alone_is_up_by_its_probes() {
    let primary = Endpoint::start(|call: Call| call.answer("main")).await;
    let door = before(&primary).start().await;
    eventually("it is probed", || primary.probes() > 3).await;
    assert!(matches!(door.health(0, 0), Health::Up { .. }));
    door.stop().await;
}
