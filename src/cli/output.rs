//! How a status looks to people: what is wrong first, then a table a backend, what changed lately last.
//!
//! Names come from a configuration and an answer from the network, so control characters are not printed.

use crate::admin::status::{BackendStatus, EndpointStatus, Status};
use crate::telemetry::words;
use std::fmt::Write;
use std::time::Duration;

/// How many of the recent transitions are shown; `--json` has more.
const RECENT: usize = 8;

const HEADINGS: [&str; 8] = ["POOL", "HEALTH", "ENDPOINT", "STATE", "FOR", "IN FLIGHT", "GOOD", "FAILED"];

/// The whole page.
pub fn table(status: &Status) -> String {
    let mut page = Page::default();
    let up = span(status.uptime_seconds);
    page.line(&format!(
        "hotspare {}, {}, up for {up}, generation {}",
        status.release, status.readiness, status.generation
    ));
    page.line("");
    match &status.problems[..] {
        [] => page.line("all is well"),
        problems => problems.iter().for_each(|problem| page.line(&format!("! {problem}"))),
    }
    let mut backends: Vec<_> = status.backends.iter().collect();
    backends.sort_by_key(|backend| severity(backend)); // stable: the order of the configuration within each
    backends.into_iter().for_each(|found| backend(&mut page, found));
    certificates(&mut page, status);
    recent(&mut page, status);
    page.0
}

/// Worst first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Panic,
    OnTheSpare,
    NotAllUp,
    Fine,
}

fn severity(backend: &BackendStatus) -> Severity {
    if backend.routing != "serving" {
        Severity::Panic
    } else if backend.pools.first().is_some_and(|first| !first.serving) {
        Severity::OnTheSpare
    } else if backend.pools.iter().any(|pool| pool.health != "up") {
        Severity::NotAllUp
    } else {
        Severity::Fine
    }
}

fn backend(page: &mut Page, backend: &BackendStatus) {
    page.line("");
    let BackendStatus { name, serving, in_flight, .. } = backend;
    let since = span(backend.serving_for_seconds);
    let panic = match &*backend.routing {
        "panic" => ", in panic: every endpoint is tried",
        "held" => ", held there by a command although it is not usable",
        _ => "", // serving, and what a later release may know
    };
    let requests = words::count(*in_flight, "request");
    page.line(&format!("{name}: {serving} has been serving for {since}{panic}; {requests} in flight"));
    if backend.writes.state != "taken" {
        page.line(&format!("  writes {}", backend.writes.words));
    }
    if let Some(waiting) = &backend.waiting {
        page.line(&format!("  {}", waiting.words));
    }
    for command in &backend.commands {
        let left = command.left_seconds.map_or(String::new(), |left| format!(", for {} more", span(left)));
        let suspended = if command.suspended { ", suspended: its pool is not usable" } else { "" };
        page.line(&format!("  command `{}` stands{left}{suspended}", command.command));
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for pool in &backend.pools {
        let mut endpoints: Vec<_> = pool.endpoints.iter().collect();
        endpoints.sort_by_key(|endpoint| state_rank(&endpoint.health));
        let serving = if pool.serving { ", serving" } else { "" };
        let marks = [(pool.stale, ", stale"), (pool.drained, ", drained"), (pool.diverged, ", diverged")];
        let marks: String = marks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| mark).collect();
        let mut first = [pool.name.clone(), format!("{}{serving}{marks}", pool.health)];
        for endpoint in endpoints {
            let [name, health] = std::mem::take(&mut first); // a pool is named once, beside its worst endpoint
            rows.push([
                name,
                health,
                endpoint.name.clone(),
                endpoint.words.clone(),
                span(endpoint.for_seconds),
                endpoint.in_flight.to_string(),
                endpoint.attempts.get("good").copied().unwrap_or(0).to_string(),
                failed(endpoint),
            ]);
        }
    }
    page.rows(&rows);
}

fn state_rank(health: &str) -> u8 {
    match health {
        "down" => 0,
        "suspect" | "probation" => 1,
        "unproven" => 2,
        _ => 3, // up, and what a later release may know
    }
}

