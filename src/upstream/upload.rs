//! A request's body on its way from the client to an endpoint, and what is known of it afterwards.

use super::client_body::ClientBody;
use super::room::{Room, Rooms};
use super::trailers::passed_on;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use crate::runtime::grace::Grace;
use bytes::{Bytes, BytesMut};
use h2::Reason;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

pin_project! {
    /// The body of one request, on its way to one endpoint. `Empty` and an untouched `Client` can be sent to another.
    #[project = Project]
    #[derive(Debug)]
    pub enum Upload {
        Empty,
        Client {
            state: Rc<UploadState>,
            // Bytes passed on to this endpoint.
            passed: usize,
            // A connection may still want the body after another endpoint was given it.
            turn: u32,
            #[pin]
            timer: Option<Sleep>,
        },
    }
}

/// What a client's body may cost.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// Between two pieces.
    pub idle: Duration,
    /// In bytes a second, on average while the client is waited for; 0: none.
    pub min_rate: u64,
    /// In bytes; `None`: unlimited.
    pub size: Option<u64>,
}

/// A client's body, as it comes, and as much of it as is kept.
#[derive(Debug)]
struct Source {
    incoming: ClientBody,
    /// In bytes; `None`: unlimited.
    most: Option<u64>,
    /// How long the client may still be waited for.
    grace: Grace,
    clock: Clock,
    keep: Keep,
}

/// What is kept of a body to be sent once more.
#[derive(Debug)]
enum Keep {
    /// All of it so far. Copied: its pieces would each hold on to the buffer that they came in.
    All {
        bytes: BytesMut,
        #[expect(dead_code, reason = "held for its drop")]
        room: Room,
    },
    /// It is not needed, or was too much.
    Nothing,
}

/// The largest body that is kept.
pub const KEPT_MAX: usize = 64 * 1024;

/// What became of a body; shared with whoever judges the attempt, and with those who send it once more.
pub struct UploadState {
    /// `None`: the request has no body.
    source: Option<RefCell<Source>>,
    /// Whose turn it is: the latest [`Upload`] of it.
    turn: Cell<u32>,
    bytes: Cell<u64>,
    last_piece: Cell<Moment>,
    end: Cell<UploadEnd>,
    /// Told when the body is whole.
    tell: RefCell<Option<Tell>>,
}

/// Whom to tell, once.
type Tell = Box<dyn FnOnce(Moment)>;

impl std::fmt::Debug for UploadState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadState").field("bytes", &self.bytes).field("end", &self.end).finish_non_exhaustive()
    }
}

/// How far a body got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadEnd {
    /// Not asked for yet: nothing of it is lost, it can be sent anew.
    Untouched,
    Streaming,
    Whole,
    /// The client sent nothing for too long.
    TooSlow,
    /// More than the site takes.
    TooLarge,
    /// The client went away, or broke the rules of framing.
    Broken,
}

