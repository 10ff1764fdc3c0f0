//! A backend's picture: what snapshots tell of it. Made anew only when something in it changed.
//!
//! Not here: what the fields mean (`snapshot`).

use super::backend::Backend;
use super::endpoint::Endpoint;
use super::pool::Pool;
use super::snapshot::{BackendSnapshot, EndpointSnapshot, PoolSnapshot, Ramp};
use super::units::PoolIndex;
use std::sync::Arc;

impl Backend {
    /// Renews the picture, if anything in it may have changed.
    pub(super) fn paint(&mut self) {
        if std::mem::take(&mut self.told) {
            let picture = self.paint_anew();
            if *self.picture != picture {
                self.picture = Arc::new(picture);
            }
        }
    }

    /// The picture as it must be.
    pub(super) fn paint_anew(&self) -> BackendSnapshot {
        let serving = &self.serving;
        BackendSnapshot {
            name: self.name.clone(),
            serving: PoolIndex(serving.pool),
            serving_since: serving.since,
            routing: serving.routing,
            ramp: serving.ramp.map(|ramp| Ramp { to: PoolIndex(ramp.to), began: ramp.began, over: self.rules.ramp }),
            writes: self.writes.stands,
            pools: self.pools.iter().map(pool).collect(),
            waiting: self.waiting,
            standing: self.standing.clone(),
        }
    }
}

fn pool(pool: &Pool) -> PoolSnapshot {
    PoolSnapshot {
        name: pool.name.clone(),
        health: pool.health,
        lagging: pool.lagging,
        drained: pool.drained,
        diverged: pool.record.diverged,
        endpoints: pool.endpoints.iter().map(endpoint).collect(),
    }
}

fn endpoint(endpoint: &Endpoint) -> EndpointSnapshot {
    EndpointSnapshot {
        id: endpoint.id,
        name: endpoint.name.clone(),
        health: endpoint.health().without_count(),
        since: endpoint.since(),
        drained: endpoint.drained,
        steadiness: endpoint.errored.steadiness(),
        warm_at: endpoint.warm_at(),
    }
}
