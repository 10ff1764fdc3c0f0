//! What is noted of one endpoint's tallies and probes, and what follows from that as it stands: verdicts, suspicions, deadlines.
//!
//! Not here: what a verdict does to its health (the machine in `endpoint`).

use super::super::Why;
use super::super::evidence::{FailureKind, Heard, ProbeReport, ProbeResult, TallyDelta};
use super::super::score::{Weighed, half_of_trip};
use super::super::setup::{OnIntermittent, Rules};
use super::super::transition::{Evidence, Steadiness};
use super::super::units::{Class, Moment};
use super::super::usual::Changed;
use super::{Endpoint, Health, NO_CANDIDATE, Out, PROVEN_BY_PROBES, Score, Seen, Suspicion, Verdict};

/// What an open hedge may yet add to the score, in thousandths of a point: half of what a failure does.
const OPEN_HEDGE: u64 = 1_500;
/// So many real requests answered well make a probe that heard nothing count for nothing.
const ENOUGH_ANSWERED: u32 = 3;

/// Whether an endpoint is the last of its backend that counts as up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Alone {
    No,
    Yes,
}

/// What an endpoint's newest probe heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Newest {
    /// None has ended yet.
    None,
    Something,
    Nothing {
        began: Moment,
    },
}

/// When the present evidence against an endpoint began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Doubt {
    None,
    Since(Moment),
}

impl Doubt {
    pub(in super::super) fn since(self) -> Option<Moment> {
        match self {
            Doubt::None => None,
            Doubt::Since(since) => Some(since),
        }
    }
}

/// Whether a delta holds more than good answers and how things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Noted {
    Quiet,
    Telling,
}

impl Endpoint {
    /// How things stand there, and the good answers: all that most deltas hold.
    #[inline]
    pub(in super::super) fn note_tally(&mut self, now: Moment, delta: &TallyDelta) -> Noted {
        self.silence.pending = delta.pending;
        if let Some(at) = delta.last_head {
            self.silence.note_answer(at);
        }
        let hedges = std::mem::replace(&mut self.open_hedges, delta.open_hedges);
        self.writes_running = (delta.writes_running, now);
        let good = delta.good[Class::Safe].saturating_add(delta.good[Class::Unsafe]);
        if good > 0 {
            self.last_well = Some(now);
            self.newest = Newest::Something;
        } else if delta.failed.iter().any(|failure| failure.kind.is_an_answer()) {
            self.newest = Newest::Something;
        }
        let calm = match self.health {
            Health::Unproven | Health::Up { .. } => self.doubt == Doubt::None,
            Health::Suspect { .. } | Health::Down(_) | Health::Probation { .. } => false,
        };
        if calm && delta.heads.total() > 0 && self.usual.note(now, &delta.heads) == Changed::Yes {
            self.silence.adopt(self.usual.p99());
        }
        if calm && delta.failed.is_empty() && hedges == 0 && delta.open_hedges == 0 {
            Noted::Quiet
        } else {
            Noted::Telling
        }
    }

    /// What ended: `failed` is weighed, in the order of the delta. While the endpoint is down they are late answers to old
    /// requests, and change nothing. `Some`: it has become intermittent.
    pub(in super::super) fn note_ended(
        &mut self,
        now: Moment,
        delta: &TallyDelta,
        failed: &[Weighed],
        rules: &Rules,
    ) -> Option<Evidence> {
        match self.health {
            Health::Unproven | Health::Up { .. } | Health::Suspect { .. } => {}
            Health::Down(_) | Health::Probation { .. } => return None,
        }
        self.note_refusals(delta, failed);
        for class in Class::ALL {
            let of_class: Vec<Weighed> =
                failed.iter().filter(|failure| failure.request.class == class).copied().collect();
            let (good, trailing) = (delta.good[class], delta.trailing[class]);
            if of_class.is_empty() {
                self.scores[class].note_good(good);
            } else {
                self.scores[class].note(now, good, &of_class, trailing, &delta.answered[class], rules);
            }
        }
        let weighted = failed.iter().filter(|failure| failure.halves > 0).count();
        let found =
            self.errored.note(now, u32::try_from(weighted).unwrap_or(u32::MAX), delta.requests(), rules.intermittent);
        self.review_doubt(now);
        found
    }

    fn note_refusals(&mut self, delta: &TallyDelta, failed: &[Weighed]) {
        let all = u32::try_from(failed.len()).unwrap_or(u32::MAX);
        let refused = failed.iter().filter(|failure| failure.request.kind == FailureKind::Refused).count();
        let refused = u32::try_from(refused).unwrap_or(u32::MAX);
        let good = delta.good[Class::Safe].saturating_add(delta.good[Class::Unsafe]);
        let trailing = delta.trailing[Class::Safe].saturating_add(delta.trailing[Class::Unsafe]);
        // Among a delta's failures the refusals are taken for the last: nobody listens *now*, while resets and timeouts tell
        // of connections from before. A killed process gives both at once, and it is back as soon as it listens again.
        self.refused_in_a_row = if good == 0 && refused == all {
            self.refused_in_a_row.saturating_add(refused)
        } else if good == 0 {
            refused
        } else {
            refused.min(trailing)
        };
    }

