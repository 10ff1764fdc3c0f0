//! Plans drawn from a seed: the configuration, the traffic, and what goes wrong when.

use crate::plan::{BACKEND, Fault, Flap, Heal, Item, Pace, Place, Plan, PoolPlan, Reload, ReportsLag, Traffic, What};
use crate::plan::{endpoint_name, pool_name};
use crate::rng::Rng;
use hotspare::domain::*;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two minutes of trouble, or whatever `hurt` is.
pub fn plan(seed: u64, hurt: Duration, rates: &[f64]) -> Plan {
    let mut rng = Rng::new(seed);
    let pools = 2 + usize::from(rng.chance(0.25));
    let reports_lag = if rng.chance(0.3) { ReportsLag::Yes } else { ReportsLag::No };
    let rules = rules(&mut rng, reports_lag);
    let endpoints = |rng: &mut Rng| rng.pick(&[1, 1, 2, 3]);
    let pools: Vec<PoolPlan> = (0..pools)
        .map(|pool| PoolPlan {
            endpoints: endpoints(&mut rng),
            writes: if pool == 0 { AT_ONCE } else { writes(&mut rng) },
        })
        .collect();
    let rate = rng.pick(rates);
    let traffic = Traffic {
        rate,
        writes: rng.pick(&[0.0, 0.15, 0.15, 0.5]),
        noise: rng.pick(&[0.0, 0.0, 0.001]),
        long_writes: rng.pick(&[0.0, 0.05]),
        readers: 50,
        writers: 20,
        paths: rng.pick(&[5, 40]),
    };
    let interval = rng.pick(&[millis(500), secs(1), secs(2)]);
    let timeout = rng.pick(&[millis(500), secs(1)]);
    let pace = Pace { interval, fast: millis(250), timeout, lost: rng.pick(&[0.0, 0.0, 0.0, 0.01]) };
    let mut items = Vec::new();
    let all: Vec<Place> =
        (0..pools.len()).flat_map(|pool| (0..pools[pool].endpoints).map(move |at| (pool, at))).collect();
    // A day has more trouble than two minutes, and more peace between.
    let count = 1 + rng.below(5) + if hurt > secs(3_600) { 20 } else { 0 };
    for _ in 0..count {
        items.push(fault(&mut rng, hurt, &all, pools.len()));
    }
    if reports_lag == ReportsLag::Yes {
        let at = rng.between(secs(2), hurt);
        let until = (at + rng.between(secs(1), secs(30))).min(hurt);
        items.push(Item { at, what: What::Lag { pool: rng.below(pools.len()), until } });
    }
    if rng.chance(0.4) {
        for _ in 0..1 + rng.below(4) {
            items.push(Item { at: rng.between(secs(2), hurt), what: What::Order(order(&mut rng, &pools)) });
        }
    }
    if rng.chance(0.3) {
        let pool = rng.below(pools.len());
        let reload = rng.pick(&[Reload::Same, Reload::Same, Reload::Add { pool }, Reload::Remove { pool }]);
        items.push(Item { at: rng.between(secs(2), hurt), what: What::Reload(reload) });
    }
    if rng.chance(0.2) {
        items.push(Item { at: rng.between(secs(2), hurt), what: What::Restart });
    }
    let heal = if rng.chance(0.5) { Heal::Wait } else { Heal::Release };
    Plan { seed, rules, pools, pace, traffic, reports_lag, items, hurt, heal }
}

const AT_ONCE: PoolWrites = PoolWrites::After(Duration::ZERO);

fn writes(rng: &mut Rng) -> PoolWrites {
    rng.pick(&[AT_ONCE, AT_ONCE, PoolWrites::After(secs(10)), PoolWrites::Refuse])
}

