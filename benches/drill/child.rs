//! Proxies as children of the drill: none outlives it, however it ends.

use anyhow::{Context, bail};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, set_parent_process_death_signal};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A process tells nobody when it is ready or has ended: it is looked at until then.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// To start, and to end.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How a program is ended when the drill is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum End {
    Kill,
    /// For a program with children of its own, which it ends first.
    Term,
}

/// A running program, and what it says on stdout and stderr.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// By way of this program, which sees to the end; in a process group of its own, so that whatever it starts can be ended too.
    pub fn start(name: &'static str, command: &[OsString], end: End, directory: &Path) -> anyhow::Result<Program> {
        let log = directory.join(name).with_extension("log");
        let (out, errors) = (File::create(&log)?, File::options().append(true).open(&log)?);
        let end = end.to_possible_value().context("no end is skipped")?;
        let mut run = Command::new(std::env::current_exe()?);
        run.args(["become", end.get_name()]).args(command).current_dir(directory).process_group(0);
        let child = run.stdin(Stdio::null()).stdout(out).stderr(errors).spawn()?;
        Ok(Program { name, child, log })
    }

    /// Waits until it is ready, as `is_ready` sees it.
    pub fn await_ready(&mut self, is_ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at once ({status}). It said:\n{}", self.name, self.said());
            }
            if is_ready() {
                return Ok(());
            }
            sleep(BETWEEN_LOOKS);
        }
        bail!("{} is not ready. It said:\n{}", self.name, self.said())
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// An error if it has ended.
    pub fn still_runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended in the middle of the drill ({status}). It said:\n{}", self.name, self.said())
            }
        }
    }

    /// Ends it by SIGTERM; an error if it does not end, or has not ended well.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.child.try_wait()? {
                Some(status) if status.success() || is_of_sigterm(status) => return Ok(()),
                Some(status) => bail!("{} ended badly ({status}). It said:\n{}", self.name, self.said()),
                None => sleep(BETWEEN_LOOKS),
            }
        }
        bail!("{} did not end on SIGTERM. It said:\n{}", self.name, self.said())
    }
}

/// HAProxy's master says 143 where others say that the signal ended them.
fn is_of_sigterm(status: std::process::ExitStatus) -> bool {
    let term = Signal::TERM.as_raw();
    status.signal() == Some(term) || status.code() == Some(128 + term)
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended_already = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _status = self.child.wait();
    }
}

/// Becomes that program, which is then ended by the kernel when the drill's thread is gone.
pub fn become_program(end: End, command: &[OsString]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("no program named")?;
    let signal = match end {
        End::Kill => Signal::KILL,
        End::Term => Signal::TERM,
    };
    set_parent_process_death_signal(Some(signal))?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
