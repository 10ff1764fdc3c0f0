//! A supervisor with scripted endpoints on real sockets. Every wait has a deadline, and none asserts how long it took.

use super::*;
use crate::config::{Admin, Backend, Digest, Endpoint as Configured, Pool, Probe, ProbeKind, Scheme, Sites, Timeouts};
use crate::domain::{
    AfterWrites, Cause, Change, Class, Elsewhere, FailedRequest, FailureKind, Fingerprint, Health, PoolIndex,
    PoolWrites, Rules, Weight,
};
use crate::health::scripted::{Endpoint, Script, refusing_address};
use crate::health::{Asking, BackendView, EndpointView, Reporter, Tally, View};
use crate::telemetry::cells::WorkerIndex;
use std::net::SocketAddr;

const ALIVE: Script = Script::Answer { status: 200, promised: 2, sent: 2 };
const HOUR: Duration = Duration::from_secs(3_600);
const MILLI: Duration = Duration::from_millis(1);

/// Probes often, and falls back soon.
fn brisk() -> Probe {
    let kind = ProbeKind::Http(Arc::default());
    Probe { kind, port: None, interval: 50 * MILLI, timeout: 10_000 * MILLI, fast_interval: 10 * MILLI }
}

async fn reconfigure(supervisor: &Supervisor, config: Arc<Config>) -> Reconfigured {
    supervisor.reconfigure(Reconfiguration::to(config)).await.unwrap()
}

/// Each pool has one endpoint.
fn backend(name: &str, probe: Probe, pools: &[(&str, SocketAddr)]) -> Arc<Backend> {
    Arc::new(Backend {
        name: name.into(),
        pools: pools
            .iter()
            .map(|(name, address)| Pool {
                name: (*name).into(),
                endpoints: vec![Configured::plain(*address)],
                writes: PoolWrites::After(Duration::ZERO),
                scheme: Scheme::Http,
            })
            .collect(),
        probe,
        rules: Rules {
            fall: 2,
            ejection_time: 10_000 * MILLI,
            min_dwell: Duration::ZERO,
            stable_for: 100 * MILLI,
            after_writes: AfterWrites::Auto,
            ramp: Duration::ZERO,
            ..Rules::default()
        },
        own_writes: 1_000 * MILLI,
        write_wait: 1_000 * MILLI,
        timeouts: Timeouts {
            connect: 1_000 * MILLI,
            head: HOUR,
            body_idle: HOUR,
            total: None,
            tunnel_idle: 1_000 * MILLI,
        },
        rescue: crate::config::Rescue::default(),
        proxy_protocol: None,
        forwarded: crate::config::ForwardedAs::XForwarded,
    })
}

fn config(backends: impl Into<Vec<Arc<Backend>>>) -> Arc<Config> {
    Arc::new(Config {
        workers: std::num::NonZeroUsize::MIN,
        max_connections: 1_000,
        max_connections_per_client: 1_000,
        max_buffered: 1 << 20,
        drain_timeout: HOUR,
        digest: Digest::default(),
        confirm: Duration::ZERO,
        drain_streams: HOUR,
        state_dir: None,
        admin: Admin { address: "127.0.0.1:0".parse().unwrap(), token: None },
        listeners: Vec::new(),
        certificates: Default::default(),
        sites: Sites::default(),
        backends: backends.into(),
    })
}

fn start(config: Arc<Config>) -> Supervisor {
    Supervisor::start(config, 1, Clock::start(), Arc::new(Control::new()), Records::none(), 1).unwrap()
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let poll = async {
        while !is_so() {
            tokio::time::sleep(MILLI).await;
        }
    };
    tokio::time::timeout(30_000 * MILLI, poll).await.unwrap_or_else(|_| panic!("not so within 30 s: {what}"));
}

fn first_backend(supervisor: &Supervisor) -> Arc<BackendView> {
    supervisor.published.load().backends[0].clone()
}

fn endpoint(view: &View, backend: usize, pool: usize) -> Arc<EndpointView> {
    view.backends[backend].pools[pool].endpoints[0].clone()
}

fn health(supervisor: &Supervisor, pool: usize) -> Health {
    first_backend(supervisor).snapshot.pools[pool].endpoints[0].health
}

