//! Grey failures: whose fault it was, who was answered, what comes back, and whether it is us.

use super::bench::*;
use hotspare::domain::*;
use std::time::Duration;

const A: At = (0, 0);
const B: At = (1, 0);

fn two() -> Bench {
    let mut bench = Bench::new(rules(), &[1, 1]);
    bench.probe(A, PASSED);
    bench.probe(B, PASSED);
    bench.causes();
    bench
}

/// Reads that failed by a status here; each at another page, from another client.
fn met(elsewhere: Elsewhere, count: u32) -> TallyDelta {
    let mut delta = tally(0, count, FailureKind::Status);
    delta.failed.iter_mut().for_each(|failure| failure.elsewhere = elsewhere);
    delta
}

#[test]
fn pages_that_fail_at_both_pools_move_nobody() {
    let mut bench = two();
    for n in 0..200 {
        bench.wait(Duration::from_millis(50));
        for (here, there) in [(A, B), (B, A)] {
            let other = bench.id(there);
            bench.tally(here, tally(5, 0, FailureKind::Status));
            bench.tally(here, met(Elsewhere::FailingStatus(other), 3));
        }
        assert_eq!(bench.serving(), 0, "round {n}");
    }
    assert!(bench.all().into_iter().all(|at| bench.health(at).counts_as_up()));
}

#[test]
fn a_shared_page_is_no_excuse_for_another() {
    let mut bench = two();
    let other = bench.id(B);
    bench.tally(A, met(Elsewhere::FailingStatus(other), 1));
    assert_eq!(bench.model.scores(bench.id(A)), None);
    bench.tally(A, met(Elsewhere::Unknown, 1)); // the same page: covered for ten seconds
    assert_eq!(bench.model.scores(bench.id(A)), None);
    bench.tally(A, met(Elsewhere::Well, 1));
    assert!(bench.model.scores(bench.id(A)).is_some(), "blamed is blamed");
    let mut bench = two();
    bench.tally(A, met(Elsewhere::FailingStatus(other), 1));
    bench.wait_secs(11);
    bench.tally(A, met(Elsewhere::Unknown, 1));
    assert!(bench.model.scores(bench.id(A)).is_some(), "a finding stands for ten seconds");
}

#[test]
fn a_witness_that_is_down_or_has_answered_nobody_lately_excuses_nothing() {
    let mut bench = two();
    let other = bench.id(B);
    bench.wait_secs(11);
    bench.tally(A, met(Elsewhere::FailingStatus(other), 2));
    assert!(bench.model.scores(bench.id(A)).is_some());
}

#[test]
fn a_data_centre_that_answers_nobody_is_left_after_a_silence_and_its_confirmation() {
    let mut bench = two();
    bench.wait_secs(1);
    let pending = Some(Pending { count: 6, oldest: bench.now, from: Askers::Several });
    bench.probe(B, PASSED);
    bench.answering(A, SILENT);
    bench.tally(A, TallyDelta { pending, ..TallyDelta::default() });
    bench.wait(Duration::from_millis(999));
    assert_eq!(bench.causes(), []);
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.causes(), [Cause::Stalled]);
    assert_eq!(bench.serving(), 0, "a suspicion leaves the serving pool alone");
    bench.wait(Duration::from_millis(500));
    assert_eq!(bench.causes(), [Cause::StallConfirmed, Cause::EndpointsChanged, Cause::PoolUnusable]);
}

#[test]
fn a_pause_that_ends_in_time_leaves_one_line_and_nothing_else() {
    let mut bench = two();
    let pending = Some(Pending { count: 6, oldest: bench.now, from: Askers::Several });
    bench.answering(A, SILENT);
    bench.tally(A, TallyDelta { pending, ..TallyDelta::default() });
    bench.wait(Duration::from_millis(1_200));
    bench.tally(A, TallyDelta { last_head: Some(bench.now), ..tally(6, 0, FailureKind::Status) });
    assert_eq!(bench.causes(), [Cause::Stalled, Cause::Cleared]);
    bench.wait_secs(60);
    assert_eq!((bench.serving(), bench.causes()), (0, vec![]));
}

