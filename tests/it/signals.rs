//! The real binary, told to end at awkward moments. A config that is a FIFO with nobody at its other end stands for a disk
//! or a resolver that does not answer.

use crate::harness::ports::free_address;
use crate::harness::{Endpoint, PATIENCE, eventually};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct Run {
    child: Child,
    directory: tempfile::TempDir,
}

impl Run {
    /// `hotspare run` with a config that `config` puts at the path it is given.
    fn start(config: impl FnOnce(&Path)) -> Run {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hotspare.toml");
        config(&path);
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotspare"));
        command.arg("run").arg("--config").arg(&path).env_remove("RUST_LOG");
        let log = File::create(directory.path().join("log")).unwrap();
        Run { child: command.stdin(Stdio::null()).stderr(log).spawn().unwrap(), directory }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("hotspare.toml")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(child, signal).unwrap();
    }

    /// Its exit status, once it has ended.
    async fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("it has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended, if the test went well
        let _ = self.child.wait();
    }
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// The end of a FIFO that nothing is written to, once somebody reads at the other.
async fn silent_writer(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let mut opened = None;
    eventually("the config is being read", || {
        opened = options.open(path).ok(); // fails as long as nobody reads
        opened.is_some()
    })
    .await;
    opened.unwrap()
}

#[tokio::test(flavor = "local")]
async fn a_signal_that_comes_while_the_config_is_read_ends_it_in_order() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut run = Run::start(fifo);
        let _silent = silent_writer(&run.config()).await;
        run.signal(rustix::process::Signal::HUP); // ends nothing
        run.signal(signal);
        assert_eq!(run.ended().await, Some(0), "{}", run.log());
        assert!(run.log().contains("ended by a signal before clients were accepted"), "{}", run.log());
    }
}

#[tokio::test(flavor = "local")]
async fn a_signal_that_comes_in_the_first_round_of_probes_ends_it_before_it_accepts() {
    // It takes connections and never answers.
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = hung.local_addr().unwrap();
    let mut run = Run::start(|path| config(path, endpoint));
    hung.set_nonblocking(true).unwrap();
    let mut probe = None;
    eventually("the endpoint is probed", || {
        probe = hung.accept().ok();
        probe.is_some()
    })
    .await;
    run.signal(rustix::process::Signal::TERM);
    assert_eq!(run.ended().await, Some(0), "{}", run.log());
    assert!(!run.log().contains("accepting"), "{}", run.log());
}

#[tokio::test(flavor = "local")]
async fn a_reload_that_takes_long_does_not_hold_up_the_end() {
    let endpoint = Endpoint::start("main").await;
    let mut run = Run::start(|path| config(path, endpoint.address));
    eventually("it accepts", || run.log().contains("accepting")).await;
    std::fs::remove_file(run.config()).unwrap();
    fifo(&run.config());
    run.signal(rustix::process::Signal::HUP);
    let _silent = silent_writer(&run.config()).await;
    run.signal(rustix::process::Signal::TERM);
    assert_eq!(run.ended().await, Some(0), "{}", run.log());
    assert!(run.log().contains("drained"), "{}", run.log());
}

/// A first round of probes that an endpoint without an answer makes long.
fn config(path: &Path, endpoint: std::net::SocketAddr) {
    let wait = PATIENCE.as_secs() * 2;
    let text = format!(
        "state_dir = \"state\"\n[admin]\naddress = \"{}\"\n[[listener]]\naddress = \"{}\"\n[[backend]]\nname = \"sites\"\n\
         primary = {{ name = \"main\", endpoints = [\"{endpoint}\"] }}\n\
         probe = {{ interval = \"{wait}s\", timeout = \"{wait}s\" }}\nfailback = {{ stable_for = \"1h\" }}\n",
        free_address(),
        free_address(),
    );
    std::fs::write(path, text).unwrap();
}
