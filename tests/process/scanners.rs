//! Scanners that others wrote look at the real binary: slowhttptest for slowness, sslyze and testssl.sh for TLS. What they found stands in
//! docs/hostile.md.

use crate::bodies::raise_descriptors;
use crate::harness::child::Child;
use crate::harness::client::Version;
use crate::harness::door::Door;
use crate::harness::eventually;
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use crate::websockets::python;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// testssl.sh takes two minutes where the machine has nothing else to do.
const SCAN: Duration = Duration::from_secs(900);

/// Attackers of slowhttptest, unless `SCAN` says otherwise; where it is set testssl.sh runs, too.
const SLOW: usize = 100;

/// Each attack, in seconds: it goes on that long with connections that it does not see are closed.
const SMALL: &str = "4";
const FULL: &str = "20";

async fn ended(child: &mut Child) -> String {
    let since = Instant::now();
    while child.try_exit().is_none() {
        assert!(since.elapsed() < SCAN, "the scan does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    child.log()
}

fn scan() -> Option<usize> {
    std::env::var("SCAN").ok().map(|count| count.parse().expect("SCAN is a number"))
}

#[tokio::test]
async fn slowhttptest_is_cut_off_by_our_limits_and_the_service_stays_available() {
    raise_descriptors();
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    setup.backend = "";
    setup.probe = r#"{ path = "/health", interval = "10s", timeout = "10s" }"#;
    // All of them come from one address.
    setup.top = "max_connections = 5000\nmax_connections_per_client = 5000";
    let limits = "limits = { header_timeout = \"2s\", body_idle_timeout = \"2s\", send_timeout = \"2s\" }\n";
    let text = setup.text().replace("\n[[backend]]", &format!("\n{limits}[[backend]]"));
    let door = Door::start_with_text(&setup, &text).await;
    let count = scan().unwrap_or(SLOW).to_string();
    let length = if scan().is_some() { FULL } else { SMALL };
    let url = |path: &str| format!("https://localhost:{}{path}", door.address.port());
    let (page, upload) = (url("/index.html"), url("/upload/1"));
    let film = url(&site.largest().path);
    let attacks: [(&str, &str, &[&str]); 3] = [
        ("slowloris", &page, &["-H", "-i", "1", "-x", "24"]),
        ("slow-body", &upload, &["-B", "-i", "1", "-x", "10", "-s", "100000"]),
        ("slow-read", &film, &["-X", "-w", "512", "-y", "1024", "-n", "2", "-z", "32"]),
    ];
    for (name, url, kind) in attacks {
        let mut command = Command::new("slowhttptest");
        command.args(["-c", &count, "-r", "100", "-l", length, "-p", "10", "-u", url]).args(kind);
        let mut attack = Child::start(name, command, door.directory());
        let mut most = 0.0f64;
        while attack.try_exit().is_none() {
            most = most.max(door.metrics().await.sum("hotspare_connections_open", &[]));
            assert_eq!(door.client().get(Version::H2, "/index.html").await.status(), 200);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let said = ended(&mut attack).await;
        let available: Vec<&str> = said.lines().filter(|line| line.contains("service available:")).collect();
        assert!(!available.is_empty() && available.iter().all(|line| line.contains("YES")), "{said}");
        assert!(most >= 10.0, "{name}: hardly anybody came: {most}\n{said}");
        println!("{name}: {count} attackers, {most} connections at most, available all the while");
        eventually(&format!("{name}: all are gone"), async || {
            door.metrics().await.sum("hotspare_connections_open", &[]) == 0.0
        })
        .await;
    }
    let metrics = door.metrics().await;
    let cut = metrics.sum("hotspare_client_timeouts_total", &[])
        + metrics.sum("hotspare_replies_total", &[("kind", "limit")]);
    assert!(cut >= scan().unwrap_or(SLOW) as f64, "{cut} were cut off by our limits");
    door.stop().await;
}

/// With a certificate as a public one would be, but for who signed it: 90 days, P-256.
async fn door(endpoint: &Nginx) -> Door {
    let mut setup = Setup::new(&[endpoint.address], &[endpoint.address]);
    setup.backend = "";
    setup.probe = r#"{ path = "/health", interval = "10s", timeout = "10s" }"#;
    let text: String =
        setup.text().lines().filter(|line| !line.starts_with("secondary")).map(|line| format!("{line}\n")).collect();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let output = Command::new("date").args(["-d", "yesterday", "+%Y %m %d"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let day: Vec<i32> = said.split_whitespace().map(|part| part.parse().unwrap()).collect();
    let [year, month, day] = day[..] else { panic!("a date: {said}") };
    let (month, day) = (u8::try_from(month).unwrap(), u8::try_from(day.min(28)).unwrap());
    params.not_before = date_time_ymd(year, month, day);
    let (year_after, after) = if month > 9 { (year + 1, month - 9) } else { (year, month + 3) };
    params.not_after = date_time_ymd(year_after, after, day);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut door = Door::launch_changed(&setup, &text, |command| {
        let directory = command.get_current_dir().unwrap();
        fs::write(directory.join("site.pem"), certificate.pem()).unwrap();
        fs::write(directory.join("site.key"), key.serialize_pem()).unwrap();
        command
    });
    door.is_ready().await;
    door
}

#[tokio::test]
async fn sslyze_finds_nothing_outside_of_mozillas_intermediate_profile_but_who_signed_the_certificate() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let door = door(&new_jersey).await;
    let mut command = python();
    command.args(["-m", "sslyze", "--mozilla_config=intermediate"]).arg(format!("localhost:{}", door.address.port()));
    let mut scan = Child::start("sslyze", command, door.directory());
    let said = ended(&mut scan).await;
    let (_, verdict) = said.split_once("COMPLIANCE AGAINST TLS CONFIGURATION").unwrap_or_else(|| panic!("{said}"));
    let found: Vec<&str> = verdict.lines().filter_map(|line| line.trim().strip_prefix("* ")).collect();
    assert_eq!(found.len(), 1, "{verdict}");
    assert!(found[0].starts_with("certificate_path_validation:"), "{verdict}");
    door.stop().await;
}

#[tokio::test]
async fn testssl_finds_nothing_but_who_signed_the_certificate() {
    let Some(_) = scan() else { return };
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let door = door(&new_jersey).await;
    let mut command = Command::new("testssl");
    command.args(["--quiet", "--color", "0", "--warnings", "off", "--jsonfile", "found.json"]);
    command.arg(format!("localhost:{}", door.address.port())).current_dir(door.directory());
    let mut running = Child::start("testssl", command, door.directory());
    let said = ended(&mut running).await;
    let found = fs::read_to_string(door.directory().join("found.json")).unwrap();
    let found: Vec<serde_json::Value> = serde_json::from_str(&found).unwrap();
    let text = |one: &serde_json::Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let worse = found.iter().filter(|one| !matches!(&*text(one, "severity"), "OK" | "INFO"));
    let unknown: Vec<String> = worse
        .filter(|one| KNOWN.iter().all(|(id, _)| *id != text(one, "id")))
        .map(|one| format!("{} {}: {}", text(one, "severity"), text(one, "id"), text(one, "finding")))
        .collect();
    println!("testssl.sh: {} findings, {} of them not good and not known", found.len(), unknown.len());
    assert!(found.len() > 50 && unknown.is_empty(), "{unknown:#?}\n{said}");
    door.stop().await;
}

/// What it says that is not good, and why it is so.
const KNOWN: [(&str, &str); 7] = [
    ("engine_problem", "of its own OpenSSL"),
    (
        "cipher_order",
        "the client chooses among what is good, as Mozilla's intermediate profile has it: it knows what its machine is fast at",
    ),
    ("cert_chain_of_trust", "the certificate is made here"),
    ("cert_revocation", "likewise"),
    ("DNS_CAArecord", "localhost has none"),
    ("HSTS", "an endpoint's to say"),
    ("security_headers", "likewise"),
];
