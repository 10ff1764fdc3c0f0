//! What the control side counts: transitions, probes, reloads; and whether the newest transitions say that it is us. Off the request path, so the prometheus crate's own types do.
//!
//! Not here: what workers count (`metrics`), what a transition says in words (`words`).

use super::cells::BUCKETS;
use super::files::Files;
use super::names::{self, Metric};
use crate::domain::{Cause, Change, CommandStep, Illness, Isolation, Moment, RampStep, Routing, Transition};
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The control side's counters. Any thread may count; nobody waits for a scrape longer than a look-up takes.
#[derive(Debug)]
pub struct Control {
    failovers: IntCounterVec,
    failbacks: IntCounterVec,
    panics: IntCounterVec,
    endpoint_transitions: IntCounterVec,
    ramps: IntCounterVec,
    writes_left: IntCounterVec,
    commands: IntCounterVec,
    isolated: IntGauge,
    /// Why probes are void, if they are.
    illness: Mutex<Option<Illness>>,
    probes: IntCounterVec,
    probe_duration: HistogramVec,
    void_probes: IntCounter,
    reloads: IntCounterVec,
    unconfirmed: IntGauge,
    taken_back: IntGauge,
    config: Mutex<ConfigState>,
    worker_restarts: IntCounter,
    files: Files,
    /// The backends of the last scrape: series of those that are gone since are dropped, so that renaming backends for
    /// years does not grow the process.
    known: Mutex<BTreeSet<String>>,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Accepted,
    /// The new configuration has problems; the old one stays in force.
    Rejected,
    /// It stood its time, or an operator said that it is to stay.
    Confirmed,
    /// It broke what it changed, or nobody confirmed it: the one before is in force again.
    TakenBack,
}

/// How the configuration in force came to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigState {
    #[default]
    Confirmed,
    /// Its effect is watched.
    Trying {
        until: Moment,
        /// It is taken back then, unless an operator confirms it.
        by_hand: bool,
    },
    /// The one in that file was taken back, because of that.
    TakenBack { file: String, why: String },
    /// The one in that file is in force and should not be: why, and what keeps the one before from coming back.
    Stuck { file: String, why: String },
}

impl Reload {
    /// In the order in which docs/metrics.md lists them.
    pub const ALL: [Reload; 4] = [Reload::Accepted, Reload::Rejected, Reload::Confirmed, Reload::TakenBack];

    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Reload::Accepted => "accepted",
            Reload::Rejected => "rejected",
            Reload::Confirmed => "confirmed",
            Reload::TakenBack => "taken_back",
        }
    }
}

/// The ways in which the serving pool moves, as people ask for them.
pub(super) enum Moved {
    Failover,
    Failback,
    /// An operator asked for it.
    Commanded,
    /// The configuration asked for it, or it stood so before a restart: nothing failed.
    Reconfigured,
}

impl Control {
    pub fn new() -> Control {
        let control = Control {
            failovers: counters(&names::FAILOVERS),
            failbacks: counters(&names::FAILBACKS),
            panics: counters(&names::PANICS),
            endpoint_transitions: counters(&names::ENDPOINT_TRANSITIONS),
            ramps: counters(&names::RAMPS),
            writes_left: counters(&names::WRITES_LEFT),
            commands: counters(&names::COMMANDS),
            isolated: IntGauge::with_opts(opts(&names::ISOLATED)).expect(VALID),
            illness: Mutex::default(),
            probes: counters(&names::PROBES),
            probe_duration: histograms(&names::PROBE_DURATION),
            void_probes: IntCounter::with_opts(opts(&names::VOID_PROBES)).expect(VALID),
            reloads: counters(&names::RELOADS),
            unconfirmed: IntGauge::with_opts(opts(&names::CONFIG_UNCONFIRMED)).expect(VALID),
            taken_back: IntGauge::with_opts(opts(&names::CONFIG_TAKEN_BACK)).expect(VALID),
            config: Mutex::default(),
            worker_restarts: IntCounter::with_opts(opts(&names::WORKER_RESTARTS)).expect(VALID),
            files: Files::new(),
            known: Mutex::default(),
        };
        for result in Reload::ALL {
            control.reloads.with_label_values(&[result.name()]);
        }
        control
    }

