//! Properties over histories of inputs: 1–3 pools of 1–3 endpoints, any rules. What must hold after every single input is
//! checked by the bench itself.

use super::bench::*;
use hotspare::domain::*;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// One step of a history. Places are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Probe(usize, ProbeResult),
    /// So many in a row.
    Probes(usize, ProbeResult, u32),
    Tally(usize, Box<TallyDelta>),
    Order(Command),
    Wait(Duration),
    ToDeadline,
    SameSetup,
}

#[derive(Clone, Debug)]
struct History {
    rules: Rules,
    pools: Vec<usize>,
    steps: Vec<Step>,
}

impl History {
    fn bench(&self) -> Bench {
        Bench::new(self.rules, &self.pools)
    }

    fn run(&self) -> Bench {
        let mut bench = self.bench();
        self.steps.iter().for_each(|step| step.apply_to(&mut bench));
        bench
    }
}

impl Step {
    fn apply_to(&self, bench: &mut Bench) {
        let all = bench.all();
        let at = |index: usize| all[index % all.len()];
        match self.clone() {
            Step::Probe(index, result) => drop(bench.probe(at(index), result)),
            Step::Probes(index, result, times) => bench.probes(at(index), result, times),
            Step::Tally(index, delta) => drop(bench.tally(at(index), *delta)),
            Step::Order(command) => drop(bench.apply(Input::Order(Order { command, lasts: None, force: Force::No }))),
            Step::Wait(span) => bench.wait(span),
            Step::ToDeadline => {
                if let Some((due, _)) = bench.model.next_deadline() {
                    bench.jump_to(due);
                }
            }
            Step::SameSetup => nothing_changes_with_the_same_setup(bench),
        }
    }
}

fn nothing_changes_with_the_same_setup(bench: &mut Bench) {
    let (before, deadline) = (bench.snapshot(), bench.model.next_deadline());
    let told = bench.apply(Input::Reconfigure(bench.setup.clone()));
    assert_eq!(told, []);
    assert!(Arc::ptr_eq(&before, &bench.snapshot()));
    assert_eq!(deadline, bench.model.next_deadline());
}

fn seconds(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_secs)
}

prop_compose! {
    fn any_rules()(
        (fall, rise, trip, consecutive) in (1u32..4, 1u32..4, 1u32..30, 1u32..7),
        ejection_time in seconds(1..20),
        min_up in (0u8..=100).prop_map(Percent),
        min_dwell in seconds(0..10),
        failback in prop_oneof![3 => Just(Failback::Auto), 1 => Just(Failback::Manual)],
        stable_for in seconds(0..60),
        ramp in prop_oneof![2 => Just(Duration::ZERO), 1 => seconds(1..40)],
        after_writes in prop_oneof![3 => Just(AfterWrites::Auto), 1 => Just(AfterWrites::Manual)],
        confirm in (0u64..1_000).prop_map(Duration::from_millis),
    ) -> Rules {
        Rules {
            fall, rise, trip, consecutive, ejection_time, min_up, min_dwell, failback, stable_for, ramp, after_writes,
            confirm, ..rules()
        }
    }
}

fn any_probe() -> impl Strategy<Value = ProbeResult> {
    prop_oneof![3 => Just(PASSED), 2 => Just(FAILED), 1 => Just(SILENT)]
}

fn any_tally() -> impl Strategy<Value = TallyDelta> {
    let kind = prop_oneof![Just(FailureKind::Refused), Just(FailureKind::Status), Just(FailureKind::Timeout)];
    (prop_oneof![Just(0), 0u32..4, 0u32..200], prop_oneof![Just(0), 0u32..8, 0u32..80], kind, 0u32..8).prop_map(
        |(good, failed, kind, trailing)| {
            let delta = tally(good, failed, kind);
            if good == 0 { delta } else { TallyDelta { trailing: PerClass::new(trailing.min(failed), 0), ..delta } }
        },
    )
}

fn any_command() -> impl Strategy<Value = Command> {
    let backend = || Name::from("sites");
    let scope = || Scope::Backend(backend());
    prop_oneof![
        1 => (0usize..3).prop_map(move |n| Command::Failover { backend: backend(), to: Some(format!("p{n}").into()) }),
        1 => Just(Command::Failback { backend: backend() }),
        1 => Just(Command::Hold { scope: scope() }),
        2 => Just(Command::Release { scope: scope() }),
        1 => Just(Command::Release { scope: Scope::All }),
        1 => Just(Command::ReadOnly { backend: backend() }),
        1 => Just(Command::Ack { backend: backend() }),
        1 => (0usize..3).prop_map(|n| Command::Drain { place: PlaceName::Pool(format!("p{n}").into()) }),
        2 => (0usize..3).prop_map(|n| Command::Undrain { place: PlaceName::Pool(format!("p{n}").into()) }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..9, any_probe()).prop_map(|(at, result)| Step::Probe(at, result)),
        3 => (0usize..9, any_probe(), 1u32..12).prop_map(|(at, result, times)| Step::Probes(at, result, times)),
        4 => (0usize..9, any_tally()).prop_map(|(at, delta)| Step::Tally(at, Box::new(delta))),
        3 => (0u64..4_000).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
        1 => (0u64..90).prop_map(|secs| Step::Wait(Duration::from_secs(secs))),
        3 => Just(Step::ToDeadline),
        1 => Just(Step::SameSetup),
        1 => any_command().prop_map(Step::Order),
    ]
}

