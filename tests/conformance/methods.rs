//! Methods with rules of their own: CONNECT, TRACE, OPTIONS, HEAD (RFC 9110, section 9).

use super::harness::case::{Case, answer, cut, outcome, passed, passed_once, refused};
use super::harness::frames::{END_STREAM, headers, request};

pub fn cases() -> Vec<Case> {
    let line = |source, name: &str, line: &str, more: &str| {
        Case::http1(source, format!("method: {name}"), format!("{line} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n"))
    };
    let mut cases = vec![
        line("RFC 9110 9.3.6", "CONNECT is refused", "CONNECT localhost:443", "")
            .must(refused(&[400, 403, 405, 501]))
            .or(cut()),
        line("RFC 9110 9.3.6", "CONNECT to somebody else is refused", "CONNECT example.org:25", "")
            .must(refused(&[400, 403, 404, 405, 421, 501]))
            .or(cut()),
        line("RFC 9110 9.3.6", "CONNECT with a path is refused", "CONNECT /a", "")
            .must(refused(&[400, 405, 501]))
            .or(cut()),
        line("RFC 9110 9.3.8", "TRACE is refused", "TRACE /a", "").must(refused(&[403, 405, 501])),
        line("RFC 9110 9.3.8", "TRACE with a secret shows it to nobody", "TRACE /a", "Cookie: secret\r\n")
            .must(refused(&[403, 405, 501]).that("no secret", |got| !got.raw.windows(6).any(|part| part == b"secret"))),
        line("RFC 9110 7.6.2", "TRACE with Max-Forwards: 0 goes no further", "TRACE /a", "Max-Forwards: 0\r\n")
            .must(outcome().requests(0).status(&[200, 403, 405, 501])),
        line("RFC 9110 7.6.2", "OPTIONS with Max-Forwards: 0 goes no further", "OPTIONS /a", "Max-Forwards: 0\r\n")
            .must(outcome().requests(0)),
        line("RFC 9110 7.6.2", "OPTIONS * with Max-Forwards: 0 goes no further", "OPTIONS *", "Max-Forwards: 0\r\n")
            .must(outcome().requests(0)),
        line("RFC 9110 7.6.2", "OPTIONS with Max-Forwards: 5 goes on with 4", "OPTIONS /a", "Max-Forwards: 5\r\n")
            .must(passed().sees("max-forwards", "4")),
        line("RFC 9110 7.6.2", "Max-Forwards of other methods means nothing", "GET /a", "Max-Forwards: 0\r\n")
            .must(passed()),
        line("RFC 9112 3.2.4", "OPTIONS * is passed on, answered, or refused", "OPTIONS *", "")
            .must(passed().line("OPTIONS * HTTP/1.1"))
            .or(outcome().requests(0).status(&[200, 204, 400, 403, 404, 405, 501])),
        line("RFC 9110 9.3.7", "OPTIONS of a path is passed on", "OPTIONS /a", "")
            .must(passed().line("OPTIONS /a HTTP/1.1")),
        line("RFC 9112 3.2.4", "an absolute target without path is * to OPTIONS", "OPTIONS https://localhost", "")
            // Whoever is no proxy but the site itself may take it for the path /.
            .must(passed().line("OPTIONS / HTTP/1.1"))
            .or(passed().line("OPTIONS * HTTP/1.1"))
            .or(outcome().requests(0).status(&[200, 204, 400, 403, 404, 405, 501])),
    ];
    for method in ["PUT", "PATCH", "DELETE", "PROPFIND"] {
        cases.push(
            Case::http1(
                "RFC 9110 9.1",
                format!("method: {method} keeps its name and its body"),
                format!("{method} /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"),
            )
            .must(passed().line(&format!("{method} /a HTTP/1.1")).body("abc")),
        );
    }
    let head = "HEAD /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let heads = [
        ("with a length has none of the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Some("5")),
        ("with chunks has none of them", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("with no length has none", "HTTP/1.1 200 OK\r\n\r\n", None),
    ];
    for (name, response, length) in heads {
        let mut outcome = passed().line("HEAD /a HTTP/1.1").content("");
        if let Some(length) = length {
            outcome = outcome.field("content-length", length);
        }
        cases.push(
            Case::http1("RFC 9110 9.3.2", format!("method: an answer to HEAD {name}"), head)
                .answer(answer(response))
                .must(outcome.clone()),
        );
        cases.push(
            Case::h2(
                "RFC 9110 9.3.2",
                format!("method: an answer to HEAD {name}, over HTTP/2"),
                [request(1, END_STREAM, "HEAD", "/a", &[])],
            )
            .answer(answer(response))
            .must(outcome),
        );
    }
    cases.push(
        Case::http1("RFC 9110 9.3.2", "method: an endpoint that sends a body to HEAD nonetheless hurts nobody", head)
            .answer(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
            .must(passed().content(""))
            .or(passed_once().content("").closed()),
    );
    for (name, fields) in [
        ("CONNECT over HTTP/2 is refused", &[(":method", "CONNECT"), (":authority", "localhost:443")][..]),
        (
            "CONNECT over HTTP/2 with a path is refused",
            &[(":method", "CONNECT"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")],
        ),
    ] {
        cases.push(
            Case::h2("RFC 9113 8.5", format!("method: {name}"), [headers(1, END_STREAM, fields)])
                .must(refused(&[400, 403, 404, 405, 421, 501]))
                .or(super::h2_requests::malformed())
                .or(outcome().requests(0).that("refused", |got| got.resets.contains_key(&1) || got.goaway.is_some())),
        );
    }
    cases.push(
        Case::h2(
            "RFC 9110 9.3.8",
            "method: TRACE over HTTP/2 is refused",
            [request(1, END_STREAM, "TRACE", "/a", &[])],
        )
        .must(refused(&[403, 405, 501])),
    );
    cases
}
