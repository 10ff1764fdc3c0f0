//! Field lines: names, values, whitespace, folding, numbers and sizes (RFC 9110, section 5; RFC 9112, section 5).

use super::harness::case::{Case, Outcome, answer, cut, passed, refused, refused_and_closed};

/// A GET with these lines behind Host.
fn with(source: &'static str, name: &str, lines: impl AsRef<[u8]>) -> Case {
    let bytes = [b"GET /a HTTP/1.1\r\nHost: localhost\r\n", lines.as_ref(), b"\r\n"].concat();
    Case::http1(source, format!("field: {name}"), bytes)
}

pub fn cases() -> Vec<Case> {
    let mut cases = names();
    cases.extend(values());
    cases.extend(lines());
    cases.extend(sizes());
    cases.extend(dangerous());
    cases
}

fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, line) in [
        ("a space before the colon", "X-A : b\r\n"),
        ("a tab before the colon", "X-A\t: b\r\n"),
        ("a space before the colon of Content-Length", "Content-Length : 3\r\n"),
        ("a space before the colon of Transfer-Encoding", "Transfer-Encoding : chunked\r\n"),
    ] {
        cases.push(with("RFC 9112 5.1", &format!("{name} is refused"), line).must(refused(&[400])));
    }
    for (name, line) in [
        ("no colon", "X-A b\r\n"),
        ("no name", ": b\r\n"),
        ("a space in a name", "X A: b\r\n"),
        ("a bracket in a name", "X(A): b\r\n"),
        ("a slash in a name", "X/A: b\r\n"),
        ("@ in a name", "X@A: b\r\n"),
        ("a quote in a name", "\"X\": b\r\n"),
        ("NUL in a name", "X\0A: b\r\n"),
        ("a control byte in a name", "X\x01A: b\r\n"),
        ("DEL in a name", "X\x7fA: b\r\n"),
        ("a byte past ASCII in a name", "X\u{e9}: b\r\n"),
    ] {
        // RFC 9110 5.1 has names as tokens; dropping the line, which some do, passes nothing wrong on either.
        cases.push(
            with("RFC 9110 5.1", &format!("{name} is refused, or not passed on"), line)
                .must(refused(&[400]))
                .or(cut())
                .or(passed().that("no trace of it at the endpoint", |got| {
                    got.seen[0].head.fields.iter().all(|(name, _)| !name.contains('x') || name.starts_with("x-"))
                })),
        );
    }
    cases.push(
        with("RFC 9110 5.1", "all that a name may hold", "A!#$%&'*+-.^|~0: b\r\n")
            .must(passed().line("GET /a HTTP/1.1")),
    );
    cases
        .push(with("RFC 9110 5.1", "names have no case", "x-LoNg-NaMe: b\r\n").must(passed().sees("x-long-name", "b")));
    cases.push(
        Case::http1(
            "RFC 9110 5.1",
            "field: names that frame and route have no case",
            "POST /a HTTP/1.1\r\nhOST: localhost\r\ncOnTeNt-LeNgTh: 3\r\n\r\nabc",
        )
        .must(passed().body("abc")),
    );
    cases
}

