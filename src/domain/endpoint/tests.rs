//! The machine: what leads from one state to another, and what does not.

use super::super::evidence::TallyDelta;
use super::super::fixtures::{failing, refused, rules, secs};
use super::super::score::Weighed;
use super::super::setup::OnIntermittent;
use super::*;

const PASS: Seen = Seen::ProbePassed(Routing::Serving);
const FAIL: Seen = Seen::ProbeFailed(ProbeFailure::Timeout);
const TRIPPED: Seen = Seen::Proved(Verdict::Tripped(Class::Safe));
const IN_A_ROW: Seen = Seen::Proved(Verdict::InARow(Class::Safe));
const ANSWERED: Seen = Seen::Answered(1, Routing::Serving);
const ANSWERED_IN_PANIC: Seen = Seen::Answered(1, Routing::Panic);

/// What the endpoint makes of real requests, each weighing in full.
fn note(endpoint: &mut Endpoint, now: Moment, delta: &TallyDelta) {
    endpoint.note_tally(now, delta);
    let weighed: Vec<_> = delta.failed.iter().map(|request| Weighed { request: *request, halves: 2 }).collect();
    endpoint.note_ended(now, delta, &weighed, &rules());
}

/// What is due of it, others being up.
fn due(endpoint: &Endpoint, now: Moment) -> Option<Seen> {
    endpoint.due(now, Alone::No, &rules())
}

fn fresh() -> Endpoint {
    Endpoint::new(EndpointId(0), "a".into(), Moment::ZERO)
}

/// An endpoint in any state, as those that lead there would have made it.
fn in_state(health: Health) -> Endpoint {
    Endpoint { health, ..fresh() }
}

/// Applies all at one moment; the causes told.
fn causes(endpoint: &mut Endpoint, at: Moment, seen: &[Seen]) -> Vec<Cause> {
    seen.iter().filter_map(|seen| endpoint.apply(at, *seen, &rules())).map(|moved| moved.cause).collect()
}

fn ejected(until: u64, passes: u32) -> Endpoint {
    in_state(Health::Down(Out::Ejected { until: secs(until), passes }))
}

#[test]
fn the_first_probe_decides_alone() {
    let mut endpoint = fresh();
    assert!(endpoint.counts_as_up());
    let moved = endpoint.apply(secs(1), FAIL, &rules()).unwrap();
    assert_eq!((moved.from, moved.to, moved.cause), (Health::Unproven, DOWN_BY_PROBES, Cause::FirstProbe));
    assert_eq!(moved.evidence, failed(1, 1, ProbeFailure::Timeout));
    assert_eq!(endpoint.since(), secs(1));
    assert_eq!(causes(&mut fresh(), secs(1), &[PASS, FAIL, FAIL]), [Cause::FirstProbe]);
}

#[test]
fn a_first_pass_does_not_wipe_out_what_real_requests_showed() {
    let mut endpoint = fresh();
    note(&mut endpoint, secs(1), &failing(4));
    endpoint.apply(secs(1), PASS, &rules());
    note(&mut endpoint, secs(1), &failing(1));
    assert_eq!(due(&endpoint, secs(1)), Some(IN_A_ROW));
}

#[test]
fn fall_probes_in_a_row_take_it_down_and_rise_bring_it_back() {
    let mut endpoint = in_state(UP);
    assert_eq!(causes(&mut endpoint, secs(1), &[FAIL, FAIL, PASS, FAIL, FAIL]), []);
    assert_eq!(causes(&mut endpoint, secs(2), &[FAIL]), [Cause::Fall]);
    assert_eq!(causes(&mut endpoint, secs(3), &[PASS, FAIL, PASS]), []);
    assert_eq!(causes(&mut endpoint, secs(4), &[PASS]), [Cause::Rise]);
}

#[test]
fn refused_connects_take_it_down_until_probes_pass() {
    let mut endpoint = in_state(UP);
    note(&mut endpoint, secs(1), &refused(5));
    let verdict = endpoint.due(secs(1), Alone::Yes, &rules()).expect("nobody is left there who could answer");
    assert_eq!(causes(&mut endpoint, secs(1), &[verdict]), [Cause::Refused]);
    assert_eq!(causes(&mut endpoint, secs(2), &[PASS, FAIL, PASS, PASS]), [Cause::Rise]);
}

