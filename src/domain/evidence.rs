//! What was seen of an endpoint, as the core counts it: probes and tallies, and the kinds of failure among them.
//!
//! Not here: what can go wrong in one attempt in full (`upstream::Failure`), how counts add up to a verdict (`score`).

use super::units::{Class, EndpointId, Fingerprint, Moment, PerClass};
use std::time::Duration;

/// Why a request failed at an endpoint, as tallies count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The endpoint's host answered the connect with a refusal: nobody listens. No check can lie about that.
    Refused,
    /// No connection came about for another reason: timed out, unreachable.
    Connect,
    /// No TLS: another certificate than is believed, or no agreement.
    Tls,
    /// The connection closed before the response head was whole.
    Reset,
    /// No head in time.
    Timeout,
    /// A failing status: 500, 502, 503, 504.
    Status,
    /// The body ended before its end.
    Cut,
    /// What came back is not HTTP, or is past a limit of ours.
    Malformed,
}

impl FailureKind {
    /// Every kind, in the order in which [`FailureCounts`] holds them.
    pub const ALL: [FailureKind; 8] = [
        FailureKind::Refused,
        FailureKind::Connect,
        FailureKind::Tls,
        FailureKind::Reset,
        FailureKind::Timeout,
        FailureKind::Status,
        FailureKind::Cut,
        FailureKind::Malformed,
    ];

    /// The word for it in metrics, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            FailureKind::Refused => "refused",
            FailureKind::Connect => "connect",
            FailureKind::Tls => "tls",
            FailureKind::Reset => "reset",
            FailureKind::Timeout => "timeout",
            FailureKind::Status => "status",
            FailureKind::Cut => "cut",
            FailureKind::Malformed => "malformed",
        }
    }
}

impl FailureKind {
    /// Whether somebody was there, if only to fail.
    pub const fn is_an_answer(self) -> bool {
        match self {
            FailureKind::Refused
            | FailureKind::Tls
            | FailureKind::Status
            | FailureKind::Cut
            | FailureKind::Malformed => true,
            FailureKind::Connect | FailureKind::Reset | FailureKind::Timeout => false,
        }
    }
}

/// How many requests failed, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureCounts([u32; FailureKind::ALL.len()]);

impl FailureCounts {
    /// Counts `count` more failures of `kind`.
    pub fn add(&mut self, kind: FailureKind, count: u32) {
        self.0[kind as usize] = self.0[kind as usize].saturating_add(count);
    }

    /// How many of that kind.
    pub fn of(&self, kind: FailureKind) -> u32 {
        self.0[kind as usize]
    }

    /// The kinds that occurred, with how many of each.
    pub fn occurred(&self) -> impl Iterator<Item = (FailureKind, u32)> {
        FailureKind::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }

    /// How many of all kinds.
    pub fn total(&self) -> u32 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// What the workers' real traffic did at one endpoint since the supervisor last read its tally, and how things stand there now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TallyDelta {
    /// Requests answered well.
    pub good: PerClass<u32>,
    /// Requests that failed, in the order in which they became evidence.
    pub failed: Vec<FailedRequest>,
    /// With `good > 0` in that class: how many of the class's last failures certainly came after the last good answer of any
    /// worker. With `good == 0` all did, and this is how many of `failed` are of that class.
    pub trailing: PerClass<u32>,
    /// Who was answered well there lately. Looked at only when something failed.
    pub answered: PerClass<Variety>,
    /// Sent and without a head now; `None`: nothing is.
    pub pending: Option<Pending>,
    /// When a response head last came from there (to any request), if ever.
    pub last_head: Option<Moment>,
    /// How long the heads of the good answers took.
    pub heads: HeadTimes,
    /// Lost hedges of which it is not known yet whether the endpoint would have answered, now.
    pub open_hedges: u32,
    /// Unsafe requests begun there and not ended, now; upgrades are not counted.
    pub writes_running: u32,
}

impl TallyDelta {
    /// How many requests ended.
    pub fn requests(&self) -> u32 {
        let good = self.good[Class::Safe].saturating_add(self.good[Class::Unsafe]);
        good.saturating_add(u32::try_from(self.failed.len()).unwrap_or(u32::MAX))
    }
}

/// One request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    pub kind: FailureKind,
    pub class: Class,
    pub weight: Weight,
    pub client: Fingerprint,
    /// Of site and path, without query.
    pub path: Fingerprint,
    pub elsewhere: Elsewhere,
}

/// How much a failure counts before it is asked whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Full,
    /// A client went away that had waited long for a head.
    Half,
}

/// What became of a failed request at another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// 2xx or 3xx: the failure is the endpoint's own.
    Well,
    /// A failing status from there too: perhaps the request's fault.
    FailingStatus(EndpointId),
    /// Nobody else was tried, or that says nothing: refused, timed out, cut, 4xx there.
    Unknown,
}

