//! What was seen of an endpoint, as the core counts it: probes and tallies, and the kinds of failure among them.
//!
//! Not here: what can go wrong in one attempt in full (`upstream::Failure`), how counts add up to a verdict (`score`).

use std::time::Duration;

/// Why a request failed at an endpoint, as tallies count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The endpoint's host answered the connect with a refusal: nobody listens. No check can lie about that.
    Refused,
    /// No connection came about for another reason: timed out, unreachable.
    Connect,
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
    pub const ALL: [FailureKind; 7] = [
        FailureKind::Refused,
        FailureKind::Connect,
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
            FailureKind::Reset => "reset",
            FailureKind::Timeout => "timeout",
            FailureKind::Status => "status",
            FailureKind::Cut => "cut",
            FailureKind::Malformed => "malformed",
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

    /// How many of all kinds.
    pub fn total(&self) -> u32 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// What the workers' real traffic did at one endpoint since the supervisor last read its tally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TallyDelta {
    /// Requests answered well.
    pub good: u32,
    /// Requests that failed.
    pub failed: FailureCounts,
    /// With `good > 0`: how many of the failures certainly came after the last good answer of any worker.
    /// With `good == 0` all did, and this equals `failed.total()`.
    pub trailing: u32,
}

/// The result of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    Passed,
    Failed(ProbeFailure),
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
    /// The TLS handshake failed: an alert, a certificate that is not trusted or is another name's.
    Tls,
    /// Answered with a status that is not expected.
    Status(u16),
    /// Answered without the text that is expected.
    Text,
    /// Answered that the service does not serve, or is not known there.
    NotServing,
    /// What came back is not HTTP.
    Malformed,
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
}

/// How far an endpoint said that its pool is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// It did not say, or nothing that can be read.
    Unknown,
    Behind(Duration),
}
