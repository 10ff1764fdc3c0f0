//! Where requests go, and where to next, by what the view says.

use super::*;
use crate::config::{Backend, Probe, ProbeKind, Timeouts, Way};
use crate::domain::{
    BackendSnapshot, Diverged, Drained, EndpointSnapshot, Health, Out, PoolHealth, PoolSnapshot, ReadOnly, Rules,
    Steadiness, Suspicion, Trial,
};
use crate::health::Tally;
use crate::telemetry::cells::PerWorker;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

fn nowhere() -> Arc<Way> {
    Way::plain(SocketAddr::from(([127, 0, 0, 1], 1)))
}

/// Always the first of two, unless it has more in flight; chance is never kind.
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

const NOW: Moment = Moment::at(Duration::from_secs(100));

/// Pools by what their endpoints are: `u` up, `s` suspect, `d` down, `p` in probation, `x` up and drained, `w` up and
/// warming up since a moment ago. A pool that begins with `~` is stale; `!`: drained. It is usable if none is down or in
/// probation. The first pool serves and takes writes. Endpoints are numbered through all pools from 0.
pub fn backend(pools: &[&str], routing: Routing) -> BackendView {
    let mut ids = (0..).map(EndpointId);
    let (mut views, mut snapshots) = (Vec::new(), Vec::new());
    for pool in pools {
        let lagging = if pool.starts_with('~') { Lagging::Stale } else { Lagging::Fresh };
        let drained = if pool.starts_with('!') { Drained::Yes } else { Drained::No };
        let states: Vec<char> = pool.trim_start_matches(['~', '!']).chars().collect();
        let endpoints: Vec<_> = ids.by_ref().take(states.len()).collect();
        let usable = !states.iter().any(|state| "dp".contains(*state));
        let those = |wanted: &str| match drained {
            Drained::Yes => Box::default(),
            Drained::No => (0..states.len()).filter(|at| wanted.contains(states[*at])).collect(),
        };
        views.push(PoolView {
            usable,
            lagging,
            drained,
            up: those("uw"),
            suspect: those("s"),
            rest: those("dp"),
            endpoints: (endpoints.iter())
                .map(|id| EndpointView { way: nowhere(), tally: Arc::new(Tally::new(*id, 1)) })
                .map(Arc::new)
                .collect(),
        });
        let told = endpoints.iter().zip(&states).map(|(id, state)| EndpointSnapshot {
            id: *id,
            name: "a".into(),
            health: match state {
                's' => Health::Suspect { by: Suspicion::Stalled { since: NOW }, failures: 0 },
                'd' => Health::Down(Out::ByProbes { passes: 0 }),
                'p' => Health::Probation { trial: Trial::default() },
                _ => Health::Up { failures: 0 },
            },
            since: Moment::at(Duration::from_secs(99)),
            drained: if *state == 'x' { Drained::Yes } else { Drained::No },
            steadiness: Steadiness::Steady,
            warm_at: (*state == 'w').then_some(Moment::at(Duration::from_secs(109))),
            lag: None,
        });
        snapshots.push(PoolSnapshot {
            name: "p".into(),
            health: if usable { PoolHealth::Up } else { PoolHealth::Down },
            lagging,
            drained,
            diverged: Diverged::No,
            endpoints: told.collect(),
        });
    }
    let second = Duration::from_secs(1);
    let config = Backend {
        name: "sites".into(),
        pools: Vec::new(),
        probe: Probe { kind: ProbeKind::Tcp, port: None, interval: second, timeout: second, fast_interval: second },
        rules: Rules::default(),
        own_writes: second,
        write_wait: second,
        timeouts: Timeouts { connect: second, head: second, body_idle: second, total: None, tunnel_idle: second },
        rescue: crate::config::Rescue::default(),
        proxy_protocol: None,
        forwarded: crate::config::ForwardedAs::XForwarded,
    };
    let snapshot = BackendSnapshot {
        name: "sites".into(),
        serving: PoolIndex(0),
        serving_since: Moment::ZERO,
        routing,
        ramp: None,
        writes: Writes::To(PoolIndex(0)),
        pools: snapshots,
        waiting: None,
        standing: Vec::new(),
    };
    BackendView {
        config: Arc::new(config),
        snapshot: Arc::new(snapshot),
        pools: views.into(),
        trials: Box::default(),
        cells: Arc::new(PerWorker::new(1)),
        writers: Arc::default(),
    }
}

