//! Whom a request that nobody answered in time speaks against: `total` ran out, or its client went away.

use super::reply::Asker;
use super::service::InHand;
use crate::domain::{FailureKind, Weight};
use crate::upstream::upload::UploadEnd;
use http::HeaderMap;
use std::time::Duration;

/// What it means that an endpoint says nothing to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    Trouble,
    /// It may have nothing to say yet: the head of a call that is watched for news mostly comes with the first of them.
    Perhaps,
}

impl Silence {
    pub(super) fn of(asker: &Asker, request: &HeaderMap) -> Silence {
        let watches = asker.speaks_grpc() && !request.contains_key("grpc-timeout");
        if watches { Silence::Perhaps } else { Silence::Trouble }
    }
}

impl InHand<'_> {
    /// The time for all of it is over. To blame is the endpoint that let at least half of it pass without an answer, if it had the
    /// whole request: the last of several may have had no time left, and a slow upload is its client's.
    pub(super) fn blame_for(&mut self, total: Duration) {
        let now = self.worker.clock.now();
        if self.exchange.upload.end() != UploadEnd::Whole {
            return;
        }
        for attempt in self.race.take().filter(|attempt| now.since(attempt.began) >= total / 2) {
            attempt.endpoint().count_failure(&self.worker.reporter, FailureKind::Timeout);
            self.pairing.fail(attempt.endpoint().id(), FailureKind::Timeout, Weight::Full, now);
        }
    }
}

/// A client that goes away is no evidence, unless it had waited for much longer than heads take there: then half as much as if
/// we had given up ourselves. A call without a deadline is none at all.
impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let upload = &self.exchange.upload;
        if upload.end() != UploadEnd::Whole || self.silence == Silence::Perhaps {
            return;
        }
        let now = self.worker.clock.now();
        for attempt in self.race.take().filter(|attempt| attempt.holding_since().is_none()) {
            let waited = now.since(attempt.began.max(upload.last_piece()));
            let endpoint = attempt.endpoint();
            // Mostly it has not even waited for as long as it must at least.
            if waited >= PATIENT && waited >= allowed(endpoint.usual(self.asking.class)) {
                endpoint.count_failure(&self.worker.reporter, FailureKind::Timeout);
                self.pairing.fail(endpoint.id(), FailureKind::Timeout, Weight::Half, now);
            }
        }
    }
}

/// How long a client waits at least before its going away speaks against the endpoint.
const PATIENT: Duration = Duration::from_secs(1);

/// Eight times what is usual, or what it would be if a second were.
fn allowed(usual: Option<Duration>) -> Duration {
    usual.unwrap_or(PATIENT).saturating_mul(8).max(PATIENT)
}
