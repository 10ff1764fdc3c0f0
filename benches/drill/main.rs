//! The drill: users of a site whose primary data centre gets into every kind of trouble, and what they see of it.
//!
//! `make drill` runs it; `make drill ROWS="killed frozen"` some of it; docs/drill.md says what is measured and has the tables. Each run is a
//! fresh start (`run`): endpoint processes (`endpoint`), a real Hotspare in front of them (`door`) or one of its peers (`peer`), 200 visits a
//! second over HTTPS for 19 s (`visitors`), and a fault from 3 s to 11 s (`fault`).
//!
//! Its client is its own and not that of the process tests: that one asks whether all went well and fails the test; this one measures, so
//! it has users with addresses, counts time from when a visit was due, and goes on whatever it sees.
#![allow(clippy::disallowed_methods, reason = "it measures: clocks are read, and threads are its own")]

mod child;
mod connection;
mod document;
mod door;
mod endpoint;
mod fault;
mod front;
mod journal;
mod manner;
mod peer;
mod peers;
mod place;
mod request;
mod run;
mod site;
mod sums;
mod table;
mod variant;
mod verdict;
mod visitors;

use anyhow::{Context, bail};
use child::End;
use clap::{Parser, Subcommand};
use fault::Fault;
use front::Proxy;
use place::Place;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use sums::Sums;
use variant::Variant;

#[derive(Parser)]
#[command(about = "What users see while their data centre is in trouble")]
struct Arguments {
    /// Which rows, by name; all of them if none is named.
    rows: Vec<String>,
    /// How often each row is run; the middle run is shown [1; with --peers 3].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// nginx and HAProxy too, once each; all rows of it go into docs/drill.md, and what Hotspare must show is judged.
    #[arg(long, conflicts_with = "variant")]
    peers: bool,
    /// In another scene.
    #[arg(long, default_value = "plain")]
    variant: Variant,
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
    Endpoint { place: Place, number: u8, runs: PathBuf },
    #[command(hide = true)]
    Become {
        end: End,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.role {
        Some(Role::Endpoint { place, number, runs }) => endpoint::run(*place, *number, runs),
        Some(Role::Become { end, command }) => child::become_program(*end, command),
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

/// What came of a fault.
#[derive(Debug)]
struct Row {
    fault: Fault,
    /// The best run first.
    hotspare: Vec<Sums>,
    /// In the order of [`peers::ALL`]; none without `--peers`.
    peers: Vec<Sums>,
}

impl Row {
    fn middle(&self) -> &Sums {
        &self.hotspare[self.hotspare.len() / 2]
    }

    fn worst(&self) -> &Sums {
        &self.hotspare[self.hotspare.len() - 1]
    }
}

fn drill(arguments: &Arguments) -> anyhow::Result<()> {
    let runs = usize::from(arguments.runs.unwrap_or(if arguments.peers { 3 } else { 1 }));
    let versions = if arguments.peers { Some(peers::versions()?) } else { None };
    let mut rows = Vec::new();
    print!("{}", table::header());
    for fault in chosen(&arguments.rows, arguments.variant)? {
        let mut row = Row { fault, hotspare: Vec::new(), peers: Vec::new() };
        for proxy in turns(runs, arguments.peers) {
            let sums = run::run(&row.fault, proxy, arguments.variant)
                .with_context(|| format!("in the row {}, of {}", row.fault.name, proxy.name()))?;
            println!("{}", table::row(&row.fault, proxy, &sums));
            table::remarks(&sums).iter().for_each(|remark| println!("    {remark}"));
            match proxy {
                Proxy::Hotspare => row.hotspare.push(sums),
                Proxy::Nginx | Proxy::Haproxy => row.peers.push(sums),
            }
        }
        row.hotspare.sort_by_key(Sums::badness);
        rows.push(row);
    }
    let misses: Vec<String> = rows.iter().filter_map(|row| verdict::missed(&row.fault, &row.hotspare)).collect();
    let is_whole = arguments.rows.is_empty();
    if let Some(versions) = &versions {
        let table = peers::table(&rows, &misses)?;
        println!("\n{table}");
        if is_whole {
            document::put(peers::SECTION, &format!("{}{table}", peers::when(versions)?))?;
        }
    }
    if arguments.write || (arguments.peers && is_whole) {
        document::put(arguments.variant.section(), &table::table(runs, &rows)?)?;
    }
    if rows.iter().flat_map(|row| &row.hotspare).any(Sums::is_wrong) {
        bail!("a write ran more than once, or was answered and did not run: see above");
    }
    if arguments.peers && !misses.is_empty() {
        bail!("what Hotspare must show is missed:\n{}", misses.join("\n"));
    }
    Ok(())
}

/// Who has its turn when: peers between Hotspare's runs, so that a busy hour of the machine meets all.
fn turns(runs: usize, with_peers: bool) -> Vec<Proxy> {
    let mut turns = vec![Proxy::Hotspare; runs];
    if with_peers {
        turns.insert(1, peers::ALL[0]);
        turns.push(peers::ALL[1]);
    }
    turns
}

fn chosen(names: &[String], variant: Variant) -> anyhow::Result<Vec<Fault>> {
    let mut faults = fault::all(variant);
    if let Some(unknown) = names.iter().find(|name| !faults.iter().any(|fault| fault.name == **name)) {
        let known: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
        bail!("there is no row `{unknown}`; there are {}", known.join(", "));
    }
    faults.retain(|fault| names.is_empty() || names.iter().any(|name| name == fault.name));
    Ok(faults)
}
