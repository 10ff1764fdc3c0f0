//! What operators say, beside what was measured.

use super::bench::*;
use hotspare::domain::*;
use std::time::Duration;

const A: At = (0, 0);
const B: At = (1, 0);

fn sites() -> Name {
    "sites".into()
}

fn two() -> Bench {
    let mut bench = Bench::new(rules(), &[1, 1]);
    bench.probe(A, PASSED);
    bench.probe(B, PASSED);
    bench
}

fn failover(to: &str) -> Command {
    Command::Failover { backend: sites(), to: Some(to.into()) }
}

fn hold() -> Command {
    Command::Hold { scope: Scope::Backend(sites()) }
}

fn release() -> Command {
    Command::Release { scope: Scope::Backend(sites()) }
}

fn drain(pool: &str) -> Command {
    Command::Drain { place: PlaceName::Pool(pool.into()) }
}

fn refused(bench: &Bench, command: Command) -> Refusal {
    bench.model.consider(&Order { command, lasts: None, force: Force::No }).unwrap_err()
}

fn consequences(bench: &Bench, command: Command) -> Vec<Consequence> {
    bench.model.consider(&Order { command, lasts: None, force: Force::No }).unwrap()
}

#[test]
fn a_failover_moves_at_once_stays_and_is_no_flap() {
    let mut bench = two();
    bench.order(failover("p1"));
    assert_eq!(bench.moves(), ["p1 by commanded"]);
    bench.wait_secs(7_200);
    assert_eq!(bench.serving(), 1);
    assert_eq!(bench.snapshot().waiting, Some(Waiting::Commanded { pool: PoolIndex(0) }));
    bench.order(release());
    bench.wait_secs(60);
    assert_eq!((bench.serving(), bench.reference.hold_down(0, &rules())), (0, Duration::from_secs(60)));
}

#[test]
fn a_failover_without_a_pool_goes_to_the_next_or_stays_where_it_is() {
    let mut bench = two();
    bench.order(Command::Failover { backend: sites(), to: None });
    assert_eq!(bench.serving(), 1);
    assert_eq!(bench.snapshot().standing[0].command, failover("p1"));
    let mut bench = two();
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    bench.order(Command::Failover { backend: sites(), to: None });
    assert_eq!((bench.serving(), bench.snapshot().standing[0].command.clone()), (1, failover("p1")));
}

#[test]
fn a_preferred_pool_that_dies_is_left_loudly_and_returned_to_after_its_hold_down() {
    let mut bench = two();
    bench.order(failover("p1"));
    bench.wait_secs(10);
    bench.tally(B, tally(0, 5, FailureKind::Refused));
    assert_eq!((bench.serving(), bench.snapshot().standing[0].force), (0, Enforced::Suspended));
    bench.wait_secs(10);
    bench.probes(B, PASSED, 2);
    bench.wait_secs(59);
    assert_eq!(bench.serving(), 0);
    bench.wait_secs(1);
    assert_eq!((bench.serving(), bench.snapshot().standing[0].force), (1, Enforced::Now));
}

#[test]
fn a_hold_holds_whatever_health_says_and_its_end_lets_go() {
    let mut bench = two();
    bench.order(hold());
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    assert_eq!((bench.serving(), bench.snapshot().routing), (0, Routing::Held));
    bench.order(release());
    assert_eq!((bench.serving(), bench.snapshot().routing), (1, Routing::Serving));
}

#[test]
fn a_command_ends_with_the_time_it_was_given() {
    let mut bench = two();
    let order = Order { command: hold(), lasts: Some(Duration::from_secs(30)), force: Force::No };
    bench.apply(Input::Order(order));
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    assert_eq!(bench.model.next_deadline(), Some((Moment::at(Duration::from_secs(30)), Why::CommandOver)));
    bench.wait_secs(29);
    assert_eq!(bench.serving(), 0);
    bench.wait_secs(1);
    assert_eq!((bench.serving(), bench.snapshot().standing.len()), (1, 0));
}

#[test]
fn a_drained_pool_is_left_by_plan_and_not_returned_to() {
    let mut bench = two();
    bench.order(drain("p0"));
    assert_eq!(bench.moves(), ["p1 by commanded"]);
    assert_eq!(bench.snapshot().pools[0].health, PoolHealth::Up, "what was measured stands");
    bench.wait_secs(3_600);
    assert_eq!(bench.snapshot().waiting, Some(Waiting::Drained { pool: PoolIndex(0) }));
    bench.order(Command::Undrain { place: PlaceName::Pool("p0".into()) });
    bench.wait_secs(60);
    assert_eq!(bench.serving(), 0);
}

#[test]
fn a_drain_that_would_leave_nobody_is_refused_unless_forced() {
    let mut bench = two();
    bench.order(drain("p1"));
    assert_eq!(refused(&bench, drain("p0")), Refusal::NoUsablePool { backend: sites() });
    bench.apply(Input::Order(Order { command: drain("p0"), lasts: None, force: Force::No }));
    assert_eq!(bench.snapshot().routing, Routing::Serving, "what is refused changes nothing");
    bench.apply(Input::Order(Order { command: drain("p0"), lasts: None, force: Force::Yes }));
    assert_eq!(bench.snapshot().routing, Routing::Panic);
}

