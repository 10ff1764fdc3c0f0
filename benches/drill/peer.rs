//! The peers under drill: Debian's nginx and HAProxy with `nginx.conf` and `haproxy.cfg`, which say why they are as they are.

use crate::child::{End, Program};
use crate::front::{ADDRESS, CERTIFICATE, KEY};
use anyhow::{Context, ensure};
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What there is to know about one of them.
#[derive(Debug)]
pub struct Kind {
    name: &'static str,
    /// Where Debian puts it.
    program: &'static str,
    version: &'static str,
    file: &'static str,
    config: &'static str,
    /// How it is run; `{}` is the directory of its files.
    arguments: &'static [&'static str],
    /// What a reload changes, and what into: the same time as in Hotspare's file.
    changes: (&'static str, &'static str),
    reload: Signal,
    /// Where it notes each config that it reads after a signal, and how.
    notes: (&'static str, &'static str),
}

pub const NGINX: Kind = Kind {
    name: "nginx",
    program: "/usr/sbin/nginx",
    version: "-v",
    file: "nginx.conf",
    config: include_str!("nginx.conf"),
    arguments: &["-p", "{}", "-e", "error.log", "-c", "nginx.conf"],
    changes: ("worker_shutdown_timeout 5s;", "worker_shutdown_timeout 6s;"),
    reload: Signal::HUP, // what `nginx -s reload` sends
    notes: ("error.log", "(SIGHUP) received from"),
};

pub const HAPROXY: Kind = Kind {
    name: "haproxy",
    program: "/usr/sbin/haproxy",
    version: "-v",
    file: "haproxy.cfg",
    config: include_str!("haproxy.cfg"),
    arguments: &["-W", "-f", "haproxy.cfg"],
    changes: ("hard-stop-after 5s", "hard-stop-after 6s"),
    reload: Signal::USR2, // what `systemctl reload haproxy` sends
    notes: ("haproxy.log", "Reloading HAProxy"),
};

/// A running one.
#[derive(Debug)]
pub struct Peer {
    kind: &'static Kind,
    program: Program,
    directory: PathBuf,
    reloads: usize,
}

impl Kind {
    /// As it tells it.
    pub fn version(&self) -> anyhow::Result<String> {
        let output = Command::new(self.program).arg(self.version).output();
        let output = output.with_context(|| format!("there is no {}; tests/tools.sh installs it", self.program))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let number = said.split([' ', '/']).find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        Ok(number.with_context(|| format!("{} says {said}", self.program))?.trim().to_owned())
    }
}

impl Peer {
    /// Opened, and ready.
    pub fn open(kind: &'static Kind, directory: &Path) -> anyhow::Result<Peer> {
        kind.version()?;
        // HAProxy wants both in one file.
        let both = [fs::read(directory.join(CERTIFICATE))?, fs::read(directory.join(KEY))?].concat();
        fs::write(directory.join("both.pem"), both)?;
        fs::write(directory.join(kind.file), kind.config)?;
        let mut command: Vec<OsString> = vec![kind.program.into()];
        let place = |argument: &&str| if *argument == "{}" { directory.into() } else { OsString::from(argument) };
        command.extend(kind.arguments.iter().map(place));
        let mut program = Program::start(kind.name, &command, End::Term, directory)?;
        program.await_ready(|| TcpStream::connect(ADDRESS).is_ok())?;
        Ok(Peer { kind, program, directory: directory.to_owned(), reloads: 0 })
    }

    /// Another config file, and its signal for that.
    pub fn reload(&mut self) -> anyhow::Result<()> {
        self.reloads += 1;
        let Kind { config, changes: (one, other), .. } = self.kind;
        ensure!(config.contains(one), "{} has no `{one}`", self.kind.file);
        let text = if self.reloads % 2 == 1 { config.replace(one, other) } else { (*config).to_owned() };
        let config = self.directory.join(self.kind.file);
        let written = config.with_extension("new");
        fs::write(&written, text)?;
        fs::rename(written, config)?;
        self.program.signal(self.kind.reload)
    }

    /// Closes it, and says how many configs it has noted to have read, of how many that it was told to; an error if it was gone before, or
    /// read none. A signal that comes while a reload is under way may be one with the next.
    pub fn close(mut self) -> anyhow::Result<(usize, usize)> {
        self.program.still_runs()?;
        let (log, note) = self.kind.notes;
        let noted = fs::read_to_string(self.directory.join(log))?;
        let times = noted.lines().filter(|line| line.contains(note)).count();
        ensure!(times > 0 || self.reloads == 0, "{} noted no reload:\n{noted}", self.kind.name);
        self.program.stop()?;
        Ok((times, self.reloads))
    }
}
