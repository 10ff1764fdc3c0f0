//! Probes of scripted endpoints: what is common to all kinds, and TLS.

use super::*;
use crate::config::Trust;
use crate::health::scripted::{Endpoint, Issuer, Script, refusing_address};
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;

pub(super) const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);
const PASSED: ProbeResult = ProbeResult::Passed;
const ALIVE: Script = Script::Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

pub(super) async fn probed(address: SocketAddr, check: Check, timeout: Duration) -> Heard {
    let target = Target { address: address.into(), introduce: None, check, timeout };
    tokio::task::LocalSet::new().run_until(probe(&target, Clock::start())).await.unwrap()
}

pub(super) fn failed(failure: ProbeFailure) -> ProbeResult {
    ProbeResult::Failed(failure)
}

pub(super) fn http(asked: HttpProbe, host: &str) -> Check {
    Check::Http { asked: Arc::new(asked), host: host.into(), version: HttpVersion::Http1, peer: None }
}

pub(super) fn page() -> Check {
    http(HttpProbe::default(), "www.example.org")
}

fn grpc() -> Check {
    let asked = Arc::new(GrpcProbe { service: "".into(), host: None });
    Check::Grpc { asked, host: "www.example.org".into(), peer: None }
}

fn https(trusted: &Issuer, name: &str) -> Check {
    let name = crate::config::trust::server_name(name).unwrap();
    let (asked, host) = (Arc::default(), "www.example.org".into());
    let peer = Some(Peer { trust: Trust::new(trusted.roots(), None), name });
    Check::Http { asked, host, version: HttpVersion::Http1, peer }
}

