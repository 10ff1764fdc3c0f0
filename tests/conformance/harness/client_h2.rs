//! The client's side of a case over HTTP/2: frames out, frames in, and what is wrong with those.

use super::case::{Case, Protocol, Step};
use super::client::{More, Wire, await_endpoint, gap, is_h2_name};
use super::endpoint::{Endpoint, MARKER};
use super::frames::{self, ACK, END_HEADERS, END_STREAM, PADDED, WITH_PRIORITY};
use super::got::{End, Got, Response};
use super::hpack::{Decoder, Fields};
use std::collections::BTreeMap;

/// The stream of the request that shows that a connection lives; above all that cases use.
const MARKER_STREAM: u32 = 0x10001;
const BARRIER: u8 = 0xb0;

pub fn run(case: &Case, wire: &mut Wire, endpoint: &Endpoint) -> Got {
    let mut reader = Reader::default();
    if case.protocol == Protocol::H2 {
        wire.send(&[frames::PREFACE, &frames::settings(&[])].concat());
    }
    for step in &case.steps {
        match step {
            Step::Send(bytes) => wire.send(bytes),
            Step::AwaitHead => while reader.streams.is_empty() && reader.more(wire) == More::Bytes {},
            Step::AwaitEndpoint(heads) => await_endpoint(endpoint, *heads, case.window),
            Step::Gap => gap(),
            Step::Barrier => drop(reader.barrier(wire)),
            Step::Leave => return reader.end(End::Left, wire),
        }
    }
    let end = reader.wait(case, wire);
    reader.end(end, wire)
}

#[derive(Default)]
struct Reader {
    got: Got,
    at: usize,
    decoder: Decoder,
    /// A header block whose end is awaited: stream, END_STREAM, bytes.
    open: Option<(u32, bool, Vec<u8>)>,
    streams: BTreeMap<u32, Stream>,
    barriers: u8,
    answered: Option<u8>,
}

#[derive(Default)]
struct Stream {
    response: Response,
    ended: bool,
    length: Option<usize>,
}

impl Reader {
    fn wait(&mut self, case: &Case, wire: &mut Wire) -> End {
        match self.barrier(wire) {
            More::Bytes => {}
            More::Ended => return End::Closed,
            // A frame that is not whole yet holds the PING back, too.
            More::Nothing => return End::Waits,
        }
        while !case.streams.iter().all(|stream| self.is_done(*stream)) {
            match self.more(wire) {
                More::Bytes => {}
                More::Ended => return End::Closed,
                More::Nothing => return End::Waits,
            }
        }
        if self.got.goaway.is_none() {
            // With windows of its own, whatever the case made of those that streams begin with.
            let windows = [frames::window_update(MARKER_STREAM, 100), frames::window_update(0, 100)].concat();
            wire.send(&[frames::get(MARKER_STREAM, MARKER, &[]), windows].concat());
        }
        while !self.is_done(MARKER_STREAM) {
            match self.more(wire) {
                More::Bytes => {}
                More::Ended => return End::Closed,
                More::Nothing => return End::Waits,
            }
        }
        End::Marked
    }

    fn is_done(&self, stream: u32) -> bool {
        self.got.resets.contains_key(&stream) || self.streams.get(&stream).is_some_and(|stream| stream.ended)
    }

    /// Until the proxy has read all that was sent.
    fn barrier(&mut self, wire: &mut Wire) -> More {
        self.barriers += 1;
        let payload = [BARRIER, self.barriers, 0, 0, 0, 0, 0, 0];
        wire.send(&frames::ping(&payload));
        while self.answered != Some(self.barriers) {
            match self.more(wire) {
                More::Bytes => {}
                other => return other,
            }
        }
        More::Bytes
    }

    /// Reads once, and all frames that are there then.
    fn more(&mut self, wire: &mut Wire) -> More {
        let more = wire.more();
        while let Some(frame) = wire.buffer.get(self.at..self.at + 9) {
            let length = usize::from(frame[0]) << 16 | usize::from(frame[1]) << 8 | usize::from(frame[2]);
            let (kind, flags) = (frame[3], frame[4]);
            let stream = u32::from_be_bytes([frame[5] & 0x7f, frame[6], frame[7], frame[8]]);
            let Some(payload) = wire.buffer.get(self.at + 9..self.at + 9 + length) else { break };
            let payload = payload.to_vec();
            self.at += 9 + length;
            if stream != MARKER_STREAM {
                self.got.frames.push((kind, flags, stream, length));
            }
            if length > 16_384 {
                self.fault(format!("a frame of {length} bytes (RFC 9113 4.2)"));
            }
            self.frame(kind, flags, stream, &payload, wire);
        }
        more
    }

