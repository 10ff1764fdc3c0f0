//! The front door under drill: the real binary with `hotspare.toml`, its admin listener, and where it wrote down its decisions.

use anyhow::{Context, bail};
use hotspare::admin::status::Status;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// As the file says.
pub const ADDRESS: SocketAddr = SocketAddr::new(HERE, 7443);
const ADMIN: SocketAddr = SocketAddr::new(HERE, 7900);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 90, 1));
const CONFIG: &str = include_str!("hotspare.toml");
/// Where the file says that its journal lies, from where it lies itself.
const STATE: &str = "state";
/// What a reload changes, and what into.
const CHANGES: (&str, &str) = ("drain_timeout = \"5s\"", "drain_timeout = \"6s\"");

/// To start, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running Hotspare.
#[derive(Debug)]
pub struct Door {
    pub certificate: CertificateDer<'static>,
    child: Child,
    log: PathBuf,
    config: PathBuf,
    reloads: usize,
}

/// `HOTSPARE_BIN`, else the one that was built with this program.
fn binary() -> OsString {
    std::env::var_os("HOTSPARE_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_hotspare").into())
}

impl Door {
    /// Opened, and ready.
    pub fn open(directory: &Path) -> anyhow::Result<Door> {
        for address in [ADDRESS, ADMIN] {
            if TcpStream::connect(address).is_ok() {
                bail!("something listens on {address} already: another drill?");
            }
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(directory.join("site.pem"), made.cert.pem())?;
        fs::write(directory.join("site.key"), made.signing_key.serialize_pem())?;
        let (config, log) = (directory.join("hotspare.toml"), directory.join("hotspare.log"));
        fs::write(&config, CONFIG)?;
        let (out, errors) = (File::create(&log)?, File::options().append(true).open(&log)?);
        // By way of this program, which sees to it that a Hotspare never outlives its drill.
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("hotspare").arg(binary()).arg("run").arg("--config").arg(&config);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn()?;
        let mut door = Door { certificate: made.cert.der().clone(), child, log, config, reloads: 0 };
        door.is_ready()?;
        Ok(door)
    }

    fn is_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("hotspare ended at once ({status}). It said:\n{}", self.said());
            }
            if status().is_ok_and(|status| status.readiness == "ready") {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        bail!("hotspare is not ready. It said:\n{}", self.said())
    }

    /// What it logged.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Another config file, and SIGHUP.
    pub fn reload(&mut self) -> anyhow::Result<()> {
        self.reloads += 1;
        let text = if self.reloads % 2 == 1 { CONFIG.replace(CHANGES.0, CHANGES.1) } else { CONFIG.to_owned() };
        let written = self.config.with_extension("new");
        fs::write(&written, text)?;
        fs::rename(written, &self.config)?;
        Ok(kill_process(Pid::from_child(&self.child), Signal::HUP)?)
    }

    /// How many requests it says it has rescued.
    pub fn rescued(&self) -> anyhow::Result<u64> {
        let mut rescued = 0;
        for line in get("/metrics")?.lines().filter(|line| line.starts_with("hotspare_requests_rescued_total")) {
            rescued += line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(rescued)
    }

    /// Closes it, and says where its journal is; an error if it was gone before, had not read every config, or complained of itself.
    pub fn close(mut self) -> anyhow::Result<PathBuf> {
        if let Some(status) = self.child.try_wait()? {
            bail!("hotspare ended in the middle of the drill ({status}). It said:\n{}", self.said());
        }
        let generation = status()?.generation;
        if usize::try_from(generation)? != self.reloads + 1 {
            bail!("{} reloads led to generation {generation}. It said:\n{}", self.reloads, self.said());
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(20));
        }
        let (ended, said) = (self.child.try_wait()?, self.said());
        match ended {
            None => bail!("hotspare did not end on SIGTERM. It said:\n{said}"),
            Some(_) if said.contains("panicked") => bail!("hotspare panicked:\n{said}"),
            Some(_) => Ok(self.config.with_file_name(STATE)),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Becomes Hotspare, which is then ended by the kernel when the drill's thread is gone.
pub fn become_hotspare(command: &[OsString]) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;
    let (program, arguments) = command.split_first().context("no program named")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

fn status() -> anyhow::Result<Status> {
    Ok(serde_json::from_str(&get("/status")?)?)
}

/// The body of a GET at the admin listener. HTTP/1.0: it is what comes until the end.
fn get(path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(ADMIN)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("not an answer of HTTP")?;
    Ok(body.to_owned())
}
