//! Statuses that have no body, and the bodies of those that have (RFC 9110, section 15; RFC 9112, section 6.3).

use super::harness::case::{Case, answer, answer_and_close, outcome, passed, passed_once};
use super::harness::frames::get;

const GET: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, name, head, status, content) in [
        ("RFC 9110 15.3.5", "204 has no body", "204 No Content\r\n\r\n", 204, ""),
        (
            "RFC 9110 8.6",
            "204 with a length of 0 is passed on without",
            "204 No Content\r\nContent-Length: 0\r\n\r\n",
            204,
            "",
        ),
        ("RFC 9110 15.3.6", "205 with a length of 0", "205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205, ""),
        ("RFC 9110 15.4.5", "304 has no body", "304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304, ""),
        (
            "RFC 9110 15.4.5",
            "304 may tell the length of what it has not",
            "304 Not Modified\r\nContent-Length: 500\r\n\r\n",
            304,
            "",
        ),
        (
            "RFC 9110 15",
            "a status nobody knows is passed on",
            "299 Whatever\r\nContent-Length: 5\r\n\r\nhello",
            299,
            "hello",
        ),
        ("RFC 9110 15", "a 4xx that nobody knows", "499 Whatever\r\nContent-Length: 5\r\n\r\nhello", 499, "hello"),
        (
            "RFC 9110 15.4",
            "a redirect keeps its Location",
            "302 Found\r\nLocation: https://example.org/b?c\r\nContent-Length: 0\r\n\r\n",
            302,
            "",
        ),
        (
            "RFC 9110 15.5.2",
            "401 keeps its challenge",
            "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Length: 0\r\n\r\n",
            401,
            "",
        ),
        (
            "RFC 9110 15.5.17",
            "416",
            "416 Range Not Satisfiable\r\nContent-Range: bytes */5\r\nContent-Length: 0\r\n\r\n",
            416,
            "",
        ),
        (
            "RFC 9110 15.6.1",
            "an endpoint's 500 is its own",
            "500 Internal Server Error\r\nContent-Length: 5\r\n\r\nhello",
            500,
            "hello",
        ),
        (
            "RFC 9110 15.6.4",
            "an endpoint's 503 is its own",
            "503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nhello",
            503,
            "hello",
        ),
        ("RFC 9112 4", "no reason phrase", "200 \r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        (
            "RFC 9112 4",
            "a reason phrase of several words and bytes past ASCII",
            "200 Gut \u{e4}h\r\nContent-Length: 5\r\n\r\nhello",
            200,
            "hello",
        ),
    ] {
        for (version, case) in
            [("HTTP/1.1", Case::http1(source, "", GET)), ("HTTP/2", Case::h2(source, "", [get(1, "/a", &[])]))]
        {
            cases.push(
                Case { name: format!("status: {name}, over {version}"), ..case }
                    .answer(answer(format!("HTTP/1.1 {head}")))
                    .must(outcome().requests(1).status(&[status]).content(content).lives()),
            );
        }
    }
    for (source, name, head, field, value) in [
        (
            "RFC 9110 15.4",
            "Location is left as it is",
            "302 Found\r\nLocation: /b/../c?d\r\nContent-Length: 0\r\n\r\n",
            "location",
            "/b/../c?d",
        ),
        (
            "RFC 9110 15.5.6",
            "405 keeps its Allow",
            "405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Length: 0\r\n\r\n",
            "allow",
            "GET, HEAD",
        ),
        ("RFC 9110 15.4.5", "304 keeps its ETag", "304 Not Modified\r\nETag: W/\"a\"\r\n\r\n", "etag", "W/\"a\""),
    ] {
        cases.push(
            Case::http1(source, format!("status: {name}"), GET)
                .answer(answer(format!("HTTP/1.1 {head}")))
                .must(outcome().field(field, value)),
        );
    }
    for (source, name, head, status) in [
        (
            "RFC 9112 6.3",
            "a body behind 204 is nobody's answer",
            "204 No Content\r\nContent-Length: 5\r\n\r\nhello",
            204,
        ),
        (
            "RFC 9112 6.3",
            "a body behind 304 is nobody's answer",
            "304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
            304,
        ),
        (
            "RFC 9112 6.3",
            "chunks behind 204 are nobody's answer",
            "204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            204,
        ),
        (
            "RFC 9112 6.3",
            "another response behind 304 is nobody's answer",
            "304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            304,
        ),
    ] {
        cases.push(
            Case::http1(source, format!("status: {name}"), GET)
                .answer(answer(format!("HTTP/1.1 {head}")))
                .must(outcome().requests(1).status(&[status]).content("").lives())
                .or(outcome().requests(1).status(&[status]).content("").closed())
                .or(outcome().requests(1).status(&[502]).lives()),
        );
    }
    cases.push(
        Case::http1("RFC 9110 15.3.6", "status: 205 with a body is passed on as one message, or as none", GET)
            .answer(answer("HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello"))
            .must(outcome().requests(1).status(&[205, 502]).lives())
            .or(outcome().requests(1).status(&[205]).closed()),
    );
    for (version, case) in [
        ("HTTP/1.1", Case::http1("RFC 9112 6.3", "", GET)),
        ("HTTP/2", Case::h2("RFC 9112 6.3", "", [get(1, "/a", &[])])),
    ] {
        cases.push(
            Case {
                name: format!("status: a body that ends with its connection is a whole one over {version}"),
                ..case
            }
            .answer(answer_and_close("HTTP/1.1 200 OK\r\n\r\nhello"))
            .must(passed().content("hello"))
            .or(passed_once().content("hello").closed()),
        );
    }
    cases
}
