//! One try of a request at one endpoint, from the connect to the response as it can be passed on. It owns all that it needs, so that
//! it can go on by itself once nobody waits for it any more (`lost`).
//!
//! Not here: where it is sent and what runs beside it (`service`, `race`), what its end means (`judge`).

use super::begin::may_begin;
use super::exchange::{HeadWait, InFlight};
use super::held::{self, Extent, Got, Holding, Kept};
use super::interim::For;
use super::judge::{self, Answered};
use super::local::{LocalEndpoint, Worker};
use crate::config::Timeouts;
use crate::domain::{Class, Moment};
use crate::health::{Asking, HeldView};
use crate::upstream::{self, Answer, Failed, Go, ProxyHeader, Reuse, Target, Upload, UploadState};
use http::{Request, Response};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Why a request was sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// It was the first.
    First,
    /// Another one failed, or its endpoint came into doubt.
    Retry,
    /// Another one took its time.
    Hedge(Reach),
}

/// How far from its own pool a request was sent to be faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Home,
    /// Into another pool, where not each answer will do.
    Away,
}

impl By {
    /// Whether a response to it may go to the client while a better one may come.
    pub fn is_good_enough<B>(self, response: &Response<B>) -> bool {
        match self {
            By::First | By::Retry | By::Hedge(Reach::Home) => true,
            By::Hedge(Reach::Away) => judge::is_good_from_away(response.status(), response.headers()),
        }
    }
}

/// Who sees to it that the head comes in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timed {
    Itself,
    /// Whoever runs it, by [`Attempt::head_due`], if it begins with a kept connection: a request that can be elsewhere too is looked at
    /// now and then anyway, and a timer less is a good part of what rescuing costs where nothing fails. Not for one with a body.
    ByRace,
}

/// Whether a response is kept until it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    On,
    Off,
}

/// What an attempt is made of.
#[derive(Debug)]
pub struct Making {
    pub worker: Rc<Worker>,
    pub request: Request<Upload>,
    /// Of its body.
    pub upload: Rc<UploadState>,
    pub asking: Asking,
    pub by: By,
    pub hold: Hold,
    pub timed: Timed,
    /// What its connection begins with.
    pub introduce: Option<ProxyHeader>,
    pub timeouts: Timeouts,
    pub in_flight: InFlight,
    /// For a write: the view that it was sent there by, and its backend's place in it.
    pub planned: Option<(HeldView, usize)>,
    pub stood: Stood,
    /// Whose its interim responses are.
    pub interims: For,
}

/// How the endpoint stood when it was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stood {
    /// Up: should it be so no longer, the request is sent elsewhere at once.
    Up,
    /// Chosen for want of a better one, or to try it.
    Otherwise,
    /// It has been sent elsewhere for that.
    Left,
}

/// One attempt.
pub struct Attempt {
    pub by: By,
    pub stood: Stood,
    pub began: Moment,
    pub in_flight: InFlight,
    pub asking: Asking,
    pub interims: For,
    worker: Rc<Worker>,
    upload: Rc<UploadState>,
    hold: Hold,
    timed: Timed,
    timeouts: Timeouts,
    phase: Phase,
}

type Sending = Pin<Box<dyn Future<Output = Result<Answer, Failed>>>>;

