//! `hotspare reload` and `hotspare confirm`: a running Hotspare reads its configuration again, or keeps what it has read.
//!
//! Not here: the way there (`link`), how a reload is done (the Hotspare that is asked).

use super::Verdict;
use super::link::{Answer, Link, LinkError, Request};
use crate::admin::answer::Problem;
use crate::admin::reloads::{PATIENCE, Reloaded};
use crate::config::duration;
use crate::runtime::clock::Clock;
use clap::Args;
use serde_json::json;
use std::io::{self, Write};
use std::time::Duration;

/// What `reload` takes.
#[derive(Debug, Args)]
pub struct Reload {
    /// Even if users would be sent to new endpoints that failed their first probe, or the file was taken back before.
    #[arg(long)]
    force: bool,
    /// Take it back after so long unless `hotspare confirm` says that it stays: 5m, or "1h 30m".
    #[arg(long, value_name = "DURATION", value_parser = span)]
    confirm: Option<String>,
    #[command(flatten)]
    how: How,
}

/// What `confirm` takes.
#[derive(Debug, Args)]
pub struct Confirm {
    #[command(flatten)]
    how: How,
}

/// What both take.
#[derive(Debug, Args)]
struct How {
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    link: Link,
}

/// Checks its form alone; the text is passed on.
fn span(text: &str) -> Result<String, String> {
    match duration(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write whole numbers with h, m, s or ms, as in 10m or \"1h 30m\"".to_owned()),
    }
}

/// The whole command. Fails only if something can't be printed.
pub fn reload(options: &Reload, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<Verdict> {
    let Reload { force, confirm, how } = options;
    let body = match confirm {
        Some(confirm) => json!({ "force": force, "confirm": confirm }),
        None => json!({ "force": force }),
    };
    send("/reload", &body.to_string(), how, out, errors)
}

/// Likewise.
pub fn confirm(options: &Confirm, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<Verdict> {
    send("/confirm", "{}", &options.how, out, errors)
}

fn send(path: &str, json: &str, how: &How, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<Verdict> {
    // A little longer than the other end waits, so that its own words arrive.
    let patience = PATIENCE + Duration::from_secs(5);
    let request = Request::Post { path, json };
    match how.link.send_and_wait(request, patience, Clock::start()) {
        Ok(answer) => told(&answer, how, out, errors),
        Err(error) => {
            writeln!(errors, "error: {error}")?;
            if let LinkError::Exchange { .. } = error {
                writeln!(errors, "  whether it was done is not known: `hotspare status` shows it")?;
            }
            Ok(Verdict::Problem)
        }
    }
}

fn told(answer: &Answer, how: &How, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<Verdict> {
    let Answer { place, status, line, body } = answer;
    if *status == 200
        && let Ok(Reloaded { changes, more, words, .. }) = serde_json::from_str(body)
    {
        if how.json {
            writeln!(out, "{}", body.trim_end())?;
            return Ok(Verdict::Fine);
        }
        changes.iter().try_for_each(|change| writeln!(out, "{}", clean(&change.to_string())))?;
        if more > 0 {
            writeln!(out, "and {more} more")?;
        }
        writeln!(out, "{}", clean(&words))?;
        return Ok(Verdict::Fine);
    }
    match serde_json::from_str::<Problem>(body) {
        Ok(_) if *status == 401 => writeln!(
            errors,
            "error: {place} takes no command from you\n  run this as root or hotspare's own user on its machine (--socket names \
             admin.sock in its state_dir), or pass --token-file with the file that `[admin] token_file` names"
        )?,
        Ok(problem) if problem.error.starts_with("error: ") => {
            problem.error.lines().try_for_each(|line| writeln!(errors, "{}", clean(line)))?;
        }
        Ok(problem) => writeln!(errors, "error: {}", clean(&problem.error))?,
        Err(_) => writeln!(
            errors,
            "error: {place} answered `{line}` to a command\n  is that hotspare's admin address, not that of a site?"
        )?,
    }
    Ok(Verdict::Problem)
}

/// What came over the network does not drive a terminal.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
