//! A pool's health, derived from its endpoints'; and whether it is behind by too much.
//!
//! Endpoints that an operator drained are out of the count: a pool is judged by those that may take requests.
//!
//! Not here: which pool serves (`serving`), what failback remembers of a pool (`failback`).

use super::endpoint::{Alone, Doubt, Endpoint};
use super::failback::Record;
use super::setup::{PoolWrites, Rules};
use super::snapshot::{Drained, Lagging};
use super::transition::Evidence;
use super::units::{Moment, Name, Percent};
use std::time::Duration;

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

/// One pool: its endpoints in the order of the setup, and what was last told of it.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub name: Name,
    pub endpoints: Vec<Endpoint>,
    pub writes: PoolWrites,
    pub health: PoolHealth,
    pub lagging: Lagging,
    /// All of its endpoints are.
    pub drained: Drained,
    pub record: Record,
}

impl Pool {
    /// The endpoints that are not drained; all, where all are.
    fn counted(&self) -> impl Iterator<Item = &Endpoint> {
        let all_drained = self.endpoints.iter().all(|endpoint| endpoint.drained == Drained::Yes);
        self.endpoints.iter().filter(move |endpoint| all_drained || endpoint.drained == Drained::No)
    }

    /// How many of those count as up.
    pub(super) fn up(&self) -> u32 {
        count(self.counted().filter(|endpoint| endpoint.counts_as_up()).count())
    }

    /// How many those are.
    pub(super) fn of(&self) -> u32 {
        count(self.counted().count())
    }

    /// What its endpoints make of it.
    pub(super) fn judge(&self, min_up: Percent) -> PoolHealth {
        judge(self.up(), self.of(), min_up)
    }

    /// Whether the rules may send requests there.
    pub(super) fn may_serve(&self) -> bool {
        self.health.is_usable() && self.drained == Drained::No
    }

    /// Whether no smaller share of its endpoints is up than of `other`'s.
    pub(super) fn is_as_well_as(&self, other: &Pool) -> bool {
        u64::from(self.up()) * u64::from(other.of()) >= u64::from(other.up()) * u64::from(self.of())
    }

    pub(super) fn evidence(&self, min_up: Percent) -> Evidence {
        Evidence::Endpoints { up: self.up(), of: self.of(), needed: needed(self.of(), min_up) }
    }

    /// When an endpoint of it last answered well.
    pub(super) fn last_well(&self) -> Option<Moment> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.takes_requests())
            .filter_map(|endpoint| endpoint.last_well)
            .max()
    }

    /// When the first evidence came against the endpoint that made it unusable: the newest of those that are not up.
    pub(super) fn first_evidence(&self) -> Option<Moment> {
        let out = self.endpoints.iter().filter(|endpoint| endpoint.drained == Drained::No && !endpoint.counts_as_up());
        out.filter_map(|endpoint| match endpoint.doubt {
            Doubt::None => None,
            Doubt::Since(since) => Some(since),
        })
        .max()
    }

    /// How far behind the endpoint is that is furthest; `None` where none said.
    pub(super) fn behind(&self) -> Option<Duration> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.takes_requests())
            .filter_map(|endpoint| endpoint.lag.behind())
            .max()
    }

    /// Whether it is behind by too much. One that does not say is, unless it is the first: that one is what the others are
    /// measured by.
    pub(super) fn judge_lag(&self, rank: usize, rules: &Rules) -> Lagging {
        let Some(most) = rules.max_lag else { return Lagging::Fresh };
        let unknown = rank > 0
            && self
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.takes_requests())
                .any(|endpoint| endpoint.lag.is_unknown());
        if unknown || self.behind().is_some_and(|behind| behind > most) { Lagging::Stale } else { Lagging::Fresh }
    }

    /// Whether everything that was written elsewhere is there: each endpoint that is up said so, after the last write there.
    pub(super) fn is_in_sync(&self, most: Duration, last_write: Option<Moment>) -> bool {
        let mut up = self.endpoints.iter().filter(|endpoint| endpoint.takes_requests()).peekable();
        up.peek().is_some() && up.all(|endpoint| endpoint.lag.is_within(most, last_write))
    }

    /// Unsafe requests that run there, and since when that is known.
    pub(super) fn writes_running(&self) -> (u32, Option<Moment>) {
        let running = self.endpoints.iter().map(|endpoint| endpoint.writes_running.0).fold(0, u32::saturating_add);
        (running, self.endpoints.iter().map(|endpoint| endpoint.writes_running.1).min())
    }

    /// Whether an endpoint is the last that counts as up, of `up` in all pools.
    pub(super) fn alone(&self, endpoint: usize, up: usize) -> Alone {
        if up == 1 && self.endpoints[endpoint].takes_requests() { Alone::Yes } else { Alone::No }
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
