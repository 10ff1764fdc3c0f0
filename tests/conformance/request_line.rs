//! The request line: method, target in each of its forms, version (RFC 9112, section 3).

use super::harness::case::{Case, Outcome, cut, passed, passed_once, refused};

/// A request with this line and a good Host.
fn with_line(source: &'static str, name: &str, line: impl AsRef<[u8]>) -> Case {
    let bytes = [line.as_ref(), b"\r\nHost: localhost\r\n\r\n"].concat();
    Case::http1(source, format!("request line: {name}"), bytes)
}

/// What is no request at all: 400, or an end without a word (RFC 9112, section 3: SHOULD respond).
fn not_http(case: Case) -> Case {
    case.must(refused(&[400])).or(cut())
}

fn as_line(line: &str) -> Outcome {
    passed().line(line)
}

pub fn cases() -> Vec<Case> {
    let mut cases = targets();
    cases.extend(absolute());
    cases.extend(versions());
    cases.extend(methods());
    cases.extend(whitespace());
    cases.extend(lengths());
    cases
}

fn targets() -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, name, target) in [
        ("RFC 9112 3.2.1", "a path", "/a"),
        ("RFC 9112 3.2.1", "a query goes on as it is", "/a?b=c&d"),
        ("RFC 9110 4.2.3", "an empty query is not no query", "/a?"),
        ("RFC 3986 2.2", "an encoded slash is no slash", "/a%2Fb%2fc"),
        ("RFC 3986 2.1", "an encoded space stays encoded", "/a%20b"),
        ("RFC 3986 3.3", "all that a path may hold", "/!$&'()*+,;=:@-._~/;p=1"),
        ("RFC 3986 3.4", "a query may hold another address", "/?to=http://example.org/a?b"),
        ("RFC 3986 3.3", "empty segments are segments", "//a//b"),
    ] {
        cases.push(
            with_line(source, name, format!("GET {target} HTTP/1.1")).must(as_line(&format!("GET {target} HTTP/1.1"))),
        );
    }
    for (source, name, target, also) in [
        ("RFC 3986 5.2.4", "dot segments are left, or resolved", "/a/./b/../c", "/a/c"),
        ("RFC 3986 2.1", "a percent sign without digits is left, or refused", "/%zz", ""),
        ("RFC 3986 7.3", "an encoded NUL is left, or refused", "/a%00b", ""),
        (
            "RFC 3986 2",
            "characters that no URI has are left as they are, encoded, or refused",
            "/{a|b}",
            "/%7Ba%7Cb%7D",
        ),
        ("RFC 9112 3.2", "a fragment is refused, or not passed on", "/a#b", "/a"),
        ("RFC 9112 3.2", "bytes past ASCII are refused, or encoded", "/caf\u{e9}", "/caf%C3%A9"),
    ] {
        let mut case = with_line(source, name, format!("GET {target} HTTP/1.1")).must(refused(&[400, 404]));
        if !target.contains('#') && target.is_ascii() {
            case = case.or(as_line(&format!("GET {target} HTTP/1.1")));
        }
        if !also.is_empty() {
            case = case.or(as_line(&format!("GET {also} HTTP/1.1")));
        }
        cases.push(case);
    }
    for (source, name, line) in [
        ("RFC 9112 3.2", "no target", "GET  HTTP/1.1"),
        ("RFC 9112 3.2", "a target without slash", "GET a HTTP/1.1"),
        ("RFC 9112 3.2.3", "the authority as target of a GET", "GET localhost:443 HTTP/1.1"),
        ("RFC 9112 3.2.4", "* as target of a GET", "GET * HTTP/1.1"),
        ("RFC 9112 3.2", "a space in the target", "GET /a b HTTP/1.1"),
        ("RFC 9112 3.2", "NUL in the target", "GET /a\0b HTTP/1.1"),
        ("RFC 9112 3.2", "a control byte in the target", "GET /a\x01b HTTP/1.1"),
        ("RFC 9112 3.2", "DEL in the target", "GET /a\x7fb HTTP/1.1"),
        ("RFC 9112 3.2", "a backslash for a slash", "GET \\a HTTP/1.1"),
        ("RFC 9112 3.2", "a query without path", "GET ?a HTTP/1.1"),
    ] {
        cases.push(not_http(with_line(source, name, line)));
    }
    cases
}

