//! Which endpoint a request is sent to, and which next: failover.md, "Rescuing one request". No sockets, no waiting.

use super::judge::Kind;
use crate::domain::{EndpointId, Routing};
use crate::health::{BackendView, EndpointView, PoolView};
use std::sync::Arc;

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
            (Kind::Safe, Routing::Panic | Routing::Held) => self.next_in_panic(choose),
            (Kind::Unsafe, Routing::Serving) => self.untried_up(self.backend.serving().1, choose),
            (Kind::Unsafe, Routing::Panic | Routing::Held) => {
                let (_, pool) = self.backend.serving();
                self.untried_up(pool, choose).or_else(|| self.untried(pool))
            }
        }?;
        self.tried[self.sent] = Some(place.tally.id);
        self.sent += 1;
        Some(place)
    }

    /// The attempt that `next` named failed. Refused by one endpoint while others of its pool are left: not counted.
    pub fn note_failed(&mut self, how: Failed) {
        let counts = match how {
            Failed::Refused => !self.others_are_left(),
            Failed::Otherwise => true,
        };
        self.attempts += usize::from(counts);
    }

    /// Whether the pool of the endpoint tried last has one that was not.
    fn others_are_left(&self) -> bool {
        let last = self.sent.checked_sub(1).and_then(|last| self.tried[last]);
        let is_last = |endpoint: &Arc<EndpointView>| Some(endpoint.tally.id) == last;
        let Some(pool) = self.backend.pools.iter().find(|pool| pool.endpoints.iter().any(is_last)) else {
            return false;
        };
        match self.backend.snapshot.routing {
            Routing::Serving => pool.up.iter().any(|&place| !self.was_tried(&pool.endpoints[place])),
            Routing::Panic | Routing::Held => self.untried(pool).is_some(),
        }
    }

    fn next_for_safe(&self, choose: &impl Choose) -> Option<&'a EndpointView> {
        let (_, serving) = self.backend.serving();
        let here = || self.untried_up(serving, choose);
        let elsewhere = || self.backend.other_usable().find_map(|pool| self.untried_up(pool, choose));
        match self.attempts {
            // With nowhere else to go, once more at the same endpoint: one reset connection is not an outage.
            0 | 1 => here().or_else(elsewhere).or_else(|| self.any_up(serving, choose)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Backend, Probe, ProbeKind, Timeouts};
    use crate::domain::{BackendSnapshot, Failback, Moment, Percent, PoolIndex, Rules};
    use crate::health::Tally;
    use crate::telemetry::cells::PerWorker;
    use std::time::Duration;

    /// Always the first of two, unless it has more in flight.
    struct First(fn(u32) -> i64);

    impl Choose for First {
        fn in_flight(&self, endpoint: &EndpointView) -> i64 {
            (self.0)(endpoint.tally.id.0)
        }

        fn random(&self, bound: usize) -> usize {
            assert!(bound > 0);
            0
        }
    }

    const IDLE: First = First(|_| 0);

    /// Pools by what their endpoints are: `u` up, `d` down; usable if all are up. The first pool serves. Endpoints are numbered
    /// through all pools from 0.
    fn backend(pools: &[&str], routing: Routing) -> BackendView {
        let mut ids = (0..).map(EndpointId);
        let pool = |states: &&str| PoolView {
            usable: !states.contains('d'),
            up: states.char_indices().filter(|(_, state)| *state == 'u').map(|(at, _)| at).collect(),
            endpoints: (ids.by_ref().take(states.len()))
                .map(|id| EndpointView {
                    address: "127.0.0.1:1".parse().unwrap(),
                    tally: Arc::new(Tally { id, cells: PerWorker::new(1) }),
                })
                .map(Arc::new)
                .collect(),
        };
        let pools = pools.iter().map(pool).collect();
        let second = Duration::from_secs(1);
        let rules = Rules {
            fall: 3,
            rise: 2,
            trip: 20,
            consecutive: 5,
            ejection_time: second,
            min_up: Percent(50),
            min_dwell: second,
            failback: Failback::Auto,
            stable_for: second,
        };
        let config = Backend {
            name: "sites".into(),
            pools: Vec::new(),
            probe: Probe { kind: ProbeKind::Tcp, port: None, interval: second, timeout: second, fast_interval: second },
            rules,
            timeouts: Timeouts { connect: second, head: second, body_idle: second, total: None },
            retry: true,
        };
        let snapshot = BackendSnapshot {
            name: "sites".into(),
            serving: PoolIndex(0),
            serving_since: Moment::ZERO,
            routing,
            pools: Vec::new(),
            waiting: None,
        };
        let cells = Arc::new(PerWorker::new(1));
        BackendView { config: Arc::new(config), snapshot: Arc::new(snapshot), pools, cells }
    }

    /// Where a request goes when each attempt fails so.
    fn tour(backend: &BackendView, kind: Kind, how: Failed) -> Vec<u32> {
        let mut plan = Plan::new(backend, kind);
        let mut places = Vec::new();
        while let Some(place) = plan.next(&IDLE) {
            places.push(place.tally.id.0);
            plan.note_failed(how);
        }
        places
    }

    #[test]
    fn of_two_endpoints_the_one_with_fewer_requests_in_flight_is_asked() {
        let view = backend(&["uuu"], Routing::Serving);
        let busy: First = First(|id| [5, 3, 0][id as usize]); // the third is not among the two
        assert_eq!(Plan::new(&view, Kind::Safe).next(&busy).unwrap().tally.id, EndpointId(1));
    }

    #[test]
    fn a_read_is_tried_here_then_at_another_endpoint_and_last_in_another_pool() {
        for (pools, places) in [
            (&["uuu", "uu"][..], &[0, 1, 3][..]),
            (&["u", "uu"], &[0, 1, 2]),
            (&["u", "u", "u"], &[0, 1, 2]),
            (&["uuuu"], &[0, 1, 2]),
            (&["uu", "dd"], &[0, 1]), // no other pool is usable
            (&["du", "u"], &[1, 2]),  // one down is not asked
            (&["u"], &[0, 0]),        // with nowhere else to go, once more
        ] {
            assert_eq!(tour(&backend(pools, Routing::Serving), Kind::Safe, Failed::Otherwise), places, "{pools:?}");
        }
    }

    #[test]
    fn a_pool_that_refuses_counts_as_one_attempt_whichever_pool_it_is() {
        for (pools, places) in [
            (&["uuuuu", "u"][..], &[0, 1, 2, 3, 4, 5][..]),
            (&["uu", "uuu", "u"], &[0, 1, 2, 3, 4, 5]),
            (&["u", "u"], &[0, 1]),
        ] {
            assert_eq!(tour(&backend(pools, Routing::Serving), Kind::Safe, Failed::Refused), places, "{pools:?}");
        }
    }

    #[test]
    fn in_panic_what_is_up_comes_first_then_the_serving_pool_then_the_rest() {
        for (pools, how, places) in [
            (&["dd", "du"][..], Failed::Otherwise, &[3, 0, 1][..]),
            (&["d", "d"], Failed::Otherwise, &[0, 1]),
            (&["dddd", "d"], Failed::Otherwise, &[0, 1, 2]),
            (&["dddd", "dd"], Failed::Refused, &[0, 1, 2, 3, 4, 5]),
        ] {
            assert_eq!(tour(&backend(pools, Routing::Panic), Kind::Safe, how), places, "{pools:?}");
        }
    }

    #[test]
    fn a_write_stays_in_the_pool_that_takes_writes() {
        for (pools, routing, places) in [
            (&["uuu", "u"][..], Routing::Serving, &[0, 1, 2][..]),
            (&["du", "u"], Routing::Serving, &[1]),
            (&["du", "u"], Routing::Panic, &[1, 0]),
            (&["dd", "u"], Routing::Panic, &[0, 1]),
        ] {
            for how in [Failed::Refused, Failed::Otherwise] {
                assert_eq!(tour(&backend(pools, routing), Kind::Unsafe, how), places, "{pools:?} {routing:?}");
            }
        }
    }

    #[test]
    fn no_request_is_sent_to_more_than_so_many_endpoints() {
        let view = backend(&["uuuuuuuuuuuuuuuuuuuuuuuu", "u"], Routing::Serving);
        assert_eq!(tour(&view, Kind::Safe, Failed::Refused).len(), TRIED_MAX);
    }

    #[test]
    fn a_pool_without_an_endpoint_that_is_up_is_passed_over() {
        assert_eq!(tour(&backend(&["dd", "u"], Routing::Serving), Kind::Safe, Failed::Otherwise), [2]);
        assert_eq!(tour(&backend(&["dd"], Routing::Serving), Kind::Safe, Failed::Otherwise), [0_u32; 0]);
    }
}
