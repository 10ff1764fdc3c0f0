//! One backend: what happens to its endpoints, and what follows for its pools and for the serving pool.
//!
//! An input moves at most one endpoint; then [`Backend::settle`] brings the rest in line, in one order always: ejections that
//! are over, verdicts that had to wait, pools, the serving pool, routing. Real requests that prove nothing (nearly all) end
//! before that and cost a few additions.
//!
//! **The last endpoint that counts as up**, in any pool, is not taken out by the answers to real requests: some of them are
//! better than none. Its score stands where it is, at most at `trip`, and is acted on as soon as another one counts as up.
//! Refused connects are the exception: nobody is left there who could answer.
//!
//! Not here: what an endpoint's health is (`endpoint`), which pool to choose (`serving`).

use super::Why;
use super::endpoint::{Endpoint, Moved, Seen};
use super::evidence::{ProbeResult, TallyDelta};
use super::pool::{Pool, PoolHealth};
use super::score::Verdict;
use super::serving::{Move, Record, Serving, best};
use super::setup::{BackendSetup, PoolSetup, Rules};
use super::snapshot::{BackendSnapshot, EndpointSnapshot, PoolSnapshot, Waiting};
use super::transition::{Cause, Change, Evidence, Routing, Transition};
use super::units::{EndpointId, Moment, Name, PoolIndex};
use std::collections::HashMap;
use std::sync::Arc;

/// One backend's state.
#[derive(Debug)]
pub(super) struct Backend {
    pub name: Name,
    pub rules: Rules,
    pub pools: Vec<Pool>,
    pub serving: Serving,
    waiting: Option<Waiting>,
    /// When time alone will change something next.
    pub deadline: Option<(Moment, Why)>,
    /// What was last told of it all; a new one only when something in it changed.
    pub picture: Arc<BackendSnapshot>,
    /// Whether something was told since.
    told: bool,
}

/// An endpoint's place in its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub pool: usize,
    pub endpoint: usize,
}

/// Whether more than counts changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Counted,
    Moved,
}

impl Backend {
    /// The backend of a setup, with what stands of it from before. Everything is known by its name; `ids` are for what is new.
    pub(super) fn configure(
        setup: BackendSetup,
        before: Option<Backend>,
        ids: &mut impl FnMut() -> EndpointId,
        now: Moment,
        out: &mut Vec<Transition>,
    ) -> Backend {
        let BackendSetup { name, rules, pools: setups } = setup;
        let (mut known, served, picture) = match before {
            Some(Backend { pools, serving, picture, .. }) => {
                let pool = pools[serving.pool].name.clone();
                (by_name(pools, |pool| pool.name.clone()), Some((serving, pool)), Some(picture))
            }
            None => (HashMap::new(), None, None),
        };
        let mut configured = |pool: PoolSetup| {
            let before = known.remove(&pool.name);
            configured_pool(pool, before, &rules, ids, now)
        };
        let pools: Vec<Pool> = setups.into_iter().map(&mut configured).collect();
        let (serving, gone) = match served {
            None => (Serving::new(0, now), None),
            Some((serving, name)) => match pools.iter().position(|pool| pool.name == name) {
                Some(pool) => (Serving { pool, ..serving }, None),
                None => (Serving { since: now, pool: 0, ..serving }, Some(name)),
            },
        };
        let picture = picture.unwrap_or_else(|| Arc::new(picture_of(&name, &serving, None, &pools)));
        let mut backend = Backend { name, rules, pools, serving, waiting: None, deadline: None, picture, told: true };
        backend.judge_pools(now, Cause::Reconfigured, out);
        if let Some(from) = gone {
            backend.serving.pool = best(&backend.pools, |_| true).unwrap_or(0);
            let to = backend.pools[backend.serving.pool].name.clone();
            backend.tell(now, Change::Serving { from, to }, Cause::Reconfigured, Evidence::Configured, out);
        }
        backend.settle(now, out);
        backend
    }

