//! What lines look like, and that docs/journal.md says the same.

use super::super::ConfigStep;
use super::*;
use crate::domain::{
    Cause, Class, Command, CommandStep, Diverged, EndpointId, FailureKind, Generation, Illness, Isolation, Lagging,
    PoolHealth, PoolIndex, RampStep, Routing, Steadiness, Suspicion, Trial, Writes,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::SystemTime;

const DOC: &str = include_str!("../../../../docs/journal.md");

fn secs(seconds: u64) -> Moment {
    Moment::at(Duration::from_secs(seconds))
}

fn told(entry: Entry) -> Line {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_561_200_042);
    Line { at, moment: Moment::at(Duration::from_millis(60_042)), entry }
}

fn transition(change: Change, cause: Cause, evidence: Evidence) -> Entry {
    let backend = Some("sites".into());
    let transition = Transition { at: secs(60), backend, change, cause, evidence, first_evidence: None };
    Entry::Transition { transition, meanwhile: None }
}

fn endpoint(to: Health) -> Change {
    let (pool, endpoint) = ("new-jersey".into(), "10.1.0.11:8080".into());
    Change::Endpoint { id: EndpointId(1), pool, endpoint, from: Health::Up { failures: 0 }, to }
}

fn failed() -> FailureCounts {
    let mut failed = FailureCounts::default();
    failed.add(FailureKind::Status, 12);
    failed.add(FailureKind::Timeout, 5);
    failed
}

/// A line of every kind, with every change and every kind of evidence: a new variant of one of them belongs here too.
fn samples() -> Vec<Line> {
    let (from, to) = ("new-jersey", "oregon");
    let ejected = Health::Down(Out::Ejected { until: secs(70), passes: 0 });
    let requests = Evidence::Requests {
        class: Class::Safe,
        unweighted: 3,
        open_hedges: 1,
        failed: failed(),
        of: 51,
        since: secs(58),
        score: 20.04,
        trip: 20,
        in_a_row: 2,
        consecutive: 5,
    };
    let probes = |last| Evidence::Probes { in_a_row: 3, needed: 3, last };
    let change = Change::Serving { from: from.into(), to: to.into() };
    let evidence = Evidence::Endpoints { up: 0, of: 2, needed: 1 };
    let failover = Transition {
        at: secs(60),
        backend: Some("sites".into()),
        change,
        cause: Cause::PoolUnusable,
        evidence,
        first_evidence: Some(secs(58)),
    };
    let since_first_evidence = Duration::from_millis(1_250);
    let meanwhile = Some(Meanwhile { since_first_evidence, failed: 3, rescued: 14 });
    let held_down = Evidence::HeldDown { up_for: Duration::from_secs(61), needed: Duration::from_secs(60) };
    let sum = EvidenceSum {
        backend: "sites".into(),
        pool: from.into(),
        endpoint: "10.1.0.11:8080".into(),
        good: 34,
        failed: failed(),
        score: 17.3,
    };
    let entries = [
        Entry::Started { version: "0.1.0", pid: 4711 },
        Entry::Evidence(sum),
        transition(endpoint(ejected), Cause::Score, requests),
        transition(
            endpoint(Health::Down(Out::ByProbes { passes: 0 })),
            Cause::Fall,
            probes(Some(ProbeFailure::Timeout)),
        ),
        transition(endpoint(Health::Down(Out::ByRefusals { passes: 0 })), Cause::Refused, requests),
        transition(endpoint(Health::Probation { trial: Trial::default() }), Cause::TermServed, probes(None)),
        transition(endpoint(Health::Up { failures: 0 }), Cause::AnsweredInPanic, Evidence::GoodAnswer),
        transition(endpoint(Health::Unproven), Cause::FirstProbe, probes(Some(ProbeFailure::Status(503)))),
        transition(
            Change::Pool { pool: from.into(), from: PoolHealth::Up, to: PoolHealth::Down },
            Cause::EndpointsChanged,
            Evidence::Configured,
        ),
        Entry::Transition { transition: failover, meanwhile },
        transition(Change::Serving { from: to.into(), to: from.into() }, Cause::HoldDownOver, held_down),
        transition(
            Change::Routing { from: Routing::Serving, to: Routing::Panic },
            Cause::NoPoolUsable,
            Evidence::Endpoints { up: 0, of: 2, needed: 1 },
        ),
        transition(
            endpoint(Health::Suspect { by: Suspicion::Stalled { since: secs(60) }, failures: 0 }),
            Cause::Stalled,
            Evidence::Stall {
                pending: 6,
                oldest: Duration::from_millis(300),
                silent: Duration::from_millis(250),
                allowed: Duration::from_millis(250),
            },
        ),
        transition(
            endpoint(Health::Up { failures: 0 }),
            Cause::Proven,
            Evidence::GoodAnswers { in_a_row: 5, needed: 5 },
        ),
        transition(
            Change::Steadiness {
                id: EndpointId(1),
                pool: from.into(),
                endpoint: "10.1.0.11:8080".into(),
                to: Steadiness::Intermittent,
            },
            Cause::ErroredSeconds,
            Evidence::ErroredSeconds { count: 20, threshold: 20 },
        ),
        transition(
            Change::Lag { pool: to.into(), to: Lagging::Stale },
            Cause::Lag,
            Evidence::Lag { behind: Some(Duration::from_secs(90)), most: Duration::from_secs(30) },
        ),
        transition(
            Change::Ramp { from: to.into(), to: from.into(), step: RampStep::Aborted },
            Cause::RampFailures,
            Evidence::Ramp { blamed: 5, of: 120, blamed_serving: 1, of_serving: 900 },
        ),
        transition(
            Change::Writes {
                pool: to.into(),
                from: Writes::To(PoolIndex(0)),
                to: Writes::Refused(ReadOnly::NotYet { until: secs(360) }),
            },
            Cause::ServingChanged,
            Evidence::Configured,
        ),
        transition(Change::WritesLeft { pool: from.into(), count: 2 }, Cause::ServingChanged, Evidence::Configured),
        transition(
            Change::Diverged { pool: to.into(), to: Diverged::Yes },
            Cause::WritesPossible,
            Evidence::Configured,
        ),
        transition(
            Change::Waiting { from: None, to: Some(Waiting::HoldDown { pool: PoolIndex(0), until: secs(120) }) },
            Cause::WaitChanged,
            Evidence::Configured,
        ),
        transition(
            Change::Command { command: Command::Ack { backend: "sites".into() }, step: CommandStep::Given },
            Cause::Commanded,
            Evidence::Configured,
        ),
        transition(Change::Isolation { to: Isolation::Yes }, Cause::NobodyAnswers, Evidence::Asked { endpoints: 4 }),
        transition(Change::Probing { to: Some(Illness::Late) }, Cause::Illness, Evidence::Configured),
        config(ConfigStep::Accepted, false),
        config(ConfigStep::Rejected, false),
        config(ConfigStep::Confirmed, false),
        config(ConfigStep::TakenBack, true),
        Entry::Lost(17),
        Entry::Stopped,
    ];
    entries.into_iter().map(told).collect()
}

