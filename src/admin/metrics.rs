//! The exposition: one collector that, at each scrape, sums the workers' cells and reads the published view. Nothing is
//! flushed, no worker is asked, and a scrape costs the request path nothing.
//!
//! Series follow the view: one for each backend, pool and endpoint that is configured now, so label values are bounded by
//! the configuration. A removed endpoint's own series end with it; sums over a backend or a pool do not shrink, because a
//! backend counts in its own cells, and [`Departed`] keeps what a pool's removed endpoints had counted.
//!
//! Not here: what is counted and when (`telemetry`, `health`, `proxy`, `edge`), what each metric means (docs/metrics.md).

use super::certificates;
use super::departed::Departed;
use super::family::{Family, Spread, number, seconds};
use super::process::Process;
use crate::config::{Backend, Pool};
use crate::domain::{Diverged, Drained, FailureKind, Lagging, Routing, Steadiness, Waiting};
use crate::health::tally::TallyCell;
use crate::health::{BackendView, EndpointView, PoolView, Published, Tally, View};
use crate::telemetry::cells::PerWorker;
use crate::telemetry::control::Control;
use crate::telemetry::log;
use crate::telemetry::metrics::{
    BackendCells, Buffered, DrainCut, NotIntroduced, ProtocolError, ReplyKind, Rescued, WorkerCells, Workers,
};
use crate::telemetry::names::{self, Metric};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Response classes in the order of [`BackendCells::responses`].
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const ENDPOINT_STATES: [&str; 5] = ["unproven", "up", "suspect", "down", "probation"];
const POOL_STATES: [&str; 3] = ["up", "degraded", "down"];
const WRITES_STATES: [&str; 3] = ["taken", "waiting", "refused"];
const WAITS: [&str; 10] = [
    "not_well",
    "stale",
    "drained",
    "hold_down",
    "probes",
    "intermittent",
    "after_writes",
    "manual",
    "commanded",
    "ramp",
];

/// The metrics page.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
}

impl Exposition {
    pub fn new(published: Arc<Published>, control: Arc<Control>, workers: Arc<Workers>) -> Exposition {
        let describe = |metric: &Metric| {
            let labels = metric.labels.iter().map(|&label| label.to_owned()).collect();
            Desc::new(metric.name.to_owned(), metric.help.to_owned(), labels, Default::default())
                .expect("the constants in `names` are valid: a test describes them all")
        };
        let descriptions = names::ALL.iter().map(describe).collect();
        let scrape = Scrape { published, control, workers, departed: Mutex::default(), descriptions };
        let registry = Registry::new();
        registry.register(Box::new(scrape)).expect("no name stands for two metrics: a test compares them");
        Exposition { registry }
    }

    /// The page in the text format, version 0.0.4.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

struct Scrape {
    published: Arc<Published>,
    control: Arc<Control>,
    workers: Arc<Workers>,
    departed: Mutex<Departed>,
    descriptions: Vec<Desc>,
}

impl Collector for Scrape {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let view = self.published.load(); // one picture for the whole page
        let mut families = requests(&view);
        families.extend(sites(&view));
        families.extend(attempts(&view));
        families.push(heads(&view, &mut self.departed.lock().unwrap_or_else(PoisonError::into_inner)));
        families.extend(health(&view));
        families.extend(standing(&view));
        families.extend(self.control.collect(view.backends.iter().map(|backend| &*backend.config.name)));
        families.extend(connections(&self.workers));
        families.extend(memory(&self.workers, &view));
        families.extend(configuration(&view));
        families.extend(certificates::families(&view.config.certificates));
        families.extend(Process::read().map(process).unwrap_or_default());
        families
    }
}