/// Where a request goes when each attempt fails so.
fn tour(mut plan: Plan<'_>, choose: &impl Choose, how: Failed) -> Vec<u32> {
    let mut places = Vec::new();
    while let Some(place) = plan.next(choose) {
        places.push(place.tally.id.0);
        plan.note_failed(place.tally.id, how);
    }
    places
}

fn read(pools: &[&str], routing: Routing, how: Failed) -> Vec<u32> {
    tour(Plan::safe(&backend(pools, routing), NOW, PoolIndex(0)), &IDLE, how)
}

fn write(pools: &[&str], routing: Routing, patience: Patience) -> Vec<u32> {
    let view = backend(pools, routing);
    let refused = tour(Plan::not_safe(&view, NOW, patience), &IDLE, Failed::Refused);
    assert_eq!(refused, tour(Plan::not_safe(&view, NOW, patience), &IDLE, Failed::Otherwise), "{pools:?}");
    refused
}

#[test]
fn of_two_endpoints_the_one_with_fewer_requests_in_flight_is_asked() {
    let view = backend(&["uuu"], Routing::Serving);
    let busy: First = First(|id| [5, 3, 0][id as usize]); // the third is not among the two
    assert_eq!(Plan::safe(&view, NOW, PoolIndex(0)).next(&busy).unwrap().tally.id, EndpointId(1));
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
        assert_eq!(read(pools, Routing::Serving, Failed::Otherwise), places, "{pools:?}");
    }
}

#[test]
fn a_suspect_endpoint_is_asked_after_everyone_who_is_not() {
    for (pools, places) in [
        (&["su", "u"][..], &[1, 2, 0][..]), // another of the pool first, then another pool
        (&["s", "u"], &[1, 0]),
        (&["s", "s"], &[0, 1]),  // the serving pool before another one
        (&["s"], &[0, 0]),       // with nowhere else to go a suspicion changes nothing
        (&["s", "~u"], &[0, 1]), // and one that is behind comes after it
        (&["s", "d", "u"], &[2, 0]),
    ] {
        assert_eq!(read(pools, Routing::Serving, Failed::Otherwise), places, "{pools:?}");
    }
}

#[test]
fn a_stale_pool_is_asked_last() {
    assert_eq!(read(&["u", "~u", "u"], Routing::Serving, Failed::Otherwise), [0, 2, 1]);
    assert_eq!(read(&["~u", "u"], Routing::Serving, Failed::Otherwise), [0, 1], "not left for it once it serves");
}

#[test]
fn what_is_drained_is_asked_by_nobody() {
    for routing in [Routing::Serving, Routing::Panic, Routing::Held] {
        for pools in [&["xu", "!u"][..], &["xu", "x"], &["xu", "!d", "!s"]] {
            let asked = read(pools, routing, Failed::Otherwise);
            assert!(!asked.is_empty() && asked.iter().all(|id| *id == 1), "{pools:?} {routing:?}: {asked:?}");
            assert_eq!(write(pools, routing, Patience::Over), [1], "{pools:?} {routing:?}");
        }
    }
}

#[test]
fn one_that_warms_up_gets_its_share_only() {
    let view = backend(&["wu"], Routing::Serving);
    let first = |choose: &dyn Fn(usize) -> usize| {
        struct By<'a>(&'a dyn Fn(usize) -> usize);
        impl Choose for By<'_> {
            fn in_flight(&self, endpoint: &EndpointView) -> i64 {
                endpoint.tally.id.0.into() // the one that warms up would be chosen
            }
            fn random(&self, bound: usize) -> usize {
                (self.0)(bound)
            }
        }
        Plan::safe(&view, NOW, PoolIndex(0)).next(&By(choose)).unwrap().tally.id.0
    };
    // A tenth of its time is over.
    assert_eq!(first(&|bound| if bound == 1_000 { 99 } else { 0 }), 0);
    assert_eq!(first(&|bound| if bound == 1_000 { 100 } else { 0 }), 1);
    assert_eq!(read(&["w", "u"], Routing::Serving, Failed::Otherwise)[0], 0, "alone in its pool it takes all");
}

