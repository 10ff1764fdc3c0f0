//! Who wrote to a backend lately: nobody is to miss their own comment because a ramp moved them. One table a backend, shared
//! by its workers, since a client's next request may come by another one.
//!
//! Written on unsafe requests alone, read during ramps alone; a backend that nobody writes to has no table. A client that shares
//! a place with one that wrote after it is forgotten early, and then moved like any other.
//!
//! Not here: what follows from it (`proxy::steer`).

use crate::domain::{Fingerprint, Moment};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Clients that are remembered at most; 64 KiB a backend that somebody has written to.
const PLACES: usize = 8_192;
/// The low bits of a place hold the second, counted from 1: 194 days of them, and longer ago is not lately.
const SECOND_BITS: u32 = 24;
const SECOND: u64 = (1 << SECOND_BITS) - 1;

/// Clients that wrote, and in which second. The table is made for the first of them: a worker may wait for another that is making
/// it, once in the backend's life; from then on it is one load away.
#[derive(Debug, Default)]
pub struct Writers(OnceLock<Box<[AtomicU64]>>);

impl Writers {
    /// That client writes.
    pub fn note(&self, client: Fingerprint, now: Moment) {
        let table = self.0.get_or_init(|| (0..PLACES).map(|_| AtomicU64::new(0)).collect());
        let (place, entry) = (&table[place(client)], who(client) | second(now));
        // Mostly it is there: a write that changes nothing would still take the line away from the other workers.
        if place.load(Relaxed) != entry {
            place.store(entry, Relaxed);
        }
    }

    /// Whether that client has written within `span`.
    pub fn wrote_within(&self, client: Fingerprint, span: Duration, now: Moment) -> bool {
        let Some(table) = self.0.get() else { return false };
        let entry = table[place(client)].load(Relaxed);
        let passed = second(now).wrapping_sub(entry) & SECOND; // rounds in the client's favour, by less than a second
        entry != 0 && entry & !SECOND == who(client) && passed <= span.as_secs() + u64::from(span.subsec_nanos() > 0)
    }
}

fn place(client: Fingerprint) -> usize {
    usize::try_from(client.0 % PLACES as u64).expect("less than PLACES")
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
    use std::sync::Barrier;

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
    fn there_is_no_table_until_somebody_writes_and_the_first_of_several_workers_makes_it() {
        let writers = Writers::default();
        assert!(!writers.wrote_within(Fingerprint(1), TEN, secs(0)));
        assert!(writers.0.get().is_none(), "whoever asks makes none");
        let together = Barrier::new(4);
        std::thread::scope(|scope| {
            for client in 1..=4 {
                let (writers, together) = (&writers, &together);
                scope.spawn(move || {
                    together.wait();
                    writers.note(Fingerprint(client), secs(0));
                });
            }
        });
        assert!((1..=4).all(|client| writers.wrote_within(Fingerprint(client), TEN, secs(0))), "none was forgotten");
        assert_eq!(writers.0.get().map(|table| table.len()), Some(PLACES));
    }

    #[test]
    fn a_clock_of_many_days_is_no_trouble() {
        let writers = Writers::default();
        let days = secs(1 << SECOND_BITS);
        writers.note(Fingerprint(7 << 32), days);
        assert!(writers.wrote_within(Fingerprint(7 << 32), TEN, days.after(TEN)));
    }
}
