//! One simulated request: its attempts, what became of it, and what of that is evidence yet.

use hotspare::domain::*;
use std::time::Duration;

/// How long a failed attempt waits for what the same request meets elsewhere.
pub const PAIRED_WITHIN: Duration = Duration::from_millis(250);
/// When a client goes away.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long an unsafe request that has not begun waits for a pool.
pub const WRITE_WAIT: Duration = Duration::from_secs(2);
/// How long who wrote is not moved by a ramp.
pub const OWN_WRITES: Duration = Duration::from_secs(10);
pub const ATTEMPTS: usize = 3;

#[derive(Clone, Debug)]
pub struct Request {
    pub number: u64,
    pub class: Class,
    pub client: usize,
    pub path: usize,
    pub luck: Luck,
    pub began: Moment,
    pub attempts: Vec<Attempt>,
    pub fate: Fate,
    /// Whether its failures so far are told as they are once they have waited.
    pub pairing: bool,
}

/// What will happen to a request although nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    None,
    /// Its first attempt gets a failing status.
    Bad,
    /// It runs on for so long.
    Long(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Served,
    Failed,
    /// Got the read-only page.
    Refused,
}

#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub at: usize,
    pub sent: Moment,
    pub stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Sent, and no head yet.
    Waits,
    /// Being connected.
    Connects,
    /// Answered elsewhere first; would this one have been answered?
    Lost,
    /// An unsafe request that runs although others begin elsewhere.
    Left,
    Well,
    Failed {
        kind: FailureKind,
        weight: Weight,
        told: bool,
    },
    /// Nothing came of it, and nothing is to be told.
    Over,
}

impl Stands {
    pub fn runs(self) -> bool {
        match self {
            Stands::Waits | Stands::Connects | Stands::Lost | Stands::Left => true,
            Stands::Well | Stands::Failed { .. } | Stands::Over => false,
        }
    }
}

impl Request {
    pub fn runs(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.stands.runs())
    }

    /// Whether failures are still untold.
    pub fn has_untold(&self) -> bool {
        self.attempts.iter().any(|attempt| matches!(attempt.stands, Stands::Failed { told: false, .. }))
    }

    /// What the request met at another endpoint than the one of that attempt.
    pub fn elsewhere(&self, attempt: usize, id: impl Fn(usize) -> Option<EndpointId>) -> Elsewhere {
        let at = self.attempts[attempt].at;
        let others = || self.attempts.iter().filter(|other| other.at != at);
        if others().any(|other| other.stands == Stands::Well) {
            return Elsewhere::Well;
        }
        let failing = |other: &&Attempt| matches!(other.stands, Stands::Failed { kind: FailureKind::Status, .. });
        others().find(failing).and_then(|other| id(other.at)).map_or(Elsewhere::Unknown, Elsewhere::FailingStatus)
    }

    pub fn fingerprints(&self) -> (Fingerprint, Fingerprint) {
        (client_print(self.client), path_print(self.path))
    }
}

pub fn client_print(client: usize) -> Fingerprint {
    Fingerprint(1_000 + u64::try_from(client).unwrap())
}

pub fn path_print(path: usize) -> Fingerprint {
    Fingerprint(1_000_000 + u64::try_from(path).unwrap())
}
