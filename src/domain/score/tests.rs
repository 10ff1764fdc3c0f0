//! The score's arithmetic: points, runs, caps, and what waits for a second path.

use super::super::evidence::{Elsewhere, TallyDelta, Weight};
use super::super::fixtures::{answered, failing, failure, rules, secs};
use super::super::units::PerClass;
use super::*;
use proptest::prelude::*;

/// In full, as nobody was found to share the fault.
fn weighed(delta: &TallyDelta) -> Vec<Weighed> {
    delta.failed.iter().map(|request| Weighed { request: *request, halves: 2 }).collect()
}

fn note(score: &mut Score, now: Moment, delta: &TallyDelta, answered: &Variety) {
    let (good, trailing) = (delta.good[Class::Safe], delta.trailing[Class::Safe]);
    score.note(now, good, &weighed(delta), trailing, answered, &rules());
}

fn noted(deltas: &[TallyDelta]) -> Score {
    let mut score = Score::default();
    for delta in deltas {
        note(&mut score, Moment::ZERO, delta, &Variety::default());
    }
    score
}

fn mixed(good: u32, failed: u32) -> TallyDelta {
    TallyDelta { good: answered(good).good, trailing: Default::default(), ..failing(failed) }
}

/// Somebody else was answered a second ago.
fn others() -> Variety {
    let other = Some((Fingerprint(99), secs(9)));
    Variety { clients: [other, None], paths: [other, None] }
}

fn of(client: u64, path: u64) -> TallyDelta {
    let request =
        FailedRequest { client: Fingerprint(client), path: Fingerprint(path), ..failure(FailureKind::Status) };
    TallyDelta { failed: vec![request], ..failing(1) }
}

#[test]
fn a_failure_weighs_three_points_and_fifteen_good_answers_clear_it() {
    assert_eq!(noted(&[failing(1)]).points, 3_000);
    assert_eq!(noted(&[failing(1), answered(14)]).points, 18);
    assert!(noted(&[failing(1), answered(15)]).is_clear());
}

#[test]
fn the_score_never_leaves_zero_to_trip() {
    assert_eq!(noted(&[answered(u32::MAX)]).points, 0);
    assert_eq!(noted(&[failing(500), failing(500)]).points, 20_000);
    assert_eq!(noted(&[mixed(300, 300)]).points, 20_000);
}

#[test]
fn seven_failures_trip_and_five_in_a_row_are_a_verdict_before_that() {
    let five = noted(&[failing(2), failing(3)]);
    assert!(!noted(&[failing(4)]).is_run_over(&rules()) && five.is_run_over(&rules()) && !five.is_tripped(&rules()));
    assert!(noted(&[failing(4), answered(1), failing(4)]).is_tripped(&rules()));
}

#[test]
fn a_good_answer_ends_the_run_but_for_what_certainly_came_after_it() {
    let ends = || TallyDelta { trailing: PerClass::new(1, 0), ..mixed(1, 3) };
    assert_eq!(noted(&[failing(4), ends()]).run, 2);
    assert_eq!(noted(&[failing(4), ends(), failing(3)]).run, 8);
}

#[test]
fn a_client_that_left_after_a_long_wait_is_half_a_failure() {
    let mut score = Score::default();
    let half = Weighed { request: FailedRequest { weight: Weight::Half, ..failure(FailureKind::Timeout) }, halves: 1 };
    score.note(secs(1), 0, &[half], 1, &Variety::default(), &rules());
    assert_eq!((score.points, score.run), (1_500, 1));
}

#[test]
fn the_counts_begin_when_the_score_leaves_zero() {
    let mut score = Score::default();
    let at = |millis| Moment::at(Duration::from_millis(millis));
    for (n, delta) in [answered(100), failing(1), answered(15), failing(2), answered(3)].iter().enumerate() {
        note(&mut score, at(n as u64 + 1), delta, &Variety::default());
    }
    let evidence = score.evidence(Class::Safe, 0, &rules());
    let Evidence::Requests { failed, of, since, score, .. } = evidence else { panic!("{evidence:?}") };
    assert_eq!((failed.of(FailureKind::Status), of, since, score), (2, 5, at(4), 5.361));
}

#[test]
fn a_lower_trip_takes_the_score_down_to_it() {
    let mut score = noted(&[failing(4)]);
    score.adopt(&Rules { trip: 2, ..rules() });
    assert_eq!(score.points, 2_000);
}

