//! Decisions told to people: one sentence for a transition, the same in the log, in `/status` and on the command line.
//!
//! Not here: what to decide (`domain`), how a page or a table is laid out (`admin`, `cli`).

use super::control::{Moved, moved};
use crate::domain::{
    Change, Evidence, FailureCounts, FailureKind, Health, Moment, Out, ProbeFailure, Routing, Transition,
};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// The whole sentence: what changed, in which backend, and the numbers it rests on.
pub fn transition(transition: &Transition) -> String {
    let Transition { at, backend, change, cause, evidence } = transition;
    let reason = Reason { evidence, at: *at };
    match change {
        Change::Endpoint { pool, endpoint, from, to, .. } => {
            let (from, to, cause) = (from.name(), health(*to), cause.name());
            format!("{backend}: {pool}/{endpoint} went from {from} to {to} ({cause}): {reason}")
        }
        Change::Pool { pool, from, to } => {
            format!("{backend}: pool {pool} went from {} to {} ({}): {reason}", from.name(), to.name(), cause.name())
        }
        Change::Serving { from, to } => {
            let what = match moved(*cause) {
                Moved::Failover => format!("failover {from} → {to}: {from} is not usable"),
                Moved::Failback => format!("failback {from} → {to}"),
                Moved::Reconfigured => format!("{to} serves now instead of {from}"),
            };
            format!("{backend}: {what} ({}): {reason}", cause.name())
        }
        Change::Routing { to: Routing::Panic, .. } => {
            format!("{backend}: panic: no pool is usable, every endpoint is tried: {reason}")
        }
        Change::Routing { to: Routing::Serving, .. } => {
            format!("{backend}: the panic is over, a pool is usable again: {reason}")
        }
    }
}

/// An endpoint's health with how it went down.
pub fn health(health: Health) -> &'static str {
    match health {
        Health::Unproven => "unproven",
        Health::Up { .. } => "up",
        Health::Down(Out::ByProbes { .. }) => "down (fails its probes)",
        Health::Down(Out::ByRefusals { .. }) => "down (refuses connections)",
        Health::Down(Out::Ejected { .. }) => "down (ejected: requests failed)",
        Health::Probation { .. } => "probation",
    }
}

/// A duration as people say it, in its two largest units: `350ms`, `12s`, `2m 14s`, `3h 5m`, `4d 2h`. Rounded down.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => pair(minutes, "m", seconds % 60, "s"),
        3_600..86_400 => pair(hours, "h", minutes, "m"),
        86_400.. => pair(days, "d", hours, "h"),
    }
}

fn pair(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit} {small}{small_unit}"),
    }
}

/// `1 endpoint`, `2 endpoints`.
pub fn count<N: Display>(n: N, thing: &str) -> String {
    let n = n.to_string();
    let plural = if n == "1" { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

/// The numbers a decision rests on, beside their thresholds.
struct Reason<'a> {
    evidence: &'a Evidence,
    at: Moment,
}

impl Display for Reason<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self.evidence {
            Evidence::Probes { in_a_row, needed, last: Some(failure) } => {
                write!(
                    f,
                    "{} failed in a row, the last by {}; {needed} needed",
                    count(in_a_row, "probe"),
                    probe_failure(failure)
                )
            }
            Evidence::Probes { in_a_row, needed, last: None } => {
                write!(f, "{} passed in a row; {needed} needed", count(in_a_row, "probe"))
            }
            Evidence::Requests { failed, of, since, score, trip, in_a_row, consecutive } => {
                let (total, within) = (failed.total(), span(self.at.since(since)));
                write!(f, "{total} of {} failed within {within} ({}); ", count(of, "request"), kinds(&failed))?;
                write!(f, "score {score:.1} of {trip}, {in_a_row} of {consecutive} in a row")
            }
            Evidence::GoodAnswer => write!(f, "a real request was answered well"),
            Evidence::Endpoints { up, of, needed } => {
                write!(f, "{up} of {} up; {needed} needed", count(of, "endpoint"))
            }
            Evidence::HeldDown { up_for, needed } => {
                write!(f, "well for {}; {} needed", span(up_for), span(needed))
            }
            Evidence::Configured => write!(f, "the configuration changed"),
        }
    }
}

