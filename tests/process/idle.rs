//! Connections on which nothing happens: what each costs in memory, and that each is still served afterwards. `make slow` has 10,000 of
//! them, and as many at nginx.

use crate::bodies::raise_descriptors;
use crate::harness::child::Child;
use crate::harness::client::{Client, Version};
use crate::harness::door::Door;
use crate::harness::nginx::{self, Nginx};
use crate::harness::raw::{self, PREFACE, STATUS_200};
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use crate::harness::{eventually, free_address};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;

/// In all, unless `IDLE` says otherwise.
const CONNECTIONS: usize = 1_000;

/// Each of them, whatever it is, in KiB: what is promised, for a number of them that is worth measuring.
const AT_MOST: u64 = 45;

/// After this what serves a connection of HTTP/1.1 is put away.
const QUIET: Duration = Duration::from_secs(2);

/// Connecting at once.
const AT_ONCE: usize = 32;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// What is held, and of ten connections how many. In this order: handshakes leave freed memory behind, in which others would then hide.
const KINDS: [(&str, Version, Cover, usize); 4] = [
    ("HTTP/1.1", Version::Http1, Cover::None, 2),
    ("HTTP/2", Version::H2, Cover::None, 2),
    ("HTTP/1.1 over TLS", Version::Http1, Cover::Tls, 3),
    ("HTTP/2 over TLS", Version::H2, Cover::Tls, 3),
];

#[derive(Clone, Copy)]
enum Cover {
    Tls,
    None,
}

/// Where a server listens for what.
#[derive(Clone, Copy)]
struct Addresses {
    tls: SocketAddr,
    http1: SocketAddr,
    h2: SocketAddr,
}

struct Idle {
    io: Box<dyn Io>,
    version: Version,
    stream: u32,
}

impl Idle {
    /// A connection that has had its first request.
    async fn open(n: usize, client: &Client, at: Addresses, version: Version, cover: Cover) -> io::Result<Idle> {
        let address = match (cover, version) {
            (Cover::Tls, _) => at.tls,
            (Cover::None, Version::Http1) => at.http1,
            (Cover::None, Version::H2) => at.h2,
        };
        let tcp = raw::connect(n, address, None).await?;
        let mut io: Box<dyn Io> = match cover {
            Cover::Tls => Box::new(client.secure_over(tcp, version).await?),
            Cover::None => Box::new(tcp),
        };
        if version == Version::H2 {
            io.write_all(PREFACE).await?;
        }
        let mut idle = Idle { io, version, stream: 1 };
        idle.ask().await?;
        Ok(idle)
    }

    async fn ask(&mut self) -> io::Result<()> {
        let good = match self.version {
            Version::Http1 => {
                self.io.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
                self.io.flush().await?;
                let mut answer = Vec::new();
                while !answer.ends_with(b"\r\n\r\nwell\n") {
                    if self.io.read_buf(&mut answer).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                answer.starts_with(b"HTTP/1.1 200 ")
            }
            Version::H2 => {
                let status = raw::get_over_h2(&mut self.io, self.stream, "/health").await?;
                self.stream += 2;
                status == STATUS_200
            }
        };
        if good { Ok(()) } else { Err(io::Error::other("not 200")) }
    }
}

/// Opens all of them, kind by kind. `resident` says what the server has; what each costs is printed, and given back in KiB.
async fn hold(
    who: &str,
    client: &Client,
    at: Addresses,
    all: usize,
    resident: impl Fn() -> u64,
) -> (Vec<Idle>, Vec<u64>) {
    let (mut held, mut costs) = (Vec::new(), Vec::new());
    for (kind, version, cover, tenths) in KINDS {
        let count = all * tenths / 10;
        let before = settled(&resident).await;
        let mut opening = JoinSet::new();
        for n in 0..count {
            while opening.len() >= AT_ONCE {
                held.push(opening.join_next().await.unwrap().unwrap());
            }
            let client = client.clone();
            opening.spawn(async move {
                let opened = Idle::open(n, &client, at, version, cover).await;
                opened.unwrap_or_else(|error| panic!("{kind}, connection {n}: {error}"))
            });
        }
        held.extend(opening.join_all().await);
        let each = settled(&resident).await.saturating_sub(before) / 1024 / count as u64;
        println!("{who}: {count} idle connections of {kind}: {each} KiB each");
        costs.push(each);
    }
    (held, costs)
}

/// Until it does not change any more, by more than a hundredth. Connections are left alone first for as long as it takes that they are
/// quiet.
async fn settled(resident: impl Fn() -> u64) -> u64 {
    tokio::time::sleep(QUIET).await;
    let mut before = resident();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = resident();
        if now.abs_diff(before) <= before / 100 {
            return now;
        }
        before = now;
    }
    before
}

