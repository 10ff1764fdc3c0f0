//! The model: every backend, and the way in and out of the core.

use super::backend::{Backend, Follows, Place};
use super::check::{self, Breach};
use super::commands::{Command, Order};
use super::configure::by_name;
use super::deadlines::Deadlines;
use super::endpoint::{Endpoint, Health, Newest};
use super::evidence::{Illness, ProbeReport, ProbeResult, TallyDelta};
use super::orders::{self, Given, Orders};
use super::pool::Pool;
use super::score::in_points;
use super::setup::Setup;
use super::snapshot::Snapshot;
use super::transition::{Cause, Change, CommandStep, Evidence, Isolation, Transition};
use super::units::{Class, EndpointId, Moment, PerClass};
use super::{Input, Why};
use std::collections::BTreeSet;
use std::time::Duration;

/// What is known of every backend, and what follows from it. It has one owner, who turns round and round:
///
/// 1. [`apply`](Model::apply) each input there is, and [`Input::Tick`] when the deadline comes and there is none;
/// 2. tell the transitions it left (journal, metrics, log);
/// 3. probe at once whom [`take_asks`](Model::take_asks) names;
/// 4. publish [`snapshot`](Model::snapshot): backends in which nothing changed are the same `Arc` as before, and nothing
///    did in any as long as [`changes`](Model::changes) stands;
/// 5. set the timer to [`next_deadline`](Model::next_deadline), or off.
///
/// A new model is empty; [`Input::Reconfigure`] tells it what there is. [`check`](Model::check) may be asked at any time.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// In the order of the setup.
    backends: Vec<Backend>,
    /// Where each endpoint is, by id.
    places: Vec<(EndpointId, (usize, Place))>,
    orders: Orders,
    /// How many ids were given out: the next one.
    ids: u32,
    /// The latest time it was told.
    now: Moment,
    deadlines: Deadlines<usize>,
    /// Endpoints that ought to be probed at once.
    asks: BTreeSet<EndpointId>,
    /// How often the snapshot has changed.
    changes: u64,
    isolation: Isolation,
    /// An endpoint whose newest probe heard something, when last looked.
    heard: Option<EndpointId>,
    illness: Option<Illness>,
}