#[test]
fn a_probe_that_hears_nothing_while_pages_are_answered_counts_for_nothing() {
    let mut bench = two();
    for _ in 0..20 {
        let report = ProbeReport { answered_meanwhile: 3, ..report(bench.now, SILENT) };
        bench.apply(Input::Probe { endpoint: bench.id(A), report });
    }
    assert_eq!(bench.causes(), []);
    bench.probes(A, FAILED, 3);
    assert_eq!(bench.serving(), 1, "a bad answer always counts: operators drain that way");
}

#[test]
fn when_nobody_answers_it_is_us_and_nothing_moves_until_somebody_does() {
    let mut bench = two();
    for _ in 0..10 {
        bench.probe(A, SILENT);
        bench.probe(B, SILENT);
        bench.wait_secs(1);
    }
    bench.tally(A, tally(0, 30, FailureKind::Timeout));
    assert_eq!(bench.model.snapshot().isolation, Isolation::Yes);
    assert_eq!(bench.causes(), []);
    bench.probe(B, PASSED);
    assert_eq!(bench.model.snapshot().isolation, Isolation::No);
    assert_eq!((bench.serving(), bench.causes()), (0, vec![]));
    bench.probes(A, SILENT, 3);
    assert_eq!(bench.serving(), 1, "what is seen afterwards counts");
}

#[test]
fn the_bad_answer_that_ends_an_isolation_counts_before_anybody_is_moved_to_who_gave_it() {
    let mut bench = Bench::new(Rules { fall: 1, ..rules() }, &[1, 1]);
    bench.probe(A, PASSED);
    bench.probe(B, PASSED);
    bench.wait_secs(1);
    bench.order(Command::Hold { scope: Scope::All });
    bench.probe(A, SILENT); // B is asked, and answers well
    bench.probe(B, SILENT);
    assert_eq!(bench.model.snapshot().isolation, Isolation::Yes);
    bench.order(Command::Release { scope: Scope::All });
    bench.probe(B, FAILED); // the bench refuses a move to a pool that is not usable
    assert_eq!(bench.model.snapshot().isolation, Isolation::No);
    assert_eq!((bench.serving(), bench.moves()), (0, vec![]));
}

#[test]
fn an_ejection_for_what_was_seen_while_we_were_cut_off_is_void() {
    let mut bench = two();
    bench.wait_secs(10);
    bench.answering(B, SILENT);
    let began = bench.now;
    bench.wait(Duration::from_millis(200));
    bench.tally(A, tally(0, 30, FailureKind::Timeout));
    assert_eq!(bench.health(A).name(), "down");
    bench.wait(Duration::from_millis(800));
    for at in [A, B] {
        let report = ProbeReport { began, ..report(bench.now, SILENT) };
        bench.apply(Input::Probe { endpoint: bench.id(at), report });
    }
    assert_eq!(bench.model.snapshot().isolation, Isolation::Yes);
    assert_eq!(bench.health(A).name(), "up");
    bench.probe(B, PASSED);
    bench.tally(A, tally(0, 30, FailureKind::Connect));
    assert_eq!((bench.serving(), bench.moves().len()), (0, 0), "begun while we were cut off");
    bench.wait_secs(2);
    bench.tally(A, tally(0, 30, FailureKind::Connect));
    assert_eq!(bench.serving(), 1);
}

#[test]
fn nobody_is_moved_to_a_pool_that_shows_no_sign_of_life() {
    let mut bench = two();
    bench.wait_secs(5);
    bench.answering(B, SILENT);
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    assert_eq!((bench.serving(), bench.snapshot().routing), (0, Routing::Panic));
    assert!(bench.told_by(Cause::NoSignOfLife).is_some());
    bench.probe(B, PASSED);
    assert_eq!((bench.serving(), bench.snapshot().routing), (1, Routing::Serving));
}

