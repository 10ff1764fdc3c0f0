//! An attempt whose request was answered elsewhere first. It runs on for a while, because only so is it known whether its endpoint was
//! slow or gone: an answer within that time counts as any other, and none as a timeout (failover.md, "Hedge" and "Suspicion").

use super::attempt::Attempt;
use super::held::{Extent, Got};
use super::judge::Answered;
use super::local::{LocalEndpoint, Worker};
use super::pairing::Pairing;
use super::race::hedge_delay;
use crate::domain::{EndpointId, FailureKind, Moment, Weight};
use crate::runtime::tasks;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

/// Lets it run on, for `confirm` from now, and at least as long as anybody would have waited for it. `won`: where a good answer came from.
pub fn run_on(worker: &Rc<Worker>, attempt: Attempt, confirm: Duration, won: Option<EndpointId>, now: Moment) {
    let long_enough = now.after(confirm).max(attempt.began.after(hedge_delay(attempt.endpoint().pace())));
    let until = attempt.head_due().map_or(long_enough, |due| due.min(long_enough));
    let open = Open::begin(worker, attempt.endpoint());
    let worker = worker.clone();
    tasks::spawn(async move {
        run(&worker, attempt, until, won).await;
        drop(open);
    });
}

async fn run(worker: &Rc<Worker>, mut attempt: Attempt, until: Moment, won: Option<EndpointId>) {
    let ended = tokio::time::timeout_at(worker.clock.instant(until), poll_fn(|context| attempt.poll(context))).await;
    let kind = match ended {
        Err(_) => Some(FailureKind::Timeout),
        Ok(Err(failed)) => failed.failure.kind(),
        Ok(Ok(got)) => came_to(&got),
    };
    if let Some(kind) = kind {
        let id = attempt.endpoint().id();
        attempt.endpoint().count_failure(&worker.reporter, kind);
        let mut pairing = Pairing::new(worker, attempt.asking);
        pairing.fail(id, kind, Weight::Full, worker.clock.now());
        pairing.settle(won);
    }
}

/// What an answer says. One whose body goes on has come in time; nobody reads the rest, and its connection closes.
fn came_to(got: &Got) -> Option<FailureKind> {
    match (Answered::of(got.answer.response.status()), got.extent) {
        (Answered::Failing, Extent::Whole | Extent::Begun) => Some(FailureKind::Status),
        (Answered::Well, Extent::Whole | Extent::Begun) => None,
    }
}

/// Counted among those of which it is not known yet.
struct Open {
    endpoint: Rc<LocalEndpoint>,
    worker: Rc<Worker>,
}

impl Open {
    fn begin(worker: &Rc<Worker>, endpoint: &Rc<LocalEndpoint>) -> Open {
        endpoint.tally().open_hedges.add(1);
        endpoint.touch(&worker.reporter);
        Open { endpoint: endpoint.clone(), worker: worker.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.endpoint.tally().open_hedges.add(-1);
        self.endpoint.touch(&self.worker.reporter);
    }
}