    /// What a probe's end means for everything but health.
    pub(in super::super) fn note_probe(&mut self, now: Moment, report: &ProbeReport) {
        match report.result {
            ProbeResult::Passed => {
                self.last_well = Some(now);
                self.heard(now, report);
            }
            ProbeResult::Failed(how) => match how.heard() {
                Heard::BadAnswer => self.heard(now, report),
                Heard::Refusal => self.unheard(Newest::Something),
                Heard::Silence if counts_for_nothing(report) => self.unheard(Newest::Something),
                Heard::Silence => self.unheard(Newest::Nothing { began: report.began }),
            },
            ProbeResult::Void(_) => {}
        }
    }

    fn heard(&mut self, now: Moment, report: &ProbeReport) {
        self.newest = Newest::Something;
        self.silence.note_answer(now);
        self.lag.note(now, report.lag);
    }

    fn unheard(&mut self, newest: Newest) {
        self.newest = newest;
        self.lag.note_unheard();
    }

    /// Evidence has come that began `at`: it is the first, unless there was some.
    pub(in super::super) fn doubt_from(&mut self, at: Moment) {
        if self.doubt == Doubt::None {
            self.doubt = Doubt::Since(at);
        }
    }

    /// Notes when the present evidence began: `at`, if there was none and is some now.
    pub(in super::super) fn review_doubt(&mut self, at: Moment) {
        let doubtful = match self.health {
            Health::Unproven => self.has_evidence(),
            Health::Up { failures } => failures > 0 || self.has_evidence(),
            Health::Suspect { .. } => true,
            Health::Down(_) | Health::Probation { .. } => return, // what took it out stands until it is up
        };
        self.doubt = match (doubtful, self.doubt) {
            (false, _) => Doubt::None,
            (true, Doubt::None) => Doubt::Since(at),
            (true, Doubt::Since(since)) => Doubt::Since(since),
        };
        if !doubtful {
            self.errored.note_clear();
        }
    }

    fn has_evidence(&self) -> bool {
        self.refused_in_a_row > 0 || Class::ALL.into_iter().any(|class| !self.scores[class].is_clear())
    }

    /// Forgets what was counted against it.
    pub(super) fn clear_sheets(&mut self) {
        Class::ALL.into_iter().for_each(|class| self.scores[class] = Score::default());
        self.refused_in_a_row = 0;
        self.silence.pending = None;
        self.open_hedges = 0;
    }

    /// It was us who were cut off, since `since`: what was counted since is void, and no ejection since counts as one.
    pub(in super::super) fn void_doubts(&mut self, since: Moment) {
        self.ejections.retain(|at| *at < since);
        match &mut self.health {
            Health::Up { failures } => *failures = 0,
            Health::Suspect { .. } => self.health = super::UP,
            Health::Unproven | Health::Down(_) | Health::Probation { .. } => {}
        }
        if self.counts_as_up() {
            self.clear_sheets();
            self.doubt = Doubt::None;
        }
    }

    /// When an ejection is over: where intermittent endpoints are taken out, not before it has been calm for long.
    pub(in super::super) fn returns_at(&self, until: Moment, rules: &Rules) -> Moment {
        match rules.on_intermittent {
            OnIntermittent::Report => until,
            OnIntermittent::Eject => self.errored.calm_at().map_or(until, |calm| calm.max(until)),
        }
    }

    pub(super) fn failures(&self) -> u32 {
        match self.health {
            Health::Up { failures } | Health::Suspect { failures, .. } => failures,
            Health::Unproven | Health::Down(_) | Health::Probation { .. } => 0,
        }
    }

    /// What is to be applied to it as things stand; applying it makes an end to it.
    pub(in super::super) fn due(&self, now: Moment, alone: Alone, rules: &Rules) -> Option<Seen> {
        match self.health {
            Health::Unproven | Health::Up { .. } | Health::Suspect { .. } => self.due_while_up(now, alone, rules),
            Health::Down(Out::Ejected { until, passes }) => {
                (self.returns_at(until, rules) <= now && passes >= rules.rise).then_some(Seen::TimePassed)
            }
            Health::Probation { trial } => {
                let over = trial.passes >= PROVEN_BY_PROBES && trial.tried.after(NO_CANDIDATE) <= now;
                over.then_some(Seen::TimePassed)
            }
            Health::Down(Out::ByProbes { .. } | Out::ByRefusals { .. }) => None,
        }
    }

