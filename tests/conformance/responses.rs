//! What endpoints send: no client may read it otherwise than we did (RFC 9112, sections 4, 6 and 8).

use super::harness::case::{
    Answer, Case, Check, Outcome, Then, answer, answer_and_close, at_head, ok, outcome, passed, passed_once, pieces,
};
use super::harness::frames::get;

const GET: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The same over both versions.
fn both(source: &'static str, name: &str, answer: Answer) -> [Case; 2] {
    let case =
        |version, case: Case| Case { name: format!("response: {name}, over {version}"), ..case }.answer(answer.clone());
    [case("HTTP/1.1", Case::http1(source, "", GET)), case("HTTP/2", Case::h2(source, "", [get(1, "/a", &[])]))]
}

/// A gateway's own error: the endpoint's was no answer.
fn no_answer() -> Outcome {
    outcome().that("500, 502, 504, or the stream is reset", |got| match got.responses.first() {
        Some(response) if response.status > 0 => [500, 502, 504].contains(&response.status),
        Some(_) | None => got.resets.contains_key(&1),
    })
}

/// It broke off, and the client can tell (RFC 9112, section 8).
fn broken_off(case: Case) -> Case {
    case.must(no_answer()).or(outcome().requests(1).check(Check::BrokenOff)).or(outcome()
        .requests(1)
        .check(Check::NoAnswer)
        .that("cut, or reset", |got| got.resets.contains_key(&1) || got.end == super::harness::got::End::Closed))
}

pub fn cases() -> Vec<Case> {
    let mut cases = status_lines();
    cases.extend(framing());
    cases.extend(broken());
    cases.extend(desync());
    cases.extend(others());
    cases
}

fn status_lines() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, line) in [
        ("no version", "200 OK"),
        ("another protocol", "ICY 200 OK"),
        ("HTTP/2.0 as a version", "HTTP/2.0 200 OK"),
        ("a status of two digits", "HTTP/1.1 20 OK"),
        ("a status of four digits", "HTTP/1.1 2000 OK"),
        ("a status that is no number", "HTTP/1.1 abc OK"),
        ("a status below 100", "HTTP/1.1 099 OK"),
        ("a status of 0", "HTTP/1.1 000 OK"),
        ("nothing but the version", "HTTP/1.1"),
        ("a negative status", "HTTP/1.1 -20 OK"),
        ("NUL in its reason", "HTTP/1.1 200 O\0K"),
    ] {
        let bytes = format!("{line}\r\nContent-Length: 5\r\n\r\nhello");
        for case in both("RFC 9112 4", &format!("a status line with {name} is no answer"), answer_and_close(bytes)) {
            let case = case.must(no_answer()).or(outcome().at_most(1).check(Check::NoAnswer).closed());
            // Leniently read, it must be good HTTP to the client: that is judged in every case.
            cases.push(if name.contains("reason") { case.or(outcome().status(&[200]).content("hello")) } else { case });
        }
    }
    for case in both(
        "RFC 9110 15",
        "a status of 600 and more is no answer, or passed on",
        answer("HTTP/1.1 700 Odd\r\nContent-Length: 5\r\n\r\nhello"),
    ) {
        cases.push(case.must(no_answer()).or(outcome().requests(1).status(&[700]).content("hello")));
    }
    for case in both(
        "RFC 9112 2.3",
        "an HTTP/1.0 answer is one",
        answer_and_close("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ) {
        cases.push(case.must(passed().content("hello")).or(passed_once().content("hello").closed()));
    }
    for case in both("RFC 9112 3", "what is no HTTP at all is no answer", answer_and_close("SSH-2.0-OpenSSH_9.2\r\n")) {
        cases.push(case.must(no_answer()));
    }
    for case in both("RFC 9112 8", "an end without a word is no answer", answer_and_close("")) {
        cases.push(case.must(no_answer()));
    }
    cases
}

