//! What is true of the model between any two inputs.

use super::Why;
use super::backend::Backend;
use super::memory::Diverged;
use super::pool::PoolHealth;
use super::setup::{AfterWrites, PoolWrites};
use super::snapshot::Writes;
use super::transition::Routing;
use super::units::{EndpointId, Moment, Name, PoolIndex};
use std::fmt;

/// Something that must always be true is not: a fault of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A pool's health is not what its endpoints make of it.
    PoolHealth { backend: Name, pool: Name, told: PoolHealth, found: PoolHealth },
    /// The serving pool is none of the backend's.
    NoSuchPool { backend: Name, serving: usize, pools: usize },
    /// Requests are routed as if to a usable pool, and it is not; or in panic, and a pool could serve.
    Routing { backend: Name, routing: Routing },
    /// Writes go where they must not.
    Writes { backend: Name, writes: Writes },
    /// An ejection without an end, a score out of its bounds, or something held against an endpoint that is down.
    Endpoint { backend: Name, endpoint: EndpointId },
    /// The picture is not what stands.
    Picture { backend: Name },
    /// A deadline was not served.
    Deadline { due: Moment, now: Moment, why: Why },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::PoolHealth { backend, pool, told, found } => {
                let (told, found) = (told.name(), found.name());
                write!(f, "backend {backend}: pool {pool} is told as {told}, its endpoints make it {found}")
            }
            Breach::NoSuchPool { backend, serving, pools } => {
                write!(f, "backend {backend}: pool number {serving} serves, of {pools}")
            }
            Breach::Routing { backend, routing } => {
                write!(f, "backend {backend}: routed as {} although something else is right", routing.name())
            }
            Breach::Writes { backend, writes } => {
                write!(f, "backend {backend}: writes are {writes:?}, which they may not be")
            }
            Breach::Endpoint { backend, endpoint: EndpointId(id) } => {
                write!(f, "backend {backend}: endpoint number {id} has an ejection or a score out of bounds")
            }
            Breach::Picture { backend } => write!(f, "backend {backend}: the snapshot is not what stands"),
            Breach::Deadline { due, now, why } => write!(f, "the deadline of {due} ({why:?}) was not served at {now}"),
        }
    }
}

impl std::error::Error for Breach {}

pub(super) fn backend(backend: &Backend, now: Moment) -> Result<(), Breach> {
    let name = || backend.name.clone();
    let serving = &backend.serving;
    if serving.pool >= backend.pools.len() {
        return Err(Breach::NoSuchPool { backend: name(), serving: serving.pool, pools: backend.pools.len() });
    }
    for pool in &backend.pools {
        let found = pool.judge(backend.rules.min_up);
        if pool.health != found {
            return Err(Breach::PoolHealth { backend: name(), pool: pool.name.clone(), told: pool.health, found });
        }
    }
    if let Some(broken) =
        backend.pools.iter().flat_map(|pool| &pool.endpoints).find(|endpoint| !endpoint.is_sound(&backend.rules))
    {
        return Err(Breach::Endpoint { backend: name(), endpoint: broken.id });
    }
    if !serving.is_rightly_routed(backend.scene(now)) {
        return Err(Breach::Routing { backend: name(), routing: serving.routing });
    }
    if !writes_are_sound(backend) {
        return Err(Breach::Writes { backend: name(), writes: backend.writes.stands });
    }
    if *backend.picture != backend.paint_anew() {
        return Err(Breach::Picture { backend: name() });
    }
    Ok(())
}

/// Writes go to the serving pool alone, if it may take them; and one behind the first that may has diverged.
fn writes_are_sound(backend: &Backend) -> bool {
    let serving = PoolIndex(backend.serving.pool);
    let pool = &backend.pools[serving.0];
    let shared = backend.rules.after_writes == AfterWrites::Auto;
    match backend.writes.stands {
        Writes::To(to) => {
            let allowed = pool.writes != PoolWrites::Refuse;
            to == serving && allowed && (to.0 == 0 || shared || pool.record.diverged == Diverged::Yes)
        }
        Writes::Pausing { to, .. } => to == serving,
        Writes::Refused(_) => true,
    }
}

pub(super) fn deadline(deadline: Option<(Moment, Why)>, now: Moment) -> Result<(), Breach> {
    match deadline {
        Some((due, why)) if due <= now => Err(Breach::Deadline { due, now, why }),
        Some(_) | None => Ok(()),
    }
}
