//! One probe of one endpoint: by the connect path that traffic takes, always over a new connection, and over when its
//! timeout is.
//!
//! - [`http`]: a request over HTTP/1.1, with TLS or without. - [`grpc`]: grpc.health.v1. - [`lag`]: what a response says
//!   of its pool's lag.
//!
//! Not here: when to probe (`schedule`), who starts it and hears of it (`prober`), what it proves (`domain`).

pub mod grpc;
pub mod http;
pub mod lag;

use crate::config::{Backend, Endpoint, Pool};
use crate::config::{GrpcProbe, HttpProbe, ProbeKind, Trust};
use crate::domain::{Name, ProbeFailure, ProbeResult};
use crate::runtime::clock::Clock;
use crate::upstream::connect::{connect, introduce, secure};
use crate::upstream::{Failure, ProxyHeader, Shortage};
use lag::Reading;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Unless `probe.headers` has another.
const USER_AGENT: &str = "hotspare-probe";

/// What to probe, and how. Where two are equal, one probe answers for both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub address: SocketAddr,
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
    },
    Https {
        asked: Arc<HttpProbe>,
        host: Name,
        trust: Trust,
        /// Whom the certificate must be for.
        name: ServerName<'static>,
    },
    Grpc {
        asked: Arc<GrpcProbe>,
        host: Name,
    },
}

/// What a probe learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub result: ProbeResult,
    pub lag: Reading,
}

impl Target {
    /// How `endpoint` of `pool` of `backend` is probed.
    pub fn of(backend: &Backend, pool: &Pool, endpoint: &Endpoint) -> Target {
        let probe = &backend.probe;
        let host = |host: &Option<Name>| host.clone().unwrap_or_else(|| endpoint.name.clone());
        let check = match (&probe.kind, &pool.tls) {
            (ProbeKind::Tcp, _) => Check::Connect,
            (ProbeKind::Https(asked), Some(tls)) => Check::Https {
                asked: asked.clone(),
                host: host(&asked.host),
                trust: tls.trust.clone(),
                name: tls.name.clone().unwrap_or_else(|| endpoint.server_name()),
            },
            (ProbeKind::Https(_), None) => unreachable!("the config gives TLS to every pool that is probed over TLS"),
            (ProbeKind::Http(asked), _) => Check::Http { asked: asked.clone(), host: host(&asked.host) },
            (ProbeKind::Grpc(asked), _) => Check::Grpc { asked: asked.clone(), host: host(&asked.host) },
        };
        let mut address = endpoint.address;
        let mut introduce = backend.proxy_protocol.map(|version| ProxyHeader { version, ends: None });
        if let Some(port) = probe.port {
            address.set_port(port.get());
            introduce = None; // a port for probes alone knows nothing of clients
        }
        Target { address, introduce, check, timeout: probe.timeout }
    }
}

/// Probes once. A shortage of our own proves nothing of the endpoint, and is no result.
pub async fn probe(target: &Target, clock: Clock) -> Result<Heard, Shortage> {
    let deadline = clock.instant(clock.now().after(target.timeout));
    let answered = match open(target).await {
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

async fn open(target: &Target) -> Result<TcpStream, Failure> {
    let mut stream = connect(target.address, target.timeout).await?;
    if let Some(header) = target.introduce {
        introduce(&mut stream, header, target.timeout).await?;
    }
    Ok(stream)
}

/// Whether the answer is what is expected, and the lag that it tells.
///
/// # Errors
/// There was no answer.
async fn check(stream: TcpStream, check: &Check) -> Result<(Result<(), ProbeFailure>, Reading), ProbeFailure> {
    match check {
        Check::Connect => Ok((Ok(()), Reading::Nothing)),
        Check::Http { asked, host } => http::exchange(stream, asked, host).await,
        Check::Https { asked, host, trust, name } => {
            let stream = secure(stream, trust, name.clone()).await.map_err(|error| broken(&error))?;
            http::exchange(stream, asked, host).await
        }
        Check::Grpc { asked, host } => Ok((grpc::exchange(stream, &asked.service, host).await, Reading::Nothing)),
    }
}

fn not_connected(failure: &Failure) -> ProbeFailure {
    match failure {
        Failure::Connect { error, .. } if error.kind() == io::ErrorKind::ConnectionRefused => ProbeFailure::Refused,
        Failure::Connect { .. }
        | Failure::Reset { .. }
        | Failure::NoHead { .. }
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

/// A connection that broke, or whose TLS did. With TLS 1.3 an endpoint's objection comes after the handshake.
fn broken(error: &io::Error) -> ProbeFailure {
    match error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        true => ProbeFailure::Tls,
        false => ProbeFailure::Reset,
    }
}

#[cfg(test)]
mod tests;