fn framing() -> Vec<Case> {
    let mut cases = Vec::new();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (source, name, good) in [
        ("RFC 9112 7.1", "chunks are a body", answer(format!("{chunked}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"))),
        (
            "RFC 9112 7.1.1",
            "extensions of chunks are passed over",
            answer(format!("{chunked}5;a=b\r\nhello\r\n0;c\r\n\r\n")),
        ),
        (
            "RFC 9112 7.1",
            "chunks may come in any pieces",
            pieces(&[chunked, "2\r", "\nhe\r\n", "3\r\nl", "lo", "\r\n0\r\n", "\r\n"]),
        ),
        (
            "RFC 9112 2.1",
            "a head may come in any pieces",
            pieces(&["HT", "TP/1.1 200 OK\r", "\nContent-Le", "ngth: 5\r\n\r", "\nhel", "lo"]),
        ),
        (
            "RFC 9112 6.3",
            "the same length twice is one, or no answer",
            answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ),
    ] {
        for case in both(source, name, good.clone()) {
            let case = case.must(passed().content("hello"));
            cases.push(if name.contains("twice") { case.or(no_answer()) } else { case });
        }
    }
    for case in both(
        "RFC 9110 6.5",
        "a trailer is passed on as one, or left out",
        answer(format!("{chunked}5\r\nhello\r\n0\r\nX-Sum: 6\r\n\r\n")),
    ) {
        cases.push(
            case.must(
                passed().content("hello").check(Check::ResponseTrailer("x-sum".into(), "6".into())).no_field("x-sum"),
            )
            .or(passed().content("hello").check(Check::NoResponseTrailer("x-sum".into())).no_field("x-sum")),
        );
    }
    for field in [
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        "Set-Cookie: a=b",
        "Content-Type: text/evil",
        "Location: /evil",
    ] {
        let name = field.split(':').next().unwrap_or_default().to_lowercase();
        for case in both(
            "RFC 9110 6.5.1",
            &format!("{name} as a trailer stops here"),
            answer(format!("{chunked}5\r\nhello\r\n0\r\n{field}\r\n\r\n")),
        ) {
            cases.push(
                case.must(passed().content("hello").check(Check::NoResponseTrailer(name.clone())))
                    .or(passed_once().content("hello").check(Check::NoResponseTrailer(name.clone())).closed())
                    .or(no_answer()),
            );
        }
    }
    for (source, name, fields) in [
        (
            "RFC 9112 6.3",
            "a length and chunks are chunks, or no answer",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "RFC 9112 6.3",
            "chunks and a length are chunks, or no answer",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        ),
    ] {
        for case in both(source, name, answer(format!("HTTP/1.1 200 OK\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n"))) {
            cases.push(
                case.must(passed_once().content("hello").no_field("transfer-encoding"))
                    .or(passed_once().content("hello").no_field("content-length"))
                    .or(no_answer()),
            );
        }
    }
    cases
}

