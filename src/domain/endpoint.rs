//! One endpoint's health: the machine that probes and verdicts of real traffic move.
//!
//! `Endpoint::apply` is the only writer of its health, and its match is the only table of what leads where. A way out and
//! the way back belong together ([`Out`]): who was taken out by probes or by refused connects is back when `rise` probes
//! passed, for a check can judge that; who failed real requests while its check may have passed all along serves its time
//! and proves itself, by real requests, before it is trusted again.
//!
//! **Suspicion** is for what may be nothing: a silence, or lost hedges of which it is not known yet whether they would have been
//! answered. Requests go elsewhere first, the pool stays what it was, and it ends by an answer, an ejection, or nothing. It
//! always waits for something that will come: failures that have come are for the score alone.
//!
//! **In panic** no pool is usable, real requests are tried everywhere, and what answers is taken back at once: a real answer
//! brings any endpoint up, and so does one passed probe unless real requests took the endpoint out, for then its check has
//! passed while pages failed and proves nothing; the requests that reach it in panic will tell. No endpoint is brought back
//! that way twice within `ejection_time`: one that answers now and then would go in and out with every answer, and each
//! round would be a new view for every worker. Users lose nothing by the wait, since in panic it is tried as all are.
//!
//! Not here: how failures add up (`score`), what is noted of tallies (`record`), who may not be taken out because nobody else
//! is left (`backend`).

mod record;

use super::errored::Errored;
use super::evidence::ProbeFailure;
use super::lag::LagSeen;
use super::score::Score;
use super::setup::Rules;
use super::silence::Silence;
use super::snapshot::Drained;
use super::transition::{Cause, Evidence, Routing};
use super::units::{Class, EndpointId, HOUR, Moment, Name, PerClass, doubled};
use super::usual::Usual;
pub(super) use record::{Alone, Doubt, Newest, Noted, counts_for_nothing, sooner};
use std::time::Duration;

/// Good answers to real requests in a row that end probation.
pub(super) const PROVEN_AFTER: u32 = 5;
/// Probes passed in a row that end it where no real request came to try it with.
pub(super) const PROVEN_BY_PROBES: u32 = 10;
/// How long no real request must have come for that.
pub(super) const NO_CANDIDATE: Duration = Duration::from_secs(10);
/// How long an endpoint that has proved itself takes to get its full share of requests.
const SLOW_START: Duration = Duration::from_secs(10);
/// No ejection lasts longer, unless `ejection_time` itself does.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);
/// Ejections remembered: more in an hour double the time no further.
const EJECTIONS_REMEMBERED: usize = 32;

/// An endpoint's health, with what each state needs to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// No probe has ended yet; counts as up.
    Unproven,
    /// `failures` probes failed in a row.
    Up {
        failures: u32,
    },
    /// Counts as up, but requests go elsewhere first.
    Suspect {
        by: Suspicion,
        failures: u32,
    },
    Down(Out),
    /// Ejected before; real requests try it, a few.
    Probation {
        trial: Trial,
    },
}

/// Why an endpoint is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Requests wait, and it answers nobody.
    Stalled { since: Moment },
    /// Hedges are open, and its score with what they may add is at half of `trip`.
    Doubted,
}

/// What was seen in probation so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Real requests answered well in a row.
    pub good: u32,
    /// Probes passed in a row.
    pub passes: u32,
    /// When a real request was last tried there, or probation began.
    pub tried: Moment,
}

/// How an endpoint went down decides how it may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// Back after `rise` passes in a row.
    ByProbes { passes: u32 },
    /// Real requests were refused a connection; back after `rise` passes in a row.
    ByRefusals { passes: u32 },
    /// Ejected by its tally: to probation, not before `until`, with `rise` probes passed in a row.
    Ejected { until: Moment, passes: u32 },
}

