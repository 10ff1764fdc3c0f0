//! What we know of endpoints: probes and tallies in, one published [`View`] out.
//!
//! - [`view`]: what workers read. - [`tally`], [`signals`]: what workers count, and how they say so.
//! - [`prober`], [`schedule`], [`probe`]: who is probed, when, and how.
//! - [`supervisor`]: the one task that owns the model and publishes the view; [`assembly`]: how it makes one;
//!   [`recent`]: what it decided, kept for a while.
//!
//! Always true: the supervisor alone stores a view; a view is never changed, and shares what did not change with the one
//! before it; a tally has one reader; nothing that a worker does here takes a lock or waits.
//!
//! Not here: what evidence proves and when to move (`domain`), how a request is sent (`upstream`, `proxy`).

mod assembly;
pub mod probe;
pub mod prober;
pub mod recent;
pub mod schedule;
#[cfg(test)]
mod scripted;
pub mod signals;
pub mod supervisor;
pub mod tally;
pub mod view;

pub use recent::{Recent, Told};
pub use signals::{Reporter, Signals};
pub use supervisor::Supervisor;
pub use tally::Tally;
pub use view::{BackendView, EndpointView, PoolView, View};

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

type Cached = Cache<Arc<ArcSwap<View>>, Arc<View>>;

/// A worker's way to the view: no lock, and no count that another thread shares.
#[derive(Debug)]
pub struct Reader {
    #[allow(
        clippy::redundant_allocation,
        reason = "an Rc is cloned without touching a count that other threads share"
    )]
    inner: RefCell<(Cached, Rc<Arc<View>>)>,
    changes: watch::Receiver<()>,
}

impl Reader {
    /// The view in force now. Keep it for the whole of a request.
    #[allow(clippy::redundant_allocation, reason = "as above")]
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
