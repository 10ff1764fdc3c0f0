//! Many requests on few connections.

use super::before;
use super::endpoint::{Call, Endpoint, send};
use crate::harness::client::request;
use crate::harness::line::Issuer;
use crate::harness::{Door, PATIENCE, eventually};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::Semaphore;

const AT_ONCE: usize = 50;

fn get(path: &str) -> http::Request<http_body_util::Full<Bytes>> {
    request("GET", &format!("https://localhost{path}"), "")
}

/// Answers no request before so many are there.
fn when_all_are_there(count: usize) -> impl Fn(Call) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    let (here, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    move |call| {
        let (here, go) = (here.clone(), go.clone());
        Box::pin(async move {
            here.add_permits(1);
            if here.available_permits() == count {
                go.add_permits(count);
            }
            go.acquire().await.unwrap().forget();
            let path = call.path().to_owned();
            call.answer(path).await;
        })
    }
}

#[tokio::test(flavor = "local")]
async fn requests_at_the_same_time_share_one_connection() {
    let primary = Endpoint::start(when_all_are_there(AT_ONCE)).await;
    let door = before(&primary).start().await;
    let many = door.client().many().await;
    let sent = (0..AT_ONCE).map(|number| many.send(get(&format!("/{number}"))));
    for (number, response) in futures_util::future::join_all(sent).await.into_iter().enumerate() {
        assert_eq!(response.unwrap().body(), &format!("/{number}"), "each its own answer");
    }
    assert_eq!((primary.connections(), primary.most_at_once()), (1, AT_ONCE));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn requests_one_after_the_other_share_it_too_and_a_write_does() {
    let primary = Endpoint::start(|call: Call| call.answer("main")).await;
    let door = before(&primary).start().await;
    for _ in 0..10 {
        assert_eq!(&door.client().get("/").await.body()[..], b"main");
        assert_eq!(&door.client().post("/", "a line").await.body()[..], b"main");
    }
    assert_eq!(primary.connections(), 1);
    eventually("it is probed again, by HTTP/2, which is all that it speaks", || primary.probes() > 3).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn over_tls_http2_is_what_is_agreed_on() {
    let issuer = Issuer::new();
    let mut server = (*issuer.server("web.internal")).clone();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let builder = h2::server::Builder::new();
    let primary = Endpoint::start_with(builder, Some(Arc::new(server)), when_all_are_there(AT_ONCE)).await;
    let keys = "scheme = \"h2\", ca_file = \"ca.crt\", tls_name = \"web.internal\"";
    let door = Door::builder().workers(1).primary_at(primary.address).primary_keys(keys);
    let door = door.file("ca.crt", &issuer.pem()).start().await;
    let many = door.client().many().await;
    let sent = futures_util::future::join_all((0..AT_ONCE).map(|_| many.send(get("/")))).await;
    assert!(sent.into_iter().all(|response| response.unwrap().status() == 200));
    assert_eq!((primary.connections(), primary.most_at_once()), (1, AT_ONCE));
    eventually("it is probed again", || primary.probes() > 3).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn no_connection_carries_more_requests_at_once_than_the_endpoint_allows() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(3);
    let primary = Endpoint::start_with(builder, None, when_all_are_there(12)).await;
    let door = before(&primary).backend("retry = false").start().await;
    let many = door.client().many().await;
    let sent = futures_util::future::join_all((0..12).map(|_| many.send(get("/")))).await;
    assert!(sent.into_iter().all(|response| response.unwrap().status() == 200));
    assert_eq!(primary.most_at_once(), 3);
    assert!((4..=12).contains(&primary.connections()), "{} connections", primary.connections());
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_that_takes_nothing_stalls_no_other_on_the_connection() {
    const LARGE: usize = 2 << 20;
    let primary = Endpoint::start(|call: Call| async move {
        let body = if call.path().starts_with("/large") { vec![b'x'; LARGE] } else { b"small".to_vec() };
        call.answer(body).await;
    })
    .await;
    let door = before(&primary).start().await;
    let lazy = door.client().many_without_bodies().await;
    let held = futures_util::future::join_all((0..60).map(|_| lazy.head(get("/large")))).await;
    let many = door.client().many().await;
    for _ in 0..20 {
        assert_eq!(many.send(get("/large")).await.unwrap().body().len(), LARGE);
    }
    assert_eq!(primary.connections(), 1, "on the very connection whose other responses nobody takes");
    drop(held);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn large_bodies_pass_both_ways_at_the_same_time() {
    const LARGE: usize = 16 << 20;
    let primary = Endpoint::start(|mut call: Call| async move {
        let mut back = call.begin(200, &[]);
        while let Some(piece) = call.body.data().await {
            let piece = piece.unwrap();
            call.body.flow_control().release_capacity(piece.len()).unwrap();
            let mut rest = piece;
            while !rest.is_empty() {
                back.reserve_capacity(rest.len());
                let capacity = std::future::poll_fn(|context| back.poll_capacity(context)).await.unwrap().unwrap();
                back.send_data(rest.split_to(capacity.min(rest.len())), false).unwrap();
            }
        }
        send(back, Bytes::new(), None).await;
    })
    .await;
    let door = before(&primary).start().await;
    let many = door.client().many().await;
    let body: Vec<u8> = (0..=250).cycle().take(LARGE).collect();
    let post = http::Request::post("https://localhost/").body(http_body_util::Full::new(Bytes::from(body.clone())));
    let back = tokio::time::timeout(PATIENCE, many.head(post.unwrap()).await.into_body().collect()).await;
    assert!(back.expect("in time").unwrap().to_bytes() == body, "byte for byte");
    door.stop().await;
}
