//! Ids and time as the core sees them. Not here: reading a clock (`runtime::clock`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A name from the configuration: of a backend, a pool, or an endpoint (its address as written there).
pub type Name = Arc<str>;

/// A point on the process's monotonic clock, counted from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// When the process started.
    pub const ZERO: Moment = Moment(0);

    /// The moment that lies `span` after the start of the process.
    pub const fn at(span: Duration) -> Moment {
        Moment(nanos(span))
    }

    /// How long after the start of the process.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after `earlier`; zero if it is not.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `span` later.
    pub const fn after(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(span)))
    }
}

/// At most 584 years.
const fn nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos() as u64)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.3}s", self.since_start().as_secs_f64())
    }
}

/// One endpoint of one pool of one backend, for as long as it stays configured: kept over reloads, never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// A pool's place in its backend, by rank: 0 is the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolIndex(pub usize);

/// The number of the config in force, from 1; a reload that is accepted adds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Stands for a client (IPv6: its /64), or for a site and path without query: a hash, so that no bytes from outside are kept.
/// Two that share one are taken for the same, which makes evidence weaker, never stronger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

/// Whether a request may be repeated. Evidence of the two is kept apart: a full disk fails only writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// GET, HEAD, OPTIONS.
    Safe,
    /// Any other, and upgrades.
    Unsafe,
}

impl Class {
    pub const ALL: [Class; 2] = [Class::Safe, Class::Unsafe];

    /// The word for it in metrics, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Safe => "safe",
            Class::Unsafe => "unsafe",
        }
    }
}

/// One of each for safe and for unsafe requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerClass<T>([T; 2]);

impl<T> PerClass<T> {
    pub const fn new(safe: T, unsafe_: T) -> PerClass<T> {
        PerClass([safe, unsafe_])
    }
}

impl<T> std::ops::Index<Class> for PerClass<T> {
    type Output = T;

    fn index(&self, class: Class) -> &T {
        &self.0[class as usize]
    }
}

impl<T> std::ops::IndexMut<Class> for PerClass<T> {
    fn index_mut(&mut self, class: Class) -> &mut T {
        &mut self.0[class as usize]
    }
}

/// A share in whole percent, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u8);

/// An hour: how far back ejections and failovers are held against an endpoint or a pool.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// `span` for the first time, twice that for the second, and so on; at most `longest`, or `span` where that is longer.
pub(super) fn doubled(span: Duration, times: u32, longest: Duration) -> Duration {
    let factor = 1u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX);
    span.saturating_mul(factor).min(longest.max(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_begins_with_the_span_and_ends_at_the_longest() {
        let doubled = |times| doubled(Duration::from_secs(10), times, Duration::from_secs(300)).as_secs();
        assert_eq!([0, 1, 2, 3, 5, 6, 33, u32::MAX].map(doubled), [10, 10, 20, 40, 160, 300, 300, 300]);
    }

    #[test]
    fn a_span_past_the_longest_stands() {
        assert_eq!(doubled(HOUR, 3, Duration::from_secs(300)), HOUR);
        assert_eq!(doubled(Duration::ZERO, 9, HOUR), Duration::ZERO);
    }
}
