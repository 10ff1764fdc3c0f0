//! The attempts of one request that run side by side, and what is due when none of them has ended.

use super::attempt::{Attempt, Stood};
use super::held::Got;
use super::plan::ATTEMPTS_MAX;
use crate::domain::Moment;
use crate::upstream::{Failed, Failure};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// All attempts of a request that run; mostly one.
#[derive(Debug, Default)]
pub struct Race {
    running: [Option<Attempt>; ATTEMPTS_MAX],
}

/// What an attempt came to.
pub type Ended = (Attempt, Result<Got, Failed>);

impl Race {
    pub fn is_idle(&self) -> bool {
        self.running.iter().all(Option::is_none)
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.iter().count()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.running.iter().flatten()
    }

    /// The one begun last.
    pub fn newest(&self) -> Option<&Attempt> {
        self.iter().max_by_key(|attempt| attempt.began)
    }

    /// One more; there is room for as many as a request may cost.
    pub fn add(&mut self, attempt: Attempt) {
        match self.running.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(attempt),
            None => unreachable!("no request costs more attempts than there is room for"),
        }
    }

    /// The next that ends; `None` when that was not before `until` and before news of another view.
    pub async fn next(&mut self, until: Option<Instant>, news: Option<&mut watch::Receiver<()>>) -> Option<Ended> {
        let mut ended = pin!(poll_fn(|context| self.poll_ended(context)));
        match (until, news) {
            (None, None) => Some(ended.await),
            (Some(until), None) => tokio::time::timeout_at(until, ended).await.ok(),
            (until, Some(news)) => {
                let mut changed = pin!(news.changed());
                let mut is_news_to_come = true;
                let either = poll_fn(|context| {
                    if let Poll::Ready(ended) = ended.as_mut().poll(context) {
                        return Poll::Ready(Some(ended));
                    }
                    if is_news_to_come && let Poll::Ready(changed) = changed.as_mut().poll(context) {
                        match changed {
                            Ok(()) => return Poll::Ready(None),
                            // The supervisor is gone with the process.
                            Err(_) => is_news_to_come = false,
                        }
                    }
                    Poll::Pending
                });
                match until {
                    None => either.await,
                    Some(until) => tokio::time::timeout_at(until, either).await.ok().flatten(),
                }
            }
        }
    }

    /// One whose head has not come in time.
    pub fn take_late(&mut self, now: Moment) -> Option<Ended> {
        let is_late = |attempt: &Attempt| attempt.head_due().is_some_and(|due| due <= now);
        let attempt = self.running.iter_mut().find(|place| place.as_ref().is_some_and(is_late))?.take()?;
        let failure = Failure::NoHead;
        Some((attempt, Err(Failed { failure, unsent: None })))
    }

    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        for place in &mut self.running {
            if let Some(attempt) = place
                && let Poll::Ready(end) = attempt.poll(context)
                && let Some(attempt) = place.take()
            {
                return Poll::Ready((attempt, end));
            }
        }
        Poll::Pending
    }

    /// Since when the first response that is being kept is, of those that may go to the client while others run.
    pub fn holding_since(&self) -> Option<Moment> {
        let alone = self.running() == 1;
        self.iter().filter(|attempt| alone || attempt.is_good_enough()).filter_map(Attempt::holding_since).min()
    }

    /// That response, as far as it came.
    pub fn release(&mut self) -> Option<(Attempt, Got)> {
        let since = self.holding_since()?;
        let alone = self.running() == 1;
        let its = |place: &&mut Option<Attempt>| {
            let attempt = place.as_ref().filter(|attempt| alone || attempt.is_good_enough());
            attempt.is_some_and(|attempt| attempt.holding_since() == Some(since))
        };
        let mut attempt = self.running.iter_mut().find(its)?.take()?;
        let got = attempt.release()?;
        Some((attempt, got))
    }

    /// Whether each that runs is at an endpoint that was up, is out of service now by `is_out`, and the request was not yet sent
    /// elsewhere for that. If so it is to be, and counts as sent.
    pub fn leave(&mut self, is_out: impl Fn(&Attempt) -> bool) -> bool {
        let stays =
            |attempt: &Attempt| attempt.stood != Stood::Left && (attempt.stood == Stood::Otherwise || !is_out(attempt));
        if self.is_idle() || self.iter().any(stays) {
            return false;
        }
        let mut left = false;
        for attempt in self.running.iter_mut().flatten().filter(|attempt| attempt.stood == Stood::Up) {
            attempt.stood = Stood::Left;
            left = true;
        }
        left
    }

    /// Those that nobody waits for any more.
    pub fn take(&mut self) -> impl Iterator<Item = Attempt> {
        std::mem::take(&mut self.running).into_iter().flatten()
    }
}

/// Before that no attempt takes its time: nobody looks.
pub const LOOK_AFTER: Duration = Duration::from_millis(25);

/// A response that is being kept is passed on after so long, if nothing else is left to be tried.
pub const RELEASE_AFTER: Duration = Duration::from_secs(1);

/// How long a request waits before it is sent elsewhere too; `usual`: what 95 of 100 heads take at most there, if that is known.
pub fn hedge_delay(usual: Option<Duration>) -> Duration {
    const LEAST: Duration = Duration::from_millis(50);
    const MOST: Duration = Duration::from_secs(1);
    usual.map_or(MOST, |usual| usual.saturating_mul(3).clamp(LEAST, MOST))
}

#[cfg(test)]
mod tests;
