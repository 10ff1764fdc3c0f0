//! Requests over HTTP/2: pseudo-fields, names, values, lengths (RFC 9113, section 8).

use super::harness::case::{Case, Check, Outcome, Step, outcome, passed, refused};
use super::harness::frames::{
    CANCEL, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, data, frame, get, headers, post, rst,
};
use super::harness::hpack;

const BASE: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/a")];

/// A malformed request: a stream error, which may be made a connection error, or an answer that says so (RFC 9113, sections 8.1.1
/// and 5.4).
pub fn malformed() -> Outcome {
    outcome().check(Check::NoneWhole).that("400, RST_STREAM or GOAWAY of PROTOCOL_ERROR", |got| {
        got.resets.get(&1) == Some(&PROTOCOL_ERROR)
            || got.goaway == Some(PROTOCOL_ERROR)
            || got.responses.first().is_some_and(|response| response.status == 400)
    })
}

fn with(name: &str, fields: &[(&str, &str)]) -> Case {
    Case::h2("RFC 9113 8.3.1", format!("h2: {name}"), [headers(1, END_STREAM, fields)])
}

fn more(source: &'static str, name: &str, field: (&[u8], &[u8])) -> Case {
    let block = [hpack::block(&BASE), hpack::literal(field.0, field.1)].concat();
    Case::h2(source, format!("h2: {name}"), [frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)])
}

pub fn cases() -> Vec<Case> {
    let mut cases = pseudo();
    cases.extend(fields());
    cases.extend(bodies());
    cases.extend(cookies());
    cases
}

fn pseudo() -> Vec<Case> {
    let mut cases =
        vec![with("a request is one", &BASE).must(passed().line("GET /a HTTP/1.1").sees("host", "localhost"))];
    for missing in [":method", ":scheme", ":path"] {
        let fields: Vec<_> = BASE.into_iter().filter(|(name, _)| *name != missing).collect();
        cases.push(with(&format!("no {missing} is malformed"), &fields).must(malformed()));
    }
    for twice in BASE {
        let fields = [&BASE[..], &[twice]].concat();
        cases.push(with(&format!("{} twice is malformed", twice.0), &fields).must(malformed()));
    }
    for (name, at, value) in [
        ("an empty :path is malformed", 3, ""),
        ("a :path without slash is malformed", 3, "a"),
        ("* as :path of a GET is malformed", 3, "*"),
        ("an absolute :path is malformed", 3, "https://localhost/a"),
        ("a space in :path is malformed", 3, "/a b"),
        ("a request line in :path is malformed", 3, "/a HTTP/1.1\r\nX-A: b"),
        ("LF in :path is malformed", 3, "/a\nb"),
        ("NUL in :path is malformed", 3, "/a\0b"),
        ("a control byte in :path is malformed", 3, "/a\x01b"),
        ("an empty :method is malformed", 0, ""),
        ("a space in :method is malformed", 0, "GET /hidden"),
        ("CR LF in :method is malformed", 0, "GET / HTTP/1.1\r\nX-A: b\r\n"),
        ("a :scheme that is none is malformed", 1, "ht tps"),
        ("CR LF in :scheme is malformed", 1, "https\r\nX-A: b"),
        ("an empty :scheme is malformed", 1, ""),
    ] {
        let mut fields = BASE;
        fields[at].1 = value;
        let case = with(name, &fields).must(malformed());
        cases.push(if name.contains(":method") { case.or(refused(&[405, 501])) } else { case });
    }
    let mut fragment = BASE;
    fragment[3].1 = "/a#b";
    cases.push(
        with("a fragment in :path is malformed, or not passed on", &fragment)
            .must(malformed())
            .or(passed().line("GET /a HTTP/1.1")),
    );
    let mut other = BASE;
    other[1].1 = "http";
    cases.push(
        with("a :scheme unlike the connection's is refused, or https to the endpoint", &other)
            .must(malformed())
            .or(refused(&[421]))
            .or(passed().sees("x-forwarded-proto", "https")),
    );
    cases.push(
        with("a pseudo-field that nobody knows is malformed", &[&BASE[..], &[(":evil", "b")]].concat())
            .must(malformed()),
    );
    cases.push(
        with(":status in a request is malformed", &[&BASE[..], &[(":status", "200")]].concat()).must(malformed()),
    );
    cases.push(
        with("a pseudo-field behind a field is malformed", &[&BASE[..3], &[("x-a", "b"), (":path", "/a")]].concat())
            .must(malformed()),
    );
    cases.push(
        with(
            "OPTIONS * is passed on, answered, or refused",
            &[(":method", "OPTIONS"), (":scheme", "https"), (":authority", "localhost"), (":path", "*")],
        )
        .must(passed().line("OPTIONS * HTTP/1.1"))
        .or(outcome().requests(0).status(&[200, 204, 400, 403, 404, 405, 501]))
        .or(malformed()),
    );
    cases
}

