//! The one-way door: where writes go, and what happens to what a spare took.

use super::bench::*;
use hotspare::domain::*;
use std::time::Duration;

const A: At = (0, 0);
const B: At = (1, 0);
const TO_A: Writes = Writes::To(PoolIndex(0));
const TO_B: Writes = Writes::To(PoolIndex(1));

/// One endpoint in each of two pools that do not share their data, both proven.
fn apart(after_writes: AfterWrites) -> Bench {
    let mut bench = Bench::new(Rules { after_writes, ramp: Duration::from_secs(30), ..rules() }, &[1, 1]);
    bench.probe(A, PASSED);
    bench.probe(B, PASSED);
    bench
}

/// The primary dies, and writes go to the spare.
fn failed_over(after_writes: AfterWrites) -> Bench {
    let mut bench = apart(after_writes);
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    assert_eq!((bench.serving(), bench.snapshot().writes), (1, TO_B));
    bench
}

fn diverged(bench: &Bench) -> bool {
    bench.snapshot().pools[1].diverged == Diverged::Yes
}

#[test]
fn as_soon_as_a_spare_may_take_writes_it_has_diverged() {
    assert!(!diverged(&apart(AfterWrites::Manual)));
    assert!(diverged(&failed_over(AfterWrites::Manual)));
    assert!(!diverged(&failed_over(AfterWrites::Auto)), "pools that share their data never diverge");
}

#[test]
fn a_diverged_spare_is_left_by_command_alone_and_says_so() {
    let mut bench = failed_over(AfterWrites::Manual);
    bench.probes(A, PASSED, 2);
    bench.wait_secs(3_600);
    let waits = Waiting::AfterWrites { pool: PoolIndex(0), rule: AfterWrites::Manual };
    assert_eq!((bench.serving(), bench.snapshot().waiting), (1, Some(waits)));
    bench.order(Command::Failback { backend: "sites".into() });
    assert_eq!(bench.snapshot().writes, Writes::Refused(ReadOnly::FailingBack));
    bench.wait_secs(30 + 1);
    assert_eq!((bench.serving(), bench.snapshot().writes), (0, TO_A));
    assert!(!diverged(&bench));
}

#[test]
fn a_failback_in_sync_is_read_only_from_its_first_step_until_the_lag_is_zero() {
    let second = Duration::from_secs(1);
    let mut bench = failed_over(AfterWrites::InSync);
    bench.probes(A, PASSED, 2);
    bench.wait_secs(70);
    bench.tally(B, writes(3, 0, FailureKind::Status));
    bench.lag(A, 5 * second);
    let waits = Waiting::AfterWrites { pool: PoolIndex(0), rule: AfterWrites::InSync };
    assert_eq!(bench.snapshot().waiting, Some(waits), "5 s behind");
    bench.wait_secs(1);
    bench.lag(A, second);
    assert_eq!(bench.snapshot().writes, Writes::Refused(ReadOnly::FailingBack));
    assert_eq!(bench.snapshot().ramp.map(|ramp| ramp.to), Some(PoolIndex(0)));
    bench.wait_secs(30);
    assert_eq!((bench.serving(), bench.snapshot().writes), (0, Writes::Refused(ReadOnly::CatchingUp)));
    bench.lag(A, Duration::ZERO);
    bench.wait_secs(2);
    assert_eq!(bench.snapshot().writes, TO_A);
}

#[test]
fn a_lag_told_before_the_last_write_is_not_in_sync() {
    let mut bench = failed_over(AfterWrites::InSync);
    bench.probes(A, PASSED, 2);
    bench.wait_secs(50);
    bench.lag(A, Duration::ZERO);
    bench.wait_secs(5);
    bench.tally(B, writes(1, 0, FailureKind::Status));
    bench.wait_secs(60);
    assert_eq!(bench.snapshot().ramp, None);
    bench.lag(A, Duration::ZERO);
    assert!(bench.snapshot().ramp.is_some());
}

#[test]
fn a_diverged_spare_that_dies_takes_its_writes_with_it_until_an_operator_says_so() {
    for command in [Command::Ack { backend: "sites".into() }, Command::Failback { backend: "sites".into() }] {
        let mut bench = failed_over(AfterWrites::Manual);
        bench.probes(A, PASSED, 2);
        bench.wait_secs(10);
        bench.tally(B, tally(0, 5, FailureKind::Refused));
        assert_eq!((bench.serving(), bench.snapshot().writes), (0, Writes::Refused(ReadOnly::UntilAck)));
        bench.wait_secs(3_600);
        assert_eq!(bench.snapshot().writes, Writes::Refused(ReadOnly::UntilAck));
        bench.order(command);
        assert_eq!(bench.snapshot().writes, TO_A);
        assert!(!diverged(&bench));
    }
}