#[test]
fn an_ejection_ends_in_probation_and_probation_in_up() {
    let mut endpoint = in_state(UP);
    assert_eq!(causes(&mut endpoint, secs(1), &[TRIPPED]), [Cause::Score]);
    assert_eq!(causes(&mut endpoint, secs(5), &[PASS, PASS, PASS, Seen::TimePassed]), []);
    assert_eq!(endpoint.deadline(Alone::No, &rules()).map(|(at, _)| at), Some(secs(11)));
    assert_eq!(causes(&mut endpoint, secs(11), &[Seen::TimePassed]), [Cause::TermServed]);
    assert!(!endpoint.counts_as_up());
    assert_eq!(causes(&mut endpoint, secs(12), &[ANSWERED; 4]), []);
    assert_eq!(causes(&mut endpoint, secs(13), &[ANSWERED]), [Cause::Proven]);
    assert_eq!((endpoint.health(), endpoint.warm_at()), (UP, Some(secs(23))));
}

#[test]
fn failing_probes_hold_an_ejected_endpoint_past_its_time() {
    let mut endpoint = ejected(10, 5);
    assert_eq!(causes(&mut endpoint, secs(9), &[FAIL]), []);
    assert_eq!(endpoint.deadline(Alone::No, &rules()).map(|(at, _)| at), None);
    assert_eq!(causes(&mut endpoint, secs(10), &[Seen::TimePassed, PASS]), []);
    assert_eq!(causes(&mut endpoint, secs(11), &[PASS]), [Cause::TermServed]);
}

#[test]
fn a_relapse_in_probation_ejects_again_for_twice_as_long() {
    for relapse in [FAIL, Seen::Failed(Class::Safe), Seen::Failed(Class::Unsafe)] {
        let mut endpoint = in_state(UP);
        causes(&mut endpoint, secs(0), &[IN_A_ROW, PASS, PASS]);
        causes(&mut endpoint, secs(10), &[Seen::TimePassed]);
        assert_eq!(causes(&mut endpoint, secs(20), &[relapse]), [Cause::Relapse]);
        assert_eq!(endpoint.health(), Health::Down(Out::Ejected { until: secs(40), passes: 0 }));
    }
}

#[test]
fn ejections_of_an_hour_ago_are_forgotten_and_none_is_longer_than_five_minutes() {
    let mut endpoint = in_state(UP);
    let mut lasts = |at| {
        let ejected = endpoint.eject(secs(at), &rules());
        let Health::Down(Out::Ejected { until, .. }) = ejected else { panic!("{ejected:?}") };
        until.since(secs(at)).as_secs()
    };
    assert_eq!([0, 1, 2, 3, 4, 5, 6].map(&mut lasts), [10, 20, 40, 80, 160, 300, 300]);
    assert_eq!([3_603, 9_000].map(&mut lasts), [80, 10]);
    for at in 0..100 {
        assert!(lasts(10_000 + at) <= 300);
    }
    assert_eq!(endpoint.ejections.len(), EJECTIONS_REMEMBERED);
}

#[test]
fn late_answers_to_old_requests_change_nothing_while_it_is_down() {
    for health in [DOWN_BY_PROBES, Health::Down(Out::ByRefusals { passes: 1 }), ejected(9, 1).health] {
        let mut endpoint = in_state(health);
        note(&mut endpoint, secs(1), &failing(100));
        assert_eq!(due(&endpoint, secs(1)), None);
        assert_eq!(causes(&mut endpoint, secs(1), &[ANSWERED, TRIPPED]), []);
        assert_eq!(endpoint.health(), health);
    }
}

