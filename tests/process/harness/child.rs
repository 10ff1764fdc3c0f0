//! A child process: its log in a file, its end certain.

use super::PATIENCE;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// A child and whatever it started, in a process group of their own. Dropped, all of it is killed; what it wrote is shown
/// if the test failed.
pub struct Child {
    what: String,
    child: std::process::Child,
    /// Set once it was waited for: from then on its id may be somebody else's.
    ended: Option<ExitStatus>,
    log: PathBuf,
}

/// What a command that ran to its end left behind.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub out: String,
    pub errors: String,
}

impl Child {
    /// Starts it; stdout and stderr go to one file in `directory`.
    pub fn start(what: &str, command: Command, directory: &Path) -> Child {
        let log = directory.join(format!("{what}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let (out, errors) = (file.try_clone().unwrap(), file);
        Child::start_with(what, command, log, out.into(), errors.into())
    }

    fn start_with(what: &str, command: Command, log: PathBuf, out: Stdio, errors: Stdio) -> Child {
        let mut command = ended_with_this_thread(&command);
        command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{what} can't be started: {error}"));
        Child { what: what.to_owned(), child, ended: None, log }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal to the process itself.
    pub fn signal(&mut self, signal: Signal) {
        assert!(self.try_exit().is_none(), "{} has ended already", self.what);
        kill_process(self.pid(), signal).unwrap();
    }

    /// Power off: SIGKILL for it and all that it started.
    pub fn crash(&mut self) {
        if self.try_exit().is_none() {
            kill_process_group(self.pid(), Signal::KILL).unwrap();
            self.ended = Some(self.child.wait().unwrap());
        }
    }

    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.try_exit() {
                    Some(status) => break status,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await;
        ended.unwrap_or_else(|_| panic!("{} did not end", self.what))
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.crash();
        if std::thread::panicking() {
            eprintln!("---- what {} wrote\n{}----", self.what, self.log());
        }
    }
}

/// Runs a command to its end.
pub async fn finish(command: Command) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    let (out, errors) = (directory.path().join("out"), directory.path().join("errors"));
    let what = command.get_program().to_string_lossy().into_owned();
    let (out_file, errors_file) = (File::create(&out).unwrap(), File::create(&errors).unwrap());
    let mut child = Child::start_with(&what, command, errors.clone(), out_file.into(), errors_file.into());
    let code = child.exit().await.code();
    Finished { code, out: fs::read_to_string(out).unwrap(), errors: fs::read_to_string(errors).unwrap() }
}

/// The same command, but ended by the kernel when the test's thread is gone: a test run that is itself killed, or stopped
/// with Ctrl-C, never gets to drop its children. (nginx ends its workers on SIGTERM.)
fn ended_with_this_thread(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program()).args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}