/// Who was answered well, of one class: the two answered last that differ, of clients and of paths; those of the last minute
/// count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variety {
    pub clients: [Option<(Fingerprint, Moment)>; 2],
    pub paths: [Option<(Fingerprint, Moment)>; 2],
}

/// Requests sent to an endpoint that have no response head yet; bodies, streams and upgrades are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub count: u32,
    /// When the oldest was sent.
    pub oldest: Moment,
    pub from: Askers,
}

/// Whether requests are of more than one (client, path).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Askers {
    One,
    Several,
}

/// How many heads took how long: counts by upper bound [`HeadTimes::BOUNDS`], then of what is past every bound; and after them all
/// together, so that it is added up with them in one go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadTimes([u32; HeadTimes::COUNTS + 1]);

impl HeadTimes {
    /// In microseconds; those of the exposed histogram of heads.
    pub const BOUNDS: [u64; 14] = [
        1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
        10_000_000, 60_000_000,
    ];
    const COUNTS: usize = HeadTimes::BOUNDS.len() + 1;

    /// Counts `count` heads that took `took`.
    pub fn add(&mut self, took: Duration, count: u32) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = HeadTimes::BOUNDS.partition_point(|bound| *bound < micros);
        self.count(at, count);
    }

    /// Counts what was counted by the same bounds, in their order.
    pub fn add_counts(&mut self, counts: impl IntoIterator<Item = u32>) {
        (0..HeadTimes::COUNTS).zip(counts).for_each(|(at, count)| self.count(at, count));
    }

    fn count(&mut self, at: usize, count: u32) {
        for at in [at, HeadTimes::COUNTS] {
            self.0[at] = self.0[at].saturating_add(count);
        }
    }

    /// By bound, and past every bound.
    pub fn by_bound(&self) -> &[u32] {
        &self.0[..HeadTimes::COUNTS]
    }

    /// All of them.
    pub const fn total(&self) -> u32 {
        self.0[HeadTimes::COUNTS]
    }

    /// Both together. Wraps at 2^32, which keeps it to a few vector additions.
    pub(super) fn wrapping_add(&mut self, more: &HeadTimes) {
        self.0.iter_mut().zip(&more.0).for_each(|(sum, count)| *sum = sum.wrapping_add(*count));
    }
}

/// One probe that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    pub result: ProbeResult,
    /// When it was begun.
    pub began: Moment,
    /// Real requests begun there after this probe and answered well by now.
    pub answered_meanwhile: u32,
    pub lag: Lag,
}

/// What a probe's answer said of how far its pool is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// Nothing: no header is asked for, it was not there, or it was no number of seconds.
    Unknown,
    Behind(Duration),
}

/// The result of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    Passed,
    Failed(ProbeFailure),
    /// It proves nothing of the endpoint: this process was ill while it ran.
    Void(Illness),
}

/// What was wrong with this process, so that its probes are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Illness {
    /// The supervisor was late by more than the probe's timeout.
    Late,
    /// Out of descriptors, local ports or memory.
    Short,
    /// The clock jumped.
    ClockJumped,
}

impl Illness {
    /// The word for it in metrics, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Illness::Late => "late",
            Illness::Short => "short",
            Illness::ClockJumped => "clock_jumped",
        }
    }
}

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFailure {
    /// The connect was refused.
    Refused,
    /// No connection for another reason.
    Connect,
    /// Connected, and no answer within the probe's timeout.
    Timeout,
    /// The connection closed before an answer.
    Reset,
    /// TLS did not come about: no handshake, or a certificate that is not to be trusted.
    Tls,
    /// Answered with a status that is not expected.
    Status(u16),
    /// Answered without the text that is expected.
    Text,
    /// gRPC health: answered, and not SERVING.
    NotServing,
    /// What came back is not the probe's protocol.
    Malformed,
}

/// What a failed probe heard from its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing at all.
    Silence,
    /// Somebody is there, who says no.
    Refusal,
    /// A bad answer. It always counts: operators drain that way.
    BadAnswer,
}

impl ProbeFailure {
    /// The word for it in metrics, status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            ProbeFailure::Refused => "refused",
            ProbeFailure::Connect => "connect",
            ProbeFailure::Timeout => "timeout",
            ProbeFailure::Reset => "reset",
            ProbeFailure::Tls => "tls",
            ProbeFailure::Status(_) => "status",
            ProbeFailure::Text => "text",
            ProbeFailure::NotServing => "not_serving",
            ProbeFailure::Malformed => "malformed",
        }
    }

    pub const fn heard(self) -> Heard {
        match self {
            ProbeFailure::Connect | ProbeFailure::Timeout | ProbeFailure::Reset => Heard::Silence,
            ProbeFailure::Refused => Heard::Refusal,
            ProbeFailure::Tls
            | ProbeFailure::Status(_)
            | ProbeFailure::Text
            | ProbeFailure::NotServing
            | ProbeFailure::Malformed => Heard::BadAnswer,
        }
    }
}
