//! Worker threads, tasks, clock, signals, drain.
pub mod clock;