fn values() -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, name, line, value) in [
        ("RFC 9112 5.1", "no space behind the colon", "X-A:b\r\n", "b"),
        ("RFC 9112 5.1", "spaces and tabs around a value are not part of it", "X-A: \t b \t \r\n", "b"),
        ("RFC 9110 5.5", "an empty value", "X-A:\r\n", ""),
        ("RFC 9110 5.5", "a tab within a value", "X-A: b\tc\r\n", "b\tc"),
        ("RFC 9110 5.5", "spaces within a value", "X-A: b  c\r\n", "b  c"),
        (
            "RFC 9110 5.6.4",
            "a quoted value with commas and backslashes",
            "X-A: \"b, \\\" c\"; d=e\r\n",
            "\"b, \\\" c\"; d=e",
        ),
        ("RFC 9110 5.5", "colons within a value", "X-A: b: c:d\r\n", "b: c:d"),
        ("RFC 9110 5.5", "what looks like another field within a value", "X-A: b; Host: evil\r\n", "b; Host: evil"),
    ] {
        cases.push(with(source, name, line).must(passed().sees("x-a", value)));
    }
    cases.push(
        with(
            "RFC 9110 5.5",
            "bytes past ASCII within a value pass as they are, or are refused",
            b"X-A: caf\xe9 \xc3\xa9\r\n",
        )
        .must(passed().sees("x-a", b"caf\xe9 \xc3\xa9"))
        .or(refused(&[400])),
    );
    for (name, byte) in
        [("NUL", "\0"), ("a bare CR", "\r"), ("a control byte", "\x01"), ("DEL", "\x7f"), ("ESC", "\x1b")]
    {
        // NUL and CR: reject, or replace by a space (5.5). Other control bytes are invalid too.
        let case = with(
            "RFC 9110 5.5",
            &format!("{name} within a value is refused, or made a space"),
            format!("X-A: b{byte}c\r\n"),
        )
        .must(refused(&[400]))
        .or(cut())
        .or(passed().sees("x-a", "b c"));
        // Those other than NUL and CR may be kept.
        let kept = passed().sees("x-a", format!("b{byte}c"));
        cases.push(if matches!(byte, "\0" | "\r") { case } else { case.or(kept) });
    }
    cases
}

fn lines() -> Vec<Case> {
    let folded = |name: &str, lines: &str, value: &str| {
        // 5.2: reject with 400, or replace the fold by spaces.
        let joined = value.to_owned();
        with("RFC 9112 5.2", &format!("{name} is refused, or made one line"), lines)
            .must(refused(&[400]))
            .or(cut())
            .or(passed().sees("x-a", joined.replace('_', " ")))
            .or(passed().sees("x-a", joined.replace('_', "   ")))
            .or(passed().sees("x-a", joined.replace('_', "  ")))
    };
    let mut cases = vec![
        folded("a line folded by a space", "X-A: b\r\n c\r\n", "b_c"),
        folded("a line folded by a tab", "X-A: b\r\n\tc\r\n", "b_c"),
        folded("a line folded at its colon", "X-A:\r\n b\r\n", "b"),
        with("RFC 9112 2.2", "a space before the first field is refused, or the line is dropped", "")
            .must(refused(&[400]))
            .or(cut())
            .or(passed().sees_no("x-a")),
    ];
    let first = "GET /a HTTP/1.1\r\n X-A: b\r\nHost: localhost\r\n\r\n";
    cases[3] = Case { steps: Case::http1("", "", first).steps, ..cases[3].clone() };
    cases.push(
        with("RFC 9112 5.2", "Content-Length folded is refused, or no length", "Content-Length:\r\n 0\r\n")
            .must(refused(&[400]))
            .or(cut())
            .or(passed().body("")),
    );
    cases.push(
        with("RFC 9112 2.2", "a field's line that ends in bare LF is a line, or refused", "X-A: b\nX-B: c\r\n")
            .must(refused(&[400]))
            .or(cut())
            .or(passed().sees("x-a", "b").sees("x-b", "c")),
    );
    cases.push(
        Case::http1(
            "RFC 9112 2.2",
            "field: a head that ends in LF CRLF is a head, or refused",
            "GET /a HTTP/1.1\r\nHost: localhost\r\nX-A: b\n\r\n",
        )
        .must(refused(&[400]))
        .or(cut())
        .or(passed().sees("x-a", "b")),
    );
    cases.push(with("RFC 9110 5.3", "fields of one name keep their order", "X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n").must(
        passed().that("1 before 3", |got| {
            let values: Vec<Vec<u8>> = got.seen[0].head.all("x-a").iter().map(|value| value.to_vec()).collect();
            values == [b"1".to_vec(), b"3".to_vec()] || values == [b"1, 3".to_vec()] || values == [b"1,3".to_vec()]
        }),
    ));
    cases
}

