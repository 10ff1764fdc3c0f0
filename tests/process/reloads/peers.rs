//! HAProxy and nginx, reloaded in the same way in the same run, with a config of equal care: docs/reload.md has what came of it.

use super::{Certificates, Met, Round, course, replace};
use crate::harness::child::Child;
use crate::harness::site::Site;
use crate::harness::{eventually, free_address};
use rustix::process::Signal;
use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Wherever they are, they listen before the course begins.
async fn listens(address: SocketAddr) {
    eventually("it listens", async || TcpStream::connect(address).is_ok()).await;
}

pub async fn nginx(rounds: usize, site: &Arc<Site>, places: [SocketAddr; 2], live: SocketAddr) -> Met {
    let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
    let (certificates, path) = (Certificates::make(), directory.path().to_owned());
    certificates.write(0, &path);
    let text = |round: Round| nginx_text(address, places, live, round);
    fs::write(path.join("nginx.conf"), text(Round { number: 0 })).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(&path).args(["-c", "nginx.conf", "-e", "error.log"]);
    let mut child = Child::start("nginx", command, &path);
    listens(address).await;
    course(address, certificates.trusted(), site, rounds, async |round: Round| {
        change(&certificates, &path, round, "nginx.conf", &text(round), "proxy_pass", "proxi_pass");
        child.signal(Signal::HUP);
    })
    .await
}

pub async fn haproxy(rounds: usize, site: &Arc<Site>, places: [SocketAddr; 2], live: SocketAddr) -> Met {
    let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
    let (certificates, path) = (Certificates::make(), directory.path().to_owned());
    fs::write(path.join("site.pem"), certificates.whole(0)).unwrap();
    let text = |round: Round| haproxy_text(address, places, live, round);
    fs::write(path.join("haproxy.cfg"), text(Round { number: 0 })).unwrap();
    let mut command = Command::new("/usr/sbin/haproxy");
    command.args(["-W", "-f", "haproxy.cfg"]).current_dir(&path);
    let mut child = Child::start("haproxy", command, &path);
    listens(address).await;
    course(address, certificates.trusted(), site, rounds, async |round: Round| {
        change(&certificates, &path, round, "haproxy.cfg", &text(round), "default_backend", "defolt_backend");
        if round.swaps_certificates() {
            replace(&path.join("site.pem"), &certificates.whole(round.certificate()));
        }
        child.signal(Signal::USR2);
    })
    .await
}

fn change(certificates: &Certificates, directory: &Path, round: Round, file: &str, text: &str, word: &str, slip: &str) {
    if round.swaps_certificates() && file == "nginx.conf" {
        certificates.write(round.certificate(), directory);
    }
    let text = if round.is_broken() { text.replace(word, slip) } else { text.to_owned() };
    replace(&directory.join(file), &text);
}

/// As benches/drill/nginx.conf, whose choices docs/drill.md reviews. WebSockets keep old workers until they end: no
/// `worker_shutdown_timeout`, which would cut them.
fn nginx_text(address: SocketAddr, [primary, spare]: [SocketAddr; 2], live: SocketAddr, round: Round) -> String {
    format!(
        r#"daemon off;
pid nginx.pid;
user root root;
worker_processes 2;
error_log error.log notice;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream sites {{
        zone sites 64k;
        server {primary} max_fails=1 fail_timeout=10s;
        server {spare} backup max_fails=0;
        keepalive 64;
    }}
    server {{
        listen {address} ssl http2;
        server_name localhost site-{number}.example;
        ssl_certificate site.pem;
        ssl_certificate_key site.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        location / {{
            proxy_pass http://sites;
            proxy_set_header Connection "";
            proxy_next_upstream error timeout http_500 http_502 http_503 http_504;
        }}
        location /live {{
            proxy_pass http://{live};
            proxy_set_header Connection upgrade;
            proxy_set_header Upgrade websocket;
        }}
    }}
}}
"#,
        number = round.number
    )
}

/// As benches/drill/haproxy.cfg. WebSockets keep old processes until they end: no `hard-stop-after`, which would cut them.
fn haproxy_text(address: SocketAddr, [primary, spare]: [SocketAddr; 2], live: SocketAddr, round: Round) -> String {
    format!(
        r#"global
    maxconn 4096
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout connect 500ms
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    timeout http-keep-alive 75s
frontend site
    bind {address} ssl crt site.pem alpn h2,http/1.1
    option idle-close-on-response
    acl live path_beg /live
    acl another hdr(host) -i site-{number}.example
    use_backend live if live
    use_backend sites if another
    default_backend sites
backend sites
    balance first
    http-reuse safe
    retries 2
    option redispatch 1
    retry-on conn-failure empty-response response-timeout junk-response 500 502 503 504
    http-request disable-l7-retry unless METH_GET
    option httpchk GET /health
    default-server check inter 500ms fastinter 250ms downinter 500ms fall 2
    server new-jersey {primary}
    server oregon {spare}
backend live
    server speaker {live}
"#,
        number = round.number
    )
}

/// The table, printed, and with `WRITE` into docs/reload.md.
pub fn tell(rounds: usize, all: &[(&str, Met)]) {
    let mut table = String::from(
        "| | requests | failed | sent again on another connection | WebSockets dropped | took |\n|---|---|---|---|---|---|\n",
    );
    for (name, Met { report, dropped, took }) in all {
        let (len, good, returned) = (report.len(), report.good(), report.returned());
        let failed = len - good - returned;
        let took = took.as_secs();
        writeln!(table, "| {name} | {len} | {failed} | {returned} | {dropped} | {took} s |").unwrap();
    }
    println!("{rounds} reloads:\n{table}");
    for (name, met) in all {
        println!("{name}: {}", met.report.first_bad());
    }
    if std::env::var_os("WRITE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reload.md");
        let text = fs::read_to_string(file).unwrap();
        let (before, rest) = text.split_once("<!-- table -->\n").expect("where the table begins");
        let (_, after) = rest.split_once("<!-- end -->").expect("where it ends");
        fs::write(file, format!("{before}<!-- table -->\n{table}<!-- end -->{after}")).unwrap();
    }
}
