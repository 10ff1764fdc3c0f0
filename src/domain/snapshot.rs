//! The model's picture of itself: what the published view is built from. A backend's part is shared with the snapshot
//! before it (`Arc::ptr_eq`) when nothing in it changed.

use super::endpoint::Health;
use super::pool::PoolHealth;
use super::transition::Routing;
use super::units::{EndpointId, Moment, Name, PoolIndex};
use std::sync::Arc;

/// Every backend, in the order of the setup.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub backends: Vec<Arc<BackendSnapshot>>,
}

/// One backend; pools in the order of the setup.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendSnapshot {
    pub name: Name,
    pub serving: PoolIndex,
    /// Since when that pool serves.
    pub serving_since: Moment,
    pub routing: Routing,
    pub pools: Vec<PoolSnapshot>,
    /// What failback waits for, when a pool of lower rank number than the serving one exists.
    pub waiting: Option<Waiting>,
}

/// What stands between the backend and its earlier pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Waiting {
    /// That pool is not usable, or has a smaller share of its endpoints up than the serving pool.
    NotWell { pool: PoolIndex },
    /// That pool is well; failback comes (or, where it is manual, is advised) at `until` if it stays so. `until` is past: too
    /// many of its probes failed since, and it comes when 99 % of them have passed.
    HoldDown { pool: PoolIndex, until: Moment },
    /// That pool has been well for long enough; failback is manual.
    Manual { pool: PoolIndex },
}

/// One pool; endpoints in the order of the setup.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSnapshot {
    pub name: Name,
    pub health: PoolHealth,
    pub endpoints: Vec<EndpointSnapshot>,
}

/// One endpoint. Counters inside `health` that change with every probe are not told: they stand at zero here, so that a
/// passed probe does not make a new view.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSnapshot {
    pub id: EndpointId,
    pub name: Name,
    pub health: Health,
    /// Since when it is in that state.
    pub since: Moment,
}
