//! What clients are told when there is no answer to pass on: in which words, which form, and what it gives away.

use crate::harness::client::{Version, request};
use crate::harness::door::Builder;
use crate::harness::endpoint::{ok, response, status};
use crate::harness::{Act, Door, Endpoint};
use bytes::Bytes;
use hotspare::domain::Command;
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};

const SITE: &str = "[[site]]\nhosts = [\"localhost\"]\nbackend = \"sites\"\n";
const PAGES: &str = "error_page = \"sorry.html\"\nread_only_page = \"just-reading.html\"\n";
const SORRY: &str = "<!doctype html><h1>We are sorry ({status})</h1>\u{1f63f}";
const JUST_READING: &str = "<!doctype html><h1>Just reading today</h1>";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// Probes and tallies decide nothing, so that each request meets what the endpoint does.
fn calm(primary: &Endpoint) -> Builder {
    Door::builder()
        .primary(primary)
        .fall(1_000)
        .failback("stable_for = \"10m\", after_writes = \"auto\"")
        .backend("tally = { trip = 1000, consecutive = 1000 }")
}

/// One with pages of its own.
fn with_pages(primary: &Endpoint) -> Builder {
    calm(primary).rest(&format!("{SITE}{PAGES}")).file("sorry.html", SORRY).file("just-reading.html", JUST_READING)
}

/// An endpoint that answers /STATUS in such a way that clients are told that status.
async fn failing() -> Endpoint {
    Endpoint::start("main").await.on("/502", Act::Reset).on("/504", Act::Silence)
}

fn sorry(status: u16) -> String {
    SORRY.replace("{status}", &status.to_string())
}

fn asking(method: &str, path: &str, fields: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut asked = request(method, path, "");
    for (name, value) in fields {
        asked.headers_mut().insert(*name, value.parse().unwrap());
    }
    asked
}

/// The same request over HTTP/1.1 and HTTP/2, and what came.
async fn both(door: &Door, asked: &Request<Full<Bytes>>) -> [Response<Bytes>; 2] {
    let mut over_h2 = asked.clone();
    *over_h2.uri_mut() = format!("https://localhost{}", asked.uri()).parse().unwrap();
    over_h2.headers_mut().remove("host");
    [door.client().send(asked.clone()).await.unwrap(), door.client().send_h2(over_h2).await.unwrap()]
}

