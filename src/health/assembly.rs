//! How a view is made of a config and the model's snapshot. What did not change is shared with the view before it; counters
//! outlive views and reloads for as long as what they count stays configured.
//!
//! Not here: when to make one (`supervisor`).

use super::tally::Tally;
use super::view::{BackendView, EndpointView, PoolView, Trial, TrialBy, View};
use super::writers::Writers;
use crate::config::{Backend, Config, Pool};
use crate::domain::{
    BackendSnapshot, Diverged, Drained, EndpointId, EndpointSnapshot, Generation, Health, Name, PoolIndex,
    PoolSnapshot, Snapshot,
};
use crate::telemetry::cells::PerWorker;
use crate::telemetry::metrics::BackendCells;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What views are made of.
#[derive(Debug)]
pub(super) struct Assembly {
    workers: usize,
    generation: Generation,
    config: Arc<Config>,
    tallies: BTreeMap<EndpointId, Arc<Tally>>,
    shared: BTreeMap<Name, Shared>,
    /// Those of the newest view, and its generation.
    backends: Box<[Arc<BackendView>]>,
    made: Option<Generation>,
}

/// What all views of a backend share.
#[derive(Clone, Debug)]
struct Shared {
    cells: Arc<PerWorker<BackendCells>>,
    writers: Arc<Writers>,
}

impl Assembly {
    /// For the first generation; `snapshot` is of a model that was told of this config.
    pub(super) fn new(workers: usize, config: Arc<Config>, snapshot: &Snapshot) -> Assembly {
        let mut assembly = Assembly {
            workers,
            generation: Generation(1),
            config: config.clone(),
            tallies: BTreeMap::new(),
            shared: BTreeMap::new(),
            backends: Box::default(),
            made: None,
        };
        assembly.adopt(Generation(1), config, snapshot);
        assembly
    }

    /// Another config; `snapshot` is of a model that was told of it. Keeps the counters of what stays.
    pub(super) fn adopt(&mut self, generation: Generation, config: Arc<Config>, snapshot: &Snapshot) {
        let (mut tallies, mut shared) = (std::mem::take(&mut self.tallies), std::mem::take(&mut self.shared));
        for backend in &snapshot.backends {
            let new = || Shared { cells: Arc::new(PerWorker::new(self.workers)), writers: Arc::default() };
            self.shared.insert(backend.name.clone(), shared.remove(&backend.name).unwrap_or_else(new));
            for endpoint in backend.pools.iter().flat_map(|pool| &pool.endpoints) {
                let new = || Arc::new(Tally::new(endpoint.id, self.workers));
                self.tallies.insert(endpoint.id, tallies.remove(&endpoint.id).unwrap_or_else(new));
            }
        }
        (self.generation, self.config) = (generation, config);
    }

    /// Every endpoint's tally.
    pub(super) fn tallies(&self) -> impl Iterator<Item = &Arc<Tally>> {
        self.tallies.values()
    }

    /// Whether the newest view still tells the truth.
    pub(super) fn is_current(&self, snapshot: &Snapshot) -> bool {
        let mut pairs = self.backends.iter().zip(&snapshot.backends);
        self.made == Some(self.generation) && pairs.all(|(view, snapshot)| Arc::ptr_eq(&view.snapshot, snapshot))
    }

    /// The next view. Only what differs from the newest one is made anew.
    pub(super) fn make(&mut self, snapshot: &Snapshot) -> View {
        let backends: Box<[_]> = (self.config.backends.iter().zip(&snapshot.backends).enumerate())
            .map(|(at, (config, snapshot))| match self.backends.get(at) {
                Some(view) if Arc::ptr_eq(&view.config, config) && Arc::ptr_eq(&view.snapshot, snapshot) => {
                    view.clone()
                }
                Some(_) | None => Arc::new(self.backend(config, snapshot)),
            })
            .collect();
        self.backends = backends.clone();
        self.made = Some(self.generation);
        View { generation: self.generation, config: self.config.clone(), backends }
    }

    fn backend(&self, config: &Arc<Backend>, snapshot: &Arc<BackendSnapshot>) -> BackendView {
        let pools = config.pools.iter().zip(&snapshot.pools);
        let Shared { cells, writers } = self.shared[&config.name].clone();
        BackendView {
            config: config.clone(),
            snapshot: snapshot.clone(),
            pools: pools.map(|(config, snapshot)| self.pool(config, snapshot)).collect(),
            trials: trials(snapshot),
            cells,
            writers,
        }
    }

    fn pool(&self, config: &Pool, snapshot: &PoolSnapshot) -> PoolView {
        let endpoints = config.endpoints.iter().zip(&snapshot.endpoints);
        let those = |wanted: Use| {
            let all = snapshot.endpoints.iter().enumerate();
            all.filter(|(_, endpoint)| Use::of(snapshot, endpoint) == wanted).map(|(at, _)| at).collect()
        };
        PoolView {
            usable: snapshot.health.is_usable(),
            lagging: snapshot.lagging,
            drained: snapshot.drained,
            up: those(Use::First),
            suspect: those(Use::AfterOthers),
            rest: those(Use::AtLast),
            endpoints: endpoints
                .map(|(config, snapshot)| {
                    let tally = self.tallies[&snapshot.id].clone();
                    Arc::new(EndpointView { address: config.address, tally })
                })
                .collect(),
        }
    }
}

/// When requests go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    First,
    AfterOthers,
    AtLast,
    Never,
}

impl Use {
    fn of(pool: &PoolSnapshot, endpoint: &EndpointSnapshot) -> Use {
        match (is_drained(pool, endpoint), endpoint.health) {
            (Drained::Yes, _) => Use::Never,
            (Drained::No, Health::Unproven | Health::Up { .. }) => Use::First,
            (Drained::No, Health::Suspect { .. }) => Use::AfterOthers,
            (Drained::No, Health::Down(_) | Health::Probation { .. }) => Use::AtLast,
        }
    }
}

fn is_drained(pool: &PoolSnapshot, endpoint: &EndpointSnapshot) -> Drained {
    match (pool.drained, endpoint.drained) {
        (Drained::No, Drained::No) => Drained::No,
        (Drained::Yes, Drained::No | Drained::Yes) | (Drained::No, Drained::Yes) => Drained::Yes,
    }
}

/// What is in probation. A client sees the answer only of the pool that answers everybody, and of that only if it can't
/// lack what clients wrote.
fn trials(snapshot: &BackendSnapshot) -> Box<[Trial]> {
    let mut trials = Vec::new();
    for (index, pool) in snapshot.pools.iter().enumerate() {
        let by = match (snapshot.serving.0 == index, pool.diverged) {
            (true, Diverged::No) => TrialBy::Request,
            (true, Diverged::Yes) | (false, Diverged::No | Diverged::Yes) => TrialBy::Copy,
        };
        for (place, endpoint) in pool.endpoints.iter().enumerate() {
            match endpoint.health {
                Health::Probation { .. } if is_drained(pool, endpoint) == Drained::No => {
                    trials.push(Trial { pool: PoolIndex(index), place, by });
                }
                Health::Probation { .. }
                | Health::Unproven
                | Health::Up { .. }
                | Health::Suspect { .. }
                | Health::Down(_) => {}
            }
        }
    }
    trials.into()
}
