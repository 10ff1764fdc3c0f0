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
