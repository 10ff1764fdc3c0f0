//! What deciding costs: time and instructions of the decision core, of publishing a view, and of a supervisor with nothing to do.
//!
//! `make bench-core` runs it; docs/performance.md says how to read it and has the table. Times are CPU time of the thread that does it.
//! Instructions are counted by callgrind, in this very program: it runs itself under valgrind once for each row.
#![allow(clippy::disallowed_methods, reason = "a bench: it is told by nobody what time it is")]

mod count;
mod page;
mod request;
mod scene;
mod steps;
mod tallies;
mod time;

use anyhow::Context;
use clap::Parser;
use hotspare::domain;
use scene::{Scene, counted};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

// As the binary has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(about = "What deciding costs")]
struct Arguments {
    /// Which rows, by name; all of them if none is named.
    rows: Vec<String>,
    /// Write the table into docs/performance.md.
    #[arg(long, conflicts_with = "rows")]
    write: bool,
    /// Run that row for callgrind to count.
    #[arg(long, hide = true)]
    counted: Option<String>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One row of the table.
struct Row {
    name: &'static str,
    title: &'static str,
    /// The most it may take, where that was promised.
    limit: Limit,
    /// How many are made ready together and run in one go, so that reading the clock costs next to nothing.
    batch: usize,
    scene: fn(&Row, Ask) -> Option<time::Times>,
}

#[derive(Clone, Copy, Default)]
struct Limit {
    time: Option<Duration>,
    instructions: Option<u64>,
}

/// What is asked of a row.
#[derive(Clone, Copy)]
enum Ask {
    Times,
    Counted,
}

fn ask(row: &Row, ask: Ask, mut scene: impl Scene) -> Option<time::Times> {
    match ask {
        Ask::Times => Some(time::of(&mut scene, row.batch)),
        Ask::Counted => {
            counted(&mut scene);
            None
        }
    }
}

const fn micros(most: u64) -> Limit {
    Limit { time: Some(Duration::from_micros(most)), instructions: None }
}

/// A microsecond each, and 3,000 instructions together.
const TEN_TALLIES: Limit = Limit { time: Some(Duration::from_micros(10)), instructions: Some(3_000) };
const NONE: Limit = Limit { time: None, instructions: None };

const ROWS: [Row; 10] = [
    Row {
        name: "quiet",
        title: "`Model::apply` of the tallies of 10 quiet endpoints",
        limit: TEN_TALLIES,
        batch: 100,
        scene: |row, asked| ask(row, asked, tallies::TenQuiet::among(1)),
    },
    Row {
        name: "quiet-of-10000",
        title: "the same among 10,000 endpoints of 1,000 backends",
        limit: TEN_TALLIES,
        batch: 100,
        scene: |row, asked| ask(row, asked, tallies::TenQuiet::among(1_000)),
    },
    Row {
        name: "failed",
        title: "of one tally with one failure, among 10 endpoints",
        limit: NONE,
        batch: 100,
        scene: |row, asked| ask(row, asked, tallies::one_failed()),
    },
    Row {
        name: "probe",
        title: "of one probe that passed, among 10 endpoints",
        limit: NONE,
        batch: 100,
        scene: |row, asked| ask(row, asked, tallies::probed()),
    },
    Row {
        name: "failover",
        title: "of the tally that makes a failover of 10 endpoints",
        limit: NONE,
        batch: 100,
        scene: |row, asked| ask(row, asked, tallies::failover()),
    },
    Row {
        name: "publish",
        title: "a view of 1,000 backends × 10 endpoints, of which one changed, published",
        limit: micros(200),
        batch: 1,
        scene: |row, asked| ask(row, asked, steps::Publish::new()),
    },
    Row {
        name: "turn",
        title: "a turn of the supervisor with 10,000 quiet endpoints",
        limit: micros(100),
        batch: 1,
        scene: |row, asked| ask(row, asked, steps::QuietTurn::new()),
    },
    Row {
        name: "busy-look",
        title: "reading and applying 10,000 tallies with a good answer each",
        limit: NONE,
        batch: 1,
        scene: |row, asked| ask(row, asked, steps::BusyLook::new()),
    },
    Row {
        name: "request",
        title: "one GET of 1 KB through `proxy::service::handle`, in memory",
        limit: NONE,
        batch: 20,
        scene: |row, asked| ask(row, asked, request::OneGet::new("")),
    },
    Row {
        name: "request-bare",
        title: "the same with `retry`, `hedge`, `held` and `resume` off",
        limit: NONE,
        batch: 20,
        scene: |row, asked| {
            ask(row, asked, request::OneGet::new("retry = false\nhedge = false\nheld = false\nresume = 'off'"))
        },
    },
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.counted {
        Some(name) => row(name).map(|row| _ = (row.scene)(row, Ask::Counted)),
        None => table(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn table(arguments: &Arguments) -> anyhow::Result<()> {
    let rows: Vec<&Row> = match arguments.rows.is_empty() {
        true => ROWS.iter().collect(),
        false => arguments.rows.iter().map(|name| row(name)).collect::<Result<_, _>>()?,
    };
    let mut lines = String::new();
    let mut past = Vec::new();
    let mut counted = BTreeMap::new();
    print!("{}", page::HEADER);
    for row in rows {
        let times = (row.scene)(row, Ask::Times).context("times were asked for")?;
        let instructions = count::of(row.name)?;
        counted.insert(row.name, instructions);
        let line = page::line(row, times, instructions);
        print!("{line}");
        lines += &line;
        let is_slow = row.limit.time.is_some_and(|most| times.least > most);
        if is_slow || row.limit.instructions.is_some_and(|most| instructions > most) {
            past.push(row.name);
        }
    }
    if arguments.write {
        page::write(&lines)?;
    }
    if let (Some(whole), Some(bare)) = (counted.get("request"), counted.get("request-bare")) {
        println!("All that rescues a request costs {:.1} % of it.", 100.0 * (*whole as f64 / *bare as f64 - 1.0));
        if whole * 100 > bare * 105 {
            past.push("request");
        }
    }
    if !past.is_empty() {
        println!("Past what was promised: {}.", past.join(", "));
    }
    Ok(())
}

fn row(name: &str) -> anyhow::Result<&'static Row> {
    let names = || ROWS.map(|row| row.name).join(", ");
    ROWS.iter().find(|row| row.name == name).with_context(|| format!("there is no row `{name}`; there are {}", names()))
}
