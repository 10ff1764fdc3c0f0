//! Reload after reload under load, each different, every fifth of a broken file, every seventh with another certificate: no request fails,
//! no WebSocket is dropped, and nothing grows. `RELOADS` says how many, and then HAProxy and nginx do the same beside it (`peers`).

mod peers;
mod speaker;

use crate::bodies::raise_descriptors;
use crate::harness::client::Client;
use crate::harness::door::Door;
use crate::harness::eventually;
use crate::harness::free_address;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::report::Report;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use rcgen::CertifiedKey;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use speaker::Speakers;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Unless `RELOADS` says otherwise.
const RELOADS: usize = 50;
/// From one to the next: 500 in a minute.
const PACE: Duration = Duration::from_millis(120);
/// Requests in a second.
const RATE: u32 = 200;
const SPEAKERS: usize = 8;

/// After these the process has what it needs; what it has more at the end is growth.
const WARM: usize = 50;
/// By how much an allocator's own housekeeping differs.
const SLACK: u64 = 6 << 20;

/// Two certificates for localhost, either of which may be in use.
struct Certificates {
    pairs: [CertifiedKey<rcgen::KeyPair>; 2],
}

impl Certificates {
    fn make() -> Certificates {
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Certificates { pairs: [make(), make()] }
    }

    fn trusted(&self) -> Vec<CertificateDer<'static>> {
        self.pairs.iter().map(|pair| pair.cert.der().clone()).collect()
    }

    /// The files of one of them, certificate and key each by a rename.
    fn write(&self, which: usize, directory: &Path) {
        let CertifiedKey { cert, signing_key } = &self.pairs[which % 2];
        replace(&directory.join("site.pem"), &cert.pem());
        replace(&directory.join("site.key"), &signing_key.serialize_pem());
    }

    /// Both in one file.
    fn whole(&self, which: usize) -> String {
        let CertifiedKey { cert, signing_key } = &self.pairs[which % 2];
        cert.pem() + &signing_key.serialize_pem()
    }
}

fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

/// What is changed by a reload.
#[derive(Clone, Copy)]
struct Round {
    number: usize,
}

impl Round {
    fn is_broken(self) -> bool {
        self.number.is_multiple_of(5)
    }

    fn swaps_certificates(self) -> bool {
        self.number.is_multiple_of(7)
    }

    /// Which certificate is in the files from here on.
    fn certificate(self) -> usize {
        self.number / 7
    }
}

/// What users met.
struct Met {
    report: Report,
    dropped: usize,
    took: Duration,
}

/// Users at `address` for as long as `reload` does what it does, `rounds` times.
async fn course(
    address: SocketAddr,
    trusted: Vec<CertificateDer<'static>>,
    site: &Arc<Site>,
    rounds: usize,
    mut reload: impl AsyncFnMut(Round),
) -> Met {
    let client = Client::trusting(address, trusted);
    let speakers = Speakers::start(&client, SPEAKERS).await;
    let load = Load::start(client, site, RATE, Visitors::Downloaders);
    load.goes_on(100).await;
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(PACE);
    for number in 1..=rounds {
        ticks.tick().await;
        reload(Round { number }).await;
    }
    let took = begun.elapsed();
    load.goes_on(100).await;
    Met { report: load.stop().await, dropped: speakers.stop().await, took }
}

/// Everything that goes to one place, WebSockets to another; `round` makes each different.
fn text(setup: &Setup, live: SocketAddr, round: Round) -> String {
    let site = format!(
        r#"
[[backend]]
name = "live"
primary = {{ name = "speaker", endpoints = ["{live}"] }}
probe = {{ path = "/health", interval = "500ms", timeout = "500ms" }}
[[site]]
hosts = ["*", "site-{number}.example"]
backend = "sites"
[[site]]
hosts = ["*"]
path = "/live"
backend = "live"
"#,
        number = round.number
    );
    setup.text() + &site
}

fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

