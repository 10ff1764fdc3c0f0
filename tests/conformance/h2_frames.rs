//! HTTP/2 frames and HPACK: sizes, streams, windows, settings, floods (RFC 9113, sections 4 to 6; RFC 7541).

use super::harness::case::{Answer, Case, Check, Outcome, Step, answer, outcome, passed};
use super::harness::frames::*;
use super::harness::hpack;

const BASE: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/a")];

/// The connection ends by GOAWAY with that code, or without a word (RFC 9113, section 5.4.1: SHOULD).
fn connection_error(codes: &[u32]) -> Outcome {
    outcome().check(Check::Ended(codes.to_vec()))
}

/// The stream ends by RST_STREAM with that code, or the connection does (RFC 9113, section 5.4).
fn stream_error(case: Case, codes: &'static [u32]) -> Case {
    case.must(outcome().check(Check::Reset(1, codes.to_vec()))).or(connection_error(codes))
}

fn framed(source: &'static str, name: &str, frames: impl IntoIterator<Item = Vec<u8>>) -> Case {
    Case::h2(source, format!("frame: {name}"), frames).streams(&[])
}

pub fn cases() -> Vec<Case> {
    let mut cases = prefaces();
    cases.extend(headers_and_continuation());
    cases.extend(sizes());
    cases.extend(streams());
    cases.extend(control());
    cases.extend(windows());
    cases.extend(compression());
    cases.extend(floods());
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

fn windows() -> Vec<Case> {
    let large = || answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000)));
    vec![
        framed("RFC 9113 6.9", "WINDOW_UPDATE by 0 of the connection ends it", [window_update(0, 0)])
            .must(connection_error(&[PROTOCOL_ERROR])),
        stream_error(
            framed(
                "RFC 9113 6.9",
                "WINDOW_UPDATE by 0 is an error of its stream",
                [post(1, "/a", &[]), window_update(1, 0)],
            ),
            &[PROTOCOL_ERROR],
        ),
        framed("RFC 9113 6.9.1", "a window past 2 to the power of 31 ends it", [window_update(0, 0x7fff_ffff)])
            .must(connection_error(&[FLOW_CONTROL_ERROR])),
        stream_error(
            framed(
                "RFC 9113 6.9.1",
                "a stream's window past that is an error of it",
                [post(1, "/a", &[]), window_update(1, 0x7fff_ffff)],
            ),
            &[FLOW_CONTROL_ERROR],
        ),
        framed(
            "RFC 9113 6.9.2",
            "windows that SETTINGS raise past that end it",
            [post(1, "/a", &[]), window_update(1, 0x7fff_0000 - 65_535), settings(&[(4, 0x7fff_ffff)])],
        )
        .must(connection_error(&[FLOW_CONTROL_ERROR]))
        .or(outcome().check(Check::Reset(1, vec![FLOW_CONTROL_ERROR]))),
        framed("RFC 9113 6.9", "no more than the window is sent, and the rest when it opens", [get(1, "/a", &[])])
            .answer(large())
            .then(Step::AwaitHead)
            .then(Step::Barrier)
            .then_send([window_update(0, 100_000), window_update(1, 100_000)].concat())
            .streams(&[1])
            .must(passed().that("all of it", |got| got.responses[0].body.len() == 100_000)),
        framed("RFC 9113 6.9", "with a window that stays shut nothing is sent", [get(1, "/a", &[])])
            .answer(large())
            .then(Step::AwaitHead)
            .then(Step::Barrier)
            .must(outcome().that("65,535 bytes at most", |got| {
                got.responses.first().is_some_and(|response| response.body.len() <= 65_535)
            })),
        framed(
            "RFC 9113 6.9.2",
            "a window of 0 from the start, opened later",
            [settings(&[(4, 0)]), get(1, "/a", &[])],
        )
        .then(Step::AwaitHead)
        .then(Step::Barrier)
        .then_send(window_update(1, 5))
        .streams(&[1])
        .must(passed().content("hello").that("DATA after the window only", |got| {
            let pings = got.frames.iter().position(|(kind, flags, _, _)| *kind == PING && flags & ACK != 0);
            let sent = got.frames.iter().position(|(kind, _, _, length)| *kind == DATA && *length > 0);
            pings < sent
        })),
        framed(
            "RFC 9113 6.9.2",
            "a window that SETTINGS make smaller is kept to",
            [settings(&[(4, 3)]), get(1, "/a", &[])],
        )
        .then(Step::AwaitHead)
        .then(Step::Barrier)
        .then_send(settings(&[(4, 65_535)]))
        .streams(&[1])
        .must(passed().content("hello").that("3 bytes first", |got| {
            got.frames
                .iter()
                .find(|(kind, _, _, length)| *kind == DATA && *length > 0)
                .is_some_and(|(_, _, _, length)| *length <= 3)
        })),
        framed(
            "RFC 9113 6.9.1",
            "more than our window is an error",
            std::iter::once(post(1, "/a", &[])).chain((0..2048).map(|_| data(1, 0, &[b'x'; 16_384]))),
        )
        .answer(Answer { at_head: vec![], ..Answer::default() })
        .must(connection_error(&[FLOW_CONTROL_ERROR, ENHANCE_YOUR_CALM]))
        .or(outcome().check(Check::Reset(1, vec![FLOW_CONTROL_ERROR])))
        .or(outcome().lives().that("the windows were opened as it came", |got| {
            got.frames.iter().any(|(kind, ..)| *kind == WINDOW_UPDATE)
        })),
    ]
}