fn absolute() -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, name, target, path) in [
        ("RFC 9112 3.2.2", "an absolute target is taken", "https://localhost/a?b", "/a?b"),
        ("RFC 9112 3.2.1", "an absolute target without path has the path /", "https://localhost", "/"),
        ("RFC 9110 4.2.3", "an absolute target with a query alone has the path /", "https://localhost?a", "/?a"),
        ("RFC 3986 3.1", "a scheme has no case", "HTTPS://localhost/a", "/a"),
    ] {
        let line = format!("GET {path} HTTP/1.1");
        cases.push(
            with_line(source, name, format!("GET {target} HTTP/1.1")).must(as_line(&line).sees("host", "localhost")),
        );
    }
    let other = b"GET https://example.org/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    cases.push(
        Case::http1("RFC 9112 3.2.2", "request line: an absolute target wins over Host", other)
            .must(as_line("GET /a HTTP/1.1").sees("host", "example.org"))
            .or(refused(&[400, 404, 421])),
    );
    for (source, name, target) in [
        ("RFC 9110 4.2.4", "user information in the target", "https://user:secret@localhost/a"),
        ("RFC 9110 7.4", "a target of another scheme over TLS", "http://localhost/a"),
        ("RFC 9110 7.4", "a target of a scheme that is not HTTP", "ftp://localhost/a"),
    ] {
        cases.push(
            with_line(source, name, format!("GET {target} HTTP/1.1"))
                .must(refused(&[400, 403, 404, 421]))
                .or(as_line("GET /a HTTP/1.1").sees("host", "localhost")),
        );
    }
    for (source, name, target) in [
        ("RFC 9110 4.2.2", "an absolute target with an empty host", "https:///a"),
        ("RFC 9110 4.2.2", "an absolute target without host", "https:/a"),
        ("RFC 9112 3.2.2", "an absolute target with a port that is no number", "https://localhost:x/a"),
    ] {
        cases.push(not_http(with_line(source, name, format!("GET {target} HTTP/1.1"))));
    }
    cases
}

fn versions() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, version) in [("a later minor version is as good as 1.1, or refused", "HTTP/1.2"), ("1.9 is", "HTTP/1.9")]
    {
        cases.push(
            with_line("RFC 9110 2.5", &format!("{name}: {version}"), format!("GET / {version}"))
                .must(as_line("GET / HTTP/1.1"))
                .or(passed_once().line("GET / HTTP/1.1"))
                .or(refused(&[400, 505])),
        );
    }
    for (name, version) in [
        ("HTTP/2.0 as a version", "HTTP/2.0"),
        ("HTTP/3.0 as a version", "HTTP/3.0"),
        ("HTTP/0.9 as a version", "HTTP/0.9"),
        ("two digits", "HTTP/1.10"),
        ("no minor version", "HTTP/1"),
        ("small letters", "http/1.1"),
        ("something behind it", "HTTP/1.1x"),
        ("a zero before it", "HTTP/01.1"),
        ("a sign before it", "HTTP/+1.1"),
        ("a space in it", "HTTP/ 1.1"),
        ("another protocol", "ICAP/1.0"),
    ] {
        cases.push(
            with_line("RFC 9112 2.3", &format!("the version: {name}"), format!("GET / {version}"))
                .must(refused(&[400, 505]))
                .or(cut()),
        );
    }
    cases.push(with_line("RFC 9112 3", "no version", "GET /").must(refused(&[400, 505])).or(cut()));
    let old = |name: &str, more: &str| {
        let bytes = format!("GET /a HTTP/1.0\r\n{more}\r\n");
        Case::http1("RFC 9112 9.3", format!("request line: HTTP/1.0 {name}"), bytes)
    };
    cases.push(
        old("with Host is served, and closed", "Host: localhost\r\n").must(passed_once().content("hello").closed()),
    );
    cases.push(
        old("that asks for it may be kept open", "Host: localhost\r\nConnection: keep-alive\r\n")
            .must(passed().content("hello"))
            .or(passed_once().content("hello").closed()),
    );
    cases.push(
        old("without Host is served, or refused", "")
            .must(passed_once().content("hello").closed())
            .or(refused(&[400, 404, 421])),
    );
    cases
}

