//! The hold-down and its probes.

use super::super::evidence::ProbeFailure;
use super::super::fixtures::rules;
use super::*;

fn well(passed: u32, missed: u32) -> bool {
    let mut record = Record { well: Some(Well { since: Moment::ZERO, passed: 0, missed: 0 }), ..Record::default() };
    (0..passed).for_each(|_| record.note_probe(ProbeResult::Passed));
    (0..missed).for_each(|_| record.note_probe(ProbeResult::Failed(ProbeFailure::Timeout)));
    record.probes_agree()
}

#[test]
fn two_misses_are_forgiven_and_each_more_wants_ninety_nine_percent() {
    assert_eq!([well(0, 0), well(0, 2), well(296, 3), well(297, 3)], [true, true, false, true]);
}

#[test]
fn the_hold_down_doubles_with_each_failover_up_to_an_hour() {
    let held = |failovers| Record { failovers, ..Record::default() }.hold_down(&rules()).as_secs();
    assert_eq!([0, 1, 2, 3, 6, 7, 40].map(held), [60, 60, 120, 240, 1_920, 3_600, 3_600]);
}

#[test]
fn a_pool_that_failed_writes_is_waited_for_five_minutes_at_least() {
    let held = |failovers| Record { failovers, writes_failed: true, ..Record::default() }.hold_down(&rules()).as_secs();
    assert_eq!([1, 2, 3].map(held), [300, 600, 1_200]);
}

#[test]
fn failovers_are_forgotten_after_a_whole_hour_of_serving() {
    let mut record = Record { failovers: 4, ..Record::default() };
    record.note_failover(false);
    assert_eq!(record.failovers, 5);
    record.note_failover(true);
    assert_eq!(record.failovers, 1);
}