fn fields() -> Vec<Case> {
    let mut cases = Vec::new();
    let list: [(&str, &[u8], &[u8]); 18] = [
        ("a capital letter in a name", b"X-A", b"b"),
        ("an empty name", b"", b"b"),
        ("a space in a name", b"x a", b"b"),
        ("a colon in a name", b"x:a", b"b"),
        ("CR LF in a name", b"x-a\r\nhost", b"evil"),
        ("NUL in a name", b"x\0a", b"b"),
        ("DEL in a name", b"x\x7fa", b"b"),
        ("a byte past ASCII in a name", b"x\xe9", b"b"),
        ("LF in a value", b"x-a", b"b\nx-b: c"),
        ("CR LF in a value", b"x-a", b"b\r\nx-b: c"),
        ("CR in a value", b"x-a", b"b\rc"),
        ("NUL in a value", b"x-a", b"b\0c"),
        ("a whole request in a value", b"x-a", b"b\r\n\r\nGET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("connection", b"connection", b"close"),
        ("keep-alive", b"keep-alive", b"timeout=5"),
        ("proxy-connection", b"proxy-connection", b"keep-alive"),
        ("transfer-encoding", b"transfer-encoding", b"chunked"),
        ("upgrade", b"upgrade", b"websocket"),
    ];
    for (name, field, value) in list {
        let source = if name.contains("name") || name.contains("value") { "RFC 9113 8.2.1" } else { "RFC 9113 8.2.2" };
        cases.push(more(source, &format!("{name} is malformed"), (field, value)).must(malformed()));
    }
    for (name, value) in [("a space before a value", " b"), ("a tab behind a value", "b\t")] {
        // 8.2.1: MUST NOT start or end with whitespace; a minimal check may pass it on without.
        cases.push(
            more("RFC 9113 8.2.1", &format!("{name} is malformed, or not part of it"), (b"x-a", value.as_bytes()))
                .must(malformed())
                .or(passed().sees("x-a", "b")),
        );
    }
    cases.push(
        more("RFC 9113 8.2.1", "a control byte in a value is malformed, or kept", (b"x-a", b"b\x01c"))
            .must(malformed())
            .or(passed().sees("x-a", b"b\x01c")),
    );
    cases.push(more("RFC 9113 8.2.1", "an empty value is a value", (b"x-a", b"")).must(passed().sees("x-a", "")));
    cases.push(
        more("RFC 9113 8.2.1", "bytes past ASCII in a value", (b"x-a", b"caf\xe9"))
            .must(passed().sees("x-a", b"caf\xe9"))
            .or(malformed()),
    );
    cases.push(
        more("CVE-2016-5385", "Proxy over HTTP/2 stops here", (b"proxy", b"http://evil"))
            .must(passed().sees_no("proxy"))
            .or(malformed()),
    );
    cases.push(
        more(
            "RFC 9113 8.2.2",
            "a name that differs from a length's by an underscore frames nothing",
            (b"content_length", b"3"),
        )
        .must(passed().body(""))
        .or(malformed()),
    );
    cases.push(
        more("RFC 9113 8.2.2", "http2-settings stops here", (b"http2-settings", b"AAMAAABk"))
            .must(passed())
            .or(malformed()),
    );
    let many: Vec<(String, String)> = (0..80).map(|at| (format!("x-{at}"), at.to_string())).collect();
    let many: Vec<(&str, &str)> =
        BASE.into_iter().chain(many.iter().map(|(name, value)| (name.as_str(), value.as_str()))).collect();
    cases.push(with("80 fields are taken", &many).must(passed().sees("x-79", "79")));
    cases
}

fn bodies() -> Vec<Case> {
    let mut cases = vec![
        Case::h2(
            "RFC 9113 8.1",
            "h2: DATA is a body",
            [post(1, "/a", &[]), data(1, 0, b"ab"), data(1, END_STREAM, b"c")],
        )
        .must(passed().body("abc")),
        Case::h2(
            "RFC 9113 8.1",
            "h2: an empty DATA frame may end a body",
            [post(1, "/a", &[]), data(1, 0, b"abc"), data(1, END_STREAM, b"")],
        )
        .must(passed().body("abc")),
        Case::h2(
            "RFC 9113 8.1.1",
            "h2: a length that fits",
            [post(1, "/a", &[("content-length", "3")]), data(1, END_STREAM, b"abc")],
        )
        .must(passed().body("abc")),
        Case::h2(
            "RFC 9113 8.1.1",
            "h2: a POST that ends with its head has no body",
            [super::harness::frames::request(1, END_STREAM, "POST", "/a", &[])],
        )
        .must(passed().body("")),
        Case::h2("RFC 9113 8.1", "h2: a GET may have a body", [headers(1, 0, &BASE), data(1, END_STREAM, b"abc")])
            .must(passed().body("abc"))
            .or(malformed()),
        Case::h2(
            "RFC 9113 8.1",
            "h2: a body looks like a request and is a body",
            [post(1, "/a", &[]), data(1, END_STREAM, b"0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n")],
        )
        .must(passed().body("0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n")),
    ];
    for (name, length, body) in [
        ("a length longer than the body", "10", "abc"),
        ("a length shorter than the body", "1", "abc"),
        ("a length of 0 and a body", "0", "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("a length that is no number", "x", "abc"),
        ("a length with a sign", "+3", "abc"),
        ("a length past 2 to the power of 64", "18446744073709551619", "abc"),
    ] {
        cases.push(
            Case::h2(
                "RFC 9113 8.1.1",
                format!("h2: {name} is malformed"),
                [post(1, "/a", &[("content-length", length)]), data(1, END_STREAM, body.as_bytes())],
            )
            .must(malformed())
            .or(outcome().check(Check::NoneWhole).status(&[400, 408, 413, 500, 502])),
        );
    }
    cases.push(
        Case::h2(
            "RFC 9113 8.1.1",
            "h2: two lengths that differ are malformed",
            [post(1, "/a", &[("content-length", "3"), ("content-length", "4")]), data(1, END_STREAM, b"abc")],
        )
        .must(malformed()),
    );
    cases.push(
        Case::h2(
            "RFC 9113 8.1.1",
            "h2: a length and no body is malformed",
            [super::harness::frames::request(1, END_STREAM, "POST", "/a", &[("content-length", "3")])],
        )
        .must(malformed()),
    );
    let trailers = |name: &str, fields: &[(&str, &str)], flags: u8| {
        Case::h2(
            "RFC 9113 8.1",
            format!("h2: {name}"),
            [post(1, "/a", &[]), data(1, 0, b"abc"), headers(1, flags, fields)],
        )
    };
    cases.push(
        trailers("a trailer is passed on as one, or left out", &[("x-sum", "6")], END_STREAM)
            .must(passed().body("abc").trailer("x-sum", "6").sees_no("x-sum"))
            .or(passed().body("abc").no_trailer("x-sum").sees_no("x-sum")),
    );
    cases.push(trailers("trailers that do not end the stream are malformed", &[("x-sum", "6")], 0).must(malformed()));
    cases.push(
        trailers("a pseudo-field in trailers is malformed", &[(":path", "/hidden")], END_STREAM).must(malformed()),
    );
    let (half, rest) = b"\x00\x05:path\x02/b".split_at(4);
    for (how, frames) in [
        ("by its index", vec![frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x84")]),
        ("by Huffman's code", vec![frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x84\xb9\x58\xd3\x3f\x01/")]),
        ("cut by CONTINUATION", vec![frame(HEADERS, END_STREAM, 1, half), frame(CONTINUATION, END_HEADERS, 1, rest)]),
        ("by its place in the client's table", vec![frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xbe")]),
    ] {
        // Its path goes into the table.
        let head = [&b"\x83\x87"[..], &hpack::block(&BASE[2..3]), b"\x44\x02/a"].concat();
        let frames = [vec![frame(HEADERS, END_HEADERS, 1, &head), data(1, 0, b"abc")], frames].concat();
        let name = format!("h2: a pseudo-field in trailers is malformed, {how}, too");
        cases.push(Case::h2("RFC 9113 8.1", name, frames).must(malformed()));
    }
    cases.push(trailers("a capital letter in trailers is malformed", &[("X-Sum", "6")], END_STREAM).must(malformed()));
    cases.push(
        trailers("CR LF in a trailer is malformed", &[("x-sum", "6\r\nx-b: c")], END_STREAM)
            .must(malformed())
            .or(passed().body("abc").no_trailer("x-sum")),
    );
    for field in ["content-length", "host", "transfer-encoding", "authorization", "x-forwarded-for"] {
        cases.push(
            trailers(&format!("{field} as a trailer stops here"), &[(field, "3")], END_STREAM)
                .must(passed().body("abc").no_trailer(field))
                .or(malformed()),
        );
    }
    cases.push(
        Case::h2(
            "RFC 9113 8.1",
            "h2: a body that is reset is never a whole one",
            [post(1, "/a", &[("content-length", "10")]), data(1, 0, b"abc")],
        )
        .then(Step::AwaitEndpoint(1))
        .then_send(rst(1, CANCEL))
        .streams(&[])
        .must(outcome().lives().check(Check::NoneWhole)),
    );
    cases.push(
        Case::h2(
            "RFC 9113 5.1",
            "h2: streams are answered side by side",
            [get(1, "/a", &[]), get(3, "/b", &[]), get(5, "/c", &[])],
        )
        .streams(&[1, 3, 5])
        .must(outcome().requests(3).lives().that("three answers", |got| {
            got.responses.len() == 3 && got.responses.iter().all(|response| response.body == b"hello")
        })),
    );
    cases
}

/// Cookies may come in pieces (RFC 9113, section 8.2.3).
fn cookies() -> Vec<Case> {
    vec![
        with(
            "a cookie in pieces is one field to the endpoint",
            &[&BASE[..], &[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")]].concat(),
        )
        .must(passed().sees("cookie", "a=b; c=d; e=f")),
        with("a cookie in one piece stays as it is", &[&BASE[..], &[("cookie", "a=b; c=d")]].concat())
            .must(passed().sees("cookie", "a=b; c=d")),
    ]
}
