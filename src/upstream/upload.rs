//! A request's body on its way from the client to an endpoint, and what is known of it afterwards.

use super::trailers::passed_on;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

pin_project! {
    /// The body of one request. `Empty` and an untouched `Client` can be sent to another endpoint.
    #[project = Project]
    #[derive(Debug)]
    pub enum Upload {
        Empty,
        Client {
            incoming: Incoming,
            limits: UploadLimits,
            state: Rc<UploadState>,
            clock: Clock,
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
    /// In bytes; `None`: unlimited.
    pub size: Option<u64>,
}

/// What became of a body; shared with whoever judges the attempt.
pub struct UploadState {
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

/// Why a body stopped short; the endpoint's connection is closed with it.
#[derive(Debug, thiserror::Error)]
#[error("the client's request body ended early")]
pub struct UploadFailed;

impl Upload {
    /// The body of a request, and how to ask about it later.
    pub fn new(incoming: Incoming, limits: UploadLimits, now: Moment, clock: Clock) -> (Upload, Rc<UploadState>) {
        let whole = incoming.is_end_stream();
        let state = Rc::new(UploadState::new(now, if whole { UploadEnd::Whole } else { UploadEnd::Untouched }));
        let upload = if whole {
            Upload::Empty
        } else {
            Upload::Client { incoming, limits, state: state.clone(), clock, timer: None }
        };
        (upload, state)
    }
}

impl UploadState {
    fn new(now: Moment, end: UploadEnd) -> UploadState {
        UploadState { bytes: Cell::new(0), last_piece: Cell::new(now), end: Cell::new(end), tell: RefCell::default() }
    }

    /// Of a request without a body.
    pub fn whole(now: Moment) -> UploadState {
        UploadState::new(now, UploadEnd::Whole)
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
        let Project::Client { incoming, limits, state, clock, mut timer } = self.project() else {
            return Poll::Ready(None);
        };
        if state.end.get() == UploadEnd::Untouched {
            state.end.set(UploadEnd::Streaming);
            state.last_piece.set(clock.now());
        }
        let failed = |end| {
            state.end.set(end);
            Poll::Ready(Some(Err(UploadFailed)))
        };
        let frame = match Pin::new(&mut *incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(_))) => return failed(UploadEnd::Broken),
            Poll::Ready(None) => {
                state.is_whole(clock.now());
                return Poll::Ready(None);
            }
            Poll::Pending => {
                // The timer is set once and moved only when it fires: a fast upload never touches it again.
                loop {
                    let deadline = clock.instant(state.last_piece.get().after(limits.idle));
                    match timer.as_mut().as_pin_mut() {
                        None => timer.set(Some(tokio::time::sleep_until(deadline))),
                        Some(sleep) => {
                            ready!(sleep.poll(context));
                            if clock.now().since(state.last_piece.get()) >= limits.idle {
                                return failed(UploadEnd::TooSlow);
                            }
                            timer.set(Some(tokio::time::sleep_until(deadline)));
                        }
                    }
                }
            }
        };
        state.last_piece.set(clock.now());
        let frame = passed_on(frame);
        if let Some(data) = frame.data_ref() {
            let bytes = state.bytes.get() + data.len() as u64;
            state.bytes.set(bytes);
            if limits.size.is_some_and(|most| bytes > most) {
                return failed(UploadEnd::TooLarge);
            }
        }
        // hyper asks no further once it knows the end.
        if frame.is_trailers() || incoming.is_end_stream() {
            state.is_whole(state.last_piece.get());
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Upload::Empty => true,
            Upload::Client { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Upload::Empty => SizeHint::with_exact(0),
            Upload::Client { incoming, .. } => incoming.size_hint(),
        }
    }
}
