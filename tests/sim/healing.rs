//! Rules 4 (by probes alone) and 12: what must have come about by a certain time, given what is really wrong.

use crate::plan::Heal;
use crate::world::World;
use hotspare::domain::*;
use std::time::Duration;

const A_MINUTE: Duration = Duration::from_secs(60);
/// Nothing takes longer to heal: an hour of hold-down, an hour's ejection, and what is between.
const LONGEST: Duration = Duration::from_secs(3 * 3_600);

impl World {
    /// Whether the run may end. Where it may not, though it has had its time, rule 12 is broken.
    pub fn is_over(&mut self) -> bool {
        let Some(healed) = self.healing else { return false };
        if self.plan.heal == Heal::None {
            return true;
        }
        let snapshot = self.view.snapshot.clone();
        let all = || snapshot.pools.iter().flat_map(|pool| &pool.endpoints);
        let served = all().filter_map(|endpoint| match endpoint.health {
            Health::Down(Out::Ejected { until, .. }) => Some(until),
            Health::Unproven
            | Health::Up { .. }
            | Health::Suspect { .. }
            | Health::Down(Out::ByProbes { .. } | Out::ByRefusals { .. })
            | Health::Probation { .. } => None,
        });
        self.well_from = served.fold(self.well_from.max(healed), Moment::max);
        let rules = &self.plan.rules;
        // Where intermittent endpoints are taken out, they come back when they have been calm for long.
        let excused = |shown: &EndpointSnapshot| {
            let out = matches!(shown.health, Health::Down(Out::Ejected { .. }));
            out && shown.steadiness == Steadiness::Intermittent && rules.on_intermittent == OnIntermittent::Eject
        };
        if all().any(excused) {
            self.well_from = self.now;
        }
        let ramps = rules.ramp * u32::try_from(snapshot.pools.len() - 1).unwrap();
        let hold_down = self.watch.way_back.hold_down(0);
        self.due = self.due.max(self.well_from.after(A_MINUTE + hold_down + ramps + Duration::from_secs(10)));
        let all_up = all().all(|endpoint| matches!(endpoint.health, Health::Up { .. }));
        let back = snapshot.serving.0 == 0 && snapshot.ramp.is_none();
        let writes = self.writes_are_explained(&snapshot);
        if all_up && writes && (back || (self.is_explained(&snapshot) && self.now > self.well_from.after(A_MINUTE))) {
            return true;
        }
        let late = self.now > self.due || self.now > healed.after(LONGEST);
        if late && !all_up {
            let down: Vec<_> = all().filter(|endpoint| !matches!(endpoint.health, Health::Up { .. })).collect();
            self.breaks("7.12", format!("healed at {healed}, and not up: {down:?}"));
        } else if late && !back && !self.is_explained(&snapshot) {
            let (waiting, standing) = (&snapshot.waiting, &snapshot.standing);
            let what =
                format!("healed at {healed}, {} serves, waiting for {waiting:?}, {standing:?}", snapshot.serving.0);
            self.breaks("7.12", what);
        } else if late && !writes {
            self.breaks("7.12", format!("healed at {healed}, and writes are {:?}", snapshot.writes));
        }
        false
    }

    /// Whether a rule says to wait, and the snapshot says which.
    fn is_explained(&self, snapshot: &BackendSnapshot) -> bool {
        let rules = &self.plan.rules;
        let stands = |fits: fn(&Command) -> bool| snapshot.standing.iter().any(|standing| fits(&standing.command));
        match snapshot.waiting {
            Some(Waiting::AfterWrites { rule, .. }) => {
                rule == rules.after_writes && snapshot.pools[snapshot.serving.0].diverged == Diverged::Yes
            }
            Some(Waiting::Manual { .. }) => rules.failback == Failback::Manual,
            Some(Waiting::Intermittent { pool }) => {
                snapshot.pools[pool.0].endpoints.iter().any(|shown| shown.steadiness == Steadiness::Intermittent)
            }
            Some(Waiting::Probes { pool }) => self.watch.way_back.probes_object(pool.0),
            Some(Waiting::Commanded { .. }) => {
                stands(|command| matches!(command, Command::Hold { .. } | Command::Failover { .. }))
            }
            Some(Waiting::Drained { .. }) => stands(|command| matches!(command, Command::Drain { .. })),
            // A pool of fewer endpoints, the others being drained, is as well as can be.
            Some(Waiting::NotWell { .. } | Waiting::Stale { .. } | Waiting::HoldDown { .. } | Waiting::Ramp { .. })
            | None => false,
        }
    }

    /// Whether writes go where requests go, or the snapshot says why not.
    fn writes_are_explained(&self, snapshot: &BackendSnapshot) -> bool {
        match snapshot.writes {
            Writes::To(to) => to == snapshot.serving,
            Writes::Pausing { .. } => false,
            Writes::Refused(why) => match why {
                ReadOnly::Commanded => {
                    snapshot.standing.iter().any(|standing| matches!(standing.command, Command::ReadOnly { .. }))
                }
                ReadOnly::Pool => self.plan.pools[snapshot.serving.0].writes == PoolWrites::Refuse,
                ReadOnly::UntilAck => true,
                // A spare that mirrors the first pool is never quite there.
                ReadOnly::CatchingUp => !self.lag(snapshot.serving.0).is_zero(),
                ReadOnly::NotYet { .. } | ReadOnly::FailingBack => false,
            },
        }
    }

    /// Rule 4: a hard failure must be known by now.
    pub fn must_be_down(&mut self, item: usize) {
        let bound = self.plan.pace.bound(&self.plan.rules);
        let since = self.now.since_start().checked_sub(bound + Duration::from_millis(20)).unwrap_or_default();
        let since = Moment::at(since);
        let excused = |at: Option<Moment>| at.is_some_and(|at| at >= since);
        if excused(self.watch.isolated_at) || excused(self.watch.restarted_at) {
            return;
        }
        for endpoint in &self.endpoints {
            let hit = endpoint.faults.iter().any(|(of, ..)| *of == item);
            let health = endpoint.id.filter(|_| hit).and_then(|id| self.model.health(id));
            if health.is_some_and(Health::counts_as_up) {
                let what = format!("{} is broken since {since}, and {health:?}", endpoint.name);
                self.breaks("7.4", what);
                return;
            }
        }
    }
}
