//! Metrics and logs.
pub mod cells;
pub mod metrics;
