//! Simulation: the real decision core in a simulated world, by seeds. `SEED=n cargo test --test sim` replays one run.
//!
//! How much is run is said by `SIM`: nothing, for `cargo test`; `full`, for `make test`; `slow`, for `make slow`. `KEEP_GOING=1`
//! collects failing seeds by the rule they break instead of ending at the first; `TELL=1` prints every transition.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod costs;
mod draw;
mod endpoint;
mod healing;
mod hurt_and_heal;
mod items;
mod named;
mod plan;
mod probes;
mod reads;
mod requests;
mod rng;
mod scale;
mod shrink;
mod table;
mod view;
mod watch;
mod way_back;
mod world;
mod writes;
