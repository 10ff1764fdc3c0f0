//! One endpoint's health: the machine that probes and verdicts of real traffic move.
//!
//! `Endpoint::apply` is the only writer of its health, and its match is the only table of what leads where. A way out and
//! the way back belong together ([`Out`]): who was taken out by probes or by refused connects is back when `rise` probes
//! passed, for a check can judge that; who failed real requests while its check may have passed all along serves its time
//! and proves itself before it is trusted again.
//!
//! **In panic** no pool is usable, real requests are tried everywhere, and what answers is taken back at once: a real answer
//! brings any endpoint up, and so does one passed probe unless real requests took the endpoint out, for then its check has
//! passed while pages failed and proves nothing; the requests that reach it in panic will tell. No endpoint is brought back
//! that way twice within `ejection_time`: one that answers now and then would go in and out with every answer, and each
//! round would be a new view for every worker. Users lose nothing by the wait, since in panic it is tried as all are.
//!
//! Not here: how failures add up (`score`), who may not be taken out because nobody else is left (`backend`).

use super::evidence::{ProbeFailure, TallyDelta};
use super::score::{Score, Verdict};
use super::setup::Rules;
use super::transition::{Cause, Evidence, Routing};
use super::units::{EndpointId, HOUR, Moment, Name, doubled};
use std::time::Duration;

/// Probes passed in a row that end probation.
pub(super) const PROVEN_AFTER: u32 = 10;
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
    Down(Out),
    /// Ejected before; `good` probes in a row passed since its time was over.
    Probation {
        good: u32,
    },
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
            Health::Down(_) => "down",
            Health::Probation { .. } => "probation",
        }
    }

    /// Whether ordinary traffic may go there.
    pub const fn counts_as_up(self) -> bool {
        match self {
            Health::Unproven | Health::Up { .. } => true,
            Health::Down(_) | Health::Probation { .. } => false,
        }
    }
    /// The same state with its counter at zero: what snapshots tell.
    pub(super) const fn without_count(self) -> Health {
        match self {
            Health::Unproven => Health::Unproven,
            Health::Up { failures: _ } => Health::Up { failures: 0 },
            Health::Down(Out::ByProbes { passes: _ }) => Health::Down(Out::ByProbes { passes: 0 }),
            Health::Down(Out::ByRefusals { passes: _ }) => Health::Down(Out::ByRefusals { passes: 0 }),
            Health::Down(Out::Ejected { until, passes: _ }) => Health::Down(Out::Ejected { until, passes: 0 }),
            Health::Probation { good: _ } => Health::Probation { good: 0 },
        }
    }
}

/// What happened to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    ProbePassed(Routing),
    ProbeFailed(ProbeFailure),
    /// A real request was answered well.
    Answered(Routing),
    /// What its real requests prove against it.
    Proved(Verdict),
    /// Time alone.
    TimePassed,
}

/// A change of health, to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moved {
    pub from: Health,
    pub to: Health,
    pub cause: Cause,
    pub evidence: Evidence,
}

/// One endpoint: its health, and what was counted against it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub id: EndpointId,
    pub name: Name,
    health: Health,
    since: Moment,
    score: Score,
    /// When it was ejected, within the last hour.
    ejections: Vec<Moment>,
    /// When it was last brought back in panic.
    brought_back: Option<Moment>,
}

