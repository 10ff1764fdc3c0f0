//! From notes and decisions to the numbers of a row.

use crate::fault::{FROM, UNTIL};
use crate::journal::{Decision, why};
use crate::site;
use crate::visitors::{Kind, Note, Outcome, Report};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// What one run of a fault came to.
#[derive(Clone, Debug)]
pub struct Sums {
    pub gets: Failed,
    pub posts: Failed,
    /// GETs of pages that fail wherever they are asked for, where the fault is that: nobody could have done better.
    pub hopeless: usize,
    /// Of visits due during the fault, failed ones included.
    pub p99: Duration,
    /// Of all visits.
    pub max: Duration,
    /// Requests and probes that an endpoint treated badly while it ran.
    pub met: u64,
    pub rescued: u64,
    /// From the fault's beginning to the first change of the serving pool.
    pub failover: Option<Duration>,
    /// Of the serving pool, failover and failback alike.
    pub changes: usize,
    /// Why, as the journal has it.
    pub why: String,
    /// How the failed ones looked to users, for the terminal.
    pub looks: BTreeMap<Look, usize>,
    /// Ids of writes that ran more than once.
    pub twice: Vec<u64>,
    /// Ids of writes that were answered well and did not run.
    pub lost: Vec<u64>,
    /// How late the client itself was at worst.
    pub latest: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Failed {
    pub failed: usize,
    pub of: usize,
}

/// A method, and what its user saw.
pub type Look = (&'static str, Outcome);

/// What a run left behind.
#[derive(Debug)]
pub struct Traces {
    /// Whether the fault is about pages that fail everywhere.
    pub broken_pages: bool,
    pub met: u64,
    pub report: Report,
    /// Oldest first, of the whole run.
    pub decisions: Vec<Decision>,
    /// When the fault began.
    pub struck: SystemTime,
    pub rescued: u64,
    /// How often each write ran, at all places together.
    pub runs: BTreeMap<u64, usize>,
}

impl Sums {
    pub fn of(traces: &Traces) -> Sums {
        let notes = &traces.report.notes;
        let (mut gets, mut posts, mut hopeless) = (Failed::default(), Failed::default(), 0);
        let mut looks = BTreeMap::new();
        let mut lost = Vec::new();
        for note in notes {
            let is_good = note.outcome == Outcome::Good;
            let (method, count) = match note.kind {
                Kind::Get { .. } => ("GET", &mut gets),
                Kind::Post { .. } => ("POST", &mut posts),
            };
            count.of += 1;
            if let Kind::Post { id } = note.kind
                && is_good
                && !traces.runs.contains_key(&id)
            {
                lost.push(id);
            }
            if is_good {
                continue;
            }
            if traces.broken_pages && is_hopeless(note) {
                hopeless += 1;
                continue;
            }
            count.failed += 1;
            *looks.entry((method, note.outcome.clone())).or_default() += 1;
        }
        let serving: Vec<&Decision> = traces.decisions.iter().filter(|decision| decision.is("serving")).collect();
        Sums {
            gets,
            posts,
            hopeless,
            p99: p99(notes.iter().filter(|note| (FROM..UNTIL).contains(&note.due)).map(|note| note.took)),
            max: notes.iter().map(|note| note.took).max().unwrap_or_default(),
            met: traces.met,
            rescued: traces.rescued,
            failover: serving.first().and_then(|first| first.at()?.duration_since(traces.struck).ok()),
            changes: serving.len(),
            why: why(&traces.decisions),
            looks,
            twice: traces.runs.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect(),
            lost,
            latest: traces.report.latest,
        }
    }

    /// The smaller, the better the run.
    pub fn badness(&self) -> (usize, Duration) {
        (self.gets.failed + self.posts.failed, self.p99)
    }
}

fn is_hopeless(note: &Note) -> bool {
    matches!(note.kind, Kind::Get { page } if site::is_broken_everywhere(page))
}

/// The time that 99 of 100 did not exceed.
fn p99(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let rank = (times.len() * 99).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
