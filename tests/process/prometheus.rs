//! A real Prometheus watches the real binary through a failover: what its owner's dashboards and alerts would see.

use crate::harness::child::Child;
use crate::harness::door::Door;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use crate::harness::{admin, eventually, free_address};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

/// A Prometheus of its own on loopback, with its data in a directory that goes with it.
struct Prometheus {
    address: SocketAddr,
    _child: Child,
    /// After the child, which shows its log from there when it is dropped.
    _directory: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes that address twice a second.
    async fn start(scraped: SocketAddr) -> Prometheus {
        let directory = tempfile::tempdir().unwrap();
        let address = free_address();
        let config = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms }}\n\
             scrape_configs:\n\
             - job_name: hotspare\n  static_configs: [{{ targets: [\"{scraped}\"] }}]\n"
        );
        fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address={address}")).current_dir(directory.path());
        let mut child = Child::start("prometheus", command, directory.path());
        eventually("prometheus is ready", async || {
            assert!(child.try_exit().is_none(), "it ended: {}", child.log());
            matches!(admin::try_get(address, "/-/ready").await, Ok((200, _)))
        })
        .await;
        Prometheus { address, _child: child, _directory: directory }
    }

    /// What a query says now: the value of each pool; `""` stands for a series without one.
    async fn by_pool(&self, query: &str) -> BTreeMap<String, f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (status, body) = admin::get(self.address, &format!("/api/v1/query?query={encoded}")).await;
        assert_eq!(status, 200, "{query}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {body}"));
        let read = |series: &Value| {
            let pool = series["metric"]["pool"].as_str().unwrap_or_default().to_owned();
            (pool, series["value"][1].as_str().unwrap().parse().unwrap())
        };
        series.iter().map(read).collect()
    }

    /// Waits until a query says that, and nothing else.
    async fn comes_to_say(&self, query: &str, expected: &[(&str, f64)]) {
        let expected: BTreeMap<String, f64> =
            expected.iter().map(|(pool, value)| ((*pool).to_owned(), *value)).collect();
        eventually(&format!("{query} is {expected:?}"), async || self.by_pool(query).await == expected).await;
    }
}

#[tokio::test]
async fn a_real_prometheus_sees_the_serving_pool_move_and_when() {
    let site = Site::make();
    let mut new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let door = Door::start(&Setup::new(&[new_jersey.address], &[oregon.address])).await;
    let prometheus = Prometheus::start(door.admin).await;
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);

    prometheus.comes_to_say("up{job=\"hotspare\"}", &[("", 1.0)]).await;
    prometheus.comes_to_say("hotspare_serving_pool", &[("new-jersey", 1.0), ("oregon", 0.0)]).await;
    prometheus.comes_to_say("sum(hotspare_failovers_total)", &[("", 0.0)]).await;
    load.goes_on(200).await;

    new_jersey.crash();
    prometheus.comes_to_say("hotspare_serving_pool", &[("new-jersey", 0.0), ("oregon", 1.0)]).await;
    prometheus.comes_to_say("sum(hotspare_failovers_total)", &[("", 1.0)]).await;
    // The alert of docs/metrics.md, and the history that a graph is drawn from.
    prometheus.comes_to_say("hotspare_pool_health{state=\"up\"} == 0", &[("new-jersey", 0.0)]).await;
    prometheus.comes_to_say("changes(hotspare_serving_pool[5m])", &[("new-jersey", 1.0), ("oregon", 1.0)]).await;
    prometheus.comes_to_say("sum(hotspare_requests_rescued_total) > bool 0", &[("", 1.0)]).await;

    load.stop().await.assert_all_good();
    door.stop().await;
}
