//! HTTP, exactly: raw bytes in, and what the endpoint and the client saw of them, over TLS, one case after the other. Cases are
//! data; each names the section of an RFC, or the CVE, that it is from.
//!
//! `HOTSPARE_BIN` names the binary; without it, it is the one that cargo built with these tests. `CONFORMANCE=nginx` (or `haproxy`,
//! `caddy`, `all`) puts another proxy in its place and shows a table; with `WRITE=1` it goes to docs/conformance.md. `CASE=text` runs
//! only the cases with that in their names.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod expect_1xx;
mod fields;
mod framing;
mod h2_frames;
mod h2_limits;
mod h2_requests;
mod harness;
mod hop_by_hop;
mod host;
mod methods;
mod request_line;
mod responses;
mod statuses;
mod upgrades;

use harness::case::Case;
use harness::door::Proxy;
use harness::page::{self, Column};
use harness::run;
use std::collections::BTreeSet;

fn cases() -> Vec<(&'static str, Case)> {
    let topics: [(&'static str, Vec<Case>); 13] = [
        ("request line", request_line::cases()),
        ("fields", fields::cases()),
        ("host", host::cases()),
        ("framing", framing::cases()),
        ("hop-by-hop", hop_by_hop::cases()),
        ("methods", methods::cases()),
        ("Expect and 1xx", expect_1xx::cases()),
        ("statuses", statuses::cases()),
        ("responses", responses::cases()),
        ("HTTP/2 requests", h2_requests::cases()),
        ("HTTP/2 frames", h2_frames::cases()),
        ("HTTP/2 limits", h2_limits::cases()),
        ("upgrades", upgrades::cases()),
    ];
    topics.into_iter().flat_map(|(topic, cases)| cases.into_iter().map(move |case| (topic, case))).collect()
}

#[test]
fn http_is_spoken_exactly_in_every_case() {
    let named = std::env::var("CONFORMANCE").ok();
    let proxies: Vec<Proxy> = match named.as_deref() {
        None => vec![Proxy::Hotspare],
        Some("all") => Proxy::ALL.to_vec(),
        Some(name) => Proxy::ALL.into_iter().filter(|proxy| proxy.name().eq_ignore_ascii_case(name)).collect(),
    };
    assert!(!proxies.is_empty(), "CONFORMANCE is nginx, haproxy, caddy, hotspare or all, not {named:?}");
    let part = std::env::var("CASE").unwrap_or_default();
    let cases: Vec<_> = cases().into_iter().filter(|(_, case)| case.name.contains(&part)).collect();
    let columns: Vec<Column> = proxies
        .into_iter()
        .map(|proxy| Column { proxy, version: proxy.version(), verdicts: run::all(proxy, &cases) })
        .collect();
    for column in &columns {
        let failed: Vec<String> =
            column.verdicts.iter().filter(|verdict| verdict.failed()).map(|verdict| verdict.story()).collect();
        println!(
            "{}: {} of {} cases failed\n\n{}\n",
            column.proxy.name(),
            failed.len(),
            cases.len(),
            failed.join("\n\n")
        );
        if named.is_none() {
            assert!(failed.is_empty(), "{} cases failed", failed.len());
        }
    }
    println!("{}", page::table(&columns));
    if std::env::var_os("WRITE").is_some() && named.as_deref() == Some("all") {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md"), page::page(&columns)).unwrap();
    }
}

#[test]
fn there_are_300_cases_and_each_says_what_it_is_and_whence() {
    let cases = cases();
    assert!(cases.len() >= 300, "{}", cases.len());
    let names: BTreeSet<&str> = cases.iter().map(|(_, case)| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    for (_, case) in &cases {
        assert!(case.source.starts_with("RFC ") || case.source.starts_with("CVE-"), "{}: {}", case.name, case.source);
        assert!(!case.outcomes.is_empty(), "{}: nothing must hold", case.name);
    }
}