/// Why a probe failed, with the status if that was it.
fn probe_failure(failure: ProbeFailure) -> String {
    match failure {
        ProbeFailure::Status(status) => format!("status {status}"),
        ProbeFailure::Refused
        | ProbeFailure::Connect
        | ProbeFailure::Timeout
        | ProbeFailure::Reset
        | ProbeFailure::Tls
        | ProbeFailure::Malformed => failure.name().to_owned(),
        ProbeFailure::Text => "a body without the expected text".to_owned(),
        ProbeFailure::NotServing => "not serving".to_owned(),
    }
}

/// `12 refused, 5 timeout`: the kinds that occurred.
fn kinds(failed: &FailureCounts) -> String {
    let occurred = FailureKind::ALL.into_iter().filter(|kind| failed.of(*kind) > 0);
    occurred.map(|kind| format!("{} {}", failed.of(kind), kind.name())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Cause, EndpointId};

    fn told(change: Change, cause: Cause, evidence: Evidence) -> String {
        let at = Moment::at(Duration::from_secs(60));
        transition(&Transition { at, backend: "sites".into(), change, cause, evidence })
    }

    fn endpoint(to: Health) -> Change {
        let from = Health::Up { failures: 0 };
        Change::Endpoint { id: EndpointId(1), pool: "new-jersey".into(), endpoint: "10.1.0.11:8080".into(), from, to }
    }

    #[test]
    fn failed_probes_are_told_with_their_number_and_the_last_reason() {
        let last = Some(ProbeFailure::Timeout);
        let evidence = Evidence::Probes { in_a_row: 3, needed: 3, last };
        assert_eq!(
            told(endpoint(Health::Down(Out::ByProbes { passes: 0 })), Cause::Fall, evidence),
            "sites: new-jersey/10.1.0.11:8080 went from up to down (fails its probes) (fall): \
             3 probes failed in a row, the last by timeout; 3 needed",
        );
    }

    #[test]
    fn failed_requests_are_told_as_counts_beside_their_thresholds() {
        let mut failed = FailureCounts::default();
        failed.add(FailureKind::Status, 12);
        failed.add(FailureKind::Timeout, 5);
        let since = Moment::at(Duration::from_secs(58));
        let evidence =
            Evidence::Requests { failed, of: 51, since, score: 20.04, trip: 20, in_a_row: 2, consecutive: 5 };
        let ejected = Health::Down(Out::Ejected { until: Moment::at(Duration::from_secs(70)), passes: 0 });
        assert_eq!(
            told(endpoint(ejected), Cause::Score, evidence),
            "sites: new-jersey/10.1.0.11:8080 went from up to down (ejected: requests failed) (score): \
             17 of 51 requests failed within 2s (5 timeout, 12 status); score 20.0 of 20, 2 of 5 in a row",
        );
    }

    #[test]
    fn a_failover_names_both_pools_and_the_reason() {
        let change = Change::Serving { from: "new-jersey".into(), to: "oregon".into() };
        assert_eq!(
            told(change, Cause::PoolUnusable, Evidence::Endpoints { up: 0, of: 1, needed: 1 }),
            "sites: failover new-jersey → oregon: new-jersey is not usable (pool_unusable): 0 of 1 endpoint up; 1 needed",
        );
    }

    #[test]
    fn spans_are_said_in_their_two_largest_units() {
        let told = |millis| span(Duration::from_millis(millis));
        assert_eq!(told(0), "0ms");
        assert_eq!(told(999), "999ms");
        assert_eq!(told(59_999), "59s");
        assert_eq!(told(60_000), "1m");
        assert_eq!(told(134_000), "2m 14s");
        assert_eq!(told(3_600_000 * 3 + 60_000 * 5), "3h 5m");
        assert_eq!(told(86_400_000 * 4 + 3_600_000 * 2), "4d 2h");
    }
}
