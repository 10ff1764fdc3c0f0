//! The view: the immutable picture (config, health, serving pools) that workers read. One swap changes all of it.

use super::effect::Watch;
use super::seats::Seats;
use super::tally::Tally;
use super::writers::Writers;
use crate::config::{Backend, Config, Way};
use crate::domain::{BackendSnapshot, Drained, EndpointId, Generation, Lagging, PoolIndex};
use crate::telemetry::cells::PerWorker;
use crate::telemetry::metrics::BackendCells;
use std::sync::Arc;

/// One picture for the whole of a request.
#[derive(Debug)]
pub struct View {
    pub generation: Generation,
    pub config: Arc<Config>,
    /// In the order of `config.backends`.
    pub backends: Box<[Arc<BackendView>]>,
    /// Of the config's sites.
    pub seats: Seats,
    /// Of the reload that brought this config, while it is watched, or was when this was made.
    pub watch: Option<Arc<Watch>>,
}

/// One backend: what was configured, what was measured, and what follows for a request.
#[derive(Debug)]
pub struct BackendView {
    pub config: Arc<Backend>,
    pub snapshot: Arc<BackendSnapshot>,
    /// In the order of `config.pools`.
    pub pools: Box<[PoolView]>,
    /// Endpoints in probation: a few requests try them.
    pub trials: Box<[Trial]>,
    pub cells: Arc<PerWorker<BackendCells>>,
    /// Who wrote lately.
    pub writers: Arc<Writers>,
}

/// One pool. Of its endpoints, those that an operator drained are in none of the lists.
#[derive(Debug)]
pub struct PoolView {
    pub usable: bool,
    pub lagging: Lagging,
    pub drained: Drained,
    /// All of them, in the order of the config.
    pub endpoints: Box<[Arc<EndpointView>]>,
    /// Those that ordinary traffic goes to: places in `endpoints`.
    pub up: Box<[usize]>,
    /// Up as well, but requests go elsewhere first.
    pub suspect: Box<[usize]>,
    /// Not up: tried when nobody is, or an operator says so.
    pub rest: Box<[usize]>,
}

/// An endpoint in probation, and how it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    pub pool: PoolIndex,
    /// Its place in that pool's endpoints.
    pub place: usize,
    pub by: TrialBy,
}

/// What tries an endpoint in probation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialBy {
    /// A client's own request, which is repeated elsewhere if it fails.
    Request,
    /// A copy whose answer is dropped: what it answers may not be what clients are to see.
    Copy,
}

/// One endpoint: where it is, and its tally.
#[derive(Debug)]
pub struct EndpointView {
    pub way: Arc<Way>,
    pub tally: Arc<Tally>,
}

impl View {
    /// A backend by its name: in another view it may have another place, or none.
    pub fn backend(&self, name: &str) -> Option<&BackendView> {
        self.backends.iter().find(|backend| &*backend.config.name == name).map(|backend| &**backend)
    }
}

impl PoolView {
    /// Whether requests may leave another pool for it.
    pub fn takes_others(&self) -> bool {
        self.usable && self.drained == Drained::No
    }
}

impl BackendView {
    /// The pool that new requests go to.
    pub fn serving(&self) -> (PoolIndex, &PoolView) {
        let index = self.snapshot.serving;
        (index, &self.pools[index.0])
    }

    /// The pools besides that one which may take its requests, by rank.
    pub fn others(&self, but: PoolIndex) -> impl Iterator<Item = (PoolIndex, &PoolView)> {
        let pools = self.pools.iter().enumerate().map(|(index, pool)| (PoolIndex(index), pool));
        pools.filter(move |(index, pool)| *index != but && pool.takes_others())
    }

    /// Whether ordinary traffic goes to that endpoint.
    pub fn is_up(&self, endpoint: EndpointId) -> bool {
        self.pools.iter().any(|pool| pool.up.iter().any(|&place| pool.endpoints[place].tally.id == endpoint))
    }

    /// That endpoint, if it is up or suspect.
    pub fn endpoint_in_use(&self, endpoint: EndpointId) -> Option<&EndpointView> {
        self.pools.iter().find_map(|pool| {
            let places = pool.up.iter().chain(&pool.suspect);
            places.map(|&place| &*pool.endpoints[place]).find(|known| known.tally.id == endpoint)
        })
    }

    /// The pool of that endpoint, if it is in this view.
    pub fn pool_of(&self, endpoint: EndpointId) -> Option<PoolIndex> {
        let is_there = |pool: &PoolView| pool.endpoints.iter().any(|known| known.tally.id == endpoint);
        self.pools.iter().position(is_there).map(PoolIndex)
    }
}