fn asking(client: u64) -> Asking {
    Asking { class: Class::Safe, client: Fingerprint(client), path: Fingerprint(client) }
}

fn good(reporter: &Reporter, tally: &Tally) {
    reporter.good(tally, asking(1), Moment::ZERO, Moment::ZERO);
}

fn fail(reporter: &Reporter, tally: &Tally, kind: FailureKind) {
    let Asking { class, client, path } = asking(1);
    let (weight, elsewhere) = (Weight::Full, Elsewhere::Unknown);
    let failed = FailedRequest { kind, class, weight, client, path, elsewhere };
    reporter.tell(Note { endpoint: tally.id, at: MOST, failed });
}

/// After every good answer.
const MOST: Moment = Moment::at(HOUR);

async fn serves(supervisor: &Supervisor, pool: usize) {
    let serving = || first_backend(supervisor).snapshot.serving;
    eventually(&format!("pool {pool} serves"), || serving() == PoolIndex(pool)).await;
}

#[tokio::test]
async fn traffic_moves_off_a_killed_primary_and_back_when_it_returns() {
    let (primary, secondary) = (Endpoint::start(ALIVE), Endpoint::start(ALIVE));
    let pools = [("new-jersey", primary.address), ("oregon", secondary.address)];
    let supervisor = start(config([backend("sites", brisk(), &pools)]));
    supervisor.first_round().await;
    assert_eq!(first_backend(&supervisor).snapshot.serving, PoolIndex(0));
    assert_eq!(health(&supervisor, 0).name(), "up");

    let address = primary.address;
    drop(primary);
    serves(&supervisor, 1).await;
    let down = first_backend(&supervisor);
    assert!(!down.pools[0].usable && down.pools[0].up.is_empty() && *down.pools[1].up == [0]);

    let _primary = Endpoint::start_at(address, ALIVE);
    serves(&supervisor, 0).await;
    let causes: Vec<Cause> = supervisor
        .recent()
        .all()
        .into_iter()
        .filter(|told| matches!(told.transition.change, Change::Serving { .. }))
        .map(|told| told.transition.cause)
        .collect();
    assert_eq!(causes, [Cause::PoolUnusable, Cause::HoldDownOver]);
}

#[tokio::test]
async fn a_reload_keeps_what_stays_and_stops_probing_what_is_gone() {
    let [secondary, other] = [(); 2].map(|()| Endpoint::start(ALIVE));
    let gone = refusing_address();
    let pools = [("new-jersey", gone), ("oregon", secondary.address)];
    let supervisor =
        start(config([backend("sites", brisk(), &pools), backend("shop", brisk(), &[("x", other.address)])]));
    serves(&supervisor, 1).await;
    let before = supervisor.published.load();

    let replaced = [("new-jersey", gone), ("oregon", secondary.address), ("ohio", other.address)];
    let generation = reconfigure(&supervisor, config([backend("sites", brisk(), &replaced)])).await.unwrap();
    assert_eq!(generation, Generation(2));
    let after = supervisor.published.load();
    assert_eq!((after.generation, after.backends.len()), (Generation(2), 1));
    for pool in [0, 1] {
        assert!(Arc::ptr_eq(&endpoint(&before, 0, pool).tally, &endpoint(&after, 0, pool).tally));
    }
    assert!(Arc::ptr_eq(&before.backends[0].cells, &after.backends[0].cells));
    assert_eq!(after.backends[0].snapshot.serving, PoolIndex(1));
    assert_eq!(health(&supervisor, 0).name(), "down");
    // The same address in another pool is another endpoint.
    assert_ne!(endpoint(&before, 1, 0).tally.id, endpoint(&after, 0, 2).tally.id);

    let fewer = [("oregon", secondary.address)];
    reconfigure(&supervisor, config([backend("sites", brisk(), &fewer)])).await.unwrap();
    let (probed, still) = (other.heads().len(), secondary.heads().len());
    eventually("the one that stays is probed", || secondary.heads().len() > still + 5).await;
    assert!(other.heads().len() <= probed + 1, "the one that is gone is not, but for what was on its way");
}