#[test]
fn back_at_the_spare_that_took_them_its_writes_are_not_missed() {
    let mut bench = failed_over(AfterWrites::Manual);
    bench.probes(A, PASSED, 2);
    bench.wait_secs(10);
    bench.tally(B, tally(0, 5, FailureKind::Refused));
    bench.probes(B, PASSED, 2);
    bench.wait_secs(10);
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    assert_eq!((bench.serving(), bench.snapshot().writes), (1, TO_B));
}

#[test]
fn a_spare_takes_writes_only_once_the_outage_has_lasted() {
    let mut bench = apart(AfterWrites::Manual);
    let mut late = bench.setup.clone();
    late.backends[0].pools[1].writes = PoolWrites::After(Duration::from_secs(300));
    bench.apply(Input::Reconfigure(late));
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    let until = Moment::at(Duration::from_secs(300));
    assert_eq!(bench.snapshot().writes, Writes::Refused(ReadOnly::NotYet { until }));
    assert!(!diverged(&bench));
    assert_eq!(bench.model.next_deadline(), Some((until, Why::WritesAfterOver)));
    bench.wait_secs(300);
    assert_eq!(bench.snapshot().writes, TO_B);
    assert!(diverged(&bench));
}

#[test]
fn a_pool_that_refuses_writes_never_diverges() {
    let mut bench = apart(AfterWrites::Manual);
    let mut refuses = bench.setup.clone();
    refuses.backends[0].pools[1].writes = PoolWrites::Refuse;
    bench.apply(Input::Reconfigure(refuses));
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    assert_eq!(bench.snapshot().writes, Writes::Refused(ReadOnly::Pool));
    bench.probes(A, PASSED, 2);
    bench.wait_secs(60 + 30);
    bench.wait_secs(2);
    assert_eq!((bench.serving(), bench.snapshot().writes), (0, TO_A));
}

fn running(count: u32) -> TallyDelta {
    TallyDelta { writes_running: count, ..TallyDelta::default() }
}

#[test]
fn a_planned_move_waits_for_the_writes_that_run_and_leaves_them_when_its_time_is_over() {
    for ends in [true, false] {
        let mut bench = apart(AfterWrites::Manual);
        bench.tally(A, running(2));
        bench.order(Command::Failover { backend: "sites".into(), to: Some("p1".into()) });
        let until = Moment::at(Duration::from_secs(1));
        assert_eq!(bench.snapshot().writes, Writes::Pausing { to: PoolIndex(1), until });
        bench.wait(Duration::from_millis(500));
        bench.tally(A, running(u32::from(!ends)));
        if ends {
            assert_eq!(bench.snapshot().writes, TO_B);
        } else {
            bench.wait(Duration::from_millis(499));
            assert!(matches!(bench.snapshot().writes, Writes::Pausing { .. }));
            bench.wait(Duration::from_millis(1));
            assert_eq!(bench.snapshot().writes, TO_B);
            assert!(bench.told.iter().any(|told| matches!(told.change, Change::WritesLeft { count: 1, .. })));
        }
    }
}

#[test]
fn a_move_by_health_leaves_the_writes_that_run_at_once() {
    let mut bench = apart(AfterWrites::Manual);
    bench.tally(A, running(2));
    bench.tally(A, TallyDelta { writes_running: 2, ..tally(0, 5, FailureKind::Refused) });
    assert_eq!(bench.snapshot().writes, TO_B);
    assert!(bench.told.iter().any(|told| matches!(told.change, Change::WritesLeft { count: 2, .. })));
}

#[test]
fn only_writes_failing_is_enough_to_leave_and_the_way_back_takes_five_minutes() {
    let mut bench = apart(AfterWrites::Auto);
    for _ in 0..5 {
        bench.tally(A, TallyDelta { good: PerClass::new(40, 0), ..writes(0, 1, FailureKind::Reset) });
    }
    assert_eq!(bench.serving(), 1);
    bench.wait_secs(10);
    bench.probes(A, PASSED, 2);
    bench.tally(A, tally(5, 0, FailureKind::Status));
    assert_eq!(bench.health(A).name(), "up");
    let until = bench.now.after(Duration::from_secs(300));
    assert_eq!(bench.snapshot().waiting, Some(Waiting::HoldDown { pool: PoolIndex(0), until }));
}
