//! Rule 8: failback never before its rules allow. Kept by looking at snapshots and probes, beside the core's own books.

use crate::plan::Plan;
use crate::watch::{Broken, Given, Seen, causes_flap};
use hotspare::domain::*;
use std::collections::BTreeMap;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

pub struct WayBack {
    rules: Rules,
    pools: Vec<Record>,
    serving_since: Moment,
    /// Where safe requests return to, and since when.
    ramp: Option<(Name, Moment)>,
    lags: BTreeMap<EndpointId, Duration>,
}

#[derive(Clone, Debug, Default)]
struct Record {
    failovers: u32,
    writes_failed: bool,
    /// While it could take over: since when, probes passed, probes missed.
    well: Option<(Moment, u64, u64)>,
}

impl WayBack {
    pub fn new(plan: &Plan, now: Moment) -> WayBack {
        WayBack {
            rules: plan.rules,
            pools: vec![Record::default(); plan.pools.len()],
            serving_since: now,
            ramp: None,
            lags: BTreeMap::new(),
        }
    }

    pub fn restarts(&mut self) {
        self.pools.iter_mut().for_each(|pool| pool.well = None);
        self.ramp = None;
        self.lags.clear();
    }

    /// How long a pool must have been well now.
    pub fn hold_down(&self, pool: usize) -> Duration {
        let Record { failovers, writes_failed, .. } = self.pools[pool];
        let least = if writes_failed { Duration::from_secs(300) } else { Duration::ZERO };
        let stable_for = self.rules.stable_for.max(least);
        let most = HOUR.max(stable_for);
        (1..failovers).fold(stable_for, |span, _| (span * 2).min(most))
    }

    /// Whether too many of its probes failed for it to serve again.
    pub fn probes_object(&self, pool: usize) -> bool {
        self.pools[pool].well.is_some_and(|(_, passed, missed)| missed > 2 && missed * 100 > passed + missed)
    }

    /// Before the step's transitions are followed.
    pub fn note(&mut self, seen: &Seen<'_>) {
        let Given::Probe { id, pool, report } = seen.given else { return };
        if let Lag::Behind(lag) = report.lag {
            self.lags.insert(*id, lag);
        }
        if seen.isolation == Isolation::Yes {
            return;
        }
        if let Some((_, passed, missed)) = &mut self.pools[*pool].well {
            match report.result {
                ProbeResult::Passed => *passed += 1,
                ProbeResult::Failed(how) if how.heard() == Heard::Silence && report.answered_meanwhile >= 3 => {}
                ProbeResult::Failed(_) => *missed += 1,
                ProbeResult::Void(_) => {}
            }
        }
    }

    pub fn follow(&mut self, seen: &Seen<'_>, told: &Transition) -> Result<(), Broken> {
        let at = |name: &Name| seen.after.pools.iter().position(|pool| pool.name == *name);
        match &told.change {
            Change::Endpoint { pool, to, .. } if !to.counts_as_up() => {
                if let (Evidence::Requests { class: Class::Unsafe, .. }, Some(pool)) = (told.evidence, at(pool)) {
                    self.pools[pool].writes_failed = true;
                }
            }
            Change::Ramp { from, to, step: RampStep::Began } => {
                self.ramp = Some((to.clone(), seen.now));
                if told.cause == Cause::HoldDownOver {
                    self.allowed(seen, from, to)?;
                }
            }
            Change::Ramp { to, step: RampStep::Aborted, .. } => {
                self.ramp = None;
                if let (Cause::RampLost | Cause::RampFailures, Some(to)) = (told.cause, at(to)) {
                    self.pools[to].failovers += 1;
                }
                if let Some(to) = at(to) {
                    self.pools[to].well = None;
                }
            }
            Change::Serving { from, to } => {
                match told.cause {
                    Cause::HoldDownOver => self.allowed(seen, from, to)?,
                    Cause::RampOver => {
                        let ramped = self.ramp.take().filter(|(towards, _)| towards == to);
                        let long = ramped.is_some_and(|(_, began)| seen.now.since(began) >= self.rules.ramp);
                        if !long {
                            let what = format!("the ramp that ends was not one: {told:?}");
                            return Err(Broken { rule: "7.8", at: seen.now, what });
                        }
                    }
                    _ => {}
                }
                if let Some(from) = at(from).filter(|_| causes_flap(told.cause)) {
                    let calm = seen.now.since(self.serving_since) >= HOUR;
                    let failovers = self.pools[from].failovers;
                    self.pools[from].failovers = if calm { 1 } else { failovers + 1 };
                }
                if let Some(to) = at(to) {
                    self.pools[to].writes_failed = false;
                }
                self.ramp = None;
                self.serving_since = seen.now;
            }
            _ => {}
        }
        Ok(())
    }

