//! When each of many is due next, so that nobody looks at thousands of them to find the first.
//!
//! Not here: what deadlines are for (`Why`).

use super::units::Moment;
use std::collections::{BTreeMap, BTreeSet};

/// Who is due when.
#[derive(Clone, Debug)]
pub struct Deadlines<Who> {
    ordered: BTreeSet<(Moment, Who)>,
    of: BTreeMap<Who, Moment>,
    /// That of `ordered`: it is asked for far more often than it changes.
    first: Option<(Moment, Who)>,
}

impl<Who> Default for Deadlines<Who> {
    fn default() -> Deadlines<Who> {
        Deadlines { ordered: BTreeSet::new(), of: BTreeMap::new(), first: None }
    }
}

impl<Who: Copy + Ord> Deadlines<Who> {
    /// From now on `who` is due at `at`, or not at all.
    pub fn set(&mut self, who: Who, at: Option<Moment>) {
        let before = match at {
            Some(at) => self.of.insert(who, at),
            None => self.of.remove(&who),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.ordered.remove(&(before, who));
        }
        if let Some(at) = at {
            self.ordered.insert((at, who));
        }
        self.first = self.ordered.first().copied();
    }

    /// Who is due first, and when.
    pub fn first(&self) -> Option<(Moment, Who)> {
        self.first
    }

    /// Nobody is due.
    pub fn clear(&mut self) {
        *self = Deadlines::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::secs;
    use super::*;

    #[test]
    fn whatever_is_set_the_first_is_who_is_due_first() {
        let mut deadlines = Deadlines::default();
        let mut of = [None; 7];
        let mut dice = 1_u64;
        for _ in 0..2_000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (who, at) = ((dice >> 60) as usize % 7, dice >> 33 & 15);
            of[who] = (at > 3).then(|| secs(at));
            deadlines.set(who, of[who]);
            let first = of.iter().enumerate().filter_map(|(who, at)| at.map(|at| (at, who))).min();
            assert_eq!(deadlines.first(), first);
        }
        deadlines.clear();
        assert_eq!(deadlines.first(), None);
    }
}