#[test]
fn a_drained_endpoint_is_out_of_its_pools_count() {
    let mut bench = Bench::new(rules(), &[2, 1]);
    bench.all().into_iter().for_each(|at| drop(bench.probe(at, PASSED)));
    bench.order(Command::Drain { place: PlaceName::Endpoint("p0e0".into()) });
    assert_eq!((bench.serving(), bench.snapshot().pools[0].health), (0, PoolHealth::Up));
    bench.tally((0, 1), tally(0, 5, FailureKind::Refused));
    assert_eq!((bench.serving(), bench.snapshot().pools[0].health), (1, PoolHealth::Down));
}

#[test]
fn names_that_do_not_exist_are_refused() {
    let bench = two();
    assert_eq!(
        refused(&bench, Command::Ack { backend: "site".into() }),
        Refusal::NoSuchBackend { name: "site".into() }
    );
    assert_eq!(refused(&bench, failover("p9")), Refusal::NoSuchPool { backend: sites(), name: "p9".into() });
    let place = PlaceName::Endpoint("10.9.9.9:80".into());
    assert_eq!(refused(&bench, Command::Drain { place: place.clone() }), Refusal::NoSuchPlace { place });
}

#[test]
fn what_can_not_be_done_is_refused_with_the_reason() {
    let mut bench = two();
    let nothing = Refusal::NothingToDo { what: NothingToDo::NothingStands };
    assert_eq!(refused(&bench, release()), nothing);
    let serves = NothingToDo::Serves { backend: sites(), pool: "p0".into() };
    assert_eq!(refused(&bench, Command::Failback { backend: sites() }), Refusal::NothingToDo { what: serves });
    bench.probes(B, FAILED, 3);
    assert_eq!(refused(&bench, failover("p1")), Refusal::NotUsable { backend: sites(), pool: "p1".into() });
    bench.probes(B, PASSED, 2);
    bench.order(hold());
    assert_eq!(refused(&bench, failover("p1")), Refusal::Held { backend: sites() });
}

#[test]
fn what_will_happen_is_said_before_it_does() {
    let mut bench = Bench::new(Rules { after_writes: AfterWrites::Manual, ..rules() }, &[1, 1]);
    bench.probe(A, PASSED);
    bench.probe(B, PASSED);
    let said = consequences(&bench, failover("p1"));
    let moves = Consequence::Moves { backend: sites(), from: "p0".into(), to: "p1".into() };
    assert!(said.contains(&moves), "{said:?}");
    assert!(said.contains(&Consequence::Diverges { backend: sites(), pool: "p1".into() }), "{said:?}");
    bench.order(failover("p1"));
    bench.wait_secs(2);
    let said = consequences(&bench, Command::Failback { backend: sites() });
    assert!(said.contains(&Consequence::GivesUpWrites { backend: sites(), pool: "p1".into() }), "{said:?}");
    let said = consequences(&bench, Command::ReadOnly { backend: sites() });
    assert_eq!(said, [Consequence::RefusesWrites { backend: sites() }]);
}

#[test]
fn a_forced_failover_stays_at_a_pool_that_is_not_usable() {
    let mut bench = two();
    bench.probes(B, FAILED, 3);
    bench.apply(Input::Order(Order { command: failover("p1"), lasts: None, force: Force::Yes }));
    assert_eq!((bench.serving(), bench.snapshot().routing), (1, Routing::Held));
}

#[test]
fn commands_serving_pool_divergence_and_flaps_survive_a_restart() {
    let rules = Rules { after_writes: AfterWrites::Manual, ..rules() };
    let mut bench = Bench::new(rules, &[1, 1]);
    bench.probe(A, PASSED);
    bench.probe(B, PASSED);
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    let order = Order { command: hold(), lasts: Some(Duration::from_secs(100)), force: Force::No };
    bench.apply(Input::Order(order));
    bench.wait_secs(40);
    let memory = bench.model.memory(bench.now);
    assert_eq!(memory.commands, [(hold(), Some(Duration::from_secs(60)))]);

    let mut next = Bench::new(rules, &[1, 1]);
    next.apply(Input::Restore(memory.clone()));
    assert_eq!(next.moves(), ["p1 by restored"]);
    assert_eq!(next.snapshot().pools[1].diverged, Diverged::Yes);
    assert_eq!(next.snapshot().standing[0].ends, Some(Moment::at(Duration::from_secs(60))));
    assert_eq!(next.model.memory(next.now), memory);
}

#[test]
fn what_is_configured_no_longer_is_passed_over_when_it_is_restored() {
    let mut bench = two();
    bench.tally(A, tally(0, 5, FailureKind::Refused));
    let mut memory = bench.model.memory(bench.now);
    memory.backends[0].serving = "gone".into();
    memory.backends[0].pools[0].name = "gone too".into();
    memory.backends.push(BackendMemory { name: "gone".into(), ..memory.backends[0].clone() });
    let mut next = two();
    next.apply(Input::Restore(memory));
    assert_eq!((next.serving(), next.moves().len()), (0, 0));
}
