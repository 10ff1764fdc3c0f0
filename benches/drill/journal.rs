//! What a Hotspare wrote down of its decisions: the journal in its state_dir, read when it has ended, and why the serving pool first
//! changed, as it says there. docs/journal.md explains the lines.

use anyhow::{Context, bail};
use serde::Deserialize;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// A `transition`: one decision. Of the fields only those that the table is made from.
#[derive(Debug, Deserialize)]
pub struct Decision {
    at: String,
    #[serde(default)]
    backend: String,
    change: String,
    pool: Option<String>,
    endpoint: Option<String>,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    cause: String,
    words: String,
}

/// Every decision of a Hotspare that has ended, oldest first. A run is far too short for a second file.
pub fn read(state_dir: &Path) -> anyhow::Result<Vec<Decision>> {
    let path = state_dir.join("journal.jsonl");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (mut decisions, mut is_whole) = (Vec::new(), false);
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).with_context(|| format!("in the journal: {line}"))?;
        match line["kind"].as_str() {
            Some("transition") => decisions.push(Decision::deserialize(&line).with_context(|| line.to_string())?),
            Some("lost") => bail!("lines of the journal are lost, so it can't say why: {line}"),
            Some("stop") => is_whole = true,
            Some(_) | None => {}
        }
    }
    if !is_whole {
        bail!("the journal has no last line:\n{text}");
    }
    Ok(decisions)
}

impl Decision {
    /// Whether it is about that, as the field `change` has it.
    pub fn is(&self, change: &str) -> bool {
        self.change == change
    }

    pub fn at(&self) -> Option<SystemTime> {
        self.at.parse::<jiff::Timestamp>().ok()?.try_into().ok()
    }

    fn is_of_an_endpoint(&self) -> bool {
        self.is("endpoint") && self.from != "unproven"
    }

    /// The endpoint, or the backend where it is about that.
    fn who(&self) -> String {
        match (&self.pool, &self.endpoint) {
            (Some(pool), Some(endpoint)) => format!("{pool}/{endpoint}"),
            (Some(pool), None) => pool.clone(),
            (None, _) => self.backend.clone(),
        }
    }

    /// The cause, and the sums it rests on as the sentence in `words` ends with them.
    fn reason(&self) -> String {
        match self.words.rsplit_once(&format!("({}): ", self.cause)) {
            Some((_, sums)) => format!("{}: {sums}", self.cause),
            None => self.cause.clone(),
        }
    }
}

/// Why the serving pool first changed: the cause, and what is written of the endpoint whose health brought it about. If it never changed:
/// what is written of panic, or of the first endpoint that changed, and of which.
pub fn why(decisions: &[Decision]) -> String {
    if let Some(first) = decisions.iter().position(|decision| decision.is("serving")) {
        let moved = &decisions[first];
        let left = |decision: &&Decision| decision.pool.as_ref() == Some(&moved.from);
        let mut endpoints = decisions[..first].iter().rev().filter(|decision| decision.is_of_an_endpoint());
        return match endpoints.find(left) {
            Some(brought_about) => format!("{}: {}", moved.cause, brought_about.reason()),
            None => moved.reason(),
        };
    }
    let panic = decisions.iter().find(|decision| decision.is("routing"));
    match panic.or_else(|| decisions.iter().find(|decision| decision.is_of_an_endpoint())) {
        Some(told) => format!("no failover, but {} {}: {}", told.who(), told.to, told.reason()),
        None => "nothing changed".to_owned(),
    }
}
