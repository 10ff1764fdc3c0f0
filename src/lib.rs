//! Hotspare: a health-aware reverse proxy. Modules stand here by floor, lowest first; each may use its own and those
//! above it in this list (ARCHITECTURE.md, "Floors"; `tests/tidy.rs` checks).

#![forbid(unsafe_code)]

// Floor 0: pure.
pub mod domain;
// Floor 1.
pub mod config;
pub mod runtime;
pub mod telemetry;
// Floor 2.
pub mod upstream;
// Floor 3.
pub mod health;
// Floor 4.
pub mod proxy;
// Floor 6: wiring.
pub mod cli;