#[test]
fn in_panic_a_real_answer_brings_anyone_back() {
    let probation = in_state(probation(secs(0)));
    let refused = in_state(Health::Down(Out::ByRefusals { passes: 0 }));
    for mut endpoint in [in_state(DOWN_BY_PROBES), refused, ejected(10, 0), probation] {
        assert_eq!(causes(&mut endpoint, secs(1), &[ANSWERED_IN_PANIC]), [Cause::AnsweredInPanic]);
        assert_eq!(endpoint.health(), UP);
    }
}

#[test]
fn in_panic_one_probe_brings_back_whom_probes_or_refusals_took_out_but_no_liar() {
    let passed = [Seen::ProbePassed(Routing::Panic)];
    assert_eq!(causes(&mut in_state(DOWN_BY_PROBES), secs(1), &passed), [Cause::AnsweredInPanic]);
    let mut refused = in_state(Health::Down(Out::ByRefusals { passes: 0 }));
    assert_eq!(causes(&mut refused, secs(1), &passed), [Cause::AnsweredInPanic]);
    assert_eq!(causes(&mut ejected(10, 5), secs(1), &passed), []);
    assert_eq!(causes(&mut in_state(probation(secs(0))), secs(1), &passed), []);
}

#[test]
fn nobody_is_brought_back_twice_within_the_ejection_time() {
    let round = [ANSWERED_IN_PANIC, TRIPPED];
    let mut endpoint = ejected(10, 0);
    assert_eq!(causes(&mut endpoint, secs(1), &round), [Cause::AnsweredInPanic, Cause::Score]);
    assert_eq!(causes(&mut endpoint, secs(10), &[ANSWERED_IN_PANIC]), []);
    assert_eq!(causes(&mut endpoint, secs(11), &round), [Cause::AnsweredInPanic, Cause::Score]);
}

#[test]
fn it_comes_back_with_a_clean_sheet() {
    let mut endpoint = in_state(UP);
    note(&mut endpoint, secs(1), &failing(5));
    assert!(endpoint.is_sound(&rules()));
    causes(&mut endpoint, secs(1), &[FAIL, FAIL, FAIL, PASS, PASS]);
    assert_eq!((endpoint.health(), due(&endpoint, secs(1))), (UP, None));
}

#[test]
fn a_shorter_ejection_time_shortens_the_ejections_that_run() {
    let long = Rules { ejection_time: Duration::from_secs(900), ..rules() };
    let mut endpoint = in_state(UP);
    endpoint.apply(secs(100), TRIPPED, &long);
    assert!(!endpoint.is_sound(&rules()));
    endpoint.adopt(&rules());
    assert_eq!(endpoint.health(), Health::Down(Out::Ejected { until: secs(400), passes: 0 }));
    assert!(endpoint.is_sound(&rules()));
}

#[test]
fn probes_alone_end_probation_only_where_no_real_request_came_for_ten_seconds() {
    let mut endpoint = in_state(probation(secs(100)));
    assert_eq!(causes(&mut endpoint, secs(109), &[PASS; 20]), []);
    assert_eq!(endpoint.deadline(Alone::No, &rules()), Some((secs(110), super::super::Why::NoCandidate)));
    let mut tried = in_state(probation(secs(100)));
    causes(&mut tried, secs(105), &[ANSWERED]);
    assert_eq!(causes(&mut tried, secs(114), &[PASS; 20]), []);
    assert_eq!(causes(&mut endpoint, secs(110), &[Seen::TimePassed]), [Cause::Proven]);
    assert_eq!(causes(&mut tried, secs(115), &[PASS]), [Cause::Proven]);
}

#[test]
fn half_way_to_an_ejection_with_a_hedge_open_it_is_suspect_and_a_void_suspicion_leaves_nothing() {
    let mut endpoint = in_state(UP);
    note(&mut endpoint, secs(1), &failing(4));
    assert_eq!(due(&endpoint, secs(1)), None, "nothing is open that could be waited for");
    note(&mut endpoint, secs(1), &TallyDelta { open_hedges: 1, ..TallyDelta::default() });
    assert_eq!(due(&endpoint, secs(1)), Some(Seen::Doubtful));
    assert_eq!(causes(&mut endpoint, secs(1), &[Seen::Doubtful]), [Cause::Doubted]);
    assert!(endpoint.counts_as_up() && endpoint.health().is_suspect());
    note(&mut endpoint, secs(2), &super::super::fixtures::answered(60));
    assert_eq!(due(&endpoint, secs(2)), Some(Seen::Clear));
    assert_eq!(causes(&mut endpoint, secs(2), &[Seen::Clear]), [Cause::Cleared]);
    assert_eq!((endpoint.health(), endpoint.ejections.len()), (UP, 0));
}

