//! Simulation: the real decision core in a simulated world, by seeds. `SEED=n cargo test --test sim` replays one run.
//!
//! How much is run is said by `SIM`: nothing, for `cargo test`; `full`, for `make test`; `slow`, for `make slow`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod costs;
mod endpoint;
mod healing;
mod items;
mod plan;
mod probes;
mod reads;
mod requests;
mod rng;
mod view;
mod watch;
mod way_back;
mod world;
mod writes;

#[test]
fn first() {
    use plan::{Fault, Heal, Plan};
    use std::time::Duration;
    let s = Duration::from_secs;
    for rate in [0.0, 1.0, 5.0, 20.0, 200.0, 5000.0] {
        for fault in [Fault::Crash, Fault::Freeze, Fault::LyingCheck { share: 0.34 }, Fault::Slow { share: 0.3, takes: s(3) }] {
            let mut plan = Plan::quiet(1, rate, s(200));
            plan.heal = Heal::Wait;
            let plan = plan.fault(fault, &[(0, 0)], s(100), s(130));
            let mut world = world::World::new(plan);
            let found = world.run();
            eprintln!("{rate} {fault:?}: {found:?} at {} {:?}", world.now, world.costs);
        }
    }
}