#[tokio::test]
async fn an_endpoint_that_moves_to_another_address_is_probed_there_at_once() {
    let (before, after) = (Endpoint::start(ALIVE), Endpoint::start(ALIVE));
    let moving = |address: SocketAddr| {
        let mut moving = backend("sites", Probe { interval: HOUR, ..brisk() }, &[("new-jersey", address)]);
        let endpoint = &mut Arc::get_mut(&mut moving).unwrap().pools[0].endpoints[0];
        endpoint.name = "web.example.org:8080".into();
        config([moving])
    };
    let supervisor = start(moving(before.address));
    supervisor.first_round().await;
    let tally = endpoint(&supervisor.published.load(), 0, 0).tally.clone();
    reconfigure(&supervisor, moving(after.address)).await.unwrap();
    let moved = endpoint(&supervisor.published.load(), 0, 0);
    assert!(moved.way.address == after.address.into() && Arc::ptr_eq(&moved.tally, &tally));
    eventually("probed at its new address", || !after.heads().is_empty()).await;
    assert!(after.heads()[0].contains("host: web.example.org:8080"));
}

#[tokio::test]
async fn one_probe_of_what_two_backends_share_is_told_to_both() {
    let (primary, secondary) = (Endpoint::start(ALIVE), Endpoint::start(ALIVE));
    let pools = [("new-jersey", primary.address), ("oregon", secondary.address)];
    let seldom = || Probe { interval: HOUR, ..brisk() };
    let supervisor = start(config([backend("sites", seldom(), &pools), backend("shop", seldom(), &pools)]));
    let reporter = supervisor.reporter(WorkerIndex(0));
    supervisor.first_round().await;
    assert_eq!((primary.heads().len(), secondary.heads().len()), (1, 1));
    drop(primary);
    reporter.ask_verdict(&endpoint(&supervisor.published.load(), 0, 0).tally);
    let serving = |backend: usize| supervisor.published.load().backends[backend].snapshot.serving;
    eventually("both moved", || serving(0) == PoolIndex(1) && serving(1) == PoolIndex(1)).await;
    let asked = secondary.heads().len();
    assert!((2..=4).contains(&asked), "{asked}: for a sign of life, and no more often than for one backend");
}

#[tokio::test]
async fn a_verdict_that_is_asked_for_does_not_wait_for_the_interval() {
    let (primary, secondary) = (Endpoint::start(ALIVE), Endpoint::start(ALIVE));
    let pools = [("new-jersey", primary.address), ("oregon", secondary.address)];
    let supervisor = start(config([backend("sites", Probe { interval: HOUR, ..brisk() }, &pools)]));
    let reporter = supervisor.reporter(WorkerIndex(0));
    supervisor.first_round().await;
    drop(primary);
    reporter.ask_verdict(&endpoint(&supervisor.published.load(), 0, 0).tally);
    serves(&supervisor, 1).await;
}

#[tokio::test]
async fn refused_requests_take_an_endpoint_down_before_any_probe_does() {
    let (primary, secondary) = (Endpoint::start(ALIVE), Endpoint::start(ALIVE));
    let pools = [("new-jersey", primary.address), ("oregon", secondary.address)];
    let supervisor = start(config([backend("sites", Probe { interval: HOUR, ..brisk() }, &pools)]));
    let reporter = supervisor.reporter(WorkerIndex(0));
    supervisor.first_round().await;
    let tally = endpoint(&supervisor.published.load(), 0, 0).tally.clone();
    good(&reporter, &tally);
    (0..5).for_each(|_| fail(&reporter, &tally, FailureKind::Refused));
    serves(&supervisor, 1).await;
    let cause =
        |told: &Told| matches!(told.transition.change, Change::Endpoint { .. }).then_some(told.transition.cause);
    assert!(supervisor.recent().all().iter().filter_map(cause).any(|cause| cause == Cause::Refused));
}

#[tokio::test]
async fn requests_that_wait_are_looked_at_though_nothing_ends() {
    let (primary, secondary) = (Endpoint::start(Script::Silent), Endpoint::start(ALIVE));
    let pools = [("new-jersey", primary.address), ("oregon", secondary.address)];
    let supervisor = start(config([backend("sites", Probe { interval: HOUR, ..brisk() }, &pools)]));
    let reporter = supervisor.reporter(WorkerIndex(0));
    eventually("the other one is up", || health(&supervisor, 1).name() == "up").await;
    let tally = endpoint(&supervisor.published.load(), 0, 0).tally.clone();
    let _places: Vec<_> = (0..5).map(|n| reporter.waits(&tally, asking(n), Moment::ZERO)).collect();
    serves(&supervisor, 1).await;
    let cause =
        |told: &Told| matches!(told.transition.change, Change::Endpoint { .. }).then_some(told.transition.cause);
    let causes: Vec<Cause> = supervisor.recent().all().iter().filter_map(cause).collect();
    assert!(causes.contains(&Cause::Stalled) && causes.contains(&Cause::StallConfirmed), "{causes:?}");
}

