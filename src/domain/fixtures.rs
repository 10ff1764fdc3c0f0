//! What the core's unit tests are made of. Compiled for tests only.

use super::evidence::{Elsewhere, FailedRequest, FailureKind, TallyDelta, Weight};
use super::setup::Rules;
use super::units::{Class, Fingerprint, Moment, PerClass};
use std::time::Duration;

/// The defaults.
pub(super) fn rules() -> Rules {
    Rules::default()
}

pub(super) fn secs(secs: u64) -> Moment {
    Moment::at(Duration::from_secs(secs))
}

/// One failed read of one visitor.
pub(super) fn failure(kind: FailureKind) -> FailedRequest {
    let (client, path) = (Fingerprint(1), Fingerprint(2));
    FailedRequest { kind, class: Class::Safe, weight: Weight::Full, client, path, elsewhere: Elsewhere::Unknown }
}

fn failed(kind: FailureKind, count: u32) -> TallyDelta {
    let failed = vec![failure(kind); usize::try_from(count).unwrap()];
    TallyDelta { failed, trailing: PerClass::new(count, 0), ..TallyDelta::default() }
}

/// That many failing statuses in a row.
pub(super) fn failing(count: u32) -> TallyDelta {
    failed(FailureKind::Status, count)
}

/// That many refused connects in a row.
pub(super) fn refused(count: u32) -> TallyDelta {
    failed(FailureKind::Refused, count)
}

/// That many good answers.
pub(super) fn answered(good: u32) -> TallyDelta {
    TallyDelta { good: PerClass::new(good, 0), ..TallyDelta::default() }
}