fn rules(rng: &mut Rng, reports_lag: ReportsLag) -> Rules {
    let usual = Rules::default();
    let (after_writes, max_lag) = match reports_lag {
        ReportsLag::Yes => (AfterWrites::InSync, rng.pick(&[None, Some(secs(5))])),
        ReportsLag::No => (rng.pick(&[AfterWrites::Auto, AfterWrites::Auto, AfterWrites::Manual]), None),
    };
    Rules {
        stable_for: rng.pick(&[secs(2), secs(10), secs(60)]),
        ramp: rng.pick(&[Duration::ZERO, secs(2), secs(30)]),
        min_up: rng.pick(&[Percent(1), Percent(50), Percent(50), Percent(100)]),
        min_dwell: rng.pick(&[Duration::ZERO, secs(5), secs(5)]),
        failback: rng.pick(&[Failback::Auto, Failback::Auto, Failback::Auto, Failback::Manual]),
        on_intermittent: rng.pick(&[OnIntermittent::Report, OnIntermittent::Report, OnIntermittent::Eject]),
        write_drain: rng.pick(&[Duration::ZERO, secs(1), secs(1)]),
        after_writes,
        max_lag,
        ..usual
    }
}

fn fault(rng: &mut Rng, hurt: Duration, all: &[Place], pools: usize) -> Item {
    let share: f64 = rng.pick(&[0.1, 1.0 / 3.0, 0.5, 1.0]);
    let fault = match rng.below(17) {
        0 | 1 => Fault::Crash,
        2 | 3 => Fault::Freeze,
        4 => Fault::Pauses,
        5 => Fault::Slow { share: share.min(0.5), takes: secs(3) },
        6 => Fault::Errors { share },
        7 => Fault::Resets { share },
        8 => Fault::Cuts { share },
        9 => Fault::WritesFail,
        10 => Fault::LyingCheck { share },
        11 => Fault::FailedCheck,
        12 => Fault::Flapping { period: millis(100).mul_f64(6_000f64.powf(rng.unit())), how: Flap::Refuses },
        13 => Fault::Flapping { period: millis(100).mul_f64(6_000f64.powf(rng.unit())), how: Flap::Lies },
        14 => Fault::ProbesLost,
        15 => Fault::CutOff,
        _ => Fault::BrokenPaths { paths: 1 + rng.below(3) },
    };
    let pool = if rng.chance(0.6) { 0 } else { rng.below(pools) };
    let of_pool = || all.iter().copied().filter(|place| place.0 == pool);
    let hits = match rng.below(10) {
        0..=5 => of_pool().collect(),
        6 | 7 => vec![(pool, rng.below(of_pool().count()))],
        _ => all.to_vec(),
    };
    let at = rng.between(secs(2), hurt.mul_f64(0.9));
    let lasts = match rng.below(4) {
        0 => rng.between(millis(50), secs(3)),
        1 | 2 => rng.between(secs(3), secs(30)),
        _ => rng.between(secs(30), secs(120)),
    };
    Item { at, what: What::Fault { fault, hits, until: (at + lasts).min(hurt) } }
}

fn order(rng: &mut Rng, pools: &[PoolPlan]) -> Order {
    let backend: Name = BACKEND.into();
    let pool = rng.below(pools.len());
    let endpoint = endpoint_name(pool, rng.below(pools[pool].endpoints));
    let place = if rng.chance(0.5) { PlaceName::Pool(pool_name(pool)) } else { PlaceName::Endpoint(endpoint) };
    let to = rng.chance(0.7).then(|| pool_name(pool));
    let scope = if rng.chance(0.3) { Scope::All } else { Scope::Backend(backend.clone()) };
    let command = match rng.below(10) {
        0..=2 => Command::Failover { backend, to },
        3 => Command::Failback { backend },
        4 => Command::Hold { scope },
        5 | 6 => Command::Drain { place },
        7 => Command::ReadOnly { backend },
        8 => Command::Ack { backend },
        _ => Command::Release { scope },
    };
    let lasts = rng.chance(0.6).then(|| rng.between(secs(1), secs(60)));
    let force = if rng.chance(0.1) { Force::Yes } else { Force::No };
    Order { command, lasts, force }
}