#[test]
fn one_client_among_others_adds_half_of_trip_and_two_to_a_run() {
    let mut score = Score::default();
    for path in 0..20 {
        note(&mut score, secs(10), &of(1, path), &others());
    }
    assert_eq!((score.points, score.run), (10_000, 4));
    for client in 2..5 {
        note(&mut score, secs(10), &of(client, client), &others());
    }
    assert!(score.is_run_over(&rules()));
}

#[test]
fn one_path_among_others_adds_half_of_trip_and_two_to_a_run() {
    let mut score = Score::default();
    for client in 0..20 {
        note(&mut score, secs(10), &of(client, 1), &others());
    }
    assert_eq!((score.points, score.run), (10_000, 4));
}

#[test]
fn nobody_is_capped_who_is_alone_or_whose_company_was_long_ago() {
    for now in [secs(69), secs(400)] {
        let mut score = Score::default();
        (0..20).for_each(|_| note(&mut score, now, &of(1, 1), &others()));
        assert!(score.is_tripped(&rules()), "others were answered at 9 s, and it is {now}");
    }
}

#[test]
fn a_cap_ends_with_the_score() {
    let mut score = Score::default();
    (0..20).for_each(|_| note(&mut score, secs(10), &of(1, 1), &others()));
    note(&mut score, secs(11), &answered(100), &others());
    assert!(score.is_clear());
    note(&mut score, secs(12), &of(1, 1), &others());
    assert_eq!(score.points, 3_000);
}

#[test]
fn refused_connects_have_no_cap() {
    let mut score = Score::default();
    let refused = TallyDelta { failed: vec![failure(FailureKind::Refused)], ..failing(1) };
    (0..7).for_each(|_| note(&mut score, secs(10), &refused, &others()));
    assert!(score.is_tripped(&rules()));
}

fn write(client: u64, path: u64) -> Weighed {
    let request = FailedRequest {
        class: Class::Unsafe,
        client: Fingerprint(client),
        path: Fingerprint(path),
        elsewhere: Elsewhere::Unknown,
        ..failure(FailureKind::Status)
    };
    Weighed { request, halves: 2 }
}

#[test]
fn failing_statuses_of_one_form_among_others_wait_for_a_second_form_and_then_all_count() {
    let mut score = Score::default();
    for client in 0..3 {
        score.note(secs(10), 0, &[write(client, 1)], 1, &others(), &rules());
    }
    assert_eq!(score.points, 0);
    score.note(secs(11), 0, &[write(7, 2)], 1, &others(), &rules());
    assert_eq!(score.points, 12_000);
    score.note(secs(12), 0, &[write(8, 1)], 1, &others(), &rules());
    assert_eq!(score.points, 13_000, "the cap of the first form");
}

#[test]
fn failing_statuses_of_the_only_form_count_at_once() {
    let mut score = Score::default();
    score.note(secs(10), 0, &[write(1, 1)], 1, &Variety::default(), &rules());
    assert_eq!(score.points, 3_000);
}

#[test]
fn what_waited_for_longer_than_a_minute_is_forgotten() {
    let mut score = Score::default();
    score.note(secs(10), 0, &[write(1, 1)], 1, &others(), &rules());
    let later = Variety { paths: [Some((Fingerprint(99), secs(70))), None], ..others() };
    score.note(secs(71), 0, &[write(2, 2)], 1, &later, &rules());
    assert_eq!(score.points, 0);
}

proptest! {
    #[test]
    fn a_delta_of_one_kind_may_be_cut_anywhere(n in 1u32..40, cut in 0u32..40) {
        let cut = cut.min(n);
        prop_assert_eq!(noted(&[failing(n)]).points, noted(&[failing(cut), failing(n - cut)]).points);
        let hurt = || failing(5);
        prop_assert_eq!(noted(&[hurt(), answered(n)]).points, noted(&[hurt(), answered(cut), answered(n - cut)]).points);
    }

    #[test]
    fn it_is_always_within_its_bounds(deltas in prop::collection::vec((0u32..300, 0u32..60, 0u64..80, 0u64..80), 1..40)) {
        let mut score = Score::default();
        for (n, (good, failed, client, path)) in deltas.into_iter().enumerate() {
            let delta = TallyDelta { failed: vec![of(client, path).failed[0]; failed as usize], ..mixed(good, 0) };
            note(&mut score, secs(n as u64), &delta, &others());
            prop_assert!(score.is_sound(&rules()), "{:?}", score);
        }
    }
}
