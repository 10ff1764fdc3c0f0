//! Decisions told to people: one sentence for a transition, the same in the log, in `/status` and on the command line. What
//! follows from a command is told in `orders`.
//!
//! Not here: what to decide (`domain`), how a page or a table is laid out (`admin`, `cli`).

mod orders;

pub use orders::{consequence, refusal};

use super::control::{Moved, moved};
use crate::domain::{
    Cause, Change, CommandStep, Diverged, Evidence, FailureCounts, Health, Illness, Isolation, Lagging, Moment, Out,
    ProbeFailure, RampStep, ReadOnly, Routing, Steadiness, Suspicion, Transition, Writes,
};
use std::fmt::{self, Display, Formatter};
use std::time::{Duration, SystemTime};

/// The whole sentence: what changed, in which backend, and the numbers it rests on.
pub fn transition(transition: &Transition) -> String {
    let Transition { at, backend, change, cause, evidence, first_evidence: _ } = transition;
    let what = change_in_words(change, *cause);
    let backend = backend.as_deref().unwrap_or("all backends");
    let cause = cause.name();
    if *evidence == Evidence::Configured {
        return format!("{backend}: {what} ({cause})");
    }
    format!("{backend}: {what} ({cause}): {}", Reason { evidence, at: *at })
}

/// The numbers of a decision at that time, beside their thresholds.
pub fn evidence(evidence: &Evidence, at: Moment) -> String {
    Reason { evidence, at }.to_string()
}

fn change_in_words(change: &Change, cause: Cause) -> String {
    match change {
        Change::Endpoint { pool, endpoint, from, to, .. } => {
            format!("{pool}/{endpoint} went from {} to {}", from.name(), health(*to))
        }
        Change::Steadiness { pool, endpoint, to: Steadiness::Intermittent, .. } => {
            format!("{pool}/{endpoint} fails now and then: intermittent")
        }
        Change::Steadiness { pool, endpoint, to: Steadiness::Steady, .. } => {
            format!("{pool}/{endpoint} is no longer intermittent")
        }
        Change::Pool { pool, from, to } => format!("pool {pool} went from {} to {}", from.name(), to.name()),
        Change::Lag { pool, to: Lagging::Stale } => format!("pool {pool} is behind by too much: stale"),
        Change::Lag { pool, to: Lagging::Fresh } => format!("pool {pool} is no longer behind by too much"),
        Change::Diverged { pool, to: Diverged::Yes } => {
            format!("pool {pool} may take writes that the earlier pools lack: diverged")
        }
        Change::Diverged { pool, to: Diverged::No } => format!("pool {pool} no longer counts as diverged"),
        Change::Serving { from, to } => match moved(cause) {
            Moved::Failover => format!("failover {from} → {to}: {from} is not usable"),
            Moved::Failback => format!("failback {from} → {to}"),
            Moved::Commanded => format!("moved {from} → {to} by command"),
            Moved::Reconfigured => format!("{to} serves now instead of {from}"),
        },
        Change::Ramp { from, to, step: RampStep::Began } => format!("reads begin to return from {from} to {to}"),
        Change::Ramp { from, to, step: RampStep::Aborted } => {
            format!("the return from {from} to {to} is broken off, {from} goes on serving")
        }
        Change::Writes { pool, to, .. } => writes(pool, *to),
        Change::WritesLeft { pool, count: left } => {
            format!("{} still running at {pool} when writes moved on", count(*left, "write"))
        }
        Change::Routing { to: Routing::Panic, .. } if cause == Cause::NoSignOfLife => {
            "panic: no other pool has shown a sign of life, every endpoint is tried".to_owned()
        }
        Change::Routing { to: Routing::Panic, .. } => "panic: no pool is usable, every endpoint is tried".to_owned(),
        Change::Routing { to: Routing::Held, .. } => "held at a pool that is not usable".to_owned(),
        Change::Routing { to: Routing::Serving, .. } => "a pool is usable again".to_owned(),
        Change::Waiting { to: Some(waiting), .. } => format!("failback waits: {}", waiting.name()),
        Change::Waiting { to: None, .. } => "failback waits for nothing any more".to_owned(),
        Change::Command { command, step } => {
            let step = match step {
                CommandStep::Given => "given",
                CommandStep::Suspended => "suspended: its pool is not usable",
                CommandStep::Resumed => "followed again",
                CommandStep::Ended => "ended",
            };
            format!("command `{command}` {step}")
        }
        Change::Isolation { to: Isolation::Yes } => {
            "nobody answers: this host seems to be cut off, and nothing moves until somebody does".to_owned()
        }
        Change::Isolation { to: Isolation::No } => "somebody answers again".to_owned(),
        Change::Probing { to: Some(illness) } => {
            format!("probes are void, for this process is ill: {}", illness.name())
        }
        Change::Probing { to: None } => "probes count again".to_owned(),
    }
}

fn writes(pool: &str, to: Writes) -> String {
    match to {
        Writes::To(_) => format!("writes go to {pool}"),
        Writes::Pausing { .. } => format!("writes wait to go to {pool} until those that run elsewhere have ended"),
        Writes::Refused(why) => format!("writes are refused ({})", read_only(why)),
    }
}

