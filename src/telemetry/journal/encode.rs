//! A journal line as JSON. docs/journal.md explains each field; a test compares the two, both ways.
//!
//! Readers of old journals outlive this code: fields are added, never renamed, and none changes its meaning or unit.
//!
//! Not here: the sentence in `words` (`telemetry::words`).

use super::{Entry, EvidenceSum, Line, Meanwhile};
use crate::domain::{
    Change, Evidence, FailureCounts, Health, Moment, Out, ProbeFailure, ReadOnly, Transition, Waiting,
};
use crate::telemetry::words;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The line with its newline.
pub fn line(line: &Line) -> Vec<u8> {
    let mut bytes =
        serde_json::to_vec(&row(line)).expect("a row has text keys alone, and writing to memory does not fail");
    bytes.push(b'\n');
    bytes
}

/// Every field that a line may have, in the order in which they are written.
#[derive(Default, Serialize)]
struct Row<'a> {
    at: String,
    moment: f64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<EvidenceRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meanwhile: Option<MeanwhileRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    good: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<Kinds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

/// The numbers of a decision beside their thresholds; `kind` says which of them there are.
#[derive(Default, Serialize)]
struct EvidenceRow {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_a_row: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<Kinds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trip: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consecutive: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    up_for: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<Threshold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unweighted: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_hedges: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blamed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blamed_serving: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of_serving: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<u32>,
}

/// A number of the kind of what is held against it.
#[derive(Serialize)]
#[serde(untagged)]
enum Threshold {
    Count(u32),
    Seconds(f64),
}

#[derive(Serialize)]
struct MeanwhileRow {
    since_first_evidence: f64,
    failed: u64,
    rescued: u64,
}

/// Failures by kind, those that occurred.
type Kinds = BTreeMap<&'static str, u32>;

fn row(line: &Line) -> Row<'_> {
    let Line { at, moment, entry } = line;
    let begun = Row { at: words::time(*at), moment: since_start(*moment), ..Row::default() };
    match entry {
        Entry::Started { version, pid } => Row { kind: "start", version: Some(version), pid: Some(*pid), ..begun },
        Entry::Transition { transition, meanwhile } => {
            let meanwhile = meanwhile.as_ref().map(meanwhile_row);
            Row { kind: "transition", meanwhile, ..transition_row(begun, transition) }
        }
        Entry::Evidence(sum) => evidence_sum_row(begun, sum),
        Entry::Config { step, generation, broke, words } => Row {
            kind: "config",
            change: Some(step.name()),
            generation: Some(generation.0),
            backend: broke.as_ref().map(|(backend, _)| &**backend),
            evidence: broke.as_ref().map(|(_, evidence)| evidence_row(evidence)),
            words: Some(words.clone()),
            ..begun
        },
        Entry::Lost(lines) => Row { kind: "lost", lines: Some(*lines), ..begun },
        Entry::Stopped => Row { kind: "stop", ..begun },
    }
}

fn transition_row<'a>(begun: Row<'a>, transition: &'a Transition) -> Row<'a> {
    let Transition { at: _, backend, change, cause, evidence, first_evidence: _ } = transition;
    let (from, to) = change.from_to();
    let told = Row {
        backend: backend.as_deref(),
        change: Some(change.name()),
        from,
        to,
        cause: Some(cause.name()),
        evidence: Some(evidence_row(evidence)),
        words: Some(words::transition(transition)),
        ..begun
    };
    match change {
        Change::Endpoint { pool, endpoint, to, .. } => {
            let (out, until) = way_out(*to);
            Row { pool: Some(pool), endpoint: Some(endpoint), out, until, ..told }
        }
        Change::Steadiness { pool, endpoint, .. } => Row { pool: Some(pool), endpoint: Some(endpoint), ..told },
        Change::Pool { pool, .. } | Change::Lag { pool, .. } | Change::Diverged { pool, .. } => {
            Row { pool: Some(pool), ..told }
        }
        Change::Ramp { step, .. } => Row { out: Some(step.name()), ..told },
        Change::Writes { pool, to, .. } => {
            let (out, until) = (to.reason().map(ReadOnly::name), to.until().map(since_start));
            Row { pool: Some(pool), out, until, ..told }
        }
        Change::WritesLeft { pool, count } => Row { pool: Some(pool), count: Some(*count), ..told },
        Change::Waiting { to, .. } => Row { until: to.and_then(Waiting::until).map(since_start), ..told },
        Change::Command { command, .. } => Row { command: Some(command.to_string()), ..told },
        Change::Serving { .. } | Change::Routing { .. } | Change::Isolation { .. } | Change::Probing { .. } => told,
    }
}