impl Health {
    /// The word for it in metrics, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Health::Unproven => "unproven",
            Health::Up { .. } => "up",
            Health::Suspect { .. } => "suspect",
            Health::Down(_) => "down",
            Health::Probation { .. } => "probation",
        }
    }

    /// Whether the pool may count on it.
    pub const fn counts_as_up(self) -> bool {
        match self {
            Health::Unproven | Health::Up { .. } | Health::Suspect { .. } => true,
            Health::Down(_) | Health::Probation { .. } => false,
        }
    }

    /// Whether requests go elsewhere first.
    pub const fn is_suspect(self) -> bool {
        match self {
            Health::Suspect { .. } => true,
            Health::Unproven | Health::Up { .. } | Health::Down(_) | Health::Probation { .. } => false,
        }
    }

    /// The same state with its counter at zero: what snapshots tell.
    pub(super) const fn without_count(self) -> Health {
        match self {
            Health::Unproven => Health::Unproven,
            Health::Up { failures: _ } => UP,
            Health::Suspect { by, failures: _ } => Health::Suspect { by, failures: 0 },
            Health::Down(Out::ByProbes { passes: _ }) => DOWN_BY_PROBES,
            Health::Down(Out::ByRefusals { passes: _ }) => Health::Down(Out::ByRefusals { passes: 0 }),
            Health::Down(Out::Ejected { until, passes: _ }) => Health::Down(Out::Ejected { until, passes: 0 }),
            Health::Probation { trial: _ } => Health::Probation { trial: Trial::NONE },
        }
    }
}

impl Trial {
    const NONE: Trial = Trial { good: 0, passes: 0, tried: Moment::ZERO };

    /// Whether its probes may end it, real requests having failed to come.
    const fn is_without_candidate(self, now: Moment) -> bool {
        now.since(self.tried).as_nanos() >= NO_CANDIDATE.as_nanos()
    }
}

/// What happened to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    ProbePassed(Routing),
    ProbeFailed(ProbeFailure),
    /// So many real requests were answered well.
    Answered(u32, Routing),
    /// A real request failed, with weight.
    Failed(Class),
    /// What its real requests prove against it.
    Proved(Verdict),
    /// Requests wait, and nothing has been answered for too long.
    Silent,
    /// Half way to an ejection, with hedges open.
    Doubtful,
    /// Neither of the two, any more.
    Clear,
    /// Time alone.
    TimePassed,
    /// It was us who were cut off, when what it was ejected for was seen.
    CutOff,
}

impl Seen {
    /// Whether it is about failing unsafe requests.
    pub(super) fn is_of_writes(self) -> bool {
        match self {
            Seen::Failed(class) | Seen::Proved(Verdict::InARow(class) | Verdict::Tripped(class)) => {
                class == Class::Unsafe
            }
            Seen::ProbePassed(_)
            | Seen::ProbeFailed(_)
            | Seen::Answered(..)
            | Seen::Proved(Verdict::Refused | Verdict::Stalled | Verdict::Intermittent)
            | Seen::Silent
            | Seen::Doubtful
            | Seen::Clear
            | Seen::TimePassed
            | Seen::CutOff => false,
        }
    }
}

/// What its real requests prove against an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// `consecutive` connects in a row were refused.
    Refused,
    /// `consecutive` requests of that class in a row failed.
    InARow(Class),
    /// That class's score is at `trip`.
    Tripped(Class),
    /// Nothing was answered for too long, and then for `confirm`.
    Stalled,
    /// Its fault keeps coming back, and `on_intermittent` is `eject`.
    Intermittent,
}

/// A change of health, to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moved {
    pub from: Health,
    pub to: Health,
    pub cause: Cause,
    pub evidence: Evidence,
    pub first_evidence: Option<Moment>,
}

/// One endpoint: its health, and what was counted for and against it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub id: EndpointId,
    pub name: Name,
    pub drained: Drained,
    health: Health,
    since: Moment,
    pub scores: PerClass<Score>,
    /// Refused connects since anything else, of both classes.
    refused_in_a_row: u32,
    pub silence: Silence,
    pub usual: Usual,
    pub errored: Errored,
    pub lag: LagSeen,
    pub open_hedges: u32,
    /// Unsafe requests that run there, as of when.
    pub writes_running: (u32, Moment),
    /// When it was ejected, within the last hour.
    ejections: Vec<Moment>,
    /// When it was last brought back in panic.
    brought_back: Option<Moment>,
    /// When a real request or a probe was last answered well.
    pub last_well: Option<Moment>,
    /// What its newest probe heard, if any ended.
    pub newest: Newest,
    /// When the first of the present evidence against it came; kept while it is down.
    pub doubt: Doubt,
    /// Up from probation: when it gets its full share.
    warm_at: Option<Moment>,
}

