//! The table: on the terminal, and in docs/performance.md between its markers.

use crate::Row;
use crate::time::Times;
use anyhow::Context;
use std::fs;
use std::time::Duration;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");
const BEGIN: &str = "<!-- core: begin -->\n";
const END: &str = "<!-- core: end -->";

pub const HEADER: &str = "\
| what | at most | CPU time: least | middle | instructions |
|---|---|---|---|---|
";

pub fn line(row: &Row, times: Times, instructions: u64) -> String {
    let most =
        [row.limit.time.map(micros), row.limit.instructions.map(|most| format!("{} instructions", number(most)))];
    let most: Vec<String> = most.into_iter().flatten().collect();
    let most = if most.is_empty() { "–".to_owned() } else { most.join(", ") };
    let Times { least, middle } = times;
    format!("| {} | {most} | {} | {} | {} |\n", row.title, micros(least), micros(middle), number(instructions))
}

/// `0.412 µs`, `12.3 µs`, `1200 µs`.
fn micros(span: Duration) -> String {
    let micros = span.as_secs_f64() * 1e6;
    match micros {
        ..9.995 => format!("{micros:.2} µs"),
        ..99.95 => format!("{micros:.1} µs"),
        _ => format!("{micros:.0} µs"),
    }
}

/// `12,345,678`.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Puts the rows where the old ones were.
pub fn write(lines: &str) -> anyhow::Result<()> {
    let document = fs::read_to_string(DOCUMENT).context("docs/performance.md")?;
    let lost = "docs/performance.md has lost its markers";
    let (before, rest) = document.split_once(BEGIN).context(lost)?;
    let (_, after) = rest.split_once(END).context(lost)?;
    let table = format!("{}\n\n{HEADER}{lines}", machine());
    fs::write(DOCUMENT, format!("{before}{BEGIN}{table}{END}{after}"))?;
    Ok(())
}

/// Cores, processor and kernel.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!("{cores} cores of {model}, Linux {kernel}.")
}
