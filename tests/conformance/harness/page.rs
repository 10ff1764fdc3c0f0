//! The results as a page: docs/conformance.md.

use super::door::Proxy;
use super::run::Verdict;
use std::fmt::Write;

/// What one proxy did.
pub struct Column {
    pub proxy: Proxy,
    pub version: String,
    pub verdicts: Vec<Verdict>,
}

/// Topics in rows, proxies in columns: passed of all.
pub fn table(columns: &[Column]) -> String {
    let mut topics: Vec<&str> = Vec::new();
    for verdict in &columns[0].verdicts {
        if topics.last() != Some(&verdict.topic) {
            topics.push(verdict.topic);
        }
    }
    let mut text = "| topic | cases |".to_owned();
    for column in columns {
        let _ = write!(text, " {} {} |", column.proxy.name(), column.version);
    }
    let _ = writeln!(text, "\n|---|---:|{}", "---:|".repeat(columns.len()));
    for topic in topics.iter().copied().map(Some).chain([None]) {
        let of = |column: &Column, failed: bool| {
            let verdicts = column.verdicts.iter().filter(|verdict| topic.is_none_or(|topic| verdict.topic == topic));
            verdicts.filter(|verdict| !failed || verdict.failed()).count()
        };
        let _ = write!(text, "| {} | {} |", topic.unwrap_or("**all**"), of(&columns[0], false));
        for column in columns {
            let failed = of(column, true);
            let said = if failed == 0 { "all".to_owned() } else { format!("{failed} failed") };
            let _ = write!(text, " {said} |");
        }
        text.push('\n');
    }
    text
}

/// Each failed case of one proxy, with what was seen.
pub fn failures(column: &Column) -> String {
    let mut text = String::new();
    for verdict in column.verdicts.iter().filter(|verdict| verdict.failed()) {
        let seen = verdict.got.in_short().replace('|', "\\|").replace('`', "'");
        let faults: Vec<&str> =
            verdict.wrong.iter().map(String::as_str).filter(|wrong| !wrong.starts_with("not: ")).collect();
        let faults = if faults.is_empty() { String::new() } else { format!("; {}", faults.join(", ")) };
        let faults = faults.replace('|', "\\|").replace('`', "'");
        let _ = writeln!(
            text,
            "| {} | {} | `{seen}{faults}` |",
            verdict.case.source,
            verdict.case.name.replace('|', "\\|")
        );
    }
    if text.is_empty() {
        return "None.\n".to_owned();
    }
    format!("| source | case | seen |\n|---|---|---|\n{text}")
}

pub fn page(columns: &[Column]) -> String {
    let mut text = format!(
        "# HTTP, case by case

Raw bytes in; raw bytes as the endpoint and the client saw them; over TLS, HTTP/2 frames made by hand. Each case names the section of an
RFC, or the CVE, that it is from: `tests/conformance/`. Where an RFC leaves a choice, each legal outcome passes; what should be, by its
word, is asked for. In every case, whatever it is about, each request at the endpoint and each response at the client is read
strictly: one framing, one Host, no bare CR or LF, no name that is no token, no byte that belongs to no message.

`cargo test --test conformance` runs Hotspare, and no case may fail. `CONFORMANCE=nginx` (or `haproxy`, `caddy`, `all`) puts another proxy in
its place, set up with care (`tests/conformance/harness/door.rs`), and shows a table; `CASE=text` runs only the cases that have that in
their names. `make conformance` runs all four and writes this page.

{}",
        table(columns)
    );
    for column in columns {
        let _ = write!(text, "\n## Failed: {}\n\n{}", column.proxy.name(), failures(column));
    }
    text
}
