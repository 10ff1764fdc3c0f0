//! The front door under test: the whole of Hotspare but for its command line, in this process.

use super::client::Client;
use super::endpoint::Endpoint;
use super::eventually;
use super::ports::free_address;
use hotspare::app::{Hotspare, Trouble};
use hotspare::config::{self, Config};
use hotspare::domain::{Class, Command, FailureKind, Force, Health, Order};
use hotspare::health::{Reconfiguration, View};
use hotspare::runtime::clock::Clock;
use hotspare::telemetry::metrics::Rescued;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// What a front door is started with.
pub struct Builder {
    primary: Vec<String>,
    secondary: Vec<String>,
    top: String,
    listener: String,
    backend: String,
    failback: String,
    fall: u32,
    workers: usize,
    primary_keys: String,
    probe_keys: String,
    probe_path: &'static str,
    rest: String,
    files: HashMap<String, Vec<u8>>,
}

/// A running front door.
pub struct Door {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    hotspare: Hotspare,
    built: Builder,
    certificate: Certificate,
}

#[derive(Clone)]
struct Certificate {
    der: CertificateDer<'static>,
    chain: String,
    key: String,
}

impl Door {
    /// One backend, `sites`: probes of /probe every 100 ms, fall 2, rise 1, stable for 300 ms, pools that share their data, no
    /// ramp.
    pub fn builder() -> Builder {
        Builder {
            primary: Vec::new(),
            secondary: Vec::new(),
            top: String::new(),
            listener: String::new(),
            backend: String::new(),
            failback: "stable_for = \"300ms\", after_writes = \"auto\", ramp = \"0s\"".to_owned(),
            fall: 2,
            workers: 2,
            primary_keys: String::new(),
            probe_keys: String::new(),
            probe_path: "path = \"/probe\", ",
            rest: String::new(),
            files: HashMap::new(),
        }
    }

    pub fn client(&self) -> Client {
        self.client_at(1)
    }

    /// A client at 127.0.0.`last`.
    pub fn client_at(&self, last: u8) -> Client {
        let from = IpAddr::from([127, 0, 0, last]);
        Client { address: self.address, from, introduction: Vec::new(), certificate: self.certificate.der.clone() }
    }

    /// The health of an endpoint, by pool and place.
    pub fn health(&self, pool: usize, place: usize) -> Health {
        self.view().backends[0].snapshot.pools[pool].endpoints[place].health
    }

    /// An operator's command.
    pub async fn order(&self, command: Command) {
        let order = Order { command, lasts: None, force: Force::No };
        self.hotspare.order_from_within(order).await.unwrap().unwrap();
    }

    pub fn view(&self) -> Arc<View> {
        self.hotspare.published().load()
    }

    /// The name of the pool that serves.
    pub fn serving(&self) -> String {
        let view = self.view();
        let (_, _pool) = view.backends[0].serving();
        let snapshot = &view.backends[0].snapshot;
        snapshot.pools[snapshot.serving.0].name.to_string()
    }

    pub async fn serves_from(&self, pool: &str) {
        eventually(&format!("{pool} serves"), || self.serving() == pool).await;
    }

    /// The sum over workers of a backend's counter.
    pub fn count(&self, read: impl Fn(&hotspare::telemetry::metrics::BackendCells) -> u64) -> u64 {
        self.view().backends[0].cells.sum(read)
    }

    /// The sum over workers of what each counts apart from any backend.
    pub fn count_at_workers(&self, read: impl Fn(&hotspare::telemetry::metrics::WorkerCells) -> u64) -> u64 {
        self.hotspare.workers().sum(read)
    }

    /// Unsafe requests that wait for a verdict.
    pub fn waiting(&self) -> i64 {
        self.view().backends[0].cells.iter().map(|cells| cells.waiting.get()).sum()
    }

    /// Unsafe requests that run at an endpoint, by pool and place.
    pub fn writes(&self, pool: usize, place: usize) -> i64 {
        self.view().backends[0].pools[pool].endpoints[place].tally.cells.iter().map(|cell| cell.writes.get()).sum()
    }

