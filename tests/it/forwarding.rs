//! What reaches the endpoint of a request, and what reaches the client of a response.

use crate::harness::client::request;
use crate::harness::endpoint::{ok, response};
use crate::harness::{Act, Door, Endpoint, eventually};
use bytes::Bytes;
use hotspare::domain::FailureKind;
use http_body_util::Full;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "local")]
async fn a_page_comes_from_the_primary_over_both_versions() {
    let primary = Endpoint::start("main").await.on("/page", ok("the page"));
    let door = Door::builder().primary(&primary).start().await;
    for sent in [
        door.client().send(request("GET", "/page", "")).await,
        door.client().send_h2(http::Request::get("https://localhost/page").body(Full::default()).unwrap()).await,
    ] {
        let page = sent.unwrap();
        assert_eq!((page.status().as_u16(), &page.body()[..]), (200, &b"the page"[..]));
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn the_endpoint_learns_who_asked_and_for_what() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    let mut asked = request("GET", "/a?b=c", "");
    asked.headers_mut().insert("x-forwarded-for", "10.9.8.7".parse().unwrap());
    asked.headers_mut().insert("te", "trailers".parse().unwrap());
    door.client().send(asked).await.unwrap();
    let asked = http::Request::get("https://localhost/h2").body(Full::default()).unwrap();
    door.client().send_h2(asked).await.unwrap();
    for (seen, line) in primary.seen().iter().zip(["get /a?b=c http/1.1", "get /h2 http/1.1"]) {
        assert_eq!(seen.line(), line);
        assert_eq!(seen.field("host"), ["localhost"]);
        assert_eq!(seen.field("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(seen.field("x-forwarded-proto"), ["https"]);
        assert_eq!(seen.field("x-forwarded-host"), ["localhost"]);
        assert_eq!(seen.field("te"), [""; 0]);
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn bodies_of_any_size_pass_both_ways() {
    let large = "x".repeat(3_000_000);
    let primary = Endpoint::start("main").await.on("/large", ok(&large));
    let door = Door::builder().primary(&primary).start().await;
    assert_eq!(door.client().get("/large").await.body().len(), large.len());
    door.client().post("/upload", &large).await;
    assert_eq!(primary.seen().last().unwrap().body.len(), large.len());
    eventually("the bytes are counted", || {
        door.count(|cells| cells.bytes_in.get()) == 3_000_000 && door.count(|cells| cells.bytes_out.get()) > 3_000_000
    })
    .await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_body_without_length_is_chunked_to_the_endpoint() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n").await;
    raw.read_until("main").await;
    let seen = &primary.seen()[0];
    assert_eq!(seen.body, b"hello");
    assert_eq!(seen.field("transfer-encoding"), ["chunked"]);
    assert_eq!(seen.field("content-length"), [""; 0]);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_concerns_one_connection_does_not_pass() {
    let fields =
        [("connection", "keep-alive, x-inner"), ("keep-alive", "timeout=5"), ("x-inner", "1"), ("x-kept", "2")];
    let primary = Endpoint::start("main").await.on("/", Act::Write(response(200, &fields, b"")));
    let door = Door::builder().primary(&primary).start().await;
    let page = door.client().get("/").await;
    assert_eq!(page.headers()["x-kept"], "2");
    for name in ["connection", "keep-alive", "x-inner"] {
        assert!(!page.headers().contains_key(name), "{name}");
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_head_request_keeps_the_length_it_asked_about() {
    let head = Act::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n".to_vec());
    let primary = Endpoint::start("main").await.on("/", head);
    let door = Door::builder().primary(&primary).start().await;
    let page = door.client().send(request("HEAD", "/", "")).await.unwrap();
    assert_eq!(page.headers()["content-length"], "1234");
    assert!(page.body().is_empty());
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_cut_body_is_cut_for_the_client_too() {
    let cut = Act::WriteAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this".to_vec());
    let chunks = Act::WriteAndClose(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec());
    let primary = Endpoint::start("main").await.on("/cut", cut).on("/chunks", chunks);
    let door = Door::builder().primary(&primary).backend("held = false").start().await;
    for path in ["/cut", "/chunks"] {
        assert!(door.client().send(request("GET", path, "")).await.is_err(), "{path} over HTTP/1.1");
        let asked = http::Request::get(format!("https://localhost{path}")).body(Full::<Bytes>::default()).unwrap();
        assert!(door.client().send_h2(asked).await.is_err(), "{path} over HTTP/2");
    }
    eventually("four cuts are counted", || door.failures(FailureKind::Cut) == 4).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn connections_to_endpoints_are_kept() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    for _ in 0..20 {
        raw.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        raw.read_until("main").await;
    }
    assert!(primary.connections() <= 2, "{} connections for 20 requests", primary.connections());
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_that_goes_away_cancels_the_attempt() {
    let primary = Endpoint::start("main").await.on("/never", Act::Silence);
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    eventually("the request is in flight", || door.in_flight() == 1).await;
    drop(raw);
    eventually("it is not any more", || door.in_flight() == 0).await;
    let failures: u64 = FailureKind::ALL.into_iter().map(|kind| door.failures(kind)).sum();
    assert_eq!(failures, 0, "a client going away is no evidence");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_body_too_large_for_its_site_is_refused_announced_or_not() {
    let primary = Endpoint::start("main").await;
    let site = "[[site]]\nhosts = [\"*\"]\nbackend = \"sites\"\nmax_body = \"1KiB\"\n";
    let door = Door::builder().primary(&primary).rest(site).start().await;
    let announced = door.client().send(request("POST", "/", &"x".repeat(2_000))).await.unwrap();
    assert_eq!(announced.status(), 413);
    let mut raw = door.client().raw().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    raw.write(format!("7d0\r\n{}\r\n", "x".repeat(2_000))).await;
    assert!(raw.read_until("</html>").await.starts_with("HTTP/1.1 413 "));
    assert_eq!(door.client().post("/", "small").await.status(), 200);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_body_that_does_not_come_ends_in_408() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).listener(r#"limits = { body_idle_timeout = "200ms" }"#).start().await;
    let mut raw = door.client().raw().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert!(raw.read_until("</html>").await.starts_with("HTTP/1.1 408 "));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_body_that_drips_ends_in_408_where_a_rate_is_asked_for() {
    for (min_rate, status) in [("1KiB", "HTTP/1.1 408 "), ("0B", "HTTP/1.1 200 ")] {
        let primary = Endpoint::start("main").await;
        let limits = format!("limits = {{ body_idle_timeout = \"1s\", min_rate = \"{min_rate}\" }}");
        let door = Door::builder().primary(&primary).listener(&limits).start().await;
        let mut raw = door.client().raw().await;
        raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n").await;
        // Four seconds of bytes, each long before the client would count as silent.
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if raw.0.write_all(b"x").await.is_err() || raw.0.flush().await.is_err() {
                break;
            }
        }
        let answer = raw.read_until("\r\n\r\n").await;
        assert!(answer.starts_with(status), "{min_rate}: {answer}");
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn an_upload_is_answered_before_it_is_whole() {
    let early = Act::After(Duration::ZERO, Box::new(ok("early")));
    let primary = Endpoint::start("main").await.on("/", early);
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    raw.write("hello").await;
    assert!(raw.read_until("early").await.contains("200 OK") || primary.count("post") == 1);
    door.stop().await;
}