    /// Counts a worker that was started anew.
    pub fn worker_restarted(&self) {
        self.worker_restarts.inc();
    }

    /// Counts one transition. Those of pools are not counted: they follow from their endpoints'.
    pub fn transition(&self, transition: &Transition) {
        let backend = transition.backend.as_deref().unwrap_or_default();
        match &transition.change {
            Change::Endpoint { to, .. } => self.endpoint_transitions.with_label_values(&[backend, to.name()]).inc(),
            Change::Pool { .. } => {}
            Change::Serving { .. } => match moved(transition.cause) {
                Moved::Failover => self.failovers.with_label_values(&[backend, transition.cause.name()]).inc(),
                Moved::Failback => self.failbacks.with_label_values(&[backend]).inc(),
                Moved::Commanded => self.failovers.with_label_values(&[backend, transition.cause.name()]).inc(),
                Moved::Reconfigured => {}
            },
            Change::Routing { to: Routing::Panic, .. } => self.panics.with_label_values(&[backend]).inc(),
            Change::Ramp { step: RampStep::Began, .. } => self.ramps.with_label_values(&[backend, "began"]).inc(),
            Change::Ramp { step: RampStep::Aborted, .. } => self.ramps.with_label_values(&[backend, "aborted"]).inc(),
            Change::WritesLeft { count, .. } => self.writes_left.with_label_values(&[backend]).inc_by((*count).into()),
            Change::Command { command, step: CommandStep::Given } => {
                self.commands.with_label_values(&[command.name()]).inc();
            }
            Change::Isolation { to } => self.isolated.set(i64::from(*to == Isolation::Yes)),
            Change::Probing { to } => *self.illness.lock().unwrap_or_else(PoisonError::into_inner) = *to,
            Change::Routing { to: Routing::Serving | Routing::Held, .. }
            | Change::Command { step: CommandStep::Suspended | CommandStep::Resumed | CommandStep::Ended, .. }
            | Change::Steadiness { .. }
            | Change::Lag { .. }
            | Change::Diverged { .. }
            | Change::Writes { .. }
            | Change::Waiting { .. } => {}
        }
    }

    /// Whether this process is cut off, as was told last.
    pub fn isolation(&self) -> Isolation {
        if self.isolated.get() == 0 { Isolation::No } else { Isolation::Yes }
    }

