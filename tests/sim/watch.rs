//! What must always hold (docs/failover.md, and the core's own promises), looked at after every step, by other means than the
//! core's: from its transitions and snapshots alone.
//!
//! Not here: what needs to know what is really wrong (`truth`), when failback is allowed (`way_back`).

use crate::plan::{Pace, Plan};
use crate::way_back::WayBack;
use hotspare::domain::*;
use std::collections::BTreeMap;
use std::fmt;

/// A rule that was found broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Its number.
    pub rule: &'static str,
    pub at: Moment,
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} at {}: {}", self.rule, self.at, self.what)
    }
}

/// What the model was given.
#[derive(Debug)]
pub enum Given {
    Probe {
        id: EndpointId,
        pool: usize,
        report: ProbeReport,
    },
    /// A tally with nothing but good answers.
    GoodAnswers,
    Failures,
    Time,
    Order {
        order: Order,
        taken: bool,
    },
    Reload,
    ReloadOfSame,
    Restore,
}

/// One step.
pub struct Seen<'a> {
    pub now: Moment,
    pub given: &'a Given,
    pub before: &'a BackendSnapshot,
    pub after: &'a BackendSnapshot,
    pub isolation: Isolation,
    pub told: &'a [Transition],
    pub model: &'a Model,
}

pub struct Watch {
    rules: Rules,
    pace: Pace,
    writes: Vec<PoolWrites>,
    pub way_back: WayBack,
    /// An operator has forced something: then rule 3 does not bind what was commanded.
    forced: Forced,
    /// A usable pool was there, and requests were not sent there, since then.
    idle_since: Option<Moment>,
    /// Refused connects in a row, by endpoint.
    refused: BTreeMap<EndpointId, u32>,
    /// A pool died that had taken writes of its own: where they are.
    lost_writes: Option<Name>,
    pub isolated_at: Option<Moment>,
    isolation: Isolation,
    pub restarted_at: Option<Moment>,
    /// Whether it was `Order`s that moved the serving pool last, or a plan; and when.
    moved: Option<(Moment, Cause)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forced {
    No,
    Yes,
}

/// Whether it is health that moved users, in haste.
pub fn causes_flap(cause: Cause) -> bool {
    cause == Cause::PoolUnusable
}

fn may_serve(of: &BackendSnapshot, pool: usize) -> bool {
    of.pools[pool].may_serve()
}

fn holds(of: &BackendSnapshot) -> bool {
    of.standing.iter().any(|standing| matches!(standing.command, Command::Hold { .. }))
}

impl Watch {
    pub fn new(plan: &Plan, now: Moment) -> Watch {
        Watch {
            rules: plan.rules,
            pace: plan.pace,
            writes: plan.pools.iter().map(|pool| pool.writes).collect(),
            way_back: WayBack::new(plan, now),
            forced: Forced::No,
            idle_since: None,
            refused: BTreeMap::new(),
            lost_writes: None,
            isolated_at: None,
            isolation: Isolation::No,
            restarted_at: None,
            moved: None,
        }
    }

    pub fn restarts(&mut self, now: Moment) {
        self.isolation = Isolation::No;
        self.way_back.restarts();
        self.refused.clear();
        self.idle_since = None;
        self.restarted_at = Some(now);
    }

    pub fn heals(&mut self, _now: Moment) {
        self.idle_since = None;
    }

    /// Notes a tally that is about to be given.
    pub fn tallied(&mut self, id: EndpointId, _pool: usize, delta: &TallyDelta) -> Given {
        let good = delta.good[Class::Safe] + delta.good[Class::Unsafe];
        let all_refused = delta.failed.iter().all(|failure| failure.kind == FailureKind::Refused);
        let count = u32::try_from(delta.failed.len()).unwrap();
        let run = self.refused.entry(id).or_default();
        *run = if good == 0 && all_refused { *run + count } else { 0 };
        if delta.failed.is_empty() { Given::GoodAnswers } else { Given::Failures }
    }

