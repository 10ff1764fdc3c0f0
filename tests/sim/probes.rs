//! When an endpoint is probed next, as docs/failover.md says: an interval from start to start, give or take a tenth; after
//! `fast_interval` while a verdict is near or somebody asked.
//!
//! A second telling of `health::schedule`, on purpose: the simulation must notice when the core needs more of its prober than
//! the rules promise.

use crate::plan::Pace;
use crate::rng::Rng;
use hotspare::domain::{Health, Moment, ProbeResult, Rules};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Schedule {
    /// `None` while one runs.
    pub due: Option<Moment>,
    /// A probe's number: what an older one heard, from before a restart or a reload, is dropped.
    pub number: u64,
    began: Moment,
    ended: Option<Moment>,
    hurried: Hurried,
    /// Results in a row against the side it is on.
    against: u32,
    side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hurried {
    No,
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Up,
    Suspect,
    Down,
    Probation,
}

impl Schedule {
    pub fn new(now: Moment) -> Schedule {
        Schedule {
            due: Some(now),
            number: 0,
            began: now,
            ended: None,
            hurried: Hurried::No,
            against: 0,
            side: Side::Up,
        }
    }

    pub fn begin(&mut self, now: Moment) -> u64 {
        self.due = None;
        self.began = now;
        self.number += 1;
        self.number
    }

    /// When the one that runs was begun.
    pub fn began(&self) -> Moment {
        self.began
    }

    pub fn end(&mut self, now: Moment, result: ProbeResult, health: Health, pace: &Pace, rules: &Rules, rng: &mut Rng) {
        let side = match health {
            Health::Unproven | Health::Up { .. } => Side::Up,
            Health::Suspect { .. } => Side::Suspect,
            Health::Down(_) => Side::Down,
            Health::Probation { .. } => Side::Probation,
        };
        let is_against = match (side, result) {
            (Side::Up | Side::Suspect, ProbeResult::Failed(_)) | (Side::Down, ProbeResult::Passed) => true,
            (Side::Up | Side::Suspect, ProbeResult::Passed | ProbeResult::Void(_))
            | (Side::Down, ProbeResult::Failed(_) | ProbeResult::Void(_))
            | (Side::Probation, _) => false,
        };
        let before = if std::mem::replace(&mut self.side, side) == side { self.against } else { 0 };
        self.against = if is_against { before + 1 } else { 0 };
        let needed = if side == Side::Down { rules.rise } else { rules.fall };
        let near = (is_against && self.against < needed) || side == Side::Suspect;
        let soon = now.after(pace.fast.min(pace.interval));
        let usual = match self.ended {
            None => self.began.after(rng.between(pace.fast, pace.interval)),
            Some(_) => self.began.after(pace.interval.mul_f64(0.9 + 0.2 * rng.unit())),
        };
        let due = if near || self.hurried == Hurried::Yes { soon } else { usual.max(now) };
        self.due = Some(due);
        self.ended = Some(now);
        self.hurried = Hurried::No;
    }

    /// Somebody waits for a verdict. `true`: it is due at another time now.
    pub fn hurry(&mut self, now: Moment, fast: Duration) -> bool {
        let earliest = self.ended.map_or(now, |ended| ended.after(fast).max(now));
        match &mut self.due {
            Some(due) if *due > earliest => {
                *due = earliest;
                true
            }
            Some(_) => false,
            None => {
                self.hurried = Hurried::Yes;
                false
            }
        }
    }
}
