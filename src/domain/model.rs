//! The model: every backend, and the way in and out of the core.

use super::backend::{Backend, Effect, Place, by_name};
use super::check::{self, Breach};
use super::endpoint::Endpoint;
use super::pool::Pool;
use super::setup::Setup;
use super::snapshot::Snapshot;
use super::transition::Transition;
use super::units::{EndpointId, Moment};
use super::{Input, Why};
use std::collections::HashMap;

/// What is known of every backend, and what follows from it. It has one owner, who turns round and round:
///
/// 1. [`apply`](Model::apply) each input there is, and [`Input::Tick`] when the deadline comes and there is none;
/// 2. tell the transitions it left (journal, metrics, log);
/// 3. publish [`snapshot`](Model::snapshot): backends in which nothing changed are the same `Arc` as before;
/// 4. set the timer to [`next_deadline`](Model::next_deadline), or off.
///
/// A new model is empty; [`Input::Reconfigure`] tells it what there is. [`check`](Model::check) may be asked at any time.
#[derive(Debug, Default)]
pub struct Model {
    /// In the order of the setup.
    backends: Vec<Backend>,
    /// Where each endpoint is. For looking up only.
    places: HashMap<EndpointId, (usize, Place)>,
    /// How many ids were given out: the next one.
    ids: u32,
    /// The latest time it was told.
    now: Moment,
    /// The earliest of the backends'.
    deadline: Option<(Moment, Why)>,
}

impl Model {
    pub fn new() -> Model {
        Model::default()
    }

    /// Takes in what happened at `now`, then serves every deadline that has come. Transitions are added to `out`, in the
    /// order in which they follow from each other.
    ///
    /// Input comes before time: what is newest known weighs when an old deadline is served late. A `now` before that of an
    /// earlier call counts as that one.
    pub fn apply(&mut self, now: Moment, input: Input, out: &mut Vec<Transition>) {
        let now = now.max(self.now);
        self.now = now;
        let effect = match input {
            Input::Probe { endpoint, result } => match self.places.get(&endpoint) {
                Some((backend, place)) => {
                    self.backends[*backend].probe(now, *place, result, out);
                    Effect::Moved
                }
                None => Effect::Counted,
            },
            Input::Tally { endpoint, delta } => match self.places.get(&endpoint) {
                Some((backend, place)) => self.backends[*backend].tally(now, *place, &delta, out),
                None => Effect::Counted,
            },
            Input::Tick => Effect::Counted,
            Input::Reconfigure(setup) => {
                self.reconfigure(now, setup, out);
                Effect::Moved
            }
        };
        if effect == Effect::Moved || has_come(self.deadline, now) {
            self.serve_deadlines(now, out);
        }
    }

    /// When [`apply`](Model::apply) must be called at the latest, and what for. Never in the past after an `apply` at that
    /// time, and an `apply` exactly then acts on it.
    pub fn next_deadline(&self) -> Option<(Moment, Why)> {
        self.deadline
    }

    /// The picture of what stands now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { backends: self.backends.iter().map(|backend| backend.picture.clone()).collect() }
    }

    /// Whether everything that must always be true is. In production a breach is told and the last view stays: to stop would
    /// take user sites down.
    ///
    /// # Errors
    /// The first thing found that is not true.
    pub fn check(&self) -> Result<(), Breach> {
        self.backends.iter().try_for_each(|backend| check::backend(backend, self.now))?;
        check::deadline(self.deadline, self.now)
    }

    fn serve_deadlines(&mut self, now: Moment, out: &mut Vec<Transition>) {
        for backend in &mut self.backends {
            if has_come(backend.deadline, now) {
                backend.settle(now, out);
            }
        }
        self.deadline = self.backends.iter().filter_map(|backend| backend.deadline).min_by_key(|(at, _)| *at);
    }

    /// What keeps its names keeps its state; ids are for what is new.
    fn reconfigure(&mut self, now: Moment, setup: Setup, out: &mut Vec<Transition>) {
        let mut before = by_name(std::mem::take(&mut self.backends), |backend| backend.name.clone());
        let mut new_id = || {
            let id = EndpointId(self.ids);
            self.ids = self.ids.checked_add(1).expect("a process sees fewer than 2^32 endpoints");
            id
        };
        for setup in setup.backends {
            let before = before.remove(&setup.name);
            self.backends.push(Backend::configure(setup, before, &mut new_id, now, out));
        }
        self.places.clear();
        for (index, backend) in self.backends.iter().enumerate() {
            for (pool, Pool { endpoints, .. }) in backend.pools.iter().enumerate() {
                let of = |(endpoint, known): (usize, &Endpoint)| (known.id, (index, Place { pool, endpoint }));
                self.places.extend(endpoints.iter().enumerate().map(of));
            }
        }
    }
}

fn has_come(deadline: Option<(Moment, Why)>, now: Moment) -> bool {
    deadline.is_some_and(|(at, _)| at <= now)
}
