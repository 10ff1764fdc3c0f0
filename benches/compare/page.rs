//! The table: on the terminal, and in docs/performance.md between its markers.

use crate::measure::{Sample, h2load, median};
use crate::proxies::Bench;
use crate::{LOADS, ROUNDS, Row};
use std::fmt::Write;
use std::fs;
use std::process::Command;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");
const BEGIN: &str = "<!-- bench: begin -->\n";
const END: &str = "<!-- bench: end -->";

/// A line for the terminal.
pub fn line(row: &Row) -> String {
    let [nginx, hotspare] = [&row.nginx, &row.hotspare].map(|samples| middle(samples));
    format!(
        "{:22} requests/s: nginx {:7.0}, hotspare {:7.0}; CPU us: nginx {:7.1}, hotspare {:7.1}; ratio {}",
        row.load.name,
        nginx.requests_per_second,
        hotspare.requests_per_second,
        nginx.cpu,
        hotspare.cpu,
        ratio(row)
    )
}

/// Puts the table where the old one was.
pub fn write(bench: &Bench, rows: &[Row]) {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    fs::write(DOCUMENT, format!("{before}{BEGIN}{}{END}{after}", table(bench, rows))).unwrap();
}

const HEADINGS: &str = "\
| load | requests/s: nginx | Hotspare | CPU µs per request: nginx | Hotspare | ratio (least to most) |
|---|---|---|---|---|---|
";

fn table(bench: &Bench, rows: &[Row]) -> String {
    let [nginx, hotspare] = [&bench.nginx, &bench.hotspare].map(|proxy| tls(&h2load(proxy, &LOADS[0])));
    let machine = machine();
    let mut text =
        format!("{machine}; {ROUNDS} turns each, medians.\nnginx: {nginx}; Hotspare: {hotspare}.\n\n{HEADINGS}");
    for row in rows {
        let [nginx, hotspare] = [&row.nginx, &row.hotspare].map(|samples| middle(samples));
        let rates = format!("{:.0} | {:.0}", nginx.requests_per_second, hotspare.requests_per_second);
        let cpu = format!("{:.1} | {:.1}", nginx.cpu, hotspare.cpu);
        writeln!(text, "| {} | {rates} | {cpu} | {} |", row.load.name, ratio(row)).unwrap();
    }
    text
}

fn middle(samples: &[Sample]) -> Sample {
    Sample {
        requests_per_second: median(samples.iter().map(|sample| sample.requests_per_second)),
        cpu: median(samples.iter().map(|sample| sample.cpu)),
    }
}

/// Hotspare's CPU time as a share of nginx's: the middle turn's, and the range of all.
fn ratio(row: &Row) -> String {
    let ratios = || row.nginx.iter().zip(&row.hotspare).map(|(nginx, hotspare)| hotspare.cpu / nginx.cpu);
    let (least, most) = (ratios().fold(f64::MAX, f64::min), ratios().fold(0.0, f64::max));
    format!("{:.2} ({least:.2} to {most:.2})", median(ratios()))
}

/// Cores, processor, kernel and versions.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let nginx = said(Command::new("/usr/sbin/nginx").arg("-v"));
    let h2load = said(Command::new("h2load").arg("--version"));
    let hotspare = said(Command::new(env!("CARGO_BIN_EXE_hotspare")).arg("--version"));
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("{cores} cores of {model}, Linux {kernel}; {hotspare}; {nginx}; {h2load}")
}

/// What a command printed on either of its outputs.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}

/// What h2load says of TLS: version, cipher, key exchange.
fn tls(said: &str) -> String {
    let keys = ["TLS Protocol: ", "Cipher: ", "Server Temp Key: "];
    let found = keys.map(|key| said.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("?"));
    found.join(", ")
}
