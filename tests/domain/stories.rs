//! What happens to a backend, told one rule at a time.

use super::bench::*;
use hotspare::domain::*;
use std::sync::Arc;
use std::time::Duration;

const A: At = (0, 0);
const B: At = (1, 0);

/// One endpoint in each of two pools, both proven.
fn two() -> Bench {
    let mut bench = Bench::new(rules(), &[1, 1]);
    bench.probe(A, PASSED);
    bench.probe(B, PASSED);
    bench.causes();
    bench
}

#[test]
fn at_the_start_everyone_counts_as_up_and_the_first_pool_serves() {
    let bench = Bench::new(rules(), &[2, 1]);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.serving, snapshot.routing, snapshot.waiting), (PoolIndex(0), Routing::Serving, None));
    assert!(bench.all().iter().all(|at| bench.health(*at) == Health::Unproven));
    assert_eq!(bench.model.next_deadline(), None);
}

#[test]
fn a_killed_primary_is_left_at_once_and_returned_to_after_the_hold_down() {
    let mut bench = two();
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    assert_eq!(bench.causes(), [Cause::Refused, Cause::EndpointsChanged, Cause::PoolUnusable]);
    assert_eq!(bench.snapshot().waiting, Some(Waiting::NotWell { pool: PoolIndex(0) }));
    bench.wait_secs(30);
    bench.probes(A, PASSED, 2);
    let until = Moment::at(Duration::from_secs(90));
    assert_eq!(bench.snapshot().waiting, Some(Waiting::HoldDown { pool: PoolIndex(0), until }));
    assert_eq!(bench.model.next_deadline(), Some((until, Why::HoldDownOver)));
    bench.causes();
    bench.wait_secs(60);
    let back = bench.moved().unwrap();
    assert_eq!((back.cause, back.at), (Cause::HoldDownOver, until));
    assert_eq!(back.evidence, Evidence::HeldDown { up_for: Duration::from_secs(60), needed: Duration::from_secs(60) });
    assert_eq!(bench.serving(), 0);
}

#[test]
fn a_pool_with_enough_endpoints_up_goes_on_serving() {
    let mut bench = Bench::new(rules(), &[4, 1]);
    bench.all().into_iter().for_each(|at| drop(bench.probe(at, PASSED)));
    bench.probes((0, 0), FAILED, 3);
    bench.probes((0, 1), FAILED, 3);
    assert_eq!((bench.serving(), bench.snapshot().pools[0].health), (0, PoolHealth::Degraded));
    bench.probes((0, 2), FAILED, 3);
    assert_eq!((bench.serving(), bench.snapshot().pools[0].health), (1, PoolHealth::Down));
    assert_eq!(bench.moved().unwrap().evidence, Evidence::Endpoints { up: 1, of: 4, needed: 2 });
}

#[test]
fn a_lag_is_shown_and_its_jitter_makes_no_new_picture() {
    let mut bench = two();
    let shown = |bench: &Bench| [0, 1].map(|pool| bench.snapshot().pools[pool].endpoints[0].lag);
    assert_eq!(shown(&bench), [None, None]);
    bench.lag(B, Duration::from_secs(5));
    assert_eq!(shown(&bench), [None, Some(Duration::from_secs(5))]);
    let before = bench.snapshot();
    bench.lag(B, Duration::from_millis(5_900));
    assert!(Arc::ptr_eq(&before, &bench.snapshot()));
    bench.lag(B, Duration::from_secs(6));
    assert_eq!(shown(&bench), [None, Some(Duration::from_secs(6))]);
    bench.probes(B, SILENT, 3);
    assert_eq!(shown(&bench), [None, None]);
}

#[test]
fn failover_prefers_a_pool_that_is_up_to_an_earlier_one_that_is_degraded() {
    let mut bench = Bench::new(rules(), &[1, 2, 1]);
    bench.all().into_iter().for_each(|at| drop(bench.probe(at, PASSED)));
    bench.probes((1, 0), FAILED, 3);
    bench.probes((0, 0), FAILED, 3);
    assert_eq!(bench.serving(), 2);
}

