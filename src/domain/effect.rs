//! What a reload did to users: whether the requests of what it changed fail so often that the config before it has to come back.
//!
//! One backend's requests add up to a score as an endpoint's do (`score`), with the same thresholds and the same care: one client, or
//! one page, proves nothing among others. What a probe's verdict explains is not the reload's doing, so a score that trips
//! waits for as long as probes take to reach one.
//!
//! Not here: which requests count as failed, and whose (`health::effect`), what is done about a verdict (`reload`).

use super::evidence::TallyDelta;
use super::score::{Score, Weighed};
use super::setup::Rules;
use super::transition::Evidence;
use super::units::{Class, Moment, PerClass};
use std::time::Duration;

/// A reload that is watched.
#[derive(Clone, Debug)]
pub struct Effect {
    until: Moment,
    backends: Vec<Watched>,
}

/// One backend of which something changed.
#[derive(Clone, Debug)]
struct Watched {
    rules: Rules,
    /// How long its probes take to reach a verdict.
    verdict: Duration,
    scores: PerClass<Score>,
    tripped: Option<Tripped>,
}

#[derive(Clone, Copy, Debug)]
struct Tripped {
    at: Moment,
    evidence: Evidence,
}

/// Whether something else is known to be the reason of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explained {
    /// Probes found an endpoint down that serves there, or users were moved.
    ByProbes,
    No,
}

/// What is to be done about the reload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EffectVerdict {
    Watching,
    /// Nothing spoke against it for as long as it was to be watched.
    Good,
    /// It broke that backend, by its number.
    Bad {
        backend: usize,
        evidence: Evidence,
    },
}

impl Effect {
    /// For backends numbered in this order: their rules, and how long their probes take to reach a verdict.
    pub fn new(until: Moment, backends: impl IntoIterator<Item = (Rules, Duration)>) -> Effect {
        let watched = |(rules, verdict)| Watched { rules, verdict, scores: PerClass::default(), tripped: None };
        Effect { until, backends: backends.into_iter().map(watched).collect() }
    }

    /// Takes in what became of requests since the last time.
    pub fn note(&mut self, now: Moment, backend: usize, delta: &TallyDelta, explained: Explained) {
        let Some(watched) = self.backends.get_mut(backend) else { return };
        match explained {
            Explained::ByProbes => (watched.scores, watched.tripped) = (PerClass::default(), None),
            Explained::No => watched.note(now, delta),
        }
    }

    /// What follows now.
    pub fn verdict(&self, now: Moment) -> EffectVerdict {
        let tripped =
            || self.backends.iter().enumerate().filter_map(|(at, watched)| Some((at, watched, watched.tripped?)));
        let is_due = |(_, watched, tripped): &(usize, &Watched, Tripped)| tripped.at.after(watched.verdict) <= now;
        if let Some((backend, _, Tripped { evidence, .. })) = tripped().find(is_due) {
            return EffectVerdict::Bad { backend, evidence };
        }
        if now >= self.until && tripped().next().is_none() { EffectVerdict::Good } else { EffectVerdict::Watching }
    }

    /// When it has been watched for as long as it was to be.
    pub fn until(&self) -> Moment {
        self.until
    }
}

impl Watched {
    fn note(&mut self, now: Moment, delta: &TallyDelta) {
        for class in Class::ALL {
            let of_class = delta.failed.iter().filter(|failed| failed.class == class);
            let failed: Vec<Weighed> = of_class.map(|request| Weighed { request: *request, halves: 2 }).collect();
            let (good, score) = (delta.good[class], &mut self.scores[class]);
            if failed.is_empty() {
                score.note_good(good);
            } else {
                score.note(now, good, &failed, delta.trailing[class], &delta.answered[class], &self.rules);
            }
            if self.tripped.is_none() && (score.is_tripped(&self.rules) || score.is_run_over(&self.rules)) {
                self.tripped = Some(Tripped { at: now, evidence: score.evidence(class, 0, &self.rules) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::{Elsewhere, FailedRequest, FailureKind, Variety, Weight};
    use super::super::units::Fingerprint;
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::ZERO.after(Duration::from_millis(millis))
    }

    /// 30 s are watched, a verdict of probes takes 2 s.
    fn effect() -> Effect {
        Effect::new(
            at(30_000),
            [(Rules::default(), Duration::from_secs(2)), (Rules::default(), Duration::from_secs(2))],
        )
    }

    /// Requests of as many clients for as many pages.
    fn delta(good: u32, failed: u64) -> TallyDelta {
        let request = |n| FailedRequest {
            kind: FailureKind::Status,
            class: Class::Safe,
            weight: Weight::Full,
            client: Fingerprint(n),
            path: Fingerprint(n),
            elsewhere: Elsewhere::Unknown,
        };
        let (mut delta, someone) =
            (TallyDelta::default(), [Some((Fingerprint(98), at(0))), Some((Fingerprint(99), at(0)))]);
        delta.good[Class::Safe] = good;
        delta.failed = (0..failed).map(request).collect();
        delta.trailing[Class::Safe] = if good == 0 { u32::try_from(failed).unwrap() } else { 0 };
        delta.answered[Class::Safe] = Variety { clients: someone, paths: someone };
        delta
    }

    #[test]
    fn what_breaks_a_backend_is_taken_back_once_probes_had_their_say() {
        let mut effect = effect();
        effect.note(at(1_000), 1, &delta(100, 60), Explained::No);
        assert_eq!(effect.verdict(at(2_900)), EffectVerdict::Watching);
        assert!(matches!(effect.verdict(at(3_000)), EffectVerdict::Bad { backend: 1, .. }));
    }

    #[test]
    fn what_probes_explain_is_not_the_reloads_doing() {
        let mut effect = effect();
        effect.note(at(1_000), 0, &delta(0, 60), Explained::No);
        effect.note(at(1_250), 0, &delta(0, 20), Explained::ByProbes);
        assert_eq!(effect.verdict(at(29_000)), EffectVerdict::Watching);
        assert_eq!(effect.verdict(at(30_000)), EffectVerdict::Good);
    }

    #[test]
    fn noise_and_a_single_broken_page_are_confirmed() {
        let mut effect = effect();
        for second in 0..30 {
            effect.note(at(second * 1_000), 0, &delta(200, 2), Explained::No);
            let mut page = delta(200, 20);
            page.failed.iter_mut().for_each(|failed| failed.path = Fingerprint(7));
            effect.note(at(second * 1_000), 1, &page, Explained::No);
        }
        assert_eq!(effect.verdict(at(30_000)), EffectVerdict::Good);
    }

    #[test]
    fn a_trip_just_before_the_end_is_still_looked_into() {
        let mut effect = effect();
        effect.note(at(29_900), 0, &delta(0, 60), Explained::No);
        assert_eq!(effect.verdict(at(31_000)), EffectVerdict::Watching);
        assert!(matches!(effect.verdict(at(31_900)), EffectVerdict::Bad { backend: 0, .. }));
    }
}
