//! Leaving HTTP: 101 and what follows (RFC 9110, section 7.8; RFC 6455), and extended CONNECT (RFC 8441).

use super::harness::case::{Answer, Case, Check, Outcome, Step, Then, answer, outcome, passed, refused};
use super::harness::frames::{END_STREAM, data, headers, settings};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn ask(more: &str) -> String {
    format!(
        "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

fn echo() -> Answer {
    Answer { whole: vec![SWITCH.as_bytes().to_vec()], then: Then::Echo, ..Answer::default() }
}

fn tunnelled(bytes: &'static str) -> Outcome {
    outcome().requests(1).status(&[101]).field("upgrade", "websocket").content(bytes)
}

/// An extended CONNECT with these fields, for which there is no tunnel.
fn refused_tunnel(name: &str, fields: &[(&str, &str)]) -> Case {
    let fields = [&[(":method", "CONNECT")], fields].concat();
    Case::h2("RFC 8441 4", name, [headers(1, 0, &fields)])
        .window(1500)
        .must(super::h2_requests::malformed())
        .or(refused(&[400, 404, 405, 501]))
        .or(outcome().requests(0).that("refused", |got| got.resets.contains_key(&1) || got.goaway.is_some()))
}

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::http1("RFC 6455 4.2.2", "upgrade: 101 passes, and bytes go both ways", ask(""))
            .answer(echo())
            .then(Step::AwaitHead)
            .then_send("\x01raw\0bytes\r\n\r\n")
            .window(600)
            .must(tunnelled("\x01raw\0bytes\r\n\r\n")),
        Case::http1("RFC 9110 7.8", "upgrade: bytes behind the request wait for the 101", ask("") + "early")
            .answer(echo())
            .window(600)
            .must(tunnelled("early"))
            .or(tunnelled("")),
        Case::http1("RFC 9110 7.8", "upgrade: bytes that come with the 101 are the tunnel's", ask(""))
            .answer(Answer { whole: vec![[SWITCH.as_bytes(), b"first"].concat()], then: Then::Echo, ..Answer::default() })
            .window(600)
            .must(tunnelled("first")),
        Case::http1("RFC 9110 7.8", "upgrade: the tunnel ends when its endpoint does", ask(""))
            .answer(Answer { whole: vec![[SWITCH.as_bytes(), b"bye"].concat()], then: Then::Close, ..Answer::default() })
            .must(tunnelled("bye").closed()),
        Case::http1("RFC 9110 7.8", "upgrade: an answer other than 101 is an answer, and HTTP goes on", ask(""))
            .must(passed().content("hello")),
        Case::http1("RFC 9110 7.8", "upgrade: what was asked for reaches the endpoint as it was", ask("Sec-WebSocket-Protocol: chat\r\n"))
            .must(passed().sees("upgrade", "websocket").sees("sec-websocket-protocol", "chat").sees("connection", "upgrade"))
            .or(passed().sees("upgrade", "websocket").sees("sec-websocket-protocol", "chat").sees("connection", "Upgrade")),
        Case::http1("RFC 9110 7.8", "upgrade: Upgrade that Connection does not name is none", "GET /a HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n")
            .answer(echo())
            .window(600)
            .must(outcome().at_most(1).status(&[400, 502]))
            .or(outcome().requests(1).sees_no("upgrade")),
        Case::http1("RFC 9110 7.8", "upgrade: of an HTTP/1.0 client is none", ask("").replace("HTTP/1.1", "HTTP/1.0"))
            .must(outcome().requests(1).status(&[200]).sees_no("upgrade"))
            .or(refused(&[400])),
        Case::http1("RFC 9113 3.1", "upgrade: h2c goes no further", "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
            .must(passed().sees_no("upgrade").sees_no("http2-settings"))
            .or(refused(&[400, 403])),
        Case::http1("RFC 2817 3", "upgrade: TLS within the connection goes no further", "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n\r\n")
            .must(passed().sees_no("upgrade"))
            .or(refused(&[400])),
        Case::http1("RFC 9110 7.8", "upgrade: one refused with a request behind it smuggles nothing", ask("") + "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .answer(answer("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"))
            .finals(2)
            .window(1000)
            .must(outcome().requests(2).status(&[426]))
            .or(outcome().at_most(1).status(&[426])),
    ];
    for (version, case) in [
        ("HTTP/1.1", Case::http1("RFC 9110 15.2.2", "", "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")),
        ("HTTP/2", Case::h2("RFC 9113 8.6", "", [super::harness::frames::get(1, "/a", &[])])),
    ] {
        cases.push(
            Case { name: format!("upgrade: a 101 that nobody asked for is no answer over {version}"), ..case }
                .answer(Answer { whole: vec![[SWITCH.as_bytes(), b"evil"].concat()], ..Answer::default() })
                .must(outcome().requests(1).status(&[500, 502]).lives())
                .or(outcome().requests(1).status(&[500, 502]).closed())
                .or(outcome().requests(1).check(Check::NoAnswer).closed())
                .or(outcome().requests(1).that("the stream is reset", |got| got.resets.contains_key(&1))),
        );
    }
    cases.extend(extended_connect());
    cases
}

fn extended_connect() -> Vec<Case> {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/a"),
        (":authority", "localhost"),
        ("sec-websocket-version", "13"),
    ];
    vec![
        Case::h2("RFC 8441 3", "upgrade: WebSocket over HTTP/2 works where it is announced", [headers(1, 0, &fields)])
            .answer(echo())
            .then(Step::AwaitHead)
            .then_send(data(1, END_STREAM, b"ping"))
            .window(1500)
            .must(
                outcome()
                    .requests(1)
                    .status(&[200])
                    .content("ping")
                    .sees("upgrade", "websocket")
                    .line("GET /a HTTP/1.1"),
            )
            // This endpoint knows one answer to one key; who made up another has to refuse that.
            .or(outcome()
                .requests(1)
                .status(&[502])
                .that("a key of the proxy's own", |got| !got.seen[0].head.all("sec-websocket-key").is_empty()))
            .or(outcome().requests(0).that("not announced, and refused", |got| {
                got.settings.get(&8) != Some(&1)
                    && (got.resets.contains_key(&1)
                        || got.goaway.is_some()
                        || got.responses.iter().any(|response| response.status >= 400))
            })),
        Case::h2("RFC 8441 3", "upgrade: ENABLE_CONNECT_PROTOCOL is 0 or 1", [settings(&[])]).streams(&[]).must(
            outcome().lives().that("SETTINGS 8 is 0 or 1", |got| got.settings.get(&8).is_none_or(|value| *value <= 1)),
        ),
        Case::h2(
            "RFC 8441 4",
            "upgrade: :protocol without CONNECT is malformed",
            [headers(
                1,
                END_STREAM,
                &[
                    (":method", "GET"),
                    (":protocol", "websocket"),
                    (":scheme", "https"),
                    (":path", "/a"),
                    (":authority", "localhost"),
                ],
            )],
        )
        .must(super::h2_requests::malformed())
        .or(refused(&[400])),
        refused_tunnel(
            "upgrade: a :protocol that nobody knows is refused",
            &[(":protocol", "gopher"), (":scheme", "https"), (":path", "/a"), (":authority", "localhost")],
        ),
        refused_tunnel(
            "upgrade: extended CONNECT without :path is malformed",
            &[(":protocol", "websocket"), (":scheme", "https"), (":authority", "localhost")],
        ),
        Case::h2(
            "RFC 8441 5",
            "upgrade: a WebSocket that its endpoint refuses is refused over HTTP/2",
            [headers(1, 0, &fields)],
        )
        .answer(answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
        .window(1500)
        .must(outcome().requests(1).status(&[403]))
        .or(outcome().requests(0).that("not announced, and refused", |got| {
            got.settings.get(&8) != Some(&1)
                && (got.resets.contains_key(&1)
                    || got.goaway.is_some()
                    || got.responses.iter().any(|response| response.status >= 400))
        })),
    ]
}
