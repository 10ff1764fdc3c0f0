//! Host and `:authority`: there must be one, and it must be a host (RFC 9112, section 3.2; RFC 9110, section 7.2).

use super::h2_requests::malformed;
use super::harness::case::{Case, Outcome, cut, passed, refused};
use super::harness::frames::{END_STREAM, PROTOCOL_ERROR, headers};

fn with_lines(source: &'static str, name: &str, lines: &str) -> Case {
    Case::http1(source, format!("host: {name}"), format!("GET /a HTTP/1.1\r\n{lines}\r\n"))
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (source, name, lines) in [
        ("RFC 9112 3.2", "none", "X-A: b\r\n"),
        ("RFC 9112 3.2", "two that differ", "Host: localhost\r\nHost: example.org\r\n"),
        ("RFC 9112 3.2", "two that are the same", "Host: localhost\r\nHost: localhost\r\n"),
        ("RFC 9112 3.2", "a second one far behind", "Host: localhost\r\nX-A: b\r\nhost: evil\r\n"),
        ("RFC 9110 7.2", "a path in it", "Host: localhost/a\r\n"),
        ("RFC 9110 4.2.4", "user information in it", "Host: user@localhost\r\n"),
        ("RFC 9110 7.2", "a space in it", "Host: local host\r\n"),
        ("RFC 9110 7.2", "two hosts in a list", "Host: localhost, example.org\r\n"),
        ("RFC 9110 7.2", "a port that is no number", "Host: localhost:x\r\n"),
        ("RFC 9110 7.2", "a port behind a port", "Host: localhost:80:80\r\n"),
        ("RFC 9110 7.2", "a query in it", "Host: localhost?a\r\n"),
        ("RFC 9110 7.2", "a fragment in it", "Host: localhost#a\r\n"),
        ("RFC 9110 7.2", "a backslash in it", "Host: localhost\\a\r\n"),
        ("RFC 9110 7.2", "a scheme before it", "Host: https://localhost\r\n"),
        ("RFC 3986 3.2.2", "an address in one bracket", "Host: [::1\r\n"),
        ("RFC 3986 3.2.2", "no address in brackets", "Host: [a]\r\n"),
        ("RFC 9110 7.2", "NUL in it", "Host: localhost\0\r\n"),
        ("RFC 9110 7.2", "a byte past ASCII in it", "Host: localh\u{f6}st\r\n"),
        ("RFC 9110 7.2", "a quote in it", "Host: \"localhost\"\r\n"),
        ("RFC 9110 7.2", "an angle bracket in it", "Host: <localhost>\r\n"),
    ] {
        // 404 and 421: no site has that host, and it went nowhere.
        cases.push(with_lines(source, &format!("{name} is refused"), lines).must(refused(&[400, 404, 421])).or(cut()));
    }
    for (source, name, host) in [
        ("RFC 9110 7.2", "a port is part of it", "localhost:8443"),
        ("RFC 9110 4.2.3", "a host has no case", "LOCALHOST"),
        ("RFC 9110 7.2", "the port of the scheme may be told", "localhost:443"),
    ] {
        cases.push(
            with_lines(source, name, &format!("Host: {host}\r\n"))
                .must(passed().sees("host", host))
                .or(passed().sees("host", host.to_lowercase()))
                .or(passed().sees("host", "localhost")),
        );
    }
    cases.push(
        with_lines(
            "RFC 9110 15.5.20",
            "a host that the certificate covers, too, is served, or misdirected",
            "Host: example.org\r\n",
        )
        .must(passed().sees("host", "example.org"))
        .or(refused(&[421])),
    );
    cases.push(
        with_lines("RFC 9112 3.2", "an empty one is refused, or passed on as it is", "Host:\r\n")
            .must(refused(&[400, 404, 421]))
            .or(passed().sees("host", ""))
            .or(passed().sees("host", "localhost")),
    );
    cases.push(
        with_lines("RFC 9112 3.2", "it need not come first", "X-A: b\r\nHost: localhost\r\n")
            .must(passed().sees("host", "localhost")),
    );
    cases.push(
        Case::http1(
            "RFC 9112 3.2.2",
            "host: none beside an absolute target is refused",
            "GET https://localhost/a HTTP/1.1\r\n\r\n",
        )
        .must(refused(&[400])),
    );
    cases.push(
        with_lines(
            "RFC 9110 7.2",
            "X-Forwarded-Host and X-Host choose no host",
            "Host: localhost\r\nX-Forwarded-Host: evil\r\nX-Host: evil\r\n",
        )
        .must(passed().sees("host", "localhost")),
    );
    cases.extend(authority());
    cases
}

/// HTTP/2 has `:authority`; Host beside it must say the same (RFC 9113, section 8.3.1).
fn authority() -> Vec<Case> {
    let with = |name: &str, authority: Option<&str>, hosts: &[&str]| {
        let mut fields = vec![(":method", "GET"), (":scheme", "https"), (":path", "/a")];
        fields.extend(authority.map(|authority| (":authority", authority)));
        fields.extend(hosts.iter().map(|host| ("host", *host)));
        Case::h2("RFC 9113 8.3.1", format!("host: {name}"), [headers(1, END_STREAM, &fields)])
    };
    let served = |host: &str| -> Outcome { passed().sees("host", host) };
    let mut cases = vec![
        with(":authority becomes Host", Some("localhost"), &[]).must(served("localhost")),
        with("Host alone will do over HTTP/2", None, &["localhost"]).must(served("localhost")),
        with("Host and :authority that agree are one", Some("localhost"), &["localhost"]).must(served("localhost")),
        with("neither Host nor :authority is refused", None, &[]).must(refused(&[400, 404, 421])).or(malformed()),
        // The one that counts is :authority; treating the request as malformed is allowed.
        with("Host unlike :authority is refused, or overruled", Some("localhost"), &["example.org"])
            .must(refused(&[400, 421]))
            .or(malformed())
            .or(served("localhost")),
        with("two Hosts over HTTP/2 are refused, or overruled", Some("localhost"), &["localhost", "evil"])
            .must(refused(&[400, 421]))
            .or(malformed())
            .or(served("localhost")),
    ];
    for (name, authority) in [
        ("an empty :authority", ""),
        ("user information in :authority", "user@localhost"),
        ("a path in :authority", "localhost/a"),
        ("a space in :authority", "local host"),
        ("LF in :authority", "localhost\nX-A: b"),
        ("a port in :authority that is no number", "localhost:x"),
    ] {
        cases.push(
            with(&format!("{name} is refused"), Some(authority), &[])
                .must(refused(&[400, 404, 421]))
                .or(malformed())
                .or(Outcome::default().requests(0).check(super::harness::case::Check::Ended(vec![PROTOCOL_ERROR]))),
        );
    }
    cases
}
