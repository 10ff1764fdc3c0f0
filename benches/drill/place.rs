//! A data centre as the drill holds it: its endpoints, of which the first can be killed, frozen and told to misbehave.

use crate::fault::Trouble;
use anyhow::Context;
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A data centre. Names and addresses as in `hotspare.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    NewJersey,
    Oregon,
}

impl Place {
    /// Of its endpoint with that number; the first is 1.
    pub fn address(self, number: u8) -> SocketAddr {
        let address = match self {
            Place::NewJersey => Ipv4Addr::new(127, 0, 91, number),
            Place::Oregon => Ipv4Addr::new(127, 0, 92, number),
        };
        (address, 7080).into()
    }

    pub fn name(self) -> &'static str {
        match self {
            Place::NewJersey => "new-jersey",
            Place::Oregon => "oregon",
        }
    }
}

/// One place, whether its first endpoint runs or not. Faults are that one's.
#[derive(Debug)]
pub struct DataCentre {
    place: Place,
    /// The ids of all writes that ran here, a line each.
    runs: PathBuf,
    struck: Option<Endpoint>,
    others: Vec<Endpoint>,
}

#[derive(Debug)]
struct Endpoint {
    child: Child,
    said: BufReader<ChildStdout>,
    /// How many requests have met trouble here, as of the last order.
    met: u64,
}

impl DataCentre {
    /// With so many endpoints running.
    pub fn open(place: Place, endpoints: u8, directory: &Path) -> anyhow::Result<DataCentre> {
        let mut opened = DataCentre { place, runs: directory.join(place.name()), struck: None, others: Vec::new() };
        opened.start()?;
        for number in 2..=endpoints {
            opened.others.push(Endpoint::start(place, number, &opened.runs)?);
        }
        Ok(opened)
    }

    pub fn start(&mut self) -> anyhow::Result<()> {
        self.struck = Some(Endpoint::start(self.place, 1, &self.runs)?);
        Ok(())
    }

    pub fn kill(&mut self) {
        self.struck = None;
    }

    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let endpoint = self.struck.as_ref().context("it runs while signals are sent to it")?;
        Ok(kill_process(Pid::from_child(&endpoint.child), signal)?)
    }

    /// Returns once it is in force.
    pub fn trouble(&mut self, trouble: Trouble) -> anyhow::Result<()> {
        self.struck.as_mut().context("it runs while orders are sent to it")?.order(trouble)?;
        if trouble.is_of_the_site() {
            for endpoint in &mut self.others {
                endpoint.order(trouble)?;
            }
        }
        Ok(())
    }

    /// How many requests have met trouble here, as of the last order.
    pub fn met(&self) -> u64 {
        self.struck.iter().chain(&self.others).map(|endpoint| endpoint.met).sum()
    }

    /// How often each write ran here.
    pub fn runs(&self) -> anyhow::Result<BTreeMap<u64, usize>> {
        let mut runs = BTreeMap::new();
        for id in fs::read_to_string(&self.runs)?.lines() {
            *runs.entry(id.parse()?).or_default() += 1;
        }
        Ok(runs)
    }
}

impl Endpoint {
    fn start(place: Place, number: u8, runs: &Path) -> anyhow::Result<Endpoint> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["endpoint", place.name(), &number.to_string()]).arg(runs);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("no endpoint starts")?;
        let said = BufReader::new(child.stdout.take().context("its stdout is a pipe")?);
        let mut endpoint = Endpoint { child, said, met: 0 };
        endpoint.is_done().with_context(|| format!("endpoint {number} of {} did not start", place.name()))?;
        Ok(endpoint)
    }

    /// Returns once it is in force.
    fn order(&mut self, trouble: Trouble) -> anyhow::Result<()> {
        let name = trouble.to_possible_value().context("no trouble is skipped")?;
        let orders = self.child.stdin.as_mut().context("its stdin is a pipe")?;
        writeln!(orders, "{}", name.get_name())?;
        self.is_done()
    }

    /// Waits for its acknowledgement.
    fn is_done(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        let met = line.trim_end().parse();
        self.met = met.with_context(|| format!("an endpoint did not do what it was told; it said {line:?}"))?;
        Ok(())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ended_already = self.child.kill(); // SIGKILL, which ends a frozen one too
        let _status = self.child.wait();
    }
}
