//! One backend: what happens to its endpoints, and what follows for its pools, the serving pool and the writes.
//!
//! An input moves at most one endpoint; then [`Backend::settle`] brings the rest in line, in one order always: what is due at
//! endpoints, pools, the serving pool, writes, routing. Real requests that prove nothing (nearly all) end before that and
//! cost a few additions.
//!
//! **The last endpoint that counts as up**, in any pool, is not taken out by the answers to real requests: some of them are
//! better than none. Its score stands where it is, at most at `trip`, and is acted on as soon as another one counts as up.
//! Refused connects are the exception: nobody is left there who could answer.
//!
//! Not here: what an endpoint's health is (`endpoint`), which pool to choose (`serving`, `failback`), where writes go
//! (`writes`), how it is made of a setup (`configure`), how it is shown (`paint`).

use super::Why;
use super::commands::Command;
use super::endpoint::{Noted, Seen, counts_for_nothing, sooner};
use super::errored::Errored;
use super::evidence::{Elsewhere, ProbeReport, ProbeResult, TallyDelta};
use super::failback::{self, Ramped, Ramping};
use super::findings::{FINDING, Findings, Witness};
use super::memory::Diverged;
use super::pool::Pool;
use super::score::Weighed;
use super::serving::{Commanded, Flap, Move, Scene, Serving, Step};
use super::setup::{AfterWrites, Rules};
use super::snapshot::{BackendSnapshot, Drained, Enforced, Lagging, Standing, Waiting, Writes};
use super::transition::{Cause, Change, CommandStep, Evidence, Isolation, RampStep, Routing, Steadiness, Transition};
use super::units::{Class, EndpointId, Moment, Name};
use super::writes::{Looked, WritesState};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One backend's state.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub name: Name,
    pub rules: Rules,
    pub pools: Vec<Pool>,
    pub serving: Serving,
    pub writes: WritesState,
    pub commanded: Commanded,
    /// Commands that stand for it.
    pub standing: Vec<Standing>,
    pub findings: Findings,
    pub isolation: Isolation,
    /// Until then, requests that were answered by nobody prove nothing: they were sent while we were cut off.
    pub void_until: Moment,
    pub waiting: Option<Waiting>,
    /// When time alone will change something next, at the latest: it may have moved further away since.
    pub deadline: Option<(Moment, Why)>,
    /// The same of all but its endpoints, as of when it was last settled: what moves those deadlines settles it.
    pub decides: Option<(Moment, Why)>,
    /// Endpoints that ought to be probed at once.
    pub asks: BTreeSet<EndpointId>,
    /// What was last told of it all; a new one only when something in it changed.
    pub picture: Arc<BackendSnapshot>,
    /// Whether something was told since.
    pub told: bool,
    /// Whether the picture is another one than when the model last noted it.
    pub repainted: bool,
}

/// A connect that was begun while nobody answered has failed by then.
const AFTER_ISOLATION: Duration = Duration::from_secs(2);

/// An endpoint's place in its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub pool: usize,
    pub endpoint: usize,
}

/// Whether anything about a backend is to be noted after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Nothing,
    Something,
}

impl Backend {
    /// What a probe's end means for everything but health.
    pub(super) fn note_probe(&mut self, now: Moment, place: Place, report: &ProbeReport) {
        let endpoint = &mut self.pools[place.pool].endpoints[place.endpoint];
        let shown = endpoint.lag.shown();
        endpoint.note_probe(now, report);
        self.told |= endpoint.lag.shown() != shown;
    }

    /// A probe ended, which was noted.
    pub(super) fn probe(&mut self, now: Moment, place: Place, report: &ProbeReport, out: &mut Vec<Transition>) {
        let pool = &mut self.pools[place.pool];
        let endpoint = &mut pool.endpoints[place.endpoint];
        if self.isolation == Isolation::No && !counts_for_nothing(report) {
            pool.record.note_probe(report.result);
            let seen = match report.result {
                ProbeResult::Passed => Some(Seen::ProbePassed(self.serving.routing)),
                ProbeResult::Failed(how) => Some(Seen::ProbeFailed(how)),
                ProbeResult::Void(_) => None,
            };
            if let Some(seen) = seen {
                if report.result != ProbeResult::Passed {
                    endpoint.doubt_from(report.began);
                }
                self.see(now, place, seen, out);
                self.pools[place.pool].endpoints[place.endpoint].review_doubt(report.began);
            }
        }
        self.settle(now, out); // even if nothing moved: failback asks for the share of probes passed
    }

