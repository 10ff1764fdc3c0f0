//! The frames that a client of HTTP/2 sends, counted as they pass: those that ask for nothing must not be many more than what is asked
//! for and sent. h2 bounds what it has to remember (resets, heads without end, empty DATA); PING, SETTINGS, PRIORITY, WINDOW_UPDATE and
//! frames it does not know cost it no memory, so it takes them without end.
//!
//! Not here: what is done about too many ([`super::http2`]).

use crate::domain::Moment;

/// What comes before the first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;
const HEAD: usize = 9;

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
}

impl Frames {
    pub fn new(now: Moment) -> Frames {
        let (first, head) = (First::Awaited, [0; HEAD]);
        Frames { skip: PREFACE, head, have: 0, first, left: MOST, since: now, sent: 0 }
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
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
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
            let [high, middle, low, kind, ..] = self.head;
            self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.have = 0;
            if std::mem::replace(&mut self.first, First::Seen) == First::Awaited && kind != SETTINGS {
                return Err(Wrong::NoSettings);
            }
            match kind {
                DATA | HEADERS => self.left = MOST.min(self.left + 1),
                CONTINUATION => {}
                _ => self.spend(&now)?,
            }
        }
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