#[test]
fn void_probes_are_told_once_and_move_nothing() {
    let mut bench = two();
    for _ in 0..10 {
        bench.probe(A, ProbeResult::Void(Illness::Late));
    }
    bench.probe(A, PASSED);
    let told = bench.told.iter().filter(|told| matches!(told.change, Change::Probing { .. })).count();
    assert_eq!((told, bench.health(A)), (2, Health::Up { failures: 0 }));
}

#[test]
fn a_fault_that_comes_back_holds_the_failback_back() {
    let mut bench = two();
    for _ in 0..3 {
        bench.tally(A, tally(0, 5, FailureKind::Refused));
        bench.probes(A, PASSED, 2);
        if bench.serving() == 1 {
            bench.order(Command::Failback { backend: "sites".into() });
        }
    }
    assert_eq!(bench.snapshot().pools[0].endpoints[0].steadiness, Steadiness::Intermittent);
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    bench.probes(A, PASSED, 2);
    bench.wait_secs(8 * 60);
    assert_eq!(bench.snapshot().waiting, Some(Waiting::Intermittent { pool: PoolIndex(0) }));
    bench.wait_secs(30 * 60);
    assert_eq!(bench.serving(), 0);
}

#[test]
fn a_ramp_that_goes_badly_is_broken_off_and_counts_as_a_flap() {
    let mut bench = Bench::new(Rules { ramp: Duration::from_secs(30), ..rules() }, &[1, 1]);
    bench.probe(A, PASSED);
    bench.probe(B, PASSED);
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    bench.probes(A, PASSED, 2);
    bench.wait_secs(60);
    assert!(bench.snapshot().ramp.is_some());
    bench.tally(B, tally(300, 0, FailureKind::Status));
    bench.tally(A, TallyDelta { good: PerClass::new(97, 0), trailing: PerClass::default(), ..met(Elsewhere::Well, 3) });
    assert_eq!((bench.snapshot().ramp, bench.serving()), (None, 1));
    assert!(bench.told_by(Cause::RampFailures).is_some());
    let until = bench.now.after(Duration::from_secs(120));
    assert_eq!(bench.snapshot().waiting, Some(Waiting::HoldDown { pool: PoolIndex(0), until }));
}

#[test]
fn a_spare_that_is_behind_is_chosen_last_and_not_left_for_it() {
    let max_lag = Some(Duration::from_secs(30));
    let mut bench = Bench::new(Rules { max_lag, ..rules() }, &[1, 1, 1]);
    bench.probe(A, PASSED);
    bench.lag(B, Duration::from_secs(31));
    bench.lag((2, 0), Duration::from_secs(1));
    assert_eq!(bench.snapshot().pools[1].lagging, Lagging::Stale);
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    bench.lag((2, 0), Duration::from_secs(1));
    assert_eq!(bench.serving(), 2);
    bench.lag((2, 0), Duration::from_secs(300));
    assert_eq!(bench.serving(), 2);
}

#[test]
fn a_spare_that_does_not_say_how_far_it_is_behind_is_stale_after_three_probes_and_the_primary_is_not() {
    let mut bench = Bench::new(Rules { max_lag: Some(Duration::from_secs(30)), ..rules() }, &[1, 1]);
    for at in [A, B] {
        bench.probes(at, PASSED, 2);
    }
    assert_eq!(bench.snapshot().pools[1].lagging, Lagging::Fresh);
    bench.probes(A, PASSED, 5);
    bench.probe(B, PASSED);
    let lagging: Vec<_> = bench.snapshot().pools.iter().map(|pool| pool.lagging).collect();
    assert_eq!(lagging, [Lagging::Fresh, Lagging::Stale]);
}
