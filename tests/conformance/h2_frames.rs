//! HTTP/2 frames: prefaces, heads, sizes, streams, settings (RFC 9113, sections 3 to 6). Windows, HPACK and floods are in
//! [`super::h2_limits`].

use super::harness::case::{Case, Check, Outcome, outcome, passed};
use super::harness::frames::*;
use super::harness::hpack;

pub const BASE: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/a")];

/// The connection ends by GOAWAY with that code, or without a word (RFC 9113, section 5.4.1: SHOULD).
pub fn connection_error(codes: &[u32]) -> Outcome {
    outcome().check(Check::Ended(codes.to_vec()))
}

/// The stream ends by RST_STREAM with that code, or the connection does (RFC 9113, section 5.4).
pub fn stream_error(case: Case, codes: &'static [u32]) -> Case {
    case.must(outcome().check(Check::Reset(1, codes.to_vec()))).or(connection_error(codes))
}

pub fn framed(source: &'static str, name: &str, frames: impl IntoIterator<Item = Vec<u8>>) -> Case {
    Case::h2(source, format!("frame: {name}"), frames).streams(&[])
}

pub fn cases() -> Vec<Case> {
    let mut cases = prefaces();
    cases.extend(headers_and_continuation());
    cases.extend(sizes());
    cases.extend(streams());
    cases.extend(control());
    cases
}

fn prefaces() -> Vec<Case> {
    let bare = |name: &str, bytes: Vec<u8>| Case::h2_bare("RFC 9113 3.4", format!("frame: {name}"), bytes);
    let settings_and_get = [settings(&[]), get(1, "/a", &[])].concat();
    vec![
        bare("the preface and SETTINGS begin a connection", [PREFACE, &settings_and_get].concat())
            .streams(&[1])
            .must(passed().content("hello")),
        bare("a preface that is none ends it", [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", &settings_and_get[..]].concat())
            .must(connection_error(&[PROTOCOL_ERROR])),
        bare("frames without preface end it", settings_and_get).must(connection_error(&[PROTOCOL_ERROR])),
        bare("a preface without SETTINGS ends it", [PREFACE, &get(1, "/a", &[])[..]].concat())
            .must(connection_error(&[PROTOCOL_ERROR])),
        bare(
            "an HTTP/1.1 request where HTTP/2 was agreed on ends it",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        )
        .must(connection_error(&[PROTOCOL_ERROR])),
        bare("an acknowledgement for SETTINGS ends it", [PREFACE, &frame(SETTINGS, ACK, 0, &[])[..]].concat())
            .must(connection_error(&[PROTOCOL_ERROR]))
            .or(outcome().lives()),
    ]
}

fn headers_and_continuation() -> Vec<Case> {
    let block = hpack::block(&BASE);
    let (first, second) = block.split_at(10);
    let split = |flags: u8| [frame(HEADERS, END_STREAM | flags, 1, first), frame(CONTINUATION, END_HEADERS, 1, second)];
    let padded = |padding: u8, size: usize| {
        frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[&[padding], &block[..], &vec![0; size]].concat())
    };
    let with_priority = |on: u32| {
        frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, &[&on.to_be_bytes()[..], &[15], &block].concat())
    };
    vec![
        framed("RFC 9113 6.10", "a head may go on in CONTINUATION", split(0))
            .streams(&[1])
            .must(passed().line("GET /a HTTP/1.1")),
        framed(
            "RFC 9113 6.10",
            "in many of them, empty ones too",
            [
                frame(HEADERS, END_STREAM, 1, &first[..5]),
                frame(CONTINUATION, 0, 1, &first[5..]),
                frame(CONTINUATION, 0, 1, &[]),
                frame(CONTINUATION, END_HEADERS, 1, second),
            ],
        )
        .streams(&[1])
        .must(passed().line("GET /a HTTP/1.1"))
        .or(connection_error(&[ENHANCE_YOUR_CALM])),
        framed("RFC 9113 6.10", "CONTINUATION without HEADERS ends it", [frame(CONTINUATION, END_HEADERS, 1, &block)])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed(
            "RFC 9113 6.10",
            "CONTINUATION behind a whole head ends it",
            [post(1, "/a", &[]), frame(CONTINUATION, END_HEADERS, 1, &[])],
        )
        .must(connection_error(&[PROTOCOL_ERROR])),
        framed(
            "RFC 9113 6.10",
            "CONTINUATION of another stream ends it",
            [frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 3, second)],
        )
        .must(connection_error(&[PROTOCOL_ERROR])),
        framed(
            "RFC 9113 6.10",
            "another frame within a head ends it",
            [frame(HEADERS, END_STREAM, 1, first), ping(b"12345678"), frame(CONTINUATION, END_HEADERS, 1, second)],
        )
        .must(connection_error(&[PROTOCOL_ERROR])),
        framed(
            "RFC 9113 5.5",
            "a frame that nobody knows within a head ends it",
            [
                frame(HEADERS, END_STREAM, 1, first),
                frame(0x77, 0, 1, b"x"),
                frame(CONTINUATION, END_HEADERS, 1, second),
            ],
        )
        .must(connection_error(&[PROTOCOL_ERROR])),
        framed(
            "RFC 9113 6.10",
            "CONTINUATION on stream 0 ends it",
            [frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 0, second)],
        )
        .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 6.2", "a padded head is a head", [padded(7, 7)])
            .streams(&[1])
            .must(passed().line("GET /a HTTP/1.1")),
        framed("RFC 9113 6.2", "padding longer than its frame ends it", [padded(255, 3)])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 6.2", "HEADERS on stream 0 end it", [get(0, "/a", &[])])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 5.3.2", "priority in HEADERS means nothing", [with_priority(0)])
            .streams(&[1])
            .must(passed().line("GET /a HTTP/1.1")),
        stream_error(
            framed(
                "RFC 7540 5.3.1",
                "a stream that depends on itself is refused, or means nothing",
                [with_priority(1)],
            )
            .streams(&[1]),
            &[PROTOCOL_ERROR],
        )
        .or(passed()),
        framed(
            "RFC 9113 6.2",
            "HEADERS too short for their priority end it",
            [frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, &[0, 0])],
        )
        .must(connection_error(&[PROTOCOL_ERROR, FRAME_SIZE_ERROR])),
        framed(
            "RFC 9113 4.1",
            "flags that nobody knows mean nothing",
            [frame(HEADERS, END_HEADERS | END_STREAM | 0xd2, 1, &block)],
        )
        .streams(&[1])
        .must(passed()),
    ]
}

