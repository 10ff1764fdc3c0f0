//! A journal line as JSON. docs/journal.md explains each field; a test compares the two, both ways.
//!
//! Readers of old journals outlive this code: fields are added, never renamed, and none changes its meaning or unit.
//!
//! Not here: the sentence in `words` (`telemetry::words`).

use super::{Entry, EvidenceSum, Line, Meanwhile};
use crate::domain::{
    Change, Evidence, FailureCounts, FailureKind, Health, Moment, Out, ProbeFailure, Routing, Transition,
};
use crate::telemetry::words;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The line with its newline.
pub(super) fn line(line: &Line) -> Vec<u8> {
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
        Entry::Lost(lines) => Row { kind: "lost", lines: Some(*lines), ..begun },
        Entry::Stopped => Row { kind: "stop", ..begun },
    }
}

fn transition_row<'a>(begun: Row<'a>, transition: &'a Transition) -> Row<'a> {
    let Transition { at: _, backend, change, cause, evidence } = transition;
    let told = Row {
        backend: Some(backend),
        cause: Some(cause.name()),
        evidence: Some(evidence_row(evidence)),
        words: Some(words::transition(transition)),
        ..begun
    };
    match change {
        Change::Endpoint { id: _, pool, endpoint, from, to } => Row {
            change: Some("endpoint"),
            pool: Some(pool),
            endpoint: Some(endpoint),
            from: Some(from.name()),
            to: Some(to.name()),
            out: way_out(*to),
            until: until(*to),
            ..told
        },
        Change::Pool { pool, from, to } => {
            Row { change: Some("pool"), pool: Some(pool), from: Some(from.name()), to: Some(to.name()), ..told }
        }
        Change::Serving { from, to } => Row { change: Some("serving"), from: Some(from), to: Some(to), ..told },
        Change::Routing { from, to } => {
            Row { change: Some("routing"), from: Some(routing(*from)), to: Some(routing(*to)), ..told }
        }
    }
}

fn way_out(health: Health) -> Option<&'static str> {
    match health {
        Health::Down(Out::ByProbes { .. }) => Some("probes"),
        Health::Down(Out::ByRefusals { .. }) => Some("refusals"),
        Health::Down(Out::Ejected { .. }) => Some("ejected"),
        Health::Unproven | Health::Up { .. } | Health::Probation { .. } => None,
    }
}

fn until(health: Health) -> Option<f64> {
    match health {
        Health::Down(Out::Ejected { until, .. }) => Some(since_start(until)),
        Health::Down(Out::ByProbes { .. } | Out::ByRefusals { .. })
        | Health::Unproven
        | Health::Up { .. }
        | Health::Probation { .. } => None,
    }
}

fn routing(routing: Routing) -> &'static str {
    match routing {
        Routing::Serving => "serving",
        Routing::Panic => "panic",
    }
}

fn evidence_row(evidence: &Evidence) -> EvidenceRow {
    match *evidence {
        Evidence::Probes { in_a_row, needed, last } => EvidenceRow {
            kind: "probes",
            in_a_row: Some(in_a_row),
            needed: Some(Threshold::Count(needed)),
            last: last.map(ProbeFailure::name),
            status: last.and_then(status),
            ..EvidenceRow::default()
        },
        Evidence::Requests { failed, of, since, score, trip, in_a_row, consecutive } => EvidenceRow {
            kind: "requests",
            failed: Some(kinds(&failed)),
            of: Some(of),
            since: Some(since_start(since)),
            score: Some(thousandths(score)),
            trip: Some(trip),
            in_a_row: Some(in_a_row),
            consecutive: Some(consecutive),
            ..EvidenceRow::default()
        },
        Evidence::GoodAnswer => EvidenceRow { kind: "good_answer", ..EvidenceRow::default() },
        Evidence::Endpoints { up, of, needed } => EvidenceRow {
            kind: "endpoints",
            up: Some(up),
            of: Some(of),
            needed: Some(Threshold::Count(needed)),
            ..EvidenceRow::default()
        },
        Evidence::HeldDown { up_for, needed } => EvidenceRow {
            kind: "held_down",
            up_for: Some(seconds(up_for)),
            needed: Some(Threshold::Seconds(seconds(needed))),
            ..EvidenceRow::default()
        },
        Evidence::Configured => EvidenceRow { kind: "configured", ..EvidenceRow::default() },
    }
}

fn status(failure: ProbeFailure) -> Option<u16> {
    match failure {
        ProbeFailure::Status(status) => Some(status),
        ProbeFailure::Refused
        | ProbeFailure::Connect
        | ProbeFailure::Timeout
        | ProbeFailure::Reset
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
    let counted = FailureKind::ALL.into_iter().map(|kind| (kind.name(), failed.of(kind)));
    counted.filter(|(_, count)| *count > 0).collect()
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
