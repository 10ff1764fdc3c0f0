//! `hotspare failover`, `failback`, `hold`, `release`, `drain`, `undrain`, `readonly`, `ack`: an operator's command, sent to a
//! running Hotspare.
//!
//! What can't be undone, or what users see, is told before it is done, and somebody must agree. Everything else is done at once.
//!
//! Not here: the way there (`link`), what follows from a command (the Hotspare that is asked).

use super::Verdict;
use super::link::{Answer, Link, LinkError, Place, Request};
use super::status::Format;
use crate::admin::answer::{Done, Follows, Problem};
use crate::config::duration;
use crate::runtime::clock::Clock;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use std::io::{self, BufRead, Write};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Order {
    /// Serve a backend from another pool, until it is released.
    Failover {
        /// Its name in the configuration.
        backend: String,
        /// The pool; left out, the next usable one.
        #[arg(long, value_name = "POOL")]
        to: Option<String>,
        #[command(flatten)]
        lasts: Lasts,
        #[command(flatten)]
        force: Forced,
        #[command(flatten)]
        how: How,
    },
    /// Go back to the first pool now: no hold-down, and writes that the spare took are given up.
    Failback {
        /// Its name in the configuration.
        backend: String,
        #[command(flatten)]
        how: How,
    },
    /// Nothing moves, whatever health says, until it is released.
    Hold {
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        lasts: Lasts,
        #[command(flatten)]
        how: How,
    },
    /// End a failover, a hold and a readonly.
    Release {
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        how: How,
    },
    /// Send nothing new to a pool or an endpoint, until it is undrained.
    Drain {
        /// A pool's name, wherever it is; with a `:` or a `/` in it, an endpoint's address as configured.
        #[arg(value_name = "POOL|ENDPOINT")]
        place: String,
        #[command(flatten)]
        lasts: Lasts,
        #[command(flatten)]
        force: Forced,
        #[command(flatten)]
        how: How,
    },
    /// End a drain.
    Undrain {
        /// As it was given to drain.
        #[arg(value_name = "POOL|ENDPOINT")]
        place: String,
        #[command(flatten)]
        how: How,
    },
    /// Answer writes with the read-only page, until it is released.
    Readonly {
        /// Its name in the configuration.
        backend: String,
        #[command(flatten)]
        lasts: Lasts,
        #[command(flatten)]
        how: How,
    },
    /// Confirm that what was waited for is done: the mirror is stopped, or the spare's writes are copied or given up.
    Ack {
        /// Its name in the configuration.
        backend: String,
        #[command(flatten)]
        how: How,
    },
}

/// For which backend.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Scope {
    /// Its name in the configuration.
    backend: Option<String>,
    /// For every backend.
    #[arg(long)]
    all: bool,
}

/// For how long.
#[derive(Debug, Args)]
pub struct Lasts {
    /// It ends by itself after so long: 10m, or "1h 30m".
    #[arg(long = "for", value_name = "DURATION", value_parser = lasts)]
    lasts: Option<String>,
}

/// At which price.
#[derive(Debug, Args)]
pub struct Forced {
    /// Even if that leaves users without a usable pool.
    #[arg(long)]
    force: bool,
}

/// What each command takes.
#[derive(Debug, Args)]
pub struct How {
    /// Don't ask, whatever follows.
    #[arg(long)]
    yes: bool,
    /// Only say what would follow.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    link: Link,
}

/// Whoever sits there: what is said, and who can be asked.
#[allow(missing_debug_implementations, reason = "streams have nothing to show")]
pub struct Person<'a> {
    pub out: &'a mut dyn Write,
    pub errors: &'a mut dyn Write,
    /// `None`: a script, which nobody can ask.
    pub asked: Option<&'a mut dyn BufRead>,
}

/// Checks its form alone; the text is passed on.
fn lasts(text: &str) -> Result<String, String> {
    let is_one = duration(text).is_some();
    is_one
        .then(|| text.to_owned())
        .ok_or_else(|| "write whole numbers with h, m, s or ms, as in 10m or \"1h 30m\"".to_owned())
}