fn histories() -> impl Strategy<Value = History> {
    (any_rules(), prop::collection::vec(1usize..=3, 1..=3), prop::collection::vec(any_step(), 1..150))
        .prop_map(|(rules, pools, steps)| History { rules, pools, steps })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(250) })]

    #[test] // 1, 2, 3, 8, 9: the bench checks each step
    fn the_same_inputs_make_the_same_transitions_and_every_step_keeps_the_rules(history in histories()) {
        prop_assert_eq!(history.run().told, history.run().told);
    }

    #[test] // 1: if a deadline were missing, a tick in between would find something to do
    fn no_tick_between_deadlines_finds_anything_to_do(history in histories(), every in 100u64..3_000) {
        let mut ticked = history.bench();
        for step in &history.steps {
            if let Step::Wait(span) = step {
                let end = ticked.now.after(*span);
                while ticked.now.after(Duration::from_millis(every)) < end {
                    ticked.wait(Duration::from_millis(every));
                    let told = ticked.apply(Input::Tick);
                    prop_assert_eq!(told, []);
                }
                ticked.jump_to(end);
            } else {
                step.apply_to(&mut ticked);
            }
        }
        prop_assert_eq!(ticked.told, history.run().told);
    }

    #[test] // 4
    fn fall_failed_probes_take_any_endpoint_down_at_once(history in histories(), at in 0usize..9) {
        let mut bench = history.run();
        let at = bench.all()[at % bench.all().len()];
        bench.probes(at, FAILED, bench.rules().fall);
        prop_assert!(!bench.health(at).counts_as_up());
        prop_assert!(bench.serving() != at.0 || bench.snapshot().routing != Routing::Serving || usable(&bench, at.0));
    }

    #[test] // 4
    fn consecutive_failures_are_acted_on_at_once_but_for_the_last_endpoint_up(history in histories(), at in 0usize..9) {
        let mut bench = history.run();
        prop_assume!(bench.model.snapshot().isolation == Isolation::No); // then nothing counts
        let at = bench.all()[at % bench.all().len()];
        let drained = |at: At| bench.snapshot().pools[at.0].endpoints[at.1].drained == Drained::Yes;
        let others = bench.all().into_iter().any(|other| other != at && bench.health(other).counts_as_up() && !drained(other));
        let others = others || drained(at);
        let was_up = bench.health(at).counts_as_up();
        bench.fails(at, bench.rules().consecutive);
        prop_assert_eq!(bench.health(at).counts_as_up(), was_up && !others);
        bench.tally(at, tally(0, bench.rules().consecutive, FailureKind::Refused));
        prop_assert!(!bench.health(at).counts_as_up());
    }

    #[test] // 10, as far as the core sees requests: no client or path among others makes more than these
    fn a_failure_among_fifteen_good_answers_moves_nothing(
        (good, size) in (15u32..40, 1u32..30), pools in prop::collection::vec(1usize..=3, 1..=3),
    ) {
        let mut bench = Bench::new(rules(), &pools);
        for _ in 0..100 {
            prop_assert_eq!(bench.tally((0, 0), tally(good * size, size, FailureKind::Status)), []);
        }
    }

    #[test] // 12
    fn after_all_faults_end_everything_is_up_and_the_first_pool_serves_in_time(history in histories()) {
        let mut bench = history.run();
        release_everything(&mut bench);
        let healed = bench.now;
        let left = bench.all().into_iter().filter_map(|at| match bench.health(at) {
            Health::Down(Out::Ejected { until, .. }) => Some(until.since(healed)),
            Health::Unproven
            | Health::Up { .. }
            | Health::Suspect { .. }
            | Health::Down(_)
            | Health::Probation { .. } => None,
        });
        let ejection = left.max().unwrap_or_default();
        // Asked each time: in a panic that outlives the faults, the last failover comes after them. Each probe missed past
        // two wants 99 that pass.
        let allowed = |bench: &Bench| {
            let hold_down = (0..bench.serving()).map(|pool| bench.reference.hold_down(pool, &bench.rules())).max();
            let missed = (0..bench.serving()).map(|pool| bench.reference.missed(pool)).max().unwrap_or(0);
            ejection + Duration::from_secs(60 + 10 + 100 * missed) + hold_down.unwrap_or_default() + bench.rules().ramp
        };
        let well = |bench: &Bench| {
            let waits_for_an_operator =
                matches!(bench.snapshot().waiting, Some(Waiting::Manual { .. } | Waiting::AfterWrites { .. } | Waiting::Intermittent { .. }));
            let home = bench.serving() == 0 || waits_for_an_operator;
            home && bench.all().into_iter().all(|at| bench.health(at).name() == "up")
        };
        while !well(&bench) {
            prop_assert!(bench.now.since(healed) <= allowed(&bench), "{:#?} at {}", bench.snapshot(), bench.now);
            for at in bench.all() {
                if bench.health(at).counts_as_up() {
                    bench.tally(at, tally(200, 0, FailureKind::Status));
                }
            }
            bench.all().into_iter().for_each(|at| drop(bench.probe(at, PASSED)));
            bench.wait_secs(1);
        }
    }
}

fn release_everything(bench: &mut Bench) {
    let places = (0..3).map(|n| Command::Undrain { place: PlaceName::Pool(format!("p{n}").into()) });
    for command in places.chain([Command::Release { scope: Scope::All }]) {
        bench.apply(Input::Order(Order { command, lasts: None, force: Force::No }));
    }
}

fn usable(bench: &Bench, pool: usize) -> bool {
    bench.snapshot().pools[pool].health.is_usable()
}
