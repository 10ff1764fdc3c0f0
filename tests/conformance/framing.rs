//! Where a request's body ends: Content-Length, Transfer-Encoding, both, chunks, trailers (RFC 9112, sections 6 and 7).

use super::harness::case::{
    Case, Check, Outcome, Step, cut, outcome, passed, passed_once, refused, refused_and_closed,
};

fn post(source: &'static str, name: &str, fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Case {
    let bytes = [b"POST /a HTTP/1.1\r\nHost: localhost\r\n", fields.as_ref(), b"\r\n", body.as_ref()].concat();
    Case::http1(source, format!("framing: {name}"), bytes)
}

fn chunked(source: &'static str, name: &str, body: impl AsRef<[u8]>) -> Case {
    post(source, name, "Transfer-Encoding: chunked\r\n", body)
}

/// What would be a request of its own to whoever reads the one before as shorter.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Nothing hidden came to the endpoint as a request.
fn unhidden(outcome: Outcome) -> Outcome {
    outcome.at_most(1).that("the hidden request is none", |got| {
        got.seen.iter().all(|seen| !seen.head.first.windows(7).any(|part| part == b"/hidden"))
    })
}

/// The body broke off: whatever the client was told, the endpoint never had a whole request.
fn never_whole(statuses: &[u16]) -> Outcome {
    unhidden(outcome().status(statuses).check(Check::NoneWhole))
}

fn broken_body(case: Case) -> Case {
    case.must(never_whole(&[400, 408, 411, 413, 500, 502, 504]).closed())
        .or(unhidden(outcome().check(Check::NoAnswer).check(Check::NoneWhole).closed()))
}

pub fn cases() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(codings());
    cases.extend(both());
    cases.extend(chunks());
    cases.extend(trailers());
    cases
}