    /// A probe ended.
    pub(super) fn probe(&mut self, now: Moment, place: Place, result: ProbeResult, out: &mut Vec<Transition>) {
        self.pools[place.pool].record.note_probe(result);
        let seen = match result {
            ProbeResult::Passed => Seen::ProbePassed(self.serving.routing),
            ProbeResult::Failed(how) => Seen::ProbeFailed(how),
        };
        self.see(now, place, seen, out);
        self.settle(now, out); // even if nothing moved: failback asks for the share of probes passed
    }

    /// Real requests ended.
    pub(super) fn tally(&mut self, now: Moment, place: Place, delta: &TallyDelta, out: &mut Vec<Transition>) -> Effect {
        let answered = Seen::Answered(self.serving.routing);
        let mut effect = if delta.good > 0 { self.see(now, place, answered, out) } else { Effect::Counted };
        if effect == Effect::Counted {
            // Else what failed beside the good answer was begun while the endpoint was down, and is no evidence.
            self.pools[place.pool].endpoints[place.endpoint].note(now, delta, &self.rules);
            effect = self.act_on_verdict(now, place, out);
        }
        if effect == Effect::Moved {
            self.settle(now, out);
        }
        effect
    }

    /// Brings everything in line with what stands now: after an input, and when a deadline has come.
    pub(super) fn settle(&mut self, now: Moment, out: &mut Vec<Transition>) {
        self.settle_endpoints(now, out);
        self.judge_pools(now, Cause::EndpointsChanged, out);
        self.choose_pool(now, out);
        self.route(now, out);
        self.deadline = self.next_deadline(now);
        self.paint(now);
    }

    /// Ends ejections whose time has come, and acts on what had to wait while an endpoint was the last one up.
    fn settle_endpoints(&mut self, now: Moment, out: &mut Vec<Transition>) {
        for pool in 0..self.pools.len() {
            for endpoint in 0..self.pools[pool].endpoints.len() {
                let place = Place { pool, endpoint };
                self.see(now, place, Seen::TimePassed, out);
                self.act_on_verdict(now, place, out);
            }
        }
    }

    /// Acts on what real requests prove against an endpoint, if anything, unless it is the last one up.
    fn act_on_verdict(&mut self, now: Moment, place: Place, out: &mut Vec<Transition>) -> Effect {
        let endpoint = &self.pools[place.pool].endpoints[place.endpoint];
        let Some(verdict) = endpoint.verdict(&self.rules) else { return Effect::Counted };
        let may_stay = match verdict {
            Verdict::Refused => false,
            Verdict::InARow | Verdict::Tripped => endpoint.counts_as_up(),
        };
        if may_stay && self.up() == 1 {
            return Effect::Counted;
        }
        self.see(now, place, Seen::Proved(verdict), out)
    }

    fn judge_pools(&mut self, now: Moment, cause: Cause, out: &mut Vec<Transition>) {
        for index in 0..self.pools.len() {
            let pool = &mut self.pools[index];
            let to = pool.judge(self.rules.min_up);
            let from = std::mem::replace(&mut pool.health, to);
            if from != to {
                let evidence = pool.evidence(self.rules.min_up);
                let change = Change::Pool { pool: pool.name.clone(), from, to };
                self.tell(now, change, cause, evidence, out);
            }
        }
    }

    /// One move at most in nearly every case, and never more than there are pools: after the first one the serving pool is
    /// usable, and each further one is a failback to a lower rank.
    fn choose_pool(&mut self, now: Moment, out: &mut Vec<Transition>) {
        self.serving.track(now, &mut self.pools);
        for _ in 0..self.pools.len() {
            let Some(Move { to, cause, evidence }) = self.serving.decide(now, &self.pools, &self.rules) else { break };
            let name = |index: usize| self.pools[index].name.clone();
            let change = Change::Serving { from: name(self.serving.pool), to: name(to) };
            self.serving.go(now, to, cause, &mut self.pools);
            self.serving.track(now, &mut self.pools);
            self.tell(now, change, cause, evidence, out);
        }
    }

    fn route(&mut self, now: Moment, out: &mut Vec<Transition>) {
        let to = self.serving.route(&self.pools);
        let from = std::mem::replace(&mut self.serving.routing, to);
        if from != to {
            let cause = match to {
                Routing::Serving => Cause::PoolUsable,
                Routing::Panic => Cause::NoPoolUsable,
            };
            let evidence = self.pools[self.serving.pool].evidence(self.rules.min_up);
            self.tell(now, Change::Routing { from, to }, cause, evidence, out);
        }
    }