/// How an endpoint went down, and until when it stays so at least.
fn way_out(health: Health) -> (Option<&'static str>, Option<f64>) {
    let Health::Down(out) = health else { return (None, None) };
    let until = match out {
        Out::Ejected { until, .. } => Some(since_start(until)),
        Out::ByProbes { .. } | Out::ByRefusals { .. } => None,
    };
    (Some(out.name()), until)
}

fn evidence_row(evidence: &Evidence) -> EvidenceRow {
    let row = EvidenceRow { kind: evidence.name(), ..EvidenceRow::default() };
    match *evidence {
        Evidence::Probes { in_a_row, needed, last } => EvidenceRow {
            in_a_row: Some(in_a_row),
            needed: Some(Threshold::Count(needed)),
            last: last.map(ProbeFailure::name),
            status: last.and_then(status),
            ..row
        },
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
        } => EvidenceRow {
            class: Some(class.name()),
            failed: Some(kinds(&failed)),
            unweighted: Some(unweighted),
            of: Some(of),
            since: Some(since_start(since)),
            score: Some(thousandths(score)),
            trip: Some(trip),
            in_a_row: Some(in_a_row),
            consecutive: Some(consecutive),
            open_hedges: Some(open_hedges),
            ..row
        },
        Evidence::Stall { pending, oldest, silent, allowed } => EvidenceRow {
            pending: Some(pending),
            oldest: Some(seconds(oldest)),
            silent: Some(seconds(silent)),
            allowed: Some(seconds(allowed)),
            ..row
        },
        Evidence::GoodAnswer | Evidence::Configured => row,
        Evidence::GoodAnswers { in_a_row, needed } => {
            EvidenceRow { in_a_row: Some(in_a_row), needed: Some(Threshold::Count(needed)), ..row }
        }
        Evidence::ErroredSeconds { count, threshold } => {
            EvidenceRow { seconds: Some(count), needed: Some(Threshold::Count(threshold)), ..row }
        }
        Evidence::Endpoints { up, of, needed } => {
            EvidenceRow { up: Some(up), of: Some(of), needed: Some(Threshold::Count(needed)), ..row }
        }
        Evidence::Lag { behind, most } => {
            EvidenceRow { behind: behind.map(seconds), allowed: Some(seconds(most)), ..row }
        }
        Evidence::HeldDown { up_for, needed } => {
            EvidenceRow { up_for: Some(seconds(up_for)), needed: Some(Threshold::Seconds(seconds(needed))), ..row }
        }
        Evidence::Ramp { blamed, of, blamed_serving, of_serving } => EvidenceRow {
            blamed: Some(blamed),
            of: Some(of),
            blamed_serving: Some(blamed_serving),
            of_serving: Some(of_serving),
            ..row
        },
        Evidence::Asked { endpoints } => EvidenceRow { asked: Some(endpoints), ..row },
    }
}

fn status(failure: ProbeFailure) -> Option<u16> {
    match failure {
        ProbeFailure::Status(status) => Some(status),
        ProbeFailure::Refused
        | ProbeFailure::Connect
        | ProbeFailure::Timeout
        | ProbeFailure::Reset
        | ProbeFailure::Tls
        | ProbeFailure::Text
        | ProbeFailure::NotServing
        | ProbeFailure::Malformed => None,
    }
}

fn meanwhile_row(meanwhile: &Meanwhile) -> MeanwhileRow {
    let Meanwhile { since_first_evidence, failed, rescued } = *meanwhile;
    MeanwhileRow { since_first_evidence: seconds(since_first_evidence), failed, rescued }
}

fn evidence_sum_row<'a>(begun: Row<'a>, sum: &'a EvidenceSum) -> Row<'a> {
    let EvidenceSum { backend, pool, endpoint, good, failed, score } = sum;
    Row {
        kind: "evidence",
        backend: Some(backend),
        pool: Some(pool),
        endpoint: Some(endpoint),
        good: Some(*good),
        failed: Some(kinds(failed)),
        score: Some(thousandths(*score)),
        ..begun
    }
}

fn kinds(failed: &FailureCounts) -> Kinds {
    failed.occurred().map(|(kind, count)| (kind.name(), count)).collect()
}

fn since_start(moment: Moment) -> f64 {
    seconds(moment.since_start())
}

/// To the millisecond.
fn seconds(span: Duration) -> f64 {
    thousandths(span.as_secs_f64())
}

fn thousandths(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests;