    fn fault(&mut self, fault: String) {
        self.got.faults.push(fault);
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8], wire: &mut Wire) {
        if self.open.is_some() && kind != frames::CONTINUATION {
            self.fault("a frame inside a header block (RFC 9113 6.10)".to_owned());
        }
        match kind {
            frames::SETTINGS if flags & ACK == 0 => {
                for pair in payload.chunks_exact(6) {
                    let value = u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]);
                    self.got.settings.insert(u16::from_be_bytes([pair[0], pair[1]]), value);
                }
                wire.send(&frames::frame(frames::SETTINGS, ACK, 0, &[]));
            }
            frames::PING if flags & ACK != 0 && payload.first() == Some(&BARRIER) => {
                self.answered = payload.get(1).copied()
            }
            frames::PING if flags & ACK == 0 => wire.send(&frames::frame(frames::PING, ACK, 0, payload)),
            frames::GOAWAY => {
                let code = payload.get(4..8).map(|code| u32::from_be_bytes([code[0], code[1], code[2], code[3]]));
                let (before, code) = (self.got.goaway.unwrap_or(0), code.unwrap_or(u32::MAX));
                self.got.goaway = Some(if code == 0 { before } else { code });
            }
            frames::RST_STREAM => {
                let code = payload.get(..4).map(|code| u32::from_be_bytes([code[0], code[1], code[2], code[3]]));
                // After the end of its response it says only that no more of the request is wanted (RFC 9113 8.1).
                self.got.resets.insert(stream, code.unwrap_or(u32::MAX));
            }
            frames::HEADERS => {
                let mut block = unpadded(payload, flags);
                if flags & WITH_PRIORITY != 0 {
                    block = block.get(5..).unwrap_or_default();
                }
                self.open = Some((stream, flags & END_STREAM != 0, block.to_vec()));
                self.block_ends(flags);
            }
            frames::CONTINUATION => {
                if let Some((_, _, block)) = &mut self.open {
                    block.extend_from_slice(payload);
                }
                self.block_ends(flags);
            }
            frames::DATA => {
                let bytes = unpadded(payload, flags);
                let of = self.streams.entry(stream).or_default();
                let late = of.ended || of.response.status == 0;
                of.response.body.extend_from_slice(bytes);
                if flags & END_STREAM != 0 {
                    self.stream_ends(stream);
                }
                if late {
                    self.fault(format!("DATA outside a response on stream {stream}"));
                }
            }
            _ => {}
        }
    }

    fn block_ends(&mut self, flags: u8) {
        if flags & END_HEADERS == 0 {
            return;
        }
        let Some((stream, end, block)) = self.open.take() else { return };
        let Some(fields) = self.decoder.read(&block) else {
            return self.fault("a header block that is not HPACK".to_owned());
        };
        self.check_fields(&fields);
        let of = self.streams.entry(stream).or_default();
        let again = of.ended;
        let status = fields.iter().find(|(name, _)| name == ":status");
        let status = status.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<u16>().ok());
        match status {
            Some(status) if status < 200 => {
                of.response.interim.push((status, fields));
            }
            Some(status) => {
                let lengths: Vec<_> = fields.iter().filter(|(name, _)| name == "content-length").collect();
                let length = lengths.first().and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
                let (several, any) = (lengths.len() > 1, !lengths.is_empty());
                (of.response.status, of.response.fields, of.length) = (status, fields, length);
                if several || (any && length.is_none()) || (status == 204 && length.is_some()) {
                    self.fault(format!("a content-length that may not be there, or more than one ({status})"));
                }
            }
            None if of.response.status != 0 && end => of.response.trailers = fields,
            None => self.fault("a response without :status".to_owned()),
        }
        if again {
            self.fault(format!("HEADERS after the end of stream {stream}"));
        }
        if end {
            self.stream_ends(stream);
        }
    }

    fn stream_ends(&mut self, stream: u32) {
        let of = self.streams.entry(stream).or_default();
        (of.ended, of.response.whole) = (true, true);
        let (length, body) = (of.length, of.response.body.len());
        if length.is_some_and(|length| length != body && body > 0) {
            self.fault(format!("content-length {length:?} and {body} bytes of DATA (RFC 9113 8.1.1)"));
        }
    }

    fn check_fields(&mut self, fields: &Fields) {
        let mut pseudo_may_come = true;
        for (name, value) in fields {
            let is_pseudo = name.starts_with(':');
            if is_pseudo && (!pseudo_may_come || name != ":status") {
                self.fault(format!("{name} where it may not be (RFC 9113 8.3)"));
            }
            pseudo_may_come = is_pseudo;
            let hop = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
            if hop.contains(&name.as_str()) || name == "te" {
                self.fault(format!("{name} in HTTP/2 (RFC 9113 8.2.2)"));
            }
            if !is_pseudo && !is_h2_name(name) {
                self.fault(format!("the name {} in HTTP/2 (RFC 9113 8.2.1)", name.escape_debug()));
            }
            if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
                self.fault(format!("NUL, CR or LF in {name} (RFC 9113 8.2.1)"));
            }
        }
    }

    fn end(mut self, end: End, wire: &Wire) -> Got {
        let marker = self.streams.remove(&MARKER_STREAM);
        self.got.end = end;
        if let (Some(marker), End::Marked) = (marker, end)
            && (marker.response.status != 200 || marker.response.body != b"marker")
        {
            self.got.faults.push(format!("the next request got {}", marker.response.status));
        }
        self.got.close_notify = wire.close_notify;
        self.got.responses = std::mem::take(&mut self.streams).into_values().map(|stream| stream.response).collect();
        self.got
    }
}

fn unpadded(payload: &[u8], flags: u8) -> &[u8] {
    if flags & PADDED == 0 {
        return payload;
    }
    let Some((padding, rest)) = payload.split_first() else { return payload };
    &rest[..rest.len().saturating_sub(usize::from(*padding))]
}
