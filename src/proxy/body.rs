//! The body of a response to a client: an endpoint's, passed through as it comes, or a small one of ours.

use super::exchange::{InFlight, Served};
use super::held::Pieces;
use super::judge::Answered;
use super::local::Worker;
use super::pairing::Pairing;
use super::resume::{Begun, Resume};
use crate::domain::{FailureKind, Moment, Weight};
use crate::health::Asking;
use crate::upstream::trailers::passed_on;
use crate::upstream::{Download, Lease};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
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
        Held { pieces: Pieces, served: Served },
        Passing { #[pin] passing: Passing },
    }
}

pin_project! {
    /// An endpoint's body. At its end the connection is kept and the endpoint has answered well; where it breaks off, its rest is
    /// fetched elsewhere, or the client's breaks off too. Dropped before its end, the client has gone away: that is no evidence (who
    /// knows what it did not wait for), and the connection, half read, closes.
    #[derive(Debug)]
    pub struct Passing {
        // What was kept of it, to be passed on first.
        pieces: Pieces,
        incoming: Download,
        served: Served,
        // `None` once it has ended.
        ending: Option<Ending>,
        limits: DownloadLimits,
        last_piece: Moment,
        #[pin]
        timer: Option<Sleep>,
        resume: Option<Resume>,
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
pub struct Ending {
    pub worker: Rc<Worker>,
    pub in_flight: InFlight,
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

    /// An endpoint's, all of which is here.
    pub fn held(pieces: Pieces, served: Served) -> Body {
        Body::Held { pieces, served }
    }

    /// An endpoint's, whose rest is still to come. `resume`: how to get it if it breaks off.
    pub fn passing(
        pieces: Pieces,
        incoming: Download,
        served: Served,
        ending: Ending,
        limits: DownloadLimits,
        resume: Option<Resume>,
    ) -> Body {
        let last_piece = ending.worker.clock.now();
        let ending = Some(ending);
        Body::Passing { passing: Passing { pieces, incoming, served, ending, limits, last_piece, timer: None, resume } }
    }
}

impl Ending {
    /// The body is whole.
    fn finish(mut self, now: Moment) {
        match self.answered {
            Answered::Well => {
                let Ending { worker, in_flight, asking, began, .. } = &self;
                in_flight.endpoint().note_good(&worker.reporter, *asking, *began, now);
            }
            Answered::Failing => (),
        }
        if let Some(lease) = self.lease.take() {
            self.in_flight.endpoint().kept.give_back(lease, now);
        }
    }

    /// The body broke off.
    fn fail(&self, cut: FailureKind) {
        match self.answered {
            Answered::Well => {
                let Ending { worker, in_flight, asking, .. } = self;
                in_flight.endpoint().count_failure(&worker.reporter, cut);
                let id = in_flight.endpoint().id();
                Pairing::new(worker, *asking).fail(id, cut, Weight::Full, worker.clock.now());
            }
            Answered::Failing => (),
        }
    }
}

impl Passing {
    fn size_hint(&self) -> SizeHint {
        let (kept, rest) = (self.pieces.bytes(), self.incoming.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(kept.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(kept.saturating_add(upper));
        }
        hint
    }

    fn poll_piece(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let mut this = self.project();
        if let Some(frame) = this.pieces.take_next() {
            this.served.count_bytes(0, frame.data_ref().map_or(0, Bytes::len) as u64);
            return Poll::Ready(Some(Ok(frame)));
        }
        loop {
            if let Some(resume) = this.resume.as_mut()
                && resume.is_at_work()
            {
                let Some(resumed) = ready!(resume.poll(context)) else { return Poll::Ready(Some(Err(BodyCut))) };
                *this.incoming = resumed.incoming;
                *this.last_piece = resumed.ending.worker.clock.now();
                *this.ending = Some(resumed.ending);
                this.timer.set(None);
            }
            let Some(ending) = this.ending.as_ref() else { return Poll::Ready(None) };
            let clock = ending.worker.clock;
            let cut = match Pin::new(&mut *this.incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    *this.last_piece = clock.now();
                    let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                    this.served.count_bytes(0, bytes);
                    if let Some(resume) = this.resume {
                        resume.note_passed(bytes);
                    }
                    // hyper asks no further once it knows the end, so it is noted here.
                    if (frame.is_trailers() || this.incoming.is_end_stream())
                        && let Some(ending) = this.ending.take()
                    {
                        ending.finish(*this.last_piece);
                    }
                    return Poll::Ready(Some(Ok(passed_on(frame))));
                }
                Poll::Ready(None) => {
                    if let Some(ending) = this.ending.take() {
                        ending.finish(clock.now());
                    }
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(_))) => Broke::By(FailureKind::Cut),
                Poll::Pending => loop {
                    // Set once and moved only when it fires: a fast body never touches the timer again.
                    let idle_until = this.last_piece.after(this.limits.idle);
                    let deadline = this.limits.until.map_or(idle_until, |until| until.min(idle_until));
                    let look = this.resume.as_ref().map(Resume::look_at);
                    let wake = look.map_or(deadline, |look| look.min(deadline));
                    match this.timer.as_mut().as_pin_mut() {
                        None => this.timer.set(Some(tokio::time::sleep_until(clock.instant(wake)))),
                        Some(timer) => {
                            ready!(timer.poll(context));
                            let now = clock.now();
                            if now >= deadline {
                                break Broke::By(FailureKind::Timeout);
                            }
                            if let Some(resume) = this.resume.as_mut()
                                && resume.gives_up_on(ending, now)
                            {
                                break Broke::LeftBehind;
                            }
                            this.timer.set(Some(tokio::time::sleep_until(clock.instant(wake))));
                        }
                    }
                },
            };
            let Some(ending) = this.ending.take() else { return Poll::Ready(None) };
            match cut {
                Broke::By(kind) => ending.fail(kind),
                Broke::LeftBehind => (), // its endpoint is out already
            }
            let until = this.limits.until;
            match this.resume.as_mut().map(|resume| resume.begin(ending, until, this.served)) {
                Some(Begun::AtWork) => (),
                None | Some(Begun::Never) => return Poll::Ready(Some(Err(BodyCut))),
            }
        }
    }
}

/// Why a body does not go on.
enum Broke {
    By(FailureKind),
    /// It comes too slowly, from an endpoint that requests do not go to any more.
    LeftBehind,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        match self.project() {
            BodyProject::Empty => Poll::Ready(None),
            BodyProject::Full { bytes } => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            BodyProject::Held { pieces, served } => {
                let frame = pieces.take_next();
                if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
                    served.count_bytes(0, data.len() as u64);
                }
                Poll::Ready(frame.map(Ok))
            }
            BodyProject::Passing { passing } => passing.poll_piece(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full { bytes } => bytes.is_none(),
            Body::Held { pieces, .. } => pieces.is_empty(),
            Body::Passing { passing } => passing.pieces.is_empty() && passing.ending.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full { bytes } => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Body::Held { pieces, .. } => pieces.size_hint(),
            Body::Passing { passing } => passing.size_hint(),
        }
    }
}
