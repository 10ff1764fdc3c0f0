//! The drill: users of a site whose primary data centre gets into every kind of trouble, and what they see of it.
//!
//! `make drill` runs it; `make drill ROWS="killed frozen"` some of it; docs/drill.md says what is measured and has the table. Each row
//! is a fresh start: two endpoint processes (`endpoint`), a real Hotspare in front of them (`door`), 200 visits a second over HTTPS for 19 s
//! (`visitors`), and a fault from 3 s to 11 s (`fault`).
//!
//! Its client is its own and not that of the process tests: that one asks whether all went well and fails the test; this one measures, so
//! it has users with addresses, counts time from when a visit was due, and goes on whatever it sees.
#![allow(clippy::disallowed_methods, reason = "it measures: clocks are read, and threads are its own")]

mod door;
mod endpoint;
mod fault;
mod journal;
mod manner;
mod place;
mod request;
mod site;
mod sums;
mod table;
mod visitors;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use door::Door;
use fault::{Action, FROM, Fault, LENGTH, Trouble};
use place::{DataCentre, Place};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};
use sums::{Sums, Traces};
use visitors::Invitation;

#[derive(Parser)]
#[command(about = "What users see while their data centre is in trouble")]
struct Arguments {
    /// Which rows, by name; all of them if none is named.
    rows: Vec<String>,
    /// How often each row is run; the middle run is shown.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Write the table into docs/drill.md.
    #[arg(long, conflicts_with = "rows")]
    write: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program is besides: its own children.
#[derive(Subcommand)]
enum Role {
    #[command(hide = true)]
    Endpoint { place: Place, runs: PathBuf },
    #[command(hide = true)]
    Hotspare {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.role {
        Some(Role::Endpoint { place, runs }) => endpoint::run(*place, runs),
        Some(Role::Hotspare { command }) => door::become_hotspare(command),
        None => drill(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn drill(arguments: &Arguments) -> anyhow::Result<()> {
    let faults = chosen(&arguments.rows)?;
    let mut rows = Vec::new();
    let mut is_wrong = false;
    print!("{}", table::header());
    for fault in faults {
        let mut runs = Vec::new();
        for _ in 0..arguments.runs {
            let sums = run(&fault).with_context(|| format!("in the row {}", fault.name))?;
            println!("{}", table::row(&fault, &sums));
            table::remarks(&sums).iter().for_each(|remark| println!("    {remark}"));
            is_wrong |= !sums.twice.is_empty() || !sums.lost.is_empty();
            runs.push(sums);
        }
        runs.sort_by_key(Sums::badness);
        let middle = runs.swap_remove(runs.len() / 2);
        rows.push((fault, middle));
    }
    if arguments.write {
        table::write(usize::from(arguments.runs), &rows)?;
    }
    if is_wrong {
        bail!("a write ran more than once, or was answered and did not run: see above");
    }
    Ok(())
}

struct Places {
    new_jersey: DataCentre,
    oregon: DataCentre,
}

impl Places {
    fn at(&mut self, place: Place) -> &mut DataCentre {
        match place {
            Place::NewJersey => &mut self.new_jersey,
            Place::Oregon => &mut self.oregon,
        }
    }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Fault>> {
    let mut faults = fault::all();
    if let Some(unknown) = names.iter().find(|name| !faults.iter().any(|fault| fault.name == **name)) {
        let known: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
        bail!("there is no row `{unknown}`; there are {}", known.join(", "));
    }
    faults.retain(|fault| names.is_empty() || names.iter().any(|name| name == fault.name));
    Ok(faults)
}

/// One fault, from a fresh start to the sums.
fn run(fault: &Fault) -> anyhow::Result<Sums> {
    let directory = tempfile::tempdir()?;
    let mut places = Places {
        new_jersey: DataCentre::open(Place::NewJersey, directory.path())?,
        oregon: DataCentre::open(Place::Oregon, directory.path())?,
    };
    let mut door = Door::open(directory.path())?;

    let soon = Duration::from_millis(100);
    let (begin, struck) = (Instant::now() + soon, SystemTime::now() + soon + FROM);
    let certificate = door.certificate.clone();
    let crowd = visitors::come(Invitation { door: door::ADDRESS, certificate, begin, length: LENGTH });
    for (at, action) in &fault.course {
        sleep((begin + *at).saturating_duration_since(Instant::now()));
        match *action {
            Action::Kill(place) => places.at(place).kill(),
            Action::Start(place) => places.at(place).start()?,
            Action::Freeze(place) => places.at(place).freeze()?,
            Action::Thaw(place) => places.at(place).thaw()?,
            Action::Trouble(place, trouble) => places.at(place).trouble(trouble)?,
            Action::Reload => door.reload()?,
        }
    }
    let strikes = fault.course.iter().any(|(_, action)| matches!(action, Action::Trouble(..)));
    let met = places.new_jersey.met + places.oregon.met;
    if strikes && met == 0 {
        bail!("nobody met the trouble: this row would say nothing");
    }
    let report = crowd.join().expect("visitors do not panic")?;
    let rescued = door.rescued()?;
    let decisions = journal::read(&door.close()?)?;

    let mut runs: BTreeMap<u64, usize> = places.new_jersey.runs()?;
    for (id, times) in places.oregon.runs()? {
        *runs.entry(id).or_default() += times;
    }
    let broken_pages =
        fault.course.iter().any(|(_, action)| matches!(action, Action::Trouble(_, Trouble::BrokenPages)));
    Ok(Sums::of(&Traces { broken_pages, met, report, decisions, struck, rescued, runs }))
}
