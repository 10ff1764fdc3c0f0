//! A backend as a setup has it: what stays keeps its state, everything is known by its name.
//!
//! Not here: ids of what is new (`model` gives them), what then follows (`backend`).

use super::backend::Backend;
use super::endpoint::Endpoint;
use super::failback::Record;
use super::findings::Findings;
use super::pool::{Pool, PoolHealth};
use super::serving::{Commanded, Serving, best};
use super::setup::{BackendSetup, PoolSetup, Rules};
use super::snapshot::{BackendSnapshot, Drained, Lagging, Writes};
use super::transition::{Cause, Change, Evidence, Isolation, Routing, Transition};
use super::units::{EndpointId, Moment, Name, PoolIndex};
use super::writes::WritesState;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

impl Backend {
    /// The backend of a setup, with what stands of it from before. `ids` are for what is new. Settling is left to the caller,
    /// who knows what operators said about it.
    pub(super) fn configure(
        setup: &BackendSetup,
        before: Option<Backend>,
        ids: &mut impl FnMut() -> EndpointId,
        now: Moment,
        out: &mut Vec<Transition>,
    ) -> Backend {
        let BackendSetup { name, rules, pools: setups } = setup;
        let mut backend = before.unwrap_or_else(|| blank(name.clone(), *rules, now));
        backend.rules = *rules;
        let pools = std::mem::take(&mut backend.pools);
        let names: Vec<Name> = pools.iter().map(|pool| pool.name.clone()).collect();
        let mut known = by_name(pools, |pool| pool.name.clone());
        let mut configured = |pool: &PoolSetup| {
            let before = known.remove(&pool.name);
            configured_pool(pool, before, rules, ids, now)
        };
        backend.pools = setups.iter().map(&mut configured).collect();
        backend.told = true;
        if !names.is_empty() {
            backend.keep_places(now, &names, out);
        }
        backend.judge_pools(now, Cause::Reconfigured, out);
        backend
    }

    /// What points to pools by rank points to the same ones by name; `names` are those from before.
    fn keep_places(&mut self, now: Moment, names: &[Name], out: &mut Vec<Transition>) {
        let place = |before: usize| self.pools.iter().position(|pool| pool.name == names[before]);
        let serving = place(self.serving.pool);
        let ramp = self.serving.ramp.and_then(|ramp| place(ramp.to).map(|to| super::failback::Ramping { to, ..ramp }));
        let leave = self.serving.leave.and_then(place);
        let stands = match self.writes.stands {
            Writes::To(pool) => place(pool.0).map(|pool| Writes::To(PoolIndex(pool))),
            Writes::Pausing { to, until } => place(to.0).map(|to| Writes::Pausing { to: PoolIndex(to), until }),
            Writes::Refused(why) => Some(Writes::Refused(why)),
        };
        let Some(serving) = serving else {
            let from = names[self.serving.pool].clone();
            let to = best(&self.pools, |_| true).unwrap_or(0);
            self.serving = Serving { routing: self.serving.routing, ..Serving::new(to, now) };
            self.writes.stands = Writes::To(PoolIndex(to));
            let to = self.pools[to].name.clone();
            self.tell(now, Change::Serving { from, to }, Cause::Reconfigured, Evidence::Configured, out);
            return;
        };
        self.serving.pool = serving;
        self.serving.ramp = ramp.filter(|ramp| ramp.to < serving);
        self.serving.leave = leave;
        self.writes.stands = stands.unwrap_or(Writes::To(PoolIndex(serving)));
    }
}

/// A backend that has no pools yet.
fn blank(name: Name, rules: Rules, now: Moment) -> Backend {
    let serving = Serving::new(0, now);
    let picture = BackendSnapshot {
        name: name.clone(),
        serving: PoolIndex(0),
        serving_since: now,
        routing: Routing::Serving,
        ramp: None,
        writes: Writes::To(PoolIndex(0)),
        pools: Vec::new(),
        waiting: None,
        standing: Vec::new(),
    };
    Backend {
        name,
        rules,
        pools: Vec::new(),
        writes: WritesState::new(serving.pool),
        serving,
        commanded: Commanded::default(),
        standing: Vec::new(),
        findings: Findings::default(),
        isolation: Isolation::No,
        void_until: Moment::ZERO,
        waiting: None,
        deadline: None,
        decides: None,
        asks: BTreeSet::new(),
        picture: Arc::new(picture),
        told: true,
        repainted: true,
    }
}

fn configured_pool(
    setup: &PoolSetup,
    before: Option<Pool>,
    rules: &Rules,
    ids: &mut impl FnMut() -> EndpointId,
    now: Moment,
) -> Pool {
    let PoolSetup { name, endpoints, writes } = setup;
    let mut pool = before.unwrap_or_else(|| Pool {
        name: name.clone(),
        endpoints: Vec::new(),
        writes: *writes,
        health: PoolHealth::Up,
        lagging: Lagging::Fresh,
        drained: Drained::No,
        record: Record::default(),
    });
    pool.writes = *writes;
    let mut known = by_name(std::mem::take(&mut pool.endpoints), |endpoint| endpoint.name.clone());
    let mut configured = |name: &Name| match known.remove(name) {
        Some(mut endpoint) => {
            endpoint.adopt(rules);
            endpoint
        }
        None => Endpoint::new(ids(), name.clone(), now),
    };
    pool.endpoints = endpoints.iter().map(&mut configured).collect();
    pool
}

/// For looking up only: the order of a hashed map is nobody's.
pub(super) fn by_name<T>(all: Vec<T>, name: impl Fn(&T) -> Name) -> HashMap<Name, T> {
    all.into_iter().map(|one| (name(&one), one)).collect()
}
