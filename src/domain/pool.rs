//! A pool's health, derived from its endpoints'.
//!
//! Not here: which pool serves, and what failback remembers of a pool (`serving`).

use super::endpoint::Endpoint;
use super::serving::Record;
use super::transition::Evidence;
use super::units::{Name, Percent};

/// A pool's health. `Up` and `Degraded` are *usable*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolHealth {
    /// Every endpoint is up.
    Up,
    /// Some are not, but at least `min_up` are.
    Degraded,
    Down,
}

impl PoolHealth {
    /// The word for it in metrics, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            PoolHealth::Up => "up",
            PoolHealth::Degraded => "degraded",
            PoolHealth::Down => "down",
        }
    }

    /// Whether the pool may serve.
    pub const fn is_usable(self) -> bool {
        match self {
            PoolHealth::Up | PoolHealth::Degraded => true,
            PoolHealth::Down => false,
        }
    }
}

/// One pool: its endpoints in the order of the setup, and what was last told of its health.
#[derive(Debug)]
pub(super) struct Pool {
    pub name: Name,
    pub endpoints: Vec<Endpoint>,
    pub health: PoolHealth,
    pub record: Record,
}

impl Pool {
    /// How many endpoints count as up.
    pub(super) fn up(&self) -> u32 {
        count(self.endpoints.iter().filter(|endpoint| endpoint.counts_as_up()).count())
    }

    /// How many endpoints there are.
    pub(super) fn of(&self) -> u32 {
        count(self.endpoints.len())
    }

    /// What its endpoints make of it.
    pub(super) fn judge(&self, min_up: Percent) -> PoolHealth {
        judge(self.up(), self.of(), min_up)
    }

    /// Whether no smaller share of its endpoints is up than of `other`'s.
    pub(super) fn is_as_well_as(&self, other: &Pool) -> bool {
        u64::from(self.up()) * u64::from(other.of()) >= u64::from(other.up()) * u64::from(self.of())
    }

    pub(super) fn evidence(&self, min_up: Percent) -> Evidence {
        Evidence::Endpoints { up: self.up(), of: self.of(), needed: needed(self.of(), min_up) }
    }
}

fn judge(up: u32, of: u32, min_up: Percent) -> PoolHealth {
    if up < needed(of, min_up) {
        PoolHealth::Down
    } else if up < of {
        PoolHealth::Degraded
    } else {
        PoolHealth::Up
    }
}

/// How many of so many endpoints must be up: `min_up` of them, rounded up, and at least one; with none up nobody can serve.
fn needed(of: u32, min_up: Percent) -> u32 {
    let share = (u64::from(of) * u64::from(min_up.0)).div_ceil(100);
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_up_is_rounded_up_and_at_least_one() {
        let needed = |of, percent| needed(of, Percent(percent));
        assert_eq!([needed(1, 0), needed(3, 0), needed(1, 50), needed(3, 50), needed(4, 50)], [1, 1, 1, 2, 2]);
        assert_eq!([needed(3, 67), needed(3, 66), needed(3, 100), needed(u32::MAX, 100)], [3, 2, 3, u32::MAX]);
    }

    #[test]
    fn a_pool_is_up_with_all_degraded_with_enough_and_down_with_fewer() {
        let judged = [4, 3, 2, 1, 0].map(|up| judge(up, 4, Percent(50)));
        assert_eq!(
            judged,
            [PoolHealth::Up, PoolHealth::Degraded, PoolHealth::Degraded, PoolHealth::Down, PoolHealth::Down]
        );
        assert_eq!(judge(0, 1, Percent(0)), PoolHealth::Down);
    }
}
