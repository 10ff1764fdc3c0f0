//! What is written down of decisions: every transition with what users met meanwhile, sums of evidence a second, and what must
//! survive a restart. It waits for no disk: the journal and the state file have threads of their own.
//!
//! Bounds: 64 marks a backend, one a second at most; a decision whose first evidence is older than all of them is told what
//! was met since the oldest. Sums are kept for endpoints whose score is above zero, and for no longer than a second.
//!
//! Not here: how a line looks (`telemetry::journal`), how the state is kept (`health::state_file`).

use crate::domain::{Change, Class, EndpointId, FailureCounts, Memory, Moment, Name, PerClass, TallyDelta, Transition};
use crate::health::{BackendView, StateFile, View};
use crate::runtime::clock::Clock;
use crate::telemetry::cells::PerWorker;
use crate::telemetry::journal::{Entry, EvidenceSum, Journal, Line, Meanwhile};
use crate::telemetry::metrics::BackendCells;
use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

/// Where decisions are written down, and what an earlier process left.
#[derive(Debug)]
pub struct Records {
    pub journal: Journal,
    pub state: StateFile,
    pub memory: Option<Memory>,
}

impl Records {
    /// Nothing is written down, and nothing was left.
    pub fn none() -> Records {
        Records { journal: Journal::none(), state: StateFile::none(), memory: None }
    }
}

/// A second and more of an outage before anybody decides, at the finest.
const MARKS: usize = 64;

pub(super) struct Chronicle {
    journal: Journal,
    state: StateFile,
    clock: Clock,
    /// What backends' clients had met when evidence came.
    marks: BTreeMap<Name, VecDeque<Mark>>,
    sums: BTreeMap<EndpointId, Sum>,
    /// The second that is being summed.
    second: u64,
}

#[derive(Clone, Copy)]
struct Mark {
    at: Moment,
    met: Met,
}

/// What a backend's clients met since it is configured.
#[derive(Clone, Copy)]
struct Met {
    failed: u64,
    rescued: u64,
}

/// What real requests did at one endpoint in the present second.
#[derive(Default)]
struct Sum {
    good: u32,
    failed: FailureCounts,
}

impl Chronicle {
    pub(super) fn new(journal: Journal, state: StateFile, clock: Clock) -> Chronicle {
        let second = clock.now().since_start().as_secs();
        let begun = Entry::Started { version: env!("CARGO_PKG_VERSION"), pid: std::process::id() };
        let chronicle = Chronicle { journal, state, clock, marks: BTreeMap::new(), sums: BTreeMap::new(), second };
        chronicle.write(clock.now(), clock.wall(), begun);
        chronicle
    }

    /// Evidence came: what this backend's clients have met by now is what a decision is measured against.
    pub(super) fn mark(&mut self, now: Moment, backend: &BackendView) {
        let marks = self.marks.entry(backend.config.name.clone()).or_default();
        if marks.back().is_some_and(|mark| mark.at.since_start().as_secs() == now.since_start().as_secs()) {
            return;
        }
        if marks.len() == MARKS {
            marks.pop_front();
        }
        marks.push_back(Mark { at: now, met: met(&backend.cells) });
    }

    /// What ended at an endpoint in this second.
    pub(super) fn note(&mut self, endpoint: EndpointId, delta: &TallyDelta) {
        let sum = self.sums.entry(endpoint).or_default();
        let good = delta.good[Class::Safe].saturating_add(delta.good[Class::Unsafe]);
        sum.good = sum.good.saturating_add(good);
        delta.failed.iter().for_each(|failure| sum.failed.add(failure.kind, 1));
    }

    /// Whether the second is over; then [`Chronicle::close_second`].
    pub(super) fn second_is_over(&self, now: Moment) -> bool {
        now.since_start().as_secs() != self.second
    }

    /// Writes the sums of endpoints whose score is above zero, and begins the next second. `scores` in points.
    pub(super) fn close_second(
        &mut self,
        now: Moment,
        view: &View,
        scores: impl Fn(EndpointId) -> Option<PerClass<f64>>,
    ) {
        self.second = now.since_start().as_secs();
        for (endpoint, Sum { good, failed }) in std::mem::take(&mut self.sums) {
            let (Some(score), Some([backend, pool, endpoint])) = (scores(endpoint), names(view, endpoint)) else {
                continue;
            };
            let score = score[Class::Safe].max(score[Class::Unsafe]);
            let sum = EvidenceSum { backend, pool, endpoint, good, failed, score };
            self.write(now, self.clock.wall(), Entry::Evidence(sum));
        }
        self.marks.retain(|name, _| view.backends.iter().any(|backend| backend.config.name == *name));
    }

    /// Writes a transition down, with what users met since its first evidence.
    pub(super) fn tell(&self, wall: SystemTime, transition: &Transition, view: &View) {
        let meanwhile = self.meanwhile(transition, view);
        self.write(transition.at, wall, Entry::Transition { transition: transition.clone(), meanwhile });
    }

    fn meanwhile(&self, transition: &Transition, view: &View) -> Option<Meanwhile> {
        let (first, name) = (transition.first_evidence?, transition.backend.as_ref()?);
        let backend = view.backends.iter().find(|backend| backend.config.name == *name)?;
        let marks = self.marks.get(name)?;
        let mark = marks.iter().find(|mark| mark.at >= first).or(marks.back())?;
        let now = met(&backend.cells);
        Some(Meanwhile {
            since_first_evidence: transition.at.since(first),
            failed: now.failed.saturating_sub(mark.met.failed),
            rescued: now.rescued.saturating_sub(mark.met.rescued),
        })
    }

    /// Has what must survive a restart written, where it may have changed.
    pub(super) fn save(&self, transitions: &[Transition], memory: impl FnOnce() -> Memory) {
        if transitions.iter().any(|told| concerns_memory(&told.change)) {
            self.state.save(memory(), self.clock.wall());
        }
    }

    fn write(&self, moment: Moment, at: SystemTime, entry: Entry) {
        self.journal.write(Line { at, moment, entry });
    }
}

/// Whether what survives a restart may be another thing now.
fn concerns_memory(change: &Change) -> bool {
    match change {
        Change::Serving { .. }
        | Change::Ramp { .. }
        | Change::Writes { .. }
        | Change::Diverged { .. }
        | Change::Command { .. }
        | Change::Endpoint { .. } => true,
        Change::Steadiness { .. }
        | Change::Pool { .. }
        | Change::Lag { .. }
        | Change::WritesLeft { .. }
        | Change::Routing { .. }
        | Change::Waiting { .. }
        | Change::Isolation { .. }
        | Change::Probing { .. } => false,
    }
}

fn met(cells: &PerWorker<BackendCells>) -> Met {
    let server_errors = |cell: &BackendCells| cell.responses[4].get();
    Met { failed: cells.sum(server_errors), rescued: cells.sum(BackendCells::rescued) }
}

/// An endpoint's backend, its pool and its own name.
fn names(view: &View, id: EndpointId) -> Option<[Name; 3]> {
    view.backends.iter().find_map(|backend| {
        let pools = backend.snapshot.pools.iter();
        pools.into_iter().find_map(|pool| {
            let endpoint = pool.endpoints.iter().find(|endpoint| endpoint.id == id)?;
            Some([backend.snapshot.name.clone(), pool.name.clone(), endpoint.name.clone()])
        })
    })
}
