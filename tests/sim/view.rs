//! What a worker makes of the view: where the next attempt of a request goes (docs/failover.md, §4 and §6).
//!
//! Not here: what the endpoint answers (`endpoint`), what follows from that (`reads`, `writes`).

use crate::rng::Rng;
use hotspare::domain::*;
use std::sync::Arc;
use std::time::Duration;

/// The model's picture, with the endpoints of each pool by their numbers in the world.
#[derive(Debug)]
pub struct View {
    pub snapshot: Arc<BackendSnapshot>,
    pub isolation: Isolation,
    pub endpoints: Vec<Vec<usize>>,
    /// Everything is as on a good day: each endpoint that takes requests takes them as a matter of course.
    pub is_calm: bool,
}

/// For whom a next endpoint is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Seeker<'a> {
    pub tried: &'a [usize],
    /// 0 to below 1, the same for all requests of a client: who returns first by a ramp.
    pub turn: f64,
    /// Wrote lately, and is not to miss what it wrote.
    pub wrote: Wrote,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    No,
    Lately,
}

impl View {
    pub fn new(snapshot: Arc<BackendSnapshot>, isolation: Isolation, endpoints: Vec<Vec<usize>>) -> View {
        let all = || snapshot.pools.iter().flat_map(|pool| &pool.endpoints);
        let steady = all().all(|endpoint| match endpoint.health {
            Health::Unproven | Health::Up { .. } | Health::Down(_) => true,
            Health::Suspect { .. } | Health::Probation { .. } => false,
        });
        let serves = match snapshot.writes {
            Writes::To(pool) => pool == snapshot.serving,
            Writes::Refused(_) => true,
            Writes::Pausing { .. } => false,
        };
        let is_calm = steady && serves && snapshot.routing == Routing::Serving && snapshot.ramp.is_none();
        View { snapshot, isolation, endpoints, is_calm }
    }

    /// Endpoints of a pool that `fits`, by their numbers in the world.
    pub fn those(&self, pool: usize, fits: impl Fn(&EndpointSnapshot) -> bool) -> Vec<usize> {
        let pairs = self.snapshot.pools[pool].endpoints.iter().zip(&self.endpoints[pool]);
        pairs.filter(|(shown, _)| fits(shown)).map(|(_, index)| *index).collect()
    }

    /// The pool whose turn it is for that client's safe requests.
    fn pool_for(&self, now: Moment, seeker: Seeker<'_>) -> usize {
        let serving = self.snapshot.serving.0;
        let Some(Ramp { to, began, over }) = self.snapshot.ramp else { return serving };
        let share = 0.05 + 0.95 * now.since(began).as_secs_f64() / over.as_secs_f64().max(0.001);
        if seeker.turn < share && seeker.wrote == Wrote::No { to.0 } else { serving }
    }

    /// Where a safe request is tried next, after those it was tried at.
    pub fn next_for_read(&self, now: Moment, seeker: Seeker<'_>, rng: &mut Rng) -> Option<usize> {
        let pools = &self.snapshot.pools;
        let free = |shown: &EndpointSnapshot| shown.drained == Drained::No;
        let mut orders: Vec<Vec<usize>> = Vec::new();
        match self.snapshot.routing {
            Routing::Serving => {
                let first = self.pool_for(now, seeker);
                let others = (0..pools.len()).filter(|pool| *pool != first && pools[*pool].may_serve());
                let (fresh, stale): (Vec<usize>, Vec<usize>) =
                    others.partition(|pool| pools[*pool].lagging == Lagging::Fresh);
                let well =
                    |pool: usize| self.those(pool, |shown| free(shown) && takes(shown) && !shown.health.is_suspect());
                let doubted = |pool: usize| self.those(pool, |shown| free(shown) && shown.health.is_suspect());
                let other = || fresh.iter().chain(&stale).map(|pool| well(*pool));
                // The last of three attempts goes to another pool if there is one.
                if seeker.tried.len() >= 2 {
                    orders.extend(other());
                }
                orders.push(well(first));
                orders.extend(other());
                orders.push(doubted(first));
            }
            Routing::Held => {
                let serving = self.snapshot.serving.0;
                orders.push(self.those(serving, |shown| free(shown) && takes(shown)));
                orders.push(self.those(serving, free));
            }
            Routing::Panic => {
                let serving = self.snapshot.serving.0;
                let drained = |pool: usize| pools[pool].drained == Drained::Yes;
                let all = || (0..pools.len()).filter(|pool| !drained(*pool));
                orders.push(all().flat_map(|pool| self.those(pool, |shown| free(shown) && takes(shown))).collect());
                orders.push(if drained(serving) { Vec::new() } else { self.those(serving, free) });
                orders.push(all().flat_map(|pool| self.those(pool, free)).collect());
            }
        }
        for order in &orders {
            let untried: Vec<usize> = order.iter().copied().filter(|index| !seeker.tried.contains(index)).collect();
            if !untried.is_empty() {
                return Some(rng.pick(&untried));
            }
        }
        // With nowhere else to go, once more at the same.
        if seeker.tried.len() == 1 { seeker.tried.first().copied() } else { None }
    }

    /// Where an unsafe request is tried next; `Err`: it waits for another view, or for good.
    pub fn next_for_write(&self, tried: &[usize], rng: &mut Rng) -> Result<usize, NoWrites> {
        let to = match self.snapshot.writes {
            Writes::To(to) => to.0,
            Writes::Pausing { .. } => return Err(NoWrites::Wait),
            Writes::Refused(_) => return Err(NoWrites::Refused),
        };
        let free = |shown: &EndpointSnapshot| shown.drained == Drained::No;
        let order = match self.snapshot.routing {
            Routing::Serving => self.those(to, |shown| free(shown) && takes(shown) && !shown.health.is_suspect()),
            Routing::Held | Routing::Panic => self.those(to, free),
        };
        let untried: Vec<usize> = order.into_iter().filter(|index| !tried.contains(index)).collect();
        if untried.is_empty() { Err(NoWrites::Wait) } else { Ok(rng.pick(&untried)) }
    }

    /// How long an endpoint is given before a hedge is sent elsewhere.
    pub const HEDGE_AFTER: Duration = Duration::from_millis(50);
}

/// Why an unsafe request is not sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWrites {
    Wait,
    Refused,
}

fn takes(shown: &EndpointSnapshot) -> bool {
    shown.health.counts_as_up()
}