    fn next_deadline(&self, now: Moment) -> Option<(Moment, Why)> {
        let endpoints = self.pools.iter().flat_map(|pool| &pool.endpoints);
        let ejections = endpoints.filter_map(|endpoint| endpoint.deadline(&self.rules));
        let ejections = ejections.map(|until| (until, Why::EjectionOver));
        ejections.chain(self.serving.deadline(now, &self.pools, &self.rules)).min_by_key(|(at, _)| *at)
    }

    /// Renews the picture, if anything in it may have changed.
    fn paint(&mut self, now: Moment) {
        let waiting = self.serving.waiting(now, &self.pools, &self.rules);
        let stale = std::mem::take(&mut self.told) | (waiting != self.waiting);
        self.waiting = waiting;
        if stale {
            let picture = self.paint_anew();
            if *self.picture != picture {
                self.picture = Arc::new(picture);
            }
        }
    }

    /// The picture as it must be.
    pub(super) fn paint_anew(&self) -> BackendSnapshot {
        picture_of(&self.name, &self.serving, self.waiting, &self.pools)
    }

    /// Applies one thing seen to one endpoint.
    fn see(&mut self, now: Moment, place: Place, seen: Seen, out: &mut Vec<Transition>) -> Effect {
        let pool = &mut self.pools[place.pool];
        let endpoint = &mut pool.endpoints[place.endpoint];
        let Some(Moved { from, to, cause, evidence }) = endpoint.apply(now, seen, &self.rules) else {
            return Effect::Counted;
        };
        let (id, pool, endpoint) = (endpoint.id, pool.name.clone(), endpoint.name.clone());
        self.tell(now, Change::Endpoint { id, pool, endpoint, from, to }, cause, evidence, out);
        Effect::Moved
    }

    fn tell(&mut self, at: Moment, change: Change, cause: Cause, evidence: Evidence, out: &mut Vec<Transition>) {
        self.told = true;
        out.push(Transition { at, backend: self.name.clone(), change, cause, evidence });
    }

    /// How many endpoints count as up, in all pools.
    fn up(&self) -> u32 {
        self.pools.iter().map(Pool::up).sum()
    }
}

fn configured_pool(
    setup: PoolSetup,
    before: Option<Pool>,
    rules: &Rules,
    ids: &mut impl FnMut() -> EndpointId,
    now: Moment,
) -> Pool {
    let (known, health, record) = match before {
        Some(Pool { endpoints, health, record, .. }) => (endpoints, health, record),
        None => (Vec::new(), PoolHealth::Up, Record::default()),
    };
    let mut known = by_name(known, |endpoint| endpoint.name.clone());
    let mut configured = |name: Name| match known.remove(&name) {
        Some(mut endpoint) => {
            endpoint.adopt(rules);
            endpoint
        }
        None => Endpoint::new(ids(), name, now),
    };
    let endpoints = setup.endpoints.into_iter().map(&mut configured).collect();
    Pool { name: setup.name, endpoints, health, record }
}

/// For looking up only: the order of a hashed map is nobody's.
pub(super) fn by_name<T>(all: Vec<T>, name: impl Fn(&T) -> Name) -> HashMap<Name, T> {
    all.into_iter().map(|one| (name(&one), one)).collect()
}

fn picture_of(name: &Name, serving: &Serving, waiting: Option<Waiting>, pools: &[Pool]) -> BackendSnapshot {
    let endpoint = |endpoint: &Endpoint| EndpointSnapshot {
        id: endpoint.id,
        name: endpoint.name.clone(),
        health: endpoint.health().without_count(),
        since: endpoint.since(),
    };
    let pool = |pool: &Pool| PoolSnapshot {
        name: pool.name.clone(),
        health: pool.health,
        endpoints: pool.endpoints.iter().map(endpoint).collect(),
    };
    BackendSnapshot {
        name: name.clone(),
        serving: PoolIndex(serving.pool),
        serving_since: serving.since,
        routing: serving.routing,
        pools: pools.iter().map(pool).collect(),
        waiting,
    }
}
