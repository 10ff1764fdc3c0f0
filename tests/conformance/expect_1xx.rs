//! Expect, and interim responses: passed on, swallowed, bounded (RFC 9110, sections 10.1.1 and 15.2).

use super::harness::case::{
    Answer, Case, Check, Step, Then, answer, at_head, ok, outcome, passed, passed_once, refused,
};
use super::harness::frames::{END_STREAM, data, get, post};
use super::harness::got::Got;

const GET: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn expecting(version: &str, more: &str) -> String {
    format!("POST /a {version}\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n{more}\r\n")
}

/// 100 came, and nothing else; an endpoint's own beside the proxy's is one more.
fn asked_on(got: &Got) -> bool {
    let mut interim = got.responses[0].interim.iter();
    interim.len() > 0 && interim.all(|(status, _)| *status == 100)
}

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::http1(
            "RFC 9110 10.1.1",
            "expect: whoever waits for 100 gets it, then its answer",
            expecting("HTTP/1.1", ""),
        )
        .then(Step::AwaitHead)
        .then_send("abc")
        .must(passed().body("abc").that("100", asked_on)),
        Case::http1("RFC 9110 10.1.1", "expect: the body may come without waiting", expecting("HTTP/1.1", "") + "abc")
            .must(passed().body("abc").interim(&[]))
            .or(passed().body("abc").that("100", asked_on)),
        Case::http1(
            "RFC 9110 10.1.1",
            "expect: 100-Continue has no case",
            "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-CONTINUE\r\n\r\n",
        )
        .then(Step::AwaitHead)
        .then_send("abc")
        .must(passed().body("abc").that("100", asked_on)),
        Case::http1("RFC 9110 10.1.1", "expect: an HTTP/1.0 client is sent no 100", expecting("HTTP/1.0", "") + "abc")
            .must(passed_once().body("abc").interim(&[])),
        Case::http1(
            "RFC 9110 10.1.1",
            "expect: of a request without body is not waited for",
            "GET /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n",
        )
        .must(passed().interim(&[]))
        .or(passed().that("100", asked_on)),
        Case::http1(
            "RFC 9110 10.1.1",
            "expect: another expectation is passed over, or refused with 417",
            "GET /a HTTP/1.1\r\nHost: localhost\r\nExpect: tea\r\n\r\n",
        )
        .must(passed())
        .or(refused(&[400, 417])),
        Case::http1(
            "RFC 9110 10.1.1",
            "expect: a final answer in place of 100 reaches the client",
            expecting("HTTP/1.1", ""),
        )
        .answer(Answer {
            at_head: vec![b"HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno".to_vec()],
            ..Answer::default()
        })
        .then(Step::AwaitHead)
        .then_send("abc")
        .must(outcome().requests(1).status(&[413]).content("no")),
        Case::h2(
            "RFC 9110 10.1.1",
            "expect: over HTTP/2, too, 100 comes before the answer",
            [post(1, "/a", &[("expect", "100-continue"), ("content-length", "3")])],
        )
        .then(Step::AwaitHead)
        .then_send(data(1, END_STREAM, b"abc"))
        .must(passed().body("abc").that("100", asked_on)),
        Case::http1(
            "RFC 9110 10.1.1",
            "expect: chunks after 100",
            "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        )
        .then(Step::AwaitHead)
        .then_send("3\r\nabc\r\n0\r\n\r\n")
        .must(passed().body("abc").that("100", asked_on)),
    ];
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let final_ = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (version, case) in [
        ("HTTP/1.1", Case::http1("RFC 9110 15.2", "", GET)),
        ("HTTP/2", Case::h2("RFC 9110 15.2", "", [get(1, "/a", &[])])),
    ] {
        cases.push(
            Case { name: format!("1xx: 103 is passed on over {version}"), ..case.clone() }
                .answer(answer(format!("{hints}{final_}")))
                .must(passed().content("hello").interim(&[103]).that("with its Link", |got| {
                    got.responses[0].interim[0]
                        .1
                        .iter()
                        .any(|(name, value)| name == "link" && value == b"</a.css>; rel=preload")
                })),
        );
        cases.push(
            Case { name: format!("1xx: two 103 are passed on in their order over {version}"), ..case.clone() }
                .answer(answer(format!("{hints}{hints}{final_}")))
                .must(passed().content("hello").interim(&[103, 103])),
        );
        cases.push(
            Case {
                name: format!("1xx: a 103 comes when it is sent, not with the answer, over {version}"),
                ..case.clone()
            }
            .answer(at_head(hints, Answer { whole: vec![Vec::new(), final_.as_bytes().to_vec()], ..Answer::default() }))
            .must(passed().content("hello").interim(&[103])),
        );
        cases.push(
            Case {
                name: format!("1xx: a 100 that nobody asked for is passed on, or swallowed, over {version}"),
                source: "RFC 9110 15.2",
                ..case.clone()
            }
            .answer(answer(format!("HTTP/1.1 100 Continue\r\n\r\n{final_}")))
            .must(passed().content("hello").interim(&[]))
            .or(passed().content("hello").that("100", asked_on)),
        );
        for status in [102, 104, 199] {
            cases.push(
                Case {
                    name: format!("1xx: a {status} is passed on, or swallowed, over {version}"),
                    source: "RFC 9110 15.2",
                    ..case.clone()
                }
                .answer(answer(format!("HTTP/1.1 {status} Whatever\r\n\r\n{final_}")))
                .must(passed().content("hello").interim(&[]))
                .or(passed().content("hello").interim(&[status])),
            );
        }
        cases.push(
            Case {
                name: format!("1xx: without end they are cut off over {version}"),
                source: "RFC 9110 15.2",
                ..case.clone()
            }
            .answer(Answer {
                whole: vec![b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(500)],
                then: Then::Endless,
                ..Answer::default()
            })
            .window(8000)
            .must(outcome().at_most(1).status(&[500, 502, 504]))
            .or(outcome().at_most(1).check(Check::NoAnswer).closed())
            .or(outcome()
                .at_most(1)
                .check(Check::NoAnswer)
                .that("the stream is reset", |got| got.resets.contains_key(&1))),
        );
        cases.push(
            Case {
                name: format!("1xx: a length in one frames nothing over {version}"),
                source: "RFC 9110 8.6",
                ..case.clone()
            }
            .answer(answer(format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n{final_}")))
            .must(passed().content("hello"))
            .or(outcome().requests(1).status(&[502])),
        );
        cases.push(
            Case {
                name: format!("1xx: fields of its connection stop here over {version}"),
                source: "RFC 9110 7.6.1",
                ..case.clone()
            }
            .answer(answer(format!(
                "HTTP/1.1 103 Early Hints\r\nConnection: X-Named\r\nX-Named: b\r\nLink: </a>\r\n\r\n{final_}"
            )))
            .must(passed().content("hello").that("no X-Named", |got| {
                got.responses[0]
                    .interim
                    .iter()
                    .all(|(_, fields)| fields.iter().all(|(name, _)| name != "x-named" && name != "connection"))
            })),
        );
        cases.push(
            Case {
                name: format!("1xx: an end right behind one is no answer over {version}"),
                source: "RFC 9112 8",
                ..case
            }
            .answer(super::harness::case::answer_and_close(hints))
            .must(outcome().at_most(1).status(&[502, 504]))
            .or(outcome().that("the stream is reset", |got| got.resets.contains_key(&1)))
            .or(outcome().at_most(1).check(Check::NoAnswer).closed()),
        );
    }
    cases.push(
        Case::http1("RFC 9110 15.2", "1xx: behind a long answer to a request before stands a 103", GET.repeat(2))
            .answers(vec![
                answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{}", "x".repeat(300_000))),
                answer(format!("{hints}{final_}")),
            ])
            .finals(2)
            .must(outcome().requests(2).that("between the two", |got| {
                let interim = |at: usize| got.responses.get(at).map(|response| response.interim.len());
                (interim(0), interim(1)) == (Some(0), Some(1)) && got.responses[0].body.len() == 300_000
            })),
    );
    cases.push(
        Case::http1("RFC 9110 15.2", "1xx: forty 103 do not keep the answer back", GET)
            .answer(answer(format!("{}{final_}", hints.repeat(40))))
            .must(
                passed()
                    .content("hello")
                    .that("of them some", |got| (1..=40).contains(&got.responses[0].interim.len())),
            ),
    );
    cases.push(
        Case::http1(
            "RFC 9110 15.2",
            "1xx: an HTTP/1.0 client is sent none",
            "GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n",
        )
        .answer(answer(format!("{hints}{final_}")))
        .must(passed_once().content("hello").interim(&[])),
    );
    cases.push(
        Case::http1(
            "RFC 9110 15.2",
            "1xx: one behind an upload that goes on is no answer to it",
            "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc",
        )
        .answer(at_head("HTTP/1.1 102 Processing\r\n\r\n", ok()))
        .then(Step::AwaitEndpoint(1))
        .then_send("def")
        .must(passed().body("abcdef").content("hello")),
    );
    cases
}
