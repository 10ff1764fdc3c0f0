//! A simulated endpoint: what it does with requests and probes, given what is wrong with it; and what workers counted of it
//! since the supervisor last read.
//!
//! Not here: who asks it (`reads`, `writes`), when it is probed (`probes`).

use crate::plan::{Fault, Flap, Place};
use crate::probes::Schedule;
use crate::rng::Rng;
use hotspare::domain::*;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a head takes where nothing is slow.
pub const HEAD: Duration = Duration::from_millis(4);
/// Pauses: so long, each so often.
const PAUSE: Duration = Duration::from_millis(400);
const PAUSES_EACH: Duration = Duration::from_secs(2);
/// How long a connect is tried.
const CONNECT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Endpoint {
    pub name: Name,
    pub place: Place,
    /// While it is configured.
    pub id: Option<EndpointId>,
    /// What is wrong with it: the plan's item, and since when.
    pub faults: Vec<(usize, Fault, Moment)>,
    /// When something was last wrong with it.
    pub hurt: Option<Moment>,
    pub counted: Counted,
    /// Requests without a head, oldest first: (request, attempt). Those that have ended are taken out later.
    pub running: VecDeque<(u64, usize)>,
    pub pending: u32,
    pub open_hedges: u32,
    pub writes: u32,
    /// Requests answered well, ever.
    pub answered: u64,
    pub probes: Schedule,
    /// When a request was last sent there to try it in probation.
    pub tried: Moment,
}

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Well,
    Fails(FailureKind),
    /// The request waits there until then.
    WellAt(Moment),
    /// No connection; known only then.
    Unreachable(Moment),
    /// Waits until the fault ends.
    Never,
}

/// What a request has with it that an endpoint may dislike.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub class: Class,
    pub client: usize,
    pub path: usize,
}

impl Endpoint {
    pub fn new(place: Place, name: Name, now: Moment) -> Endpoint {
        Endpoint {
            name,
            place,
            id: None,
            faults: Vec::new(),
            hurt: None,
            counted: Counted::default(),
            running: VecDeque::new(),
            pending: 0,
            open_hedges: 0,
            writes: 0,
            answered: 0,
            probes: Schedule::new(now),
            tried: now,
        }
    }