    fn due_while_up(&self, now: Moment, alone: Alone, rules: &Rules) -> Option<Seen> {
        let stalled = self.silence.stalls_at().is_some_and(|at| at <= now);
        let suspicion = match self.health {
            Health::Suspect { by, .. } => Some(by),
            Health::Unproven | Health::Up { .. } | Health::Down(_) | Health::Probation { .. } => None,
        };
        if self.refused_in_a_row >= rules.consecutive {
            return Some(Seen::Proved(Verdict::Refused)); // nobody is left there who could answer, alone or not
        }
        if alone == Alone::Yes {
            return suspicion.map(|_| Seen::Clear);
        }
        if let Some(verdict) = self.verdict(rules) {
            return Some(Seen::Proved(verdict));
        }
        let worst = Class::ALL.into_iter().map(|class| self.scores[class].points()).max().unwrap_or(0);
        // Only what is still open is worth waiting for: where every request has ended, requests that went elsewhere would leave
        // the score where it stands, and the suspicion would never end.
        let open = u64::from(self.open_hedges);
        let doubted = open > 0 && worst + OPEN_HEDGE * open >= half_of_trip(rules);
        match suspicion {
            Some(Suspicion::Stalled { since }) if stalled => {
                (since.after(rules.confirm) <= now).then_some(Seen::Proved(Verdict::Stalled))
            }
            None | Some(Suspicion::Doubted) if stalled => Some(Seen::Silent),
            None | Some(Suspicion::Stalled { .. }) if doubted => Some(Seen::Doubtful),
            Some(Suspicion::Doubted) if doubted => None,
            None => None,
            Some(Suspicion::Stalled { .. } | Suspicion::Doubted) => Some(Seen::Clear),
        }
    }

    fn verdict(&self, rules: &Rules) -> Option<Verdict> {
        let class =
            |holds: fn(&Score, &Rules) -> bool| Class::ALL.into_iter().find(|class| holds(&self.scores[*class], rules));
        let in_a_row = class(Score::is_run_over).map(Verdict::InARow);
        let tripped = || class(Score::is_tripped).map(Verdict::Tripped);
        let intermittent = || {
            let takes_out = rules.on_intermittent == OnIntermittent::Eject;
            // With evidence at hand: what was held back while it was the last one up is no reason to leave it in a calm.
            let acts = takes_out && self.doubt != Doubt::None;
            (acts && self.errored.steadiness() == Steadiness::Intermittent).then_some(Verdict::Intermittent)
        };
        in_a_row.or_else(tripped).or_else(intermittent)
    }

    /// When time alone will move it, or asks for a probe.
    #[inline]
    pub(in super::super) fn deadline(&self, alone: Alone, rules: &Rules) -> Option<(Moment, Why)> {
        let asks = || self.asks_at().map(|at| (at, Why::SilenceProbe));
        let next = match self.health {
            Health::Down(Out::Ejected { until, passes }) if passes >= rules.rise => {
                Some((self.returns_at(until, rules), Why::EjectionOver))
            }
            Health::Probation { trial } if trial.passes >= PROVEN_BY_PROBES => {
                Some((trial.tried.after(NO_CANDIDATE), Why::NoCandidate))
            }
            Health::Down(_) | Health::Probation { .. } => None,
            Health::Suspect { by: Suspicion::Stalled { since }, .. } => {
                sooner(Some((since.after(rules.confirm), Why::StallConfirmed)), asks())
            }
            Health::Unproven | Health::Up { .. } | Health::Suspect { by: Suspicion::Doubted, .. } => match alone {
                Alone::No => self.silence.deadline(),
                Alone::Yes => asks(),
            },
        };
        match self.errored.calm_at() {
            None => next,
            calm @ Some(_) => sooner(next, calm.map(|at| (at, Why::CalmAgain))),
        }
    }

    /// When a probe is to be asked for because of a silence.
    pub(in super::super) fn asks_at(&self) -> Option<Moment> {
        match self.health {
            Health::Unproven | Health::Up { .. } | Health::Suspect { .. } => self.silence.probe_at(),
            Health::Down(_) | Health::Probation { .. } => None,
        }
    }

    pub(super) fn stall(&self, now: Moment) -> Evidence {
        let (pending, oldest, silent) = self.silence.numbers(now);
        Evidence::Stall { pending, oldest, silent, allowed: self.silence.allowed() }
    }

    pub(super) fn requests(&self, class: Class, rules: &Rules) -> Evidence {
        self.scores[class].evidence(class, self.open_hedges, rules)
    }

    /// The counts of the class whose score is higher.
    pub(super) fn worst(&self, rules: &Rules) -> Evidence {
        let worse = self.scores[Class::Unsafe].points() > self.scores[Class::Safe].points();
        self.requests(if worse { Class::Unsafe } else { Class::Safe }, rules)
    }
}

/// The earlier of two deadlines.
pub(in super::super) fn sooner(one: Option<(Moment, Why)>, other: Option<(Moment, Why)>) -> Option<(Moment, Why)> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

/// A probe that heard nothing while real requests were answered well was unlucky.
pub(in super::super) fn counts_for_nothing(report: &ProbeReport) -> bool {
    match report.result {
        ProbeResult::Failed(how) => how.heard() == Heard::Silence && report.answered_meanwhile >= ENOUGH_ANSWERED,
        ProbeResult::Passed => false,
        ProbeResult::Void(_) => true,
    }
}
