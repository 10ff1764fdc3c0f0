//! From notes and decisions to the numbers of a row.

use crate::fault::{FROM, UNTIL};
use crate::front::Told;
use crate::journal::{Decision, why};
use crate::place::Place;
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
    /// How long each visit due during the fault took, failed ones included; in order.
    during: Vec<Duration>,
    /// Of all visits.
    pub max: Duration,
    /// Requests and probes that an endpoint treated badly while it ran.
    pub met: u64,
    pub rescued: u64,
    /// From the fault's beginning to the first change of the serving pool.
    pub failover: Option<Duration>,
    /// Of the serving pool, failover and failback alike.
    pub changes: usize,
    /// How often most visitors came to be answered from another place than before.
    pub moves: usize,
    /// Why, as the journal has it.
    pub why: String,
    /// How the failed ones looked to users, for the terminal.
    pub looks: BTreeMap<Look, usize>,
    /// Ids of writes that ran more than once.
    pub twice: Vec<u64>,
    /// Ids of writes that were answered well and did not run.
    pub lost: Vec<u64>,
    /// Configs that a peer read, of those that it was told to.
    pub reloads: (usize, usize),
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
    pub told: Told,
    /// When the fault began.
    pub struck: SystemTime,
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
        let serving: Vec<&Decision> = traces.told.decisions.iter().filter(|decision| decision.is("serving")).collect();
        let mut during: Vec<Duration> =
            notes.iter().filter(|note| (FROM..UNTIL).contains(&note.due)).map(|note| note.took).collect();
        during.sort_unstable();
        Sums {
            gets,
            posts,
            hopeless,
            during,
            max: notes.iter().map(|note| note.took).max().unwrap_or_default(),
            met: traces.met,
            rescued: traces.told.rescued,
            failover: serving.first().and_then(|first| first.at()?.duration_since(traces.struck).ok()),
            changes: serving.len(),
            moves: moves(notes),
            why: why(&traces.told.decisions),
            looks,
            twice: traces.runs.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect(),
            lost,
            reloads: traces.told.reloads,
            latest: traces.report.latest,
        }
    }

    /// The time that 99 of 100 visits due during the fault did not exceed.
    pub fn p99(&self) -> Duration {
        let rank = self.during.len() - self.allowed_slower();
        self.during.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// How many of those took longer than that.
    pub fn slower_than(&self, time: Duration) -> usize {
        self.during.len() - self.during.partition_point(|took| *took <= time)
    }

    /// How many of them may, as far as the p99 is concerned.
    pub fn allowed_slower(&self) -> usize {
        self.during.len() / 100
    }

    /// Whether a write ran twice, or was answered well and had not run.
    pub fn is_wrong(&self) -> bool {
        !self.twice.is_empty() || !self.lost.is_empty()
    }

    /// The smaller, the better the run.
    pub fn badness(&self) -> (usize, Duration) {
        (self.gets.failed + self.posts.failed, self.p99())
    }
}

fn is_hopeless(note: &Note) -> bool {
    matches!(note.kind, Kind::Get { page } if site::is_broken_everywhere(page))
}

/// Some 50 visits are due in this; whoever answers most of them has the visitors.
const GLANCE: Duration = Duration::from_millis(250);
/// Of fewer answers a glance says nothing.
const ENOUGH: usize = 10;

fn moves(notes: &[Note]) -> usize {
    let mut glances: BTreeMap<u128, (usize, usize)> = BTreeMap::new();
    for note in notes {
        let (new_jersey, oregon) = glances.entry(note.due.as_millis() / GLANCE.as_millis()).or_default();
        match note.place {
            Some(Place::NewJersey) => *new_jersey += 1,
            Some(Place::Oregon) => *oregon += 1,
            None => {}
        }
    }
    let glances = glances.values().filter(|(new_jersey, oregon)| new_jersey + oregon >= ENOUGH);
    let most: Vec<bool> = glances.map(|(new_jersey, oregon)| new_jersey >= oregon).collect();
    most.windows(2).filter(|pair| pair[0] != pair[1]).count()
}