fn methods() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, method) in [
        ("get is not GET", "get"),
        ("one that nobody knows", "FROBNICATE"),
        ("one with a hyphen", "M-SEARCH"),
        ("all that a token may hold", "A!#$%&'*+-.^_`|~0"),
    ] {
        cases.push(
            with_line("RFC 9110 9.1", &format!("the method: {name}"), format!("{method} / HTTP/1.1"))
                .must(as_line(&format!("{method} / HTTP/1.1")))
                .or(refused(&[400, 405, 501])),
        );
    }
    for (name, method) in [
        ("@ in it", "G@T"),
        ("a colon in it", "G:ET"),
        ("in brackets", "(GET)"),
        ("past ASCII", "G\u{c9}T"),
        ("quoted", "\"GET\""),
    ] {
        cases.push(not_http(with_line(
            "RFC 9110 5.6.2",
            &format!("the method: {name}"),
            format!("{method} / HTTP/1.1"),
        )));
    }
    cases.push(not_http(with_line("RFC 9112 3.1", "no method", " / HTTP/1.1")));
    cases.push(not_http(Case::http1("RFC 9112 3", "request line: one word", "hello\r\n\r\n")));
    cases.push(
        Case::http1(
            "RFC 9113 3.4",
            "request line: the preface of HTTP/2 where HTTP/1.1 was agreed on",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        )
        .must(refused(&[400, 405, 421, 505]))
        .or(cut()),
    );
    cases
}

fn whitespace() -> Vec<Case> {
    let mut cases = Vec::new();
    let good = "GET /a HTTP/1.1";
    for (name, line) in [
        ("two spaces", "GET  /a HTTP/1.1"),
        ("a tab", "GET\t/a HTTP/1.1"),
        ("a form feed", "GET /a\x0cHTTP/1.1"),
        ("a space at the end", "GET /a HTTP/1.1 "),
        ("a space before it", " GET /a HTTP/1.1"),
        ("a bare CR", "GET /a\rHTTP/1.1"),
    ] {
        cases.push(
            with_line("RFC 9112 3", &format!("{name} is one space, or refused"), line)
                .must(refused(&[400]))
                .or(cut())
                .or(as_line(good)),
        );
    }
    cases.push(
        Case::http1(
            "RFC 9112 2.2",
            "request line: bare LF is a line's end, or refused",
            "GET /a HTTP/1.1\nHost: localhost\n\n",
        )
        .must(refused(&[400]))
        .or(cut())
        .or(as_line(good)),
    );
    cases.push(
        Case::http1(
            "RFC 9112 2.2",
            "request line: an empty line before it is passed over",
            format!("\r\n{good}\r\nHost: localhost\r\n\r\n"),
        )
        .must(as_line(good)),
    );
    let behind = "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc\r\n";
    cases.push(
        Case::http1("RFC 9112 2.2", "request line: an empty line behind a body is passed over", behind)
            .must(passed().body("abc")),
    );
    let two = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n";
    cases.push(
        Case::http1("RFC 9112 9.3.2", "request line: two requests at once are answered in their order", two)
            .finals(2)
            .answers(vec![
                super::harness::case::answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"),
                super::harness::case::answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"),
            ])
            .must(
                Outcome::default()
                    .requests(2)
                    .content("first")
                    .lives()
                    .that("the second is answered second", |got| got.responses[1].body == b"second"),
            ),
    );
    cases
}

fn lengths() -> Vec<Case> {
    let long = |length: usize| format!("/{}", "a".repeat(length - 1));
    vec![
        with_line("RFC 9112 3", "a line of 8,000 bytes is taken", format!("GET {} HTTP/1.1", long(7_980)))
            .must(as_line(&format!("GET {} HTTP/1.1", long(7_980)))),
        with_line(
            "RFC 9110 15.5.15",
            "a target of 20 KiB is too long, or taken",
            format!("GET {} HTTP/1.1", long(20_480)),
        )
        .must(refused(&[400, 414, 431]))
        .or(as_line(&format!("GET {} HTTP/1.1", long(20_480)))),
        Case::http1(
            "RFC 9112 2.3",
            "request line: one that never ends is refused",
            format!("GET {}", "/a".repeat(2 << 20)),
        )
        .must(refused(&[400, 414, 431]))
        .or(cut()),
    ]
}
