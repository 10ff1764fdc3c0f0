//! The parts of docs/drill.md that the drill writes, each between markers with its name.

use anyhow::Context;
use std::fs;
use std::process::Command;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/drill.md");

/// Puts the text where the old one was.
pub fn put(section: &str, text: &str) -> anyhow::Result<()> {
    let (begin, end) = (format!("<!-- {section}: begin -->\n"), format!("<!-- {section}: end -->"));
    let document = fs::read_to_string(DOCUMENT).context("docs/drill.md")?;
    let lost = || format!("docs/drill.md has lost the markers of `{section}`");
    let (before, rest) = document.split_once(&begin).with_context(lost)?;
    let (_, after) = rest.split_once(&end).with_context(lost)?;
    fs::write(DOCUMENT, format!("{before}{begin}{text}{end}{after}"))?;
    Ok(())
}

/// The day, the commit, and the machine.
pub fn when() -> anyhow::Result<String> {
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]).output()?;
    let commit = String::from_utf8_lossy(&git.stdout).trim().to_owned();
    let now = jiff::Timestamp::now().to_string();
    let today = now.split('T').next().unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    Ok(format!("{today}, commit {commit}, {cores} cores, Linux {kernel}"))
}