fn requests(view: &View) -> Vec<MetricFamily> {
    let mut by_class = Family::new(&names::REQUESTS);
    let mut rescued = Family::new(&names::RESCUED);
    let mut duration = Family::new(&names::REQUEST_DURATION);
    for backend in &view.backends {
        let (name, cells) = (&*backend.config.name, &*backend.cells);
        for (i, class) in CLASSES.into_iter().enumerate() {
            by_class.add([name, class], number(cells.sum(|cell| cell.responses[i].get())));
        }
        for by in Rescued::ALL {
            rescued.add([name, by.name()], number(cells.sum(|cell| cell.rescued[by as usize].get())));
        }
        duration.add_histogram([name], &Spread::of(cells.iter().map(|cell| &cell.duration)));
    }
    let simple = |metric, read: fn(&PerWorker<BackendCells>) -> f64| {
        let mut family = Family::new(metric);
        view.backends.iter().for_each(|backend| family.add([&*backend.config.name], read(&backend.cells)));
        family.done()
    };
    vec![
        by_class.done(),
        rescued.done(),
        duration.done(),
        simple(&names::REQUESTS_IN_FLIGHT, |cells| level(cells, |cell| cell.in_flight.get())),
        simple(&names::REQUEST_BODY_BYTES, |cells| number(cells.sum(|cell| cell.bytes_in.get()))),
        simple(&names::RESPONSE_BODY_BYTES, |cells| number(cells.sum(|cell| cell.bytes_out.get()))),
        simple(&names::RETRIES_DENIED, |cells| number(cells.sum(|cell| cell.retries_denied.get()))),
        simple(&names::HEDGES_DENIED, |cells| number(cells.sum(|cell| cell.hedges_denied.get()))),
        simple(&names::WAITING_WRITES, |cells| level(cells, |cell| cell.waiting.get())),
        simple(&names::COPIES, |cells| number(cells.sum(|cell| cell.copies.get()))),
    ]
}

/// Of those sites alone that have a limit: a host may have thousands of them.
fn sites(view: &View) -> [MetricFamily; 2] {
    let mut running = Family::new(&names::SITE_REQUESTS);
    let mut refused = Family::new(&names::SITE_REFUSED);
    for site in view.config.sites.all() {
        if let Some((now, turned_away)) = view.seats.counts(site) {
            running.add([&*site.name()], now as f64);
            refused.add([&*site.name()], number(turned_away));
        }
    }
    [running.done(), refused.done()]
}

fn attempts(view: &View) -> [MetricFamily; 2] {
    let mut outcomes = Family::new(&names::ATTEMPTS);
    let mut in_flight = Family::new(&names::ENDPOINT_IN_FLIGHT);
    for (backend, pool, endpoint, tally) in endpoints(view) {
        for (outcome, count) in by_outcome(tally) {
            outcomes.add([backend, pool, endpoint, outcome], number(count));
        }
        in_flight.add([backend, pool, endpoint], level(&tally.cells, in_flight_at));
    }
    [outcomes.done(), in_flight.done()]
}

/// How many attempts ended how: `good`, then each kind of failure.
pub(super) fn by_outcome(tally: &Tally) -> impl Iterator<Item = (&'static str, u64)> {
    let failed = |kind: FailureKind| (kind.name(), tally.cells.sum(|cell| cell.failed[kind as usize].get()));
    std::iter::once(("good", tally.good())).chain(FailureKind::ALL.into_iter().map(failed))
}

/// Attempts in flight at a worker, for [`sum_of`].
pub(super) fn in_flight_at(cell: &TallyCell) -> i64 {
    cell.in_flight.get()
}

fn heads(view: &View, departed: &mut Departed) -> MetricFamily {
    let mut family = Family::new(&names::ATTEMPT_HEAD);
    for ((backend, pool), spread) in departed.heads(view) {
        family.add_histogram([&*backend, &*pool], &spread);
    }
    family.done()
}

fn health(view: &View) -> [MetricFamily; 4] {
    let mut of_endpoints = Family::new(&names::ENDPOINT_HEALTH);
    let mut of_pools = Family::new(&names::POOL_HEALTH);
    let mut serving = Family::new(&names::SERVING_POOL);
    let mut panic = Family::new(&names::PANIC);
    for backend in view.backends.iter().map(|backend| &*backend.snapshot) {
        for (index, pool) in backend.pools.iter().enumerate() {
            for endpoint in &pool.endpoints {
                let labels = [&*backend.name, &*pool.name, &*endpoint.name];
                of_endpoints.add_states(labels, &ENDPOINT_STATES, endpoint.health.name());
            }
            of_pools.add_states([&*backend.name, &*pool.name], &POOL_STATES, pool.health.name());
            serving.add([&*backend.name, &*pool.name], flag(backend.serving.0 == index));
        }
        panic.add([&*backend.name], flag(backend.routing == Routing::Panic));
    }
    [of_endpoints.done(), of_pools.done(), serving.done(), panic.done()]
}

