//! Paired evidence: how much a failure weighs, by what the same request met elsewhere.
//!
//! *Blamed* (answered well elsewhere): in full. *Shared* (a failing status from an endpoint elsewhere that is well otherwise):
//! nothing, and so is every failing status of that site and path for a while, wherever it comes from. *Unpaired* otherwise:
//! in full, unless it is a failing status that a shared finding covers. So one page that always answers 500 at both places
//! takes no data centre down, and one disk that fails one read in three does.
//!
//! Not here: whether the witness is well (`backend` knows), what weights add up to (`score`).

use super::evidence::{Elsewhere, FailedRequest, FailureKind, Weight};
use super::score::Weighed;
use super::units::{Fingerprint, Moment};
use std::time::Duration;

/// How long a shared finding stands, and how new a witness's own good answer must be.
pub(super) const FINDING: Duration = Duration::from_secs(10);
/// Findings kept: a site with more broken pages at once than this is broken.
const KEPT: usize = 64;

/// Whether the endpoint that gave a failing status elsewhere can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// Up, in a pool that may serve, and answered others (or a probe) well lately.
    Good,
    Bad,
}

/// The shared findings of one backend.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Vec<(Fingerprint, Moment)>);

impl Findings {
    /// Weighs a failure, and remembers what it shows. `witness` is asked about the endpoint elsewhere.
    pub(super) fn weigh(
        &mut self,
        now: Moment,
        request: FailedRequest,
        witness: impl FnOnce(super::EndpointId) -> Witness,
    ) -> Weighed {
        let full = match request.weight {
            Weight::Full => 2,
            Weight::Half => 1,
        };
        let halves = match (request.kind, request.elsewhere) {
            (FailureKind::Status, Elsewhere::FailingStatus(other)) if witness(other) == Witness::Good => {
                self.remember(now, request.path);
                0
            }
            (FailureKind::Status, Elsewhere::FailingStatus(_) | Elsewhere::Unknown)
                if self.cover(now, request.path) =>
            {
                0
            }
            (
                FailureKind::Refused
                | FailureKind::Connect
                | FailureKind::Tls
                | FailureKind::Reset
                | FailureKind::Timeout
                | FailureKind::Status
                | FailureKind::Cut
                | FailureKind::Malformed,
                Elsewhere::Well | Elsewhere::FailingStatus(_) | Elsewhere::Unknown,
            ) => full,
        };
        Weighed { request, halves }
    }

    fn cover(&self, now: Moment, path: Fingerprint) -> bool {
        self.0.iter().any(|(known, until)| *known == path && now < *until)
    }

    fn remember(&mut self, now: Moment, path: Fingerprint) {
        self.0.retain(|(known, until)| *known != path && now < *until);
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push((path, now.after(FINDING)));
    }
}
