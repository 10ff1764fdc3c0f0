//! The TOML file as a valid [`Config`], or all that is wrong with it at once.
//!
//! Past this module no value can be wrong: sizes are bytes, durations are `Duration`s, routes are compiled,
//! certificates are loaded and fit their keys, pages are read, addresses are resolved. A `Config` is never changed, only replaced by
//! the next one; but the certificate in use of a pair is, when its files are replaced (`watch`).
//!
//! Not here: when to read it (`reload`), what is bound from it (`edge`), what follows from it (`health`).

mod backend;
pub mod certificate;
pub mod client_ca;
mod folder;
mod forms;
mod include;
mod listener;
mod load;
mod message;
mod near;
pub mod pages;
mod pair_files;
pub mod pairs;
mod parse;
mod pools;
mod probe;
pub mod problem;
pub mod proxies;
mod render;
mod rescue;
mod rules;
mod schema;
pub mod sites;
mod table;
mod tickets;
pub mod tls;
pub mod token;
pub mod trust;
mod units;
pub mod watch;
pub mod way;

use crate::domain::{Name, PoolWrites, Rules, Setup};
pub use certificate::Certificate;
pub use client_ca::ClientCa;
pub use folder::Folder;
pub use load::{STATE_DIR, load, load_over};
pub use near::nearest;
pub use pages::{Page, Pages};
pub use pairs::{Certificates, InForce, InUse, Pair, Refusal};
pub use parse::{Surroundings, parse, parse_in, parse_over};
pub use probe::{GrpcProbe, HttpProbe, Probe, ProbeKind, ProbeMethod};
use problem::Place;
pub use problem::{Color, Problems};
pub use proxies::{ForwardedAs, Proxies, ProxyProtocol, ProxyVersion};
pub use rescue::{Rescue, ResumeFrom, Retry};
pub use schema::schema;
pub use sites::{Sites, Upgrades};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
pub use tls::{Clients, Profile, Tls};
pub use token::Token;
pub use trust::Trust;
pub use units::{Span, duration};
pub use watch::{News, Watch};
pub use way::{Address, HttpVersion, Peer, Scheme, Way};

/// Whether two configs were read from the same text: of all their files, not of what those name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64);

/// Everything the file says, checked.
#[derive(Debug)]
pub struct Config {
    pub digest: Digest,
    /// Worker threads; by default as many as the machine has cores.
    pub workers: NonZeroUsize,
    /// Connections of clients at once, in all.
    pub max_connections: usize,
    /// Connections at once from one client: an IPv4 address, or a /64 of IPv6.
    pub max_connections_per_client: usize,
    /// Bytes that may be kept in memory so that requests can be rescued, by all workers together. Past it nobody is refused.
    pub max_buffered: usize,
    /// How long a drain may take before what still runs is cut.
    pub drain_timeout: Duration,
    /// For how long the effect of a reload is watched before it is confirmed; zero: it is at once.
    pub confirm: Duration,
    /// The same for upgraded connections at what a reload removes. At the end of the process they have no longer than the rest.
    pub drain_streams: Duration,
    /// What must outlive the process, and the socket for commands, are in there. `None`: neither is kept.
    pub state_dir: Option<PathBuf>,
    /// Where metrics and status are served, and commands taken.
    pub admin: Admin,
    /// At least one; addresses are unique.
    pub listeners: Vec<Arc<Listener>>,
    /// All that listeners show to clients, and pools to endpoints.
    pub certificates: Certificates,
    /// Host names and path prefixes to sites.
    pub sites: Sites,
    /// At least one, in the order of the file; names are unique.
    pub backends: Vec<Arc<Backend>>,
}

/// The `[admin]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub address: SocketAddr,
    /// What commands that come over TCP must show; without one, none is taken there.
    pub token: Option<Token>,
}

/// One `[[listener]]`. Keyed by its address: over a reload a listener with the same address keeps its sockets.
#[derive(Debug)]
pub struct Listener {
    pub address: Address,
    /// Who may connect to a Unix socket: the permissions of its file.
    pub mode: u32,
    /// `[::]` is dual-stack unless `0.0.0.0` with the same port is listed too.
    pub only_v6: bool,
    /// `None`: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    pub protocols: Protocols,
    /// Every request is answered with 308 to its https:// address instead of being forwarded; the port to name there.
    pub redirect: Option<Redirect>,
    pub proxy_protocol: ProxyProtocol,
    /// Of the whole config. Not empty where `proxy_protocol` is required.
    pub trusted: Proxies,
    pub limits: Limits,
}