fn sizes() -> Vec<Case> {
    let many = |count: usize| (0..count).map(|at| format!("X-{at}: {at}\r\n")).collect::<String>();
    let too_large = |case: Case| case.must(refused(&[400, 431])).or(cut());
    vec![
        with("RFC 9110 5.4", "80 fields are taken", many(80)).must(passed().sees("x-79", "79")),
        with("RFC 9110 5.4", "a value of 7,000 bytes is taken", format!("X-A: {}\r\n", "b".repeat(7_000)))
            .must(passed().sees("x-a", "b".repeat(7_000))),
        too_large(with(
            "RFC 6585 5",
            "a head of 2 MiB in one field is refused",
            format!("X-A: {}\r\n", "b".repeat(2 << 20)),
        )),
        too_large(with("RFC 6585 5", "100,000 fields are refused", many(100_000))),
        with(
            "RFC 9110 15.5.14",
            "a head that is refused for its size is answered before the connection ends",
            format!("X-A: {}\r\n", "b".repeat(1_100_000)),
        )
        .must(refused_and_closed(&[400, 431]))
        .or(cut()),
    ]
}

fn dangerous() -> Vec<Case> {
    let drops = |source: &'static str, name: &str, line: &str, field: &'static str| {
        with(source, name, line).must(passed().sees_no(field)).or(refused(&[400]))
    };
    let mut cases = vec![
        drops(
            "CVE-2016-5385",
            "Proxy, which becomes HTTP_PROXY in a CGI, stops here",
            "Proxy: http://evil\r\n",
            "proxy",
        ),
        with("RFC 7239 8.1", "what a client says it was forwarded for is no evidence", "Forwarded: for=192.0.2.1\r\n")
            .must(passed().that("no such Forwarded", |got| {
                got.seen[0].head.all("forwarded").iter().all(|value| !value.windows(9).any(|part| part == b"192.0.2.1"))
            })),
        with(
            "RFC 7239 8.1",
            "what a client says in X-Forwarded-For is not passed on as ours",
            "X-Forwarded-For: 192.0.2.1\r\n",
        )
        .must(passed().that("its last item is ours", |got| {
            got.seen[0].head.list("x-forwarded-for").last().is_some_and(|last| last.starts_with("127."))
        })),
        with(
            "RFC 7239 8.1",
            "X-Forwarded-Proto is the connection's, not the client's word",
            "X-Forwarded-Proto: http\r\n",
        )
        .must(passed().sees("x-forwarded-proto", "https")),
        with(
            "RFC 9110 5.1",
            "a name that differs from a length's by an underscore alone frames nothing",
            "Content_Length: 3\r\n",
        )
        .must(passed().body(""))
        .or(refused(&[400])),
        with("CVE-2021-33193", "a field whose value is a request line is a value", "X-A: GET /hidden HTTP/1.1\r\n")
            .must(passed().sees("x-a", "GET /hidden HTTP/1.1")),
    ];
    // Response side: names and values that endpoints send.
    for (source, name, line) in [
        ("RFC 9112 5.1", "a space before a colon of a response", "X-A : b"),
        ("RFC 9110 5.1", "a name of a response that is no token", "X(A: b"),
        ("RFC 9110 5.5", "NUL in a value of a response", "X-A: b\0c"),
        ("RFC 9112 2.2", "a bare CR in a value of a response", "X-A: b\rSet-Cookie: evil=1"),
        ("RFC 9112 5", "a line without colon in a response", "X-A b"),
        ("RFC 9112 5.2", "a folded line of a response", "X-A: b\r\n c"),
        ("RFC 9112 2.2", "a bare LF in a response", "X-A: b\nX-B: c"),
    ] {
        let outcome: Outcome = super::harness::case::outcome().requests(1).no_field("set-cookie");
        cases.push(
            with(source, &format!("{name} never gets to the client as it is"), "")
                .answer(answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{line}\r\n\r\nhello")))
                .must(outcome.status(&[200, 502])),
        );
    }
    cases
}
