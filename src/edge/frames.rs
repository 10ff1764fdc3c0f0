//! The frames that a client of HTTP/2 sends, counted as they pass: those that ask for nothing must not be many more than what is asked
//! for and sent. h2 bounds what it has to remember (resets, heads without end, empty DATA); PING, SETTINGS, PRIORITY, WINDOW_UPDATE and
//! frames it does not know cost it no memory, so it takes them without end. Heads and trailers are looked into ([`blocks`]).
//!
//! Not here: what is done about too many ([`super::http2`]).

mod blocks;

use crate::domain::Moment;
use blocks::{Blocks, Section};

/// What comes before the first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;
const HEAD: usize = 9;
/// A stream's number, less the bit that is reserved.
const STREAM: u32 = u32::MAX >> 1;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

/// Idle frames that are saved up at most.
const MOST: u32 = 2_000;
/// Idle frames that each second brings.
const EACH_SECOND: u64 = 100;
/// Bytes that we send for an idle frame more: who takes much opens windows often. A window that is opened byte by byte brings frames of 10.
const SENT_FOR_ONE: usize = 32;

/// How far a connection's frames have been looked at, and how many idle ones may still come.
#[derive(Debug)]
pub struct Frames {
    /// Of the preface, or of the payload that passes now.
    skip: usize,
    head: [u8; HEAD],
    /// Bytes of the head that are there.
    have: usize,
    first: First,
    /// The highest stream that was opened: HEADERS of another are a request's trailers.
    newest: u32,
    blocks: Blocks,
    left: u32,
    /// Since when time has brought none.
    since: Moment,
    /// Bytes sent that have brought none yet.
    sent: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Awaited,
    Seen,
}

/// What is wrong with a client's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// On which h2 does not insist (RFC 9113, section 3.4).
    #[error("no SETTINGS after the preface")]
    NoSettings,
    #[error("too many frames that ask for nothing")]
    Flood,
    /// An error of its stream, made one of its connection, as RFC 9113, section 5.4.1, allows: a stream of h2's can't be ended from below.
    #[error("a pseudo-field in trailers")]
    PseudoInTrailers,
}

impl Frames {
    pub fn new(now: Moment) -> Frames {
        let (first, head) = (First::Awaited, [0; HEAD]);
        let (newest, blocks) = (0, Blocks::new());
        Frames { skip: PREFACE, head, have: 0, first, newest, blocks, left: MOST, since: now, sent: 0 }
    }

