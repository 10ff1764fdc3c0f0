//! A backend's picture: what snapshots tell of it. Made anew only when something in it changed.
//!
//! Not here: what the fields mean (`snapshot`).

use super::backend::Backend;
use super::endpoint::{Endpoint, Health, Out};
use super::pool::Pool;
use super::setup::Rules;
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
                self.repainted = true;
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
            pools: self.pools.iter().map(|of| pool(of, &self.rules)).collect(),
            waiting: self.waiting,
            standing: self.standing.clone(),
        }
    }
}

fn pool(pool: &Pool, rules: &Rules) -> PoolSnapshot {
    PoolSnapshot {
        name: pool.name.clone(),
        health: pool.health,
        lagging: pool.lagging,
        drained: pool.drained,
        diverged: pool.record.diverged,
        endpoints: pool.endpoints.iter().map(|of| endpoint(of, rules)).collect(),
    }
}

fn endpoint(endpoint: &Endpoint, rules: &Rules) -> EndpointSnapshot {
    let health = match endpoint.health().without_count() {
        Health::Down(Out::Ejected { until, passes }) => {
            Health::Down(Out::Ejected { until: endpoint.returns_at(until, rules), passes })
        }
        other @ (Health::Unproven
        | Health::Up { .. }
        | Health::Suspect { .. }
        | Health::Down(Out::ByProbes { .. } | Out::ByRefusals { .. })
        | Health::Probation { .. }) => other,
    };
    EndpointSnapshot {
        id: endpoint.id,
        name: endpoint.name.clone(),
        health,
        since: endpoint.since(),
        drained: endpoint.drained,
        steadiness: endpoint.errored.steadiness(),
        warm_at: endpoint.warm_at(),
        lag: endpoint.lag.shown(),
    }
}
