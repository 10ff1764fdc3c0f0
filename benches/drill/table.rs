//! The table: a line for the terminal as soon as a row is done, and all of it in docs/drill.md between its markers.

use crate::fault::Fault;
use crate::sums::Sums;
use anyhow::Context;
use hotspare::telemetry::words::count;
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/drill.md");
const BEGIN: &str = "<!-- drill: begin -->\n";
const END: &str = "<!-- drill: end -->";
const HEADER: &str = "\
| fault | failed GET / POST | p99 during the fault, max | rescued | failover after | changes | why, as the journal has it |
|---|---|---|---|---|---|---|
";
/// Above this the client was too busy to be believed to the last millisecond.
const TOO_LATE: Duration = Duration::from_millis(50);

pub fn header() -> &'static str {
    HEADER
}

/// A row of the table.
pub fn row(fault: &Fault, sums: &Sums) -> String {
    let Sums { gets, posts, hopeless, p99, max, rescued, failover, changes, why, .. } = sums;
    let hopeless = if *hopeless > 0 { format!(" (and {hopeless} that fail everywhere)") } else { String::new() };
    let failover = failover.map_or("–".to_owned(), seconds);
    format!(
        "| {} | {}/{}{hopeless} | {}, {} | {rescued} | {failover} | {changes} | {} |",
        fault.title,
        gets.failed,
        posts.failed,
        seconds(*p99),
        seconds(*max),
        why.replace('|', "/"),
    )
}

/// What else there is to say of a run: how failures looked, and what must not be.
pub fn remarks(sums: &Sums) -> Vec<String> {
    let mut remarks: Vec<String> =
        sums.looks.iter().map(|((method, outcome), count)| format!("{count} {method}: {outcome}")).collect();
    if sums.met > 0 {
        remarks.push(format!("{} met it at the endpoints", count(sums.met, "request")));
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
fn seconds(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        ..0.0995 => format!("{seconds:.3} s").replacen("0.", ".", 1),
        ..0.995 => format!("{seconds:.2} s").replacen("0.", ".", 1),
        _ => format!("{seconds:.1} s"),
    }
}

/// Puts the table where the old one was.
pub fn write(runs: usize, rows: &[(Fault, Sums)]) -> anyhow::Result<()> {
    let document = fs::read_to_string(DOCUMENT).context("docs/drill.md")?;
    let (before, rest) = document.split_once(BEGIN).context("docs/drill.md has lost its markers")?;
    let (_, after) = rest.split_once(END).context("docs/drill.md has lost its markers")?;
    fs::write(DOCUMENT, format!("{before}{BEGIN}{}{END}{after}", table(runs, rows)?))?;
    Ok(())
}

fn table(runs: usize, rows: &[(Fault, Sums)]) -> anyhow::Result<String> {
    let visits: usize = rows.iter().map(|(_, sums)| sums.gets.of + sums.posts.of).sum();
    let writes: usize = rows.iter().map(|(_, sums)| sums.posts.of).sum();
    let wrong = |of: fn(&Sums) -> usize| rows.iter().map(|(_, sums)| of(sums)).sum::<usize>();
    let (twice, lost) = (wrong(|sums| sums.twice.len()), wrong(|sums| sums.lost.len()));
    let mut text = format!("{}. {}.\n\n{HEADER}", when()?, how_often(runs));
    for (fault, sums) in rows {
        writeln!(text, "{}", row(fault, sums))?;
    }
    let latest = rows.iter().map(|(_, sums)| sums.latest).max().unwrap_or_default();
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

/// The day, the commit, and the machine.
fn when() -> anyhow::Result<String> {
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]).output()?;
    let commit = String::from_utf8_lossy(&git.stdout).trim().to_owned();
    let now = jiff::Timestamp::now().to_string();
    let today = now.split('T').next().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    Ok(format!("{today}, commit {commit}, {cores} cores, Linux {kernel}"))
}
