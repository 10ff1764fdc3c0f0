//! What a run cost its users, and how often the serving pool changed.

use hotspare::domain::Moment;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    pub requests: u64,
    pub failed_reads: u64,
    pub failed_writes: u64,
    /// Writes that got the read-only page.
    pub refused: u64,
    /// Served although an attempt failed or waited too long.
    pub rescued: u64,
    /// Changes of the serving pool.
    pub changes: u64,
    /// Away from a pool with which nothing was wrong.
    pub false_failovers: u64,
    pub ejections: u64,
    pub first_failover: Option<Moment>,
    pub intermittent_at: Option<Moment>,
    pub panics: u64,
    pub ramps: u64,
    pub restarts: u64,
    pub orders: u64,
    pub left: u64,
    pub isolations: u64,
    pub failbacks: u64,
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller's numbers are small and not below zero"
)]
pub fn whole(number: f64) -> u64 {
    number.round() as u64
}