    pub fn look(&mut self, seen: &Seen<'_>) -> Result<(), Broken> {
        let broken = |rule, what| Err(Broken { rule, at: seen.now, what });
        if let Err(breach) = seen.model.check() {
            return broken("check", breach.to_string());
        }
        if seen.isolation == Isolation::Yes {
            self.isolated_at = Some(seen.now);
        }
        // What comes while we are cut off counts for nothing, and neither does the answer that ends it.
        if seen.isolation == Isolation::Yes || std::mem::replace(&mut self.isolation, seen.isolation) == Isolation::Yes
        {
            self.refused.clear();
        }
        self.isolation = seen.isolation;
        if let Given::Order { order, taken: true } = seen.given {
            if order.force == Force::Yes {
                self.forced = Forced::Yes;
            }
            if matches!(order.command, Command::Ack { .. } | Command::Failback { .. }) {
                self.lost_writes = None;
            }
        }
        if let Given::Order { order, taken: false } = seen.given
            && !seen.told.is_empty()
        {
            return broken("4 (commands)", format!("{order:?} was refused, and did {:?}", seen.told));
        }
        self.way_back.note(seen);
        self.moves(seen)?;
        self.users(seen)?;
        self.evidence(seen)?;
        self.unsafe_requests(seen)?;
        self.way_back.look(seen);
        Ok(())
    }

    /// 2, 3 and 8: the serving pool changes only as told, never for the worse, and back only by the rules.
    fn moves(&mut self, seen: &Seen<'_>) -> Result<(), Broken> {
        let broken = |rule, what| Err(Broken { rule, at: seen.now, what });
        let mut serving = seen.before.pools[seen.before.serving.0].name.clone();
        let at = |name: &Name| seen.after.pools.iter().position(|pool| pool.name == *name);
        for told in seen.told {
            if told.at != seen.now {
                return broken("7.2", format!("told of another time: {told:?}"));
            }
            self.way_back.follow(seen, told)?;
            let Change::Serving { from, to } = &told.change else { continue };
            if serving != *from {
                return broken("7.2", format!("{told:?} begins where requests were not, but at {serving}"));
            }
            serving = to.clone();
            self.moved = Some((seen.now, told.cause));
            let by_rule = !matches!(told.cause, Cause::Commanded | Cause::Reconfigured | Cause::Restored);
            if by_rule && told.evidence == Evidence::Configured {
                return broken("7.2", format!("no numbers: {told:?}"));
            }
            if by_rule && (holds(seen.after) || seen.isolation == Isolation::Yes) {
                return broken("4 (hold, isolation)", format!("{told:?} although held or cut off: {:?}", seen.after));
            }
            let excused = match told.cause {
                Cause::Reconfigured | Cause::Restored => true,
                Cause::Commanded => self.forced == Forced::Yes,
                _ => false,
            };
            let worse = at(to).is_none_or(|to| !may_serve(seen.after, to));
            if worse && !excused {
                return broken("7.3", format!("{told:?} leads to a pool that is not usable: {:?}", seen.after.pools));
            }
            let left = at(from).is_some_and(|from| may_serve(seen.before, from) && may_serve(seen.after, from));
            if causes_flap(told.cause) && left && !matches!(seen.given, Given::Reload | Given::Order { .. }) {
                return broken("7.3", format!("{told:?} leaves a pool that may serve"));
            }
            if let Some(diverged) =
                at(from).filter(|_| causes_flap(told.cause)).map(|from| seen.before.pools[from].diverged)
                && diverged == Diverged::Yes
                && self.rules.after_writes != AfterWrites::Auto
            {
                self.lost_writes = Some(from.clone());
            } else if self.lost_writes.as_ref() == Some(to) {
                self.lost_writes = None;
            }
        }
        let now_at = &seen.after.pools[seen.after.serving.0].name;
        if serving != *now_at {
            return broken("7.2", format!("requests are at {now_at}, and it was told that at {serving}"));
        }
        Ok(())
    }

    /// 11: with a usable pool users are sent there.
    fn users(&mut self, seen: &Seen<'_>) -> Result<(), Broken> {
        let after = seen.after;
        let serves = may_serve(after, after.serving.0);
        let others = (0..after.pools.len()).any(|pool| may_serve(after, pool));
        let forced = self.forced == Forced::Yes
            && after.standing.iter().any(|standing| matches!(standing.command, Command::Failover { .. }));
        let excused = holds(after) || forced || seen.isolation == Isolation::Yes;
        let right = match (serves, excused) {
            (true, _) => after.routing == Routing::Serving,
            (false, true) => true,
            (false, false) => after.routing == Routing::Panic,
        };
        if !right {
            let what = format!("requests are routed as {:?}: {:?}", after.routing, after.pools);
            return Err(Broken { rule: "7.11", at: seen.now, what });
        }
        if serves || !others || excused {
            self.idle_since = None;
            return Ok(());
        }
        let since = *self.idle_since.get_or_insert(seen.now);
        let allowed = self.rules.min_dwell.max(self.pace.bound(&self.rules));
        if seen.now.since(since) > allowed {
            let what = format!("since {since} a pool is usable and requests are not sent there: {after:?}");
            return Err(Broken { rule: "7.11", at: seen.now, what });
        }
        Ok(())
    }

