//! Responses that are kept until they are whole, so that one that breaks off can be fetched elsewhere before the client has seen
//! any of it: failover.md, "Held responses".
//!
//! Not here: what else can be tried meanwhile (`service`), and what a broken one means (`judge`).

use super::local::Worker;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use crate::upstream::trailers::passed_on;
use crate::upstream::{Answer, Download, Failure, Lease, Room};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// The largest body that is kept whole.
pub const BODY_MAX: u64 = 64 * 1024;

/// How long the beginning of a body of unknown length is kept: most pages are whole by then, and a stream must not wait.
const UNKNOWN_FOR: Duration = Duration::from_millis(10);

/// How much of a response is to be kept before the client gets any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// All of it: its length is known.
    Whole {
        length: usize,
    },
    /// What comes in the first moment.
    Beginning,
    Nothing,
}

impl Keep {
    fn of<B: http_body::Body>(response: &Response<B>) -> Keep {
        // Not the header: a response to HEAD, and a 304, have a length and no body.
        match response.body().size_hint().exact() {
            Some(length) if length <= BODY_MAX => {
                usize::try_from(length).map_or(Keep::Nothing, |length| Keep::Whole { length })
            }
            Some(_) => Keep::Nothing,
            None if is_a_stream(response.headers()) => Keep::Nothing,
            None => Keep::Beginning,
        }
    }

    fn room(self) -> usize {
        match self {
            Keep::Whole { length } => length,
            Keep::Beginning => usize::try_from(BODY_MAX).unwrap_or(usize::MAX),
            Keep::Nothing => 0,
        }
    }
}

/// Whether each piece means something by itself and must not wait for the next: server-sent events, gRPC, and whatever says so as
/// it does to nginx.
fn is_a_stream(headers: &HeaderMap) -> bool {
    const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
    let is =
        |name: &HeaderName, so: &dyn Fn(&[u8]) -> bool| headers.get(name).is_some_and(|value| so(value.as_bytes()));
    let begins = |value: &[u8], with: &[u8]| value.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with));
    is(&header::CONTENT_TYPE, &|kind| begins(kind, b"text/event-stream") || begins(kind, b"application/grpc"))
        || is(&BUFFERING, &|value| value.eq_ignore_ascii_case(b"no"))
}

/// What was kept of a body, to be passed on in order.
#[derive(Debug, Default)]
pub struct Pieces {
    /// Mostly all there is, as it was read.
    first: Option<Bytes>,
    /// Copied together: many small pieces would each hold on to the buffer that they came in.
    rest: BytesMut,
    trailers: Option<HeaderMap>,
    room: Option<Room>,
}

impl Pieces {
    fn add(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) if data.is_empty() => (),
            Ok(data) if self.first.is_none() => self.first = Some(data),
            Ok(data) => self.rest.extend_from_slice(&data),
            Err(other) => self.trailers = other.into_trailers().ok(),
        }
    }

    /// Bytes of body that are left of it.
    pub fn bytes(&self) -> u64 {
        (self.first.as_ref().map_or(0, Bytes::len) + self.rest.len()) as u64
    }

    /// For all that is left of it to be the rest of the body.
    pub fn size_hint(&self) -> SizeHint {
        match self.trailers {
            None => SizeHint::with_exact(self.bytes()),
            // With its length told there would be no place for them (RFC 9112, section 7.1.2).
            Some(_) => SizeHint::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty() && self.trailers.is_none()
    }

    /// The next of it, to be passed on.
    pub fn take_next(&mut self) -> Option<Frame<Bytes>> {
        let next = self.first.take().or_else(|| (!self.rest.is_empty()).then(|| self.rest.split().freeze()));
        let next = next.map(Frame::data).or_else(|| self.trailers.take().map(Frame::trailers));
        if self.is_empty() {
            self.room = None;
        }
        next
    }
}

/// Whether a body was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// The rest is still to come.
    Begun,
}