    pub fn is_well(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether it is certain to answer all pages well.
    pub fn answers_all(&self) -> bool {
        self.faults.iter().all(|(_, fault, _)| match fault {
            Fault::FailedCheck | Fault::ProbesLost => true,
            Fault::Crash
            | Fault::Freeze
            | Fault::Pauses
            | Fault::Slow { .. }
            | Fault::Errors { .. }
            | Fault::LyingCheck { .. }
            | Fault::Resets { .. }
            | Fault::Cuts { .. }
            | Fault::WritesFail
            | Fault::Flapping { .. }
            | Fault::CutOff
            | Fault::BrokenPaths { .. }
            | Fault::BrokenClient => false,
        })
    }

    pub fn answer(&self, now: Moment, asked: Asked, rng: &mut Rng) -> Answer {
        let mut worst = Answer::Well;
        for (_, fault, since) in &self.faults {
            let status = Answer::Fails(FailureKind::Status);
            let found = match *fault {
                Fault::Crash => Answer::Fails(FailureKind::Refused),
                Fault::Freeze => Answer::Never,
                Fault::Pauses => paused_until(now, *since).map_or(Answer::Well, Answer::WellAt),
                Fault::Slow { share, takes } if rng.chance(share) => Answer::WellAt(now.after(takes)),
                Fault::Errors { share } | Fault::LyingCheck { share } if rng.chance(share) => status,
                Fault::Resets { share } if rng.chance(share) => Answer::Fails(FailureKind::Reset),
                Fault::Cuts { share } if rng.chance(share) => Answer::Fails(FailureKind::Cut),
                Fault::WritesFail if asked.class == Class::Unsafe => status,
                Fault::Flapping { period, how } if is_broken(now, *since, period) => match how {
                    Flap::Refuses => Answer::Fails(FailureKind::Refused),
                    Flap::Lies => status,
                },
                // What is kept open is silent; a new connection is tried in vain.
                Fault::CutOff if rng.chance(0.5) => Answer::Never,
                Fault::CutOff => Answer::Unreachable(now.after(CONNECT)),
                Fault::BrokenPaths { paths } if asked.path < paths => status,
                Fault::BrokenClient if asked.client == 0 => status,
                Fault::Slow { .. }
                | Fault::Errors { .. }
                | Fault::LyingCheck { .. }
                | Fault::Resets { .. }
                | Fault::Cuts { .. }
                | Fault::WritesFail
                | Fault::FailedCheck
                | Fault::Flapping { .. }
                | Fault::ProbesLost
                | Fault::BrokenPaths { .. }
                | Fault::BrokenClient => Answer::Well,
            };
            // Who refuses can't be silent, and who is silent can't fail.
            let rank = |answer: Answer| match answer {
                Answer::Fails(FailureKind::Refused) => 5,
                Answer::Unreachable(_) => 4,
                Answer::Never => 3,
                Answer::Fails(_) => 2,
                Answer::WellAt(_) => 1,
                Answer::Well => 0,
            };
            if rank(found) > rank(worst) {
                worst = found;
            }
        }
        worst
    }

    /// What a probe begun now comes to, and when.
    pub fn probed(&self, now: Moment, timeout: Duration, lost: f64, rng: &mut Rng) -> (Moment, ProbeResult) {
        let quick = now.after(Duration::from_millis(2));
        let late = (now.after(timeout), ProbeResult::Failed(ProbeFailure::Timeout));
        let bad = (quick, ProbeResult::Failed(ProbeFailure::Status(500)));
        let refused = (quick, ProbeResult::Failed(ProbeFailure::Refused));
        let mut well = (quick, ProbeResult::Passed);
        let mut failed = None;
        for (_, fault, since) in &self.faults {
            match *fault {
                Fault::Crash => return refused,
                Fault::Flapping { period, how: Flap::Refuses } if is_broken(now, *since, period) => return refused,
                Fault::Freeze | Fault::ProbesLost | Fault::CutOff => failed = Some(late),
                Fault::Pauses => {
                    let until = paused_until(now, *since).unwrap_or(now);
                    well = (well.0.max(until.after(Duration::from_millis(2))), well.1);
                }
                Fault::Errors { share } if rng.chance(share) => failed = failed.or(Some(bad)),
                Fault::FailedCheck => failed = failed.or(Some(bad)),
                Fault::Resets { share } if rng.chance(share) => {
                    failed = failed.or(Some((quick, ProbeResult::Failed(ProbeFailure::Reset))));
                }
                Fault::Slow { .. }
                | Fault::Errors { .. }
                | Fault::LyingCheck { .. }
                | Fault::Resets { .. }
                | Fault::Cuts { .. }
                | Fault::WritesFail
                | Fault::Flapping { .. }
                | Fault::BrokenPaths { .. }
                | Fault::BrokenClient => {}
            }
        }
        if rng.chance(lost) {
            failed = failed.or(Some(late));
        }
        failed.unwrap_or(if well.0 > late.0 { late } else { well })
    }
}

fn paused_until(now: Moment, since: Moment) -> Option<Moment> {
    let into = now.since(since).as_micros() % PAUSES_EACH.as_micros();
    let left = PAUSE.as_micros().checked_sub(into).filter(|left| *left > 0)?;
    Some(now.after(Duration::from_micros(u64::try_from(left).unwrap())))
}

fn is_broken(now: Moment, since: Moment, period: Duration) -> bool {
    now.since(since).as_micros() % period.as_micros() < period.as_micros() / 2
}

/// What workers counted since the supervisor last read.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub good: PerClass<u32>,
    pub failed: Vec<FailedRequest>,
    trailing: PerClass<u32>,
    answered: PerClass<Variety>,
    pub last_head: Option<Moment>,
    heads: HeadTimes,
    /// Whether there is anything to tell.
    pub touched: bool,
}

impl Counted {
    pub fn good(&mut self, now: Moment, class: Class, count: u32, took: Duration) {
        self.good[class] += count;
        self.trailing[class] = 0;
        self.heads.add(took, count);
        self.last_head = Some(now);
        self.touched = true;
    }

    /// Who was answered well.
    pub fn variety(&mut self, now: Moment, class: Class, client: Fingerprint, path: Fingerprint) {
        newest(&mut self.answered[class].clients, client, now);
        newest(&mut self.answered[class].paths, path, now);
    }

    pub fn failed(&mut self, failure: FailedRequest) {
        self.trailing[failure.class] += 1;
        self.failed.push(failure);
        self.touched = true;
    }

    /// The delta, and a new sheet.
    pub fn take(&mut self, endpoint_stands: (Option<Pending>, u32, u32)) -> TallyDelta {
        let (pending, open_hedges, writes_running) = endpoint_stands;
        self.touched = false;
        TallyDelta {
            good: std::mem::take(&mut self.good),
            failed: std::mem::take(&mut self.failed),
            trailing: std::mem::take(&mut self.trailing),
            answered: self.answered,
            pending,
            last_head: self.last_head,
            heads: std::mem::take(&mut self.heads),
            open_hedges,
            writes_running,
        }
    }
}

/// The two that differ and were answered last.
fn newest(known: &mut [Option<(Fingerprint, Moment)>; 2], who: Fingerprint, now: Moment) {
    if known[0].is_some_and(|(first, _)| first != who) {
        known[1] = known[0];
    }
    known[0] = Some((who, now));
}