#[test]
fn open_hedges_make_it_suspect_and_their_end_voids_that() {
    let mut endpoint = in_state(UP);
    note(&mut endpoint, secs(1), &TallyDelta { open_hedges: 7, ..TallyDelta::default() });
    assert_eq!(due(&endpoint, secs(1)), Some(Seen::Doubtful));
    causes(&mut endpoint, secs(1), &[Seen::Doubtful]);
    note(&mut endpoint, secs(1), &TallyDelta::default());
    assert_eq!(due(&endpoint, secs(1)), Some(Seen::Clear));
}

#[test]
fn silence_makes_it_suspect_and_lasting_silence_ejects() {
    use super::super::evidence::{Askers, Pending};
    let mut endpoint = in_state(UP);
    let pending = Some(Pending { count: 5, oldest: secs(10), from: Askers::Several });
    note(&mut endpoint, secs(10), &TallyDelta { pending, ..TallyDelta::default() });
    assert_eq!(due(&endpoint, secs(10)), None);
    assert_eq!(due(&endpoint, secs(11)), Some(Seen::Silent), "a second, while nothing is usual");
    causes(&mut endpoint, secs(11), &[Seen::Silent]);
    let confirmed = secs(11).after(rules().confirm);
    assert_eq!(
        endpoint.deadline(Alone::No, &rules()).map(|(at, _)| at),
        Some(secs(10).after(Duration::from_millis(250)))
    );
    assert_eq!(due(&endpoint, confirmed), Some(Seen::Proved(Verdict::Stalled)));
    note(&mut endpoint, confirmed, &TallyDelta { pending, last_head: Some(confirmed), ..TallyDelta::default() });
    assert_eq!(due(&endpoint, confirmed), Some(Seen::Clear), "it answers again");
}

#[test]
fn the_last_one_up_is_neither_suspected_nor_ejected() {
    let mut endpoint = in_state(UP);
    note(&mut endpoint, secs(1), &failing(9));
    assert_eq!(endpoint.due(secs(1), Alone::Yes, &rules()), None);
    assert_eq!(due(&endpoint, secs(1)), Some(IN_A_ROW));
}

#[test]
fn where_intermittent_endpoints_are_taken_out_it_comes_back_when_it_has_been_calm() {
    let eject = Rules { on_intermittent: OnIntermittent::Eject, ..rules() };
    let mut endpoint = in_state(UP);
    for n in 0..30 {
        endpoint.errored.note(secs(2 * n), 10, 100, eject.intermittent);
        endpoint.errored.note(secs(2 * n + 1), 0, 100, eject.intermittent);
    }
    assert_eq!(endpoint.due(secs(60), Alone::No, &eject), None, "in a calm nobody is taken out");
    note(&mut endpoint, secs(60), &failing(1));
    assert_eq!(endpoint.due(secs(60), Alone::No, &eject), Some(Seen::Proved(Verdict::Intermittent)));
    assert_eq!(endpoint.due(secs(60), Alone::No, &rules()), None);
    endpoint.apply(secs(60), Seen::Proved(Verdict::Intermittent), &eject);
    let calm = endpoint.errored.calm_at().unwrap();
    let before = |at: Moment| Moment::at(at.since_start() - Duration::from_secs(1));
    endpoint.apply(before(calm), PASS, &eject);
    endpoint.apply(before(calm), PASS, &eject);
    assert_eq!(endpoint.due(before(calm), Alone::No, &eject), None);
    assert_eq!(endpoint.due(calm, Alone::No, &eject), Some(Seen::TimePassed));
}