#[expect(
    clippy::large_enum_variant,
    reason = "an attempt is in one place for all its life, and a box would cost each request one"
)]
enum Phase {
    /// Until the head is there.
    Head {
        sending: Sending,
        /// Counted for as long as it is here.
        #[expect(dead_code, reason = "held for its drop")]
        waiting: HeadWait,
    },
    Holding(Holding),
    Over,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("by", &self.by).field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl Attempt {
    /// Begins it; nothing is sent before the first poll.
    pub fn begin(making: Making) -> Attempt {
        let Making { worker, request, upload, asking, by, hold, timed, introduce, .. } = making;
        let Making { timeouts, in_flight, planned, stood, interims, .. } = making;
        let began = worker.clock.now();
        let local = in_flight.endpoint().clone();
        let waiting = HeadWait::begin(&worker, &local, asking, &upload, began);
        let reuse = match asking.class {
            Class::Safe => Reuse::Any,
            Class::Unsafe => Reuse::Recent,
        };
        let given = match timed {
            Timed::ByRace if introduce.is_none() => local.kept.take(began, reuse.most_idle(), &upload),
            Timed::ByRace | Timed::Itself => None,
        };
        let timed = if given.is_some() { Timed::ByRace } else { Timed::Itself };
        let sending: Sending = {
            let (worker, upload, interims) = (worker.clone(), upload.clone(), interims.clone());
            Box::pin(async move {
                let (connect_timeout, head_timeout) = (timeouts.connect, timeouts.head);
                let (way, kept, interims) = (&local.way, &local.kept, interims.takes());
                let target = Target { way, kept, given, introduce, connect_timeout, head_timeout, interims };
                let still = || match &planned {
                    Some((view, place)) => may_begin(&worker, view, &view.backends[*place], local.id()),
                    None => Go::On,
                };
                upstream::client::send(target, request, &upload, reuse, began, worker.clock, still).await
            })
        };
        let phase = Phase::Head { sending, waiting };
        Attempt { by, stood, began, in_flight, asking, interims, worker, upload, hold, timed, timeouts, phase }
    }

    pub fn endpoint(&self) -> &Rc<LocalEndpoint> {
        self.in_flight.endpoint()
    }

    /// By when its head must be there; `None`: it is, or the attempt sees to that itself.
    pub fn head_due(&self) -> Option<Moment> {
        match (self.timed, &self.phase) {
            (Timed::ByRace, Phase::Head { .. }) => Some(self.began.after(self.timeouts.head)),
            (Timed::Itself, Phase::Head { .. }) | (_, Phase::Holding(_) | Phase::Over) => None,
        }
    }

    /// Since when its response is being kept; `None`: it has no head yet.
    pub fn holding_since(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Holding(holding) => Some(holding.since()),
            Phase::Head { .. } | Phase::Over => None,
        }
    }

    /// Whether the response that is being kept is good enough.
    pub fn is_good_enough(&self) -> bool {
        match &self.phase {
            Phase::Holding(holding) => self.by.is_good_enough(holding.response()),
            Phase::Head { .. } | Phase::Over => false,
        }
    }

    /// What was kept so far, to be passed on as it is; `None`: there is nothing yet.
    pub fn release(&mut self) -> Option<Got> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Holding(holding) => Some(holding.into_got(Extent::Begun)),
            other @ (Phase::Head { .. } | Phase::Over) => {
                self.phase = other;
                None
            }
        }
    }

    /// Goes on until there is a response to pass on, or none to be had. A response that is whole has been told as evidence, its
    /// connection given back.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Got, Failed>> {
        if let Phase::Head { sending, .. } = &mut self.phase {
            let sent = ready!(sending.as_mut().poll(context));
            self.phase = Phase::Over;
            match sent {
                Err(failed) => return Poll::Ready(Err(failed)),
                Ok(answer) => match self.after_head(answer) {
                    Kept::Some(holding) => self.phase = Phase::Holding(holding),
                    Kept::Nothing(got) => return Poll::Ready(Ok(self.end(got))),
                },
            }
        }
        let Phase::Holding(holding) = &mut self.phase else { unreachable!("an attempt ends once") };
        let ended = ready!(holding.poll(context, self.worker.clock));
        let Phase::Holding(holding) = std::mem::replace(&mut self.phase, Phase::Over) else {
            unreachable!("it was a moment ago")
        };
        Poll::Ready(match ended {
            Ok(extent) => Ok(self.end(holding.into_got(extent))),
            Err(failure) => Err(Failed { failure, unsent: None }),
        })
    }

    fn after_head(&mut self, answer: Answer) -> Kept {
        let now = self.worker.clock.now();
        let tally = self.endpoint().tally();
        tally.note_head(now);
        match (Answered::of(answer.response.status()), self.hold) {
            (Answered::Failing, _) => Kept::Nothing(Got::head(answer)),
            (Answered::Well, hold) => {
                // A slow upload is its client's.
                let asked = self.began.max(self.upload.last_piece());
                tally.note_head_time(self.asking.class, now.since(asked));
                match hold {
                    Hold::Off => Kept::Nothing(Got::head(answer)),
                    Hold::On => {
                        let until = asked.after(self.timeouts.head).max(now);
                        let limits = held::Limits { idle: self.timeouts.body_idle, until };
                        Holding::begin(&self.worker, answer, limits, now)
                    }
                }
            }
        }
    }

    /// A whole answer is the end of it for its endpoint, unless it said more than it had announced.
    fn end(&self, mut got: Got) -> Got {
        match got.extent {
            Extent::Begun => (),
            Extent::Whole if got.is_overfull() => (),
            Extent::Whole => {
                let now = self.worker.clock.now();
                match Answered::of(got.answer.response.status()) {
                    Answered::Well => self.endpoint().note_good(&self.worker.reporter, self.asking, self.began, now),
                    Answered::Failing => (),
                }
                if let Some(lease) = got.answer.lease.take() {
                    self.endpoint().kept.give_back(lease, now);
                }
            }
        }
        got
    }
}
