//! Floods of HTTP/2, frame by frame over a socket: each ends its own connection, or is bounded, is counted under its reason, and leaves
//! other connections as they are.

use crate::harness::{DEADLINE, Edge, listener, run};
use crate::http2::{connect_plain, get};
use hotspare::telemetry::metrics::ProtocolError;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// GET or POST of `/`, or of `/big` or `/wait`, in HPACK: names and most values are of its table.
fn block(method: u8, path: &[u8]) -> Vec<u8> {
    let path = [&[0x04, u8::try_from(path.len()).unwrap()], path].concat();
    [&[method, 0x86, 0x01, 9], &b"localhost"[..], &path].concat()
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

fn head(stream: u32, method: u8, path: &[u8]) -> Vec<u8> {
    let end = if method == GET { END_STREAM } else { 0 };
    frame(HEADERS, END_HEADERS | end, stream, &block(method, path))
}

fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        pairs.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// Odd numbers, as a client's streams have them.
fn streams(many: u32) -> impl Iterator<Item = u32> {
    (0..many).map(|n| 2 * n + 1)
}

/// Sends it all, reading meanwhile; the code of the GOAWAY that came last, if one came, once the connection has ended.
fn flood(edge: &Edge, bytes: &[u8]) -> Option<u32> {
    let mut stream = TcpStream::connect(edge.address).unwrap();
    let mut reading = stream.try_clone().unwrap();
    reading.set_read_timeout(Some(DEADLINE)).unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        let ended = reading.read_to_end(&mut all);
        assert!(!ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "it has not ended");
        all
    });
    // An error is the connection's end, which is what is waited for.
    let _ended = stream.write_all(&[PREFACE, &settings(&[]), bytes].concat());
    goaway(&reader.join().unwrap())
}

fn goaway(mut frames: &[u8]) -> Option<u32> {
    let mut last = None;
    while let [high, middle, low, kind, ..] = *frames {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let Some(payload) = frames.get(9..9 + length) else { break };
        if kind == GOAWAY {
            last = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = &frames[9 + length..];
    }
    last
}

/// It ends its connection, is counted, and another connection has its answers before and after it.
fn ends(reason: ProtocolError, bytes: &[u8]) {
    let edge = Edge::start(listener());
    run(async {
        let (mut other, _connection) = connect_plain(&edge).await;
        assert_eq!(get(&mut other, "/").await.0, 200);
        // What the kernel has not given us yet when we close is answered by a reset, which may overtake GOAWAY.
        let code = flood(&edge, bytes);
        edge.eventually("counted", |cells| cells.protocol_errors[reason as usize].get() == 1);
        assert_eq!(edge.count(|cells| cells.protocol_errors.iter().map(|one| one.get()).sum::<u64>()), 1);
        assert!(code.is_none_or(|code| code != 0), "GOAWAY says why: {code:?}");
        assert_eq!(get(&mut other, "/").await.0, 200);
    });
}

#[test]
fn requests_that_are_reset_at_once_end_their_connection() {
    let pair = |stream| [head(stream, GET, b"/wait"), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat();
    ends(ProtocolError::EnhanceYourCalm, &streams(1_000).flat_map(pair).collect::<Vec<u8>>());
}

#[test]
fn requests_that_are_reset_one_by_one_end_their_connection_in_the_end() {
    let edge = Edge::start(listener());
    let mut stream = TcpStream::connect(edge.address).unwrap();
    let mut reading = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || reading.read_to_end(&mut Vec::new()));
    stream.write_all(&[PREFACE, &settings(&[])].concat()).unwrap();
    for number in streams(20_000) {
        let pair = [head(number, GET, b"/wait"), frame(RST_STREAM, 0, number, &8_u32.to_be_bytes())].concat();
        if stream.write_all(&pair[..pair.len() - 13]).is_err() || stream.write_all(&pair[pair.len() - 13..]).is_err() {
            break;
        }
    }
    edge.eventually("counted", |cells| cells.protocol_errors[ProtocolError::EnhanceYourCalm as usize].get() == 1);
    drop(reader.join().unwrap());
}

#[test]
fn requests_that_make_us_reset_them_end_their_connection() {
    let pair =
        |stream| [head(stream, POST, b"/wait"), frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])].concat();
    ends(ProtocolError::EnhanceYourCalm, &streams(3_000).flat_map(pair).collect::<Vec<u8>>());
}

#[test]
fn a_head_without_end_ends_its_connection() {
    let first = frame(HEADERS, END_STREAM, 1, &block(GET, b"/"));
    let more = frame(CONTINUATION, 0, 1, &[&[0, 1, b'a', 0x7f, 0x81, 0x7c][..], &[b'b'; 16_000]].concat());
    ends(ProtocolError::EnhanceYourCalm, &[first.clone(), more.repeat(600)].concat());
    ends(ProtocolError::EnhanceYourCalm, &[first, frame(CONTINUATION, 0, 1, &[]).repeat(100_000)].concat());
}