/// What follows from health beside the serving pool, and what operators said.
fn standing(view: &View) -> Vec<MetricFamily> {
    let mut writes = Family::new(&names::WRITES);
    let mut waits = Family::new(&names::FAILBACK_WAITS);
    let mut commands = Family::new(&names::COMMANDS_STANDING);
    let mut intermittent = Family::new(&names::ENDPOINT_INTERMITTENT);
    let mut drained = Family::new(&names::ENDPOINT_DRAINED);
    let mut lag = Family::new(&names::ENDPOINT_LAG);
    let mut stale = Family::new(&names::POOL_STALE);
    let mut diverged = Family::new(&names::POOL_DIVERGED);
    for backend in view.backends.iter().map(|backend| &*backend.snapshot) {
        let name = &*backend.name;
        writes.add_states([name], &WRITES_STATES, backend.writes.name());
        let present = backend.waiting.map(Waiting::name);
        WAITS.iter().for_each(|reason| waits.add([name, reason], flag(present == Some(reason))));
        commands.add([name], number(u64::try_from(backend.standing.len()).unwrap_or(u64::MAX)));
        for pool in &backend.pools {
            stale.add([name, &*pool.name], flag(pool.lagging == Lagging::Stale));
            diverged.add([name, &*pool.name], flag(pool.diverged == Diverged::Yes));
            for endpoint in &pool.endpoints {
                let labels = [name, &*pool.name, &*endpoint.name];
                intermittent.add(labels, flag(endpoint.steadiness == Steadiness::Intermittent));
                drained.add(labels, flag(endpoint.drained == Drained::Yes));
                if let Some(behind) = endpoint.lag {
                    lag.add(labels, behind.as_secs_f64());
                }
            }
        }
    }
    [writes, waits, commands, intermittent, drained, lag, stale, diverged].map(Family::done).into()
}

fn connections(workers: &Workers) -> Vec<MetricFamily> {
    let mut replies = Family::new(&names::REPLIES);
    for kind in ReplyKind::ALL {
        replies.add([kind.name()], number(workers.sum(|cell| cell.replies[kind as usize].get())));
    }
    let mut not_introduced = Family::new(&names::PROXY_HEADER_FAILURES);
    for cause in NotIntroduced::ALL {
        not_introduced.add([cause.name()], number(workers.sum(|cell| cell.not_introduced[cause as usize].get())));
    }
    let mut protocol_errors = Family::new(&names::PROTOCOL_ERRORS);
    for reason in ProtocolError::ALL {
        protocol_errors.add([reason.name()], number(workers.sum(|cell| cell.protocol_errors[reason as usize].get())));
    }
    let mut drain_cuts = Family::new(&names::DRAIN_CUTS);
    for what in DrainCut::ALL {
        drain_cuts.add([what.name()], number(workers.sum(|cell| cell.drain_cuts[what as usize].get())));
    }
    let mut lag = Family::new(&names::LOOP_LAG);
    for (index, cell) in workers.iter().enumerate() {
        let micros = u64::try_from(cell.loop_lag_micros.get()).unwrap_or(0);
        lag.add([&*index.to_string()], seconds(micros));
    }
    let mut turns = Family::new(&names::LONGEST_TURN);
    for (index, cell) in workers.iter().enumerate() {
        if let Some(nanos) = u64::try_from(cell.longest_turn_nanos.get()).ok().filter(|nanos| *nanos > 0) {
            turns.add([&*index.to_string()], Duration::from_nanos(nanos).as_secs_f64());
        }
    }
    let total = |metric, read: fn(&WorkerCells) -> u64| Family::single(metric, number(workers.sum(read)));
    vec![
        replies.done(),
        not_introduced.done(),
        protocol_errors.done(),
        drain_cuts.done(),
        lag.done(),
        turns.done(),
        total(&names::CONNECTIONS_ACCEPTED, |cell| cell.connections_accepted.get()),
        Family::single(&names::CONNECTIONS_OPEN, level(workers, |cell| cell.connections_open.get())),
        total(&names::CONNECTIONS_REFUSED, |cell| cell.connections_refused.get()),
        total(&names::HANDSHAKES, |cell| cell.handshakes.get()),
        total(&names::HANDSHAKE_FAILURES, |cell| cell.handshakes_failed.get()),
        total(&names::ACCEPT_ERRORS, |cell| cell.accept_errors.get()),
        total(&names::CLIENT_TIMEOUTS, |cell| cell.client_timeouts.get()),
        total(&names::IDLE_TUNNELS, |cell| cell.idle_tunnels.get()),
        total(&names::CONNECTION_PANICS, |cell| cell.panics.get()),
        total(&names::FAILURES_UNTOLD, |cell| cell.notes_lost.get()),
        Family::single(&names::LOG_LINES_DROPPED, number(log::dropped())),
    ]
}

