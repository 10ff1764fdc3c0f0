//! What each fault costs at each rate of traffic: docs/decisions-in-numbers.md. `WRITE=1` writes it anew.
//!
//! The seeds are fixed, so a change of the core shows here as a change of numbers, and one for the worse fails.

use crate::costs::Costs;
use crate::plan::{Fault, Flap, Place, Plan};
use crate::shrink;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/decisions-in-numbers.md");
const RATES: [f64; 5] = [1.0, 5.0, 20.0, 200.0, 5_000.0];
const SEEDS: u64 = 5;
/// The fault lasts from here …
const FROM: Duration = Duration::from_secs(90);
/// … to here, and the run ends when the failback has long been due.
const UNTIL: Duration = Duration::from_secs(150);
const END: Duration = Duration::from_secs(360);

const PRIMARY: &[Place] = &[(0, 0)];
const BOTH: &[Place] = &[(0, 0), (1, 0)];

fn faults() -> Vec<(&'static str, Fault, &'static [Place])> {
    let secs = Duration::from_secs;
    vec![
        ("killed", Fault::Crash, PRIMARY),
        ("frozen", Fault::Freeze, PRIMARY),
        ("cut off", Fault::CutOff, PRIMARY),
        ("every page 500", Fault::Errors { share: 1.0 }, PRIMARY),
        ("30 % of pages 500 (the disk), check too", Fault::Errors { share: 0.3 }, PRIMARY),
        ("check ok, every page 500", Fault::LyingCheck { share: 1.0 }, PRIMARY),
        ("check ok, 10 % of pages 500", Fault::LyingCheck { share: 0.1 }, PRIMARY),
        ("check ok, 3 % of pages 500", Fault::LyingCheck { share: 0.03 }, PRIMARY),
        ("30 % of pages take 3 s", Fault::Slow { share: 0.3, takes: secs(3) }, PRIMARY),
        ("pauses of 400 ms each 2 s", Fault::Pauses, PRIMARY),
        ("50 % reset", Fault::Resets { share: 0.5 }, PRIMARY),
        ("50 % cut mid-body", Fault::Cuts { share: 0.5 }, PRIMARY),
        ("only writes fail", Fault::WritesFail, PRIMARY),
        ("check 500, pages ok", Fault::FailedCheck, PRIMARY),
        ("probes lost, pages ok", Fault::ProbesLost, PRIMARY),
        ("up and down each second", Fault::Flapping { period: secs(1), how: Flap::Refuses }, PRIMARY),
        ("one page in 40 always 500 there", Fault::BrokenPaths { paths: 1 }, PRIMARY),
        ("one page in 40 always 500 everywhere", Fault::BrokenPaths { paths: 1 }, BOTH),
        ("both pools killed", Fault::Crash, BOTH),
        ("both pools cut off", Fault::CutOff, BOTH),
    ]
}

/// One line: medians of the seeds, and sums of what must not be at all.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    /// Seconds; `None`: most seeds saw none.
    failover: Option<f64>,
    failed_reads: u64,
    failed_writes: u64,
    rescued: u64,
    changes: u64,
    /// Of all seeds together.
    false_failovers: u64,
}