#[test]
fn an_ejected_endpoint_serves_its_time_then_proves_itself() {
    let mut bench = two();
    bench.fails(A, 5);
    assert_eq!(bench.causes(), [Cause::Consecutive, Cause::EndpointsChanged, Cause::PoolUnusable]);
    bench.wait_secs(1);
    bench.probes(A, PASSED, 9); // a check that lies
    let until = Moment::at(Duration::from_secs(10));
    assert_eq!(bench.model.next_deadline(), Some((until, Why::EjectionOver)));
    bench.wait_secs(9);
    assert_eq!(bench.causes(), [Cause::TermServed]);
    bench.probes(A, PASSED, 20);
    assert_eq!(bench.health(A).name(), "probation", "a check that has lied is not asked");
    bench.tally(A, tally(4, 0, FailureKind::Status));
    assert_eq!(bench.causes(), []);
    bench.tally(A, tally(1, 0, FailureKind::Status));
    assert_eq!(bench.causes(), [Cause::Proven, Cause::EndpointsChanged]);
    assert_eq!(bench.snapshot().pools[0].endpoints[0].warm_at, Some(Moment::at(Duration::from_secs(20))));
}

#[test]
fn the_last_endpoint_up_is_not_ejected_until_another_is_up_again() {
    let mut bench = two();
    bench.probes(B, FAILED, 3);
    bench.causes();
    bench.fails(A, 50);
    assert_eq!(bench.causes(), []);
    bench.probe(B, PASSED);
    assert_eq!(bench.causes(), []);
    bench.probe(B, PASSED);
    let told = [Cause::Rise, Cause::Consecutive, Cause::EndpointsChanged, Cause::EndpointsChanged, Cause::PoolUnusable];
    assert_eq!(bench.causes(), told);
}

#[test]
fn what_the_last_endpoint_up_has_lived_down_is_not_held_against_it() {
    let mut bench = two();
    bench.probes(B, FAILED, 3);
    bench.fails(A, 50);
    bench.tally(A, tally(94, 0, FailureKind::Status));
    bench.causes();
    bench.probes(B, PASSED, 2);
    assert_eq!(bench.causes(), [Cause::Rise, Cause::EndpointsChanged]);
}

#[test]
fn the_last_endpoint_up_is_taken_out_when_it_refuses() {
    let mut bench = two();
    bench.probes(B, FAILED, 3);
    bench.causes();
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    assert_eq!(bench.causes(), [Cause::Refused, Cause::EndpointsChanged, Cause::NoPoolUsable]);
    assert_eq!((bench.serving(), bench.snapshot().routing), (0, Routing::Panic));
}

#[test]
fn panic_ends_with_the_first_answer_from_anywhere() {
    for (at, serves) in [(A, 0), (B, 1)] {
        let mut bench = two();
        bench.probes(B, FAILED, 3);
        bench.probes(A, FAILED, 3);
        assert_eq!(bench.snapshot().routing, Routing::Panic);
        bench.tally(at, tally(1, 3, FailureKind::Timeout));
        assert_eq!((bench.snapshot().routing, bench.serving()), (Routing::Serving, serves));
        assert_eq!(bench.health(at), Health::Up { failures: 0 });
    }
}

#[test]
fn in_panic_a_check_that_lies_does_not_bring_a_bad_endpoint_back_over_and_over() {
    let mut bench = two();
    bench.fails(A, 5);
    bench.probes(B, FAILED, 3);
    assert_eq!(bench.snapshot().routing, Routing::Panic);
    bench.causes();
    bench.wait_secs(1);
    bench.probes(A, PASSED, 5);
    assert_eq!(bench.causes(), []);
    bench.tally(A, tally(1, 0, FailureKind::Status));
    let told = [Cause::AnsweredInPanic, Cause::EndpointsChanged, Cause::PoolUnusable, Cause::PoolUsable];
    assert_eq!(bench.causes(), told);
}

