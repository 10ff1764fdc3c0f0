//! Hotspare under drill: the real binary with `hotspare.toml`, its admin listener, and where it wrote down its decisions.

use crate::child::{End, PATIENCE, Program};
use crate::front::HERE;
use crate::variant::Variant;
use anyhow::{Context, bail, ensure};
use hotspare::admin::status::Status;
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

/// As the file says.
const ADMIN: SocketAddr = SocketAddr::new(HERE, 7900);
const CONFIG: &str = include_str!("hotspare.toml");
/// Where the file says that its journal lies, from where it lies itself.
const STATE: &str = "state";
/// What a reload changes, and what into.
const CHANGES: (&str, &str) = ("drain_timeout = \"5s\"", "drain_timeout = \"6s\"");
/// What two endpoints a pool change.
const SECOND_ENDPOINTS: [(&str, &str); 2] = [
    ("[\"127.0.91.1:7080\"]", "[\"127.0.91.1:7080\", \"127.0.91.2:7080\"]"),
    ("[\"127.0.92.1:7080\"]", "[\"127.0.92.1:7080\", \"127.0.92.2:7080\"]"),
];

/// A running Hotspare.
#[derive(Debug)]
pub struct Door {
    program: Program,
    config: PathBuf,
    /// What the config says before any reload.
    text: String,
    reloads: usize,
}

/// `HOTSPARE_BIN`, else the one that was built with this program.
fn binary() -> OsString {
    std::env::var_os("HOTSPARE_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_hotspare").into())
}

impl Door {
    /// Opened, and ready.
    pub fn open(directory: &Path, variant: Variant) -> anyhow::Result<Door> {
        ensure!(TcpStream::connect(ADMIN).is_err(), "something listens on {ADMIN} already: another drill?");
        let mut text = CONFIG.to_owned();
        if variant.endpoints() > 1 {
            for (one, two) in SECOND_ENDPOINTS {
                ensure!(text.contains(one), "hotspare.toml has no {one}");
                text = text.replace(one, two);
            }
        }
        let config = directory.join("hotspare.toml");
        fs::write(&config, &text)?;
        let command = [binary(), "run".into(), "--config".into(), config.clone().into()];
        let mut program = Program::start("hotspare", &command, End::Kill, directory)?;
        program.await_ready(|| status().is_ok_and(|status| status.readiness == "ready"))?;
        Ok(Door { program, config, text, reloads: 0 })
    }

    /// Another config file, and SIGHUP.
    pub fn reload(&mut self) -> anyhow::Result<()> {
        self.reloads += 1;
        let text = if self.reloads % 2 == 1 { self.text.replace(CHANGES.0, CHANGES.1) } else { self.text.clone() };
        let written = self.config.with_extension("new");
        fs::write(&written, text)?;
        fs::rename(written, &self.config)?;
        self.program.signal(Signal::HUP)
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
        self.program.still_runs()?;
        let generation = status()?.generation;
        if usize::try_from(generation)? != self.reloads + 1 {
            bail!("{} reloads led to generation {generation}. It said:\n{}", self.reloads, self.program.said());
        }
        self.program.stop()?;
        let said = self.program.said();
        ensure!(!said.contains("panicked"), "hotspare panicked:\n{said}");
        Ok(self.config.with_file_name(STATE))
    }
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