fn config(step: ConfigStep, broke: bool) -> Entry {
    let broke = broke.then(|| ("sites".into(), Evidence::GoodAnswer));
    Entry::Config { step, generation: Generation(7), broke, words: "told".to_owned() }
}

fn parsed(line: &Line) -> Value {
    serde_json::from_slice(&super::line(line)).unwrap()
}

/// The paths of all fields: `evidence.in_a_row`. What is below `failed` are kinds of failure, not fields.
fn fields(value: &Value, above: &str, found: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().unwrap() {
        let path = format!("{above}{key}");
        if value.is_object() && key != "failed" {
            fields(value, &format!("{path}."), found);
        }
        found.insert(path);
    }
}

/// The names in the first cells of the tables below that heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let section = DOC.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("docs/journal.md has no section {heading}"));
    let name = |line: &str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
    let names: Vec<String> = section.lines().filter_map(name).collect();
    let set: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(set.len(), names.len(), "a name has two rows");
    set
}

#[test]
fn every_field_is_documented_and_nothing_else_is() {
    let mut written = BTreeSet::new();
    samples().iter().for_each(|line| fields(&parsed(line), "", &mut written));
    assert_eq!(documented("Fields"), written);
}

#[test]
fn every_kind_of_line_and_of_evidence_is_documented_and_nothing_else_is() {
    let rows: Vec<Value> = samples().iter().map(parsed).collect();
    let words = |read: fn(&Value) -> &Value| -> BTreeSet<String> {
        rows.iter().filter_map(|row| read(row).as_str().map(str::to_owned)).collect()
    };
    assert_eq!(documented("Kinds of lines"), words(|row| &row["kind"]));
    assert_eq!(documented("Kinds of evidence"), words(|row| &row["evidence"]["kind"]));
    assert_eq!(documented("What changes"), words(|row| &row["change"]));
}

#[test]
fn the_examples_in_the_document_are_what_is_written() {
    let samples: Vec<Value> = samples().iter().map(parsed).collect();
    let examples: Vec<Value> =
        DOC.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(examples.len() >= 3);
    for example in examples {
        assert!(samples.contains(&example), "not a line of the samples: {example}");
    }
}

#[test]
fn a_line_has_its_time_its_numbers_and_its_sentence() {
    let samples = samples();
    let failover =
        samples.iter().map(super::line).find(|line| line.windows(9).any(|part| part == b"meanwhile")).unwrap();
    assert_eq!(
        String::from_utf8(failover).unwrap(),
        "{\"at\":\"2026-11-24T23:00:00.042Z\",\"moment\":60.042,\"kind\":\"transition\",\"backend\":\"sites\",\
         \"change\":\"serving\",\"from\":\"new-jersey\",\"to\":\"oregon\",\"cause\":\"pool_unusable\",\
         \"evidence\":{\"kind\":\"endpoints\",\"of\":2,\"up\":0,\"needed\":1},\
         \"meanwhile\":{\"since_first_evidence\":1.25,\"failed\":3,\"rescued\":14},\
         \"words\":\"sites: failover new-jersey → oregon: new-jersey is not usable (pool_unusable): \
         0 of 2 endpoints up; 1 needed\"}\n"
    );
}

#[test]
fn a_hostile_name_stays_inside_its_field_and_its_line() {
    let name = "a\"}\n{\"kind\":\"stop\"}\u{2028}\r\0";
    let change = Change::Serving { from: name.into(), to: "oregon".into() };
    let line = told(transition(change, Cause::PoolUnusable, Evidence::Configured));
    let bytes = super::line(&line);
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(parsed(&line)["from"], name);
}