    /// Requests in flight, by the workers' count.
    pub fn in_flight(&self) -> i64 {
        self.view().backends[0].cells.iter().map(|cells| cells.in_flight.get()).sum()
    }

    /// Failures counted at the primary's first endpoint.
    pub fn failures(&self, kind: FailureKind) -> u64 {
        let view = self.view();
        view.backends[0].pools[0].endpoints[0].tally.cells.sum(|cell| cell.failed[kind as usize].get())
    }

    /// Requests that were saved so.
    pub fn rescued(&self, by: Rescued) -> u64 {
        self.count(|cells| cells.rescued[by as usize].get())
    }

    /// Requests at an endpoint that were answered elsewhere first, of which it is not known yet whether it would have.
    pub fn open_hedges(&self, pool: usize, place: usize) -> i64 {
        self.view().backends[0].pools[pool].endpoints[place].tally.cells.iter().map(|cell| cell.open_hedges.get()).sum()
    }

    /// Good answers counted there.
    pub fn good(&self) -> u64 {
        self.view().backends[0].pools[0].endpoints[0]
            .tally
            .cells
            .sum(|cell| Class::ALL.into_iter().map(|class| cell.good[class].get()).sum::<u64>())
    }

    /// Reloads with a changed builder.
    pub async fn reload(&mut self, change: impl FnOnce(&mut Builder)) {
        change(&mut self.built);
        let config = self.built.config(self.address, self.admin, &self.certificate);
        let change = Reconfiguration::to(Arc::new(config));
        self.hotspare.reconfigure(change).await.unwrap().unwrap();
    }

    /// Drains and ends.
    pub async fn stop(self) {
        self.hotspare.stop().await;
    }
}

impl Builder {
    pub fn primary(mut self, endpoint: &Endpoint) -> Builder {
        self.primary.push(endpoint.text());
        self
    }

    /// An endpoint that is not the harness's.
    pub fn primary_at(mut self, address: SocketAddr) -> Builder {
        self.primary.push(address.to_string());
        self
    }

    pub fn secondary(mut self, endpoint: &Endpoint) -> Builder {
        self.secondary.push(endpoint.text());
        self
    }

    /// An endpoint that is not the harness's.
    pub fn secondary_at(mut self, address: SocketAddr) -> Builder {
        self.secondary.push(address.to_string());
        self
    }

    /// Keys at the top.
    pub fn top(mut self, keys: &str) -> Builder {
        self.top = keys.to_owned();
        self
    }

    pub fn set_top(&mut self, keys: &str) {
        self.top = keys.to_owned();
    }

    /// Keys of the listener's table.
    pub fn listener(mut self, keys: &str) -> Builder {
        self.listener.push_str(keys);
        self.listener.push('\n');
        self
    }

    /// Keys of the backend's table.
    pub fn backend(mut self, keys: &str) -> Builder {
        self.set_backend(keys);
        self
    }

    pub fn set_backend(&mut self, keys: &str) {
        self.backend.push_str(keys);
        self.backend.push('\n');
    }

    /// In place of those.
    pub fn replace_backend(&mut self, keys: &str) {
        self.backend = keys.to_owned();
    }

    /// Keys of the primary pool's table.
    pub fn primary_keys(mut self, keys: &str) -> Builder {
        self.primary_keys = format!(", {keys}");
        self
    }

    /// In place of those.
    pub fn set_primary_keys(&mut self, keys: &str) {
        self.primary_keys = format!(", {keys}");
    }

    /// Another endpoint in place of those of the primary.
    pub fn set_primary(&mut self, endpoint: &Endpoint) {
        self.primary = vec![endpoint.text()];
    }

    /// The same with one that is not the harness's.
    pub fn set_primary_at(&mut self, address: SocketAddr) {
        self.primary = vec![address.to_string()];
    }

    /// Further keys of the probe's table.
    pub fn probe_keys(mut self, keys: &str) -> Builder {
        self.probe_keys = format!(", {keys}");
        self
    }

