//! One probe of one endpoint: by the connect path that traffic takes, always over a new connection, and over when its
//! timeout is.
//!
//! - [`http`]: a page. - [`grpc`]: grpc.health.v1. - [`http2`]: HTTP/2, by which both may be asked for. - [`lag`]: what a
//!   response says of its pool's lag.
//!
//! Not here: when to probe (`schedule`), who starts it and hears of it (`prober`), what it proves (`domain`).

pub mod grpc;
pub mod http;
mod http2;
pub mod lag;

use crate::config::{Address, Backend, Endpoint, GrpcProbe, HttpProbe, HttpVersion, Peer, ProbeKind};
use crate::domain::{Name, ProbeFailure, ProbeResult};
use crate::runtime::clock::Clock;
use crate::upstream::connect::{connect, of_tls, secure};
use crate::upstream::download::Broken;
use crate::upstream::failure::nobody_listens;
use crate::upstream::{Failure, ProxyHeader, Shortage, Socket};
use ::http::uri::Scheme;
use lag::Reading;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::client::TlsStream;

/// Unless `probe.headers` has another.
const USER_AGENT: &str = "hotspare-probe";

/// What a head may have: as much as one that answers a request, which is given no larger one either.
const HEAD_MAX: usize = crate::upstream::client::BUFFER_MAX;

/// What to probe, and how. Where two are equal, one probe answers for both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub address: Address,
    /// What its connection begins with.
    pub introduce: Option<ProxyHeader>,
    pub check: Check,
    /// For all of it: connect, request, answer.
    pub timeout: Duration,
}

/// What makes a connection pass. `host` is what is sent as such.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// That it came about.
    Connect,
    Http {
        asked: Arc<HttpProbe>,
        host: Name,
        version: HttpVersion,
        /// `None`: without TLS.
        peer: Option<Peer>,
    },
    Grpc {
        asked: Arc<GrpcProbe>,
        host: Name,
        peer: Option<Peer>,
    },
}

/// What a probe learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub result: ProbeResult,
    pub lag: Reading,
}

impl Target {
    /// How `endpoint` of `backend` is probed.
    pub fn of(backend: &Backend, endpoint: &Endpoint) -> Target {
        let probe = &backend.probe;
        let host = |host: &Option<Name>| host.clone().unwrap_or_else(|| own_host(endpoint));
        // Ports that are for probes alone speak HTTP/1.1, as such ports do.
        let version = if probe.port.is_some() { HttpVersion::Http1 } else { endpoint.way.version };
        let check = match (&probe.kind, &endpoint.probed) {
            (ProbeKind::Tcp, _) => Check::Connect,
            (ProbeKind::Https(_), None) => unreachable!("the config gives a peer to each that is probed over TLS"),
            (ProbeKind::Https(asked) | ProbeKind::Page(asked), peer) => {
                Check::Http { asked: asked.clone(), host: host(&asked.host), version, peer: peer.clone() }
            }
            (ProbeKind::Http(asked), _) => {
                Check::Http { asked: asked.clone(), host: host(&asked.host), version, peer: None }
            }
            (ProbeKind::Grpc(asked), _) => {
                let peer = match version {
                    HttpVersion::Http1 => None,
                    HttpVersion::Http2 => endpoint.way.tls.clone(),
                };
                Check::Grpc { asked: asked.clone(), host: host(&asked.host), peer }
            }
        };
        let mut address = endpoint.way.address.clone();
        let mut introduce = backend.proxy_protocol.map(|version| ProxyHeader { version, ends: None });
        if let (Some(port), Address::Tcp(address)) = (probe.port, &mut address) {
            address.set_port(port.get());
            introduce = None; // a port for probes alone knows nothing of clients
        }
        Target { address, introduce, check, timeout: probe.timeout }
    }
}

/// Probes once. A shortage of our own proves nothing of the endpoint, and is no result.
pub async fn probe(target: &Target, clock: Clock) -> Result<Heard, Shortage> {
    let deadline = clock.instant(clock.now().after(target.timeout));
    let answered = match connect(&target.address, target.introduce, target.timeout).await {
        Ok(stream) => {
            tokio::time::timeout_at(deadline, check(stream, &target.check)).await.unwrap_or(Err(ProbeFailure::Timeout))
        }
        Err(Failure::Ours(shortage)) => return Err(shortage),
        Err(failure) => Err(not_connected(&failure)),
    };
    let (verdict, lag) = answered.unwrap_or_else(|failure| (Err(failure), Reading::Nothing));
    let result = verdict.map_or_else(ProbeResult::Failed, |()| ProbeResult::Passed);
    Ok(Heard { result, lag })
}