fn compression() -> Vec<Case> {
    let bad = |source: &'static str, name: &str, bytes: &[u8]| {
        let block = [&hpack::block(&BASE), bytes].concat();
        framed(source, name, [frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)])
            .must(connection_error(&[COMPRESSION_ERROR]))
    };
    let good = |source: &'static str, name: &str, before: &[u8], after: &[u8]| {
        let block = [before, &hpack::block(&BASE), after].concat();
        framed(source, name, [frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)]).streams(&[1])
    };
    vec![
        bad("RFC 7541 6.1", "HPACK index 0 ends it", b"\x80"),
        bad("RFC 7541 2.3.3", "an HPACK index past the tables ends it", b"\xff\x7f"),
        bad(
            "RFC 7541 5.1",
            "an HPACK integer that is too large ends it",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        ),
        bad("RFC 7541 5.2", "an HPACK string past its block ends it", b"\x00\x7fa"),
        bad("RFC 7541 5.2", "Huffman's EOS in a string ends it", b"\x00\x01a\x84\xff\xff\xff\xff"),
        bad("RFC 7541 5.2", "Huffman padding of zeros ends it", b"\x00\x01a\x81\x18"),
        bad("RFC 7541 5.2", "Huffman padding of a whole byte ends it", b"\x00\x01a\x82\x1f\xff"),
        bad("RFC 7541 4.2", "a table's size behind a field ends it", b"\x20"),
        good("RFC 7541 4.2", "a table's size before the first field is taken", b"\x20", b"").must(passed()),
        bad("RFC 7541 6.3", "a table's size past what was agreed on ends it", b""),
        good("RFC 7541 6.2.3", "a literal that is never indexed is a field", b"", b"\x10\x03x-a\x01b")
            .must(passed().sees("x-a", "b")),
        good(
            "RFC 7541 6.2.1",
            "a literal that is indexed, and the index, are two fields",
            b"",
            b"\x40\x03x-a\x01b\xbe",
        )
        .must(passed().that("twice b", |got| {
            got.seen[0].head.all("x-a").iter().flat_map(|value| value.iter()).filter(|byte| **byte == b'b').count() == 2
        })),
        good("RFC 7541 C.4", "Huffman is read", b"", b"\x00\x83\xf2\xb0\xff\x81\x8f")
            .must(passed())
            .or(connection_error(&[COMPRESSION_ERROR, PROTOCOL_ERROR])),
    ]
    .into_iter()
    .map(|case| {
        // Built apart: this one stands before the fields.
        if case.name.contains("past what was agreed on") {
            let block = [b"\x3f\xff\xff\x7f".as_slice(), &hpack::block(&BASE)].concat();
            Case { steps: framed("", "", [frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)]).steps, ..case }
        } else {
            case
        }
    })
    .collect()
}