/// Whether an isolation began, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turned {
    Yes,
    No,
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
    pub fn apply(&mut self, now: Moment, input: &Input, out: &mut Vec<Transition>) {
        let now = now.max(self.now);
        self.now = now;
        match input {
            Input::Probe { endpoint, report } => self.probe(now, *endpoint, report, out),
            Input::Tally { endpoint, delta } => self.tally(now, *endpoint, delta, out),
            Input::Tick => {}
            Input::Order(order) => {
                if self.consider(order).is_ok() {
                    self.carry_out(now, order, out);
                }
            }
            Input::Reconfigure(setup) => self.reconfigure(now, setup, out),
            Input::Restore(memory) => self.restore(now, memory, out),
        }
        self.serve_deadlines(now, out);
    }

    /// When [`apply`](Model::apply) must be called at the latest, and what for. Never in the past after an `apply` at that
    /// time, and an `apply` exactly then acts on it.
    pub fn next_deadline(&self) -> Option<(Moment, Why)> {
        let backends = self.deadlines.first().and_then(|(_, backend)| self.backends[backend].deadline);
        let orders = self.orders.deadline().map(|at| (at, Why::CommandOver));
        backends.into_iter().chain(orders).min()
    }

    /// The picture of what stands now.
    pub fn snapshot(&self) -> Snapshot {
        let backends = self.backends.iter().map(|backend| backend.picture.clone()).collect();
        Snapshot { backends, isolation: self.isolation }
    }

    /// Endpoints that ought to be probed at once, each named once, since the last call.
    pub fn take_asks(&mut self) -> Vec<EndpointId> {
        std::mem::take(&mut self.asks).into_iter().collect()
    }

    /// How often [`snapshot`](Model::snapshot) has changed so far: as long as this is the same, so is that.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What 95 of 100 heads take at most there of late; `None`: not known.
    pub fn pace(&self, endpoint: EndpointId) -> Option<Duration> {
        self.endpoint(endpoint)?.usual.p95()
    }

    /// An endpoint's health, with its counters.
    pub fn health(&self, endpoint: EndpointId) -> Option<Health> {
        self.endpoint(endpoint).map(Endpoint::health)
    }

    /// An endpoint's scores in points; `None` while both are zero.
    pub fn scores(&self, endpoint: EndpointId) -> Option<PerClass<f64>> {
        let of = |class| self.endpoint(endpoint).map_or(0, |endpoint| endpoint.scores[class].points());
        let (safe, unsafe_) = (of(Class::Safe), of(Class::Unsafe));
        (safe > 0 || unsafe_ > 0).then(|| PerClass::new(in_points(safe), in_points(unsafe_)))
    }

    /// Whether everything that must always be true is. In production a breach is told and the last view stays: to stop would
    /// take user sites down.
    ///
    /// # Errors
    /// The first thing found that is not true.
    pub fn check(&self) -> Result<(), Breach> {
        self.backends.iter().try_for_each(|backend| check::backend(backend, self.now))?;
        check::deadline(self.next_deadline(), self.now)
    }

    /// The same of one backend alone, by its place in the snapshot, since all of a thousand take milliseconds.
    ///
    /// # Errors
    /// As [`check`](Model::check).
    pub fn check_backend(&self, place: usize) -> Result<(), Breach> {
        self.backends.get(place).map_or(Ok(()), |backend| check::backend(backend, self.now))?;
        check::deadline(self.next_deadline(), self.now)
    }

    pub(super) fn now(&self) -> Moment {
        self.now
    }

    pub(super) fn backends(&self) -> &[Backend] {
        &self.backends
    }

    pub(super) fn backends_mut(&mut self) -> &mut [Backend] {
        &mut self.backends
    }

    pub(super) fn orders(&self) -> &Orders {
        &self.orders
    }

    pub(super) fn orders_mut(&mut self) -> &mut Orders {
        &mut self.orders
    }

    fn place(&self, endpoint: EndpointId) -> Option<(usize, Place)> {
        // Ids are given one after the other: until an endpoint was taken away, each stands where its id says.
        let likely = usize::try_from(endpoint.0).ok().and_then(|at| self.places.get(at));
        if let Some((_, place)) = likely.filter(|(id, _)| *id == endpoint) {
            return Some(*place);
        }
        let at = self.places.binary_search_by_key(&endpoint, |(id, _)| *id).ok()?;
        Some(self.places[at].1)
    }

    fn endpoint(&self, endpoint: EndpointId) -> Option<&Endpoint> {
        let (backend, Place { pool, endpoint }) = self.place(endpoint)?;
        Some(&self.backends[backend].pools[pool].endpoints[endpoint])
    }

    fn tally(&mut self, now: Moment, endpoint: EndpointId, delta: &TallyDelta, out: &mut Vec<Transition>) {
        let Some((backend, place)) = self.place(endpoint) else { return };
        if self.backends[backend].tally(now, place, delta, out) == Follows::Something {
            self.note(backend);
        }
        if self.isolation == Isolation::Yes && self.review_isolation(now, endpoint, out) == Turned::Yes {
            self.settle_all(now, out);
        }
    }

    fn probe(&mut self, now: Moment, endpoint: EndpointId, report: &ProbeReport, out: &mut Vec<Transition>) {
        let Some((backend, place)) = self.place(endpoint) else { return };
        let illness = match report.result {
            ProbeResult::Void(illness) => Some(illness),
            ProbeResult::Passed | ProbeResult::Failed(_) => None,
        };
        if std::mem::replace(&mut self.illness, illness) != illness {
            let change = Change::Probing { to: illness };
            out.push(of_all(now, change, Cause::Illness, Evidence::Configured));
        }
        self.backends[backend].note_probe(now, place, report);
        let turned = self.review_isolation(now, endpoint, out);
        // Before anything is settled: the answer that ends an isolation may be a bad one, and nobody is to be moved to who gave it.
        self.backends[backend].probe(now, place, report, out);
        self.note(backend);
        if turned == Turned::Yes {
            self.settle_all(now, out);
        }
    }

    /// Notices that nobody answers any more, and that somebody does again. `endpoint` is the one that was just heard of. After
    /// a turn every backend is to be settled.
    fn review_isolation(&mut self, now: Moment, endpoint: EndpointId, out: &mut Vec<Transition>) -> Turned {
        let hears = |endpoint: EndpointId| self.endpoint(endpoint).is_some_and(|found| !found.newest.is_nothing());
        let to = if hears(endpoint) {
            self.heard = Some(endpoint);
            Isolation::No
        } else if self.heard.is_some_and(hears) {
            Isolation::No
        } else {
            let all = || self.backends.iter().flat_map(|backend| &backend.pools).flat_map(|pool| &pool.endpoints);
            self.heard = all().find(|endpoint| !endpoint.newest.is_nothing()).map(|endpoint| endpoint.id);
            if self.heard.is_some() { Isolation::No } else { Isolation::Yes }
        };
        if std::mem::replace(&mut self.isolation, to) == to {
            return Turned::No;
        }
        self.changes += 1;
        let endpoints = Evidence::Asked { endpoints: u32::try_from(self.places.len()).unwrap_or(u32::MAX) };
        let cause = match to {
            Isolation::Yes => Cause::NobodyAnswers,
            Isolation::No => Cause::SomebodyAnswered,
        };
        out.push(of_all(now, Change::Isolation { to }, cause, endpoints));
        let all = self.backends.iter().flat_map(|backend| &backend.pools).flat_map(|pool| &pool.endpoints);
        let since = all.filter_map(|endpoint| endpoint.newest.nothing_since()).min();
        for backend in &mut self.backends {
            backend.isolation = to;
            match (to, since) {
                (Isolation::Yes, Some(since)) => backend.void_doubts(now, since, out),
                (Isolation::No, _) => backend.end_isolation(now),
                (Isolation::Yes, None) => {}
            }
        }
        Turned::Yes
    }

    fn settle_all(&mut self, now: Moment, out: &mut Vec<Transition>) {
        for index in 0..self.backends.len() {
            self.backends[index].settle(now, out);
            self.note(index);
        }
    }

    /// Carries out an order that was considered.
    pub(super) fn carry_out(&mut self, now: Moment, order: &Order, out: &mut Vec<Transition>) {
        let order = self.resolved(order);
        for ended in self.orders.end(|given| orders::ends(&order.command, &given.command)) {
            out.push(orders::told(&ended, CommandStep::Ended, Cause::Commanded, now));
        }
        out.push(orders::told(&order.command, CommandStep::Given, Cause::Commanded, now));
        match &order.command {
            Command::Failover { .. } | Command::Hold { .. } | Command::Drain { .. } | Command::ReadOnly { .. } => {
                let ends = order.lasts.map(|span| now.after(span));
                self.orders.add(Given { command: order.command.clone(), force: order.force, since: now, ends });
            }
            Command::Failback { .. } | Command::Ack { .. } | Command::Release { .. } | Command::Undrain { .. } => {}
        }
        for backend in &mut self.backends {
            orders::carry_out_once(&order, backend, now, out);
        }
        self.instruct(now, out);
    }

    /// Tells every backend what stands for it, and settles those for which something changed.
    pub(super) fn instruct(&mut self, now: Moment, out: &mut Vec<Transition>) {
        for index in 0..self.backends.len() {
            let backend = &mut self.backends[index];
            self.orders.instruct(backend);
            if backend.told {
                backend.settle(now, out);
                self.note(index);
            }
        }
    }

    fn serve_deadlines(&mut self, now: Moment, out: &mut Vec<Transition>) {
        if self.orders.deadline().is_some_and(|at| at <= now) {
            for ended in self.orders.end(|given| given.ends.is_some_and(|at| at <= now)) {
                out.push(orders::told(&ended, CommandStep::Ended, Cause::TimeGiven, now));
            }
            self.instruct(now, out);
        }
        while let Some((_, backend)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            if self.backends[backend].is_due(now) {
                self.backends[backend].settle(now, out);
            }
            self.note(backend);
            if self.backends[backend].deadline.is_some_and(|(at, _)| at <= now) {
                break; // a fault of ours, which `check` tells: it must not keep everything else from running
            }
        }
    }

    /// What was left by a backend in which something moved: when it is due, whom it asks for, whether it looks different.
    fn note(&mut self, backend: usize) {
        let found = &mut self.backends[backend];
        self.deadlines.set(backend, found.deadline.map(|(at, _)| at));
        self.asks.append(&mut found.asks);
        self.changes += u64::from(std::mem::take(&mut found.repainted));
    }

    /// What keeps its names keeps its state; ids are for what is new.
    fn reconfigure(&mut self, now: Moment, setup: &Setup, out: &mut Vec<Transition>) {
        self.changes += 1; // a backend may be gone
        let mut before = by_name(std::mem::take(&mut self.backends), |backend| backend.name.clone());
        let mut new_id = || {
            let id = EndpointId(self.ids);
            self.ids = self.ids.checked_add(1).expect("a process sees fewer than 2^32 endpoints");
            id
        };
        for setup in &setup.backends {
            let before = before.remove(&setup.name);
            let mut backend = Backend::configure(setup, before, &mut new_id, now, out);
            backend.isolation = self.isolation;
            self.backends.push(backend);
        }
        self.places.clear();
        self.deadlines.clear();
        for (index, backend) in self.backends.iter().enumerate() {
            for (pool, Pool { endpoints, .. }) in backend.pools.iter().enumerate() {
                let of = |(endpoint, known): (usize, &Endpoint)| (known.id, (index, Place { pool, endpoint }));
                self.places.extend(endpoints.iter().enumerate().map(of));
            }
        }
        self.places.sort_unstable_by_key(|(id, _)| *id);
        for index in 0..self.backends.len() {
            let backend = &mut self.backends[index];
            self.orders.instruct(backend);
            backend.settle(now, out);
            self.note(index);
        }
    }
}

/// A transition of all backends together.
fn of_all(at: Moment, change: Change, cause: Cause, evidence: Evidence) -> Transition {
    Transition { at, backend: None, change, cause, evidence, first_evidence: None }
}

impl Newest {
    fn is_nothing(self) -> bool {
        self.nothing_since().is_some()
    }

    fn nothing_since(self) -> Option<Moment> {
        match self {
            Newest::Nothing { began } => Some(began),
            Newest::None | Newest::Something => None,
        }
    }
}