/// Which versions of HTTP a listener speaks: by ALPN over TLS; without TLS by the preface (h2 with prior knowledge).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    pub http1: bool,
    pub h2: bool,
}

/// `redirect = "https"` sends to port 443, `redirect = "https:8443"` to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    pub port: u16,
}

/// What a client may cost. Defaults are design values for a public site, listed in config/hotspare.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the whole handshake: a PROXY header where one is required, and TLS.
    pub handshake_timeout: Duration,
    /// From a request's first byte to the end of its head (from the start of the connection for its first one): 408.
    pub header_timeout: Duration,
    /// How long a request's body may be waited for, less what pieces that came brought back: 408.
    pub body_idle_timeout: Duration,
    /// Between two requests on one connection.
    pub idle_timeout: Duration,
    /// Likewise for what a client takes of what we send.
    pub send_timeout: Duration,
    /// Bytes a second that a client must send or take on average while it is waited for; 0: none.
    pub min_rate: u64,
    /// Of the whole request head, in bytes: 431; of its target alone at most half of that: 414.
    pub max_header_size: usize,
    /// Fields in a request head: 431.
    pub max_headers: usize,
    /// Streams at once on an HTTP/2 connection.
    pub max_streams: u32,
}

/// What the file says if it says nothing. The reasons stand in docs/limits.md.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            send_timeout: Duration::from_secs(60),
            min_rate: 240,
            max_header_size: 32 << 10,
            max_headers: 100,
            max_streams: 100,
        }
    }
}

/// One `[[backend]]`, and what each site that names it shares.
#[derive(Debug)]
pub struct Backend {
    pub name: Name,
    /// By rank, primary first; at least one; names are unique.
    pub pools: Vec<Pool>,
    pub probe: Probe,
    pub rules: Rules,
    /// For how long a client that wrote is not moved by a ramp.
    pub own_writes: Duration,
    /// How long a write waits at most for a pool that takes it; longer than `rules.write_drain`.
    pub write_wait: Duration,
    pub timeouts: Timeouts,
    /// What is done for requests that meet trouble, where their site does not say otherwise.
    pub rescue: Rescue,
    /// With which PROXY header each connection to an endpoint begins; it is then its client's alone.
    pub proxy_protocol: Option<ProxyVersion>,
    pub forwarded: ForwardedAs,
}

/// One pool.
#[derive(Debug)]
pub struct Pool {
    pub name: Name,
    /// At least one; addresses as written are unique.
    pub endpoints: Vec<Endpoint>,
    pub writes: PoolWrites,
    pub scheme: Scheme,
}

/// One endpoint: `host:port` or `unix:/path` as written, and how that is reached, which a host name resolved to at start or reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub name: Name,
    pub way: Arc<Way>,
    /// Whom a probe over TLS must find there; where traffic goes over TLS too, the same as that.
    pub probed: Option<Peer>,
}

impl Backend {
    /// Whether requests may go to an endpoint by HTTP/2.
    pub fn speaks_http2(&self) -> bool {
        self.pools.iter().any(|pool| pool.scheme.version() == HttpVersion::Http2)
    }
}

impl Endpoint {
    /// At that address, without TLS, and called so.
    pub fn plain(address: impl Into<Address>) -> Endpoint {
        let way = Way::plain(address);
        Endpoint { name: way.address.to_string().into(), way, probed: None }
    }
}

/// How long one attempt at an endpoint may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the request sent to the whole response head.
    pub head: Duration,
    /// Between two pieces of a response's body.
    pub body_idle: Duration,
    /// For the whole request, all attempts and the body; none by default.
    pub total: Option<Duration>,
    /// How long a connection that left HTTP may carry no byte either way.
    pub tunnel_idle: Duration,
}

impl Config {
    /// What the decision core is told of this config.
    pub fn setup(&self) -> Setup {
        use crate::domain::{BackendSetup, PoolSetup};
        let pool = |pool: &Pool| PoolSetup {
            name: pool.name.clone(),
            endpoints: pool.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect(),
            writes: pool.writes,
        };
        let backends = self
            .backends
            .iter()
            .map(|backend| BackendSetup {
                name: backend.name.clone(),
                rules: backend.rules,
                pools: backend.pools.iter().map(pool).collect(),
            })
            .collect();
        Setup { backends }
    }

    /// The listener at that address, if this config still has one.
    pub fn listener(&self, address: &Address) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| listener.address == *address)
    }
}