#[tokio::test]
async fn idle_connections_cost_what_is_said_and_are_all_served_afterwards() {
    let all = std::env::var("IDLE").map_or(CONNECTIONS, |count| count.parse().expect("IDLE is a number"));
    raise_descriptors();
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[new_jersey.address]);
    let top = format!("workers = 2\nmax_connections = {}\nmax_connections_per_client = {all}", all * 2);
    let plain = free_address();
    setup.backend = "";
    setup.probe = r#"{ path = "/health", interval = "10s", timeout = "10s" }"#;
    let limits = "limits = { idle_timeout = \"1h\", handshake_timeout = \"1m\" }\n";
    let listener = format!("\n{limits}[[listener]]\naddress = \"{plain}\"\n{limits}[[backend]]");
    let text = format!("{top}\n{}", setup.text().replace("\n[[backend]]", &listener));
    let text = text.replace(&secondary(&setup), "");
    let door = Door::start_with_text(&setup, &text).await;
    let client = door.client();
    let at = Addresses { tls: door.address, http1: plain, h2: plain };
    let (mut held, costs) = hold("hotspare", &client, at, all, || door.memory("VmRSS")).await;
    assert!(door.metrics().await.sum("hotspare_connections_open", &[]) >= all as f64);
    for (n, idle) in held.iter_mut().enumerate() {
        idle.ask().await.unwrap_or_else(|error| panic!("connection {n} is not served any more: {error}"));
    }
    assert!(costs.iter().all(|each| *each <= AT_MOST), "{costs:?} KiB");
    drop(held);
    eventually("they are gone", async || door.metrics().await.sum("hotspare_connections_open", &[]) == 0.0).await;
    if all > CONNECTIONS {
        beside_nginx(&door, &new_jersey, all).await;
    }
    door.stop().await;
}

/// The line of the setup's that says where the secondary is: these sites have one place.
fn secondary(setup: &Setup) -> String {
    let text = setup.text();
    let line = text.lines().find(|line| line.starts_with("secondary")).unwrap();
    format!("{line}\n")
}

/// The same connections at an nginx that is a front door too.
async fn beside_nginx(door: &Door, endpoint: &Nginx, all: usize) {
    let directory = tempfile::tempdir().unwrap();
    for file in ["site.pem", "site.key"] {
        fs::copy(door.directory().join(file), directory.path().join(file)).unwrap();
    }
    let at = Addresses { tls: free_address(), http1: free_address(), h2: free_address() };
    let http = format!(
        r#"
            access_log off;
            keepalive_timeout 1h;
            upstream sites {{ server {}; keepalive 64; }}
            server {{
                listen {} ssl http2 backlog=4096;
                listen {} backlog=4096;
                listen {} http2 backlog=4096;
                ssl_certificate site.pem;
                ssl_certificate_key site.key;
                location / {{ proxy_pass http://sites; proxy_http_version 1.1; proxy_set_header Connection ""; }}
            }}
        "#,
        endpoint.address, at.tls, at.http1, at.h2
    );
    let nginx = nginx::with(directory.path(), &http);
    eventually("nginx answers", async || tokio::net::TcpStream::connect(at.http1).await.is_ok()).await;
    let (mut held, _) = hold("nginx", &door.client(), at, all, || resident(&nginx)).await;
    for idle in &mut held {
        idle.ask().await.unwrap();
    }
}

/// Of a process and its children, in bytes.
fn resident(child: &Child) -> u64 {
    let pid = child.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let own = pid.to_string();
    let of = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    children.split_ascii_whitespace().chain([own.as_str()]).map(of).sum()
}
