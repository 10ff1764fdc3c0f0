//! The whole scene: two data centres with their mirror, the front door before them, visitors at the door.
//!
//! The demo plays on one for as long as it runs, the tour on a fresh one for each fault. Not here: what is said about it.

use super::answer::{CHECK, Receipts};
use super::certificate::{CERT_FILE, Certificate, KEY_FILE};
use super::data_centre::DataCentre;
use super::fault::{Faults, Role};
use super::ledger::Ledger;
use super::local_thread::LocalThread;
use super::mirror;
use super::switches::{self, Switches};
use super::visitors::{Plan, Visitors};
use crate::app::Hotspare;
use crate::config;
use crate::domain::{Name, Percent, Routing};
use crate::health::BackendView;
use crate::runtime::clock::Clock;
use crate::telemetry::metrics::BackendCells;
use anyhow::{Context, anyhow};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

pub const PRIMARY: &str = "new-jersey";
pub const SECONDARY: &str = "oregon";

/// Where it takes place, and how busy it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The front door's addresses; at least one, with real ports.
    pub doors: Vec<SocketAddr>,
    pub admin: SocketAddr,
    /// Visits a second.
    pub rate: u32,
    /// How many of them are POSTs.
    pub posts: Percent,
    pub seed: u64,
}

/// Everything, running.
#[derive(Debug)]
pub struct Scene {
    switches: Switches,
    visitors: Visitors,
    hotspare: Hotspare,
    mirror: LocalThread,
    primary: DataCentre,
    secondary: DataCentre,
}

/// What is left when it is over.
#[derive(Clone, Debug)]
pub struct Aftermath {
    pub ledger: Ledger,
    pub rescued: u64,
    pub primary: Receipts,
    pub secondary: Receipts,
}

/// Who serves users now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    By(Name),
    /// No pool is usable: every endpoint is tried, that of this pool first.
    Hardly(Name),
}

impl Scene {
    /// Starts it all, the front door after the data centres and the visitors last.
    pub async fn start(setting: &Setting, clock: Clock) -> anyhow::Result<Scene> {
        let door = *setting.doors.first().context("a front door needs an address")?;
        let switches = Switches::new(Faults::NONE);
        let centre = |name, role, seed| {
            let started = DataCentre::start(name, role, switches.subscribe(), seed, clock);
            started.with_context(|| format!("the data centre {name} could not be started"))
        };
        let primary = centre(PRIMARY, Role::Primary, setting.seed)?;
        let secondary = centre(SECONDARY, Role::Secondary, setting.seed + 1)?;
        let mirror = mirror::start(primary.shared().clone(), secondary.shared().clone(), switches.subscribe(), clock)?;

        let certificate = Certificate::generate()?;
        let text = config_text(setting, primary.address(), secondary.address());
        let config = config::parse("demo.toml", &text, &|path| certificate.read(path))
            .map_err(|problems| anyhow!("the demo's own configuration is not valid:\n{problems}"))?;
        let mut hotspare = Hotspare::start_with(config, clock, switches::routes(switches.clone())).await?;
        drop(hotspare.take_reloads()); // its configuration is no file

        let plan = Plan { door, rate: setting.rate, posts: setting.posts, seed: setting.seed };
        let visitors = Visitors::start(plan, certificate.trust(), clock)?;
        Ok(Scene { switches, visitors, hotspare, mirror, primary, secondary })
    }

    pub fn switches(&self) -> &Switches {
        &self.switches
    }

    /// What visitors saw so far.
    pub fn ledger(&self) -> Ledger {
        self.visitors.ledger()
    }

    /// Who serves users now.
    pub fn served(&self) -> Served {
        let view = self.hotspare.published().load();
        let backend = &view.backends[0]; // the demo's configuration has one
        let pool = backend.config.pools[backend.snapshot.serving.0].name.clone();
        match backend.snapshot.routing {
            Routing::Serving => Served::By(pool),
            Routing::Panic | Routing::Held => Served::Hardly(pool),
        }
    }

    /// Tells of each change that may change [`Scene::served`].
    pub fn changes(&self) -> watch::Receiver<()> {
        self.hotspare.published().changes()
    }

    /// Ends it all, visitors first, so that no end of ours looks like a failure to them.
    ///
    /// # Errors
    /// A thread of the demo has panicked.
    pub async fn stop(self) -> anyhow::Result<Aftermath> {
        let ledger = self.visitors.stop().await?;
        let rescued = rescued(&self.hotspare);
        self.hotspare.stop().await;
        self.mirror.stop().await?;
        Ok(Aftermath { ledger, rescued, primary: self.primary.stop().await?, secondary: self.secondary.stop().await? })
    }
}

/// Requests that had failed once and yet ended well.
fn rescued(hotspare: &Hotspare) -> u64 {
    let saved = |backend: &Arc<BackendView>| backend.cells.sum(BackendCells::rescued);
    hotspare.published().load().backends.iter().map(saved).sum()
}

/// The front door's configuration, as a file would say it.
fn config_text(setting: &Setting, primary: SocketAddr, secondary: SocketAddr) -> String {
    let Setting { doors, admin, .. } = setting;
    let listeners: String = doors
        .iter()
        .map(|door| {
            format!(
                "[[listener]]\naddress = \"{door}\"\ntls = [{{ cert = \"{CERT_FILE}\", key = \"{KEY_FILE}\" }}]\n\n"
            )
        })
        .collect();
    format!(
        r#"drain_timeout = "2s"

[admin]
address = "{admin}"

{listeners}[[backend]]
name = "sites"
primary = {{ name = "{PRIMARY}", endpoints = ["{primary}"] }}
secondary = {{ name = "{SECONDARY}", endpoints = ["{secondary}"] }}
probe = {{ path = "{CHECK}", interval = "500ms", timeout = "500ms", fall = 2 }}
failback = {{ stable_for = "2s", after_writes = "auto", ramp = "2s" }}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_what_a_file_would_say() {
        let setting = Setting {
            doors: vec!["127.0.0.1:8443".parse().unwrap(), "[::1]:8443".parse().unwrap()],
            admin: "127.0.0.1:9900".parse().unwrap(),
            rate: 1,
            posts: Percent(0),
            seed: 0,
        };
        let text = config_text(&setting, "127.0.0.1:40001".parse().unwrap(), "127.0.0.1:40002".parse().unwrap());
        insta::assert_snapshot!(text, @r#"
        drain_timeout = "2s"

        [admin]
        address = "127.0.0.1:9900"

        [[listener]]
        address = "127.0.0.1:8443"
        tls = [{ cert = "demo.pem", key = "demo.key" }]

        [[listener]]
        address = "[::1]:8443"
        tls = [{ cert = "demo.pem", key = "demo.key" }]

        [[backend]]
        name = "sites"
        primary = { name = "new-jersey", endpoints = ["127.0.0.1:40001"] }
        secondary = { name = "oregon", endpoints = ["127.0.0.1:40002"] }
        probe = { path = "/health", interval = "500ms", timeout = "500ms", fall = 2 }
        failback = { stable_for = "2s", after_writes = "auto", ramp = "2s" }
        "#);
    }
}
