//! Hotspare's own table: a line for the terminal as soon as a run is done, and all of it for docs/drill.md.

use crate::Row;
use crate::document;
use crate::fault::Fault;
use crate::front::Proxy;
use crate::sums::Sums;
use hotspare::telemetry::words::count;
use std::fmt::Write;
use std::time::Duration;

const HEADER: &str = "\
| fault | failed GET / POST | p99 during the fault, max | rescued | failover after | changes | why, as the journal has it |
|---|---|---|---|---|---|---|
";
/// Above this the client was too busy to be believed to the last millisecond.
const TOO_LATE: Duration = Duration::from_millis(50);

pub fn header() -> &'static str {
    HEADER
}

/// A row of the table. A peer's, for the terminal, has its name, and how often visitors moved; it tells nothing of its reasons.
pub fn row(fault: &Fault, proxy: Proxy, sums: &Sums) -> String {
    let Sums { gets, posts, hopeless, max, rescued, failover, changes, moves, why, .. } = sums;
    let hopeless = if *hopeless > 0 { format!(" (and {hopeless} that fail everywhere)") } else { String::new() };
    let (p99, max) = (seconds(sums.p99()), seconds(*max));
    let seen = format!("{}/{}{hopeless} | {p99}, {max}", gets.failed, posts.failed);
    match proxy {
        Proxy::Hotspare => {
            let failover = failover.map_or("–".to_owned(), seconds);
            let why = why.replace('|', "/");
            format!("| {} | {seen} | {rescued} | {failover} | {changes} | {why} |", fault.title)
        }
        Proxy::Nginx | Proxy::Haproxy => {
            format!("| {}: {} | {seen} | – | – | {moves} | – |", fault.title, proxy.name())
        }
    }
}

/// What else there is to say of a run: how failures looked, and what must not be.
pub fn remarks(sums: &Sums) -> Vec<String> {
    let mut remarks: Vec<String> =
        sums.looks.iter().map(|((method, outcome), count)| format!("{count} {method}: {outcome}")).collect();
    if sums.met > 0 {
        remarks.push(format!("{} met it at the endpoints", count(sums.met, "request")));
    }
    if sums.reloads.1 > 0 {
        remarks.push(format!("it read {} of {} configs", sums.reloads.0, sums.reloads.1));
    }
    if sums.latest > TOO_LATE {
        remarks.push(format!("the client itself was up to {} late: the machine is busy", seconds(sums.latest)));
    }
    for (what, ids) in [("ran more than once", &sums.twice), ("was answered well and did not run", &sums.lost)] {
        if let Some(first) = ids.first() {
            remarks.push(format!("WRONG: {} that {what}, the first is {first}", count(ids.len(), "write")));
        }
    }
    remarks
}

/// `.031 s`, `2.0 s`.
pub fn seconds(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        ..0.0995 => format!("{seconds:.3} s").replacen("0.", ".", 1),
        ..0.995 => format!("{seconds:.2} s").replacen("0.", ".", 1),
        _ => format!("{seconds:.1} s"),
    }
}

pub fn table(runs: usize, rows: &[Row]) -> anyhow::Result<String> {
    let all = || rows.iter().map(Row::middle);
    let visits: usize = all().map(|sums| sums.gets.of + sums.posts.of).sum();
    let writes: usize = all().map(|sums| sums.posts.of).sum();
    let wrong = |of: fn(&Sums) -> usize| all().map(of).sum::<usize>();
    let (twice, lost) = (wrong(|sums| sums.twice.len()), wrong(|sums| sums.lost.len()));
    let mut text = format!("{}. {}.\n\n{HEADER}", document::when()?, how_often(runs));
    for whole in rows {
        writeln!(text, "{}", row(&whole.fault, Proxy::Hotspare, whole.middle()))?;
    }
    let latest = all().map(|sums| sums.latest).max().unwrap_or_default();
    writeln!(
        text,
        "\n{visits} requests, {writes} of them writes: {twice} ran more than once, {lost} were answered well and had not run. \
         The client itself began a visit at most {} late.",
        seconds(latest)
    )?;
    Ok(text)
}

fn how_often(runs: usize) -> String {
    match runs {
        1 => "One run of each row".to_owned(),
        _ => format!("Of {runs} runs of each row, the middle one by failed requests, then p99"),
    }
}
