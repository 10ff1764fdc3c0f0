//! The prober with scripted endpoints on real sockets.

use super::super::probe::Check;
use super::*;
use crate::config::{HttpProbe, HttpVersion};
use crate::domain::ProbeFailure;
use crate::health::scripted::{Endpoint, Script, refusing_address};
use std::net::SocketAddr;
use tokio::runtime::{Builder, LocalOptions};

const HOUR: Duration = Duration::from_secs(3_600);
const PACE: Pace = Pace { interval: HOUR, fast_interval: HOUR, fall: 3, rise: 2 };
const UP: Health = Health::Up { failures: 0 };
const ALIVE: Script = Script::Answer { status: 200, promised: 0, sent: 0 };
const PASSED: Outcome = Outcome::Result(Answer { result: ProbeResult::Passed, lag: Lag::Unknown });
const REFUSED: Outcome =
    Outcome::Result(Answer { result: ProbeResult::Failed(ProbeFailure::Refused), lag: Lag::Unknown });

fn target(path: &str, address: SocketAddr) -> Target {
    let asked = Arc::new(HttpProbe { path: path.into(), ..HttpProbe::default() });
    Target {
        address: address.into(),
        introduce: None,
        check: Check::Http { asked, host: "nj:80".into(), version: HttpVersion::Http1, peer: None },
        timeout: Duration::from_secs(30),
    }
}

fn sharer(id: u32) -> Sharer {
    Sharer { endpoint: EndpointId(id), backend: format!("backend{id}").into(), name: "nj:80".into() }
}

fn at(id: u32, target: Target) -> (Sharer, Target, Pace) {
    (sharer(id), target, PACE)
}

fn told(ended: &Ended) -> Vec<u32> {
    ended.sharers.iter().map(|sharer| sharer.endpoint.0).collect()
}

/// Runs the test as the supervisor would; no longer than half a minute.
fn with_prober<F: Future<Output = ()>>(test: impl FnOnce(Prober, Clock) -> F) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    let clock = Clock::start();
    let prober = Prober::new(clock, fastrand::Rng::with_seed(1));
    let run = async { tokio::time::timeout(Duration::from_secs(30), test(prober, clock)).await };
    runtime.block_on(run).expect("ends in time");
}

/// Starts what is due, and takes what ends first.
async fn next(prober: &mut Prober, clock: Clock) -> Ended {
    prober.start_due(clock.now());
    let ended = prober.next_ended().await;
    prober.reschedule(clock.now(), &ended, |_| Some(UP));
    check(prober);
    ended
}

/// What is kept at hand is what looking at all of them would find.
fn check(prober: &Prober) {
    let all = || prober.watched.values();
    assert_eq!(prober.next_due(), all().filter_map(Watched::due).min());
    let probed = all().flat_map(|watched| watched.sharing.values()).all(|sharing| sharing.schedule.has_history());
    assert_eq!(prober.first_round_over(), probed);
}

#[test]
fn everyone_is_probed_at_once_and_one_at_a_time() {
    with_prober(async |mut prober, clock| {
        let alive = Endpoint::start(ALIVE);
        prober.watch(clock.now(), [at(1, target("/", alive.address)), at(2, target("/", refusing_address()))]);
        assert!(prober.next_due().is_some_and(|due| due <= clock.now()));
        prober.start_due(clock.now());
        assert_eq!(prober.next_due(), None);
        prober.hurry(clock.now(), EndpointId(1));
        prober.start_due(clock.now());
        let mut outcomes = BTreeMap::new();
        for _ in 0..2 {
            assert!(!prober.first_round_over());
            let ended = prober.next_ended().await;
            prober.reschedule(clock.now(), &ended, |_| Some(UP));
            outcomes.insert(told(&ended), ended.outcome);
        }
        assert!(prober.first_round_over() && prober.running.is_empty());
        assert_eq!(outcomes, BTreeMap::from([(vec![1], PASSED), (vec![2], REFUSED)]));
    });
}

#[test]
fn identical_probes_run_once_and_are_told_to_all() {
    with_prober(async |mut prober, clock| {
        let alive = Endpoint::start(ALIVE);
        let same = || target("/", alive.address);
        prober
            .watch(clock.now(), [at(1, same()), at(2, target("/other", alive.address)), at(3, same()), at(4, same())]);
        let mut outcomes = BTreeMap::new();
        for _ in 0..2 {
            let ended = next(&mut prober, clock).await;
            let backends: Vec<String> = ended.backends().into_iter().map(ToString::to_string).collect();
            assert_eq!(backends, told(&ended).iter().map(|id| format!("backend{id}")).collect::<Vec<_>>());
            outcomes.insert(told(&ended), ended.outcome);
        }
        assert_eq!(outcomes, BTreeMap::from([(vec![1, 3, 4], PASSED), (vec![2], PASSED)]));
        assert!(prober.first_round_over() && prober.running.is_empty());
        assert_eq!(alive.heads().len(), 2, "one connection for three endpoints");
    });
}

