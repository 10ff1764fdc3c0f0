//! When each backend's next deadline is, so that nobody looks at a thousand of them to find the first.
//!
//! Not here: what deadlines are for (`Why`).

use super::units::Moment;
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    ordered: BTreeSet<(Moment, usize)>,
    of: Vec<Option<Moment>>,
}

impl Deadlines {
    pub(super) fn set(&mut self, backend: usize, at: Option<Moment>) {
        if self.of.len() <= backend {
            self.of.resize(backend + 1, None);
        }
        let before = std::mem::replace(&mut self.of[backend], at);
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.ordered.remove(&(before, backend));
        }
        if let Some(at) = at {
            self.ordered.insert((at, backend));
        }
    }

    pub(super) fn first(&self) -> Option<(Moment, usize)> {
        self.ordered.first().copied()
    }

    pub(super) fn clear(&mut self) {
        *self = Deadlines::default();
    }
}