/// The whole command. Fails only if something can't be printed, or the answer to a question not be read.
pub fn run(order: &Order, person: &mut Person<'_>) -> io::Result<Verdict> {
    let (how, fields) = fields(order);
    let office = Office { how, fields, clock: Clock::start() };
    let done = match (how.dry_run, how.yes) {
        (true, _) => office.send(Act::Consider),
        (false, true) => office.send(Act::CarryOut),
        (false, false) => match office.send(Act::Consider) {
            Ok((done, _)) => match agreed(&done, how, person)? {
                Agreed::Yes => office.send(Act::CarryOut),
                Agreed::No => return Ok(Verdict::Problem),
            },
            refused => refused,
        },
    };
    match done {
        Ok((done, text)) => {
            match format(how) {
                Format::Json => writeln!(person.out, "{}", text.trim_end())?,
                Format::Table => told(&done, person.out)?,
            }
            Ok(Verdict::Fine)
        }
        Err(trouble) => {
            writeln!(person.errors, "error: {trouble}")?;
            Ok(trouble.verdict())
        }
    }
}

/// The command as the other end reads it, without `dry_run`.
fn fields(order: &Order) -> (&How, Map<String, Value>) {
    let (how, fields) = match order {
        Order::Failover { backend, to, lasts, force, how } => {
            let fields = Fields::of("failover").with("backend", backend.as_str()).maybe("to", to.as_deref());
            (how, fields.maybe("for", lasts.lasts.as_deref()).with("force", force.force))
        }
        Order::Failback { backend, how } => (how, Fields::of("failback").with("backend", backend.as_str())),
        Order::Hold { scope, lasts, how } => {
            (how, Fields::of("hold").scope(scope).maybe("for", lasts.lasts.as_deref()))
        }
        Order::Release { scope, how } => (how, Fields::of("release").scope(scope)),
        Order::Drain { place, lasts, force, how } => {
            let fields = Fields::of("drain").with(kind_of(place), place.as_str());
            (how, fields.maybe("for", lasts.lasts.as_deref()).with("force", force.force))
        }
        Order::Undrain { place, how } => (how, Fields::of("undrain").with(kind_of(place), place.as_str())),
        Order::Readonly { backend, lasts, how } => {
            let fields = Fields::of("readonly").with("backend", backend.as_str());
            (how, fields.maybe("for", lasts.lasts.as_deref()))
        }
        Order::Ack { backend, how } => (how, Fields::of("ack").with("backend", backend.as_str())),
    };
    (how, fields.0)
}

/// A body in the making.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(command: &str) -> Fields {
        Fields(Map::new()).with("command", command)
    }

    fn with(mut self, field: &str, value: impl Into<Value>) -> Fields {
        self.0.insert(field.to_owned(), value.into());
        self
    }

    fn maybe(self, field: &str, value: Option<&str>) -> Fields {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }

    fn scope(self, scope: &Scope) -> Fields {
        match &scope.backend {
            Some(backend) => self.with("backend", backend.as_str()),
            None => self.with("all", scope.all),
        }
    }
}

/// Names of pools have neither a `:` nor a `/`; addresses of endpoints have one.
fn kind_of(place: &str) -> &'static str {
    if place.contains([':', '/']) { "endpoint" } else { "pool" }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Consider,
    CarryOut,
}

/// Where the command goes.
struct Office<'a> {
    how: &'a How,
    fields: Map<String, Value>,
    clock: Clock,
}