    /// 4: what has passed its threshold is acted on at once, unless nobody else is left or we are cut off.
    fn evidence(&mut self, seen: &Seen<'_>) -> Result<(), Broken> {
        if seen.isolation == Isolation::Yes || matches!(seen.given, Given::GoodAnswers) {
            return Ok(());
        }
        let all = || seen.after.pools.iter().flat_map(|pool| &pool.endpoints);
        let takes = |endpoint: &&EndpointSnapshot| endpoint.health.counts_as_up() && endpoint.drained == Drained::No;
        let up = seen.after.pools.iter().filter(|pool| pool.drained == Drained::No);
        let up = up.flat_map(|pool| &pool.endpoints).filter(takes).count();
        for endpoint in all().filter(|endpoint| endpoint.health.counts_as_up()) {
            let trip = f64::from(self.rules.trip);
            let tripped = seen
                .model
                .scores(endpoint.id)
                .is_some_and(|scores| Class::ALL.into_iter().any(|class| scores[class] >= trip));
            let alone = up <= 1 && endpoint.drained == Drained::No;
            if tripped && !alone {
                let what = format!("the score of {} is at {trip}, and it is up beside others", endpoint.name);
                return Err(Broken { rule: "7.4", at: seen.now, what });
            }
            let refused = self.refused.get(&endpoint.id).copied().unwrap_or(0);
            if refused >= self.rules.consecutive && matches!(seen.given, Given::Failures) && endpoint.since < seen.now {
                let what = format!("{} refused {refused} in a row, and is up", endpoint.name);
                return Err(Broken { rule: "7.4", at: seen.now, what });
            }
        }
        for endpoint in all().filter(|endpoint| !endpoint.health.counts_as_up()) {
            self.refused.remove(&endpoint.id);
        }
        Ok(())
    }

    /// 7 and §4: where writes may go.
    fn unsafe_requests(&mut self, seen: &Seen<'_>) -> Result<(), Broken> {
        let after = seen.after;
        let broken = |what| Err(Broken { rule: "7.7", at: seen.now, what });
        let shared = self.rules.after_writes == AfterWrites::Auto;
        if let Writes::To(to) = after.writes {
            if to != after.serving {
                return broken(format!("writes go to {to:?}, and {:?} serves", after.serving));
            }
            match self.writes[to.0] {
                PoolWrites::Refuse => return broken(format!("writes go to {to:?}, which refuses them")),
                PoolWrites::After(wait) if to.0 > 0 && seen.now < after.serving_since.after(wait) => {
                    return broken(format!(
                        "writes go to {to:?}, which takes them {wait:?} after {}",
                        after.serving_since
                    ));
                }
                PoolWrites::After(_) => {}
            }
            if let Some(lost) = &self.lost_writes {
                return broken(format!("writes go to {to:?}, and those that {lost} took are nowhere else"));
            }
            let read_only = |standing: &Standing| matches!(standing.command, Command::ReadOnly { .. });
            if after.standing.iter().any(read_only) {
                return broken("an operator made it read-only, and writes go on".to_owned());
            }
            let diverged = after.pools[after.serving.0].diverged == Diverged::Yes;
            if after.ramp.is_some() && diverged && !shared {
                return broken("requests return from a diverged pool, and writes go there".to_owned());
            }
        }
        for told in seen.told {
            match (&told.change, told.cause) {
                (
                    Change::Diverged { to: Diverged::No, .. },
                    Cause::Commanded | Cause::HoldDownOver | Cause::RampOver,
                ) => {}
                (Change::Diverged { to: Diverged::No, .. }, _) => {
                    return broken(format!("what was written is forgotten: {told:?}"));
                }
                (Change::Writes { to: Writes::To(_), .. }, Cause::ServingChanged) => {
                    // Those that run elsewhere are left at once: only health may do that.
                    let hasty = self.moved.is_some_and(|(at, cause)| at == seen.now && !causes_flap(cause));
                    let planned = hasty && !self.rules.write_drain.is_zero();
                    let reloaded = matches!(seen.given, Given::Reload | Given::Restore);
                    let same = seen.before.serving == after.serving;
                    if planned && !reloaded && !same {
                        return broken(format!("a planned move did not wait for writes: {told:?} in {:?}", seen.told));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