fn sizes() -> Vec<Case> {
    vec![
        framed(
            "RFC 9113 4.2",
            "a frame of 16,384 bytes is taken",
            [post(1, "/a", &[]), data(1, END_STREAM, &[b'x'; 16_384])],
        )
        .streams(&[1])
        .must(passed().body([b'x'; 16_384])),
        stream_error(
            framed(
                "RFC 9113 4.2",
                "a frame longer than that ends it",
                [post(1, "/a", &[]), data(1, END_STREAM, &[b'x'; 16_385])],
            ),
            &[FRAME_SIZE_ERROR],
        )
        .or(outcome()
            .that("larger frames were announced", |got| got.settings.get(&5).is_some_and(|size| *size > 16_384))),
        framed("RFC 9113 6.5", "SETTINGS of 5 bytes end it", [frame(SETTINGS, 0, 0, &[0; 5])])
            .must(connection_error(&[FRAME_SIZE_ERROR])),
        framed("RFC 9113 6.5", "an acknowledgement with a payload ends it", [frame(SETTINGS, ACK, 0, &[0; 6])])
            .must(connection_error(&[FRAME_SIZE_ERROR])),
        framed("RFC 9113 6.7", "PING of 7 bytes ends it", [frame(PING, 0, 0, &[0; 7])])
            .must(connection_error(&[FRAME_SIZE_ERROR])),
        framed("RFC 9113 6.9", "WINDOW_UPDATE of 3 bytes ends it", [frame(WINDOW_UPDATE, 0, 0, &[0; 3])])
            .must(connection_error(&[FRAME_SIZE_ERROR])),
        framed("RFC 9113 6.4", "RST_STREAM of 3 bytes ends it", [post(1, "/a", &[]), frame(RST_STREAM, 0, 1, &[0; 3])])
            .must(connection_error(&[FRAME_SIZE_ERROR])),
        stream_error(
            framed(
                "RFC 9113 6.3",
                "PRIORITY of 4 bytes is an error of its stream",
                [post(1, "/a", &[]), frame(PRIORITY, 0, 1, &[0; 4])],
            ),
            &[FRAME_SIZE_ERROR],
        ),
        framed("RFC 9113 6.8", "GOAWAY of 7 bytes ends it", [frame(GOAWAY, 0, 0, &[0; 7])])
            .must(connection_error(&[FRAME_SIZE_ERROR, PROTOCOL_ERROR])),
        framed(
            "RFC 9113 6.1",
            "DATA's padding longer than its frame ends it",
            [post(1, "/a", &[]), frame(DATA, PADDED, 1, &[9, b'a'])],
        )
        .must(connection_error(&[PROTOCOL_ERROR])),
        framed(
            "RFC 9113 6.1",
            "padding is not part of a body",
            [post(1, "/a", &[]), frame(DATA, PADDED | END_STREAM, 1, b"\x03abc\0\0\0")],
        )
        .streams(&[1])
        .must(passed().body("abc")),
        framed(
            "RFC 9113 6.1",
            "padded DATA may hold nothing",
            [post(1, "/a", &[]), frame(DATA, PADDED | END_STREAM, 1, b"\x00")],
        )
        .streams(&[1])
        .must(passed().body("")),
    ]
}

