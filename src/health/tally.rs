//! A worker's counters for one endpoint: at once the evidence of passive health checks and the attempts metric; and how the
//! supervisor learns which of them changed.

use crate::domain::{EndpointId, FailureKind, TallyDelta};
use crate::telemetry::cells::{Counter, Gauge, Histogram, PerWorker, WorkerIndex};

/// What one worker counts at one endpoint.
#[derive(Debug, Default)]
pub struct TallyCell {
    pub good: Counter,
    /// Indexed by `FailureKind as usize`.
    pub failed: [Counter; FailureKind::ALL.len()],
    /// Failures since this worker's last good answer here.
    pub since_good: Gauge,
    /// Attempts whose response has not ended.
    pub in_flight: Gauge,
    /// From the attempt's begin to the response head.
    pub head: Histogram,
}

/// Every worker's tally of one endpoint. Lives as long as any view or request knows the endpoint.
#[derive(Debug)]
pub struct Tally {
    pub id: EndpointId,
    pub cells: PerWorker<TallyCell>,
}

impl Tally {
    /// A good answer at `worker`.
    pub fn note_good(&self, worker: WorkerIndex) {
        let _ = worker;
        todo!()
    }

    /// A failure at `worker`.
    pub fn note_failure(&self, worker: WorkerIndex, kind: FailureKind) {
        let _ = (worker, kind);
        todo!()
    }

    /// What was counted since the reader's last look.
    pub fn delta(&self) -> TallyDelta {
        todo!()
    }
}
