//! Views made by hand for tests: one backend, `sites`, whose first pool serves.

use super::{Asked, Readiness, State, line, reload_line};
use crate::config::Token;
use crate::config::token::SecretFile;
use crate::config::{
    Admin, Backend, Certificate, Certificates, Config, Digest, Endpoint, Limits, Listener, Pair, Pool, Probe,
    ProbeKind, Profile, Protocols, Scheme, Sites, Timeouts, Tls,
};
use crate::domain::Order;
use crate::domain::{
    BackendSnapshot, Diverged, Drained, EndpointId, EndpointSnapshot, Generation, Health, Lagging, Moment, PoolHealth,
    PoolIndex, PoolSnapshot, PoolWrites, Routing, Rules, Steadiness, Writes,
};
use crate::health::{Act, Answer, BackendView, EndpointView, PoolView, Published, Seats, Tally, View};
use crate::runtime::clock::Clock;
use crate::telemetry::cells::PerWorker;
use crate::telemetry::control::Control;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

pub const WORKERS: usize = 2;

/// A pool's name and its endpoints.
pub type Place<'a> = (&'a str, &'a [&'a str]);

/// New Jersey with two endpoints, Oregon with one.
pub const SITES: &[Place] = &[("new-jersey", &["10.1.0.11:8080", "10.1.0.12:8080"]), ("oregon", &["10.2.0.11:8080"])];

/// All endpoints up; ids count from 0.
pub fn view(pools: &[Place]) -> View {
    let backend = Arc::new(backend(pools));
    let mut ids = (0..).map(EndpointId);
    let mut views = Vec::new();
    let mut snapshots = Vec::new();
    for pool in &backend.pools {
        let mut endpoints = Vec::new();
        let mut told = Vec::new();
        for endpoint in &pool.endpoints {
            let id = ids.next().unwrap();
            let tally = Arc::new(Tally::new(id, WORKERS));
            endpoints.push(Arc::new(EndpointView { way: endpoint.way.clone(), tally }));
            let health = Health::Up { failures: 0 };
            told.push(EndpointSnapshot {
                id,
                name: endpoint.name.clone(),
                health,
                since: Moment::ZERO,
                drained: Drained::No,
                steadiness: Steadiness::Steady,
                warm_at: None,
                lag: None,
            });
        }
        let up = (0..endpoints.len()).collect();
        views.push(PoolView {
            usable: true,
            lagging: Lagging::Fresh,
            drained: Drained::No,
            endpoints: endpoints.into(),
            up,
            suspect: Box::default(),
            rest: Box::default(),
        });
        snapshots.push(PoolSnapshot {
            name: pool.name.clone(),
            health: PoolHealth::Up,
            lagging: Lagging::Fresh,
            drained: Drained::No,
            diverged: Diverged::No,
            endpoints: told,
        });
    }
    let snapshot = BackendSnapshot {
        name: backend.name.clone(),
        serving: PoolIndex(0),
        serving_since: Moment::ZERO,
        routing: Routing::Serving,
        ramp: None,
        writes: Writes::To(PoolIndex(0)),
        pools: snapshots,
        waiting: None,
        standing: Vec::new(),
    };
    let pair = pair();
    let config = Config {
        workers: NonZeroUsize::new(WORKERS).unwrap(),
        max_connections: 1_000,
        max_connections_per_client: 1_000,
        max_buffered: 1 << 20,
        drain_timeout: Duration::from_secs(30),
        digest: Digest::default(),
        confirm: Duration::from_secs(30),
        drain_streams: Duration::from_secs(600),
        state_dir: None,
        admin: Admin { address: "127.0.0.1:9900".parse().unwrap(), token: None },
        listeners: vec![Arc::new(listener(&pair))],
        certificates: Certificates::new(vec![pair]),
        sites: Sites::default(),
        backends: vec![backend.clone()],
    };
    let cells = Arc::new(PerWorker::new(WORKERS));
    let (trials, writers) = (Box::default(), Arc::default());
    let snapshot = Arc::new(snapshot);
    let view = BackendView { config: backend, snapshot, pools: views.into(), trials, cells, writers };
    View {
        generation: Generation(7),
        config: Arc::new(config),
        backends: [Arc::new(view)].into(),
        seats: Seats::default(),
        watch: None,
    }
}