fn streams() -> Vec<Case> {
    vec![
        framed("RFC 9113 6.1", "DATA on stream 0 ends it", [data(0, 0, b"abc")])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 5.1", "DATA on a stream that is idle ends it", [data(1, 0, b"abc")])
            .must(connection_error(&[PROTOCOL_ERROR, STREAM_CLOSED])),
        framed("RFC 9113 6.4", "RST_STREAM on a stream that is idle ends it", [rst(1, CANCEL)])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 5.1", "WINDOW_UPDATE on a stream that is idle ends it", [window_update(1, 1)])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 6.4", "RST_STREAM on stream 0 ends it", [rst(0, CANCEL)])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 5.1.1", "a stream with an even number ends it", [get(2, "/a", &[])])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed(
            "RFC 9113 5.1.1",
            "a stream with a number below an earlier one ends it",
            [get(5, "/a", &[]), get(3, "/b", &[])],
        )
        .must(connection_error(&[PROTOCOL_ERROR, STREAM_CLOSED])),
        framed("RFC 9113 5.1.1", "numbers may be left out", [get(9, "/a", &[])]).streams(&[9]).must(passed()),
        stream_error(
            framed("RFC 9113 5.1", "DATA behind END_STREAM is an error", [get(1, "/a", &[]), data(1, 0, b"abc")]),
            &[STREAM_CLOSED],
        ),
        stream_error(
            framed(
                "RFC 9113 5.1",
                "HEADERS behind END_STREAM are an error",
                [get(1, "/a", &[]), headers(1, END_STREAM, &[("x-a", "b")])],
            ),
            &[STREAM_CLOSED],
        ),
        framed(
            "RFC 9113 5.1",
            "DATA behind RST_STREAM is an error, or means nothing",
            [post(1, "/a", &[]), rst(1, CANCEL), data(1, 0, b"abc")],
        )
        .must(connection_error(&[STREAM_CLOSED]))
        .or(outcome().check(Check::Reset(1, vec![STREAM_CLOSED])))
        .or(outcome().lives()),
        framed(
            "RFC 9113 5.1",
            "PRIORITY on a stream that is idle means nothing",
            [frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 15]), get(11, "/a", &[])],
        )
        .streams(&[11])
        .must(passed()),
        framed("RFC 9113 6.3", "PRIORITY on stream 0 ends it", [frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 15])])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed(
            "RFC 9113 8.4",
            "a client that pushes ends it",
            [
                get(1, "/a", &[]),
                frame(PUSH_PROMISE, END_HEADERS, 1, &[&2_u32.to_be_bytes()[..], &hpack::block(&BASE)].concat()),
            ],
        )
        .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 6.8", "GOAWAY on a stream ends it", [frame(GOAWAY, 0, 1, &[0; 8])])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed(
            "RFC 9113 6.8",
            "what was asked before a client's GOAWAY is answered",
            [get(1, "/a", &[]), frame(GOAWAY, 0, 0, &[0; 8])],
        )
        .streams(&[1])
        .must(outcome().requests(1).status(&[200]).content("hello")),
        framed(
            "RFC 9113 5.1.2",
            "a stream past SETTINGS_MAX_CONCURRENT_STREAMS is refused",
            (0..1100).map(|at| post(at * 2 + 1, "/a", &[])),
        )
        .streams(&[2199])
        .must(outcome().check(Check::Reset(2199, vec![REFUSED_STREAM, PROTOCOL_ERROR])))
        .or(connection_error(&[REFUSED_STREAM, PROTOCOL_ERROR, ENHANCE_YOUR_CALM, NO_ERROR])),
        framed(
            "RFC 9113 6.4",
            "a request that is reset at once hurts no other",
            [get(1, "/a", &[]), rst(1, CANCEL), get(3, "/b", &[])],
        )
        .streams(&[3])
        .must(
            outcome()
                .lives()
                .that("3 is answered", |got| got.responses.iter().any(|response| response.body == b"hello")),
        ),
        framed("RFC 9113 4.1", "the reserved bit of a stream's number means nothing", [get(0x8000_0001, "/a", &[])])
            .streams(&[1])
            .must(passed()),
    ]
}