fn line(fault: Fault, hits: &[Place], rate: f64) -> Line {
    let runs: Vec<Costs> = (0..SEEDS)
        .map(|seed| {
            let plan = Plan::quiet(seed, rate, END).fault(fault, hits, FROM, UNTIL);
            let (found, world) = shrink::run(&plan);
            assert!(found.is_ok(), "{fault:?} at {rate}/s: {found:?}");
            world.unwrap().costs
        })
        .collect();
    let median = |of: &dyn Fn(&Costs) -> u64| {
        let mut all: Vec<u64> = runs.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let millis = median(&|costs| {
        let took = costs.first_failover.map(|at| at.since_start().saturating_sub(FROM));
        took.map_or(u64::MAX, |took| u64::try_from(took.as_millis()).unwrap())
    });
    let seconds = |millis: u64| f64::from(u32::try_from(millis).unwrap()) / 1_000.0;
    Line {
        failover: (millis < u64::MAX).then(|| (seconds(millis) * 100.0).round() / 100.0),
        failed_reads: median(&|costs| costs.failed_reads),
        failed_writes: median(&|costs| costs.failed_writes + costs.refused),
        rescued: median(&|costs| costs.rescued),
        changes: median(&|costs| costs.changes),
        false_failovers: runs.iter().map(|costs| costs.false_failovers).sum(),
    }
}

impl Line {
    fn shown(&self, name: &str, rate: f64) -> String {
        let failover = self.failover.map_or("none".to_owned(), |took| format!("{took:.2} s"));
        let Line { failed_reads, failed_writes, rescued, changes, false_failovers, .. } = self;
        format!(
            "| {name} | {rate} | {failover} | {failed_reads} | {failed_writes} | {rescued} | {changes} | {false_failovers} |"
        )
    }

    fn read(cells: &[&str]) -> Option<Line> {
        let number = |cell: &str| cell.parse().ok();
        let [failover, failed_reads, failed_writes, rescued, changes, false_failovers] = cells else { return None };
        Some(Line {
            failover: failover.strip_suffix(" s").and_then(|took| took.parse().ok()),
            failed_reads: number(failed_reads)?,
            failed_writes: number(failed_writes)?,
            rescued: number(rescued)?,
            changes: number(changes)?,
            false_failovers: number(false_failovers)?,
        })
    }

    /// What is worse than `before` by more than a tenth and a little.
    fn worse(&self, before: &Line) -> Option<String> {
        let more = |now: u64, then: u64, little: u64| now > then + then / 10 + little;
        let later = match (self.failover, before.failover) {
            (None, None) | (Some(_), None) => false, // a failover where there was none is seen in `changes`
            (None, Some(_)) => true,
            (Some(now), Some(then)) => now > then * 1.1 + 0.1,
        };
        let found = [
            ("time to failover", later),
            ("failed reads", more(self.failed_reads, before.failed_reads, 2)),
            ("failed writes", more(self.failed_writes, before.failed_writes, 2)),
            ("changes", self.changes > before.changes),
            ("false failovers", self.false_failovers > before.false_failovers),
        ];
        found.into_iter().find(|(_, worse)| *worse).map(|(what, _)| what.to_owned())
    }
}

const HEAD: &str = "\
# Decisions in numbers

What each fault costs, by simulation: the decision core as it is built, with simulated endpoints, workers and probes (`tests/sim/`).
Two pools of one endpoint, all rules at their defaults, `after_writes = \"auto\"`, 15 % writes, the fault at the primary for 60 s;
medians of five fixed seeds. *Failed writes* are answered with an error or the read-only page. *Rescued* are requests that
succeeded after an attempt of theirs had failed or waited. *Changes* are those of the serving pool, the failback included.
*False failovers* left a pool with which nothing was wrong; they are summed over the seeds.

Two workers' clocks, networks and disks are not in it: what real sockets show is in [drill.md](drill.md).

Made by `WRITE=1 SIM=full cargo test --profile fast --test sim what_faults_cost`, held to by `make test`: it fails where a
time to failover or a count of failed requests is worse than here by more than a tenth (and 0.1 s, or two requests), or where there
are more changes or false failovers.

| fault | requests a second | time to failover | failed reads | failed writes | rescued | changes | false failovers |
|---|---|---|---|---|---|---|---|
";

#[test]
fn what_faults_cost_is_no_more_than_the_table_says() {
    let quick = std::env::var_os("SIM").is_none();
    let written = std::fs::read_to_string(PATH).unwrap_or_default();
    let known: BTreeMap<(String, String), Line> = written
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let (name, rate) = (cells.first()?.to_string(), cells.get(1)?.to_string());
            Some(((name, rate), Line::read(cells.get(2..)?)?))
        })
        .collect();
    let (mut text, mut worse) = (HEAD.to_owned(), Vec::new());
    for (name, fault, hits) in faults() {
        for rate in RATES {
            // Half a million requests are for builds that are optimised.
            if quick && rate > 20.0 {
                continue;
            }
            let found = line(fault, hits, rate);
            let _ = writeln!(text, "{}", found.shown(name, rate));
            match known.get(&(name.to_owned(), rate.to_string())) {
                None => worse.push(format!("{} is not in the table", found.shown(name, rate))),
                Some(before) => worse.extend(found.worse(before).map(|what| {
                    format!("{what}:\n  now  {}\n  then {}", found.shown(name, rate), before.shown(name, rate))
                })),
            }
        }
    }
    if std::env::var_os("WRITE").is_some() {
        assert!(!quick, "the whole table is written with SIM=full only");
        std::fs::write(PATH, text).unwrap();
        return;
    }
    assert!(worse.is_empty(), "worse than {PATH}; if that is meant, WRITE=1 makes it anew\n{}", worse.join("\n"));
}
