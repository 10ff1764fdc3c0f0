//! A failing plan with as little in it as still fails.

use crate::plan::Plan;
use crate::watch::Broken;
use crate::world::World;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Runs a plan; a panic of the core is a broken rule too.
pub fn run(plan: &Plan) -> (Result<(), Broken>, Option<World>) {
    let mut world = World::new(plan.clone());
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(found) => (found, Some(world)),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let what = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            (Err(Broken { rule: "panic", at: world.now, what: what.unwrap_or_default() }), None)
        }
    }
}

/// Leaves out what it fails without, one thing at a time; then lets it end sooner.
pub fn shortest(plan: &Plan, broken: &Broken) -> (Plan, Broken) {
    let mut best = (plan.clone(), broken.clone());
    let try_plan = |smaller: Plan, best: &mut (Plan, Broken)| match run(&smaller).0 {
        Err(found) if found.rule == best.1.rule => {
            *best = (smaller, found);
            true
        }
        Ok(()) | Err(_) => false,
    };
    let mut again = true;
    while std::mem::take(&mut again) {
        for item in (0..best.0.items.len()).rev() {
            let mut smaller = best.0.clone();
            smaller.items.remove(item);
            again |= try_plan(smaller, &mut best);
        }
    }
    let calmer: [fn(&mut Plan); 5] = [
        |plan| plan.pace.lost = 0.0,
        |plan| plan.traffic.noise = 0.0,
        |plan| plan.traffic.long_writes = 0.0,
        |plan| plan.traffic.rate = 0.0,
        |plan| plan.pools.truncate(2),
    ];
    for calm in calmer {
        let mut smaller = best.0.clone();
        calm(&mut smaller);
        let fits = smaller.items.iter().all(|item| match &item.what {
            crate::plan::What::Fault { .. } => true,
            crate::plan::What::Lag { pool, .. } => *pool < smaller.pools.len(),
            crate::plan::What::Order(_) | crate::plan::What::Restart => true,
            crate::plan::What::Reload(reload) => match reload {
                crate::plan::Reload::Same => true,
                crate::plan::Reload::Add { pool } | crate::plan::Reload::Remove { pool } => *pool < smaller.pools.len(),
            },
        });
        if fits {
            try_plan(smaller, &mut best);
        }
    }
    let mut sooner = best.0.clone();
    sooner.hurt = best.1.at.since_start().min(sooner.hurt) + Duration::from_millis(1);
    try_plan(sooner, &mut best);
    best
}

/// What is needed to look into it.
pub fn report(plan: &Plan, broken: &Broken) -> String {
    let (least, found) = shortest(plan, broken);
    let mut said = format!("seed {}: {broken}\n", plan.seed);
    let first = "the shortest schedule that breaks it";
    let scale = std::env::var("SIM").map(|scale| format!("SIM={scale} ")).unwrap_or_default();
    let _ = writeln!(
        said,
        "{first}: {found}\n  {:?}\n  {:?}\n  {:?} {:?}",
        least.rules, least.pools, least.pace, least.traffic
    );
    let _ = writeln!(said, "  {:?}, hurt until {:?}, then {:?}", least.reports_lag, least.hurt, least.heal);
    for item in &least.items {
        let _ = writeln!(said, "  at {:?}: {:?}", item.at, item.what);
    }
    let _ = writeln!(said, "replay: {scale}SEED={} cargo test --test sim", plan.seed);
    said
}