fn control() -> Vec<Case> {
    let mut cases = vec![
        framed("RFC 9113 6.7", "PING is answered with its bytes", [ping(b"abcdefgh")]).must(outcome().lives().that(
            "an answer to both PINGs",
            |got| {
                got.frames
                    .iter()
                    .filter(|(kind, flags, _, length)| *kind == PING && flags & ACK != 0 && *length == 8)
                    .count()
                    >= 2
            },
        )),
        framed(
            "RFC 9113 6.7",
            "an answer to a PING that was not sent means nothing",
            [frame(PING, ACK, 0, b"abcdefgh")],
        )
        .must(outcome().lives()),
        framed("RFC 9113 6.7", "PING on a stream ends it", [frame(PING, 0, 1, b"abcdefgh")])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 6.5", "SETTINGS on a stream end it", [frame(SETTINGS, 0, 1, &[])])
            .must(connection_error(&[PROTOCOL_ERROR])),
        framed("RFC 9113 6.5.3", "SETTINGS are acknowledged, each time", [settings(&[]), settings(&[(3, 10)])]).must(
            outcome().lives().that("three acknowledgements", |got| {
                got.frames.iter().filter(|(kind, flags, _, _)| *kind == SETTINGS && flags & ACK != 0).count() == 3
            }),
        ),
        framed(
            "RFC 9113 4.1",
            "a frame that nobody knows means nothing",
            [frame(0x77, 0xff, 0, b"abc"), frame(0xfe, 0, 0, &[]), get(1, "/a", &[])],
        )
        .streams(&[1])
        .must(passed()),
        framed(
            "RFC 9218 7.1",
            "PRIORITY_UPDATE means nothing bad",
            [get(1, "/a", &[]), frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1")],
        )
        .streams(&[1])
        .must(passed()),
        framed("RFC 9218 5", "priority is a field like any to the endpoint", [get(1, "/a", &[("priority", "u=1, i")])])
            .streams(&[1])
            .must(passed().sees("priority", "u=1, i")),
        framed(
            "RFC 7838 4",
            "ALTSVC of a client means nothing",
            [frame(10, 0, 0, b"\0\x09localhosth2=\":1\""), get(1, "/a", &[])],
        )
        .streams(&[1])
        .must(passed()),
    ];
    for (name, id, value, codes) in [
        ("ENABLE_PUSH of 2", 2, 2, &[PROTOCOL_ERROR][..]),
        ("INITIAL_WINDOW_SIZE of 2 to the power of 31", 4, 1 << 31, &[FLOW_CONTROL_ERROR]),
        ("MAX_FRAME_SIZE of 16,383", 5, 16_383, &[PROTOCOL_ERROR]),
        ("MAX_FRAME_SIZE of 2 to the power of 24", 5, 1 << 24, &[PROTOCOL_ERROR]),
    ] {
        cases.push(
            framed("RFC 9113 6.5.2", &format!("{name} ends it"), [settings(&[(id, value)])])
                .must(connection_error(codes)),
        );
    }
    cases.push(
        framed("RFC 8441 3", "ENABLE_CONNECT_PROTOCOL of 2 ends it, or means nothing", [settings(&[(8, 2)])])
            .must(connection_error(&[PROTOCOL_ERROR]))
            .or(outcome().lives()),
    );
    cases.push(
        framed(
            "RFC 9113 6.5.2",
            "a setting that nobody knows means nothing",
            [settings(&[(0x7777, 1)]), get(1, "/a", &[])],
        )
        .streams(&[1])
        .must(passed()),
    );
    cases.push(
        framed(
            "RFC 9113 6.5.3",
            "the last of two values of a setting counts",
            [settings(&[(4, 0), (4, 65_535)]), get(1, "/a", &[])],
        )
        .streams(&[1])
        .must(passed().content("hello")),
    );
    cases
}