/// Why a body stopped short; the endpoint's connection is closed with it, or over HTTP/2 its stream reset with this reason.
#[derive(Debug, thiserror::Error)]
#[error("the client's request body ended early")]
pub struct UploadFailed(#[source] h2::Error);

impl UploadFailed {
    fn new() -> UploadFailed {
        UploadFailed(Reason::CANCEL.into())
    }
}

impl Upload {
    /// The body of a request, and how to ask about it later. `keep`: where there is room to keep it for another attempt.
    pub fn new(
        incoming: ClientBody,
        limits: UploadLimits,
        keep: Option<&Rooms>,
        now: Moment,
        clock: Clock,
    ) -> (Upload, Rc<UploadState>) {
        if incoming.is_end_stream() {
            return (Upload::Empty, Rc::new(UploadState::whole(now)));
        }
        // What is certain to be too long is not even begun to be kept.
        let room =
            keep.filter(|_| incoming.size_hint().lower() <= KEPT_MAX as u64).and_then(|rooms| rooms.take(KEPT_MAX));
        let keep = room.map_or(Keep::Nothing, |room| Keep::All { bytes: BytesMut::new(), room });
        let source =
            Source { incoming, most: limits.size, grace: Grace::new(limits.idle, limits.min_rate), clock, keep };
        let state = UploadState::new(now, UploadEnd::Untouched, Some(RefCell::new(source)));
        let state = Rc::new(state);
        (Upload::Client { state: state.clone(), passed: 0, turn: 0, timer: None }, state)
    }

    /// The same body for another endpoint, from its first byte on; `None` when part of it is gone.
    pub fn again(state: &Rc<UploadState>) -> Option<Upload> {
        match &state.source {
            None => Some(Upload::Empty),
            Some(source) if state.can_be_sent_again() => {
                source.borrow_mut().grace.pause(); // until the next endpoint asks for more it is its turn
                state.turn.set(state.turn.get() + 1);
                Some(Upload::Client { state: state.clone(), passed: 0, turn: state.turn.get(), timer: None })
            }
            Some(_) => None,
        }
    }
}

impl UploadState {
    fn new(now: Moment, end: UploadEnd, source: Option<RefCell<Source>>) -> UploadState {
        let (bytes, last_piece) = (Cell::new(0), Cell::new(now));
        UploadState { source, turn: Cell::default(), bytes, last_piece, end: Cell::new(end), tell: RefCell::default() }
    }

    /// Of a request without a body.
    pub fn whole(now: Moment) -> UploadState {
        UploadState::new(now, UploadEnd::Whole, None)
    }

    /// Whether the request has no body.
    pub fn is_empty(&self) -> bool {
        self.source.is_none()
    }

    /// Whether nothing of it is gone.
    pub fn can_be_sent_again(&self) -> bool {
        let Some(source) = &self.source else { return true };
        match (self.end.get(), &source.borrow().keep) {
            (UploadEnd::Untouched, _) | (UploadEnd::Streaming | UploadEnd::Whole, Keep::All { .. }) => true,
            (UploadEnd::Streaming | UploadEnd::Whole, Keep::Nothing)
            | (UploadEnd::TooSlow | UploadEnd::TooLarge | UploadEnd::Broken, _) => false,
        }
    }

    /// Tells `whom` as soon as all of the body was passed on: from then on it is the endpoint's turn. In place of whoever was
    /// to be told before.
    pub fn tell_when_whole(&self, whom: impl FnOnce(Moment) + 'static) {
        self.tell.replace(Some(Box::new(whom)));
    }

    fn is_whole(&self, now: Moment) {
        self.end.set(UploadEnd::Whole);
        if let Some(tell) = self.tell.take() {
            tell(now);
        }
    }

    pub fn end(&self) -> UploadEnd {
        self.end.get()
    }

    /// Bytes that came from the client so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// When the newest piece was passed on; when the body was made, if none was.
    pub fn last_piece(&self) -> Moment {
        self.last_piece.get()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadFailed;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
        let Project::Client { state, passed, turn, mut timer } = self.project() else { return Poll::Ready(None) };
        if *turn != state.turn.get() {
            return Poll::Ready(Some(Err(UploadFailed::new())));
        }
        let Some(source) = &state.source else { return Poll::Ready(None) };
        let mut source = source.borrow_mut();
        if let Some(kept) = source.kept_from(*passed) {
            *passed += kept.len();
            return Poll::Ready(Some(Ok(Frame::data(kept))));
        }
        if state.end.get() == UploadEnd::Whole {
            return Poll::Ready(None);
        }
        let clock = source.clock;
        if state.end.get() == UploadEnd::Untouched {
            state.end.set(UploadEnd::Streaming);
            state.last_piece.set(clock.now());
        }
        let failed = |end| {
            state.end.set(end);
            Poll::Ready(Some(Err(UploadFailed::new())))
        };
        let frame = match Pin::new(&mut source.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(_))) => return failed(UploadEnd::Broken),
            Poll::Ready(None) => {
                state.is_whole(clock.now());
                return Poll::Ready(None);
            }
            Poll::Pending => {
                // The timer is set once and moved only when it fires: a fast upload never touches it again.
                let due = source.grace.due(|| clock.now());
                loop {
                    let deadline = clock.instant(due);
                    match timer.as_mut().as_pin_mut() {
                        None => timer.set(Some(tokio::time::sleep_until(deadline))),
                        Some(sleep) => {
                            ready!(sleep.poll(context));
                            if clock.now() >= due {
                                return failed(UploadEnd::TooSlow);
                            }
                            timer.set(Some(tokio::time::sleep_until(deadline)));
                        }
                    }
                }
            }
        };
        let now = clock.now();
        state.last_piece.set(now);
        source.grace.moved(now, frame.data_ref().map_or(0, |data| data.len() as u64));
        let frame = passed_on(frame);
        if let Some(data) = frame.data_ref() {
            let bytes = state.bytes.get() + data.len() as u64;
            state.bytes.set(bytes);
            *passed += data.len();
            if source.most.is_some_and(|most| bytes > most) {
                return failed(UploadEnd::TooLarge);
            }
            source.keep(data);
        } else {
            source.keep = Keep::Nothing; // trailers: rare, and not worth keeping
        }
        // hyper asks no further once it knows the end.
        if frame.is_trailers() || source.incoming.is_end_stream() {
            state.is_whole(state.last_piece.get());
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Upload::Empty => true,
            Upload::Client { state, passed, .. } => {
                state.bytes.get() == *passed as u64
                    && state.source.as_ref().is_none_or(|source| source.borrow().incoming.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Upload::Empty => SizeHint::with_exact(0),
            Upload::Client { state, passed, .. } => {
                let Some(source) = &state.source else { return SizeHint::with_exact(0) };
                let left = source.borrow().incoming.size_hint();
                let again = state.bytes.get().saturating_sub(*passed as u64);
                match (left.exact(), state.end.get()) {
                    (Some(left), _) => SizeHint::with_exact(left.saturating_add(again)),
                    (None, UploadEnd::Whole) => SizeHint::with_exact(again),
                    (None, _) => SizeHint::default(),
                }
            }
        }
    }
}

impl Source {
    /// What was kept from that byte on.
    fn kept_from(&self, passed: usize) -> Option<Bytes> {
        match &self.keep {
            Keep::All { bytes, .. } => bytes.get(passed..).filter(|rest| !rest.is_empty()).map(Bytes::copy_from_slice),
            Keep::Nothing => None,
        }
    }

    fn keep(&mut self, data: &Bytes) {
        match &mut self.keep {
            Keep::All { bytes, .. } if bytes.len() + data.len() <= KEPT_MAX => bytes.extend_from_slice(data),
            Keep::All { .. } => self.keep = Keep::Nothing,
            Keep::Nothing => (),
        }
    }
}

#[cfg(test)]
mod tests;