    /// Why probes are void, as was told last; `None`: they count.
    pub fn illness(&self) -> Option<Illness> {
        *self.illness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one probe that ended: `result` is `passed`, or [`crate::domain::ProbeFailure::name`].
    pub fn probe(&self, backend: &str, result: &'static str, took: Duration) {
        self.probes.with_label_values(&[backend, result]).inc();
        self.probe_duration.with_label_values(&[backend]).observe(took.as_secs_f64());
    }

    /// Counts one probe that was void.
    pub fn void_probe(&self) {
        self.void_probes.inc();
    }

    /// Counts one reload.
    pub fn reload(&self, result: Reload) {
        self.reloads.with_label_values(&[result.name()]).inc();
    }

    /// Tells how the configuration in force came to be there.
    pub fn set_config(&self, state: ConfigState) {
        let (trying, taken_back) = match &state {
            ConfigState::Confirmed => (0, 0),
            ConfigState::Trying { .. } => (1, 0),
            ConfigState::TakenBack { .. } => (0, 1),
            ConfigState::Stuck { .. } => (1, 0),
        };
        self.unconfirmed.set(trying);
        self.taken_back.set(taken_back);
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// As was told last.
    pub fn config(&self) -> ConfigState {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the writers of the journal and of the state file count.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Everything counted here, for these backends: each has its series from its first scrape on, at zero (a rate needs a
    /// value before the first failover), and those of backends that are no longer among them are dropped.
    pub fn collect<'a>(&self, backends: impl Iterator<Item = &'a str>) -> Vec<MetricFamily> {
        let present: BTreeSet<String> = backends.map(str::to_owned).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known.difference(&present) {
            self.forget(gone);
        }
        for backend in present.difference(&known) {
            self.failovers.with_label_values(&[backend, Cause::PoolUnusable.name()]);
            self.failbacks.with_label_values(&[backend]);
            self.panics.with_label_values(&[backend]);
            self.writes_left.with_label_values(&[backend]);
            for step in ["began", "aborted"] {
                self.ramps.with_label_values(&[backend.as_str(), step]);
            }
        }
        *known = present;
        self.collectors().into_iter().chain(self.files.collectors()).flat_map(Collector::collect).collect()
    }

    fn forget(&self, backend: &str) {
        let by_backend = [
            &self.failovers,
            &self.failbacks,
            &self.panics,
            &self.endpoint_transitions,
            &self.ramps,
            &self.writes_left,
            &self.probes,
        ];
        by_backend.into_iter().for_each(|counters| remove(counters, backend));
        remove(&self.probe_duration, backend);
    }

    fn collectors(&self) -> [&dyn Collector; 15] {
        [
            &self.failovers,
            &self.failbacks,
            &self.panics,
            &self.endpoint_transitions,
            &self.ramps,
            &self.writes_left,
            &self.commands,
            &self.isolated,
            &self.probes,
            &self.probe_duration,
            &self.void_probes,
            &self.reloads,
            &self.unconfirmed,
            &self.taken_back,
            &self.worker_restarts,
        ]
    }
}

impl Default for Control {
    fn default() -> Control {
        Control::new()
    }
}

/// What a change of the serving pool was, by its cause. Causes of other changes never move it.
pub(super) fn moved(cause: Cause) -> Moved {
    match cause {
        Cause::PoolUnusable => Moved::Failover,
        Cause::Commanded => Moved::Commanded,
        Cause::Reconfigured | Cause::Restored => Moved::Reconfigured,
        Cause::HoldDownOver
        | Cause::RampOver
        | Cause::RampFailures
        | Cause::RampLost
        | Cause::EndpointsChanged
        | Cause::PoolUsable
        | Cause::NoPoolUsable
        | Cause::NoSignOfLife
        | Cause::FirstProbe
        | Cause::Fall
        | Cause::Rise
        | Cause::Refused
        | Cause::Score
        | Cause::Consecutive
        | Cause::Stalled
        | Cause::StallConfirmed
        | Cause::Doubted
        | Cause::Cleared
        | Cause::TermServed
        | Cause::Proven
        | Cause::Relapse
        | Cause::AnsweredInPanic
        | Cause::ErroredSeconds
        | Cause::CalmAgain
        | Cause::Lag
        | Cause::ServingChanged
        | Cause::WritesPossible
        | Cause::WritesEnded
        | Cause::TimeOver
        | Cause::InSync
        | Cause::WaitChanged
        | Cause::TimeGiven
        | Cause::NobodyAnswers
        | Cause::SomebodyAnswered
        | Cause::Illness => Moved::Failback,
    }
}

/// Drops every series of `backend`.
fn remove<B: MetricVecBuilder>(vec: &MetricVec<B>, backend: &str) {
    for family in vec.collect() {
        for metric in family.get_metric() {
            let labels: HashMap<&str, &str> =
                metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            if labels.get("backend") == Some(&backend) {
                // It fails only for a series that is not there, which is what we want.
                let _ = vec.remove(&labels);
            }
        }
    }
}

const VALID: &str = "the constants in `names` are valid metric and label names: a test collects them all";

fn opts(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn counters(metric: &Metric) -> IntCounterVec {
    IntCounterVec::new(opts(metric), metric.labels).expect(VALID)
}

fn histograms(metric: &Metric) -> HistogramVec {
    let bounds = BUCKETS.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64()).collect();
    HistogramVec::new(HistogramOpts::new(metric.name, metric.help).buckets(bounds), metric.labels).expect(VALID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EndpointId, Evidence, Health, Moment};

    fn transition(change: Change, cause: Cause) -> Transition {
        Transition {
            at: Moment::ZERO,
            backend: Some("sites".into()),
            change,
            cause,
            evidence: Evidence::Configured,
            first_evidence: None,
        }
    }

    fn serving(cause: Cause) -> Transition {
        transition(Change::Serving { from: "new-jersey".into(), to: "oregon".into() }, cause)
    }

    /// `family{a="1",b="2"} value` for each counter, sorted.
    fn counted(control: &Control, backends: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        for family in control.collect(backends.iter().copied()) {
            for metric in family.get_metric() {
                let labels: Vec<_> = metric.get_label().iter().map(|label| label.value()).collect();
                let value = metric.get_counter().get_value() + metric.get_histogram().get_sample_sum();
                lines.push(format!("{} {} {value}", family.name(), labels.join(" ")));
            }
        }
        lines.sort();
        lines
    }

    fn has(lines: &[String], line: &str) -> bool {
        lines.iter().any(|counted| counted == line)
    }

    #[test]
    fn failovers_failbacks_and_reconfigurations_are_told_apart() {
        let control = Control::new();
        control.transition(&serving(Cause::PoolUnusable));
        control.transition(&serving(Cause::PoolUnusable));
        control.transition(&serving(Cause::HoldDownOver));
        control.transition(&serving(Cause::Reconfigured));
        let lines = counted(&control, &["sites"]);
        assert!(has(&lines, "hotspare_failovers_total sites pool_unusable 2"), "{lines:#?}");
        assert!(has(&lines, "hotspare_failbacks_total sites 1"), "{lines:#?}");
    }

    #[test]
    fn only_the_beginning_of_a_panic_is_counted() {
        let control = Control::new();
        let (calm, panic) = (Routing::Serving, Routing::Panic);
        control.transition(&transition(Change::Routing { from: calm, to: panic }, Cause::NoPoolUsable));
        control.transition(&transition(Change::Routing { from: panic, to: calm }, Cause::PoolUsable));
        assert!(has(&counted(&control, &["sites"]), "hotspare_panics_total sites 1"));
    }

    #[test]
    fn endpoint_changes_are_counted_by_the_state_they_lead_to() {
        let control = Control::new();
        let change = Change::Endpoint {
            id: EndpointId(1),
            pool: "new-jersey".into(),
            endpoint: "10.1.0.11:8080".into(),
            from: Health::Unproven,
            to: Health::Up { failures: 0 },
        };
        control.transition(&transition(change, Cause::FirstProbe));
        assert!(has(&counted(&control, &["sites"]), "hotspare_endpoint_transitions_total sites up 1"));
    }

    #[test]
    fn a_backend_has_its_series_at_zero_before_anything_happens() {
        let lines = counted(&Control::new(), &["sites"]);
        for line in [
            "hotspare_failovers_total sites pool_unusable 0",
            "hotspare_failbacks_total sites 0",
            "hotspare_panics_total sites 0",
            "hotspare_reloads_total rejected 0",
        ] {
            assert!(has(&lines, line), "{line} is not in {lines:#?}");
        }
    }

    #[test]
    fn a_removed_backend_takes_its_series_with_it_and_no_others() {
        let control = Control::new();
        for backend in ["blogs", "sites"] {
            control.probe(backend, "passed", Duration::from_millis(3));
            control.probe(backend, "timeout", Duration::from_secs(1));
        }
        assert!(has(&counted(&control, &["blogs", "sites"]), "hotspare_probes_total blogs timeout 1"));
        let lines = counted(&control, &["sites"]);
        assert!(!lines.iter().any(|line| line.contains("blogs")), "{lines:#?}");
        assert!(has(&lines, "hotspare_probes_total sites timeout 1"), "{lines:#?}");
        assert!(has(&lines, "hotspare_probe_duration_seconds sites 1.003"), "{lines:#?}");
    }

    #[test]
    fn what_was_counted_before_a_backend_was_first_scraped_stays() {
        let control = Control::new();
        control.transition(&serving(Cause::PoolUnusable));
        counted(&control, &[]);
        assert!(has(&counted(&control, &["sites"]), "hotspare_failovers_total sites pool_unusable 1"));
    }
}