#[test]
fn checks_that_fail_everywhere_while_pages_are_fine_make_no_storm_of_changes() {
    let mut bench = two();
    for _ in 0..600 {
        bench.wait(Duration::from_millis(100));
        for at in [A, B] {
            bench.probe(at, FAILED);
        }
        bench.tally(A, tally(10, 0, FailureKind::Status));
    }
    let returns = bench.told.iter().filter(|told| told.cause == Cause::AnsweredInPanic).count();
    assert!((1..=6).contains(&returns), "{returns} in a minute");
}

#[test]
fn the_pool_just_left_is_not_returned_to_while_the_present_one_answers_some() {
    let mut bench = Bench::new(rules(), &[1, 3]);
    bench.all().into_iter().for_each(|at| drop(bench.probe(at, PASSED)));
    bench.probes(A, FAILED, 3);
    bench.wait_secs(1);
    bench.probes(A, PASSED, 2);
    bench.probes((1, 0), FAILED, 3);
    bench.causes();
    bench.probes((1, 1), FAILED, 3);
    assert_eq!(bench.causes(), [Cause::Fall, Cause::EndpointsChanged, Cause::NoPoolUsable]);
    let over = Moment::at(Duration::from_secs(5));
    assert_eq!(bench.model.next_deadline(), Some((over, Why::DwellOver)));
    bench.wait_secs(4);
    assert_eq!(bench.causes(), [Cause::PoolUnusable, Cause::PoolUsable]);
    assert_eq!((bench.serving(), bench.now), (0, over));
}

#[test]
fn the_pool_just_left_is_returned_to_at_once_when_the_present_one_answers_nobody() {
    let mut bench = two();
    bench.probes(A, FAILED, 3);
    bench.probes(A, PASSED, 2);
    bench.probes(B, FAILED, 3);
    assert_eq!(bench.moves(), ["p1 by pool_unusable", "p0 by pool_unusable"]);
}

#[test]
fn with_manual_failback_nothing_goes_back_by_itself_and_the_snapshot_says_when_it_may() {
    let mut bench = Bench::new(Rules { failback: Failback::Manual, ..rules() }, &[1, 1]);
    bench.probe(B, PASSED);
    bench.probes(A, FAILED, 1);
    bench.probes(A, PASSED, 2);
    bench.wait_secs(59);
    assert!(matches!(bench.snapshot().waiting, Some(Waiting::HoldDown { .. })));
    bench.wait_secs(3_600);
    assert_eq!(bench.snapshot().waiting, Some(Waiting::Manual { pool: PoolIndex(0) }));
    assert_eq!((bench.moves().len(), bench.model.next_deadline()), (1, None));
}

#[test]
fn missed_probes_extend_the_hold_down_without_restarting_it() {
    let mut bench = two();
    bench.probes(A, FAILED, 3);
    bench.probes(A, PASSED, 2);
    for _ in 0..3 {
        bench.wait_secs(10);
        bench.probes(A, FAILED, 1);
        bench.probes(A, PASSED, 1);
    }
    bench.wait_secs(3_600);
    assert_eq!(bench.serving(), 1);
    bench.probes(A, PASSED, 293);
    assert_eq!(bench.serving(), 1);
    bench.probes(A, PASSED, 1);
    assert_eq!(bench.serving(), 0);
}

#[test]
fn failback_waits_while_a_smaller_share_is_up_than_where_users_are() {
    let mut bench = Bench::new(rules(), &[2, 2]);
    bench.all().into_iter().for_each(|at| drop(bench.probe(at, PASSED)));
    bench.probes((0, 0), FAILED, 3);
    bench.probes((0, 1), FAILED, 3);
    bench.probes((0, 0), PASSED, 2);
    bench.wait_secs(3_600);
    assert_eq!(bench.serving(), 1);
    bench.probes((0, 1), PASSED, 2);
    bench.wait_secs(60);
    assert_eq!(bench.serving(), 0);
}