    /// Real requests ended, or how things stand has changed.
    #[inline]
    pub(super) fn tally(
        &mut self,
        now: Moment,
        place: Place,
        delta: &TallyDelta,
        out: &mut Vec<Transition>,
    ) -> Follows {
        let pool = &mut self.pools[place.pool];
        let endpoint = &mut pool.endpoints[place.endpoint];
        let noted = endpoint.note_tally(now, delta);
        if delta.good[Class::Unsafe] > 0 || delta.writes_running > 0 {
            pool.record.last_write = Some(now);
        }
        let calm = self.serving.routing == Routing::Serving && self.serving.ramp.is_none();
        let quiet = noted == Noted::Quiet && calm && self.isolation == Isolation::No;
        if quiet && !matches!(self.writes.stands, Writes::Pausing { .. }) {
            let due = endpoint.silence.deadline();
            return self.note_silence(due);
        }
        self.tally_in_full(now, place, delta, out);
        Follows::Something
    }

    /// All that a quiet tally may bring nearer. A deadline too many does no harm: so nobody asks who is the last one up.
    fn note_silence(&mut self, due: Option<(Moment, Why)>) -> Follows {
        match (due, self.deadline) {
            (Some(due), Some(soonest)) if due.0 >= soonest.0 => Follows::Nothing,
            (Some(due), Some(_) | None) => {
                self.deadline = Some(due);
                Follows::Something
            }
            (None, _) => Follows::Nothing,
        }
    }

    fn tally_in_full(&mut self, now: Moment, place: Place, delta: &TallyDelta, out: &mut Vec<Transition>) {
        let failed = self.weigh(now, delta);
        if failed.iter().any(|failure| failure.request.class == Class::Unsafe) {
            self.pools[place.pool].record.last_write = Some(now);
        }
        self.note_ramp(place.pool, delta);
        if self.isolation == Isolation::No {
            let good = delta.good[Class::Safe].saturating_add(delta.good[Class::Unsafe]);
            let was_up = self.pools[place.pool].endpoints[place.endpoint].counts_as_up();
            if good > 0 {
                self.see(now, place, Seen::Answered(good, self.serving.routing), out);
            }
            let endpoint = &mut self.pools[place.pool].endpoints[place.endpoint];
            if endpoint.counts_as_up() == was_up {
                // Else what failed beside the good answer was begun while the endpoint was down, and is no evidence.
                let found = endpoint.note_ended(now, delta, &failed, &self.rules);
                if let Some(evidence) = found {
                    self.tell_steadiness(now, place, Cause::ErroredSeconds, evidence, out);
                }
                let weighted = failed.iter().find(|failure| failure.halves > 0);
                if let Some(failure) = weighted {
                    self.see(now, place, Seen::Failed(failure.request.class), out);
                }
            }
        }
        self.settle(now, out);
    }