    fn allowed(&self, seen: &Seen<'_>, from: &Name, to: &Name) -> Result<(), Broken> {
        let broken = |what: String| Err(Broken { rule: "7.8", at: seen.now, what });
        let Some(pool) = seen.after.pools.iter().position(|pool| pool.name == *to) else { return Ok(()) };
        let zero = self.hold_down(pool).is_zero();
        let well = self.pools[pool].well.or(zero.then_some((seen.now, 0, 0)));
        let Some((since, passed, missed)) = well else {
            return broken(format!("failback to {to}, which was not well before"));
        };
        let (up_for, needed) = (seen.now.since(since), self.hold_down(pool));
        if up_for < needed {
            return broken(format!("failback to {to} after {up_for:?} of {needed:?}"));
        }
        if self.probes_object(pool) {
            return broken(format!("failback to {to} with {missed} of {} probes missed", passed + missed));
        }
        if self.rules.failback == Failback::Manual {
            return broken("failback is manual".to_owned());
        }
        let commanded =
            |standing: &Standing| matches!(standing.command, Command::Hold { .. } | Command::Failover { .. });
        if seen.after.standing.iter().any(commanded) {
            return broken(format!("failback against a command: {:?}", seen.after.standing));
        }
        let target = &seen.after.pools[pool];
        if target.endpoints.iter().any(|endpoint| endpoint.steadiness == Steadiness::Intermittent) {
            return broken(format!("failback to {to}, which is intermittent"));
        }
        let left = seen.before.pools.iter().find(|pool| pool.name == *from);
        let diverged = left.is_some_and(|pool| pool.diverged == Diverged::Yes);
        let most = self.rules.max_lag.unwrap_or(Duration::from_secs(1));
        let up = target.endpoints.iter().filter(|endpoint| endpoint.health.counts_as_up());
        let in_sync = up
            .filter(|endpoint| endpoint.drained == Drained::No)
            .all(|endpoint| self.lags.get(&endpoint.id).is_some_and(|lag| *lag <= most));
        match self.rules.after_writes {
            AfterWrites::Manual if diverged => broken("the spare has diverged, and after_writes is manual".to_owned()),
            AfterWrites::InSync if diverged && !in_sync => broken(format!("{to} is not in sync: {:?}", self.lags)),
            AfterWrites::Manual | AfterWrites::InSync | AfterWrites::Auto => Ok(()),
        }
    }

    /// After the step's transitions were followed.
    pub fn look(&mut self, seen: &Seen<'_>) {
        let of = seen.after;
        let share = |pool: usize| {
            let drained = of.pools[pool].endpoints.iter().all(|endpoint| endpoint.drained == Drained::Yes);
            let counted =
                || of.pools[pool].endpoints.iter().filter(|endpoint| drained || endpoint.drained == Drained::No);
            (counted().filter(|endpoint| endpoint.health.counts_as_up()).count(), counted().count())
        };
        let (up_serving, of_serving) = share(of.serving.0);
        for pool in 0..of.pools.len() {
            let (up, all) = share(pool);
            let well = pool < of.serving.0 && of.pools[pool].may_serve() && up * of_serving >= up_serving * all;
            let record = &mut self.pools[pool];
            record.well = if well { record.well.or(Some((seen.now, 0, 0))) } else { None };
        }
    }
}