#[test]
fn reconfigured_endpoints_keep_their_health_and_new_ones_get_ids_never_used_before() {
    let mut bench = Bench::new(rules(), &[2, 1]);
    bench.probe((0, 0), FAILED);
    let kept = bench.id((0, 0));
    let gone = bench.id((0, 1));
    let mut changed = setup(rules(), &[2, 1]);
    changed.backends[0].pools[0].endpoints[1] = "another".into();
    changed.backends[0].pools[0].endpoints.swap(0, 1);
    bench.apply(Input::Reconfigure(changed));
    assert_eq!((bench.id((0, 1)), bench.health((0, 1))), (kept, Health::Down(Out::ByProbes { passes: 0 })));
    assert_eq!(bench.health((0, 0)), Health::Unproven);
    assert!(bench.id((0, 0)) > gone);
    let fresh = bench.id((0, 0));
    bench.apply(Input::Reconfigure(setup(rules(), &[2, 1])));
    assert!(bench.id((0, 1)) > fresh, "an endpoint that was gone comes back as a new one");
    bench.causes();
    let before = bench.snapshot();
    let mut told = Vec::new();
    let late = Input::Tally { endpoint: gone, delta: tally(0, 99, FailureKind::Refused) };
    bench.model.apply(bench.now, &late, &mut told);
    assert_eq!((told, Arc::ptr_eq(&before, &bench.snapshot())), (vec![], true), "late news of one that is gone");
}

#[test]
fn the_serving_pool_is_kept_by_name_and_chosen_anew_when_it_is_gone() {
    let mut bench = two();
    bench.probes(A, FAILED, 3);
    let since = bench.snapshot().serving_since;
    let mut swapped = setup(rules(), &[1, 1]);
    swapped.backends[0].pools.swap(0, 1);
    bench.wait_secs(1);
    bench.causes();
    bench.apply(Input::Reconfigure(swapped.clone()));
    assert_eq!(bench.causes(), []);
    let snapshot = bench.snapshot();
    assert_eq!((&*snapshot.pools[snapshot.serving.0].name, snapshot.serving_since), ("p1", since));

    let mut without = swapped;
    without.backends[0].pools[0] =
        PoolSetup { name: "p2".into(), endpoints: vec!["p2e0".into()], writes: PoolWrites::After(Duration::ZERO) };
    let mut told = Vec::new();
    bench.model.apply(bench.now, &Input::Reconfigure(without), &mut told);
    bench.model.check().unwrap();
    let change = Change::Serving { from: "p1".into(), to: "p2".into() };
    assert_eq!((told.len(), &told[0].change, told[0].cause), (1, &change, Cause::Reconfigured));
}

#[test]
fn an_endpoint_that_is_added_lets_a_verdict_be_acted_on() {
    let mut bench = Bench::new(rules(), &[1]);
    bench.fails(A, 9);
    assert_eq!(bench.causes(), []);
    bench.apply(Input::Reconfigure(setup(rules(), &[1, 1])));
    assert_eq!(bench.causes(), [Cause::Consecutive, Cause::EndpointsChanged, Cause::NoSignOfLife]);
    bench.probe(B, PASSED);
    assert_eq!(bench.causes(), [Cause::FirstProbe, Cause::PoolUnusable, Cause::PoolUsable]);
}

#[test]
fn backends_do_not_touch_each_other() {
    let mut both = setup(rules(), &[1, 1]);
    both.backends.push(BackendSetup { name: "other".into(), ..both.backends[0].clone() });
    let mut model = Model::new();
    let mut told = Vec::new();
    model.apply(Moment::ZERO, &Input::Reconfigure(both), &mut told);
    let before = model.snapshot();
    let endpoint = before.backends[1].pools[0].endpoints[0].id;
    model.apply(Moment::ZERO, &Input::Probe { endpoint, report: report(Moment::ZERO, FAILED) }, &mut told);
    let after = model.snapshot();
    assert!(Arc::ptr_eq(&before.backends[0], &after.backends[0]));
    assert!(told.len() == 3 && told.iter().all(|transition| transition.backend.as_deref() == Some("other")));
}

#[test]
fn a_clock_that_steps_back_counts_as_standing_still() {
    let mut bench = two();
    bench.wait_secs(10);
    bench.fails(A, 5);
    let mut told = Vec::new();
    bench.model.apply(
        Moment::ZERO,
        &Input::Probe { endpoint: bench.id(B), report: report(Moment::ZERO, FAILED) },
        &mut told,
    );
    bench.model.check().unwrap();
    assert_eq!(bench.model.next_deadline(), None);
}
