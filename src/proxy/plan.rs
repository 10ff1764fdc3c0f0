//! Which endpoint a request is sent to, and which next: failover.md, "Rescuing one request". No sockets, no waiting.
//!
//! Not here: which pool a client's safe requests belong to during a ramp, and who tries an endpoint in probation (`steer`).

use super::attempt::Reach;
use crate::domain::{Class, EndpointId, Lagging, Moment, PoolIndex, Routing, Writes};
use crate::health::{BackendView, EndpointView, PoolView};

/// Attempts that one request may cost. Refusals by every endpoint of a pool count as one.
pub const ATTEMPTS_MAX: usize = 3;

/// Endpoints that one request may be sent to, refusals included.
const TRIED_MAX: usize = 16;

/// The endpoints that a request has been to, and from that where it may go next.
#[derive(Debug)]
pub struct Plan<'a> {
    backend: &'a BackendView,
    now: Moment,
    goes: Goes,
    /// An endpoint in probation that is tried before all others.
    trial: Option<(PoolIndex, usize)>,
    so_far: SoFar,
}

/// Where a request has been.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoFar {
    /// Attempts that count.
    attempts: usize,
    tried: [Option<EndpointId>; TRIED_MAX],
    sent: usize,
}

/// Where a request may go at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    /// To its pool first, then elsewhere.
    Safe { home: PoolIndex },
    /// To the pool that takes writes, and nowhere else. `None`: no pool does now.
    Unsafe { pool: Option<PoolIndex>, patience: Patience },
}

/// Whether a write may still wait for a better place than a suspect endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Left,
    /// It has waited for as long as it may: what may answer is better than a refusal.
    Over,
}

/// How far a hedge may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    ItsPool,
    AnyPool,
}

/// How an attempt failed, as far as the plan is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The connection was refused: it took no time, and another endpoint of the pool may well take it.
    Refused,
    Otherwise,
}

/// How a worker tells endpoints apart: by its own requests in flight, and by chance.
pub trait Choose {
    fn in_flight(&self, endpoint: &EndpointView) -> i64;
    /// A number below `bound`, which is at least 1.
    fn random(&self, bound: usize) -> usize;
}

impl<'a> Plan<'a> {
    /// For a safe request; `home` is the pool that its client's requests go to.
    pub fn safe(backend: &'a BackendView, now: Moment, home: PoolIndex) -> Plan<'a> {
        Plan::new(backend, now, Goes::Safe { home })
    }

    /// For any other.
    pub fn not_safe(backend: &'a BackendView, now: Moment, patience: Patience) -> Plan<'a> {
        let pool = match backend.snapshot.writes {
            Writes::To(pool) => Some(pool),
            Writes::Pausing { .. } | Writes::Refused(_) => None,
        };
        Plan::new(backend, now, Goes::Unsafe { pool, patience })
    }

    fn new(backend: &'a BackendView, now: Moment, goes: Goes) -> Plan<'a> {
        Plan { backend, now, goes, trial: None, so_far: SoFar::default() }
    }

    /// First of all to this endpoint, which is in probation.
    pub fn trying(mut self, trial: Option<(PoolIndex, usize)>) -> Plan<'a> {
        self.trial = trial;
        self
    }

    /// It goes on, in a newer view, from there.
    pub fn from(mut self, so_far: SoFar) -> Plan<'a> {
        self.so_far = so_far;
        self
    }

    pub fn so_far(&self) -> SoFar {
        self.so_far
    }

    /// Whether it has cost as many attempts as one may.
    pub fn is_used_up(&self) -> bool {
        self.so_far.attempts >= ATTEMPTS_MAX
    }

    /// Where else to send a safe request that takes its time: first within the pool, then to another if `far` allows it. `running`:
    /// its attempts that have not ended.
    pub fn hedge(&mut self, choose: &impl Choose, far: Far, running: usize) -> Option<(&'a EndpointView, Reach)> {
        let Goes::Safe { home } = self.goes else { return None };
        if self.so_far.attempts + running >= ATTEMPTS_MAX || self.so_far.sent == TRIED_MAX {
            return None;
        }
        let here = || self.untried_up(home, choose).map(|place| (place, Reach::Home));
        let away = || {
            let mut others = self.others(home, Lagging::Fresh);
            others.find_map(|pool| self.untried_up(pool, choose)).map(|place| (place, Reach::Away))
        };
        let place = match (self.backend.snapshot.routing, far) {
            (Routing::Serving, Far::AnyPool) => here().or_else(away),
            (Routing::Serving, Far::ItsPool) | (Routing::Held, Far::AnyPool | Far::ItsPool) => here(),
            (Routing::Panic, Far::AnyPool | Far::ItsPool) => None,
        }?;
        self.note_sent(place.0);
        Some(place)
    }

    fn note_sent(&mut self, place: &EndpointView) {
        self.so_far.tried[self.so_far.sent] = Some(place.tally.id);
        self.so_far.sent += 1;
    }

    /// Where to next; `None` when every place allowed has been tried.
    pub fn next(&mut self, choose: &impl Choose) -> Option<&'a EndpointView> {
        if self.so_far.sent == TRIED_MAX {
            return None;
        }
        let trial = self.trial.take().map(|(pool, place)| self.at(pool, place));
        let place = trial.or_else(|| match (self.goes, self.backend.snapshot.routing) {
            (Goes::Safe { home }, Routing::Serving) => self.next_for_safe(home, choose),
            (Goes::Safe { .. }, Routing::Panic) => self.next_in_panic(choose),
            (Goes::Safe { home }, Routing::Held) => self.next_while_held(home, choose),
            (Goes::Unsafe { pool, patience }, routing) => self.next_for_unsafe(pool?, patience, routing, choose),
        })?;
        self.note_sent(place);
        Some(place)
    }