fn broken() -> Vec<Case> {
    let mut cases = Vec::new();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (source, name, bytes) in [
        ("RFC 9112 6.3", "two lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 3\r\n\r\nhello".to_owned()),
        ("RFC 9112 6.3", "a list of lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 5, 3\r\n\r\nhello".to_owned()),
        ("RFC 9112 6.3", "a length that is no number", "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello".to_owned()),
        ("RFC 9112 6.3", "a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello".to_owned()),
        ("RFC 9112 6.3", "a length past 2 to the power of 64", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello".to_owned()),
        ("RFC 9112 6.1", "a coding that nobody knows", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("RFC 9112 6.1", "gzip below chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("RFC 9112 6.1", "chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("RFC 9112 8", "a body that ends before its length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_owned()),
        ("RFC 9112 8", "chunks without a last one", format!("{chunked}5\r\nhello\r\n")),
        ("RFC 9112 8", "an end within a chunk", format!("{chunked}a\r\nhello")),
        ("RFC 9112 8", "an end within a chunk's size", format!("{chunked}5\r\nhello\r\n1")),
        ("RFC 9112 8", "an end within the trailers", format!("{chunked}5\r\nhello\r\n0\r\nX-Sum: 6\r\n")),
        ("RFC 9112 7.1", "a chunk's size that is no number", format!("{chunked}z\r\nhello\r\n0\r\n\r\n")),
        ("RFC 9112 7.1", "a chunk's size with a sign", format!("{chunked}+5\r\nhello\r\n0\r\n\r\n")),
        ("RFC 9112 7.1", "a chunk longer than its size", format!("{chunked}3\r\nhello\r\n0\r\n\r\n")),
        ("RFC 9112 7.1", "a chunk of 2 to the power of 64 and 5", format!("{chunked}10000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("RFC 9112 8", "an end within the head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-".to_owned()),
    ] {
        for case in both(source, &format!("{name} is never a whole answer"), answer_and_close(bytes.clone())) {
            cases.push(broken_off(case));
        }
    }
    for case in both(
        "RFC 9110 5.4",
        "a head without end is cut off",
        Answer {
            whole: vec![b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-A: b\r\n".repeat(2000)],
            then: Then::Endless,
            ..Answer::default()
        },
    ) {
        cases.push(case.window(8000).must(no_answer()));
    }
    for case in both(
        "RFC 9110 5.4",
        "a line without end is cut off",
        Answer {
            whole: vec![b"HTTP/1.1 200 OK\r\nX-A: ".to_vec(), vec![b'b'; 16_384]],
            then: Then::Endless,
            ..Answer::default()
        },
    ) {
        cases.push(case.window(8000).must(no_answer()));
    }
    for case in both(
        "RFC 9112 7.1.2",
        "trailers without end are cut off",
        Answer {
            whole: vec![format!("{chunked}5\r\nhello\r\n0\r\n").into_bytes(), b"X-A: b\r\n".repeat(2000)],
            then: Then::Endless,
            ..Answer::default()
        },
    ) {
        cases.push(broken_off(case.window(8000)).or(passed_once().content("hello")));
    }
    for case in both(
        "RFC 9112 7.1.1",
        "an extension of a chunk without end is cut off",
        Answer {
            whole: vec![format!("{chunked}5;").into_bytes(), vec![b'b'; 16_384]],
            then: Then::Endless,
            ..Answer::default()
        },
    ) {
        cases.push(broken_off(case.window(8000)));
    }
    cases
}

/// Bytes that belong to no answer must never be taken for the next one.
fn desync() -> Vec<Case> {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let mut cases = Vec::new();
    for (source, name, bytes) in [
        (
            "RFC 9112 6.3",
            "more bytes than the length are nobody's answer",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello{evil}"),
        ),
        (
            "RFC 9112 9.2",
            "a second response is nobody's answer",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{evil}"),
        ),
        (
            "RFC 9112 6.3",
            "a response behind one with both lengths is nobody's answer",
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{evil}"
            ),
        ),
        (
            "RFC 9112 9.3",
            "a response behind one that says close is nobody's answer",
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello{evil}"),
        ),
    ] {
        for case in both(source, name, answer(bytes.clone())) {
            cases.push(
                case.must(passed().content("hello"))
                    .or(passed_once().content("hello").closed())
                    .or(no_answer().lives()),
            );
        }
    }
    for case in both(
        "RFC 9112 9.2",
        "a response before its request is nobody's answer",
        answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ) {
        cases.push(
            case.answers(vec![answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello{evil}")), ok()])
                .must(passed().content("hello"))
                .or(no_answer().lives()),
        );
    }
    for (source, name, line) in [
        (
            "RFC 9112 11.1",
            "CR LF written as bytes of UTF-8 in a value splits nothing",
            "X-A: b\u{560d}\u{560a}Set-Cookie: evil=1",
        ),
        ("RFC 9112 11.1", "%0d%0a in a value splits nothing", "Location: /%0d%0aSet-Cookie:%20evil=1"),
    ] {
        for case in both(source, name, answer(format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 5\r\n\r\nhello"))) {
            cases.push(case.must(passed().no_field("set-cookie").content("hello")).or(no_answer()));
        }
    }
    cases
}

fn others() -> Vec<Case> {
    let mut cases = Vec::new();
    for case in both(
        "RFC 6265 3",
        "Set-Cookie fields stay apart",
        answer("HTTP/1.1 200 OK\r\nSet-Cookie: a=b, c\r\nSet-Cookie: d=e\r\nContent-Length: 5\r\n\r\nhello"),
    ) {
        cases.push(case.must(passed().that("two, in their order", |got| {
            let cookies: Vec<&[u8]> = got.responses[0]
                .fields
                .iter()
                .filter(|(name, _)| name == "set-cookie")
                .map(|(_, value)| &value[..])
                .collect();
            cookies == [b"a=b, c".as_slice(), b"d=e"]
        })));
    }
    for case in both(
        "RFC 9110 6.6.1",
        "a Date of the endpoint's stays the only one",
        answer("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 5\r\n\r\nhello"),
    ) {
        cases.push(case.must(passed().field("date", "Sun, 06 Nov 1994 08:49:37 GMT")));
    }
    for case in both("RFC 9110 6.6.1", "where an endpoint sends no Date, there is one Date", ok()) {
        cases.push(
            case.must(passed().that("one Date", |got| {
                got.responses[0].fields.iter().filter(|(name, _)| name == "date").count() == 1
            })),
        );
    }
    let coded = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n\x1f\x8b\x08\x00\x00";
    for (version, case) in [
        (
            "HTTP/1.1",
            Case::http1("RFC 9110 8.4", "", "GET /a HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n"),
        ),
        ("HTTP/2", Case::h2("RFC 9110 8.4", "", [get(1, "/a", &[("accept-encoding", "gzip")])])),
    ] {
        cases.push(
            Case { name: format!("response: a coded body is passed on as it is, over {version}"), ..case }
                .answer(answer(coded))
                .must(passed().field("content-encoding", "gzip").content(b"\x1f\x8b\x08\x00\x00")),
        );
    }
    for case in both(
        "RFC 9110 5.5",
        "a value past ASCII is passed on as it is",
        answer(b"HTTP/1.1 200 OK\r\nX-A: caf\xe9\r\nContent-Length: 5\r\n\r\nhello".as_slice()),
    ) {
        cases.push(case.must(passed().field("x-a", b"caf\xe9")).or(no_answer()));
    }
    let upload = format!("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{}", "x".repeat(1000));
    cases.push(
        Case::http1("RFC 9112 9.5", "response: one that comes before the upload's end reaches the client", upload)
            .answer(at_head(
                "HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
                Answer { then: Then::Close, ..Answer::default() },
            ))
            .must(outcome().requests(1).status(&[413]).content("no")),
    );
    for (name, length) in [("1 MiB with a length", "Content-Length: 1048576\r\n"), ("1 MiB until the end", "")] {
        let bytes = [format!("HTTP/1.1 200 OK\r\n{length}\r\n").as_bytes(), &vec![b'x'; 1 << 20]].concat();
        cases.push(Case::http1("RFC 9112 6.3", format!("response: {name}"), GET).answer(answer_and_close(bytes)).must(
            passed_once().that("all of it", |got| got.responses[0].whole && got.responses[0].body.len() == 1 << 20),
        ));
    }
    cases.push(
        Case::http1(
            "RFC 9112 9.8",
            "response: one that ends with its connection ends TLS first",
            "GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n",
        )
        .answer(answer_and_close("HTTP/1.1 200 OK\r\n\r\nhello"))
        .must(passed_once().content("hello").closed().that("a close_notify", |got| got.close_notify)),
    );
    cases.push(
        Case::http1(
            "RFC 9112 9.8",
            "response: one that breaks off and would end with its connection does not end TLS well",
            "GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n",
        )
        .answer(answer_and_close(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n{}",
            "x".repeat(0x1_0000)
        )))
        .must(outcome().status(&[502]))
        .or(outcome().status(&[200]).that("no close_notify", |got| !got.close_notify))
        .or(outcome().check(Check::NoAnswer).closed()),
    );
    cases
}
