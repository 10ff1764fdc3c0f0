//! Writes that have provably not begun wait here until the view says where writes go: a switch costs them a pause, no error.

use super::local::{LocalBackend, Worker};
use crate::domain::{Moment, Name, Writes};
use crate::health::{BackendView, HeldView, View};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// Writes of one backend that wait at once, on one worker: past that an answer is kinder than a queue.
pub const WAITING_MAX: i64 = 1_000;

/// Between two tries at a pool that refuses, when no news comes: each is evidence too.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// One write that waits.
#[derive(Debug)]
pub struct Waiting {
    name: Name,
    local: Rc<LocalBackend>,
    until: Moment,
    /// The view that the newest try went by.
    tried: HeldView,
    changes: watch::Receiver<()>,
}

impl Waiting {
    /// Asks for the verdict on the pool that takes writes, if one does. `None`: too many wait already.
    pub fn begin(worker: &Worker, tried: &HeldView, backend: &BackendView) -> Option<Waiting> {
        let changes = worker.views.changes();
        let local = worker.backend(backend);
        if local.cells().waiting.get() >= WAITING_MAX {
            return None;
        }
        match backend.snapshot.writes {
            Writes::To(pool) => {
                for endpoint in &backend.pools[pool.0].endpoints {
                    worker.endpoint(endpoint).ask_verdict(&worker.reporter);
                }
            }
            Writes::Pausing { .. } | Writes::Refused(_) => (), // where they go is known
        }
        local.cells().waiting.add(1);
        let until = worker.clock.now().after(backend.config.write_wait);
        Some(Waiting { name: backend.config.name.clone(), local, until, tried: tried.clone(), changes })
    }

    /// Returns with the view in force when there is news or it is time to try again; `None` when the wait is over.
    pub async fn next_view(&mut self, worker: &Worker) -> Option<HeldView> {
        let now = worker.clock.now();
        if now >= self.until {
            return None;
        }
        // The news may have come between the try and the subscription.
        if worker.views.view().is(&self.tried) {
            let again = worker.clock.instant(self.until.min(now.after(TRY_AGAIN)));
            // An error means that the supervisor is gone with the process: the wait ends by its deadline.
            let _news = tokio::time::timeout_at(again, self.changes.changed()).await;
        }
        self.tried = worker.views.view();
        Some(self.tried.clone())
    }

    /// The backend in a later view; `None` if a reload took it away.
    pub fn backend<'v>(&self, view: &'v View) -> Option<&'v BackendView> {
        view.backend(&self.name)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.local.cells().waiting.add(-1);
    }
}
