//! The front door under test: the real binary with a config file of its own.

use super::admin::{self, Metrics};
use super::child::Child;
use super::client::Client;
use super::eventually;
use super::setup::{Setup, write_certificate};
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;
use tempfile::TempDir;

/// A running Hotspare.
pub struct Door {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    certificate: CertificateDer<'static>,
    child: Child,
    /// After the child, which shows its log from there when it is dropped.
    directory: TempDir,
}

/// The binary: `HOTSPARE_BIN`, else the one that cargo built beside this test.
pub fn hotspare() -> Command {
    let named = std::env::var_os("HOTSPARE_BIN");
    let binary = named.as_deref().unwrap_or(OsStr::new(env!("CARGO_BIN_EXE_hotspare")));
    // Children run in directories of their own, where a relative path leads nowhere.
    Command::new(std::path::absolute(binary).unwrap())
}

impl Door {
    /// Starts it and waits until it is ready.
    pub async fn start(setup: &Setup) -> Door {
        Door::start_by(setup, |command| command).await
    }

    /// The same, with the command changed before it runs.
    pub async fn start_by(setup: &Setup, change: impl FnOnce(Command) -> Command) -> Door {
        let mut door = Door::launch(setup, change);
        door.is_ready().await;
        door
    }

    /// Starts it and does not wait.
    pub fn launch(setup: &Setup, change: impl FnOnce(Command) -> Command) -> Door {
        Door::launch_with_text(setup, &setup.text(), change)
    }

    /// Starts it with a file that says something else than `setup`, where addresses are concerned the same.
    pub async fn start_with_text(setup: &Setup, text: &str) -> Door {
        let mut door = Door::launch_with_text(setup, text, |command| command);
        door.is_ready().await;
        door
    }

    /// Starts it with that file and a changed command, and does not wait.
    pub fn launch_changed(setup: &Setup, text: &str, change: impl FnOnce(Command) -> Command) -> Door {
        Door::launch_with_text(setup, text, change)
    }

    /// Starts it with that file, measuring the turns of its workers, and does not wait.
    pub fn launch_measured(setup: &Setup, text: &str) -> Door {
        Door::launch_with_text(setup, text, |mut command| {
            command.env("HOTSPARE_MEASURE_TURNS", "1");
            command
        })
    }

    fn launch_with_text(setup: &Setup, text: &str, change: impl FnOnce(Command) -> Command) -> Door {
        let directory = tempfile::tempdir().unwrap();
        let certificate = write_certificate(directory.path());
        fs::write(directory.path().join("hotspare.toml"), text).unwrap();
        let mut command = hotspare();
        command.args(["run", "--config", "hotspare.toml"]).current_dir(directory.path());
        let child = Child::start("hotspare", change(command), directory.path());
        Door { address: setup.listen, admin: setup.admin, directory, certificate, child }
    }

    pub async fn is_ready(&mut self) {
        let child = &mut self.child;
        eventually("hotspare is ready", async || {
            assert!(child.try_exit().is_none(), "it ended at once");
            matches!(admin::try_get(self.admin, "/readyz").await, Ok((200, _)))
        })
        .await;
    }

    pub fn client(&self) -> Client {
        Client::new(self.address, self.certificate.clone())
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The certificate, for programs that want a file.
    pub fn certificate_file(&self) -> PathBuf {
        self.directory.path().join("site.pem")
    }

    pub fn rewrite_config(&self, text: &str) {
        fs::write(self.directory.path().join("hotspare.toml"), text).unwrap();
    }

    pub fn signal(&mut self, signal: Signal) {
        self.child.signal(signal);
    }

    pub fn pid(&self) -> i32 {
        self.child.pid().as_raw_nonzero().get()
    }

    /// Power off.
    pub fn crash(&mut self) {
        self.child.crash();
    }

    /// Power on again, with the file that is there.
    pub async fn start_again(&mut self) {
        let mut command = hotspare();
        command.args(["run", "--config", "hotspare.toml"]).current_dir(self.directory.path());
        self.child = Child::start("hotspare", command, self.directory.path());
        self.is_ready().await;
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics::scrape(self.admin).await
    }

    pub async fn generation(&self) -> f64 {
        self.metrics().await.sum("hotspare_config_generation", &[])
    }

    /// Waits until that pool is the serving pool.
    pub async fn serves_from(&self, pool: &str) {
        eventually(&format!("{pool} serves"), async || {
            self.metrics().await.sum("hotspare_serving_pool", &[("pool", pool)]) == 1.0
        })
        .await;
    }

    /// Waits until so many reloads came to that result.
    pub async fn reloads(&self, result: &str, count: f64) {
        eventually(&format!("{count} reloads {result}"), async || {
            self.metrics().await.sum("hotspare_reloads_total", &[("result", result)]) >= count
        })
        .await;
    }

    /// Waits until no request is in flight any more.
    pub async fn is_idle(&self) {
        eventually("nothing in flight", async || {
            let metrics = self.metrics().await;
            metrics.sum("hotspare_requests_in_flight", &[]) == 0.0
                && metrics.sum("hotspare_endpoint_in_flight", &[]) == 0.0
        })
        .await;
    }

    /// What /proc knows of its memory, in bytes: `VmRSS` is what it has now, `VmHWM` the most it had.
    pub fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let number =
            line.and_then(|line| line.trim().strip_suffix(" kB")).unwrap_or_else(|| panic!("{what}: {status}"));
        number.trim().parse::<u64>().unwrap() * 1024
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.pid())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        // utime and stime, in hundredths of a second.
        let ticks = fields.split_ascii_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// How many descriptors it has.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.pid())).unwrap().count()
    }

    /// The most it has is found anew from here on.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.pid()), "5").unwrap();
    }

    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        self.child.try_exit()
    }

    pub async fn exit(&mut self) -> ExitStatus {
        self.child.exit().await
    }

    pub fn log(&self) -> String {
        self.child.log()
    }

    /// Waits until the log has that.
    pub async fn says(&self, what: &str) {
        eventually(&format!("the log says {what:?}"), async || self.log().contains(what)).await;
    }

    /// Ends it as an operator would, and fails if it has anything to complain about.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.exit().await.code(), Some(0));
        assert!(!self.log().contains("panicked"), "a panic in its log");
    }
}