fn lengths() -> Vec<Case> {
    let mut cases = vec![
        post("RFC 9112 6.2", "a length is a length", "Content-Length: 3\r\n", "abc").must(passed().body("abc")),
        post("RFC 9112 6.2", "a length of 0", "Content-Length: 0\r\n", "").must(passed().body("")),
        post("RFC 9112 6.3", "no length is no body", "", "").must(passed().body("")),
        post("RFC 9110 8.6", "zeros before a length are nothing, or refused", "Content-Length: 003\r\n", "abc")
            .must(passed().body("abc"))
            .or(refused(&[400])),
        post(
            "RFC 9112 6.3",
            "the same length twice is one, or refused",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "abc",
        )
        .must(passed().body("abc"))
        .or(refused(&[400])),
        post("RFC 9112 6.3", "the same length in a list is one, or refused", "Content-Length: 3, 3\r\n", "abc")
            .must(passed().body("abc"))
            .or(refused(&[400])),
        Case::http1(
            "RFC 9110 9.3.1",
            "framing: a GET may have a body, which is framed like any",
            "GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
        )
        .must(passed().body("abc"))
        .or(refused(&[400, 413])),
        Case::http1(
            "RFC 9112 6.3",
            "framing: a GET with chunks has a body",
            "GET /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        )
        .must(passed().body("abc"))
        .or(refused(&[400, 411, 413])),
        Case::http1(
            "RFC 9112 6.3",
            "framing: a DELETE's body is read as one",
            format!("DELETE /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len()),
        )
        .must(unhidden(passed()).body(HIDDEN))
        .or(unhidden(refused(&[400]))),
    ];
    for (name, fields) in [
        ("two lengths that differ", "Content-Length: 3\r\nContent-Length: 4\r\n"),
        ("two lengths that differ, the shorter last", "Content-Length: 40\r\nContent-Length: 0\r\n"),
        ("a list of lengths that differ", "Content-Length: 3, 4\r\n"),
        ("a length with a sign", "Content-Length: +3\r\n"),
        ("a negative length", "Content-Length: -3\r\n"),
        ("a length in hexadecimal", "Content-Length: 0x3\r\n"),
        ("a length with a point", "Content-Length: 3.0\r\n"),
        ("a length with a space within", "Content-Length: 3 0\r\n"),
        ("a length in words", "Content-Length: three\r\n"),
        ("an empty length", "Content-Length:\r\n"),
        ("a length with a letter behind", "Content-Length: 3a\r\n"),
        ("a length in quotes", "Content-Length: \"3\"\r\n"),
        ("a length of 2 to the power of 64 and 3", "Content-Length: 18446744073709551619\r\n"),
        ("a length of 40 digits", "Content-Length: 1111111111111111111111111111111111111111\r\n"),
        ("a length with a vertical tab before it", "Content-Length: \x0b3\r\n"),
        ("a list of a length and nothing", "Content-Length: 3,\r\n"),
        ("a length with an underscore", "Content-Length: 1_0\r\n"),
    ] {
        cases.push(
            post("RFC 9112 6.3", &format!("{name} is refused"), fields, format!("abc{HIDDEN}"))
                .must(unhidden(refused_and_closed(&[400, 411, 413])))
                .or(cut()),
        );
    }
    cases.push(broken_body(
        post(
            "RFC 9112 8",
            "a body that stops before its length is never taken for a whole one",
            "Content-Length: 10\r\n",
            "abc",
        )
        .window(5000),
    ));
    cases.push(
        post(
            "RFC 9112 8",
            "a client that leaves before its body's end leaves no whole request behind",
            "Content-Length: 10\r\n",
            "abc",
        )
        .then(Step::Gap)
        .then(Step::Leave)
        .must(outcome().check(Check::NoneWhole)),
    );
    cases
}

fn codings() -> Vec<Case> {
    let body = format!("3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
    let good = "3\r\nabc\r\n0\r\n\r\n";
    let mut cases = vec![
        chunked("RFC 9112 7.1", "chunks are a body", good).must(passed().body("abc")),
        chunked("RFC 9112 7.1", "no chunk but the last is an empty body", "0\r\n\r\n").must(passed().body("")),
        post("RFC 9110 5.1", "the coding's name has no case", "Transfer-Encoding: CHUNKED\r\n", good)
            .must(passed().body("abc"))
            .or(refused(&[400, 501])),
        post(
            "RFC 9110 5.6.1",
            "empty items in the list of codings are nothing, or refused",
            "Transfer-Encoding: , chunked\r\n",
            good,
        )
        .must(passed().body("abc"))
        .or(refused(&[400, 501])),
    ];
    for (source, name, fields) in [
        ("RFC 9112 6.1", "a coding that nobody knows", "Transfer-Encoding: xchunked\r\n"),
        ("RFC 9112 6.3", "chunked is not the last coding", "Transfer-Encoding: chunked, gzip\r\n"),
        ("RFC 9112 6.1", "chunked twice in a list", "Transfer-Encoding: chunked, chunked\r\n"),
        ("RFC 9112 6.1", "chunked twice in two fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("RFC 9112 6.3", "identity, which is no coding any more", "Transfer-Encoding: identity\r\n"),
        ("RFC 9112 6.3", "chunked, identity", "Transfer-Encoding: chunked, identity\r\n"),
        (
            "RFC 9112 6.3",
            "identity in a field of its own behind chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ),
        ("RFC 9112 6.1", "a vertical tab before chunked", "Transfer-Encoding: \x0bchunked\r\n"),
        ("RFC 9112 6.1", "chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n"),
        ("RFC 9112 6.1", "a parameter of chunked", "Transfer-Encoding: chunked;a=b\r\n"),
        ("RFC 9112 6.1", "an empty coding", "Transfer-Encoding:\r\n"),
        ("RFC 9112 6.1", "a NUL behind chunked", "Transfer-Encoding: chunked\0\r\n"),
        ("RFC 9112 6.1", "another case of a Turkish kind", "Transfer-Encoding: chun\u{212a}ed\r\n"),
    ] {
        cases.push(
            post(source, &format!("{name} is refused"), fields, &body)
                .must(unhidden(refused_and_closed(&[400, 411, 501])))
                .or(cut()),
        );
    }
    cases.push(
        post(
            "RFC 9112 6.1",
            "gzip below chunked is refused, or passed on as it came",
            "Transfer-Encoding: gzip, chunked\r\n",
            &body,
        )
        .must(unhidden(refused_and_closed(&[400, 411, 415, 422, 501]))),
    );
    cases.push(
        post(
            "RFC 9112 6.1",
            "a name unlike Transfer-Encoding by an underscore frames nothing",
            "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n",
            "0\r\n\r\n",
        )
        .must(passed().body("0\r\n\r\n"))
        .or(refused(&[400])),
    );
    cases.push(
        post(
            "RFC 9112 5.2",
            "Transfer-Encoding on a folded line is refused, or chunked",
            "Transfer-Encoding:\r\n chunked\r\n",
            good,
        )
        .must(unhidden(refused(&[400])))
        .or(cut())
        .or(passed().body("abc")),
    );
    cases.push(
        Case::http1(
            "RFC 9112 6.1",
            "framing: Transfer-Encoding in HTTP/1.0 is refused, or its connection is closed",
            format!("POST /a HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        )
        .must(unhidden(refused(&[400, 411, 501]).closed()))
        .or(unhidden(passed_once().body("abc").closed())),
    );
    cases
}

/// Reject, or go by the chunks; close in either case (RFC 9112, section 6.1).
fn both() -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, name, fields, body, read) in [
        (
            "RFC 9112 6.1",
            "a length and chunks",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
        (
            "RFC 9112 6.1",
            "chunks and a length",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
        (
            "CVE-2019-18277",
            "a length that hides a request behind the last chunk",
            "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            "",
        ),
        (
            "RFC 9112 6.1",
            "a length of 0 and chunks",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
        (
            "RFC 9112 11.2",
            "chunks, and a length in a list",
            "Transfer-Encoding: chunked\r\nContent-Length: 3, 3\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
    ] {
        cases.push(
            post(
                source,
                &format!("{name}: refused, or read by the chunks, and closed"),
                fields,
                format!("{body}{HIDDEN}"),
            )
            .must(unhidden(refused_and_closed(&[400])))
            .or(unhidden(passed_once().body(read).sees_no("content-length").closed())),
        );
    }
    for (source, name, fields) in [
        (
            "CVE-2021-40346",
            "chunks, and a length that is no number",
            "Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "CVE-2022-1705",
            "a length, and a coding that nobody knows",
            "Content-Length: 5\r\nTransfer-Encoding: \"chunked\"\r\n",
        ),
        (
            "CVE-2020-11724",
            "a length, and chunked behind a tab and a letter",
            "Content-Length: 5\r\nTransfer-Encoding: x\tchunked\r\n",
        ),
    ] {
        cases.push(
            post(source, &format!("{name}: refused"), fields, format!("0\r\n\r\n{HIDDEN}"))
                .must(unhidden(refused_and_closed(&[400, 501])))
                .or(unhidden(passed_once().body("").sees_no("content-length").closed())),
        );
    }
    cases
}

fn chunks() -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, name, body, read) in [
        (
            "RFC 9112 7.1",
            "a chunk's size has digits of either case",
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "01234567890123456789",
        ),
        ("RFC 9112 7.1", "zeros before a chunk's size are nothing", "0003\r\nabc\r\n0\r\n\r\n", "abc"),
        ("RFC 9112 7.1", "a last chunk of several zeros", "3\r\nabc\r\n000\r\n\r\n", "abc"),
        ("RFC 9112 7.1", "many small chunks", "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", "abc"),
        ("RFC 9112 7.1", "CRLF and sizes within a chunk are data", "7\r\na\r\n0\r\n\r\r\n0\r\n\r\n", "a\r\n0\r\n\r"),
    ] {
        cases.push(chunked(source, name, body).must(passed().body(read)));
    }
    for (name, body) in [
        ("an extension", "3;a=b\r\nabc\r\n0\r\n\r\n"),
        ("an extension without value", "3;a\r\nabc\r\n0;b\r\n\r\n"),
        ("a quoted extension", "3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n"),
    ] {
        cases.push(
            chunked("RFC 9112 7.1.1", &format!("{name} of a chunk is passed over"), body)
                .must(passed().body("abc"))
                .or(refused(&[400])),
        );
    }
    for (source, name, body) in [
        ("RFC 9112 7.1", "a chunk's size with a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "a negative chunk", "-3\r\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "0x before a chunk's size", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "no size before a chunk", "\r\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "a chunk's size that is no number", "z\r\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "a size of 2 to the power of 64 and 3", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "a chunk longer than its size", "3\r\nabcd\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "a chunk without CRLF behind it", "3\r\nabc0\r\n\r\n"),
        ("CVE-2025-22871", "an extension that ends in a bare LF", "3;a\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "a bare CR behind a chunk's size", "3\rabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "a NUL in a chunk's size", "3\0\r\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "an underscore in a chunk's size", "0_3\r\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1.1", "a bare CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
        ("CVE-2024-23452", "spaces for a chunk's size", "  \r\nabc\r\n0\r\n\r\n"),
    ] {
        cases.push(broken_body(chunked(source, &format!("{name} is no body"), format!("{body}{HIDDEN}"))));
    }
    for (source, name, body) in [
        ("RFC 9112 2.2", "a bare LF behind a chunk's size", "3\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 2.2", "a bare LF behind a chunk", "3\r\nabc\n0\r\n\r\n"),
        ("RFC 9112 7.1", "a space behind a chunk's size", "3 \r\nabc\r\n0\r\n\r\n"),
        ("RFC 9112 7.1", "a space before a chunk's size", " 3\r\nabc\r\n0\r\n\r\n"),
    ] {
        // Lenient readers take it for what it looks like; then it must be that to the endpoint, too.
        cases.push(
            broken_body(chunked(source, &format!("{name} is no body, or one that all read alike"), body))
                .or(passed().body("abc")),
        );
    }
    cases.push(broken_body(
        chunked("RFC 9112 8", "chunks without a last one are never a whole body", "3\r\nabc\r\n").window(5000),
    ));
    cases.push(
        chunked(
            "RFC 9112 7.1.1",
            "an extension of 1 MiB is refused, or passed over",
            format!("3;a={}\r\nabc\r\n0\r\n\r\n", "b".repeat(1 << 20)),
        )
        .must(passed().body("abc"))
        .or(never_whole(&[400, 413, 431, 500, 502]).closed())
        .or(unhidden(outcome().check(Check::NoAnswer).check(Check::NoneWhole).closed())),
    );
    cases
}

fn trailers() -> Vec<Case> {
    let with = |source: &'static str, name: &str, trailers: &str| {
        let body = format!("3\r\nabc\r\n0\r\n{trailers}\r\n");
        let named = trailers.split(':').next().unwrap_or_default().trim();
        post(source, name, format!("Transfer-Encoding: chunked\r\nTrailer: X-Sum, {named}\r\n"), body)
    };
    let mut cases = vec![
        with("RFC 9110 6.5.2", "a trailer is passed on as one, or left out", "X-Sum: 6\r\n")
            .must(passed().body("abc").trailer("x-sum", "6").sees_no("x-sum"))
            .or(passed().body("abc").no_trailer("x-sum").sees_no("x-sum")),
    ];
    for (name, trailer, field) in [
        ("Content-Length", "Content-Length: 30", "content-length"),
        ("Transfer-Encoding", "Transfer-Encoding: chunked", "transfer-encoding"),
        ("Host", "Host: evil", "host"),
        ("Authorization", "Authorization: Basic eA==", "authorization"),
        ("Content-Encoding", "Content-Encoding: gzip", "content-encoding"),
        ("Cookie", "Cookie: a=b", "cookie"),
        ("X-Forwarded-For", "X-Forwarded-For: 192.0.2.1", "x-forwarded-for"),
        ("Connection", "Connection: close", "connection"),
        ("Cache-Control", "Cache-Control: no-store", "cache-control"),
        ("Expect", "Expect: 100-continue", "expect"),
    ] {
        cases.push(
            with("RFC 9110 6.5.1", &format!("{name} as a trailer stops here"), &format!("{trailer}\r\n"))
                .must(passed().body("abc").no_trailer(field))
                .or(never_whole(&[400])),
        );
    }
    for (source, name, trailer) in [
        ("RFC 9112 5.1", "a space before a trailer's colon", "X-Sum : 6\r\n"),
        ("RFC 9110 5.1", "a trailer whose name is no token", "X(Sum: 6\r\n"),
        ("RFC 9110 5.5", "NUL in a trailer", "X-Sum: \x006\r\n"),
        ("RFC 9112 7.1.2", "a trailer without colon", "X-Sum\r\n"),
    ] {
        // Discarding trailers unread is allowed (7.1.2).
        cases.push(
            broken_body(with(source, &format!("{name} is refused, or goes no further"), trailer))
                .or(passed().body("abc").no_trailer("x-sum")),
        );
    }
    cases.push(
        with(
            "RFC 9112 7.1.2",
            "trailers of 1 MiB are refused, or go no further",
            &format!("X-Sum: {}\r\n", "6".repeat(1 << 20)),
        )
        .must(passed().body("abc").no_trailer("x-sum"))
        .or(never_whole(&[400, 413, 431, 500, 502]).closed())
        .or(unhidden(outcome().check(Check::NoAnswer).check(Check::NoneWhole).closed())),
    );
    cases
}