/// Why unsafe requests are refused.
pub fn read_only(why: ReadOnly) -> &'static str {
    match why {
        ReadOnly::Commanded => "read-only by command",
        ReadOnly::Pool => "the serving pool is configured read-only",
        ReadOnly::NotYet { .. } => "the serving pool takes writes only once the outage has lasted",
        ReadOnly::FailingBack => "requests return from a pool that has taken writes",
        ReadOnly::CatchingUp => "what was written elsewhere is not all there yet",
        ReadOnly::UntilAck => "the pool that took writes died; `hotspare ack` or `hotspare failback` ends this",
    }
}

/// An endpoint's health with how it came to it.
pub fn health(health: Health) -> &'static str {
    match health {
        Health::Unproven => "unproven",
        Health::Up { .. } => "up",
        Health::Suspect { by: Suspicion::Stalled { .. }, .. } => "suspect (answers nobody)",
        Health::Suspect { by: Suspicion::Doubted, .. } => "suspect (requests fail)",
        Health::Down(Out::ByProbes { .. }) => "down (fails its probes)",
        Health::Down(Out::ByRefusals { .. }) => "down (refuses connections)",
        Health::Down(Out::Ejected { .. }) => "down (ejected: requests failed)",
        Health::Probation { .. } => "probation",
    }
}

/// What is wrong with this process, and where to look.
pub fn illness(illness: Illness) -> &'static str {
    match illness {
        Illness::Late => "hotspare got its turn too late: look for what takes the CPU",
        Illness::Short => "descriptors, local ports or memory have run out: the log says which",
        Illness::ClockJumped => "its clock jumped, as after a sleep or a pause",
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub fn time(at: SystemTime) -> String {
    match jiff::Timestamp::try_from(at) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => "outside the calendar".to_owned(),
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
                let (probes, last) = (count(in_a_row, "probe"), probe_failure(failure));
                write!(f, "{probes} failed in a row, the last by {last}; {needed} needed")
            }
            Evidence::Probes { in_a_row, needed, last: None } => {
                write!(f, "{} passed in a row; {needed} needed", count(in_a_row, "probe"))
            }
            Evidence::Requests {
                class,
                failed,
                unweighted,
                of,
                since,
                score,
                trip,
                in_a_row,
                consecutive,
                open_hedges,
            } => {
                let (total, within) = (failed.total(), span(self.at.since(since)));
                let requests = format!("{} request", class.name());
                write!(f, "{total} of {} failed within {within} ({}); ", count(of, &requests), kinds(&failed))?;
                if unweighted > 0 {
                    write!(f, "{unweighted} of them without weight; ")?;
                }
                if open_hedges > 0 {
                    write!(f, "{} open; ", count(open_hedges, "hedge"))?;
                }
                write!(f, "score {score:.1} of {trip}, {in_a_row} of {consecutive} in a row")
            }
            Evidence::Stall { pending, oldest, silent, allowed } => {
                let requests = count(pending, "request");
                write!(f, "{requests} waiting, the oldest for {}; ", span(oldest))?;
                write!(f, "nothing answered for {}, {} allowed", span(silent), span(allowed))
            }
            Evidence::GoodAnswer => write!(f, "a real request was answered well"),
            Evidence::GoodAnswers { in_a_row, needed } => {
                write!(f, "{} answered well in a row; {needed} needed", count(in_a_row, "real request"))
            }
            Evidence::ErroredSeconds { count: seconds, threshold } => {
                write!(f, "{} (halving every 30 minutes); threshold {threshold}", count(seconds, "errored second"))
            }
            Evidence::Endpoints { up, of, needed } => {
                write!(f, "{up} of {} up; {needed} needed", count(of, "endpoint"))
            }
            Evidence::Lag { behind: Some(behind), most } => {
                write!(f, "{} behind; at most {}", span(behind), span(most))
            }
            Evidence::Lag { behind: None, most } => write!(f, "its lag is not known; at most {}", span(most)),
            Evidence::HeldDown { up_for, needed } => {
                write!(f, "well for {}; {} needed", span(up_for), span(needed))
            }
            Evidence::Ramp { blamed, of, blamed_serving, of_serving } => {
                let (there, here) = (count(of, "request"), count(of_serving, "request"));
                write!(f, "blamed for failing {blamed} of {there}, the serving pool {blamed_serving} of {here}")
            }
            Evidence::Asked { endpoints } => write!(f, "{} asked", count(endpoints, "endpoint")),
            Evidence::Configured => write!(f, "as told"),
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
    failed.occurred().map(|(kind, count)| format!("{count} {}", kind.name())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Class, EndpointId, FailureKind};

    fn told(change: Change, cause: Cause, evidence: Evidence) -> String {
        let at = Moment::at(Duration::from_secs(60));
        transition(&Transition { at, backend: Some("sites".into()), change, cause, evidence, first_evidence: None })
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
        let evidence = Evidence::Requests {
            class: Class::Safe,
            failed,
            unweighted: 0,
            of: 51,
            since,
            score: 20.04,
            trip: 20,
            in_a_row: 2,
            consecutive: 5,
            open_hedges: 0,
        };
        let ejected = Health::Down(Out::Ejected { until: Moment::at(Duration::from_secs(70)), passes: 0 });
        assert_eq!(
            told(endpoint(ejected), Cause::Score, evidence),
            "sites: new-jersey/10.1.0.11:8080 went from up to down (ejected: requests failed) (score): \
             17 of 51 safe requests failed within 2s (5 timeout, 12 status); score 20.0 of 20, 2 of 5 in a row",
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