fn memory(workers: &Workers, view: &View) -> [MetricFamily; 3] {
    let mut buffered = Family::new(&names::BUFFERED);
    let mut not_buffered = Family::new(&names::NOT_BUFFERED);
    for what in Buffered::ALL {
        buffered.add([what.name()], level(workers, |cell| cell.buffered[what as usize].get()));
        not_buffered.add([what.name()], number(workers.sum(|cell| cell.not_buffered[what as usize].get())));
    }
    let most = view.config.max_buffered as f64;
    [buffered.done(), Family::single(&names::BUFFERED_MAX, most), not_buffered.done()]
}

fn configuration(view: &View) -> [MetricFamily; 3] {
    let mut build = Family::new(&names::BUILD_INFO);
    build.add([env!("CARGO_PKG_VERSION")], 1.0);
    let most = view.config.max_connections as f64;
    [
        Family::single(&names::CONFIG_GENERATION, number(view.generation.0)),
        Family::single(&names::CONNECTIONS_MAX, most),
        build.done(),
    ]
}

fn process(process: Process) -> Vec<MetricFamily> {
    let no_limit = f64::INFINITY;
    vec![
        Family::single(&names::PROCESS_CPU, process.cpu.as_secs_f64()),
        Family::single(&names::PROCESS_RESIDENT, number(process.resident)),
        Family::single(&names::PROCESS_VIRTUAL, number(process.virtual_size)),
        Family::single(&names::PROCESS_OPEN_FDS, number(process.open_fds)),
        Family::single(&names::PROCESS_MAX_FDS, process.max_fds.map_or(no_limit, number)),
        Family::single(&names::PROCESS_START, process.started.as_secs_f64()),
        Family::single(&names::PROCESS_THREADS, number(process.threads)),
    ]
}

/// Every endpoint with the names of its backend, its pool and itself.
fn endpoints(view: &View) -> impl Iterator<Item = (&str, &str, &str, &Tally)> {
    fn of_pool<'a>(
        backend: &'a Backend,
        (config, pool): (&'a Pool, &'a PoolView),
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a str, &'a Tally)> {
        let named = config.endpoints.iter().zip(&pool.endpoints);
        named.map(|(endpoint, view): (_, &Arc<EndpointView>)| {
            (&*backend.name, &*config.name, &*endpoint.name, &*view.tally)
        })
    }
    fn of_backend(backend: &BackendView) -> impl Iterator<Item = (&str, &str, &str, &Tally)> {
        backend.config.pools.iter().zip(&backend.pools).flat_map(|pool| of_pool(&backend.config, pool))
    }
    view.backends.iter().flat_map(|backend| of_backend(backend))
}

/// The sum over all workers of a gauge.
pub(super) fn sum_of<T>(cells: &PerWorker<T>, read: impl Fn(&T) -> i64) -> i64 {
    cells.iter().map(read).sum()
}

/// A gauge's sum as the exposition's number. Never negative: what begins at a worker ends there.
fn level<T>(cells: &PerWorker<T>, read: impl Fn(&T) -> i64) -> f64 {
    number(u64::try_from(sum_of(cells, read)).unwrap_or(0))
}