#[test]
fn pings_settings_priorities_and_frames_nobody_knows_end_their_connection() {
    ends(ProtocolError::EnhanceYourCalm, &frame(PING, 0, 0, b"abcdefgh").repeat(100_000));
    ends(ProtocolError::EnhanceYourCalm, &settings(&[(3, 100)]).repeat(100_000));
    ends(ProtocolError::EnhanceYourCalm, &frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]).repeat(10_000));
    ends(ProtocolError::EnhanceYourCalm, &frame(0xbe, 0, 0, b"what").repeat(10_000));
}

#[test]
fn a_window_that_is_opened_byte_by_byte_ends_its_connection() {
    let opened = frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()).repeat(50_000);
    ends(ProtocolError::EnhanceYourCalm, &[settings(&[(4, 0)]), head(1, GET, b"/big"), opened].concat());
}

#[test]
fn empty_data_without_end_ends_its_connection() {
    ends(ProtocolError::EnhanceYourCalm, &[head(1, POST, b"/wait"), frame(DATA, 0, 1, b"").repeat(100_000)].concat());
}

#[test]
fn data_byte_by_byte_that_nobody_reads_ends_its_connection() {
    ends(ProtocolError::EnhanceYourCalm, &[head(1, POST, b"/wait"), frame(DATA, 0, 1, b"x").repeat(200_000)].concat());
}

#[test]
fn more_than_the_window_ends_its_connection() {
    let upload = |id| [head(id, POST, b"/wait"), frame(DATA, 0, id, &[b'x'; 16_384]).repeat(16)].concat();
    ends(ProtocolError::FlowControl, &streams(5).flat_map(upload).collect::<Vec<u8>>());
}

#[test]
fn what_is_no_hpack_no_frame_size_or_no_frame_in_its_place_ends_its_connection() {
    ends(ProtocolError::Protocol, &frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"));
    ends(ProtocolError::FrameSize, &frame(DATA, 0, 1, &[0; 20_000]));
    ends(ProtocolError::Protocol, &frame(DATA, 0, 0, b"abc"));
}

#[test]
fn a_pseudo_field_in_trailers_ends_its_connection() {
    // :path goes into the client's table, then x-sum.
    let head = b"\x83\x86\x01\x09localhost\x44\x07/length\x40\x05x-sum\x015";
    let upload = |trailers: &[u8]| {
        let upload = [frame(HEADERS, END_HEADERS, 1, head), frame(DATA, 0, 1, b"abc")].concat();
        [upload, trailers.to_vec()].concat()
    };
    let trailers = |block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
    let literal = b"\x00\x05:path\x02/b";
    ends(ProtocolError::Protocol, &upload(&trailers(literal)));
    ends(ProtocolError::Protocol, &upload(&trailers(b"\xbe\x84")));
    ends(ProtocolError::Protocol, &upload(&trailers(b"\xbe\xbf")));
    let cut = [frame(HEADERS, END_STREAM, 1, &literal[..4]), frame(CONTINUATION, END_HEADERS, 1, &literal[4..])];
    ends(ProtocolError::Protocol, &upload(&cut.concat()));
}

#[test]
fn a_bomb_of_indices_ends_its_connection() {
    let long = [&[0x40, 1, b'a', 0x7f, 0xbd, 0x1d][..], &[b'b'; 3_900]].concat();
    let filled = [block(GET, b"/"), long].concat();
    let bomb = [block(GET, b"/"), vec![0xbe; 16_000]].concat();
    let heads = [(1, filled), (3, bomb)].map(|(id, block)| frame(HEADERS, END_HEADERS | END_STREAM, id, &block));
    ends(ProtocolError::EnhanceYourCalm, &heads.concat());
}

#[test]
fn a_length_unlike_the_body_is_an_error_of_its_stream_alone() {
    let edge = Edge::start(listener());
    let long = [block(POST, b"/length"), vec![0x0f, 0x0d, 1, b'5']].concat();
    let bytes = [
        PREFACE.to_vec(),
        settings(&[]),
        frame(HEADERS, END_HEADERS, 1, &long),
        frame(DATA, END_STREAM, 1, b"abc"),
        head(3, GET, b"/"),
    ];
    let mut stream = TcpStream::connect(edge.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&bytes.concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).unwrap();
    let reset = frame(RST_STREAM, 0, 1, &1_u32.to_be_bytes());
    assert!(seen.windows(reset.len()).any(|window| window == reset), "PROTOCOL_ERROR: {seen:?}");
    assert_eq!(edge.count(|cells| cells.protocol_errors.iter().map(|one| one.get()).sum::<u64>()), 0);
}
