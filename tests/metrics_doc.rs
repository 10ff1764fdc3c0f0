//! docs/metrics.md and `telemetry::names` say the same: every metric has a row, every row a metric, with the same type, unit
//! and labels.

use hotspare::domain::FailureKind;
use hotspare::telemetry::control::Reload;
use hotspare::telemetry::metrics::{Buffered, NotIntroduced, ProtocolError, ReplyKind};
use hotspare::telemetry::names::{self, Metric};
use std::collections::BTreeMap;

const DOC: &str = include_str!("../docs/metrics.md");

/// A row's name, its `type, unit`, and the names of its labels.
type Row = (String, String, Vec<String>);

/// Every row of every table whose first cell is a metric.
fn rows(doc: &str) -> Vec<Row> {
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let metric = |line: &str| -> Option<Row> {
        let row = cells(line);
        let name = row.get(1)?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
        assert_eq!(row.len(), 7, "five cells: {line}");
        Some((name, row[2].clone(), labels(&row[3])))
    };
    doc.lines().filter(|line| line.starts_with('|')).filter_map(metric).collect()
}

/// `backend, pool; state = up, down (2 P)` → backend, pool, state.
fn labels(cell: &str) -> Vec<String> {
    let (list, _) = cell.split_once('(').unwrap_or_else(|| panic!("no number of series: {cell}"));
    let names = list.split(';').flat_map(|part| part.split('=').next().unwrap_or_default().split(','));
    names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn row(metric: &Metric) -> Row {
    let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
    (metric.name.to_owned(), format!("{}, {}", metric.kind.name(), metric.unit), labels)
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    let documented = rows(DOC);
    let by_name: BTreeMap<&str, &Row> = documented.iter().map(|row| (row.0.as_str(), row)).collect();
    assert_eq!(by_name.len(), documented.len(), "a metric has two rows");
    for metric in names::ALL {
        let row = row(metric);
        assert_eq!(by_name.get(metric.name), Some(&&row), "docs/metrics.md, the row of {}", metric.name);
    }
    for (name, ..) in &documented {
        assert!(
            names::ALL.iter().any(|metric| metric.name == name),
            "docs/metrics.md explains {name}, which is no metric"
        );
    }
}

#[test]
fn the_values_that_a_label_can_have_are_listed() {
    let listed = |metric: &Metric, label: &str, values: Vec<&str>| {
        let wanted = format!("{label} = {} (", values.join(", "));
        let row = DOC.lines().find(|line| line.starts_with(&format!("| `{}`", metric.name)));
        assert!(row.is_some_and(|row| row.contains(&wanted)), "`{wanted}` is not in the row of {}", metric.name);
    };
    let kinds = FailureKind::ALL.map(FailureKind::name);
    listed(&names::ATTEMPTS, "outcome", std::iter::once("good").chain(kinds).collect());
    listed(&names::REPLIES, "kind", ReplyKind::ALL.map(ReplyKind::name).to_vec());
    for metric in [&names::BUFFERED, &names::NOT_BUFFERED] {
        listed(metric, "what", Buffered::ALL.map(Buffered::name).to_vec());
    }
    let causes = NotIntroduced::ALL.map(NotIntroduced::name);
    listed(&names::PROXY_HEADER_FAILURES, "cause", causes.to_vec());
    let reasons = ProtocolError::ALL.map(ProtocolError::name);
    listed(&names::PROTOCOL_ERRORS, "reason", reasons.to_vec());
    listed(&names::RELOADS, "result", Reload::ALL.map(Reload::name).to_vec());
}

#[test]
fn a_row_is_read_as_it_is_meant() {
    let row = "| `m_total` | counter, things | backend, pool; state = up, down (2 P) | c | w |";
    let labels = ["backend", "pool", "state"].map(str::to_owned).to_vec();
    assert_eq!(rows(row), [("m_total".to_owned(), "counter, things".to_owned(), labels)]);
    assert_eq!(rows("| `m` | gauge, things | (1) | c | w |")[0].2, [] as [&str; 0]);
}
