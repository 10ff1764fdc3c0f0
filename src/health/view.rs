//! The view: the immutable picture (config, health, serving pools) that workers read. One swap changes all of it.

use super::tally::Tally;
use crate::config::{Backend, Config};
use crate::domain::{BackendSnapshot, Generation, PoolIndex};
use crate::telemetry::cells::PerWorker;
use crate::telemetry::metrics::BackendCells;
use std::net::SocketAddr;
use std::sync::Arc;

/// One picture for the whole of a request.
#[derive(Debug)]
pub struct View {
    pub generation: Generation,
    pub config: Arc<Config>,
    /// In the order of `config.backends`.
    pub backends: Box<[Arc<BackendView>]>,
}

/// One backend: what was configured, what was measured, and what follows for a request.
#[derive(Debug)]
pub struct BackendView {
    pub config: Arc<Backend>,
    pub snapshot: Arc<BackendSnapshot>,
    /// In the order of `config.pools`.
    pub pools: Box<[PoolView]>,
    pub cells: Arc<PerWorker<BackendCells>>,
}

/// One pool.
#[derive(Debug)]
pub struct PoolView {
    pub usable: bool,
    /// All of them, in the order of the config.
    pub endpoints: Box<[Arc<EndpointView>]>,
    /// Those that ordinary traffic may go to: places in `endpoints`.
    pub up: Box<[usize]>,
}

/// One endpoint: where it is, and its tally.
#[derive(Debug)]
pub struct EndpointView {
    pub address: SocketAddr,
    pub tally: Arc<Tally>,
}

impl BackendView {
    /// The pool that new requests go to.
    pub fn serving(&self) -> (PoolIndex, &PoolView) {
        let index = self.snapshot.serving;
        (index, &self.pools[index.0])
    }

    /// The usable pools besides the serving one, by rank.
    pub fn other_usable(&self) -> impl Iterator<Item = &PoolView> {
        let serving = self.snapshot.serving;
        let pools = self.pools.iter().enumerate();
        pools.filter(move |(index, pool)| *index != serving.0 && pool.usable).map(|(_, pool)| pool)
    }

    /// Whether another pool could take the backend's requests.
    pub fn another_pool_is_usable(&self) -> bool {
        self.other_usable().next().is_some()
    }
}
