//! Whether many clients stand behind one address: a company, a mobile network. During a ramp such an address must not move all
//! at once.
//!
//! The most frequent of many, counted in little room (Misra and Gries 1982): whoever has more than one request in thirty-three
//! is among those kept, and a count is too small by that share at most, never too large.

use crate::domain::{Fingerprint, Moment};

/// Addresses kept.
const KEPT: usize = 32;
/// Fewer requests say nothing.
const ENOUGH: u32 = 100;
/// One in so many requests is a crowd.
const SHARE: u32 = 10;

/// The requests of one worker since a ramp began.
#[derive(Debug)]
pub struct Crowd {
    pub since: Moment,
    of: u32,
    counts: Vec<(Fingerprint, u32)>,
}

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    OneClient,
    Many,
}

impl Crowd {
    pub fn new(since: Moment) -> Crowd {
        Crowd { since, of: 0, counts: Vec::with_capacity(KEPT) }
    }

    /// Counts a request from that address, and says what it is by now.
    pub fn note(&mut self, address: Fingerprint) -> Behind {
        self.of = self.of.saturating_add(1);
        let known = self.counts.iter().position(|(who, _)| *who == address);
        let count = match known {
            Some(place) => {
                self.counts[place].1 += 1;
                self.counts[place].1
            }
            None if self.counts.len() < KEPT => {
                self.counts.push((address, 1));
                1
            }
            None => {
                self.counts.iter_mut().for_each(|(_, count)| *count -= 1);
                self.counts.retain(|(_, count)| *count > 0);
                0
            }
        };
        if self.of >= ENOUGH && count > self.of / SHARE { Behind::Many } else { Behind::OneClient }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_fifth_of_all_requests_is_many_and_no_other_is() {
        let mut crowd = Crowd::new(Moment::ZERO);
        for round in 0..1_000_u64 {
            let at_first = crowd.note(Fingerprint(0));
            assert_eq!(at_first, if round < 20 { Behind::OneClient } else { at_first });
            for other in 1..5 {
                let behind = crowd.note(Fingerprint(round * 5 + other));
                assert_eq!(behind, Behind::OneClient);
            }
        }
        assert_eq!(crowd.note(Fingerprint(0)), Behind::Many);
    }

    #[test]
    fn a_single_visitor_at_first_is_no_crowd() {
        let mut crowd = Crowd::new(Moment::ZERO);
        assert!((0..99).all(|_| crowd.note(Fingerprint(0)) == Behind::OneClient));
    }
}