/// `17 (12 refused, 5 timeout)`, the most frequent kind first.
fn failed(endpoint: &EndpointStatus) -> String {
    let mut kinds: Vec<_> =
        endpoint.attempts.iter().filter(|(outcome, count)| *outcome != "good" && **count > 0).collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let total: u64 = kinds.iter().map(|(_, count)| **count).sum();
    let listed: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    match &listed[..] {
        [] => "0".to_owned(),
        listed => format!("{total} ({})", listed.join(", ")),
    }
}

fn certificates(page: &mut Page, status: &Status) {
    let mut rows: Vec<[String; 3]> = Vec::new();
    for certificate in status.listeners.iter().flat_map(|listener| &listener.certificates) {
        let left = span(certificate.left_seconds.abs());
        let ends = if certificate.left_seconds < 0.0 { format!("expired {left} ago") } else { format!("{left} left") };
        let row = [certificate.file.clone(), ends, certificate.names.join(" ")];
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    if !rows.is_empty() {
        page.line("");
        page.line("certificates");
        page.rows(&rows);
    }
    match status.listeners.iter().map(|listener| listener.more_certificates).max() {
        None | Some(0) => {}
        Some(more) => page.line(&format!("  and {}", words::count(more, "more certificate"))),
    }
}

fn recent(page: &mut Page, status: &Status) {
    if status.recent.is_empty() {
        return;
    }
    page.line("");
    page.line("what changed lately, newest first");
    let row = |ago: f64, words: &str| [format!("{} ago", span(ago)), words.to_owned()];
    let rows: Vec<_> = status.recent.iter().take(RECENT).map(|recent| row(recent.ago_seconds, &recent.words)).collect();
    page.rows(&rows);
}

/// Seconds in words; what is no duration at all (negative, not a number) is none.
fn span(seconds: f64) -> String {
    words::span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Text in the making.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.extend(text.trim_end().chars().filter(|c| !c.is_control()));
        self.0.push('\n');
    }

    /// Columns as wide as their widest cell, two blanks apart; those of numbers alone, below their heading, to the right.
    fn rows<const N: usize>(&mut self, rows: &[[String; N]]) {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let number = |cell: &String| cell.bytes().all(|byte| byte.is_ascii_digit());
        let numbers = |column: usize| rows.len() > 1 && rows[1..].iter().all(|row| number(&row[column]));
        let columns: [_; N] = std::array::from_fn(|column| (width(column), numbers(column)));
        for row in rows {
            let mut line = String::from(" ");
            for (cell, (width, numbers)) in row.iter().zip(columns) {
                let written = if numbers { write!(line, " {cell:>width$} ") } else { write!(line, " {cell:width$} ") };
                written.expect("a String takes all that is written to it");
            }
            self.line(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::status::{CertificateStatus, ListenerStatus, PoolStatus, SCHEMA, TransitionStatus, WritesStatus};

    fn endpoint(name: &str, health: &str, words: &str, attempts: &[(&str, u64)]) -> EndpointStatus {
        EndpointStatus {
            name: name.to_owned(),
            health: health.to_owned(),
            out: None,
            words: words.to_owned(),
            drained: false,
            intermittent: false,
            lag_seconds: None,
            since: String::new(),
            for_seconds: 134.9,
            in_flight: 0,
            attempts: attempts.iter().map(|(outcome, count)| ((*outcome).to_owned(), *count)).collect(),
        }
    }

    fn backend(name: &str, serving: usize, pools: [(&str, &str, Vec<EndpointStatus>); 2]) -> BackendStatus {
        let told = pools.into_iter().enumerate().map(|(i, (name, health, endpoints))| PoolStatus {
            name: name.to_owned(),
            serving: i == serving,
            health: health.to_owned(),
            stale: false,
            drained: false,
            diverged: false,
            endpoints,
        });
        let pools: Vec<_> = told.collect();
        BackendStatus {
            name: name.to_owned(),
            serving: pools[serving].name.clone(),
            serving_since: String::new(),
            serving_for_seconds: 134.2,
            routing: "serving".to_owned(),
            waiting: None,
            ramp_to: None,
            writes: WritesStatus {
                state: "taken".to_owned(),
                reason: None,
                left_seconds: None,
                words: "go to new-jersey".to_owned(),
            },
            commands: Vec::new(),
            in_flight: 3,
            waiting_writes: 0,
            pools,
        }
    }

    fn status() -> Status {
        let up = |name: &str| endpoint(name, "up", "up", &[("good", 120_344), ("refused", 0)]);
        let blogs = backend(
            "blogs",
            0,
            [("new-jersey", "up", vec![up("10.1.0.21:80")]), ("oregon", "up", vec![up("10.2.0.21:80")])],
        );
        let refused = endpoint(
            "10.1.0.12:8080",
            "down",
            "down (refuses connections)",
            &[("good", 981), ("refused", 12), ("timeout", 5)],
        );
        let ejected =
            endpoint("10.1.0.11:8080", "down", "down (ejected: requests failed), for 8s more", &[("status", 17)]);
        let primary = vec![refused, ejected];
        let sites =
            backend("sites", 1, [("new-jersey", "down", primary), ("oregon", "up", vec![up("10.2.0.11:8080")])]);
        let certificate = CertificateStatus {
            file: "certs/site.pem".to_owned(),
            names: vec!["sites.example".to_owned(), "*.sites.example".to_owned()],
            not_after: String::new(),
            left_seconds: 1_130_400.0,
            refused: None,
        };
        let transition = TransitionStatus {
            at: String::new(),
            ago_seconds: 134.0,
            backend: "sites".to_owned(),
            what: "serving".to_owned(),
            who: "sites".to_owned(),
            from: "new-jersey".to_owned(),
            to: "oregon".to_owned(),
            cause: "pool_unusable".to_owned(),
            words: "sites: oregon serves now instead of new-jersey (pool_unusable): 0 of 2 endpoints up; 1 needed"
                .to_owned(),
        };
        Status {
            schema: SCHEMA,
            release: "0.1.0".to_owned(),
            now: String::new(),
            uptime_seconds: 93_700.0,
            readiness: "ready".to_owned(),
            generation: 3,
            problems: vec![
                "sites: oregon has served instead of new-jersey for 2m 14s; failback waits: new-jersey is down, \
                 0 of 2 endpoints up"
                    .to_owned(),
                "certificate certs/site.pem expires in 13d 2h".to_owned(),
            ],
            backends: vec![blogs, sites],
            listeners: vec![ListenerStatus {
                address: "[::]:443".to_owned(),
                tls: true,
                certificates: vec![certificate],
                more_certificates: 0,
            }],
            recent: vec![transition],
        }
    }

    #[test]
    fn the_page_says_what_is_wrong_before_all_else() {
        let page = table(&status());
        insta::assert_snapshot!(page, @r"
        hotspare 0.1.0, ready, up for 1d 2h, generation 3

        ! sites: oregon has served instead of new-jersey for 2m 14s; failback waits: new-jersey is down, 0 of 2 endpoints up
        ! certificate certs/site.pem expires in 13d 2h

        sites: oregon has been serving for 2m 14s; 3 requests in flight
          POOL        HEALTH       ENDPOINT        STATE                                         FOR     IN FLIGHT    GOOD  FAILED
          new-jersey  down         10.1.0.12:8080  down (refuses connections)                    2m 14s          0     981  17 (12 refused, 5 timeout)
                                   10.1.0.11:8080  down (ejected: requests failed), for 8s more  2m 14s          0       0  17 (17 status)
          oregon      up, serving  10.2.0.11:8080  up                                            2m 14s          0  120344  0

        blogs: new-jersey has been serving for 2m 14s; 3 requests in flight
          POOL        HEALTH       ENDPOINT      STATE  FOR     IN FLIGHT    GOOD  FAILED
          new-jersey  up, serving  10.1.0.21:80  up     2m 14s          0  120344       0
          oregon      up           10.2.0.21:80  up     2m 14s          0  120344       0

        certificates
          certs/site.pem  13d 2h left  sites.example *.sites.example

        what changed lately, newest first
          2m 14s ago  sites: oregon serves now instead of new-jersey (pool_unusable): 0 of 2 endpoints up; 1 needed
        ");
    }

    #[test]
    fn control_characters_never_reach_a_terminal() {
        let mut status = status();
        status.backends[0].pools[0].endpoints[0].name = "\x1b[31mred\x07\nnew line".to_owned();
        let page = table(&status);
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
    }
}