#[tokio::test]
async fn a_refused_connect_is_told_from_every_other_failure() {
    let issuer = Issuer::new();
    for check in [page(), Check::Connect, https(&issuer, "a"), grpc()] {
        assert_eq!(probed(refusing_address(), check, LONG).await.result, failed(ProbeFailure::Refused));
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_fails_by_timeout_but_passes_a_tcp_probe() {
    let (endpoint, issuer) = (Endpoint::start(Script::Silent), Issuer::new());
    for check in [page(), https(&issuer, "a"), grpc()] {
        assert_eq!(probed(endpoint.address, check, SHORT).await.result, failed(ProbeFailure::Timeout));
    }
    assert_eq!(probed(endpoint.address, Check::Connect, LONG).await.result, PASSED);
}

#[tokio::test]
async fn a_probe_that_is_given_up_leaves_no_connection_behind() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, issuer) = (listener.local_addr().unwrap(), Issuer::new());
    for check in [page(), https(&issuer, "a"), grpc()] {
        let target = Target { address: address.into(), introduce: None, check, timeout: SHORT };
        let given_up = async {
            let (heard, accepted) = tokio::join!(probe(&target, Clock::start()), listener.accept());
            assert_eq!(heard.unwrap().result, failed(ProbeFailure::Timeout));
            accepted.unwrap().0.read_to_end(&mut Vec::new()).await.unwrap()
        };
        let closed = tokio::time::timeout(LONG, tokio::task::LocalSet::new().run_until(given_up)).await;
        assert!(closed.is_ok(), "{target:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_closes_without_a_word_fails_by_reset() {
    let (endpoint, issuer) = (Endpoint::start(Script::Greet("")), Issuer::new());
    for check in [page(), https(&issuer, "a"), grpc()] {
        assert_eq!(
            probed(endpoint.address, check.clone(), LONG).await.result,
            failed(ProbeFailure::Reset),
            "{check:?}"
        );
    }
    let endpoint = Endpoint::start(Script::Close);
    assert_eq!(probed(endpoint.address, page(), LONG).await.result, failed(ProbeFailure::Reset));
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n"] {
        let endpoint = Endpoint::start(Script::Say(garbage));
        assert_eq!(probed(endpoint.address, page(), LONG).await.result, failed(ProbeFailure::Malformed), "{garbage:?}");
    }
}

#[tokio::test]
async fn one_that_talks_before_it_is_asked_is_malformed() {
    let endpoint = Endpoint::start(Script::Greet("220 smtp.example.org ESMTP\r\n"));
    for _ in 0..20 {
        assert_eq!(probed(endpoint.address, page(), LONG).await.result, failed(ProbeFailure::Malformed));
    }
}

#[tokio::test]
async fn over_tls_the_page_is_asked_for_as_without() {
    let issuer = Issuer::new();
    let endpoint = Endpoint::start_tls(&issuer, "web1.internal", ALIVE);
    let check = https(&issuer, "web1.internal");
    for _ in 0..3 {
        assert_eq!(probed(endpoint.address, check.clone(), LONG).await.result, PASSED);
    }
    let heads = endpoint.heads();
    assert!(heads.len() == 3 && heads[0].contains("host: www.example.org"), "{heads:?}");
    assert!(heads.iter().all(|head| head.ends_with("(a session of its own)")), "the certificate is seen each time");
    let sick = Endpoint::start_tls(&issuer, "web1.internal", Script::Say("HTTP/1.1 500 No\r\n\r\n"));
    let result = probed(sick.address, https(&issuer, "web1.internal"), LONG).await.result;
    assert_eq!(result, failed(ProbeFailure::Status(500)));
}

#[tokio::test]
async fn a_certificate_for_an_address_is_good_for_it() {
    let issuer = Issuer::new();
    let endpoint = Endpoint::start_tls(&issuer, "127.0.0.1", ALIVE);
    assert_eq!(probed(endpoint.address, https(&issuer, "127.0.0.1"), LONG).await.result, PASSED);
    assert_eq!(probed(endpoint.address, https(&issuer, "127.0.0.2"), LONG).await.result, failed(ProbeFailure::Tls));
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_a_stranger_fails_by_tls() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let endpoint = Endpoint::start_tls(&issuer, "web1.internal", ALIVE);
    let another_name = https(&issuer, "web2.internal");
    assert_eq!(probed(endpoint.address, another_name, LONG).await.result, failed(ProbeFailure::Tls));
    let stranger = https(&stranger, "web1.internal");
    assert_eq!(probed(endpoint.address, stranger, LONG).await.result, failed(ProbeFailure::Tls));
    assert!(endpoint.heads().is_empty(), "nothing was asked of it");
}

#[tokio::test]
async fn an_endpoint_without_tls_fails_by_tls_and_one_with_it_is_no_page() {
    let issuer = Issuer::new();
    let plain = Endpoint::start(Script::Greet("HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert_eq!(probed(plain.address, https(&issuer, "a"), LONG).await.result, failed(ProbeFailure::Tls));
    let tls = Endpoint::start_tls(&issuer, "a", ALIVE);
    assert_eq!(probed(tls.address, page(), LONG).await.result, failed(ProbeFailure::Malformed));
}

#[tokio::test]
async fn an_endpoint_that_wants_to_know_who_we_are_fails_by_tls() {
    let issuer = Issuer::new();
    let endpoint = Endpoint::start_mutual_tls(&issuer, "web1.internal", ALIVE);
    let result = probed(endpoint.address, https(&issuer, "web1.internal"), LONG).await.result;
    assert_eq!(result, failed(ProbeFailure::Tls), "though its objection comes after our handshake");
}

/// How the endpoints of a config's only pool are probed.
fn targets(backend: &str) -> Vec<Target> {
    let text = format!("[[listener]]\naddress = '[::]:80'\n[[backend]]\nname = 'sites'\n{backend}");
    let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
    let surroundings = crate::config::Surroundings {
        files: &|_| Ok(ca.clone().into_bytes()),
        directories: &|_| Err(std::io::ErrorKind::NotFound.into()),
        in_force: None,
        secrets: &|_| Err(std::io::ErrorKind::NotFound.into()),
        include: &|_| Ok(Vec::new()),
        state_dir: None,
        resolve: &|_| Ok([10, 9, 0, 1].into()),
        roots: &Vec::new,
        cores: std::num::NonZeroUsize::MIN,
        descriptors: 1024,
    };
    let config =
        crate::config::parse_in("test.toml", &text, &surroundings).unwrap_or_else(|problems| panic!("{problems}"));
    let backend = &config.backends[0];
    backend.pools[0].endpoints.iter().map(|endpoint| Target::of(backend, endpoint)).collect()
}

#[test]
fn a_probe_may_ask_another_port_of_the_same_host() {
    let pool = "primary = { name = 'a', endpoints = ['10.0.0.1:80', '[::1]:80'] }\n";
    for (probe, ports) in [("", [80, 80]), ("probe = { port = 8081 }", [8081, 8081])] {
        let targets = targets(&format!("{pool}{probe}"));
        let said = targets.iter().map(|target| target.address.to_string());
        assert_eq!(said.collect::<Vec<_>>(), [format!("10.0.0.1:{}", ports[0]), format!("[::1]:{}", ports[1])]);
    }
}

#[test]
fn a_certificate_must_be_for_the_probes_host_else_the_pools_name_else_the_endpoint_itself() {
    let names = |pool: &str, probe: &str, rest: &str| -> Vec<String> {
        let endpoints = "['Web1.internal:8443', '10.0.0.1:8443', '[::1]:8443', '10.1:8443']";
        let pool = format!("primary = {{ name = 'a', ca_file = 'ca.pem', endpoints = {endpoints}{pool} }}");
        let targets = targets(&format!("{pool}\nprobe = {{ kind = 'https'{probe} }}\n{rest}"));
        let name = |target: Target| match target.check {
            Check::Http { peer: Some(peer), .. } => peer.name.to_str().into_owned(),
            Check::Connect | Check::Http { .. } | Check::Grpc { .. } => panic!("https is asked for"),
        };
        targets.into_iter().map(name).collect()
    };
    assert_eq!(names("", "", ""), ["web1.internal", "10.0.0.1", "::1", "10.9.0.1"]);
    let site = "[[site]]\nhosts = ['site.example.org']\nbackend = 'sites'\n";
    assert_eq!(
        names("", "", site)[0],
        "web1.internal",
        "that a site is served there makes it no name of the endpoint's"
    );
    assert_eq!(names(", tls_name = 'pool.example.org'", "", site), ["pool.example.org"; 4]);
    let host = ", host = 'Probe.example.org:8443'";
    assert_eq!(names(", tls_name = 'pool.example.org'", host, site), ["probe.example.org"; 4]);
    assert_eq!(names("", ", host = '[::2]:8443'", ""), ["::2"; 4]);
}

#[test]
fn what_is_sent_as_host_is_the_probes_else_the_sites_else_the_endpoints() {
    for kind in ["http", "https", "grpc"] {
        let ca = if kind == "https" { ", ca_file = 'ca.pem'" } else { "" };
        let host = |probe: &str, rest: &str| {
            let pool = format!("primary = {{ name = 'a', endpoints = ['web1:80']{ca} }}");
            let target = targets(&format!("{pool}\nprobe = {{ kind = '{kind}'{probe} }}\n{rest}")).remove(0);
            match target.check {
                Check::Http { host, .. } | Check::Grpc { host, .. } => host.to_string(),
                Check::Connect => panic!("no tcp here"),
            }
        };
        let site = "[[site]]\nhosts = ['*.example.org', 'site.example.org']\nbackend = 'sites'\n";
        assert_eq!(host("", ""), "web1:80");
        assert_eq!(host("", site), "site.example.org");
        assert_eq!(host(", host = 'probe.example.org:81'", site), "probe.example.org:81");
    }
}

#[test]
fn a_reload_that_changes_nothing_changes_no_target() {
    let text =
        "primary = { name = 'a', endpoints = ['10.0.0.1:80'] }\nprobe = { headers = { X-A = 'b' }, expect_body = 'x' }";
    assert_eq!(targets(text), targets(text));
}
