//! A connection's one timer: how long its client may take, whatever it does now.
//!
//! The timer is lazy. It is never moved by a request; it fires at the earliest deadline it was ever set for, looks at
//! the [`Pulse`], and goes to sleep again if the client did its part meanwhile. It is only ever set to an earlier time
//! than it stands at: a head of 10 s begins while it stands at an idle time of 75 s.
//!
//! Not here: what becomes of a late client ([`super::conn`]).

use super::pulse::{Phase, Protocol, Pulse};
use super::roster::Roster;
use crate::config::Limits;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use crate::runtime::grace::Grace;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// How long a connection without a request stays open in a drain, so that a request already on its way is answered.
pub const DRAIN_WINDOW: Duration = Duration::from_secs(1);

/// How long a connection may wait for its next request, or its first, when there is room for few more: long enough for a client that
/// reads a page to fetch what is on it.
pub const CROWDED_IDLE: Duration = Duration::from_secs(1);

/// How long a client may take to say goodbye once we have.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The TLS handshake.
    Handshake,
    /// A request's head, of which some bytes are there.
    Head,
    /// The first byte of the first request.
    Silent,
    /// The next request.
    Idle,
    /// The next request, for as long as all that it needs is kept ready. Said to whoever asked for it alone.
    Quiet,
    /// Taking what we send.
    Stalled,
    /// A request, in a drain.
    Drained,
    /// Answering our goodbye.
    Farewell,
}

/// The timer.
#[derive(Debug)]
pub struct Watchdog {
    pulse: Rc<Pulse>,
    roster: Rc<Roster>,
    clock: Clock,
    limits: Limits,
    sleep: Option<Pin<Box<Sleep>>>,
    /// When `sleep` fires, unless it has.
    armed: Option<Moment>,
    /// The pulse's progress when it was last looked at.
    progress: u32,
    /// How long the client may still take to take what we send.
    grace: Grace,
    leaving: Option<Moment>,
    /// After how long without a request to say so.
    quiet: Option<Duration>,
}

impl Watchdog {
    pub fn new(pulse: Rc<Pulse>, roster: Rc<Roster>, clock: Clock, limits: Limits) -> Watchdog {
        let (progress, grace) = (pulse.progress(), Grace::new(limits.send_timeout, limits.min_rate));
        let (sleep, armed, leaving, quiet) = (None, None, None, None);
        Watchdog { pulse, roster, clock, limits, sleep, armed, progress, grace, leaving, quiet }
    }

    /// We have said goodbye (GOAWAY): from now on an idle connection waits for nothing else.
    pub fn leave(&mut self) {
        self.leaving = Some(self.clock.now());
    }

    /// From now on a connection that waits so long for its next request is [`Late::Quiet`]; `None`: only what ends it is told.
    pub fn tell_of_quiet(&mut self, after: Option<Duration>) {
        self.quiet = after;
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// The future's output, or what was too late before.
    pub async fn guard<F: Future>(&mut self, future: F) -> Result<F::Output, Late> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll(cx).map(Err),
        })
        .await
    }

    /// To be polled whenever the connection was, after it. Ready when a deadline has passed; may be polled on after that.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        loop {
            let Some((deadline, late)) = self.deadline() else { return Poll::Pending };
            match self.armed {
                Some(armed) if armed <= deadline => {
                    if self.sleep.as_ref().is_some_and(|sleep| !sleep.is_elapsed()) {
                        return Poll::Pending; // this task's waker is with the timer already
                    }
                }
                Some(_) | None => {
                    self.set(deadline);
                    if self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_pending()) {
                        return Poll::Pending;
                    }
                }
            }
            self.armed = None;
            if deadline <= self.clock.now() {
                return Poll::Ready(late);
            }
        }
    }

    fn set(&mut self, deadline: Moment) {
        let instant = self.clock.instant(deadline);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(instant),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(instant))),
        }
        self.armed = Some(deadline);
    }

    /// The deadline in force, and what is too late then. `None`: it is our turn or an endpoint's.
    fn deadline(&mut self) -> Option<(Moment, Late)> {
        if let Phase::Handshake { since } = self.pulse.phase() {
            return Some(match self.roster.draining_since() {
                Some(drain) if !self.pulse.has_spoken() => (since.max(drain).after(DRAIN_WINDOW), Late::Drained),
                Some(_) | None => (since.after(self.limits.handshake_timeout), Late::Handshake),
            });
        }
        if self.pulse.is_owed() {
            if self.progress != self.pulse.progress() {
                self.progress = self.pulse.progress();
                self.pulse.still_taking();
                self.grace.moved(self.clock.now(), self.pulse.take_taken());
            }
            return Some((self.grace.due(|| self.clock.now()), Late::Stalled));
        }
        self.grace.pause();
        match self.pulse.phase() {
            Phase::Busy | Phase::Handshake { .. } => None,
            Phase::Head { since } => Some((since.after(self.limits.header_timeout), Late::Head)),
            Phase::Fresh { since } => Some(self.waiting(since, self.limits.header_timeout, Late::Silent)),
            Phase::Idle { since } => {
                let end = self.waiting(since, self.limits.idle_timeout, Late::Idle);
                let quiet = self.quiet.filter(|_| !self.pulse.may_read_body()).map(|quiet| since.after(quiet));
                Some(quiet.filter(|quiet| *quiet < end.0).map_or(end, |quiet| (quiet, Late::Quiet)))
            }
        }
    }

    /// The deadline of a connection on which nothing has been begun.
    fn waiting(&self, since: Moment, limit: Duration, late: Late) -> (Moment, Late) {
        if let Some(leaving) = self.leaving {
            return (since.max(leaving).after(FAREWELL), Late::Farewell);
        }
        let limit = if self.roster.is_crowded() { limit.min(CROWDED_IDLE) } else { limit };
        let ordinary = (since.after(limit), late);
        match self.roster.draining_since() {
            None => ordinary,
            // HTTP/2 has an orderly way to say it: no need to wait, unless the client never had its turn.
            Some(drain) if late == Late::Idle && self.pulse.protocol() == Protocol::Http2 => (drain, Late::Drained),
            Some(drain) => {
                let window = (since.max(drain).after(DRAIN_WINDOW), Late::Drained);
                if window.0 < ordinary.0 { window } else { ordinary }
            }
        }
    }
}