/// What an endpoint is called in Host where nothing says otherwise: as it is written; a socket's path can't stand there.
fn own_host(endpoint: &Endpoint) -> Name {
    match endpoint.way.address {
        Address::Tcp(_) => endpoint.name.clone(),
        Address::Unix(_) => "localhost".into(),
    }
}

/// Whether the answer is what is expected, and the lag that it tells.
///
/// # Errors
/// There was no answer.
async fn check(stream: Socket, check: &Check) -> Result<(Result<(), ProbeFailure>, Reading), ProbeFailure> {
    match check {
        Check::Connect => Ok((Ok(()), Reading::Nothing)),
        Check::Http { asked, host, version, peer } => {
            let asking = http::Asking { asked, host, version: *version };
            match peer {
                None => http::exchange(stream, asking, Scheme::HTTP).await,
                Some(peer) => http::exchange(secured(stream, peer, *version).await?, asking, Scheme::HTTPS).await,
            }
        }
        Check::Grpc { asked, host, peer } => {
            let answered = match peer {
                None => grpc::exchange(stream, &asked.service, host, Scheme::HTTP).await,
                Some(peer) => {
                    let stream = secured(stream, peer, HttpVersion::Http2).await?;
                    grpc::exchange(stream, &asked.service, host, Scheme::HTTPS).await
                }
            };
            Ok((answered, Reading::Nothing))
        }
    }
}

async fn secured(stream: Socket, peer: &Peer, version: HttpVersion) -> Result<TlsStream<Socket>, ProbeFailure> {
    secure(stream, peer.trust.for_probes(version), peer, version).await.map_err(|error| broken(&error))
}

fn not_connected(failure: &Failure) -> ProbeFailure {
    match failure {
        Failure::Connect { error, .. } if nobody_listens(error) => ProbeFailure::Refused,
        Failure::Tls { .. } => ProbeFailure::Tls,
        Failure::Connect { .. }
        | Failure::Reset { .. }
        | Failure::NoHead
        | Failure::Cut { .. }
        | Failure::Stalled { .. }
        | Failure::Malformed { .. }
        | Failure::Ours(_)
        | Failure::ClientBody
        | Failure::Withdrawn => ProbeFailure::Connect,
    }
}

/// Either the connection broke, or what came over it is not HTTP. hyper tells the first in several ways, and passes on why
/// it gave up a request that it had not begun to send.
fn not_answered(error: &hyper::Error) -> ProbeFailure {
    let cause = error.source();
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        broken(error)
    } else if let Some(inner) = cause.and_then(|cause| cause.downcast_ref().filter(|_| error.is_canceled())) {
        not_answered(inner)
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        ProbeFailure::Reset
    } else {
        ProbeFailure::Malformed
    }
}

/// The same of HTTP/2. An endpoint that resets the stream, or leaves, has not answered.
fn broken_http2(error: &h2::Error) -> ProbeFailure {
    match error.get_io() {
        // h2 tells no more of it than its kind, and nothing but TLS finds fault with what was read.
        Some(error) if error.kind() == io::ErrorKind::InvalidData => ProbeFailure::Tls,
        Some(_) => ProbeFailure::Reset,
        None if error.is_remote() => ProbeFailure::Reset,
        None => ProbeFailure::Malformed,
    }
}

/// A body that ended before its end.
fn cut(error: &Broken) -> ProbeFailure {
    match error {
        Broken::Http1(error) => not_answered(error),
        Broken::Http2(error) => broken_http2(error),
    }
}

/// A connection that broke, or whose TLS did. With TLS 1.3 an endpoint's objection comes after the handshake.
fn broken(error: &io::Error) -> ProbeFailure {
    of_tls(error).map_or(ProbeFailure::Reset, |_| ProbeFailure::Tls)
}

#[cfg(test)]
mod tests;
