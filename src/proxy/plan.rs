//! Which endpoint a request is sent to, and which next: failover.md, "Rescuing one request". No sockets, no waiting.

use super::judge::Kind;
use crate::domain::{EndpointId, Routing};
use crate::health::{BackendView, EndpointView, PoolView};

/// Attempts that one request may cost. Refusals by every endpoint of a pool count as one.
pub const ATTEMPTS_MAX: usize = 3;

/// Endpoints that one request may be sent to, refusals included.
const TRIED_MAX: usize = 16;

/// The endpoints that a request has been to, and from that where it may go next.
#[derive(Debug)]
pub struct Plan<'a> {
    backend: &'a BackendView,
    kind: Kind,
    /// Attempts that count.
    attempts: usize,
    tried: [Option<EndpointId>; TRIED_MAX],
    sent: usize,
}

/// How a worker tells endpoints apart: by its own requests in flight, and by chance.
pub trait Choose {
    fn in_flight(&self, endpoint: &EndpointView) -> i64;
    /// A number below `bound`, which is at least 1.
    fn random(&self, bound: usize) -> usize;
}

impl<'a> Plan<'a> {
    pub fn new(backend: &'a BackendView, kind: Kind) -> Plan<'a> {
        Plan { backend, kind, attempts: 0, tried: [None; TRIED_MAX], sent: 0 }
    }

    /// Where to next; `None` when every place allowed has been tried.
    pub fn next(&mut self, choose: &impl Choose) -> Option<&'a EndpointView> {
        if self.sent == TRIED_MAX {
            return None;
        }
        let place = match (self.kind, self.backend.snapshot.routing) {
            (Kind::Safe, Routing::Serving) => self.next_for_safe(choose),
            (Kind::Safe, Routing::Panic) => self.next_in_panic(choose),
            (Kind::Unsafe, Routing::Serving) => self.untried_up(self.backend.serving().1, choose),
            (Kind::Unsafe, Routing::Panic) => {
                let (_, pool) = self.backend.serving();
                self.untried_up(pool, choose).or_else(|| self.untried(pool))
            }
        }?;
        self.tried[self.sent] = Some(place.tally.id);
        self.sent += 1;
        Some(place)
    }

    /// The attempt that `next` named failed. Refused by one endpoint while others of its pool are left: not counted.
    pub fn note_failed(&mut self, refused: bool) {
        let (_, pool) = self.backend.serving();
        let others_left = pool.up.iter().any(|&place| !self.was_tried(&pool.endpoints[place]));
        if !(refused && others_left) {
            self.attempts += 1;
        }
    }

    fn next_for_safe(&self, choose: &impl Choose) -> Option<&'a EndpointView> {
        let (_, serving) = self.backend.serving();
        let here = || self.untried_up(serving, choose);
        let elsewhere = || self.backend.other_usable().find_map(|pool| self.untried_up(pool, choose));
        match self.attempts {
            0 => here(),
            // With nowhere else to go, once more at the same endpoint: one reset connection is not an outage.
            1 => here().or_else(elsewhere).or_else(|| self.any_up(serving, choose)),
            2 => elsewhere().or_else(here),
            _ => None,
        }
    }

    /// Up endpoints of any pool, then the rest of the serving pool, then the others.
    fn next_in_panic(&self, choose: &impl Choose) -> Option<&'a EndpointView> {
        if self.attempts >= ATTEMPTS_MAX {
            return None;
        }
        let (serving, pool) = self.backend.serving();
        let up = || self.backend.pools.iter().find_map(|pool| self.untried_up(pool, choose));
        let others = || {
            let others = self.backend.pools.iter().enumerate().filter(|(index, _)| *index != serving.0);
            others.map(|(_, pool)| pool).find_map(|pool| self.untried(pool))
        };
        up().or_else(|| self.untried(pool)).or_else(others)
    }

    /// Of two random endpoints among the pool's up and untried ones, that with fewer requests in flight (Mitzenmacher 2001).
    fn untried_up(&self, pool: &'a PoolView, choose: &impl Choose) -> Option<&'a EndpointView> {
        let one = self.walk(pool, choose.random(pool.up.len().max(1)), None)?;
        let Some(other) = self.walk(pool, choose.random(pool.up.len()), Some(one.tally.id)) else { return Some(one) };
        Some(if choose.in_flight(other) < choose.in_flight(one) { other } else { one })
    }

    /// The first untried up endpoint from a place on, round the pool, that is not `but`.
    fn walk(&self, pool: &'a PoolView, from: usize, but: Option<EndpointId>) -> Option<&'a EndpointView> {
        let round = pool.up.iter().cycle().skip(from).take(pool.up.len());
        let mut endpoints = round.map(|&place| &*pool.endpoints[place]);
        endpoints.find(|endpoint| Some(endpoint.tally.id) != but && !self.was_tried(endpoint))
    }

    fn untried(&self, pool: &'a PoolView) -> Option<&'a EndpointView> {
        pool.endpoints.iter().map(|endpoint| &**endpoint).find(|endpoint| !self.was_tried(endpoint))
    }

    fn any_up(&self, pool: &'a PoolView, choose: &impl Choose) -> Option<&'a EndpointView> {
        let place = *pool.up.get(choose.random(pool.up.len().max(1)))?;
        Some(&pool.endpoints[place])
    }

    fn was_tried(&self, endpoint: &EndpointView) -> bool {
        self.tried[..self.sent].contains(&Some(endpoint.tally.id))
    }
}
