//! One endpoint's health.
use super::units::Moment;

/// An endpoint's health, with what each state needs to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// No probe has ended yet; counts as up.
    Unproven,
    /// `failures` probes failed in a row.
    Up {
        failures: u32,
    },
    Down(Out),
    /// Ejected before; `good` probes in a row passed since its time was over.
    Probation {
        good: u32,
    },
}

/// How an endpoint went down decides how it may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// Back after `rise` passes in a row.
    ByProbes { passes: u32 },
    /// Real requests were refused a connection; back after `rise` passes in a row.
    ByRefusals { passes: u32 },
    /// Ejected by its tally: to probation, not before `until`, with `rise` probes passed in a row.
    Ejected { until: Moment, passes: u32 },
}

impl Health {
    /// The word for it in metrics, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Health::Unproven => "unproven",
            Health::Up { .. } => "up",
            Health::Down(_) => "down",
            Health::Probation { .. } => "probation",
        }
    }

    /// Whether ordinary traffic may go there.
    pub const fn counts_as_up(self) -> bool {
        match self {
            Health::Unproven | Health::Up { .. } => true,
            Health::Down(_) | Health::Probation { .. } => false,
        }
    }
}
