//! What we know of endpoints: probes and tallies in, one published [`View`] out.
//!
//! - [`view`]: what workers read. - [`tally`]: what workers count. - [`prober`]: when and how to probe.
//! - [`supervisor`]: the one task that owns the model and publishes the view.
//!
//! Not here: what evidence proves and when to move (`domain`), how a request is sent (`upstream`, `proxy`).

pub mod tally;
pub mod view;

pub use tally::Tally;
pub use view::{BackendView, EndpointView, PoolView, View};

use crate::domain::FailureKind;
use crate::telemetry::cells::WorkerIndex;
use arc_swap::{ArcSwap, Cache};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;

/// The view in force, and the news that there is another. The supervisor alone stores.
#[derive(Debug)]
pub struct Published {
    view: Arc<ArcSwap<View>>,
    changed: watch::Sender<()>,
}

impl Published {
    pub fn new(first: View) -> Published {
        Published { view: Arc::new(ArcSwap::from_pointee(first)), changed: watch::Sender::new(()) }
    }

    /// One swap, then a nudge to everyone who waits: a worker that idles would pin the old view.
    pub fn store(&self, next: View) {
        self.view.store(Arc::new(next));
        self.changed.send_replace(());
    }

    pub fn load(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Tells of each store from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub fn reader(&self) -> Reader {
        let mut cache = Cache::new(self.view.clone());
        let current = Rc::new(cache.load().clone());
        Reader { inner: RefCell::new((cache, current)), changes: self.changes() }
    }
}

/// A worker's way to the view: no lock, and no count that another thread shares.
#[derive(Debug)]
pub struct Reader {
    inner: RefCell<(Cache<Arc<ArcSwap<View>>, Arc<View>>, Rc<Arc<View>>)>,
    changes: watch::Receiver<()>,
}

impl Reader {
    /// The view in force now. Keep it for the whole of a request.
    pub fn view(&self) -> Rc<Arc<View>> {
        let (cache, current) = &mut *self.inner.borrow_mut();
        let newest = cache.load();
        if !Arc::ptr_eq(newest, current) {
            *current = Rc::new(newest.clone());
        }
        current.clone()
    }

    /// Tells of each store from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
        changes
    }
}

/// A worker's line to the supervisor: it counts, and says that there is something to read.
#[derive(Debug)]
pub struct Reporter {
    pub worker: WorkerIndex,
}

impl Reporter {
    /// A real request was answered well there.
    pub fn good(&self, tally: &Tally) {
        let _ = tally;
        todo!()
    }

    /// A real request failed there; wakes the supervisor (many at once wake it once).
    pub fn failed(&self, tally: &Tally, kind: FailureKind) {
        let _ = (tally, kind);
        todo!()
    }

    /// A request waits until it is known whether this endpoint is down: probe it now. Bounded; asking twice is asking once.
    pub fn ask_verdict(&self, tally: &Tally) {
        let _ = tally;
        todo!()
    }
}