    /// The attempt there failed. Refused by one endpoint while others of its pool are left: not counted.
    pub fn note_failed(&mut self, endpoint: EndpointId, how: Failed) {
        let counts = match how {
            Failed::Refused => !self.others_are_left(endpoint),
            Failed::Otherwise => true,
        };
        self.so_far.attempts += usize::from(counts);
    }

    /// Whether the pool of that endpoint has one that was not tried.
    fn others_are_left(&self, endpoint: EndpointId) -> bool {
        let Some(pool) = self.backend.pool_of(endpoint) else { return false };
        let view = self.pool(pool);
        let left = |places: &[usize]| places.iter().any(|&place| !self.was_tried(&view.endpoints[place]));
        match self.backend.snapshot.routing {
            Routing::Serving => left(&view.up),
            Routing::Panic | Routing::Held => left(&view.up) || left(&view.suspect) || left(&view.rest),
        }
    }

    fn next_for_safe(&self, home: PoolIndex, choose: &impl Choose) -> Option<&'a EndpointView> {
        let here = || self.untried_up(home, choose);
        let elsewhere = |lagging| self.others(home, lagging).find_map(|pool| self.untried_up(pool, choose));
        let fresh = || elsewhere(Lagging::Fresh);
        let stale = || elsewhere(Lagging::Stale);
        let suspect = || self.untried(home, &self.pool(home).suspect);
        let suspect_elsewhere = || {
            let mut others = self.others(home, Lagging::Fresh);
            others.find_map(|pool| self.untried(pool, &self.pool(pool).suspect))
        };
        match self.so_far.attempts {
            // With nowhere else to go, once more at the same endpoint: one reset connection is not an outage.
            0 | 1 => here()
                .or_else(fresh)
                .or_else(suspect)
                .or_else(suspect_elsewhere)
                .or_else(stale)
                .or_else(|| self.once_more(home, choose)),
            2 => fresh().or_else(suspect_elsewhere).or_else(stale).or_else(here).or_else(suspect),
            _ => None,
        }
    }

    /// An operator holds requests at the pool: its endpoints first, whatever their health.
    fn next_while_held(&self, home: PoolIndex, choose: &impl Choose) -> Option<&'a EndpointView> {
        let all_of = |pool| self.any_untried(pool, choose);
        let elsewhere = || {
            let others = || self.others(home, Lagging::Fresh).chain(self.others(home, Lagging::Stale));
            others().find_map(|pool| self.untried_up(pool, choose))
        };
        match self.so_far.attempts {
            0 => all_of(home),
            1 => all_of(home).or_else(elsewhere),
            2 => elsewhere().or_else(|| all_of(home)),
            _ => None,
        }
    }

    /// Up endpoints of any pool, then the rest of the serving pool, then the others.
    fn next_in_panic(&self, choose: &impl Choose) -> Option<&'a EndpointView> {
        if self.so_far.attempts >= ATTEMPTS_MAX {
            return None;
        }
        let (serving, _) = self.backend.serving();
        let all = || (0..self.backend.pools.len()).map(PoolIndex);
        let up = || all().find_map(|pool| self.untried_up(pool, choose));
        let suspect = || all().find_map(|pool| self.untried(pool, &self.pool(pool).suspect));
        let rest = |pool| self.untried(pool, &self.pool(pool).rest);
        up().or_else(suspect).or_else(|| rest(serving)).or_else(|| all().filter(|pool| *pool != serving).find_map(rest))
    }

    /// Only to the pool that takes writes. Each endpoint that is tried has provably not begun the one before.
    fn next_for_unsafe(
        &self,
        pool: PoolIndex,
        patience: Patience,
        routing: Routing,
        choose: &impl Choose,
    ) -> Option<&'a EndpointView> {
        let view = self.pool(pool);
        let worth_a_wait = view.up.is_empty() && self.backend.others(pool).next().is_some();
        let suspect = || match patience {
            Patience::Left if worth_a_wait && routing == Routing::Serving => None,
            Patience::Left | Patience::Over => self.untried(pool, &view.suspect),
        };
        let rest = || match routing {
            Routing::Serving => None,
            Routing::Panic | Routing::Held => self.untried(pool, &view.rest),
        };
        self.untried_up(pool, choose).or_else(suspect).or_else(rest)
    }

    fn any_untried(&self, pool: PoolIndex, choose: &impl Choose) -> Option<&'a EndpointView> {
        let view = self.pool(pool);
        let suspect = || self.untried(pool, &view.suspect);
        self.untried_up(pool, choose).or_else(suspect).or_else(|| self.untried(pool, &view.rest))
    }

    /// Of two random endpoints among the pool's up and untried ones, that with fewer requests in flight (Mitzenmacher 2001). One
    /// that is warming up gets its share only.
    fn untried_up(&self, pool: PoolIndex, choose: &impl Choose) -> Option<&'a EndpointView> {
        let up = &self.pool(pool).up;
        let one = self.walk(pool, choose.random(up.len().max(1)), None)?;
        let Some(other) = self.walk(pool, choose.random(up.len()), Some(one)) else { return Some(self.at(pool, one)) };
        let (first, second) = match choose.in_flight(self.at(pool, other)) < choose.in_flight(self.at(pool, one)) {
            true => (other, one),
            false => (one, other),
        };
        Some(self.at(pool, if self.is_warm_enough(pool, first, choose) { first } else { second }))
    }

    /// The first untried up endpoint from a place on, round the pool, that is not `but`.
    fn walk(&self, pool: PoolIndex, from: usize, but: Option<usize>) -> Option<usize> {
        let up = &self.pool(pool).up;
        let mut round = up.iter().copied().cycle().skip(from).take(up.len());
        round.find(|&place| Some(place) != but && !self.was_tried(self.at(pool, place)))
    }

    /// Slow start: the share of requests that it takes grows evenly until it is warm.
    fn is_warm_enough(&self, pool: PoolIndex, place: usize, choose: &impl Choose) -> bool {
        let endpoint = &self.backend.snapshot.pools[pool.0].endpoints[place];
        let Some(warm_at) = endpoint.warm_at.filter(|warm_at| self.now < *warm_at) else { return true };
        let (passed, all) = (self.now.since(endpoint.since).as_millis(), warm_at.since(endpoint.since).as_millis());
        let share = (passed * 1_000).checked_div(all).unwrap_or(1_000);
        (choose.random(1_000) as u128) < share
    }

    /// The first of these places that was not tried.
    fn untried(&self, pool: PoolIndex, places: &[usize]) -> Option<&'a EndpointView> {
        places.iter().map(|&place| self.at(pool, place)).find(|endpoint| !self.was_tried(endpoint))
    }

    /// Any that is up, tried or not.
    fn once_more(&self, pool: PoolIndex, choose: &impl Choose) -> Option<&'a EndpointView> {
        let PoolView { up, suspect, .. } = self.pool(pool);
        let places = if up.is_empty() { suspect } else { up };
        Some(self.at(pool, *places.get(choose.random(places.len().max(1)))?))
    }

    /// Other pools that may take its requests, by rank.
    fn others(&self, home: PoolIndex, lagging: Lagging) -> impl Iterator<Item = PoolIndex> + 'a {
        self.backend.others(home).filter(move |(_, pool)| pool.lagging == lagging).map(|(index, _)| index)
    }

    fn pool(&self, pool: PoolIndex) -> &'a PoolView {
        &self.backend.pools[pool.0]
    }

    fn at(&self, pool: PoolIndex, place: usize) -> &'a EndpointView {
        &self.pool(pool).endpoints[place]
    }

    fn was_tried(&self, endpoint: &EndpointView) -> bool {
        self.so_far.tried[..self.so_far.sent].contains(&Some(endpoint.tally.id))
    }
}

/// Whether a request of that class that no endpoint took has something to wait for: a view that says where it goes.
pub fn is_worth_a_wait(backend: &BackendView, class: Class) -> bool {
    match (class, backend.snapshot.writes) {
        (Class::Safe, _) | (Class::Unsafe, Writes::Refused(_)) => false,
        (Class::Unsafe, Writes::Pausing { .. }) => true,
        (Class::Unsafe, Writes::To(pool)) => backend.others(pool).next().is_some(),
    }
}

#[cfg(test)]
pub(super) mod tests;
