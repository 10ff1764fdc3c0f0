//! Who wrote to a backend lately: nobody is to miss their own comment because a ramp moved them. One table a backend, shared
//! by its workers, since a client's next request may come by another one.
//!
//! Written on unsafe requests alone, read during ramps alone. A client that shares a place with one that wrote after it is
//! forgotten early, and then moved like any other.
//!
//! Not here: what follows from it (`proxy::steer`).

use crate::domain::{Fingerprint, Moment};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Clients that are remembered at most; 64 KiB a backend.
const PLACES: usize = 8_192;
/// The low bits of a place hold the second, counted from 1: 194 days of them, and longer ago is not lately.
const SECOND_BITS: u32 = 24;
const SECOND: u64 = (1 << SECOND_BITS) - 1;

/// Clients that wrote, and in which second.
#[derive(Debug)]
pub struct Writers(Box<[AtomicU64]>);

impl Default for Writers {
    fn default() -> Writers {
        Writers((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Writers {
    /// That client writes.
    pub fn note(&self, client: Fingerprint, now: Moment) {
        let (place, entry) = (self.place(client), who(client) | second(now));
        // Mostly it is there: a write that changes nothing would still take the line away from the other workers.
        if place.load(Relaxed) != entry {
            place.store(entry, Relaxed);
        }
    }

    /// Whether that client has written within `span`.
    pub fn wrote_within(&self, client: Fingerprint, span: Duration, now: Moment) -> bool {
        let entry = self.place(client).load(Relaxed);
        let passed = second(now).wrapping_sub(entry) & SECOND; // rounds in the client's favour, by less than a second
        entry != 0 && entry & !SECOND == who(client) && passed <= span.as_secs() + u64::from(span.subsec_nanos() > 0)
    }

    fn place(&self, client: Fingerprint) -> &AtomicU64 {
        let place = usize::try_from(client.0 % PLACES as u64).expect("less than PLACES");
        &self.0[place]
    }
}

/// The high bits; the low ones chose the place.
fn who(client: Fingerprint) -> u64 {
    client.0 & !SECOND
}

fn second(now: Moment) -> u64 {
    (now.since_start().as_secs() + 1) & SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    fn secs(secs: u64) -> Moment {
        Moment::at(Duration::from_secs(secs))
    }

    #[test]
    fn whoever_wrote_is_known_for_so_long_and_nobody_else() {
        let writers = Writers::default();
        let (one, other) = (Fingerprint(0x1234_5678_9abc_def0), Fingerprint(0x4234_5678_9abc_def0));
        assert!(!writers.wrote_within(one, TEN, secs(0)));
        writers.note(one, secs(0));
        assert!(writers.wrote_within(one, TEN, secs(10)) && !writers.wrote_within(one, TEN, secs(11)));
        assert!(!writers.wrote_within(other, TEN, secs(0)), "it shares the place and not the name");
        writers.note(other, secs(3));
        assert!(writers.wrote_within(other, TEN, secs(3)) && !writers.wrote_within(one, TEN, secs(3)));
    }

    #[test]
    fn a_clock_of_many_days_is_no_trouble() {
        let writers = Writers::default();
        let days = secs(1 << SECOND_BITS);
        writers.note(Fingerprint(7 << 32), days);
        assert!(writers.wrote_within(Fingerprint(7 << 32), TEN, days.after(TEN)));
    }
}
