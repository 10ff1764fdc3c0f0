//! What we know of endpoints: probes and tallies in, one published [`View`] out.
//!
//! - [`view`]: what workers read; [`writers`]: who wrote lately, which workers tell each other; [`seats`]: how many requests of a site
//!   run, likewise.
//! - [`tally`], [`notes`], [`signals`]: what workers count and tell, and how they say so; [`fingerprints`]: of whom.
//! - [`prober`], [`schedule`], [`probe`]: who is probed, when, and how; `introduce`: who is new, before anybody is sent there.
//! - [`effect`]: what became of requests for what a reload has changed.
//! - [`supervisor`]: the one task that owns the model and publishes the view; [`assembly`]: how it makes one;
//!   [`recent`]: what it decided, kept for a while; [`state_file`]: what it must remember over a restart.
//!
//! Always true: the supervisor alone stores a view; a view is never changed, and shares what did not change with the one
//! before it; a tally has one reader; nothing that a worker does here takes a lock or waits.
//!
//! Not here: what evidence proves and when to move (`domain`), how a request is sent (`upstream`, `proxy`).

#![warn(clippy::wildcard_enum_match_arm)] // matches on our own enums are exhaustive

mod assembly;
pub mod effect;
pub mod fingerprints;
mod introduce;
pub mod notes;
pub mod probe;
pub mod prober;
pub mod recent;
pub mod schedule;
#[cfg(test)]
mod scripted;
pub mod seats;
pub mod signals;
pub mod state_file;
pub mod supervisor;
pub mod tally;
pub mod view;
pub mod writers;

pub use effect::{Watch, WatchReader};
pub use fingerprints::Fingerprints;
pub use introduce::introduce;
pub use recent::{Recent, Told};
pub use seats::{Seat, Seats};
pub use signals::{Reporter, Signals};
pub use state_file::StateFile;
pub use supervisor::{Act, Answer, Reconfiguration, Reconfigured, Records, Stopped, Supervisor};
pub use tally::{Asking, Tally};
pub use view::{BackendView, EndpointView, PoolView, Trial, View};
pub use writers::Writers;

use arc_swap::{ArcSwap, Cache};
use std::cell::RefCell;
use std::ops::Deref;
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
        let current = HeldView::new(cache.load());
        Reader { inner: RefCell::new((cache, current)), changes: self.changes() }
    }
}

/// The view as one worker holds it: its clones share a count of that thread's own, so none waits for another thread's.
#[derive(Clone, Debug)]
#[expect(clippy::redundant_allocation, reason = "the Rc is there for its count")]
pub struct HeldView(Rc<Arc<View>>);

impl HeldView {
    fn new(view: &Arc<View>) -> HeldView {
        HeldView(Rc::new(view.clone()))
    }

    /// Whether that is the very same view.
    pub fn is(&self, other: &HeldView) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for HeldView {
    type Target = View;

    fn deref(&self) -> &View {
        &self.0
    }
}

type Cached = Cache<Arc<ArcSwap<View>>, Arc<View>>;

/// A worker's way to the view: no lock, and no count that another thread shares.
#[derive(Debug)]
pub struct Reader {
    inner: RefCell<(Cached, HeldView)>,
    changes: watch::Receiver<()>,
}

impl Reader {
    /// The view in force now. Keep it for the whole of a request.
    pub fn view(&self) -> HeldView {
        let (cache, current) = &mut *self.inner.borrow_mut();
        let newest = cache.load();
        if !Arc::ptr_eq(newest, &current.0) {
            *current = HeldView::new(newest);
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
