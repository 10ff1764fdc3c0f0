//! A data centre as the drill holds it: the endpoint's process, which can be killed, frozen and told to misbehave.

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

/// A data centre: one endpoint. Names and addresses as in `hotspare.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    NewJersey,
    Oregon,
}

impl Place {
    pub fn address(self) -> SocketAddr {
        let address = match self {
            Place::NewJersey => Ipv4Addr::new(127, 0, 91, 1),
            Place::Oregon => Ipv4Addr::new(127, 0, 92, 1),
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

/// One place, whether its endpoint runs or not.
#[derive(Debug)]
pub struct DataCentre {
    place: Place,
    /// The ids of all writes that ran here, a line each.
    runs: PathBuf,
    endpoint: Option<Endpoint>,
    /// How many requests have met trouble here, as of the last order.
    pub met: u64,
}

#[derive(Debug)]
struct Endpoint {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl DataCentre {
    /// With its endpoint running.
    pub fn open(place: Place, directory: &Path) -> anyhow::Result<DataCentre> {
        let runs = directory.join(place.name());
        let mut opened = DataCentre { place, runs, endpoint: None, met: 0 };
        opened.start()?;
        Ok(opened)
    }

    pub fn start(&mut self) -> anyhow::Result<()> {
        let place = self.place.name();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["endpoint", place]).arg(&self.runs).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start an endpoint")?;
        let said = BufReader::new(child.stdout.take().context("its stdout is a pipe")?);
        let endpoint = self.endpoint.insert(Endpoint { child, said });
        endpoint.is_done().with_context(|| format!("the endpoint of {place} did not start"))?;
        Ok(())
    }

    pub fn kill(&mut self) {
        self.endpoint = None;
    }

    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let endpoint = self.endpoint.as_ref().context("it runs while signals are sent to it")?;
        Ok(kill_process(Pid::from_child(&endpoint.child), signal)?)
    }

    /// Returns once it is in force.
    pub fn trouble(&mut self, trouble: Trouble) -> anyhow::Result<()> {
        let endpoint = self.endpoint.as_mut().context("it runs while orders are sent to it")?;
        let name = trouble.to_possible_value().context("no trouble is skipped")?;
        let orders = endpoint.child.stdin.as_mut().context("its stdin is a pipe")?;
        writeln!(orders, "{}", name.get_name())?;
        self.met = endpoint.is_done()?;
        Ok(())
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
    /// Waits for its acknowledgement.
    fn is_done(&mut self) -> anyhow::Result<u64> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        line.trim_end().parse().with_context(|| format!("an endpoint did not do what it was told; it said {line:?}"))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ended_already = self.child.kill(); // SIGKILL, which ends a frozen one too
        let _status = self.child.wait();
    }
}