/// Bounded: it ends, or all of it is served; a door that is of no use afterwards fails the case.
fn floods() -> Vec<Case> {
    let bounded = || {
        connection_error(&[
            ENHANCE_YOUR_CALM,
            PROTOCOL_ERROR,
            INTERNAL_ERROR,
            NO_ERROR,
            FLOW_CONTROL_ERROR,
            STREAM_CLOSED,
            COMPRESSION_ERROR,
        ])
    };
    let block = hpack::block(&BASE);
    let mut cases = vec![
        framed(
            "CVE-2023-44487",
            "a thousand requests reset at once are served or cut off",
            (0..1000).flat_map(|at| [get(at * 2 + 1, "/a", &[]), rst(at * 2 + 1, CANCEL)]),
        )
        .must(bounded())
        .or(outcome().lives()),
        framed(
            "CVE-2025-8671",
            "a thousand requests that make us reset are served or cut off",
            (0..1000).flat_map(|at| [post(at * 2 + 1, "/a", &[]), window_update(at * 2 + 1, 0)]),
        )
        .must(bounded())
        .or(outcome().lives()),
        framed(
            "CVE-2024-27316",
            "a head of 8 MiB in CONTINUATION is cut off",
            std::iter::once(frame(HEADERS, END_STREAM, 1, &block))
                .chain((0..512).map(|_| frame(CONTINUATION, 0, 1, &hpack::literal(b"x-a", &[b'b'; 16_000])))),
        )
        .must(bounded()),
        framed(
            "CVE-2024-27983",
            "a hundred thousand empty CONTINUATION are cut off",
            std::iter::once(frame(HEADERS, END_STREAM, 1, &block))
                .chain((0..100_000).map(|_| frame(CONTINUATION, 0, 1, &[]))),
        )
        .must(bounded())
        .or(outcome().check(Check::Waits).requests(0)),
        framed("CVE-2019-9512", "ten thousand PINGs are answered or cut off", (0..10_000).map(|_| ping(b"abcdefgh")))
            .must(bounded())
            .or(outcome().lives()),
        framed(
            "CVE-2019-9515",
            "ten thousand SETTINGS are acknowledged or cut off",
            (0..10_000).map(|_| settings(&[(3, 100)])),
        )
        .must(bounded())
        .or(outcome().lives()),
        framed(
            "CVE-2019-9518",
            "ten thousand empty DATA are taken or cut off",
            std::iter::once(post(1, "/a", &[])).chain((0..10_000).map(|_| data(1, 0, b""))),
        )
        .must(bounded())
        .or(outcome().lives())
        .or(outcome().that("its stream is reset", |got| got.resets.contains_key(&1))),
        framed(
            "CVE-2019-9513",
            "ten thousand PRIORITY are passed over or cut off",
            (0..10_000_u32).map(|at| frame(PRIORITY, 0, at % 500 * 2 + 1, &[0, 0, 0, 0, 15])),
        )
        .must(bounded())
        .or(outcome().lives()),
        framed(
            "CVE-2019-9511",
            "a window opened byte by byte gets its bytes or is cut off",
            std::iter::once([settings(&[(4, 0)]), get(1, "/a", &[])].concat())
                .chain((0..5000).map(|_| window_update(1, 1))),
        )
        .streams(&[1])
        .must(bounded())
        .or(passed().content("hello")),
        framed(
            "CVE-2019-9516",
            "a thousand fields without name are refused",
            [frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[block.clone(), hpack::literal(b"", b"").repeat(1000)].concat(),
            )],
        )
        .streams(&[1])
        .must(super::h2_requests::malformed())
        .or(bounded())
        .or(outcome().requests(0).status(&[400, 431])),
        framed(
            "CVE-2016-6581",
            "a bomb of 64 MiB made of indices is refused or cut off",
            [
                frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    1,
                    &[
                        block.clone(),
                        vec![0x40, 3, b'x', b'-', b'a'],
                        {
                            let mut long = Vec::new();
                            hpack::integer(3900, 7, 0, &mut long);
                            long
                        },
                        vec![b'b'; 3900],
                    ]
                    .concat(),
                ),
                frame(HEADERS, END_HEADERS | END_STREAM, 3, &[block, vec![0xbe; 16_000]].concat()),
            ],
        )
        .streams(&[1, 3])
        .must(bounded())
        .or(outcome().requests(1).that("the second is refused", |got| {
            got.resets.contains_key(&3) || got.responses.iter().any(|response| [400, 431].contains(&response.status))
        })),
    ];
    for (name, length) in
        [("a head of 200 KiB is refused", 200 << 10), ("a head of 2 MiB in one field is refused", 2 << 20)]
    {
        let block = [hpack::block(&BASE), hpack::literal(b"x-a", &vec![b'b'; length])].concat();
        let mut pieces = block.chunks(16_000);
        let mut frames = vec![frame(HEADERS, END_STREAM, 1, pieces.next().unwrap_or_default())];
        frames.extend(pieces.map(|piece| frame(CONTINUATION, 0, 1, piece)));
        frames.push(frame(CONTINUATION, END_HEADERS, 1, &[]));
        cases.push(
            framed("RFC 9113 10.5.1", name, frames)
                .streams(&[1])
                .must(outcome().requests(0).status(&[400, 431]))
                .or(outcome().requests(0).that("its stream is reset", |got| got.resets.contains_key(&1)))
                .or(bounded())
                .or(passed()),
        );
    }
    cases
}
