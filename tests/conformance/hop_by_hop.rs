//! Fields of one connection, and those that Connection names: they end here, in both directions (RFC 9110, section 7.6.1).

use super::harness::case::{Case, answer, outcome, passed, passed_once, refused};
use super::harness::frames::{END_STREAM, get, headers};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let get_with = |source, name: String, lines: &str| {
        Case::http1(source, name, format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"))
    };
    for (source, field, line) in [
        ("RFC 9110 7.6.1", "keep-alive", "Keep-Alive: timeout=5\r\n"),
        ("RFC 9110 7.6.1", "proxy-connection", "Proxy-Connection: keep-alive\r\n"),
        ("RFC 9110 10.1.4", "te", "TE: gzip;q=0.5\r\nConnection: TE\r\n"),
        ("RFC 9110 7.8", "upgrade", "Upgrade: chat\r\n"),
        (
            "RFC 9110 7.8",
            "http2-settings",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
        ("RFC 9110 7.6.1", "x-named", "Connection: X-Named\r\nX-Named: b\r\n"),
        ("RFC 9110 7.6.1", "x-second", "Connection: X-Named, X-Second\r\nX-Second: b\r\n"),
        (
            "RFC 9110 7.6.1",
            "x-other-field",
            "Connection: keep-alive\r\nConnection: X-Other-Field\r\nX-Other-Field: b\r\n",
        ),
        ("RFC 9110 5.1", "x-cased", "Connection: x-CASED\r\nX-Cased: b\r\n"),
        ("RFC 9110 5.6.1", "x-behind-empty", "Connection: , ,X-Behind-Empty\r\nX-Behind-Empty: b\r\n"),
        ("RFC 9110 7.6.1", "x-all", "Connection: X-All\r\nX-All: b\r\nX-All: c\r\n"),
    ] {
        let name = format!("hop-by-hop: {field} does not reach the endpoint");
        let outcome = passed().sees_no(field).that("Connection names nothing of the client's", |got| {
            got.seen[0]
                .head
                .list("connection")
                .iter()
                .all(|option| ["keep-alive", "close", "upgrade", "te"].contains(&option.as_str()))
        });
        cases.push(get_with(source, name, line).must(outcome));
    }
    for (field, line, value) in [("host", "", "localhost"), ("x-forwarded-proto", "", "https")] {
        // What a request's meaning hangs on can't be named away; refusing such a request is as safe.
        let name = format!("hop-by-hop: Connection can't name {field} away");
        cases.push(
            get_with("RFC 9110 7.6.1", name, &format!("{line}Connection: {field}\r\n"))
                .must(passed().sees(field, value))
                .or(refused(&[400])),
        );
    }
    cases.push(
        Case::http1(
            "RFC 9110 7.6.1",
            "hop-by-hop: Connection can't name the length away",
            "POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\nabc",
        )
        .must(passed().body("abc"))
        .or(refused(&[400])),
    );
    cases.push(
        Case::http1(
            "RFC 9110 7.6.1",
            "hop-by-hop: Connection can't name Transfer-Encoding away",
            "POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        )
        .must(passed().body("abc"))
        .or(refused(&[400])),
    );
    cases.push(
        get_with(
            "RFC 9112 9.6",
            "hop-by-hop: a client that says close is closed after its answer".to_owned(),
            "Connection: close\r\n",
        )
        .must(passed_once().content("hello").closed().that("close is told", |got| {
            got.responses[0]
                .fields
                .iter()
                .any(|(name, value)| name == "connection" && value.eq_ignore_ascii_case(b"close"))
        })),
    );
    cases.push(
        get_with(
            "RFC 9112 9.6",
            "hop-by-hop: close among other options is close".to_owned(),
            "Connection: X-A, Close\r\n",
        )
        .must(passed_once().content("hello").closed()),
    );
    cases.extend(responses());
    cases.extend(over_h2());
    cases
}

fn responses() -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, field, line) in [
        ("RFC 9110 7.6.1", "proxy-connection", "Proxy-Connection: keep-alive\r\n"),
        ("RFC 9110 7.6.1", "x-named", "Connection: X-Named\r\nX-Named: b\r\n"),
        ("RFC 9110 7.6.1", "x-second", "Connection: X-Named\r\nConnection: x-second\r\nX-Second: b\r\n"),
        ("RFC 9110 7.6.1", "x-with-close", "Connection: close, X-With-Close\r\nX-With-Close: b\r\n"),
        ("RFC 9110 10.1.4", "te", "TE: trailers\r\n"),
        ("RFC 9110 7.8", "upgrade", "Upgrade: chat\r\n"),
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{line}Content-Length: 5\r\n\r\nhello");
        for (version, case) in [
            ("HTTP/1.1", Case::http1(source, "", "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")),
            ("HTTP/2", Case::h2(source, "", [get(1, "/a", &[])])),
        ] {
            let name = format!("hop-by-hop: {field} of a response does not reach the client over {version}");
            cases.push(Case { name, ..case }.answer(answer(&response)).must(passed().content("hello").no_field(field)));
        }
    }
    let keep = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=77\r\nContent-Length: 5\r\n\r\nhello";
    cases.push(
        Case::http1(
            "RFC 9110 7.6.1",
            "hop-by-hop: an endpoint's Keep-Alive does not reach the client",
            "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
        .answer(answer(keep))
        .must(
            passed()
                .that("no timeout=77", |got| got.responses[0].fields.iter().all(|(_, value)| value != b"timeout=77")),
        ),
    );
    cases.push(
        Case::http1(
            "RFC 9112 9.6",
            "hop-by-hop: an endpoint's close is not the client's",
            "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
        .answer(super::harness::case::answer_and_close(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        ))
        .must(passed().content("hello"))
        .or(passed_once().content("hello").closed()),
    );
    for named in ["content-type", "set-cookie", "cache-control"] {
        let response =
            format!("HTTP/1.1 200 OK\r\nConnection: {named}\r\n{named}: a=b\r\nContent-Length: 5\r\n\r\nhello");
        cases.push(
            Case::http1(
                "RFC 9110 7.6.1",
                format!("hop-by-hop: an endpoint that names {named} away breaks nothing"),
                "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
            )
            .answer(answer(response))
            .must(passed().content("hello")),
        );
    }
    cases
}

fn over_h2() -> Vec<Case> {
    let te = |value: &str| {
        let fields =
            [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/a"), ("te", value)];
        headers(1, END_STREAM, &fields)
    };
    vec![
        Case::h2("RFC 9113 8.2.2", "hop-by-hop: te: trailers may be sent over HTTP/2", [te("trailers")]).must(
            passed()
                .that("no te but trailers", |got| got.seen[0].head.list("te").iter().all(|item| item == "trailers")),
        ),
        Case::h2("RFC 9113 8.2.2", "hop-by-hop: any other te over HTTP/2 is malformed, or stops here", [te("gzip")])
            .must(super::h2_requests::malformed())
            .or(outcome().requests(1).status(&[200]).sees_no("te")),
    ]
}