impl Endpoint {
    pub(super) fn new(id: EndpointId, name: Name, now: Moment) -> Endpoint {
        Endpoint {
            id,
            name,
            health: Health::Unproven,
            since: now,
            score: Score::default(),
            ejections: Vec::new(),
            brought_back: None,
        }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    pub(super) fn since(&self) -> Moment {
        self.since
    }

    pub(super) fn counts_as_up(&self) -> bool {
        self.health.counts_as_up()
    }

    /// Counts real requests. While it is down they are late answers to old ones, and change nothing.
    pub(super) fn note(&mut self, now: Moment, delta: &TallyDelta, rules: &Rules) {
        match self.health {
            Health::Unproven | Health::Up { .. } | Health::Probation { .. } => self.score.note(now, delta, rules),
            Health::Down(_) => {}
        }
    }

    /// What its real requests prove against it, as the counts stand.
    pub(super) fn verdict(&self, rules: &Rules) -> Option<Verdict> {
        self.score.verdict(rules)
    }

    /// When time alone will move it.
    pub(super) fn deadline(&self, rules: &Rules) -> Option<Moment> {
        match self.health {
            Health::Down(Out::Ejected { until, passes }) if passes >= rules.rise => Some(until),
            Health::Unproven | Health::Up { .. } | Health::Down(_) | Health::Probation { .. } => None,
        }
    }

    /// Moves it. `None`: noted, nothing to tell.
    pub(super) fn apply(&mut self, now: Moment, seen: Seen, rules: &Rules) -> Option<Moved> {
        use {Cause as C, Health as H, Out as O, Seen as S, Verdict as V};
        let (rise, fall) = (rules.rise, rules.fall);
        let (to, told) = match (self.health, seen) {
            (H::Unproven, S::ProbePassed(_)) => (UP, Some((C::FirstProbe, passed(1, 1)))),
            (H::Unproven, S::ProbeFailed(how)) => (DOWN_BY_PROBES, Some((C::FirstProbe, failed(1, 1, how)))),
            (H::Up { .. }, S::ProbePassed(_)) => (UP, None),
            (H::Up { failures: n }, S::ProbeFailed(_)) if n + 1 < fall => (H::Up { failures: n + 1 }, None),
            (H::Up { failures: n }, S::ProbeFailed(how)) => {
                (DOWN_BY_PROBES, Some((C::Fall, failed(n + 1, fall, how))))
            }
            (H::Unproven | H::Up { .. }, S::Proved(V::Refused)) => {
                (H::Down(O::ByRefusals { passes: 0 }), Some((C::Refused, self.score.evidence(rules))))
            }
            (H::Unproven | H::Up { .. }, S::Proved(V::InARow)) => {
                (self.eject(now, rules), Some((C::Consecutive, self.score.evidence(rules))))
            }
            (H::Unproven | H::Up { .. }, S::Proved(V::Tripped)) => {
                (self.eject(now, rules), Some((C::Score, self.score.evidence(rules))))
            }
            (H::Down(_) | H::Probation { .. }, S::Answered(Routing::Panic)) if self.may_be_brought_back(now, rules) => {
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
            (H::Down(O::Ejected { until, passes: n }), S::ProbePassed(_)) if now < until || n.saturating_add(1) < rise => {
                (H::Down(O::Ejected { until, passes: n.saturating_add(1) }), None)
            }
            (H::Down(O::Ejected { passes: n, .. }), S::ProbePassed(_)) => {
                (H::Probation { good: 0 }, Some((C::TermServed, passed(n.saturating_add(1), rise))))
            }
            (H::Down(O::Ejected { until, .. }), S::ProbeFailed(_)) => {
                (H::Down(O::Ejected { until, passes: 0 }), None)
            }
            (H::Down(O::Ejected { until, passes: n }), S::TimePassed) if until <= now && n >= rise => {
                (H::Probation { good: 0 }, Some((C::TermServed, passed(n, rise))))
            }
            (H::Probation { good: n }, S::ProbePassed(_)) if n + 1 < PROVEN_AFTER => {
                (H::Probation { good: n + 1 }, None)
            }
            (H::Probation { good: n }, S::ProbePassed(_)) => (UP, Some((C::Proven, passed(n + 1, PROVEN_AFTER)))),
            (H::Probation { .. }, S::ProbeFailed(how)) => {
                (self.eject(now, rules), Some((C::Relapse, failed(1, 1, how))))
            }
            (H::Probation { .. }, S::Proved(V::Refused | V::InARow | V::Tripped)) => {
                (self.eject(now, rules), Some((C::Relapse, self.score.evidence(rules))))
            }
            (H::Down(_), S::Proved(_)) // late answers to old requests
            | (H::Down(_) | H::Probation { .. }, S::Answered(_))
            | (H::Unproven | H::Up { .. }, S::Answered(_))
            | (H::Unproven | H::Up { .. } | H::Down(_) | H::Probation { .. }, S::TimePassed) => return None,
        };
        let from = std::mem::replace(&mut self.health, to);
        let (cause, evidence) = told?;
        self.since = now;
        if !(from.counts_as_up() && to.counts_as_up()) {
            self.score = Score::default(); // what took it out was acted on; it comes back with a clean sheet
        }
        if cause == Cause::AnsweredInPanic {
            self.brought_back = Some(now);
        }
        Some(Moved { from, to, cause, evidence })
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
        self.score.adopt(rules);
        if let Health::Down(Out::Ejected { until, .. }) = &mut self.health {
            *until = (*until).min(self.since.after(longest_ejection(rules)));
        }
    }

    /// Whether an ejection has an end; and the score is within its bounds, and nothing stands against one that is down.
    pub(super) fn is_sound(&self, rules: &Rules) -> bool {
        let ends = match self.health {
            Health::Down(Out::Ejected { until, .. }) => until <= self.since.after(longest_ejection(rules)),
            Health::Unproven | Health::Up { .. } | Health::Down(_) | Health::Probation { .. } => true,
        };
        let sheet = match self.health {
            Health::Down(_) => self.score.is_clear(),
            Health::Unproven | Health::Up { .. } | Health::Probation { .. } => self.score.is_sound(rules),
        };
        ends && sheet
    }
}

const UP: Health = Health::Up { failures: 0 };
const DOWN_BY_PROBES: Health = Health::Down(Out::ByProbes { passes: 0 });

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
mod tests {
    use super::super::fixtures::{failing, refused, rules, secs};
    use super::*;

    const PASS: Seen = Seen::ProbePassed(Routing::Serving);
    const FAIL: Seen = Seen::ProbeFailed(ProbeFailure::Timeout);
    const TRIPPED: Seen = Seen::Proved(Verdict::Tripped);

    fn fresh() -> Endpoint {
        Endpoint::new(EndpointId(0), "a".into(), Moment::ZERO)
    }

    /// An endpoint in any state, as those that lead there would have made it.
    fn in_state(health: Health) -> Endpoint {
        Endpoint { health, ..fresh() }
    }

    /// Applies all at one moment; the causes told.
    fn causes(endpoint: &mut Endpoint, at: Moment, seen: &[Seen]) -> Vec<Cause> {
        seen.iter().filter_map(|seen| endpoint.apply(at, *seen, &rules())).map(|moved| moved.cause).collect()
    }

    fn ejected(until: u64, passes: u32) -> Endpoint {
        in_state(Health::Down(Out::Ejected { until: secs(until), passes }))
    }

    #[test]
    fn the_first_probe_decides_alone() {
        let mut endpoint = fresh();
        assert!(endpoint.counts_as_up());
        let moved = endpoint.apply(secs(1), FAIL, &rules()).unwrap();
        assert_eq!((moved.from, moved.to, moved.cause), (Health::Unproven, DOWN_BY_PROBES, Cause::FirstProbe));
        assert_eq!(moved.evidence, failed(1, 1, ProbeFailure::Timeout));
        assert_eq!(endpoint.since(), secs(1));
        assert_eq!(causes(&mut fresh(), secs(1), &[PASS, FAIL, FAIL]), [Cause::FirstProbe]);
    }

    #[test]
    fn a_first_pass_does_not_wipe_out_what_real_requests_showed() {
        let mut endpoint = fresh();
        endpoint.note(secs(1), &failing(4), &rules());
        endpoint.apply(secs(1), PASS, &rules());
        endpoint.note(secs(1), &failing(1), &rules());
        assert_eq!(endpoint.verdict(&rules()), Some(Verdict::InARow));
    }

    #[test]
    fn fall_probes_in_a_row_take_it_down_and_rise_bring_it_back() {
        let mut endpoint = in_state(UP);
        assert_eq!(causes(&mut endpoint, secs(1), &[FAIL, FAIL, PASS, FAIL, FAIL]), []);
        assert_eq!(causes(&mut endpoint, secs(2), &[FAIL]), [Cause::Fall]);
        assert_eq!(causes(&mut endpoint, secs(3), &[PASS, FAIL, PASS]), []);
        assert_eq!(causes(&mut endpoint, secs(4), &[PASS]), [Cause::Rise]);
    }

    #[test]
    fn refused_connects_take_it_down_until_probes_pass() {
        let mut endpoint = in_state(UP);
        endpoint.note(secs(1), &refused(5), &rules());
        let verdict = endpoint.verdict(&rules()).unwrap();
        assert_eq!(causes(&mut endpoint, secs(1), &[Seen::Proved(verdict)]), [Cause::Refused]);
        assert_eq!(causes(&mut endpoint, secs(2), &[PASS, FAIL, PASS, PASS]), [Cause::Rise]);
    }

    #[test]
    fn an_ejection_ends_in_probation_and_probation_in_up() {
        let mut endpoint = in_state(UP);
        assert_eq!(causes(&mut endpoint, secs(1), &[TRIPPED]), [Cause::Score]);
        assert_eq!(causes(&mut endpoint, secs(5), &[PASS, PASS, PASS, Seen::TimePassed]), []);
        assert_eq!(endpoint.deadline(&rules()), Some(secs(11)));
        assert_eq!(causes(&mut endpoint, secs(11), &[Seen::TimePassed]), [Cause::TermServed]);
        assert!(!endpoint.counts_as_up());
        assert_eq!(causes(&mut endpoint, secs(12), &[PASS; 9]), []);
        assert_eq!(causes(&mut endpoint, secs(12), &[PASS]), [Cause::Proven]);
        assert_eq!(endpoint.health(), UP);
    }

    #[test]
    fn failing_probes_hold_an_ejected_endpoint_past_its_time() {
        let mut endpoint = ejected(10, 5);
        assert_eq!(causes(&mut endpoint, secs(9), &[FAIL]), []);
        assert_eq!(endpoint.deadline(&rules()), None);
        assert_eq!(causes(&mut endpoint, secs(10), &[Seen::TimePassed, PASS]), []);
        assert_eq!(causes(&mut endpoint, secs(11), &[PASS]), [Cause::TermServed]);
    }

    #[test]
    fn a_relapse_in_probation_ejects_again_for_twice_as_long() {
        for relapse in [FAIL, TRIPPED, Seen::Proved(Verdict::InARow), Seen::Proved(Verdict::Refused)] {
            let mut endpoint = in_state(UP);
            causes(&mut endpoint, secs(0), &[Seen::Proved(Verdict::InARow), PASS, PASS]);
            causes(&mut endpoint, secs(10), &[Seen::TimePassed]);
            assert_eq!(causes(&mut endpoint, secs(20), &[relapse]), [Cause::Relapse]);
            assert_eq!(endpoint.health(), Health::Down(Out::Ejected { until: secs(40), passes: 0 }));
        }
    }

    #[test]
    fn ejections_of_an_hour_ago_are_forgotten_and_none_is_longer_than_five_minutes() {
        let mut endpoint = in_state(UP);
        let mut lasts = |at| {
            let ejected = endpoint.eject(secs(at), &rules());
            let Health::Down(Out::Ejected { until, .. }) = ejected else { panic!("{ejected:?}") };
            until.since(secs(at)).as_secs()
        };
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(&mut lasts), [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!([3_603, 9_000].map(&mut lasts), [80, 10]);
        for at in 0..100 {
            assert!(lasts(10_000 + at) <= 300);
        }
        assert_eq!(endpoint.ejections.len(), EJECTIONS_REMEMBERED);
    }

    #[test]
    fn late_answers_to_old_requests_change_nothing_while_it_is_down() {
        for health in [DOWN_BY_PROBES, Health::Down(Out::ByRefusals { passes: 1 }), ejected(9, 1).health] {
            let mut endpoint = in_state(health);
            endpoint.note(secs(1), &failing(100), &rules());
            assert_eq!(endpoint.verdict(&rules()), None);
            assert_eq!(causes(&mut endpoint, secs(1), &[Seen::Answered(Routing::Serving), TRIPPED]), []);
            assert_eq!(endpoint.health(), health);
        }
    }

    #[test]
    fn in_panic_a_real_answer_brings_anyone_back() {
        let probation = in_state(Health::Probation { good: 3 });
        let refused = in_state(Health::Down(Out::ByRefusals { passes: 0 }));
        for mut endpoint in [in_state(DOWN_BY_PROBES), refused, ejected(10, 0), probation] {
            assert_eq!(causes(&mut endpoint, secs(1), &[Seen::Answered(Routing::Panic)]), [Cause::AnsweredInPanic]);
            assert_eq!(endpoint.health(), UP);
        }
    }

    #[test]
    fn in_panic_one_probe_brings_back_whom_probes_or_refusals_took_out_but_no_liar() {
        let passed = [Seen::ProbePassed(Routing::Panic)];
        assert_eq!(causes(&mut in_state(DOWN_BY_PROBES), secs(1), &passed), [Cause::AnsweredInPanic]);
        let mut refused = in_state(Health::Down(Out::ByRefusals { passes: 0 }));
        assert_eq!(causes(&mut refused, secs(1), &passed), [Cause::AnsweredInPanic]);
        assert_eq!(causes(&mut ejected(10, 5), secs(1), &passed), []);
        assert_eq!(causes(&mut in_state(Health::Probation { good: 0 }), secs(1), &passed), []);
    }

    #[test]
    fn nobody_is_brought_back_twice_within_the_ejection_time() {
        let round = [Seen::Answered(Routing::Panic), TRIPPED];
        let mut endpoint = ejected(10, 0);
        assert_eq!(causes(&mut endpoint, secs(1), &round), [Cause::AnsweredInPanic, Cause::Score]);
        assert_eq!(causes(&mut endpoint, secs(10), &[Seen::Answered(Routing::Panic)]), []);
        assert_eq!(causes(&mut endpoint, secs(11), &round), [Cause::AnsweredInPanic, Cause::Score]);
    }

    #[test]
    fn it_comes_back_with_a_clean_sheet() {
        let mut endpoint = in_state(UP);
        endpoint.note(secs(1), &failing(5), &rules());
        assert!(endpoint.is_sound(&rules()));
        causes(&mut endpoint, secs(1), &[FAIL, FAIL, FAIL, PASS, PASS]);
        assert_eq!((endpoint.health(), endpoint.verdict(&rules())), (UP, None));
    }

    #[test]
    fn a_shorter_ejection_time_shortens_the_ejections_that_run() {
        let long = Rules { ejection_time: Duration::from_secs(900), ..rules() };
        let mut endpoint = in_state(UP);
        endpoint.apply(secs(100), TRIPPED, &long);
        assert!(!endpoint.is_sound(&rules()));
        endpoint.adopt(&rules());
        assert_eq!(endpoint.health(), Health::Down(Out::Ejected { until: secs(400), passes: 0 }));
        assert!(endpoint.is_sound(&rules()));
    }
}