/// The same view with its backend's snapshot changed.
pub fn with_snapshot(mut view: View, change: impl FnOnce(&mut BackendSnapshot)) -> View {
    let backend = Arc::get_mut(&mut view.backends[0]).unwrap();
    change(Arc::get_mut(&mut backend.snapshot).unwrap());
    view
}

pub fn state(view: View) -> State {
    State {
        published: Arc::new(Published::new(view)),
        control: Arc::new(Control::new()),
        workers: Arc::new(PerWorker::new(WORKERS)),
        clock: Clock::start(),
        readiness: Readiness::new(),
        recent: Arc::default(),
        line: line().0,
        reloads: reload_line().0,
    }
}

/// The same state with that token configured.
pub fn with_token(view: &mut View, token: &str) {
    let config = Arc::get_mut(&mut view.config).unwrap();
    config.admin.token = Some(Token::of(&SecretFile { bytes: token.into(), mode: 0o600 }).unwrap());
}

/// Stands in for the supervisor: answers by `script`, for as long as it is polled.
pub async fn answer_by(mut asked: mpsc::Receiver<Asked>, mut script: impl FnMut(&Order, Act) -> Answer) -> Infallible {
    while let Some(Asked { order, act, answer }) = asked.recv().await {
        let _ = answer.send(script(&order, act)); // whoever asked may have gone
    }
    std::future::pending().await
}

fn backend(pools: &[Place]) -> Backend {
    let endpoint = |name: &&str| Endpoint::plain(name.parse::<std::net::SocketAddr>().unwrap());
    let pool = |(name, endpoints): &Place| Pool {
        name: (*name).into(),
        endpoints: endpoints.iter().map(endpoint).collect(),
        writes: PoolWrites::After(Duration::ZERO),
        scheme: Scheme::Http,
    };
    let second = Duration::from_secs(1);
    Backend {
        name: "sites".into(),
        pools: pools.iter().map(pool).collect(),
        probe: Probe { kind: ProbeKind::Tcp, port: None, interval: second, timeout: second, fast_interval: second },
        rules: Rules::default(),
        own_writes: 10 * second,
        write_wait: 2 * second,
        timeouts: Timeouts {
            connect: second,
            head: 60 * second,
            body_idle: 60 * second,
            total: None,
            tunnel_idle: second,
        },
        rescue: crate::config::Rescue::default(),
        proxy_protocol: None,
        forwarded: crate::config::ForwardedAs::XForwarded,
    }
}

fn listener(pair: &Arc<Pair>) -> Listener {
    let protocols = Protocols { http1: true, h2: true };
    Listener {
        mode: 0o660,
        address: "[::]:443".parse::<std::net::SocketAddr>().unwrap().into(),
        only_v6: false,
        tls: Tls::new(vec![pair.clone()], protocols, Profile::Intermediate, None).map(Arc::new),
        protocols,
        redirect: None,
        proxy_protocol: crate::config::ProxyProtocol::Off,
        trusted: crate::config::Proxies::default(),
        limits: Limits::default(),
    }
}

/// One certificate for `sites.example`, from `certs/site.pem`, that expires in 2100.
fn pair() -> Arc<Pair> {
    Pair::made(certificate("certs/site.pem", SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800)))
}

/// A certificate for `sites.example`, from that file.
pub fn certificate(file: &str, not_after: SystemTime) -> Certificate {
    static MADE: LazyLock<Arc<CertifiedKey>> = LazyLock::new(|| {
        let made = rcgen::generate_simple_self_signed(["sites.example".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], key))
    });
    let (names, not_before, key) = (vec!["sites.example".into()], SystemTime::UNIX_EPOCH, MADE.clone());
    Certificate { file: file.into(), names, not_before, not_after, key }
}