pub(super) fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::fixture::{SITES, WORKERS, state, view, with_snapshot};
    use super::*;
    use crate::domain::{
        Cause, Change, Class, EndpointId, Evidence, Health, Moment, Out, PoolHealth, PoolIndex, ProbeFailure,
        Transition,
    };
    use crate::telemetry::cells::WorkerIndex;
    use crate::telemetry::control::Reload;
    use std::collections::{HashMap, HashSet};
    use std::time::Duration;

    fn exposition(state: &State) -> Exposition {
        Exposition::new(state.published.clone(), state.control.clone(), state.workers.clone())
    }

    fn page(state: &State) -> String {
        exposition(state).text().unwrap()
    }

    #[track_caller]
    fn assert_has(page: &str, line: &str) {
        assert!(page.lines().any(|found| found == line), "no line `{line}` in\n{page}");
    }

    /// A process that has seen something of everything.
    fn busy() -> State {
        let failed_over = with_snapshot(view(SITES), |backend| {
            backend.serving = PoolIndex(1);
            backend.pools[0].health = PoolHealth::Down;
            backend.pools[0].endpoints[0].health = Health::Down(Out::ByProbes { passes: 0 });
            backend.pools[1].endpoints[0].lag = Some(Duration::from_millis(2_500));
            backend.pools[0].endpoints[1].health =
                Health::Down(Out::Ejected { until: Moment::at(Duration::from_secs(9)), passes: 0 });
        });
        for worker in (0..WORKERS).map(WorkerIndex) {
            let backend = &failed_over.backends[0];
            backend.cells.of(worker).responses[1].add(20);
            backend.cells.of(worker).duration.observe(Duration::from_millis(4));
            let cell = backend.pools[0].endpoints[0].tally.cells.of(worker);
            cell.good[Class::Safe].add(3);
            cell.failed[FailureKind::Timeout as usize].add(2);
            cell.in_flight.add(1);
            cell.head[Class::Safe].observe(Duration::from_millis(30));
        }
        let state = state(failed_over);
        state.control.transition(&failover());
        state.control.probe("sites", "passed", Duration::from_millis(2));
        state.control.probe("sites", ProbeFailure::Timeout.name(), Duration::from_secs(1));
        state.control.void_probe();
        state.control.reload(Reload::Rejected);
        state.workers.of(WorkerIndex(1)).replies[ReplyKind::UnknownSite as usize].add(4);
        state.workers.of(WorkerIndex(1)).loop_lag_micros.set(1_500);
        state
    }

    fn failover() -> Transition {
        let change = Change::Serving { from: "new-jersey".into(), to: "oregon".into() };
        let evidence = Evidence::Endpoints { up: 0, of: 2, needed: 1 };
        let (at, cause) = (Moment::ZERO, Cause::PoolUnusable);
        Transition { at, backend: Some("sites".into()), change, cause, evidence, first_evidence: None }
    }

    #[test]
    fn the_page_sums_what_all_workers_counted() {
        let page = page(&busy());
        let nj = r#"backend="sites",pool="new-jersey""#;
        for line in [
            r#"hotspare_requests_total{backend="sites",class="2xx"} 40"#,
            r#"hotspare_requests_total{backend="sites",class="5xx"} 0"#,
            r#"hotspare_request_duration_seconds_bucket{backend="sites",le="0.005"} 2"#,
            r#"hotspare_request_duration_seconds_sum{backend="sites"} 0.008"#,
            &format!(r#"hotspare_attempts_total{{{nj},endpoint="10.1.0.11:8080",outcome="good"}} 6"#),
            &format!(r#"hotspare_attempts_total{{{nj},endpoint="10.1.0.11:8080",outcome="timeout"}} 4"#),
            &format!(r#"hotspare_endpoint_in_flight{{{nj},endpoint="10.1.0.11:8080"}} 2"#),
            &format!("hotspare_attempt_head_seconds_count{{{nj}}} 2"),
            &format!(r#"hotspare_endpoint_health{{{nj},endpoint="10.1.0.12:8080",state="down"}} 1"#),
            &format!(r#"hotspare_endpoint_health{{{nj},endpoint="10.1.0.12:8080",state="up"}} 0"#),
            r#"hotspare_serving_pool{backend="sites",pool="new-jersey"} 0"#,
            r#"hotspare_serving_pool{backend="sites",pool="oregon"} 1"#,
            r#"hotspare_failovers_total{backend="sites",cause="pool_unusable"} 1"#,
            r#"hotspare_probes_total{backend="sites",result="timeout"} 1"#,
            r#"hotspare_reloads_total{result="rejected"} 1"#,
            r#"hotspare_replies_total{kind="unknown_site"} 4"#,
            r#"hotspare_loop_lag_seconds{worker="1"} 0.0015"#,
            r#"hotspare_endpoint_lag_seconds{backend="sites",pool="oregon",endpoint="10.2.0.11:8080"} 2.5"#,
            r#"hotspare_certificate_expiry_timestamp_seconds{file="certs/site.pem"} 4102444800"#,
            r#"hotspare_certificate_refused{file="certs/site.pem"} 0"#,
            "hotspare_certificates 1",
            "hotspare_certificate_soonest_expiry_timestamp_seconds 4102444800",
            "hotspare_config_generation 7",
        ] {
            assert_has(&page, line);
        }
        assert_eq!(page.matches("hotspare_endpoint_lag_seconds{").count(), 1, "what is not known is not there");
    }

    #[test]
    fn every_metric_has_a_name_constant_and_every_constant_a_metric() {
        let page = page(&busy());
        let typed: HashMap<&str, &str> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        let named: HashMap<&str, &str> = names::ALL.iter().map(|metric| (metric.name, metric.kind.name())).collect();
        // Transitions of endpoints and operators' commands have no series before the first one, turns none unless measured, and sites
        // without a limit none at all.
        let mut missing: Vec<_> = named.keys().copied().filter(|name| !typed.contains_key(name)).collect();
        missing.sort_unstable();
        let expected = [
            "hotspare_commands_total",
            "hotspare_endpoint_transitions_total",
            "hotspare_longest_turn_seconds",
            "hotspare_site_requests",
            "hotspare_site_requests_refused_total",
        ];
        assert_eq!(missing, expected);
        for (name, kind) in typed {
            assert_eq!(named.get(name), Some(&kind), "{name}");
        }
    }

    /// The rules of the text format that a reader relies on, checked without promtool.
    #[test]
    fn the_page_is_well_formed() {
        let page = page(&busy());
        assert!(page.ends_with('\n'));
        let (mut families, mut seen) = (HashSet::new(), HashSet::new());
        let mut family = "";
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().unwrap();
                assert!(families.insert(family), "{family} comes twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert_eq!(rest.split(' ').next(), Some(family), "type without help");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let name = series.split('{').next().unwrap();
                let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{name} stands under {family}"));
                assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{line}");
                assert!(seen.insert(series), "{series} comes twice");
            }
        }
    }

    #[test]
    fn no_counter_goes_down_when_a_reload_removes_an_endpoint() {
        let state = busy();
        let exposition = exposition(&state);
        let before = exposition.text().unwrap();
        let old = state.published.load();
        let mut next = view(&[("new-jersey", &["10.1.0.12:8080"]), ("oregon", &["10.2.0.11:8080"])]);
        let backend = Arc::get_mut(&mut next.backends[0]).unwrap();
        backend.cells = old.backends[0].cells.clone();
        backend.pools[0].endpoints[0] = old.backends[0].pools[0].endpoints[1].clone();
        backend.pools[1].endpoints[0] = old.backends[0].pools[1].endpoints[0].clone();
        drop(old);
        state.published.store(next);
        let after = exposition.text().unwrap();
        assert!(!after.contains("10.1.0.11:8080"), "series of a removed endpoint end with it");

        let kinds: HashMap<&str, _> = names::ALL.iter().map(|metric| (metric.name, metric.kind)).collect();
        let values = |page: &str| -> HashMap<String, f64> {
            let mut kind = names::Kind::Gauge;
            let mut values = HashMap::new();
            for line in page.lines() {
                if let Some(rest) = line.strip_prefix("# TYPE ") {
                    kind = kinds[rest.split(' ').next().unwrap()];
                } else if !line.starts_with('#') && kind != names::Kind::Gauge {
                    let (series, value) = line.rsplit_once(' ').unwrap();
                    values.insert(series.to_owned(), value.parse().unwrap());
                }
            }
            values
        };
        let (before, after) = (values(&before), values(&after));
        let mut compared = 0;
        for (series, was) in before.iter().filter(|(series, _)| !series.contains("10.1.0.11:8080")) {
            let is = after.get(series).unwrap_or_else(|| panic!("{series} is gone"));
            assert!(is >= was, "{series} went from {was} to {is}");
            compared += 1;
        }
        assert!(compared > 50, "only {compared} series were compared");
    }

    #[test]
    fn a_hostile_name_stays_inside_its_label() {
        let state = busy();
        state.control.transition(&Transition {
            backend: Some("sites".into()),
            first_evidence: None,
            change: Change::Endpoint {
                id: EndpointId(0),
                pool: "p".into(),
                endpoint: "e".into(),
                from: Health::Unproven,
                to: Health::Unproven,
            },
            ..failover()
        });
        state.published.store(view(&[("a\"} 1\nevil 2", &["10.1.0.11:8080"])]));
        let page = page(&state);
        assert!(!page.lines().any(|line| line.starts_with("evil")), "{page}");
    }

    #[cfg(feature = "real")]
    #[test]
    fn promtool_finds_nothing_to_complain_about() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool, from Debian's package `prometheus`");
        promtool.stdin.take().unwrap().write_all(page(&busy()).as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}
