//! Between others' PROXY protocol: a real HAProxy that sends it to us, and a real nginx that reads ours.

use crate::harness::child::{Child, Finished, finish};
use crate::harness::door::Door;
use crate::harness::setup::Setup;
use crate::harness::{admin, eventually, free_address, nginx};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

/// Whom the clients are, who come through HAProxy from its own address.
const CLIENT: &str = "127.0.0.9";

struct Running {
    address: SocketAddr,
    _child: Child,
    /// After the child, which shows its log from there when it is dropped.
    _directory: TempDir,
}

/// An nginx that takes connections with a PROXY header alone, and answers with what that says and what X-Forwarded-For does.
async fn endpoint() -> Running {
    let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
    let http = format!(
        r#"
            access_log off;
            server {{
                listen {address} proxy_protocol;
                location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_server_port $http_x_forwarded_for"; }}
            }}
        "#
    );
    let child = nginx::with(directory.path(), &http);
    Running { address, _child: child, _directory: directory }
}

/// A HAProxy that passes connections on to that address, and checks it all the while.
async fn haproxy(to: SocketAddr, options: &str) -> Running {
    let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
    let config = format!(
        "global\n  maxconn 64\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
         listen pass\n  bind {address}\n  unique-id-format %ci:%cp\n  server us {to} {options} check inter 100ms\n"
    );
    fs::write(directory.path().join("haproxy.cfg"), config).unwrap();
    let mut command = Command::new("/usr/sbin/haproxy");
    command.args(["-db", "-f", "haproxy.cfg"]).current_dir(directory.path());
    let child = Child::start("haproxy", command, directory.path());
    Running { address, _child: child, _directory: directory }
}

async fn curl(door: &Door, address: SocketAddr) -> Finished {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--http1.1", "--interface", CLIENT]).arg("--cacert");
    command.arg(door.certificate_file()).args(["--header", "X-Forwarded-For: 203.0.113.9"]);
    command.arg("--resolve").arg(format!("localhost:{}:127.0.0.1", address.port()));
    command.arg(format!("https://localhost:{}/", address.port()));
    finish(command).await
}

#[tokio::test]
async fn whom_haproxy_names_reaches_nginx_in_each_version() {
    let nginx = endpoint().await;
    for (out, options) in [
        ("v1", "send-proxy"),
        ("v2", "send-proxy"),
        ("v1", "send-proxy-v2"),
        ("v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,cert-cn"),
    ] {
        let mut setup = Setup::new(&[nginx.address], &[free_address()]);
        setup.top = "trusted_proxies = [\"127.0.0.1\"]";
        let text = setup.text().replace("tls = [{", "proxy_protocol = \"require\"\ntls = [{");
        let text = format!("{text}proxy_protocol = \"{out}\"\n");
        let door = Door::start_with_text(&setup, &text).await;
        let haproxy = haproxy(door.address, options).await;
        let mut said = String::new();
        eventually("haproxy has found the way", async || {
            said = curl(&door, haproxy.address).await.out;
            !said.is_empty()
        })
        .await;
        assert_eq!(said, format!("{CLIENT} {} {CLIENT}", haproxy.address.port()), "{options} to {out}");
        eventually("it checks us", async || door.metrics().await.sum("hotspare_connections_accepted_total", &[]) > 5.0)
            .await;
        let metrics = door.metrics().await;
        let failures = |cause| metrics.sum("hotspare_proxy_header_failures_total", &[("cause", cause)]);
        let causes = ["untrusted", "missing", "malformed", "too_long", "cut", "late"];
        assert_eq!(causes.map(failures), [0.0; 6], "its checks are no failures: {options}");
        assert_eq!(metrics.sum("hotspare_tls_handshake_failures_total", &[]), 0.0, "{options}");
        let past = curl(&door, door.address).await;
        assert_ne!(past.code, Some(0), "past the proxy nobody gets in: {past:?}");
        let metrics = door.metrics().await;
        assert_eq!(metrics.sum("hotspare_proxy_header_failures_total", &[("cause", "untrusted")]), 1.0);
        let (_, status) = admin::get(door.admin, "/status").await;
        assert!(!status.contains(CLIENT), "no status names a client");
        door.stop().await;
    }
}
