//! The proxy under test: Hotspare with a config of its own, or another in its place, each set up with care.

use super::client::Client;
use super::ports::free_address;
use rustls::pki_types::CertificateDer;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    Hotspare,
    Nginx,
    Haproxy,
    Caddy,
}

impl Proxy {
    pub const ALL: [Proxy; 4] = [Proxy::Hotspare, Proxy::Nginx, Proxy::Haproxy, Proxy::Caddy];

    pub fn name(self) -> &'static str {
        match self {
            Proxy::Hotspare => "Hotspare",
            Proxy::Nginx => "nginx",
            Proxy::Haproxy => "HAProxy",
            Proxy::Caddy => "Caddy",
        }
    }

    /// As it tells it itself.
    pub fn version(self) -> String {
        let argument = match self {
            Proxy::Hotspare => "--version",
            Proxy::Nginx | Proxy::Haproxy => "-v",
            Proxy::Caddy => "version",
        };
        let told =
            Command::new(self.program()).arg(argument).output().unwrap_or_else(|error| panic!("{self:?}: {error}"));
        let text = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
        let version = text.split([' ', '/', '\n']).map(|word| word.trim_start_matches('v'));
        version.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or("?").to_owned()
    }

    fn program(self) -> OsString {
        let named = |variable: &str, otherwise: &str| std::env::var_os(variable).unwrap_or_else(|| otherwise.into());
        match self {
            Proxy::Hotspare => {
                std::path::absolute(named("HOTSPARE_BIN", env!("CARGO_BIN_EXE_hotspare"))).unwrap().into()
            }
            Proxy::Nginx => "/usr/sbin/nginx".into(),
            Proxy::Haproxy => "/usr/sbin/haproxy".into(),
            Proxy::Caddy => named("CADDY_BIN", "caddy"),
        }
    }
}

/// A process tells nobody when it is ready or has ended: it is looked at until then.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// A running proxy. Dropped, it is killed.
pub struct Door {
    pub client: Client,
    child: Child,
    directory: TempDir,
}

impl Door {
    pub fn start(proxy: Proxy, endpoint: SocketAddr) -> Door {
        let directory = tempfile::tempdir().unwrap();
        let address = free_address();
        let certificate = write_certificate(directory.path());
        let client = Client::new(address, certificate);
        let (config, text, arguments): (&str, String, &[&str]) = match proxy {
            Proxy::Hotspare => ("hotspare.toml", hotspare(address, endpoint), &["run", "--config", "hotspare.toml"]),
            Proxy::Nginx => {
                ("nginx.conf", nginx(address, endpoint), &["-p", ".", "-c", "nginx.conf", "-e", "error.log"])
            }
            Proxy::Haproxy => ("haproxy.cfg", haproxy(address, endpoint), &["-f", "haproxy.cfg", "-db"]),
            Proxy::Caddy => ("Caddyfile", caddy(address, endpoint), &["run", "--config", "Caddyfile"]),
        };
        fs::write(directory.path().join(config), text).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let mut command = ended_with_this_thread(proxy.program());
        command.args(arguments).current_dir(directory.path()).env("HOME", directory.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{} can't be started: {error}", proxy.name()));
        let mut door = Door { client, child, directory };
        for _ in 0..3_000 {
            if door.client.is_well() {
                return door;
            }
            assert!(door.child.try_wait().unwrap().is_none(), "it ended at once:\n{}", door.log());
            std::thread::sleep(BETWEEN_LOOKS);
        }
        panic!("it never got ready:\n{}", door.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Its own workers, if it has any, end when it does: SIGTERM first, for those who must be told.
        let _told =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM);
        for _ in 0..100 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Ended by the kernel when the thread that started it is gone, where util-linux is there to ask for it.
fn ended_with_this_thread(program: OsString) -> Command {
    if !Path::new("/usr/bin/setpriv").exists() {
        return Command::new(program);
    }
    let mut wrapped = Command::new("/usr/bin/setpriv");
    wrapped.args(["--pdeathsig", "TERM", "--"]).arg(program);
    wrapped
}

/// Writes site.pem, site.key, and both in one file.
fn write_certificate(directory: &Path) -> CertificateDer<'static> {
    let names = ["localhost", "example.org", "www.example.org"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(directory.join("site.pem"), &certificate).unwrap();
    fs::write(directory.join("site.key"), &key).unwrap();
    fs::write(directory.join("both.pem"), certificate + &key).unwrap();
    made.cert.der().clone()
}

/// One attempt a request, so that requests can be counted; one worker, so that kept connections are used again.
fn hotspare(address: SocketAddr, endpoint: SocketAddr) -> String {
    let admin = free_address();
    format!(
        r#"
state_dir = "state"
workers = 1
[admin]
address = "{admin}"
[[listener]]
address = "{address}"
tls = [{{ cert = "site.pem", key = "site.key" }}]
[listener.limits]
header_timeout = "2s"
body_idle_timeout = "2s"
[[backend]]
name = "sites"
primary = {{ name = "new-jersey", endpoints = ["{endpoint}"] }}
retry = false
hedge = false
resume = "off"
[backend.probe]
kind = "tcp"
[backend.timeouts]
head = "3s"
body_idle = "3s"
[backend.tally]
trip = 1000
consecutive = 1000
"#
    )
}

fn nginx(address: SocketAddr, endpoint: SocketAddr) -> String {
    format!(
        r#"
user root root;
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server_tokens off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    map $http_upgrade $agreed {{ default ''; websocket websocket; }}
    map $agreed $connection_upgrade {{ default upgrade; '' ''; }}
    upstream endpoint {{ server {endpoint} max_fails=0; keepalive 16; }}
    client_header_timeout 2s;
    client_body_timeout 2s;
    server {{
        listen {address} ssl http2;
        server_name localhost;
        ssl_certificate site.pem;
        ssl_certificate_key site.key;
        client_max_body_size 0;
        location / {{
            proxy_pass http://endpoint;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_next_upstream off;
            proxy_read_timeout 3s;
            proxy_pass_header Date;
            proxy_set_header TE "";
            proxy_hide_header Proxy-Connection;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $agreed;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header Forwarded "";
            proxy_set_header Proxy "";
        }}
    }}
}}
"#
    )
}

fn haproxy(address: SocketAddr, endpoint: SocketAddr) -> String {
    format!(
        r#"
global
    nbthread 1
defaults
    mode http
    timeout connect 2s
    timeout client 4s
    timeout server 3s
    timeout http-request 2s
    timeout tunnel 10s
    retries 0
    option http-keep-alive
frontend door
    bind {address} ssl crt both.pem alpn h2,http/1.1
    http-request deny status 405 if {{ method CONNECT TRACE }}
    http-request del-header Proxy
    http-request del-header Forwarded
    http-request del-header X-Forwarded-For
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    option forwardfor
    default_backend sites
backend sites
    http-reuse safe
    server endpoint {endpoint}
"#
    )
}

fn caddy(address: SocketAddr, endpoint: SocketAddr) -> String {
    let port = address.port();
    format!(
        r#"
{{
    admin off
    auto_https off
    persist_config off
    servers {{
        protocols h1 h2
        timeouts {{
            read_header 2s
            read_body 4s
        }}
    }}
}}
https://:{port} {{
    bind 127.0.0.1
    tls site.pem site.key
    @refused method CONNECT TRACE
    respond @refused 405
    reverse_proxy {endpoint} {{
        header_up -Proxy
        header_up -Forwarded
        transport http {{
            response_header_timeout 3s
        }}
    }}
}}
"#
    )
}