    /// For kinds of probes that ask for no page.
    pub fn without_probe_path(mut self) -> Builder {
        self.probe_path = "";
        self
    }

    /// In place of the keys of `failback`.
    pub fn failback(mut self, keys: &str) -> Builder {
        self.failback = keys.to_owned();
        self
    }

    /// Threads; with one, all requests meet the same.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers;
        self
    }

    /// Probes that must fail in a row; many: probes decide nothing.
    pub fn fall(mut self, fall: u32) -> Builder {
        self.fall = fall;
        self
    }

    pub fn set_secondary(&mut self, endpoint: &Endpoint) {
        self.secondary = vec![endpoint.text()];
    }

    pub fn set_rest(&mut self, tables: &str) {
        self.rest = tables.to_owned();
    }

    /// Further tables.
    pub fn rest(mut self, tables: &str) -> Builder {
        self.rest.push_str(tables);
        self
    }

    /// A file beside the config.
    pub fn file(mut self, name: &str, text: &str) -> Builder {
        self.set_file(name, text);
        self
    }

    pub fn set_file(&mut self, name: &str, text: &str) {
        self.files.insert(name.to_owned(), text.into());
    }

    pub async fn start(self) -> Door {
        self.try_start().await.unwrap()
    }

    /// The trouble that it has, if it does not start.
    pub async fn try_start(self) -> Result<Door, Trouble> {
        let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter("hotspare=info").try_init();
        let (address, admin) = (free_address(), free_address());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "*.example.org".to_owned()]).unwrap();
        let certificate =
            Certificate { der: made.cert.der().clone(), chain: made.cert.pem(), key: made.signing_key.serialize_pem() };
        let config = self.config(address, admin, &certificate);
        let hotspare = Hotspare::start(config, Clock::start()).await?;
        Ok(Door { address, admin, hotspare, built: self, certificate })
    }

    fn config(&self, address: SocketAddr, admin: SocketAddr, certificate: &Certificate) -> Config {
        let list = |endpoints: &[String]| {
            let quoted: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
            quoted.join(", ")
        };
        let secondary = match &self.secondary[..] {
            [] => String::new(),
            endpoints => format!("secondary = {{ name = \"spare\", endpoints = [{}] }}", list(endpoints)),
        };
        let text = format!(
            r#"
            workers = {workers}
            {top}
            {drain_timeout}
            [admin]
            address = "{admin}"
            [[listener]]
            address = "{address}"
            tls = [{{ cert = "cert.pem", key = "cert.key" }}]
            {}
            [[backend]]
            name = "sites"
            primary = {{ name = "main", endpoints = [{}]{primary_keys} }}
            {secondary}
            probe = {{ {probe_path}interval = "100ms", timeout = "100ms", fast_interval = "50ms", fall = {fall}, rise = 1{probe_keys} }}
            failback = {{ {failback} }}
            {}
            {}
            "#,
            self.listener,
            list(&self.primary),
            self.backend,
            self.rest,
            top = self.top,
            drain_timeout = if self.top.contains("drain_timeout") { "" } else { "drain_timeout = \"5s\"" },
            failback = self.failback,
            fall = self.fall,
            workers = self.workers,
            primary_keys = self.primary_keys,
            probe_keys = self.probe_keys,
            probe_path = self.probe_path,
        );
        let files = |path: &Path| match path.extension().and_then(|kind| kind.to_str()) {
            Some("pem") if !self.files.contains_key(path.to_str().unwrap()) => {
                Ok(certificate.chain.clone().into_bytes())
            }
            Some("key") if !self.files.contains_key(path.to_str().unwrap()) => Ok(certificate.key.clone().into_bytes()),
            _ => self.files.get(path.to_str().unwrap()).cloned().ok_or(std::io::ErrorKind::NotFound.into()),
        };
        config::parse("test.toml", &text, &files)
            .unwrap_or_else(|problems| panic!("{}\n{text}", problems.render(config::Color::Plain)))
    }
}
