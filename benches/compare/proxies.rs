//! The contestants and the endpoint: their configs, with equal care for both, and their cores.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// The proxies' core, and that of load and endpoint.
pub const PROXY_CORE: &str = "0";
pub const LOAD_CORE: &str = "1";

/// Everything that runs, until it is dropped.
#[derive(Debug)]
pub struct Bench {
    pub nginx: Proxy,
    pub hotspare: Proxy,
    _endpoint: Proxy,
    _directory: TempDir,
}

/// A running server and its address.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    child: Child,
}

impl Proxy {
    fn start(mut command: Command, directory: &Path, address: SocketAddr) -> Proxy {
        command.current_dir(directory).stdin(Stdio::null()).process_group(0);
        let mut proxy = Proxy { address, child: command.spawn().unwrap() };
        for _ in 0..500 {
            if TcpStream::connect(address).is_ok() {
                return proxy;
            }
            assert!(proxy.child.try_wait().unwrap().is_none(), "{command:?} ended");
            sleep(Duration::from_millis(20));
        }
        panic!("{command:?} does not listen");
    }

    /// Its own, with its workers in it.
    pub fn process_group(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ended_already = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _status = self.child.wait();
    }
}

impl Bench {
    pub fn start() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        for (name, size) in [("1k", 1 << 10), ("64k", 1 << 16), ("1m", 1 << 20)] {
            fs::create_dir_all(at.join("site")).unwrap();
            fs::write(at.join("site").join(name), vec![b'x'; size]).unwrap();
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap(); // ECDSA, P-256
        fs::write(at.join("site.pem"), made.cert.pem()).unwrap();
        fs::write(at.join("site.key"), made.signing_key.serialize_pem()).unwrap();

        let [primary, secondary, nginx, hotspare, admin] = free_addresses();
        fs::write(at.join("endpoint.conf"), endpoint(primary, secondary)).unwrap();
        fs::write(at.join("proxy.conf"), proxy(nginx, primary, secondary)).unwrap();
        fs::write(at.join("hotspare.toml"), hotspare_toml(hotspare, admin, primary, secondary)).unwrap();

        let run_nginx = |core, config| {
            let mut command = taskset(core, "/usr/sbin/nginx");
            command.arg("-p").arg(at).args(["-e", "error.log", "-c", config]);
            command
        };
        let endpoint = Proxy::start(run_nginx(LOAD_CORE, "endpoint.conf"), at, primary);
        let nginx = Proxy::start(run_nginx(PROXY_CORE, "proxy.conf"), at, nginx);
        let mut command = taskset(PROXY_CORE, env!("CARGO_BIN_EXE_hotspare"));
        command.args(["run", "--config", "hotspare.toml"]).stderr(Stdio::null());
        let hotspare = Proxy::start(command, at, hotspare);
        Bench { nginx, hotspare, _endpoint: endpoint, _directory: directory }
    }
}

/// A command for one core.
pub fn taskset(core: &str, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core, program]);
    command
}

fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

/// What both nginx share: paths that need no root, no log a request, and no limit that makes it close connections.
const COMMON: &str = "
user root root;
daemon off;
worker_processes 1;
events { worker_connections 4096; }
";
const COMMON_HTTP: &str = "
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 100000000;
    sendfile on;
    tcp_nopush on;
";

fn endpoint(primary: SocketAddr, secondary: SocketAddr) -> String {
    format!(
        "{COMMON} pid endpoint.pid;
http {{ {COMMON_HTTP}
    open_file_cache max=100;
    server {{ listen {primary}; listen {secondary}; root site; }}
}}"
    )
}

/// As careful operators write it: kept connections to the endpoint, HTTP/1.1 there, a backup server, the usual
/// forwarded fields, TLS tickets; buffers as they are by default.
fn proxy(listen: SocketAddr, primary: SocketAddr, secondary: SocketAddr) -> String {
    format!(
        "{COMMON} pid proxy.pid;
http {{ {COMMON_HTTP}
    upstream sites {{
        server {primary};
        server {secondary} backup;
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen {listen} ssl http2 backlog=4096;
        ssl_certificate site.pem;
        ssl_certificate_key site.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets on;
        location / {{
            proxy_pass http://sites;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
        }}
    }}
}}"
    )
}

/// The defaults, but for the one worker.
fn hotspare_toml(listen: SocketAddr, admin: SocketAddr, primary: SocketAddr, secondary: SocketAddr) -> String {
    format!(
        r#"
workers = 1
state_dir = "state"
[admin]
address = "{admin}"
[[listener]]
address = "{listen}"
tls = [{{ cert = "site.pem", key = "site.key" }}]
[[backend]]
name = "sites"
primary = {{ name = "main", endpoints = ["{primary}"] }}
secondary = {{ name = "spare", endpoints = ["{secondary}"] }}
probe = {{ path = "/1k" }}
"#
    )
}