/// A response that is being kept.
#[derive(Debug)]
pub struct Holding {
    answer: Answer,
    pieces: Pieces,
    keep: Keep,
    since: Moment,
    last_piece: Moment,
    limits: Limits,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Between two pieces.
    pub idle: Duration,
    /// To its end.
    pub until: Moment,
}

/// A response as it can be passed on: what was kept of it, and what is still to come.
#[derive(Debug)]
pub struct Got {
    pub answer: Answer,
    pub pieces: Pieces,
    pub extent: Extent,
}

impl Got {
    /// Whether it has a body that is whole, and yet more came than its length: what is missing in it nobody knows.
    pub fn is_overfull(&self) -> bool {
        let whole = self.extent == Extent::Whole && self.pieces.bytes() > 0;
        whole && self.answer.lease.as_ref().is_some_and(Lease::is_overfull)
    }
}

/// What a response came to whose head is there.
#[derive(Debug)]
pub enum Kept {
    Some(Holding),
    /// It is too long, a stream, or there is no room for it: it streams.
    Nothing(Got),
}

impl Got {
    /// One of which nothing was kept.
    pub fn head(answer: Answer) -> Got {
        let extent = if answer.response.body().is_end_stream() { Extent::Whole } else { Extent::Begun };
        Got { answer, pieces: Pieces::default(), extent }
    }
}

impl Holding {
    /// Begins to keep a response.
    pub fn begin(worker: &Worker, answer: Answer, limits: Limits, now: Moment) -> Kept {
        let keep = Keep::of(&answer.response);
        let room = match keep {
            Keep::Nothing => return Kept::Nothing(Got::head(answer)),
            Keep::Whole { length: 0 } => None,
            Keep::Whole { .. } | Keep::Beginning => match worker.held.take(keep.room()) {
                Some(room) => Some(room),
                None => return Kept::Nothing(Got::head(answer)),
            },
        };
        let pieces = Pieces { room, ..Pieces::default() };
        Kept::Some(Holding { answer, pieces, keep, since: now, last_piece: now, limits, timer: None })
    }

    /// Its head.
    pub fn response(&self) -> &Response<Download> {
        &self.answer.response
    }

    /// When its head came.
    pub fn since(&self) -> Moment {
        self.since
    }

    /// Reads on until it is whole, or enough of it is kept.
    pub fn poll(&mut self, context: &mut Context<'_>, clock: Clock) -> Poll<Result<Extent, Failure>> {
        loop {
            let incoming: &mut Download = self.answer.response.body_mut();
            match Pin::new(&mut *incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    // hyper asks no further once it knows the end.
                    let ended = frame.is_trailers() || incoming.is_end_stream();
                    self.pieces.add(passed_on(frame));
                    if ended {
                        return Poll::Ready(Ok(Extent::Whole));
                    }
                    self.last_piece = clock.now();
                    if self.pieces.bytes() >= BODY_MAX {
                        return Poll::Ready(Ok(Extent::Begun));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(Ok(Extent::Whole)),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Failure::Cut { received: self.pieces.bytes() })),
                Poll::Pending => {
                    ready!(self.poll_timer(context, clock));
                    return Poll::Ready(match self.keep {
                        Keep::Whole { .. } => Err(Failure::Stalled { received: self.pieces.bytes() }),
                        Keep::Beginning | Keep::Nothing => Ok(Extent::Begun),
                    });
                }
            }
        }
    }

    /// To be passed on as it is.
    pub fn into_got(self, extent: Extent) -> Got {
        Got { answer: self.answer, pieces: self.pieces, extent }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>, clock: Clock) -> Poll<()> {
        loop {
            let deadline = match self.keep {
                Keep::Whole { .. } => self.last_piece.after(self.limits.idle).min(self.limits.until),
                Keep::Beginning | Keep::Nothing => self.since.after(UNKNOWN_FOR),
            };
            // Set once and moved only when it fires.
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(clock.instant(deadline))));
            ready!(timer.as_mut().poll(context));
            if clock.now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(clock.instant(deadline));
        }
    }
}

#[cfg(test)]
mod tests;