#[test]
fn one_in_probation_is_asked_when_it_is_tried_and_not_otherwise() {
    let view = backend(&["pu", "u"], Routing::Serving);
    assert_eq!(tour(Plan::safe(&view, NOW, PoolIndex(0)), &IDLE, Failed::Otherwise), [1, 2]);
    let tried = Plan::safe(&view, NOW, PoolIndex(0)).trying(Some((PoolIndex(0), 0)));
    assert_eq!(tour(tried, &IDLE, Failed::Otherwise), [0, 1, 2]);
}

#[test]
fn a_client_that_has_moved_is_served_there_first() {
    let view = backend(&["u", "uu"], Routing::Serving);
    assert_eq!(tour(Plan::safe(&view, NOW, PoolIndex(1)), &IDLE, Failed::Otherwise), [1, 2, 0]);
}

#[test]
fn while_an_operator_holds_a_pool_its_endpoints_come_first_whatever_their_health() {
    for (pools, places) in [
        (&["du", "u"][..], &[1, 0, 2][..]),
        (&["dd", "u"], &[0, 1, 2]),
        (&["d", "u"], &[0, 1]),
        (&["dsu", "d"], &[2, 1, 0]),
    ] {
        assert_eq!(read(pools, Routing::Held, Failed::Otherwise), places, "{pools:?}");
    }
}

#[test]
fn a_pool_that_refuses_counts_as_one_attempt_whichever_pool_it_is() {
    for (pools, places) in [
        (&["uuuuu", "u"][..], &[0, 1, 2, 3, 4, 5][..]),
        (&["uu", "uuu", "u"], &[0, 1, 2, 3, 4, 5]),
        (&["u", "u"], &[0, 1]),
    ] {
        assert_eq!(read(pools, Routing::Serving, Failed::Refused), places, "{pools:?}");
    }
}

#[test]
fn in_panic_what_is_up_comes_first_then_the_serving_pool_then_the_rest() {
    for (pools, how, places) in [
        (&["dd", "du"][..], Failed::Otherwise, &[3, 0, 1][..]),
        (&["d", "d"], Failed::Otherwise, &[0, 1]),
        (&["dddd", "d"], Failed::Otherwise, &[0, 1, 2]),
        (&["dddd", "dd"], Failed::Refused, &[0, 1, 2, 3, 4, 5]),
        (&["ds", "ud"], Failed::Otherwise, &[2, 1, 0]),
    ] {
        assert_eq!(read(pools, Routing::Panic, how), places, "{pools:?}");
    }
}

#[test]
fn a_write_stays_in_the_pool_that_takes_writes() {
    for (pools, routing, places) in [
        (&["uuu", "u"][..], Routing::Serving, &[0, 1, 2][..]),
        (&["du", "u"], Routing::Serving, &[1]),
        (&["du", "u"], Routing::Panic, &[1, 0]),
        (&["dd", "u"], Routing::Panic, &[0, 1]),
        (&["ds", "u"], Routing::Held, &[1, 0]),
    ] {
        assert_eq!(write(pools, routing, Patience::Left), places, "{pools:?} {routing:?}");
    }
}

#[test]
fn a_write_waits_rather_than_go_to_a_suspect_endpoint_while_another_pool_could_take_it() {
    for (pools, waiting, at_last) in [
        (&["s", "u"][..], &[][..], &[0][..]),
        (&["su", "u"], &[1, 0], &[1, 0]), // another of that pool is not suspect
        (&["s", "d"], &[0], &[0]),        // no other pool could take it
        (&["s", "!u"], &[0], &[0]),
        (&["s"], &[0], &[0]),
    ] {
        assert_eq!(write(pools, Routing::Serving, Patience::Left), waiting, "{pools:?}");
        assert_eq!(write(pools, Routing::Serving, Patience::Over), at_last, "{pools:?}");
    }
}

#[test]
fn while_writes_pause_or_are_refused_they_go_nowhere() {
    let nowhere =
        [(Writes::Pausing { to: PoolIndex(1), until: NOW }, true), (Writes::Refused(ReadOnly::Commanded), false)];
    for (writes, waits) in nowhere {
        let mut view = backend(&["u", "u"], Routing::Serving);
        Arc::get_mut(&mut view.snapshot).unwrap().writes = writes;
        assert!(Plan::not_safe(&view, NOW, Patience::Over).next(&IDLE).is_none(), "{writes:?}");
        assert_eq!(is_worth_a_wait(&view, Class::Unsafe), waits, "{writes:?}");
        assert!(!is_worth_a_wait(&view, Class::Safe));
    }
}

