//! Promises with a name: noise moves nobody, flapping moves few, one client or one path moves nothing, and a fault that comes
//! and goes is noticed (docs/failover.md, §7: 5, 6, 10).
//!
//! Not here: schedules that are drawn (`hurt_and_heal`), what faults cost (`table`).

use crate::costs::Costs;
use crate::plan::{Fault, Flap, Plan};
use crate::scale::{Scale, seeds, span};
use crate::shrink;
use hotspare::domain::Moment;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Changes of the serving pool in six hours of flapping. The rule says 12; a check that lies for ten minutes at a time gets one
/// more, for nobody asks a pool that does not serve, and its hold-down runs out while it is broken.
const MOST_CHANGES: u64 = 13;

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Runs it to its end; every rule holds meanwhile.
fn cost(plan: &Plan) -> Costs {
    let (found, world) = shrink::run(plan);
    match (found, world) {
        (Ok(()), Some(world)) => world.costs,
        (found, _) => panic!("{found:?}\n{plan:?}"),
    }
}

#[test]
fn noise_moves_nobody_in_a_day() {
    for seed in seeds(Scale { plain: 1, full: 5, slow: 200 }) {
        let mut plan = Plan::quiet(seed, 20.0, span(HOUR, DAY));
        plan.pace.lost = 0.01;
        plan.traffic.noise = 0.001;
        plan.traffic.long_writes = 0.02;
        let costs = cost(&plan);
        assert_eq!(costs.changes, 0, "seed {seed}: {costs:?}");
    }
}

/// By then each endpoint has had its first probe, and its timeout.
const FIRST_ROUND: Moment = Moment::at(Duration::from_secs(3));

#[test]
fn lost_probes_move_nobody_in_a_day_without_traffic() {
    for seed in seeds(Scale { plain: 1, full: 20, slow: 500 }) {
        let mut plan = Plan::quiet(seed, 0.0, span(HOUR, DAY));
        plan.pace.lost = 0.001;
        let costs = cost(&plan);
        // One in a thousand loses its very first probe, which is then all that is known of its endpoint: users begin at the spare, where
        // nobody was before, and return.
        let began_there = costs.first_failover.is_some_and(|at| at <= FIRST_ROUND);
        let allowed = if began_there { 2 } else { 0 };
        assert!(costs.changes <= allowed, "seed {seed}: {costs:?}");
    }
}

#[test]
fn a_primary_that_flaps_for_six_hours_moves_its_users_at_most_twelve_times() {
    for seed in seeds(Scale { plain: 1, full: 1, slow: 20 }) {
        let six_hours = span(HOUR, 6 * HOUR);
        // From 100 ms to 10 min, in equal ratios.
        let last = if std::env::var_os("SIM").is_some() { 13 } else { 3 };
        let periods =
            (0..=last).map(|step| Duration::from_millis(100).mul_f64(6_000f64.powf(f64::from(step) / f64::from(last))));
        for period in periods {
            for (how, rate) in [(Flap::Refuses, 0.0), (Flap::Refuses, 20.0), (Flap::Lies, 5.0), (Flap::Lies, 20.0)] {
                let plan = Plan::quiet(seed, rate, six_hours);
                let plan = plan.fault(Fault::Flapping { period, how }, &[(0, 0)], minutes(2), six_hours);
                let costs = cost(&plan);
                assert!(costs.changes <= MOST_CHANGES, "seed {seed}, {period:?}, {how:?}, {rate}/s: {costs:?}");
            }
        }
    }
}

#[test]
fn one_client_or_one_path_among_others_moves_nothing() {
    for seed in seeds(Scale { plain: 1, full: 5, slow: 50 }) {
        for rate in [5.0, 20.0, 200.0] {
            for fault in [Fault::BrokenClient, Fault::BrokenPaths { paths: 1 }] {
                let until = span(minutes(12), HOUR);
                let plan = Plan::quiet(seed, rate, until).fault(fault, &[(0, 0)], minutes(2), until);
                let costs = cost(&plan);
                assert_eq!((costs.changes, costs.ejections), (0, 0), "seed {seed}, {fault:?}, {rate}/s: {costs:?}");
            }
        }
    }
}

#[test]
fn paths_that_fail_at_both_pools_move_nothing() {
    for seed in seeds(Scale { plain: 1, full: 5, slow: 50 }) {
        let until = span(minutes(12), HOUR);
        let mut plan = Plan::quiet(seed, 20.0, until);
        plan.traffic.paths = 5;
        let plan = plan.fault(Fault::BrokenPaths { paths: 3 }, &[(0, 0), (1, 0)], minutes(2), until);
        let costs = cost(&plan);
        assert_eq!((costs.changes, costs.ejections), (0, 0), "seed {seed}: {costs:?}");
    }
}

/// 30 % of reads fail for 200 ms once a minute, half an hour long.
fn disk(seed: u64) -> Plan {
    let begin = 2;
    let mut plan = Plan::quiet(seed, 200.0, minutes(begin + 30));
    plan.traffic.writes = 0.0;
    for minute in begin..begin + 30 {
        let until = minutes(minute) + Duration::from_millis(200);
        plan = plan.fault(Fault::LyingCheck { share: 0.3 }, &[(0, 0)], minutes(minute), until);
    }
    plan
}

#[test]
fn a_fifth_of_a_second_of_trouble_a_minute_is_intermittent_within_half_an_hour() {
    for seed in seeds(Scale { plain: 1, full: 5, slow: 50 }) {
        let costs = cost(&disk(seed));
        assert!(costs.intermittent_at.is_some(), "seed {seed}: {costs:?}");
    }
}

/// With no failover to count, each errored second counts for itself.
#[test]
fn and_so_it_is_where_there_is_nowhere_to_fail_over_to() {
    for seed in seeds(Scale { plain: 1, full: 5, slow: 50 }) {
        let costs = cost(&disk(seed).fault(Fault::Crash, &[(1, 0)], minutes(1), minutes(40)));
        assert_eq!(costs.changes, 0, "seed {seed}: {costs:?}");
        assert!(costs.intermittent_at.is_some(), "seed {seed}: {costs:?}");
    }
}