#[tokio::test]
async fn reloads_without_end_cost_nobody_a_request_or_a_websocket_and_nothing_grows() {
    let named = std::env::var("RELOADS").ok().map(|rounds| rounds.parse().expect("RELOADS is a number"));
    raise_descriptors();
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let annex = Nginx::start("annex", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let live = speaker::endpoint().await;
    let ours = ours(named.unwrap_or(RELOADS), &site, [&new_jersey, &annex, &oregon], live).await;
    if let Some(rounds) = named {
        let places = [new_jersey.address, oregon.address];
        let nginx = peers::nginx(rounds, &site, places, live).await;
        let haproxy = peers::haproxy(rounds, &site, places, live).await;
        peers::tell(rounds, &[("Hotspare", ours), ("HAProxy", haproxy), ("nginx", nginx)]);
    }
}

async fn ours(rounds: usize, site: &Arc<Site>, places: [&Nginx; 3], live: SocketAddr) -> Met {
    let [new_jersey, annex, oregon] = places;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    setup.top = "workers = 2";
    let certificates = Certificates::make();
    let mut door = Door::start_with_text(&setup, &text(&setup, live, Round { number: 0 })).await;
    certificates.write(0, door.directory());
    door.signal(Signal::HUP); // from here on it has the certificates that clients trust
    door.reloads("accepted", 1.0).await;
    let second_listener = format!("[[listener]]\naddress = \"{}\"\n", free_address());
    let (mut accepted, mut rejected) = (1.0, 0.0);
    let mut warm = None;
    let (pid, address, trusted) = (door.pid(), door.address, certificates.trusted());
    let met = course(address, trusted, site, rounds, async |round: Round| {
        // A listener comes and goes, an endpoint of the serving pool, and a host.
        setup.primary = match round.number % 2 {
            0 => vec![new_jersey.address],
            _ => vec![new_jersey.address, annex.address],
        };
        let whole = text(&setup, live, round);
        let whole = if round.number.is_multiple_of(3) { whole + &second_listener } else { whole };
        if round.swaps_certificates() {
            certificates.write(round.certificate(), door.directory());
        }
        if round.is_broken() {
            door.rewrite_config(&whole.replace("primary", "primery"));
            rejected += 1.0;
        } else {
            door.rewrite_config(&whole);
            accepted += 1.0;
        }
        door.signal(Signal::HUP);
        let (result, count) = if round.is_broken() { ("rejected", rejected) } else { ("accepted", accepted) };
        door.reloads(result, count).await;
        if round.number == WARM {
            warm = Some((door.memory("VmRSS"), door.descriptors(), threads(pid)));
        }
    })
    .await;
    met.report.assert_all_good();
    assert_eq!(met.dropped, 0, "WebSockets were dropped");
    assert!(met.report.answered_by("annex") > 0, "what the reloads changed was never used");
    let metrics = door.metrics().await;
    assert_eq!(metrics.sum("hotspare_failovers_total", &[]), 0.0);
    assert_eq!(metrics.sum("hotspare_config_taken_back", &[]), 0.0);
    if let Some((memory, descriptors, threads_then)) = warm.filter(|_| rounds > WARM) {
        let most = memory + (memory / 10).max(SLACK);
        eventually("memory, descriptors and threads are what they were after 50", async || {
            door.memory("VmRSS") <= most && door.descriptors() <= descriptors && threads(pid) <= threads_then
        })
        .await;
        println!(
            "after {WARM}: {} KiB, {descriptors} descriptors, {threads_then} threads; after {rounds}: {} KiB, {} and {}",
            memory / 1024,
            door.memory("VmRSS") / 1024,
            door.descriptors(),
            threads(pid)
        );
    }
    door.is_idle().await;
    door.stop().await;
    met
}

/// Killed in the midst of reloads, at any moment: what is left behind keeps no start from serving.
#[tokio::test]
async fn killed_at_any_moment_of_a_reload_it_starts_again_and_serves() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    let mut door = Door::start(&setup).await;
    let mut random = fastrand::Rng::with_seed(7);
    let second_listener = format!("[[listener]]\naddress = \"{}\"\n", free_address());
    for round in 0..12 {
        setup.primary =
            if round % 2 == 0 { vec![new_jersey.address, oregon.address] } else { vec![new_jersey.address] };
        setup.secondary = if round % 2 == 0 { vec![free_address()] } else { vec![oregon.address] };
        let more = if round % 3 == 0 { &*second_listener } else { "" };
        door.rewrite_config(&(setup.text() + more));
        door.signal(Signal::HUP);
        tokio::time::sleep(Duration::from_micros(random.u64(0..30_000))).await; // anywhere in a reload, which takes some 10 ms
        door.crash();
        door.start_again().await;
        let load = Load::start(door.client(), &site, 100, Visitors::Readers);
        load.goes_on(20).await;
        load.stop().await.assert_none_failed();
    }
    door.stop().await;
}