fn body(reply: &Response<Bytes>) -> &str {
    std::str::from_utf8(reply.body()).unwrap()
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// What holds for every reply to a request that found no answer.
fn assert_discreet(reply: &Response<Bytes>, of: &Endpoint) {
    let said = format!("{:?} {}", reply.headers(), body(reply));
    for inside in ["127.0.0.1", &of.address.port().to_string(), "main", env!("CARGO_PKG_VERSION")] {
        assert!(!said.contains(inside), "{inside} is nobody's business: {said}");
    }
    assert_eq!(field(reply.headers(), "cache-control"), "no-store");
    assert!(field(reply.headers(), "proxy-status").starts_with("hotspare; error="), "{said}");
    assert!(!field(reply.headers(), "retry-after").is_empty(), "{said}");
}

#[tokio::test(flavor = "local")]
async fn a_sites_own_page_is_sent_for_502_503_and_504() {
    let (primary, secondary) = (failing().await, Endpoint::start("spare").await);
    let door = with_pages(&primary).backend("timeouts = { head = \"300ms\" }").start().await;
    for status in [502, 504] {
        for reply in both(&door, &asking("GET", &format!("/{status}"), &[("accept", BROWSER)])).await {
            assert_eq!((reply.status().as_u16(), body(&reply)), (status, &*sorry(status)));
            assert_eq!(field(reply.headers(), "content-type"), "text/html; charset=utf-8");
            assert_discreet(&reply, &primary);
        }
    }
    door.stop().await;
    // A write for which nobody says in time where writes go.
    let mut primary = primary;
    let door = with_pages(&primary)
        .secondary(&secondary)
        .backend("write_wait = \"300ms\"\nwrite_drain = \"100ms\"")
        .start()
        .await;
    primary.kill().await;
    for reply in both(&door, &asking("POST", "/", &[])).await {
        assert_eq!((reply.status().as_u16(), body(&reply)), (503, &*sorry(503)));
        assert_discreet(&reply, &primary);
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn who_may_not_write_for_the_moment_is_told_so_in_the_sites_words_or_ours_never_by_the_page_for_errors() {
    let primary = Endpoint::start("main").await;
    for (pages, said) in
        [(PAGES, JUST_READING), ("error_page = \"sorry.html\"\n", "This site is read-only for the moment")]
    {
        let door = calm(&primary)
            .rest(&format!("{SITE}{pages}"))
            .file("sorry.html", SORRY)
            .file("just-reading.html", JUST_READING)
            .start()
            .await;
        door.order(Command::ReadOnly { backend: "sites".into() }).await;
        for reply in both(&door, &asking("POST", "/", &[("accept", BROWSER)])).await {
            assert_eq!(reply.status(), 503);
            assert!(body(&reply).contains(said), "{}", body(&reply));
            assert_eq!(field(reply.headers(), "proxy-status"), "hotspare; error=http_request_denied");
            assert_eq!(field(reply.headers(), "retry-after"), "30");
            assert_discreet(&reply, &primary);
        }
        for reply in both(&door, &asking("GET", "/", &[])).await {
            assert_eq!((reply.status().as_u16(), body(&reply)), (200, "main"), "reads go on");
        }
        door.stop().await;
    }
    assert_eq!(primary.count("post"), 0);
}

#[tokio::test(flavor = "local")]
async fn whoever_asks_for_json_gets_json_whatever_pages_there_are() {
    let primary = failing().await;
    let door = with_pages(&primary).start().await;
    door.order(Command::ReadOnly { backend: "sites".into() }).await;
    for accept in ["application/json", "application/problem+json", "application/json, text/plain, */*"] {
        for (method, status, title) in [("GET", 502, "Bad Gateway"), ("POST", 503, "Service Unavailable")] {
            for reply in both(&door, &asking(method, "/502", &[("accept", accept)])).await {
                assert_eq!(reply.status(), status, "{accept}");
                assert_eq!(field(reply.headers(), "content-type"), "application/problem+json", "{accept}");
                let problem: serde_json::Value = serde_json::from_slice(reply.body()).unwrap();
                assert_eq!((&problem["status"], &problem["title"]), (&status.into(), &title.into()), "{accept}");
                assert_eq!(problem["detail"].as_str().unwrap().contains("read-only"), status == 503, "{problem}");
                assert_discreet(&reply, &primary);
            }
        }
    }
    for accept in ["*/*", BROWSER, "application/json;q=0.1, text/html"] {
        for reply in both(&door, &asking("GET", "/502", &[("accept", accept)])).await {
            assert_eq!(body(&reply), sorry(502), "{accept}");
        }
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn grpc_is_told_unavailable_in_the_head_alone_whatever_pages_there_are() {
    let primary = failing().await;
    let door = with_pages(&primary).backend("timeouts = { head = \"300ms\" }").start().await;
    let calling = |path| asking("POST", path, &[("content-type", "application/grpc+proto"), ("te", "trailers")]);
    let told = |reply: &Response<Bytes>| {
        assert_eq!(reply.status(), 200);
        assert_eq!(field(reply.headers(), "content-type"), "application/grpc");
        assert_eq!(field(reply.headers(), "grpc-status"), "14", "UNAVAILABLE");
        assert_eq!(body(reply), "");
        assert_discreet(reply, &primary);
        field(reply.headers(), "grpc-message").to_owned()
    };
    for path in ["/502", "/504"] {
        for reply in both(&door, &calling(path)).await {
            assert!(told(&reply).contains("try again"));
        }
    }
    door.order(Command::ReadOnly { backend: "sites".into() }).await;
    for reply in both(&door, &calling("/echo.Echo/Say")).await {
        assert!(told(&reply).contains("read-only"));
    }
    // "Trailers-Only": what ends the stream is the head, and there is no body, not even an empty one.
    let stream = TokioIo::new(door.client().connect("localhost", Version::H2).await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let running = tokio::spawn(connection);
    let mut call = calling("/echo.Echo/Say");
    *call.uri_mut() = "https://localhost/echo.Echo/Say".parse().unwrap();
    call.headers_mut().remove("host");
    let reply = sender.send_request(call).await.unwrap();
    assert!(reply.body().is_end_stream());
    assert!(!reply.headers().contains_key("content-length"), "{:?}", reply.headers());
    running.abort();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_head_request_gets_the_length_of_the_page_and_not_the_page() {
    let primary = failing().await;
    let door = with_pages(&primary).start().await;
    for (accept, kind) in [(BROWSER, "text/html; charset=utf-8"), ("application/json", "application/problem+json")] {
        let [got, _] = both(&door, &asking("GET", "/502", &[("accept", accept)])).await;
        for reply in both(&door, &asking("HEAD", "/502", &[("accept", accept)])).await {
            assert_eq!((reply.status().as_u16(), field(reply.headers(), "content-type")), (502, kind));
            assert_eq!(field(reply.headers(), "content-length"), got.body().len().to_string());
            assert_eq!(body(&reply), "");
        }
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn proxy_status_says_what_went_wrong_and_nothing_of_where() {
    let coded = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    let mut primary = Endpoint::start("main")
        .await
        .on("/reset", Act::Reset)
        .on("/closed", Act::WriteAndClose(Vec::new()))
        .on("/silent", Act::Silence)
        .on("/cut", Act::WriteAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun".to_vec()))
        .on("/garbage", Act::WriteAndClose(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()))
        .on("/coded", Act::WriteAndClose(coded.to_vec()))
        .on("/long", Act::WriteAndClose([&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'x'; 600_000]].concat()));
    let door = calm(&primary).backend("timeouts = { head = \"300ms\" }").start().await;
    let named = [
        ("/reset", 502, "connection_terminated"),
        ("/closed", 502, "connection_terminated"),
        ("/silent", 504, "http_response_timeout"),
        ("/cut", 502, "http_response_incomplete"),
        ("/garbage", 502, "http_protocol_error"),
        ("/coded", 502, "http_response_transfer_coding"),
        ("/long", 502, "http_response_header_section_size"),
    ];
    for (path, status, error) in named {
        for reply in both(&door, &asking("GET", path, &[])).await {
            assert_eq!(reply.status(), status, "{path}");
            assert_eq!(field(reply.headers(), "proxy-status"), format!("hotspare; error={error}"), "{path}");
            assert_discreet(&reply, &primary);
        }
    }
    primary.kill().await;
    for reply in both(&door, &asking("GET", "/", &[])).await {
        assert_eq!(reply.status(), 502);
        assert_eq!(field(reply.headers(), "proxy-status"), "hotspare; error=connection_refused");
        assert_discreet(&reply, &primary);
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoints_own_answer_and_what_is_the_clients_fault_have_no_page_of_ours() {
    let own = Act::Write(response(503, &[], b"the endpoint's own"));
    let primary = Endpoint::start("main").await.on("/503", own).on("/500", status(500));
    let door = with_pages(&primary).start().await;
    for (path, said) in [("/503", "the endpoint's own"), ("/500", "no")] {
        assert_eq!(body(&door.client().get(path).await), said);
    }
    let refused = door.client().send(asking("TRACE", "/", &[])).await.unwrap();
    assert_eq!(refused.status(), 405);
    assert!(!body(&refused).contains("sorry"), "{}", body(&refused));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn each_site_has_its_own_pages_and_a_reload_brings_the_new_ones() {
    let mut primary = Endpoint::start("main").await.on("/", ok("main"));
    let other = "[[site]]\nhosts = [\"localhost\"]\npath = \"/other\"\nbackend = \"sites\"\n";
    let mut door = with_pages(&primary).rest(other).start().await;
    primary.kill().await;
    assert_eq!(body(&door.client().get("/").await), sorry(502));
    let ours = door.client().get("/other").await;
    assert!(body(&ours).contains("<h1>502 Bad Gateway</h1>"), "{}", body(&ours));
    door.reload(|built| built.set_file("sorry.html", "back at noon")).await;
    assert_eq!(body(&door.client().get("/").await), "back at noon");
    door.stop().await;
}
