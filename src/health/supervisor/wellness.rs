//! Is it us? Whether this process was well enough while a probe ran for its silence to mean anything.
//!
//! A probe that heard nothing is void if the supervisor, meanwhile, came to its work later than the probe's whole timeout, or
//! if the wall clock jumped away from the one that nobody sets: the machine slept, or was paused. An answer is an answer,
//! however late it is read.
//!
//! Not here: a want of descriptors or ports (`prober` says so itself), what void probes are told as (`domain`).

use crate::domain::{Heard, Illness, Moment, ProbeResult};
use std::time::{Duration, SystemTime};

/// Clocks drift and are corrected; a machine that slept is off by more.
const JUMP: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Wellness {
    /// The newest time that the supervisor was late, and by how much.
    late: Option<(Moment, Duration)>,
    /// When the wall clock last jumped.
    jumped: Option<Moment>,
    /// Both clocks at the last look.
    seen: (Moment, SystemTime),
}

impl Wellness {
    pub(super) fn new(now: Moment, wall: SystemTime) -> Wellness {
        Wellness { late: None, jumped: None, seen: (now, wall) }
    }

    /// Once a turn: it is `now`, and the supervisor had meant to be awake at `planned`.
    pub(super) fn look(&mut self, now: Moment, wall: SystemTime, planned: Moment) {
        let behind = now.since(planned);
        // The worst of what a probe that still runs may have seen; what is older has been judged.
        if behind >= self.late.map_or(Duration::ZERO, |(at, by)| if now.since(at) < by { by } else { Duration::ZERO }) {
            self.late = Some((now, behind));
        }
        let (moment, before) = std::mem::replace(&mut self.seen, (now, wall));
        let passed = now.since(moment);
        let by_wall = wall.duration_since(before).unwrap_or_default();
        if by_wall > passed + JUMP {
            self.jumped = Some(now);
        }
    }

    /// What a probe that began then comes to.
    pub(super) fn judge(&self, began: Moment, timeout: Duration, result: ProbeResult) -> ProbeResult {
        let ProbeResult::Failed(how) = result else { return result };
        if how.heard() != Heard::Silence {
            return result;
        }
        if self.late.is_some_and(|(at, by)| at >= began && by > timeout) {
            ProbeResult::Void(Illness::Late)
        } else if self.jumped.is_some_and(|at| at >= began) {
            ProbeResult::Void(Illness::ClockJumped)
        } else {
            result
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProbeFailure;

    const SILENT: ProbeResult = ProbeResult::Failed(ProbeFailure::Timeout);
    const SECOND: Duration = Duration::from_secs(1);

    fn secs(secs: u64) -> Moment {
        Moment::at(Duration::from_secs(secs))
    }

    fn wall(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + secs)
    }

    #[test]
    fn a_silence_during_which_we_slept_proves_nothing() {
        let mut wellness = Wellness::new(secs(10), wall(10));
        wellness.look(secs(13), wall(13), secs(11));
        assert_eq!(wellness.judge(secs(10), SECOND, SILENT), ProbeResult::Void(Illness::Late));
        assert_eq!(wellness.judge(secs(10), 3 * SECOND, SILENT), SILENT, "not later than its timeout");
        assert_eq!(wellness.judge(secs(14), SECOND, SILENT), SILENT, "begun afterwards");
        for heard in [ProbeFailure::Refused, ProbeFailure::Status(500)].map(ProbeResult::Failed) {
            assert_eq!(wellness.judge(secs(10), SECOND, heard), heard, "an answer is an answer");
        }
    }

    #[test]
    fn a_turn_in_time_does_not_make_up_for_one_that_was_late() {
        let mut wellness = Wellness::new(secs(10), wall(10));
        wellness.look(secs(13), wall(13), secs(11));
        wellness.look(secs(13), wall(13), secs(13));
        assert_eq!(wellness.judge(secs(10), SECOND, SILENT), ProbeResult::Void(Illness::Late));
    }

    #[test]
    fn a_wall_clock_that_runs_ahead_of_ours_means_that_the_machine_slept() {
        let mut wellness = Wellness::new(secs(10), wall(10));
        wellness.look(secs(11), wall(600), secs(11));
        assert_eq!(wellness.judge(secs(10), SECOND, SILENT), ProbeResult::Void(Illness::ClockJumped));
        assert_eq!(wellness.judge(secs(12), SECOND, SILENT), SILENT);
        let mut corrected = Wellness::new(secs(10), wall(10));
        corrected.look(secs(11), wall(12), secs(11));
        assert_eq!(corrected.judge(secs(10), SECOND, SILENT), SILENT);
    }
}
