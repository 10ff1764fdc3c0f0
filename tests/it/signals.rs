//! Signals to the real program.

use crate::harness::door::free_address;
use crate::harness::{Endpoint, eventually};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};

/// A running program, killed if its test ends before it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test(flavor = "local")]
async fn an_end_does_not_wait_for_a_config_that_cannot_be_read_to_its_end() {
    let primary = Endpoint::start("main").await;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("hotspare.toml");
    let (address, admin) = (free_address(), free_address());
    let config = format!(
        "[admin]\naddress = \"{admin}\"\n[[listener]]\naddress = \"{address}\"\n[[backend]]\nname = \"sites\"\n\
         primary = {{ name = \"main\", endpoints = [\"{}\"] }}\nprobe = {{ path = \"/probe\" }}\n",
        primary.address
    );
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotspare"));
    command.arg("run").arg("--config").arg(&file).stderr(Stdio::null()).stdout(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let id = Pid::from_child(&running.0);
    eventually("it accepts", || TcpStream::connect(address).is_ok()).await;
    // A pipe that is opened and never written to: as long to read as a name that does not resolve.
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    kill_process(id, Signal::HUP).unwrap();
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut pipe = None;
    eventually("it reads the config", || {
        pipe = std::fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(&file).ok();
        pipe.is_some()
    })
    .await;
    kill_process(id, Signal::TERM).unwrap();
    let mut status = None;
    eventually("it ends", || {
        status = running.0.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert!(status.unwrap().success(), "{status:?}");
}