    /// We are no longer cut off: what was sent meanwhile, and still waits or is yet to fail, is void.
    pub(super) fn end_isolation(&mut self, now: Moment) {
        self.void_until = now.after(AFTER_ISOLATION);
        let endpoints = self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints);
        endpoints.for_each(|endpoint| endpoint.silence.note_answer(now));
    }

    /// It was us who were cut off since then: what was counted is void, and so is an ejection for what was seen since.
    pub(super) fn void_doubts(&mut self, now: Moment, since: Moment, out: &mut Vec<Transition>) {
        for pool in 0..self.pools.len() {
            for endpoint in 0..self.pools[pool].endpoints.len() {
                if self.pools[pool].endpoints[endpoint].doubt.since().is_some_and(|first| first >= since) {
                    self.see(now, Place { pool, endpoint }, Seen::CutOff, out);
                }
                self.pools[pool].endpoints[endpoint].void_doubts(since);
            }
        }
        self.told = true;
    }

    /// Asks of each failure whose fault it was.
    fn weigh(&mut self, now: Moment, delta: &TallyDelta) -> Vec<Weighed> {
        let pools = &self.pools;
        let witness = |id: EndpointId| {
            let found = pools.iter().find_map(|pool| {
                pool.endpoints.iter().find(|endpoint| endpoint.id == id).map(|endpoint| (pool, endpoint))
            });
            let good = found.is_some_and(|(pool, endpoint)| {
                let answers = endpoint.last_well.is_some_and(|at| now.since(at) <= FINDING);
                let counts = pool.lagging == Lagging::Fresh && pool.drained == Drained::No;
                endpoint.takes_requests() && answers && counts
            });
            if good { Witness::Good } else { Witness::Bad }
        };
        let (findings, is_void) = (&mut self.findings, now < self.void_until);
        let weighed = delta.failed.iter().map(|request| findings.weigh(now, *request, witness));
        let voided = weighed.map(|failure| match is_void && !failure.request.kind.is_an_answer() {
            true => Weighed { halves: 0, ..failure },
            false => failure,
        });
        voided.collect()
    }

    fn note_ramp(&mut self, pool: usize, delta: &TallyDelta) {
        if self.serving.ramp.is_some() {
            let blamed = delta.failed.iter().filter(|failure| failure.elsewhere == Elsewhere::Well).count();
            let ramped = &mut self.pools[pool].record.ramped;
            ramped.blamed = ramped.blamed.saturating_add(u32::try_from(blamed).unwrap_or(u32::MAX));
            ramped.of = ramped.of.saturating_add(delta.requests());
        }
    }

    /// Brings everything in line with what stands now: after an input, and when a deadline has come.
    pub(super) fn settle(&mut self, now: Moment, out: &mut Vec<Transition>) {
        if self.isolation == Isolation::No {
            self.settle_endpoints(now, out);
        }
        self.judge_pools(now, Cause::EndpointsChanged, out);
        self.choose_pool(now, out);
        self.place_writes(now, out);
        self.route(now, out);
        self.ask_for_life(now);
        self.decides = self.serving.deadline(self.scene(now)).into_iter().chain(self.writes.deadline()).min();
        self.deadline = self.next_deadline();
        self.note_waiting(now, out);
        self.paint();
    }

    /// Acts on what is due at each endpoint, which may have waited while it was the last one up.
    fn settle_endpoints(&mut self, now: Moment, out: &mut Vec<Transition>) {
        // Once more when something moved: who comes up sets others free. Each time one more is up or out for good, so that two
        // rounds do, and a third is for what nobody thought of.
        for _ in 0..3 {
            let told = out.len();
            for pool in 0..self.pools.len() {
                for endpoint in 0..self.pools[pool].endpoints.len() {
                    let place = Place { pool, endpoint };
                    self.settle_one(now, place, out);
                }
            }
            if out.len() == told {
                break;
            }
        }
    }

    fn settle_one(&mut self, now: Moment, place: Place, out: &mut Vec<Transition>) {
        let calm = self.pools[place.pool].endpoints[place.endpoint].errored.calm_at().is_some_and(|at| at <= now);
        if calm {
            let evidence = self.pools[place.pool].endpoints[place.endpoint].errored.calm(self.rules.intermittent);
            self.tell_steadiness(now, place, Cause::CalmAgain, evidence, out);
        }
        if self.pools[place.pool].endpoints[place.endpoint].asks_at().is_some_and(|at| at <= now) {
            self.ask(now, place);
        }
        // Each application ends what it was due for: suspicion, verdict, and that is all there can be at one moment.
        for _ in 0..3 {
            let pool = &self.pools[place.pool];
            let alone = pool.alone(place.endpoint, self.up());
            let Some(seen) = pool.endpoints[place.endpoint].due(now, alone, &self.rules) else { return };
            self.see(now, place, seen, out);
        }
    }

    fn ask(&mut self, now: Moment, place: Place) {
        let endpoint = &mut self.pools[place.pool].endpoints[place.endpoint];
        endpoint.silence.note_asked(now);
        self.asks.insert(endpoint.id);
    }

    pub(super) fn judge_pools(&mut self, now: Moment, cause: Cause, out: &mut Vec<Transition>) {
        for index in 0..self.pools.len() {
            let pool = &mut self.pools[index];
            let to = pool.judge(self.rules.min_up);
            let from = std::mem::replace(&mut pool.health, to);
            if from != to {
                let evidence = pool.evidence(self.rules.min_up);
                let change = Change::Pool { pool: pool.name.clone(), from, to };
                let first = pool.first_evidence();
                self.tell_since(now, change, cause, evidence, first, out);
            }
            let pool = &mut self.pools[index];
            let to = pool.judge_lag(index, &self.rules);
            let from = std::mem::replace(&mut pool.lagging, to);
            if from != to {
                let evidence = Evidence::Lag { behind: pool.behind(), most: self.rules.max_lag.unwrap_or_default() };
                self.tell(now, Change::Lag { pool: self.pools[index].name.clone(), to }, Cause::Lag, evidence, out);
            }
        }
    }

    /// One step at most in nearly every case, and never more than a few: after a move the serving pool may serve, and each
    /// further one is a return to a lower rank.
    fn choose_pool(&mut self, now: Moment, out: &mut Vec<Transition>) {
        self.track(now);
        for _ in 0..=self.pools.len() {
            let Some(step) = self.serving.decide(self.scene(now)) else { break };
            match step {
                Step::Move(step) => self.go(now, step, out),
                Step::BeginRamp { to, cause, evidence } => {
                    self.pools.iter_mut().for_each(|pool| pool.record.ramped = Ramped::default());
                    self.serving.ramp = Some(Ramping { to, began: now });
                    self.serving.leave = None;
                    self.tell_ramp(now, to, RampStep::Began, cause, evidence, out);
                }
                Step::AbortRamp { cause, evidence, flap } => {
                    if let Some(Ramping { to, .. }) = self.serving.ramp.take() {
                        let record = &mut self.pools[to].record;
                        record.restart();
                        if flap == Flap::Counted {
                            record.note_failover(false);
                        }
                        self.tell_ramp(now, to, RampStep::Aborted, cause, evidence, out);
                    }
                }
            }
            self.track(now);
        }
        self.follow_preference(now, out);
    }

    fn go(&mut self, now: Moment, step: Move, out: &mut Vec<Transition>) {
        let from = self.serving.pool;
        let name = |index: usize| self.pools[index].name.clone();
        let change = Change::Serving { from: name(from), to: name(step.to) };
        if step.cause == Cause::PoolUnusable {
            self.note_outage(now, from, out);
        }
        let (rules, commanded) = (self.rules, self.commanded.clone());
        let scene = Scene { now, pools: &self.pools, rules: &rules, commanded: &commanded, isolation: self.isolation };
        let diverged = self.writes.moved(from, step.to, step.how, scene);
        self.serving.go(now, &step, &mut self.pools);
        self.pools[step.to].record.writes_failed = false;
        self.tell_since(now, change, step.cause, step.evidence, step.first_evidence, out);
        self.set_diverged(now, from, diverged, step.cause, out);
    }

    /// The seconds of an outage that led to a failover count together, at each endpoint that is out.
    fn note_outage(&mut self, now: Moment, pool: usize, out: &mut Vec<Transition>) {
        for endpoint in 0..self.pools[pool].endpoints.len() {
            let found = &mut self.pools[pool].endpoints[endpoint];
            let is_out = !found.counts_as_up();
            let evidence =
                if is_out { Errored::note_outage(&mut found.errored, now, self.rules.intermittent) } else { None };
            if let Some(evidence) = evidence {
                self.tell_steadiness(now, Place { pool, endpoint }, Cause::ErroredSeconds, evidence, out);
            }
        }
    }

    pub(super) fn set_diverged(
        &mut self,
        now: Moment,
        pool: usize,
        to: Diverged,
        cause: Cause,
        out: &mut Vec<Transition>,
    ) {
        let from = std::mem::replace(&mut self.pools[pool].record.diverged, to);
        if from != to {
            self.tell(
                now,
                Change::Diverged { pool: self.pools[pool].name.clone(), to },
                cause,
                Evidence::Configured,
                out,
            );
        }
    }

    /// Says when an operator's preference can't be followed, and when it can again.
    fn follow_preference(&mut self, now: Moment, out: &mut Vec<Transition>) {
        let Some(to) = self.serving.enforced(self.scene(now)) else { return };
        let Some(prefer) = &mut self.commanded.prefer else { return };
        let from = std::mem::replace(&mut prefer.enforced, to);
        let Some(standing) =
            self.standing.iter_mut().find(|standing| matches!(standing.command, Command::Failover { .. }))
        else {
            return;
        };
        standing.force = to;
        if from != to {
            let step = match to {
                Enforced::Now => CommandStep::Resumed,
                Enforced::Suspended => CommandStep::Suspended,
            };
            let change = Change::Command { command: standing.command.clone(), step };
            let evidence = self.pools[prefer.pool].evidence(self.rules.min_up);
            self.tell(now, change, Cause::PoolUnusable, evidence, out);
        }
    }

    /// Once more after the first time that writes are possible: what follows from a pool's having diverged follows at once.
    fn place_writes(&mut self, now: Moment, out: &mut Vec<Transition>) {
        for _ in 0..2 {
            let (rules, commanded) = (self.rules, self.commanded.clone());
            let scene =
                Scene { now, pools: &self.pools, rules: &rules, commanded: &commanded, isolation: self.isolation };
            let Looked { to, cause, left } = self.writes.look(&self.serving, scene);
            let from = std::mem::replace(&mut self.writes.stands, to);
            if from == to {
                return;
            }
            for (pool, count) in left {
                let change = Change::WritesLeft { pool: self.pools[pool].name.clone(), count };
                self.tell(now, change, cause, Evidence::Configured, out);
            }
            let pool = self.pools[self.serving.pool].name.clone();
            self.tell(now, Change::Writes { pool, from, to }, cause, Evidence::Configured, out);
            match to {
                Writes::To(pool) if pool.0 > 0 && self.rules.after_writes != AfterWrites::Auto => {
                    self.set_diverged(now, pool.0, Diverged::Yes, Cause::WritesPossible, out);
                }
                Writes::To(_) | Writes::Pausing { .. } | Writes::Refused(_) => return,
            }
        }
    }

    fn route(&mut self, now: Moment, out: &mut Vec<Transition>) {
        let scene = self.scene(now);
        let to = self.serving.route(scene);
        let cause = match to {
            Routing::Serving => Cause::PoolUsable,
            Routing::Held => Cause::Commanded,
            Routing::Panic => self.serving.why_panic(scene),
        };
        let from = std::mem::replace(&mut self.serving.routing, to);
        if from != to {
            let evidence = self.pools[self.serving.pool].evidence(self.rules.min_up);
            self.tell(now, Change::Routing { from, to }, cause, evidence, out);
        }
    }

    /// Asks the pools that could be gone to for a sign of life.
    fn ask_for_life(&mut self, now: Moment) {
        let unheard: Vec<usize> = self.serving.unheard(self.scene(now)).collect();
        for pool in unheard {
            let up = self.pools[pool].endpoints.iter().filter(|endpoint| endpoint.takes_requests());
            self.asks.extend(up.map(|endpoint| endpoint.id));
        }
    }

    fn note_waiting(&mut self, now: Moment, out: &mut Vec<Transition>) {
        let to = failback::waiting(&self.serving, self.scene(now));
        let from = std::mem::replace(&mut self.waiting, to);
        let same = match (from, to) {
            (Some(from), Some(to)) => from.is_like(to),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        // A new moment for the same thing is shown, and not told: it would be told with every miss.
        self.told |= from != to;
        if !same {
            self.tell(now, Change::Waiting { from, to }, Cause::WaitChanged, Evidence::Configured, out);
        }
    }

    /// Whether what was due at `deadline` still is. Most often it was about a silence, and a request has been answered since:
    /// then there is nothing to settle.
    pub(super) fn is_due(&mut self, now: Moment) -> bool {
        self.deadline = self.next_deadline();
        self.deadline.is_some_and(|(at, _)| at <= now)
    }

    fn next_deadline(&self) -> Option<(Moment, Why)> {
        let mut next = self.decides;
        if self.isolation == Isolation::No {
            let up = self.up();
            for pool in &self.pools {
                for (index, endpoint) in pool.endpoints.iter().enumerate() {
                    next = sooner(next, endpoint.deadline(pool.alone(index, up), &self.rules));
                }
            }
        }
        next
    }

    pub(super) fn scene(&self, now: Moment) -> Scene<'_> {
        Scene { now, pools: &self.pools, rules: &self.rules, commanded: &self.commanded, isolation: self.isolation }
    }

    fn track(&mut self, now: Moment) {
        let prefer = self.commanded.prefer.map(|prefer| prefer.pool);
        failback::track(now, &self.serving, prefer, &mut self.pools);
    }

    /// Applies one thing seen to one endpoint.
    fn see(&mut self, now: Moment, place: Place, seen: Seen, out: &mut Vec<Transition>) {
        let Pool { endpoints, name, record, .. } = &mut self.pools[place.pool];
        let endpoint = &mut endpoints[place.endpoint];
        let Some(moved) = endpoint.apply(now, seen, &self.rules) else { return };
        record.writes_failed |= seen.is_of_writes();
        let change = Change::Endpoint {
            id: endpoint.id,
            pool: name.clone(),
            endpoint: endpoint.name.clone(),
            from: moved.from,
            to: moved.to,
        };
        self.tell_since(now, change, moved.cause, moved.evidence, moved.first_evidence, out);
    }

    fn tell_steadiness(
        &mut self,
        now: Moment,
        place: Place,
        cause: Cause,
        evidence: Evidence,
        out: &mut Vec<Transition>,
    ) {
        let pool = &self.pools[place.pool];
        let endpoint = &pool.endpoints[place.endpoint];
        let to: Steadiness = endpoint.errored.steadiness();
        let change =
            Change::Steadiness { id: endpoint.id, pool: pool.name.clone(), endpoint: endpoint.name.clone(), to };
        self.tell(now, change, cause, evidence, out);
    }

    fn tell_ramp(
        &mut self,
        now: Moment,
        to: usize,
        step: RampStep,
        cause: Cause,
        evidence: Evidence,
        out: &mut Vec<Transition>,
    ) {
        let name = |index: usize| self.pools[index].name.clone();
        let change = Change::Ramp { from: name(self.serving.pool), to: name(to), step };
        self.tell(now, change, cause, evidence, out);
    }

    pub(super) fn tell(
        &mut self,
        at: Moment,
        change: Change,
        cause: Cause,
        evidence: Evidence,
        out: &mut Vec<Transition>,
    ) {
        self.tell_since(at, change, cause, evidence, None, out);
    }

    fn tell_since(
        &mut self,
        at: Moment,
        change: Change,
        cause: Cause,
        evidence: Evidence,
        first_evidence: Option<Moment>,
        out: &mut Vec<Transition>,
    ) {
        self.told = true;
        out.push(Transition { at, backend: Some(self.name.clone()), change, cause, evidence, first_evidence });
    }

    /// How many endpoints count as up, in all pools, and may be sent requests.
    fn up(&self) -> usize {
        let all = self.pools.iter().flat_map(|pool| &pool.endpoints);
        all.filter(|endpoint| endpoint.takes_requests()).count()
    }
}
