//! No write begins at a pool after the view has forbidden it, and none is overlooked that has begun.
//!
//! Not here: where writes go (`domain::writes`), what becomes of one that may not begin (`service`, `wait`).

use super::exchange::Running;
use super::headers::Upgrading;
use super::local::Worker;
use crate::domain::{Class, EndpointId, Writes};
use crate::health::{BackendView, HeldView};
use crate::upstream::Go;
use std::sync::atomic::{Ordering::SeqCst, fence};

/// As what an attempt of such a request is counted.
pub fn running(class: Class, upgrading: Upgrading) -> Running {
    match (class, upgrading) {
        (Class::Unsafe, Upgrading::No) => Running::Write,
        (Class::Unsafe, Upgrading::Yes) | (Class::Safe, Upgrading::No | Upgrading::Yes) => Running::Read,
    }
}

/// Whether writes still go to that endpoint, after `planned` said so and the attempt was counted as running.
///
/// The supervisor moves writes in the opposite order: it stores the view that sends them elsewhere, then looks whether any
/// run. Each side writes one thing and then reads the other's, so without more both could read what was there before, each
/// processor's store still on its way: a write would begin, and nobody would wait for it. With a sequentially consistent fence
/// between the write and the read on both sides at least one of the two sees the other (C++20, "Order and consistency"): either
/// this finds the new view and takes the write back, or the supervisor finds it running.
pub fn may_begin(worker: &Worker, planned: &HeldView, backend: &BackendView, endpoint: EndpointId) -> Go {
    fence(SeqCst);
    let newest = worker.views.view();
    if newest.is(planned) {
        return Go::On;
    }
    // One that a reload took away has no other place to begin at.
    let Some(backend) = newest.backend(&backend.config.name) else { return Go::On };
    match backend.snapshot.writes {
        Writes::To(pool) if backend.pool_of(endpoint) == Some(pool) => Go::On,
        Writes::To(_) | Writes::Pausing { .. } | Writes::Refused(_) => Go::Back,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Moment, PoolIndex, ReadOnly, Routing};
    use crate::health::{Published, View};
    use crate::proxy::local::tests::{view, worker_of};
    use crate::proxy::plan::tests::backend;
    use std::sync::Arc;

    /// Two pools of one endpoint each.
    fn with(writes: Writes) -> View {
        let mut backend = backend(&["u", "u"], Routing::Serving);
        Arc::get_mut(&mut backend.snapshot).unwrap().writes = writes;
        view([Arc::new(backend)].into())
    }

    #[test]
    fn a_write_that_a_newer_view_sends_elsewhere_does_not_begin() {
        let (first, second) = (Writes::To(PoolIndex(0)), Writes::To(PoolIndex(1)));
        for (newest, go) in [
            (first, Go::On), // another view, which changed something else
            (second, Go::Back),
            (Writes::Pausing { to: PoolIndex(1), until: Moment::ZERO }, Go::Back),
            (Writes::Refused(ReadOnly::Commanded), Go::Back),
        ] {
            let published = Published::new(with(first));
            let (worker, _notes) = worker_of(&published);
            let planned = worker.views.view();
            let may = || may_begin(&worker, &planned, &planned.backends[0], EndpointId(0));
            assert_eq!(may(), Go::On);
            published.store(with(newest));
            assert_eq!(may(), go, "{newest:?}");
        }
    }

    #[test]
    fn only_what_is_waited_for_is_counted_as_a_write() {
        assert_eq!(running(Class::Unsafe, Upgrading::No), Running::Write);
        assert_eq!(running(Class::Unsafe, Upgrading::Yes), Running::Read, "an upgrade may last for days");
        assert_eq!(running(Class::Safe, Upgrading::No), Running::Read);
    }
}
