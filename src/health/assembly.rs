//! How a view is made of a config and the model's snapshot. What did not change is shared with the view before it; counters
//! outlive views and reloads for as long as what they count stays configured.
//!
//! Not here: when to make one (`supervisor`).

use super::tally::Tally;
use super::view::{BackendView, EndpointView, PoolView, View};
use crate::config::{Backend, Config, Pool};
use crate::domain::{BackendSnapshot, EndpointId, Generation, Name, PoolSnapshot, Snapshot};
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
    cells: BTreeMap<Name, Arc<PerWorker<BackendCells>>>,
    /// Those of the newest view, and its generation.
    backends: Box<[Arc<BackendView>]>,
    made: Option<Generation>,
}

impl Assembly {
    /// For the first generation; `snapshot` is of a model that was told of this config.
    pub(super) fn new(workers: usize, config: Arc<Config>, snapshot: &Snapshot) -> Assembly {
        let mut assembly = Assembly {
            workers,
            generation: Generation(1),
            config: config.clone(),
            tallies: BTreeMap::new(),
            cells: BTreeMap::new(),
            backends: Box::default(),
            made: None,
        };
        assembly.adopt(Generation(1), config, snapshot);
        assembly
    }

    /// Another config; `snapshot` is of a model that was told of it. Keeps the counters of what stays.
    pub(super) fn adopt(&mut self, generation: Generation, config: Arc<Config>, snapshot: &Snapshot) {
        let (mut tallies, mut cells) = (std::mem::take(&mut self.tallies), std::mem::take(&mut self.cells));
        for backend in &snapshot.backends {
            let kept = cells.remove(&backend.name).unwrap_or_else(|| Arc::new(PerWorker::new(self.workers)));
            self.cells.insert(backend.name.clone(), kept);
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

    /// The places of the backends of which the newest view does not tell the truth any more; all of them after a reload.
    pub(super) fn changed(&self, snapshot: &Snapshot) -> Vec<usize> {
        let is_new = self.made != Some(self.generation);
        let seen = |at: usize| self.backends.get(at).map(|view| &view.snapshot);
        let all = snapshot.backends.iter().enumerate();
        let changed = all.filter(|(at, now)| is_new || seen(*at).is_none_or(|seen| !Arc::ptr_eq(seen, now)));
        changed.map(|(at, _)| at).collect()
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
        BackendView {
            config: config.clone(),
            snapshot: snapshot.clone(),
            pools: pools.map(|(config, snapshot)| self.pool(config, snapshot)).collect(),
            cells: self.cells[&config.name].clone(),
        }
    }

    fn pool(&self, config: &Pool, snapshot: &PoolSnapshot) -> PoolView {
        let endpoints = config.endpoints.iter().zip(&snapshot.endpoints);
        let up = snapshot.endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.health.counts_as_up());
        PoolView {
            usable: snapshot.health.is_usable(),
            up: up.map(|(at, _)| at).collect(),
            endpoints: endpoints
                .map(|(config, snapshot)| {
                    let tally = self.tallies[&snapshot.id].clone();
                    Arc::new(EndpointView { address: config.address, tally })
                })
                .collect(),
        }
    }
}
