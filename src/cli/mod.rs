//! The command line: what can be asked for, and the exit status: 0, 1 (problem), 2 (usage: clap's own, and names that are not
//! there).

pub mod check;
pub mod link;
pub mod order;
pub mod output;
pub mod quick;
pub mod reload;
pub mod run;
pub mod status;

use crate::config::Color;
use crate::demo::Promises;
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the config is when nothing is said.
const DEFAULT_CONFIG: &str = "/etc/hotspare/hotspare.toml";

#[derive(Debug, Parser)]
#[command(name = "hotspare", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve user sites. SIGHUP reads the config again; SIGTERM and SIGINT drain and end.
    Run(Run),
    /// Check a config and say all that is wrong with it. Changes nothing, listens nowhere.
    Check {
        /// The config.
        #[arg(default_value = DEFAULT_CONFIG)]
        file: PathBuf,
    },
    /// Print the JSON schema of config files, for editors.
    Schema,
    /// Show what a running hotspare knows: pools, endpoints, what it waits for, what happened.
    Status {
        #[command(flatten)]
        link: link::Link,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Order(order::Order),
    /// Have a running hotspare read its configuration again, and say what changed. The same as SIGHUP, but it waits and answers.
    Reload(reload::Reload),
    /// Say that the newest reload is to stay: it is not taken back any more.
    Confirm(reload::Confirm),
    /// Two small data centres, a front door before them, and faults to switch on. Needs no file, no network, no root.
    Demo(crate::demo::Options),
}

/// What `run` takes.
#[derive(Debug, Args)]
pub struct Run {
    /// The config.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG, conflicts_with = "primary")]
    config: PathBuf,
    /// Without a config file: the primary pool's endpoint (again for another one), as host:port.
    #[arg(long, value_name = "ADDR")]
    primary: Vec<String>,
    /// Without a config file: the secondary pool's endpoint (again for another one).
    #[arg(long, value_name = "ADDR", requires = "primary")]
    secondary: Vec<String>,
    /// Without a config file: where to accept clients.
    #[arg(long, value_name = "ADDR", default_value = "[::]:8443", requires = "primary")]
    listen: SocketAddr,
    /// Without a config file: where metrics and status are served.
    #[arg(long, value_name = "ADDR", default_value = link::DEFAULT_ADMIN, requires = "primary")]
    admin: SocketAddr,
    /// Without a config file: the certificate, PEM. Without one, a self-signed one is made under certs/.
    #[arg(long, value_name = "FILE", requires_all = ["primary", "key"])]
    cert: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Log lines as JSON.
    #[arg(long)]
    log_json: bool,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// Something is wrong, and has been said.
    Problem,
    /// What was asked for makes no sense, and that has been said.
    Usage,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(options) => run::run(options),
        Command::Check { file } => printed(check::run(&file, color(), &mut io::stdout(), &mut io::stderr())),
        Command::Schema => printed(writeln!(io::stdout(), "{:#}", crate::config::schema()).map(|()| Verdict::Fine)),
        Command::Order(order) => printed(ordered(&order)),
        Command::Reload(options) => printed(reload::reload(&options, &mut io::stdout(), &mut io::stderr())),
        Command::Confirm(options) => printed(reload::confirm(&options, &mut io::stdout(), &mut io::stderr())),
        Command::Status { link, json } => {
            let format = if json { status::Format::Json } else { status::Format::Table };
            printed(status::run(&link, format, &mut io::stdout(), &mut io::stderr()))
        }
        Command::Demo(options) => crate::demo::run(options).map(|promises| match promises {
            Promises::Held => Verdict::Fine,
            Promises::Broken => Verdict::Problem,
        }),
    };
    match done {
        Ok(Verdict::Fine) => ExitCode::SUCCESS,
        Ok(Verdict::Problem) => ExitCode::FAILURE,
        Ok(Verdict::Usage) => ExitCode::from(USAGE),
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// As clap's own.
const USAGE: u8 = 2;

/// Somebody can be asked only where questions are seen and answers can be typed.
fn ordered(order: &order::Order) -> io::Result<Verdict> {
    let (mut out, mut errors, mut lines) = (io::stdout(), io::stderr(), io::stdin().lock());
    let here = io::stdin().is_terminal() && io::stderr().is_terminal();
    let asked = here.then_some(&mut lines as &mut dyn io::BufRead);
    order::run(order, &mut order::Person { out: &mut out, errors: &mut errors, asked })
}

/// Of a command that prints an answer: whether it could. One that reads no further, as `| head`, needs no words about it.
fn printed(done: io::Result<Verdict>) -> anyhow::Result<Verdict> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Verdict::Problem),
        done => done.context("the answer could not be printed"),
    }
}

/// To standard error, if that can be written: the exit status says it too.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn color() -> Color {
    if io::stderr().is_terminal() { Color::Styled } else { Color::Plain }
}
