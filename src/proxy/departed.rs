//! What still runs at endpoints that a reload took away. Requests there have `drain_timeout` from then, tunnels `drain_streams`; what is
//! idle is closed at once. What is cut fares as if the endpoint had broken it off: it is asked elsewhere, or its rest is.
//!
//! Nothing of this costs a request anything: an endpoint has its connections ended, and its tunnels are told. Not here: what an operator
//! drains, which has no such end.

use super::local::LocalEndpoint;
use crate::domain::{EndpointId, Moment};
use crate::telemetry::metrics::{DrainCut, WorkerCells};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// A worker's sides of endpoints that new requests do not get any more, for as long as something runs there.
#[derive(Debug, Default)]
pub struct Departed {
    all: RefCell<Vec<One>>,
}

#[derive(Debug)]
struct One {
    local: Rc<LocalEndpoint>,
    /// Since when it is in no view. `None`: it is in the newest, and its connections lead elsewhere now.
    gone: Option<Moment>,
}

/// How long what runs may go on.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub requests: Duration,
    pub tunnels: Duration,
}

impl Departed {
    pub fn add(&self, local: Rc<LocalEndpoint>) {
        // Without one that runs there is nothing to look after.
        if Rc::strong_count(&local) > 1 {
            self.all.borrow_mut().push(One { local, gone: None });
        } else {
            local.kept.close_idle();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    /// Cuts what is due. When to look again, if before anything changes.
    pub fn look(
        &self,
        now: Moment,
        is_known: impl Fn(EndpointId) -> bool,
        times: Times,
        cells: &WorkerCells,
    ) -> Option<Moment> {
        let mut all = self.all.borrow_mut();
        all.retain(|one| Rc::strong_count(&one.local) > 1);
        let mut next: Option<Moment> = None;
        for one in all.iter_mut() {
            one.local.kept.close_idle();
            if one.gone.is_none() && is_known(one.local.id()) {
                continue;
            }
            let gone = *one.gone.get_or_insert(now);
            let (requests, tunnels) = (gone.after(times.requests), gone.after(times.tunnels));
            if requests <= now {
                cells.drain_cuts[DrainCut::EndpointConnection as usize].add(one.local.kept.cut());
            }
            if tunnels <= now {
                one.local.cut_tunnels();
            }
            let due = [requests, tunnels].into_iter().filter(|due| *due > now).min();
            next = [next, due].into_iter().flatten().min();
        }
        next
    }
}
