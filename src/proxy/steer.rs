//! Which pool a client's safe requests belong to while they return to an earlier one, and which requests try an endpoint in
//! probation: failover.md, "Ramp" and "An endpoint's health".
//!
//! Not here: which endpoint of the pool, and where to next (`plan`).

use super::crowd::{Behind, Crowd};
use super::local::{LocalBackend, Worker};
use crate::domain::{Fingerprint, Moment, PoolIndex, Ramp, Routing};
use crate::health::view::{Trial, TrialBy};
use crate::health::{Asking, BackendView};
use http::{HeaderMap, header};

/// One in so many safe requests tries an endpoint in probation, if its turn has come.
const TRIES: usize = 100;

/// In parts of ten thousand: the share of clients that a ramp begins with, and all of them.
const FIRST: u64 = 500;
const ALL: u64 = 10_000;

/// The pool that the client's safe requests go to.
pub fn home(
    worker: &Worker,
    backend: &BackendView,
    local: &LocalBackend,
    asking: Asking,
    headers: &HeaderMap,
    now: Moment,
) -> PoolIndex {
    let serving = backend.snapshot.serving;
    let Some(ramp) = backend.snapshot.ramp else { return serving };
    if backend.pools[ramp.to.0].up.is_empty() {
        return serving;
    }
    // Nobody is to miss what they wrote a moment ago.
    if backend.writers.wrote_within(asking.client, backend.config.own_writes, now) {
        return serving;
    }
    let mut crowd = local.crowd.borrow_mut();
    let crowd = match &mut *crowd {
        Some(crowd) if crowd.since == ramp.began => crowd,
        other => other.insert(Crowd::new(ramp.began)),
    };
    let who = match crowd.note(asking.client) {
        Behind::OneClient => asking.client,
        Behind::Many => {
            let agent = headers.get(header::USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
            worker.reporter.fingerprints().within(asking.client, agent)
        }
    };
    if has_moved(who, ramp, now) { ramp.to } else { serving }
}

/// Whether that client's turn has come. Once it has, it stays so until the ramp's end.
fn has_moved(who: Fingerprint, ramp: Ramp, now: Moment) -> bool {
    let (passed, over) = (now.since(ramp.began).as_millis(), ramp.over.as_millis());
    let grown =
        (u128::from(ALL - FIRST) * passed).checked_div(over).map_or(ALL, |grown| u64::try_from(grown).unwrap_or(ALL));
    (who.0 >> 32) % ALL < FIRST.saturating_add(grown)
}

/// What a request would have to be to try an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// It can be repeated elsewhere if it fails.
    pub repeats: bool,
    /// A copy of it can be made, and there is room for one more.
    pub copies: bool,
}

/// The endpoint in probation that this safe request tries, if any.
pub fn trial(worker: &Worker, backend: &BackendView, home: PoolIndex, fit: Fit, now: Moment) -> Option<Trial> {
    if backend.trials.is_empty() || backend.snapshot.routing != Routing::Serving {
        return None;
    }
    let trial = backend.trials[worker.random(backend.trials.len())];
    let fits = match trial.by {
        TrialBy::Request => fit.repeats && trial.pool == home,
        TrialBy::Copy => fit.copies,
    };
    let tally = &backend.pools[trial.pool.0].endpoints[trial.place].tally;
    (fits && tally.take_turn(now, || worker.random(TRIES) == 0)).then_some(trial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_ramp_begins_with_one_in_twenty_grows_evenly_and_takes_nobody_back() {
        let ramp = Ramp { to: PoolIndex(0), began: Moment::at(Duration::from_secs(5)), over: Duration::from_secs(30) };
        let clients: Vec<_> = (0..10_000_u64).map(|n| Fingerprint(n << 32)).collect();
        let mut before = 0;
        for (after, share) in [(0, 500), (15, 5_250), (29, 9_683), (30, 10_000), (31, 10_000)] {
            let now = ramp.began.after(Duration::from_secs(after));
            let moved: Vec<_> = clients.iter().filter(|who| has_moved(**who, ramp, now)).collect();
            assert_eq!(moved.len(), share, "{after} s");
            assert!(moved.len() >= before);
            before = moved.len();
        }
        let at_once = Ramp { over: Duration::ZERO, ..ramp };
        assert!(clients.iter().all(|who| has_moved(*who, at_once, ramp.began)));
    }
}