impl Endpoint {
    pub(super) fn new(id: EndpointId, name: Name, now: Moment) -> Endpoint {
        Endpoint {
            id,
            name,
            drained: Drained::No,
            health: Health::Unproven,
            since: now,
            scores: PerClass::default(),
            refused_in_a_row: 0,
            silence: Silence::default(),
            usual: Usual::default(),
            errored: Errored::default(),
            lag: LagSeen::default(),
            open_hedges: 0,
            writes_running: (0, now),
            ejections: Vec::new(),
            brought_back: None,
            last_well: None,
            newest: Newest::None,
            doubt: Doubt::None,
            warm_at: None,
        }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    pub(super) fn since(&self) -> Moment {
        self.since
    }

    pub(super) fn warm_at(&self) -> Option<Moment> {
        self.warm_at
    }

    pub(super) fn counts_as_up(&self) -> bool {
        self.health.counts_as_up()
    }

    /// Whether new requests may be sent there as a matter of course.
    pub(super) fn takes_requests(&self) -> bool {
        self.counts_as_up() && self.drained == Drained::No
    }

    /// Moves it. `None`: noted, nothing to tell.
    pub(super) fn apply(&mut self, now: Moment, seen: Seen, rules: &Rules) -> Option<Moved> {
        use {Cause as C, Health as H, Out as O, Seen as S, Suspicion as By, Verdict as V};
        let (rise, fall) = (rules.rise, rules.fall);
        let (to, told) = match (self.health, seen) {
            (H::Unproven, S::ProbePassed(_)) => (UP, Some((C::FirstProbe, passed(1, 1)))),
            (H::Unproven, S::ProbeFailed(how)) => (DOWN_BY_PROBES, Some((C::FirstProbe, failed(1, 1, how)))),
            (H::Up { .. }, S::ProbePassed(_)) => (UP, None),
            (H::Suspect { by, .. }, S::ProbePassed(_)) => (H::Suspect { by, failures: 0 }, None),
            (H::Up { failures: n }, S::ProbeFailed(_)) if n + 1 < fall => (H::Up { failures: n + 1 }, None),
            (H::Suspect { by, failures: n }, S::ProbeFailed(_)) if n + 1 < fall => {
                (H::Suspect { by, failures: n + 1 }, None)
            }
            (H::Up { failures: n } | H::Suspect { failures: n, .. }, S::ProbeFailed(how)) => {
                (DOWN_BY_PROBES, Some((C::Fall, failed(n + 1, fall, how))))
            }
            (H::Unproven | H::Up { .. } | H::Suspect { .. }, S::Proved(V::Refused)) => {
                (H::Down(O::ByRefusals { passes: 0 }), Some((C::Refused, self.requests(Class::Safe, rules))))
            }
            (H::Unproven | H::Up { .. } | H::Suspect { .. }, S::Proved(V::InARow(class))) => {
                (self.eject(now, rules), Some((C::Consecutive, self.requests(class, rules))))
            }
            (H::Unproven | H::Up { .. } | H::Suspect { .. }, S::Proved(V::Tripped(class))) => {
                (self.eject(now, rules), Some((C::Score, self.requests(class, rules))))
            }
            (H::Unproven | H::Up { .. } | H::Suspect { .. }, S::Proved(V::Stalled)) => {
                (self.eject(now, rules), Some((C::StallConfirmed, self.stall(now))))
            }
            (H::Unproven | H::Up { .. } | H::Suspect { .. }, S::Proved(V::Intermittent)) => {
                (self.eject(now, rules), Some((C::ErroredSeconds, self.errored.evidence(rules.intermittent))))
            }
            (H::Unproven | H::Up { .. }, S::Silent) => {
                let failures = self.failures();
                (H::Suspect { by: By::Stalled { since: now }, failures }, Some((C::Stalled, self.stall(now))))
            }
            (H::Suspect { by: By::Doubted, failures }, S::Silent) => {
                (H::Suspect { by: By::Stalled { since: now }, failures }, Some((C::Stalled, self.stall(now))))
            }
            (H::Unproven | H::Up { .. }, S::Doubtful) => {
                let failures = self.failures();
                (H::Suspect { by: By::Doubted, failures }, Some((C::Doubted, self.worst(rules))))
            }
            (H::Suspect { by: By::Stalled { .. }, failures }, S::Doubtful) => {
                (H::Suspect { by: By::Doubted, failures }, Some((C::Doubted, self.worst(rules))))
            }
            (H::Suspect { failures, .. }, S::Clear) => {
                (H::Up { failures }, Some((C::Cleared, self.worst(rules))))
            }
            (H::Down(_) | H::Probation { .. }, S::Answered(_, Routing::Panic)) if self.may_be_brought_back(now, rules) => {
                (UP, Some((C::AnsweredInPanic, Evidence::GoodAnswer)))
            }
            (H::Down(O::ByProbes { .. } | O::ByRefusals { .. }), S::ProbePassed(Routing::Panic))
                if self.may_be_brought_back(now, rules) =>
            {
                (UP, Some((C::AnsweredInPanic, passed(1, 1))))
            }
            (H::Down(O::ByProbes { passes: n }), S::ProbePassed(_)) if n + 1 < rise => {
                (H::Down(O::ByProbes { passes: n + 1 }), None)
            }
            (H::Down(O::ByRefusals { passes: n }), S::ProbePassed(_)) if n + 1 < rise => {
                (H::Down(O::ByRefusals { passes: n + 1 }), None)
            }
            (H::Down(O::ByProbes { passes: n } | O::ByRefusals { passes: n }), S::ProbePassed(_)) => {
                (UP, Some((C::Rise, passed(n + 1, rise))))
            }
            (H::Down(O::ByProbes { .. }), S::ProbeFailed(_)) => (DOWN_BY_PROBES, None),
            (H::Down(O::ByRefusals { .. }), S::ProbeFailed(_)) => (H::Down(O::ByRefusals { passes: 0 }), None),
            (H::Down(O::Ejected { until, passes: n }), S::ProbePassed(_))
                if now < self.returns_at(until, rules) || n.saturating_add(1) < rise =>
            {
                (H::Down(O::Ejected { until, passes: n.saturating_add(1) }), None)
            }
            (H::Down(O::Ejected { passes: n, .. }), S::ProbePassed(_)) => {
                (probation(now), Some((C::TermServed, passed(n.saturating_add(1), rise))))
            }
            (H::Down(O::Ejected { until, .. }), S::ProbeFailed(_)) => {
                (H::Down(O::Ejected { until, passes: 0 }), None)
            }
            (H::Down(O::Ejected { until, passes: n }), S::TimePassed)
                if self.returns_at(until, rules) <= now && n >= rise =>
            {
                (probation(now), Some((C::TermServed, passed(n, rise))))
            }
            (H::Probation { trial }, S::Answered(more, _)) => {
                let good = trial.good.saturating_add(more);
                if good >= PROVEN_AFTER {
                    (UP, Some((C::Proven, Evidence::GoodAnswers { in_a_row: good, needed: PROVEN_AFTER })))
                } else {
                    (H::Probation { trial: Trial { good, tried: now, ..trial } }, None)
                }
            }
            (H::Probation { trial }, S::ProbePassed(_)) => {
                let trial = Trial { passes: trial.passes.saturating_add(1), ..trial };
                if trial.passes >= PROVEN_BY_PROBES && trial.is_without_candidate(now) {
                    (UP, Some((C::Proven, passed(trial.passes, PROVEN_BY_PROBES))))
                } else {
                    (H::Probation { trial }, None)
                }
            }
            (H::Probation { trial }, S::TimePassed)
                if trial.passes >= PROVEN_BY_PROBES && trial.is_without_candidate(now) =>
            {
                (UP, Some((C::Proven, passed(trial.passes, PROVEN_BY_PROBES))))
            }
            (H::Probation { .. }, S::ProbeFailed(how)) => {
                (self.eject(now, rules), Some((C::Relapse, failed(1, 1, how))))
            }
            (H::Probation { .. }, S::Failed(class)) => {
                (self.eject(now, rules), Some((C::Relapse, self.requests(class, rules))))
            }
            (H::Down(O::Ejected { .. }), S::CutOff) => (UP, Some((C::NobodyAnswers, Evidence::Configured))),
            (H::Down(O::ByProbes { .. } | O::ByRefusals { .. }), S::CutOff)
            | (H::Unproven | H::Up { .. } | H::Suspect { .. } | H::Probation { .. }, S::CutOff)
            | (H::Down(_) | H::Probation { .. }, S::Proved(_) | S::Silent | S::Doubtful | S::Clear) // late answers to old requests
            | (H::Down(_), S::Answered(..) | S::Failed(_))
            | (H::Unproven | H::Up { .. } | H::Suspect { .. }, S::Answered(..) | S::Failed(_) | S::TimePassed)
            | (H::Suspect { by: By::Stalled { .. }, .. }, S::Silent)
            | (H::Suspect { by: By::Doubted, .. }, S::Doubtful)
            | (H::Unproven | H::Up { .. }, S::Clear)
            | (H::Down(_) | H::Probation { .. }, S::TimePassed) => return None,
        };
        let from = std::mem::replace(&mut self.health, to);
        let (cause, evidence) = told?;
        Some(self.told(now, from, cause, evidence))
    }

    /// What a change of health brings along.
    fn told(&mut self, now: Moment, from: Health, cause: Cause, evidence: Evidence) -> Moved {
        let to = self.health;
        self.since = now;
        let first_evidence = self.doubt.since();
        if !(from.counts_as_up() && to.counts_as_up()) {
            // What took it out was acted on; it comes back with a clean sheet.
            self.clear_sheets();
            if to.counts_as_up() {
                self.doubt = Doubt::None;
            }
        }
        if cause == Cause::AnsweredInPanic {
            self.brought_back = Some(now);
        }
        self.warm_at = match from {
            Health::Probation { .. } if to.counts_as_up() => Some(now.after(SLOW_START)),
            Health::Unproven | Health::Up { .. } | Health::Suspect { .. } if to.counts_as_up() => self.warm_at,
            Health::Unproven
            | Health::Up { .. }
            | Health::Suspect { .. }
            | Health::Down(_)
            | Health::Probation { .. } => None,
        };
        Moved { from, to, cause, evidence, first_evidence }
    }

    /// The state of one ejected now: each ejection within an hour lasts twice as long as the one before.
    fn eject(&mut self, now: Moment, rules: &Rules) -> Health {
        self.ejections.retain(|before| now.since(*before) < HOUR);
        if self.ejections.len() < EJECTIONS_REMEMBERED {
            self.ejections.push(now);
        }
        let times = u32::try_from(self.ejections.len()).unwrap_or(u32::MAX);
        let until = now.after(doubled(rules.ejection_time, times, LONGEST_EJECTION));
        Health::Down(Out::Ejected { until, passes: 0 })
    }

    fn may_be_brought_back(&self, now: Moment, rules: &Rules) -> bool {
        self.brought_back.is_none_or(|before| before.after(rules.ejection_time) <= now)
    }

    /// New rules: what stands under the old ones is cut down to them.
    pub(super) fn adopt(&mut self, rules: &Rules) {
        Class::ALL.into_iter().for_each(|class| self.scores[class].adopt(rules));
        if let Health::Down(Out::Ejected { until, .. }) = &mut self.health {
            *until = (*until).min(self.since.after(longest_ejection(rules)));
        }
    }

    /// Whether an ejection has an end; and the scores are within their bounds, and nothing stands against one that is down.
    pub(super) fn is_sound(&self, rules: &Rules) -> bool {
        let ends = match self.health {
            Health::Down(Out::Ejected { until, .. }) => until <= self.since.after(longest_ejection(rules)),
            Health::Unproven
            | Health::Up { .. }
            | Health::Suspect { .. }
            | Health::Down(_)
            | Health::Probation { .. } => true,
        };
        let mut sheets = Class::ALL.into_iter().map(|class| &self.scores[class]);
        let sheets = match self.health {
            Health::Down(_) | Health::Probation { .. } => sheets.all(Score::is_clear),
            Health::Unproven | Health::Up { .. } | Health::Suspect { .. } => sheets.all(|score| score.is_sound(rules)),
        };
        ends && sheets
    }
}

const UP: Health = Health::Up { failures: 0 };
const DOWN_BY_PROBES: Health = Health::Down(Out::ByProbes { passes: 0 });

fn probation(now: Moment) -> Health {
    Health::Probation { trial: Trial { tried: now, ..Trial::NONE } }
}

fn longest_ejection(rules: &Rules) -> Duration {
    LONGEST_EJECTION.max(rules.ejection_time)
}

fn passed(in_a_row: u32, needed: u32) -> Evidence {
    Evidence::Probes { in_a_row, needed, last: None }
}

fn failed(in_a_row: u32, needed: u32, how: ProbeFailure) -> Evidence {
    Evidence::Probes { in_a_row, needed, last: Some(how) }
}

#[cfg(test)]
mod tests;