impl Office<'_> {
    /// What was answered, and its text.
    fn send(&self, act: Act) -> Result<(Done, String), Trouble> {
        let mut fields = self.fields.clone();
        fields.insert("dry_run".to_owned(), matches!(act, Act::Consider).into());
        let json = Value::Object(fields).to_string();
        let request = Request::Post { path: "/commands", json: &json };
        let answer = self.how.link.send(request, self.clock).map_err(|error| match (act, error) {
            (Act::CarryOut, error @ LinkError::Exchange { .. }) => Trouble::Lost(error),
            (Act::Consider | Act::CarryOut, error) => Trouble::Link(error),
        })?;
        read(answer)
    }
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Link(LinkError),
    #[error("{0}\n  whether the command was carried out is not known: `hotspare status` shows it")]
    Lost(LinkError),
    #[error("{place} answered `{line}` to a command\n  is that hotspare's admin address, not that of a site?")]
    NotHotspare { place: Place, line: String },
    #[error(
        "{place} takes no command from you\n  run this as root or hotspare's own user on its machine (--socket names admin.sock in its \
         state_dir), or pass --token-file with the file that `[admin] token_file` names"
    )]
    Unauthorised { place: Place },
    #[error("{}{}", clean(&problem.error), meant(problem))]
    Refused { status: u16, problem: Problem },
}

impl Trouble {
    /// A name that is not there, or a command that makes no sense, is a slip of whoever typed it.
    const fn verdict(&self) -> Verdict {
        match self {
            Trouble::Refused { status: 400 | 404, .. } => Verdict::Usage,
            Trouble::Link(_)
            | Trouble::Lost(_)
            | Trouble::NotHotspare { .. }
            | Trouble::Unauthorised { .. }
            | Trouble::Refused { .. } => Verdict::Problem,
        }
    }
}

fn read(answer: Answer) -> Result<(Done, String), Trouble> {
    let Answer { place, status, line, body } = answer;
    if status == 200
        && let Ok(done) = serde_json::from_str(&body)
    {
        return Ok((done, body));
    }
    match serde_json::from_str(&body) {
        Ok(Problem { .. }) if status == 401 => Err(Trouble::Unauthorised { place }),
        Ok(problem) => Err(Trouble::Refused { status, problem }),
        Err(_) => Err(Trouble::NotHotspare { place, line }),
    }
}

/// `, did you mean …?`, where that is known.
fn meant(problem: &Problem) -> String {
    problem.nearest.iter().map(|nearest| format!("\n  did you mean `{}`?", clean(nearest))).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreed {
    Yes,
    No,
}

/// Whether it may be done. Asks only where something follows that can't be undone, or that users see.
fn agreed(considered: &Done, how: &How, person: &mut Person<'_>) -> io::Result<Agreed> {
    if !considered.consequences.iter().any(|follows| follows.needs_consent) {
        return Ok(Agreed::Yes);
    }
    writeln!(person.errors, "{} would do this:", clean(&considered.command))?;
    sentences(&considered.consequences, person.errors)?;
    // A program that reads JSON can't be asked, wherever it runs.
    let Some(asked) = person.asked.as_deref_mut().filter(|_| format(how) == Format::Table) else {
        writeln!(person.errors, "error: nobody is here to be asked, so nothing was done\n  --yes does it")?;
        return Ok(Agreed::No);
    };
    write!(person.errors, "Go on? [y/N] ")?;
    person.errors.flush()?;
    let mut line = String::new();
    io::Read::take(asked, 64).read_line(&mut line)?;
    if matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(Agreed::Yes);
    }
    writeln!(person.errors, "nothing was done")?;
    Ok(Agreed::No)
}

/// What was done, and what follows.
fn told(done: &Done, out: &mut dyn Write) -> io::Result<()> {
    let command = clean(&done.command);
    match (done.dry_run, done.consequences.is_empty()) {
        (true, false) => writeln!(out, "{command} would do this; nothing was done:")?,
        (true, true) => writeln!(out, "{command} would change nothing for now; nothing was done")?,
        (false, false) => writeln!(out, "done: {command}")?,
        (false, true) => writeln!(out, "done: {command}; nothing changes for now")?,
    }
    sentences(&done.consequences, out)
}

fn sentences(consequences: &[Follows], out: &mut dyn Write) -> io::Result<()> {
    consequences.iter().try_for_each(|follows| writeln!(out, "  {}", clean(&follows.words)))
}

const fn format(how: &How) -> Format {
    if how.json { Format::Json } else { Format::Table }
}

/// What came over the network does not drive a terminal.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests;