#[tokio::test]
async fn forty_reloads_in_a_row_lose_nothing() {
    let (primary, secondary) = (Endpoint::start(ALIVE), Endpoint::start(ALIVE));
    let pools = [("new-jersey", primary.address), ("oregon", secondary.address)];
    let same = || config([backend("sites", brisk(), &pools)]);
    let supervisor = start(same());
    let reporter = supervisor.reporter(WorkerIndex(0));
    supervisor.first_round().await;
    let first = supervisor.published.load();
    for round in 2..=41 {
        good(&reporter, &endpoint(&supervisor.published.load(), 0, 0).tally);
        assert_eq!(reconfigure(&supervisor, same()).await, Ok(Generation(round)));
        let view = supervisor.published.load();
        assert_eq!((view.generation, health(&supervisor, 0).name()), (Generation(round), "up"));
        assert_eq!(view.backends[0].snapshot, first.backends[0].snapshot);
    }
    assert_eq!(endpoint(&supervisor.published.load(), 0, 0).tally.good(), 40);
    let (one, other) = (primary.heads().len(), secondary.heads().len());
    eventually("both are probed still", || primary.heads().len() > one && secondary.heads().len() > other).await;
    drop(primary);
    serves(&supervisor, 1).await;
}

#[tokio::test]
async fn the_first_round_ends_with_every_verdict_or_with_the_timeout() {
    let (alive, silent) = (Endpoint::start(ALIVE), Endpoint::start(Script::Silent));
    let supervisor = start(config([backend("sites", brisk(), &[("a", alive.address), ("b", refusing_address())])]));
    supervisor.first_round().await;
    assert_eq!((health(&supervisor, 0).name(), health(&supervisor, 1).name()), ("up", "down"));

    let slow = Probe { timeout: 200 * MILLI, ..brisk() };
    let supervisor = start(config([backend("sites", slow, &[("a", alive.address), ("b", silent.address)])]));
    let round = tokio::time::timeout(30_000 * MILLI, supervisor.first_round()).await;
    assert!(round.is_ok() && health(&supervisor, 0).name() == "up");
}

#[tokio::test]
async fn only_what_changed_is_published_anew() {
    let [primary, secondary, other] = [(); 3].map(|()| Endpoint::start(ALIVE));
    let pools = [("new-jersey", primary.address), ("oregon", secondary.address)];
    let supervisor =
        start(config([backend("sites", brisk(), &pools), backend("shop", brisk(), &[("x", other.address)])]));
    supervisor.first_round().await;
    let settled = supervisor.published.load();
    let probed = other.heads().len();
    eventually("more probes pass", || other.heads().len() > probed + 3).await;
    assert!(Arc::ptr_eq(&settled, &supervisor.published.load()), "a passed probe is no news");

    let mut changes = supervisor.published.changes();
    drop(primary);
    serves(&supervisor, 1).await;
    assert!(changes.has_changed().unwrap(), "whoever waits for news was nudged");
    changes.mark_unchanged();
    let moved = supervisor.published.load();
    assert!(!Arc::ptr_eq(&settled.backends[0], &moved.backends[0]));
    assert!(Arc::ptr_eq(&settled.backends[1], &moved.backends[1]));
}

#[tokio::test]
async fn it_stops_while_probes_hang() {
    let silent = Endpoint::start(Script::Silent);
    let supervisor = start(config([backend("sites", brisk(), &[("a", silent.address)])]));
    let published = supervisor.published.clone();
    let (stopped, waits) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        drop(supervisor);
        stopped.send(()).unwrap();
    });
    waits.recv_timeout(30_000 * MILLI).expect("it stops");
    assert_eq!(published.load().generation, Generation(1), "the last view stays");
}
