//! The body of a response to a client: an endpoint's, passed through as it comes, or a small one of ours.

use super::exchange::{InFlight, Served};
use super::judge::Answered;
use super::local::Worker;
use super::pairing::Pairing;
use crate::domain::{FailureKind, Moment, Weight};
use crate::health::Asking;
use crate::upstream::Lease;
use crate::upstream::trailers::passed_on;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

pin_project! {
    /// A response body on its way to a client.
    #[project = BodyProject]
    #[derive(Debug)]
    pub enum Body {
        Empty,
        Full { bytes: Option<Bytes> },
        Passing { #[pin] passing: Passing },
    }
}

pin_project! {
    /// An endpoint's body. At its end the connection is kept and the endpoint has answered well; where it breaks off, the
    /// client's breaks off too. Dropped before its end, the client has gone away: that is no evidence (who knows what it did
    /// not wait for), and the connection, half read, closes.
    #[derive(Debug)]
    pub struct Passing {
        incoming: Incoming,
        attempt: Option<Attempt>,
        limits: DownloadLimits,
        last_piece: Moment,
        #[pin]
        timer: Option<Sleep>,
    }
}

/// How long an endpoint's body may take.
#[derive(Clone, Copy, Debug)]
pub struct DownloadLimits {
    /// Between two pieces.
    pub idle: Duration,
    /// To its end.
    pub until: Option<Moment>,
}

/// What a body's end is told to.
#[derive(Debug)]
pub struct Attempt {
    pub worker: Rc<Worker>,
    pub in_flight: InFlight,
    pub served: Served,
    pub lease: Option<Lease>,
    /// A failing answer was counted when its head came.
    pub answered: Answered,
    pub asking: Asking,
    /// When the attempt began.
    pub began: Moment,
}

/// The body ended before its end: the client's must be cut too.
#[derive(Debug, thiserror::Error)]
#[error("the endpoint's response body ended early")]
pub struct BodyCut;

impl Body {
    /// A body of ours.
    pub fn full(bytes: Bytes) -> Body {
        Body::Full { bytes: Some(bytes) }
    }

    /// An endpoint's.
    pub fn passing(incoming: Incoming, attempt: Attempt, limits: DownloadLimits, now: Moment) -> Body {
        let whole = incoming.is_end_stream();
        let mut passing = Passing { incoming, attempt: Some(attempt), limits, last_piece: now, timer: None };
        if whole {
            finish(&mut passing.attempt, now);
        }
        Body::Passing { passing }
    }
}

/// The body is whole.
fn finish(attempt: &mut Option<Attempt>, now: Moment) {
    if let Some(mut attempt) = attempt.take() {
        match attempt.answered {
            Answered::Well => {
                let Attempt { worker, in_flight, asking, began, .. } = &attempt;
                in_flight.endpoint().note_good(&worker.reporter, *asking, *began, now);
            }
            Answered::Failing => (),
        }
        if let Some(lease) = attempt.lease.take() {
            attempt.in_flight.endpoint().kept.give_back(lease, now);
        }
    }
}

impl Attempt {
    /// The body broke off. Its head is with the client, so nobody else can be asked.
    fn fail(&self, cut: FailureKind) {
        match self.answered {
            Answered::Well => {
                let Attempt { worker, in_flight, asking, .. } = self;
                in_flight.endpoint().count_failure(&worker.reporter, cut);
                let id = in_flight.endpoint().id();
                Pairing::new(worker, *asking).fail(id, cut, Weight::Full, worker.clock.now());
            }
            Answered::Failing => (),
        }
    }
}

impl Passing {
    fn poll_piece(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let mut this = self.project();
        let Some(attempt) = this.attempt.as_ref() else { return Poll::Ready(None) };
        let clock = attempt.worker.clock;
        let cut = match Pin::new(&mut *this.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                *this.last_piece = clock.now();
                if let Some(data) = frame.data_ref() {
                    attempt.served.count_bytes(0, data.len() as u64);
                }
                // hyper asks no further once it knows the end, so it is noted here.
                if frame.is_trailers() || this.incoming.is_end_stream() {
                    finish(this.attempt, *this.last_piece);
                }
                return Poll::Ready(Some(Ok(passed_on(frame))));
            }
            Poll::Ready(None) => {
                finish(this.attempt, clock.now());
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(_))) => FailureKind::Cut,
            Poll::Pending => loop {
                // Set once and moved only when it fires: a fast body never touches the timer again.
                let idle_until = this.last_piece.after(this.limits.idle);
                let deadline = this.limits.until.map_or(idle_until, |until| until.min(idle_until));
                match this.timer.as_mut().as_pin_mut() {
                    None => this.timer.set(Some(tokio::time::sleep_until(clock.instant(deadline)))),
                    Some(timer) => {
                        ready!(timer.poll(context));
                        if clock.now() >= deadline {
                            break FailureKind::Timeout;
                        }
                        this.timer.set(Some(tokio::time::sleep_until(clock.instant(deadline))));
                    }
                }
            },
        };
        if let Some(attempt) = this.attempt.take() {
            attempt.fail(cut);
        }
        Poll::Ready(Some(Err(BodyCut)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        match self.project() {
            BodyProject::Empty => Poll::Ready(None),
            BodyProject::Full { bytes } => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            BodyProject::Passing { passing } => passing.poll_piece(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full { bytes } => bytes.is_none(),
            Body::Passing { passing } => passing.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full { bytes } => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Body::Passing { passing } => passing.incoming.size_hint(),
        }
    }
}