    /// Bytes of ours that went to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
    }

    /// Bytes that came from the client.
    ///
    /// # Errors
    /// They are no frames that a client in its right mind sends.
    pub fn came(&mut self, mut bytes: &[u8], now: impl Fn() -> Moment) -> Result<(), Wrong> {
        loop {
            let (passing, rest) = bytes.split_at(self.skip.min(bytes.len()));
            self.skip -= passing.len();
            bytes = rest;
            if matches!(self.head, [_, _, _, HEADERS | CONTINUATION, ..]) {
                self.blocks.pass(passing).map_err(|_| Wrong::PseudoInTrailers)?;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let taken = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < HEAD {
                return Ok(());
            }
            let [high, middle, low, kind, flags, stream @ ..] = self.head;
            self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.have = 0;
            if std::mem::replace(&mut self.first, First::Seen) == First::Awaited && kind != SETTINGS {
                return Err(Wrong::NoSettings);
            }
            match kind {
                DATA => self.earn(),
                HEADERS => {
                    self.earn();
                    let stream = u32::from_be_bytes(stream) & STREAM;
                    let section = if stream > self.newest { Section::Head } else { Section::Trailers };
                    self.newest = self.newest.max(stream);
                    self.blocks.begin(section, flags, self.skip);
                }
                CONTINUATION => self.blocks.go_on(self.skip),
                _ => self.spend(&now)?,
            }
        }
    }

    /// A frame that is not idle.
    fn earn(&mut self) {
        self.left = MOST.min(self.left + 1);
    }

    /// One idle frame.
    fn spend(&mut self, now: &impl Fn() -> Moment) -> Result<(), Wrong> {
        if self.left == 0 {
            let brought = self.sent / SENT_FOR_ONE;
            self.sent %= SENT_FOR_ONE;
            let now = now();
            let waited = now.since(self.since).as_millis();
            let waited = u64::try_from(waited).unwrap_or(u64::MAX).saturating_mul(EACH_SECOND) / 1_000;
            self.since = now;
            let brought = u64::try_from(brought).unwrap_or(u64::MAX).saturating_add(waited);
            self.left = u32::try_from(brought).unwrap_or(MOST).min(MOST);
        }
        self.left = self.left.checked_sub(1).ok_or(Wrong::Flood)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PING: u8 = 6;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let length = u32::try_from(length).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], &vec![0; usize::from(length[3])]].concat()
    }

    fn begun() -> Frames {
        let mut frames = Frames::new(Moment::ZERO);
        frames.came(&[[0; PREFACE].to_vec(), frame(SETTINGS, 6)].concat(), || Moment::ZERO).unwrap();
        frames
    }

    fn pings(frames: &mut Frames, at: Duration) -> u32 {
        let ping = frame(PING, 8);
        let many = (0..).find(|_| frames.came(&ping, || Moment::at(at)).is_err()).unwrap();
        frames.skip = 0; // a connection that has gone wrong is not looked at any more
        many
    }

    #[test]
    fn frames_are_told_apart_however_their_bytes_come() {
        let bytes = [[0; PREFACE].to_vec(), frame(SETTINGS, 0), frame(HEADERS, 200), frame(PING, 8)].concat();
        for size in [1, 2, 3, 7, bytes.len()] {
            let mut frames = Frames::new(Moment::ZERO);
            for piece in bytes.chunks(size) {
                frames.came(piece, || Moment::ZERO).unwrap();
            }
            assert_eq!((frames.left, frames.skip, frames.have), (MOST - 1, 0, 0), "in pieces of {size}");
        }
    }

    #[test]
    fn the_first_frame_is_settings() {
        let mut frames = Frames::new(Moment::ZERO);
        let bytes = [[0; PREFACE].to_vec(), frame(HEADERS, 2)].concat();
        assert_eq!(frames.came(&bytes, || Moment::ZERO), Err(Wrong::NoSettings));
    }

    #[test]
    fn a_pseudo_field_is_wrong_in_trailers_alone_which_are_heads_of_a_stream_that_was_opened() {
        let head = |kind, stream: u32, block: &[u8]| {
            [&[0, 0, u8::try_from(block.len()).unwrap(), kind, 0], &stream.to_be_bytes()[..], block].concat()
        };
        let heads = |stream| [head(HEADERS, stream, &[0x82]), head(CONTINUATION, stream, &[0x84])].concat();
        let data = [head(DATA, 5, &[0x84]), head(SETTINGS, 0, &[0x84; 6])].concat();
        let well = [heads(1), heads(5), data, heads(7 | 1 << 31)].concat();
        for (last, expected) in [
            (heads(9), Ok(())),
            (head(HEADERS, 7, &[0x90]), Ok(())),
            (heads(7), Err(Wrong::PseudoInTrailers)),
            (heads(5 | 1 << 31), Err(Wrong::PseudoInTrailers)),
            ([head(HEADERS, 1, &[0x90]), head(CONTINUATION, 1, &[0x82])].concat(), Err(Wrong::PseudoInTrailers)),
        ] {
            let bytes = [&well[..], &last].concat();
            for size in 1..=bytes.len() {
                let mut frames = begun();
                let judged = bytes.chunks(size).try_for_each(|piece| frames.came(piece, || Moment::ZERO));
                assert_eq!(judged, expected, "{last:x?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn so_many_idle_frames_may_come_at_once_and_more_with_time() {
        let mut frames = begun();
        assert_eq!(pings(&mut frames, Duration::ZERO), MOST - 1, "SETTINGS was one, too");
        assert_eq!(pings(&mut frames, Duration::from_secs(1)), 100);
        assert_eq!(pings(&mut frames, Duration::from_secs(3600)), MOST, "no more are saved up");
    }

    #[test]
    fn what_is_asked_for_and_what_is_sent_bring_more() {
        let mut frames = begun();
        pings(&mut frames, Duration::ZERO);
        frames.sent(32 * 50 + 31);
        assert_eq!(pings(&mut frames, Duration::ZERO), 50);
        frames.came(&frame(HEADERS, 3).repeat(20), || Moment::ZERO).unwrap();
        assert_eq!(pings(&mut frames, Duration::ZERO), 20);
    }
}
