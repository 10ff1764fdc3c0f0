//! The corners of HTTP: what differs between its versions, and what a message may be besides a head and a body.

use crate::harness::client::{Version, request};
use crate::harness::endpoint::{ok, response};
use crate::harness::{Act, Door, Endpoint, eventually};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

fn h2(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("https://localhost{path}"))
}

fn none() -> Full<Bytes> {
    Full::default()
}

#[tokio::test(flavor = "local")]
async fn answers_without_a_body_end_where_they_end() {
    let head = |text: &str| Act::Write(format!("HTTP/1.1 {text}\r\n\r\n").into_bytes());
    let primary = Endpoint::start("main")
        .await
        .on("/204", head("204 No Content"))
        .on("/304", head("304 Not Modified\r\netag: \"x\"\r\ncontent-length: 1234"))
        .on(
            "/103",
            Act::Write([&b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"[..], &response(200, &[], b"late")].concat()),
        );
    let door = Door::builder().primary(&primary).start().await;
    for (path, status, body) in [("/204", 204, ""), ("/304", 304, ""), ("/103", 200, "late")] {
        for sent in [
            door.client().send(request("GET", path, "")).await,
            door.client().send_h2(h2("GET", path).body(none()).unwrap()).await,
        ] {
            let page = sent.unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!((page.status().as_u16(), &page.body()[..]), (status, body.as_bytes()), "{path}");
            assert!(status != 204 || !page.headers().contains_key("content-length"), "{path}");
        }
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn options_for_the_server_itself_passes() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(raw.read_until("main").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(primary.seen()[0].line(), "options * http/1.1");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn http2_names_its_host_once_or_twice_the_same() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    for (host, status) in [("localhost", 200), ("other.example", 400)] {
        let asked = h2("GET", "/").header("host", host).body(none()).unwrap();
        assert_eq!(door.client().send_h2(asked).await.unwrap().status(), status, "{host}");
    }
    assert_eq!(primary.seen()[0].field("host"), ["localhost"]);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn field_values_past_ascii_pass_as_they_are() {
    let primary = Endpoint::start("main")
        .await
        .on("/", Act::Write(b"HTTP/1.1 200 OK\r\nx-name: caf\xe9\r\ncontent-length: 4\r\n\r\npage".to_vec()));
    let door = Door::builder().primary(&primary).start().await;
    let mut asked = request("GET", "/", "");
    asked.headers_mut().insert("x-name", http::HeaderValue::from_bytes(b"\xc3\xa9").unwrap());
    let page = door.client().send(asked).await.unwrap();
    assert_eq!(page.headers()["x-name"].as_bytes(), b"caf\xe9");
    assert_eq!(primary.seen()[0].field("x-name"), ["\u{e9}"]);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_connection_whose_upload_still_runs_carries_no_other_request() {
    let primary = Endpoint::start("main").await.on("/early", Act::AtHead(Box::new(ok("early"))));
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 46\r\n\r\n").await;
    assert!(raw.read_until("early").await.starts_with("HTTP/1.1 200 "));
    // Many connections, so that the same worker is asked.
    for _ in 0..10 {
        assert_eq!(&door.client().get("/").await.body()[..], b"main");
    }
    // What is left of the body looks like a request; it must not become one.
    raw.write("GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n1234").await;
    for _ in 0..10 {
        assert_eq!(&door.client().get("/").await.body()[..], b"main");
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_answer_that_nobody_asked_for_is_nobodys() {
    let two = [response(200, &[], b"first"), response(200, &[], b"stray")].concat();
    let primary = Endpoint::start("main").await.on("/two", Act::Write(two));
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    for _ in 0..50 {
        raw.write("GET /two HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let answers = raw.read_until("main").await;
        assert!(answers.contains("first") && !answers.contains("stray"), "{answers}");
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_upload_that_breaks_off_has_no_clean_end_at_the_endpoint() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("POST /cut HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    eventually("it is in flight", || door.in_flight() == 1).await;
    drop(raw);
    eventually("it is over", || door.in_flight() == 0).await;
    assert_eq!(primary.count("post /cut"), 0, "the endpoint never had all of it");
    assert_eq!(&door.client().get("/").await.body()[..], b"main");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn grpc_is_told_in_its_own_words() {
    let mut primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    primary.kill().await;
    let asked = h2("POST", "/echo.Echo/Say").header("content-type", "application/grpc").header("te", "trailers");
    let reply = door.client().send_h2(asked.body(none()).unwrap()).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(
        (&reply.headers()["grpc-status"], &reply.headers()["content-type"]),
        (&"14".parse().unwrap(), &"application/grpc".parse().unwrap())
    );
    assert!(reply.body().is_empty());
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_cookie_that_http2_sends_in_pieces_reaches_the_endpoint_in_one() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    let asked = h2("GET", "/").header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c=3");
    door.client().send_h2(asked.body(none()).unwrap()).await.unwrap();
    assert_eq!(primary.seen()[0].field("cookie"), ["a=1; b=2; c=3"]);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_of_http_1_0_is_answered_on_in_http_1_1() {
    let old = Act::WriteAndClose(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nold page".to_vec());
    let primary = Endpoint::start("main").await.on("/old", old);
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET /old HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let old = raw.read_until("old page").await;
    assert!(old.starts_with("HTTP/1.1 200 ") && old.contains("content-length: 8\r\n"), "{old}");
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(raw.read_until("main").await.starts_with("HTTP/1.1 200 "), "the connection goes on");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_of_http_1_0_gets_its_page_with_and_without_a_host() {
    let chunks = Act::Write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npage\r\n0\r\n\r\n".to_vec());
    let primary = Endpoint::start("main").await.on("/", chunks);
    let door = Door::builder().primary(&primary).start().await;
    for host in ["Host: localhost\r\n", ""] {
        let mut raw = door.client().raw().await;
        raw.write(format!("GET / HTTP/1.0\r\n{host}\r\n")).await;
        let page = raw.read_to_end().await;
        assert!(page.starts_with("HTTP/1.0 200 ") && page.ends_with("\r\n\r\npage"), "{page}");
    }
    let seen = primary.seen();
    assert_eq!((seen[0].line(), seen[0].field("host")), ("get / http/1.1", vec!["localhost"]));
    // HTTP/1.1 needs a Host (RFC 9112, section 3.2), and there is none to be sent.
    assert_eq!((seen[1].line(), seen[1].field("host")), ("get / http/1.0", vec![]));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_reply_of_ours_to_head_has_no_body_in_either_version() {
    let primary = Endpoint::start("main").await;
    let site = "[[site]]\nhosts = [\"a.example.org\"]\nbackend = \"sites\"\n";
    let door = Door::builder().primary(&primary).rest(site).start().await;
    for sent in [
        door.client().send(request("HEAD", "/", "")).await,
        door.client().send_h2(h2("HEAD", "/").body(none()).unwrap()).await,
    ] {
        let reply = sent.unwrap();
        assert_eq!((reply.status().as_u16(), reply.body().len()), (404, 0));
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn trailers_pass_both_ways_but_for_those_that_change_the_message() {
    let trailed = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
        4\r\npage\r\n0\r\nx-sum: 4711\r\nset-cookie: a\r\ncontent-length: 9\r\n\r\n";
    let primary = Endpoint::start("main").await.on("/", Act::Write(trailed.to_vec()));
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write(
        "POST / HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nConnection: TE\r\nTrailer: x-mine\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nup\r\n0\r\nx-mine: 7\r\nContent-Length: 3\r\n\r\n",
    )
    .await;
    let page = raw.read_until("4711\r\n\r\n").await;
    assert!(page.to_ascii_lowercase().contains("\r\nx-sum: 4711\r\n"), "{page}");
    assert_eq!(primary.seen()[0].trailers, ["x-mine: 7"]);
    let stream = door.client().connect("localhost", Version::H2).await;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    let running = tokio::spawn(connection);
    let answer = sender.send_request(h2("GET", "/").body(none()).unwrap()).await.unwrap();
    let whole = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
    let trailers = whole.trailers().unwrap();
    assert_eq!(trailers["x-sum"], "4711");
    assert!(!trailers.contains_key("content-length"));
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_connection_goes_on_after_trailers_and_its_endpoint_did_well() {
    let trailed = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npage\r\n0\r\nx-sum: 1\r\n\r\n";
    let primary = Endpoint::start("main").await.on("/", Act::Write(trailed.to_vec()));
    let door = Door::builder().primary(&primary).start().await;
    let stream = door.client().connect("localhost", Version::H2).await;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    let running = tokio::spawn(connection);
    for count in 1..=3 {
        let answer = sender.send_request(h2("GET", "/").body(none()).unwrap()).await.unwrap();
        http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
        eventually("it is counted", || door.good() == count).await;
    }
    assert_eq!(primary.connections(), 1);
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn codings_of_an_endpoint_that_we_cannot_undo_are_not_passed_on_as_the_page() {
    let zipped = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n4\r\nxxxx\r\n0\r\n\r\n";
    let primary = Endpoint::start("main").await.on("/", Act::Write(zipped.to_vec()));
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(raw.read_to_end().await.starts_with("HTTP/1.1 502 "));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_answer_before_the_upload_is_whole_reaches_the_client_even_if_the_endpoint_then_resets() {
    let sorry = response(413, &[("connection", "close")], b"too much");
    let primary = Endpoint::start("main").await.on("/", Act::AtHead(Box::new(Act::WriteAndReset(sorry))));
    let door = Door::builder().primary(&primary).start().await;
    for _ in 0..20 {
        let sent = door.client().send(request("POST", "/", &"x".repeat(3_000_000))).await;
        // A client that is cut while it sends may miss the answer; one that is answered gets the endpoint's.
        if let Ok(answer) = sent {
            assert_eq!((answer.status().as_u16(), &answer.body()[..]), (413, &b"too much"[..]));
        }
    }
    let mut raw = door.client().raw().await;
    raw.write(format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(1_000)))
        .await;
    assert!(raw.read_until("too much").await.starts_with("HTTP/1.1 413 "));
    door.stop().await;
}