#[test]
fn whatever_differs_is_asked_apart() {
    with_prober(async |mut prober, clock| {
        let (alive, other) = (Endpoint::start(ALIVE), Endpoint::start(ALIVE));
        let same = target("/", alive.address);
        let asked = |asked: HttpProbe, host: &str| {
            let check =
                Check::Http { asked: Arc::new(asked), host: host.into(), version: HttpVersion::Http1, peer: None };
            Target { check, ..same.clone() }
        };
        let lag_header = Some(http::HeaderName::from_static("x-lag"));
        let differing = [
            same.clone(),
            target("/", other.address),
            target("/deep", alive.address),
            Target { check: Check::Connect, ..same.clone() },
            Target { timeout: Duration::from_secs(29), ..same.clone() },
            asked(HttpProbe::default(), "oregon:80"),
            asked(HttpProbe { lag_header, ..HttpProbe::default() }, "nj:80"),
            asked(HttpProbe { expect_status: Box::new([200..=200]), ..HttpProbe::default() }, "nj:80"),
        ];
        let count = differing.len();
        let ids = (1..).map(sharer);
        let targets = ids.zip(differing).map(|(sharer, target)| (sharer, target, PACE));
        let slower = Pace { fall: 4, ..PACE };
        prober.watch(clock.now(), targets.chain([(sharer(99), same.clone(), slower)]));
        for _ in 0..=count {
            assert_eq!(next(&mut prober, clock).await.sharers.len(), 1);
        }
    });
}

#[test]
fn the_quickest_need_of_those_who_share_sets_the_time() {
    with_prober(async |mut prober, clock| {
        let alive = Endpoint::start(ALIVE);
        let pace = Pace { fast_interval: Duration::from_millis(10), ..PACE };
        let same = |id| (sharer(id), target("/", alive.address), pace);
        prober.watch(clock.now(), [same(1), same(2)]);
        next(&mut prober, clock).await;
        let far = clock.now().after(Duration::from_secs(1));
        assert!(prober.next_due().is_some_and(|due| due > far));
        prober.hurry(clock.now(), EndpointId(2));
        check(&prober);
        assert!(prober.next_due().is_some_and(|due| due < far));
        while prober.next_due().is_some_and(|due| due > clock.now()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(told(&next(&mut prober, clock).await), [1, 2]);
        assert_eq!(alive.heads().len(), 2);
    });
}

#[test]
fn who_joins_a_probe_that_runs_is_told_of_it_and_who_leaves_is_not() {
    with_prober(async |mut prober, clock| {
        let alive = Endpoint::start(ALIVE);
        let same = |id| at(id, target("/", alive.address));
        prober.watch(clock.now(), [same(1), same(2)]);
        prober.start_due(clock.now());
        check(&prober);
        prober.watch(clock.now(), [same(2), same(3), at(1, target("/", refusing_address()))]);
        check(&prober);
        let mut outcomes = BTreeMap::new();
        for _ in 0..2 {
            let ended = next(&mut prober, clock).await;
            outcomes.insert(told(&ended), ended.outcome);
        }
        assert_eq!(outcomes, BTreeMap::from([(vec![2, 3], PASSED), (vec![1], REFUSED)]));
        assert_eq!(alive.heads().len(), 1);
    });
}

#[test]
fn a_probe_of_what_is_gone_or_moved_is_not_told() {
    with_prober(async |mut prober, clock| {
        let silent = Endpoint::start(Script::Silent);
        let moving = |address| at(1, target("/", address));
        prober.watch(clock.now(), [moving(silent.address), at(2, target("/2", silent.address))]);
        prober.start_due(clock.now());
        prober.watch(clock.now(), [moving(refusing_address())]);
        let ended = next(&mut prober, clock).await;
        assert_eq!((told(&ended), ended.outcome), (vec![1], REFUSED));
        while let Some(stopped) = prober.running.join_next().await {
            assert!(stopped.is_err_and(|error| error.is_cancelled()));
        }
    });
}

#[test]
fn what_stays_as_it_was_is_not_disturbed() {
    with_prober(async |mut prober, clock| {
        let alive = Endpoint::start(ALIVE);
        let same = || [at(1, target("/", alive.address))];
        prober.watch(clock.now(), same());
        prober.start_due(clock.now());
        prober.watch(clock.now(), same());
        next(&mut prober, clock).await;
        let due = prober.next_due();
        prober.watch(clock.now(), same());
        check(&prober);
        assert_eq!(prober.next_due(), due);
        assert_eq!(alive.heads().len(), 1);
    });
}

#[test]
fn a_new_pace_keeps_the_schedule_but_starts_a_probe_that_ran_anew() {
    with_prober(async |mut prober, clock| {
        let (alive, silent) = (Endpoint::start(ALIVE), Endpoint::start(Script::Silent));
        let paced = |fall| {
            let pace = Pace { fall, ..PACE };
            [(sharer(1), target("/", alive.address), pace), (sharer(2), target("/", silent.address), pace)]
        };
        prober.watch(clock.now(), paced(3));
        next(&mut prober, clock).await;
        assert_eq!(prober.next_due().map(|due| due > clock.now()), Some(true));
        prober.watch(clock.now(), paced(4));
        check(&prober);
        assert!(prober.next_due().is_some_and(|due| due <= clock.now()), "the one that hangs");
        prober.start_due(clock.now());
        assert!(prober.next_due().is_some_and(|due| due > clock.now()), "the other one is not due yet");
    });
}

#[test]
fn a_probe_that_panics_is_told_and_does_not_end_its_endpoints_probes() {
    with_prober(async |mut prober, clock| {
        let alive = Endpoint::start(Script::Silent);
        prober.watch(clock.now(), [at(1, target("not a path", alive.address))]);
        let ended = next(&mut prober, clock).await;
        assert_eq!((told(&ended), ended.outcome), (vec![1], Outcome::Panicked));
        assert!(prober.next_due().is_some());
    });
}