#[test]
fn writes_need_not_go_where_reads_go() {
    let mut view = backend(&["u", "uu"], Routing::Serving);
    Arc::get_mut(&mut view.snapshot).unwrap().writes = Writes::To(PoolIndex(1));
    assert_eq!(tour(Plan::not_safe(&view, NOW, Patience::Left), &IDLE, Failed::Refused), [1, 2]);
}

#[test]
fn no_request_is_sent_to_more_than_so_many_endpoints() {
    let asked = read(&["uuuuuuuuuuuuuuuuuuuuuuuu", "u"], Routing::Serving, Failed::Refused);
    assert_eq!(asked.len(), TRIED_MAX);
}

#[test]
fn a_pool_without_an_endpoint_that_is_up_is_passed_over() {
    assert_eq!(read(&["dd", "u"], Routing::Serving, Failed::Otherwise), [2]);
    assert_eq!(read(&["dd"], Routing::Serving, Failed::Otherwise), [0_u32; 0]);
}

/// Where a hedge goes while `running` attempts run; the first of them is at the first endpoint.
fn hedge(pools: &[&str], routing: Routing, far: Far, running: usize) -> Option<(u32, Reach)> {
    let view = backend(pools, routing);
    let mut plan = Plan::safe(&view, NOW, PoolIndex(0));
    plan.next(&IDLE)?;
    plan.hedge(&IDLE, far, running).map(|(place, reach)| (place.tally.id.0, reach))
}

#[test]
fn a_hedge_stays_in_its_pool_if_it_can_and_goes_only_where_a_page_is_as_good() {
    use Reach::{Away, Home};
    for (pools, far, goes) in [
        (&["uu", "u"][..], Far::AnyPool, Some((1, Home))),
        (&["u", "u"], Far::AnyPool, Some((1, Away))),
        (&["u", "u"], Far::ItsPool, None), // whoever wrote lately
        (&["uu", "u"], Far::ItsPool, Some((1, Home))),
        (&["us", "u"], Far::AnyPool, Some((2, Away))), // not to one that is suspect
        (&["u", "~u", "u"], Far::AnyPool, Some((2, Away))),
        (&["u", "~u"], Far::AnyPool, None),
        (&["u", "!u"], Far::AnyPool, None),
        (&["u", "d"], Far::AnyPool, None),
        (&["u", "s"], Far::AnyPool, None),
        (&["u"], Far::AnyPool, None), // never to the same endpoint twice
    ] {
        assert_eq!(hedge(pools, Routing::Serving, far, 1), goes, "{pools:?} {far:?}");
    }
}

#[test]
fn a_hedge_obeys_whoever_holds_a_pool_and_none_is_sent_in_panic() {
    assert_eq!(hedge(&["u", "u"], Routing::Held, Far::AnyPool, 1), None);
    assert_eq!(hedge(&["uu", "u"], Routing::Held, Far::AnyPool, 1), Some((1, Reach::Home)));
    assert_eq!(hedge(&["uu", "u"], Routing::Panic, Far::AnyPool, 1), None);
}

#[test]
fn a_hedge_is_one_of_the_attempts_that_a_request_may_cost() {
    let view = backend(&["uuuuu", "u"], Routing::Serving);
    let mut plan = Plan::safe(&view, NOW, PoolIndex(0));
    plan.next(&IDLE);
    assert!(plan.hedge(&IDLE, Far::AnyPool, 1).is_some() && plan.hedge(&IDLE, Far::AnyPool, 2).is_some());
    assert!(plan.hedge(&IDLE, Far::AnyPool, 3).is_none());
    plan.note_failed(EndpointId(0), Failed::Otherwise);
    assert!(plan.hedge(&IDLE, Far::AnyPool, 2).is_none(), "one has failed, and two run");
    assert_eq!(plan.next(&IDLE).unwrap().tally.id, EndpointId(3), "where the hedges are counts as tried");
    let mut write = Plan::not_safe(&view, NOW, Patience::Left);
    write.next(&IDLE);
    assert!(write.hedge(&IDLE, Far::AnyPool, 1).is_none());
}
