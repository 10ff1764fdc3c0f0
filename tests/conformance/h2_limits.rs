//! HTTP/2 where it costs: windows, HPACK, floods (RFC 9113, sections 5.2 and 10.5; RFC 7541).

use super::h2_frames::{BASE, connection_error, framed, stream_error};
use super::harness::case::{Answer, Case, Check, Step, answer, outcome, passed};
use super::harness::frames::*;
use super::harness::hpack;

pub fn cases() -> Vec<Case> {
    let mut cases = windows();
    cases.extend(compression());
    cases.extend(floods());
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
