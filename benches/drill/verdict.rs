//! What Hotspare must show in a row, and whether its runs did.

use crate::fault::Fault;
use crate::sums::Sums;
use hotspare::telemetry::words::count;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// At most this, in each run.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Failed.
    pub gets: usize,
    pub posts: usize,
    /// During the fault.
    pub p99: Option<Duration>,
    /// Of the serving pool.
    pub changes: Option<usize>,
}

impl Bound {
    pub const fn failed(gets: usize, posts: usize) -> Bound {
        Bound { gets, posts, p99: None, changes: None }
    }

    pub const fn p99(self, milliseconds: u64) -> Bound {
        Bound { p99: Some(Duration::from_millis(milliseconds)), ..self }
    }

    pub const fn changes(self, most: usize) -> Bound {
        Bound { changes: Some(most), ..self }
    }

    /// By how many requests a run misses it: those that failed, and those that were slower, beyond what is allowed.
    fn missed_by(&self, sums: &Sums) -> usize {
        let slow = self.p99.map_or(0, |p99| sums.slower_than(p99).saturating_sub(sums.allowed_slower()));
        sums.gets.failed.saturating_sub(self.gets) + sums.posts.failed.saturating_sub(self.posts) + slow
    }
}

impl Display for Bound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let at_most = |most: usize| if most > 0 { format!("≤ {most}") } else { "0".to_owned() };
        write!(f, "{}/{}", at_most(self.gets), at_most(self.posts))?;
        if let Some(p99) = self.p99 {
            write!(f, ", ≤ {}", crate::table::seconds(p99))?;
        }
        if let Some(changes) = self.changes {
            write!(f, ", ≤ {}", count(changes, "change"))?;
        }
        Ok(())
    }
}

/// Why a row's cell is missed, if it is. One run in three may miss it by one request.
pub fn missed(fault: &Fault, runs: &[Sums]) -> Option<String> {
    let bound = fault.bound?;
    let misses: Vec<usize> = runs.iter().map(|sums| bound.missed_by(sums)).collect();
    let is_forgiven = misses.iter().all(|by| *by <= 1) && misses.iter().sum::<usize>() <= runs.len() / 3;
    let most_changes = runs.iter().map(|sums| sums.changes).max().unwrap_or_default();
    let mut reasons = Vec::new();
    if !is_forgiven {
        let by: Vec<String> = misses.iter().map(usize::to_string).collect();
        reasons.push(format!("by {} requests, run by run", by.join(", ")));
    }
    if bound.changes.is_some_and(|most| most_changes > most) {
        reasons.push(format!("by {}", count(most_changes, "change")));
    }
    (!reasons.is_empty()).then(|| format!("{}: {bound} is missed {}", fault.name, reasons.join(", and ")))
}
