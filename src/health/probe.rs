//! One probe of one endpoint: by the connect path that traffic takes, always over a new connection, and over when its
//! timeout is.
//!
//! Not here: when to probe (`schedule`), who starts it and hears of it (`prober`), what it proves (`domain`).

use crate::config::ProbeKind;
use crate::domain::{Name, ProbeFailure, ProbeResult};
use crate::runtime::clock::Clock;
use crate::upstream::connect::connect;
use crate::upstream::{Failure, Shortage};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpStream;

/// What to probe, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// For the metrics.
    pub backend: Name,
    /// The endpoint as it is written in the configuration.
    pub name: Name,
    pub address: SocketAddr,
    pub kind: ProbeKind,
    /// For all of it: connect, request, answer.
    pub timeout: Duration,
}

/// How much of a body is read. Enough for most pages to be read to the end, so that one which breaks off is seen; the
/// rest of a longer one is not worth its bandwidth every second.
const BODY_READ: usize = 64 * 1024;

/// Probes once. A shortage of our own proves nothing of the endpoint, and is no result.
pub async fn probe(target: &Target, clock: Clock) -> Result<ProbeResult, Shortage> {
    let deadline = clock.instant(clock.now().after(target.timeout));
    let stream = match connect(target.address, target.timeout).await {
        Ok(stream) => stream,
        Err(Failure::Ours(shortage)) => return Err(shortage),
        Err(failure) => return Ok(ProbeResult::Failed(not_connected(&failure))),
    };
    let answer = match &target.kind {
        ProbeKind::Tcp => Ok(()),
        ProbeKind::Http { path, host } => {
            let request = request(path, host.as_ref().unwrap_or(&target.name));
            tokio::time::timeout_at(deadline, exchange(stream, request)).await.unwrap_or(Err(ProbeFailure::Timeout))
        }
    };
    Ok(answer.map_or_else(ProbeResult::Failed, |()| ProbeResult::Passed))
}

fn request(path: &str, host: &str) -> Request<Empty<Bytes>> {
    Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "hotspare-probe")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .expect("the config has checked that the path and the host can stand in a request")
}

/// Sends the request and reads the answer; drives the connection meanwhile.
async fn exchange(stream: TcpStream, request: Request<Empty<Bytes>>) -> Result<(), ProbeFailure> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_answered(&error))?;
    let mut answer = pin!(async move {
        let response = sender.send_request(request).await.map_err(|error| not_answered(&error))?;
        match response.status().as_u16() {
            200..=399 => read(response.into_body()).await,
            other => Err(ProbeFailure::Status(other)),
        }
    });
    tokio::select! {
        biased;
        answered = &mut answer => answered,
        // It ended before the answer was taken from it; what it had of one waits there.
        _ended = connection => answer.await,
    }
}

/// Reads the body to its end or to our bound. One that breaks off is a failed probe, as it would be a failed page; one that
/// stalls runs into the timeout.
async fn read(mut body: Incoming) -> Result<(), ProbeFailure> {
    let mut left = BODY_READ;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| not_answered(&error))?;
        left = match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(left) => left,
            None => break,
        };
    }
    Ok(())
}

fn not_connected(failure: &Failure) -> ProbeFailure {
    match failure {
        Failure::Connect { error, .. } if error.kind() == io::ErrorKind::ConnectionRefused => ProbeFailure::Refused,
        Failure::Connect { .. }
        | Failure::Reset { .. }
        | Failure::NoHead { .. }
        | Failure::Cut { .. }
        | Failure::Malformed { .. }
        | Failure::Ours(_)
        | Failure::ClientBody
        | Failure::Withdrawn => ProbeFailure::Connect,
    }
}

/// Either the connection broke, or what came over it is not HTTP. hyper tells the first in several ways, and passes on why
/// it gave up a request that it had not begun to send.
fn not_answered(error: &hyper::Error) -> ProbeFailure {
    match error.source() {
        Some(cause) if cause.is::<io::Error>() => ProbeFailure::Reset,
        Some(cause) if error.is_canceled() => cause.downcast_ref().map_or(ProbeFailure::Reset, not_answered),
        Some(_) | None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
            ProbeFailure::Reset
        }
        Some(_) | None => ProbeFailure::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::scripted::{Endpoint, Script, refusing_address};

    async fn probed(address: SocketAddr, kind: ProbeKind, timeout: Duration) -> ProbeResult {
        let target = Target { backend: "sites".into(), name: "nj:80".into(), address, kind, timeout };
        probe(&target, Clock::start()).await.unwrap()
    }

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(100);

    fn http(host: Option<&str>) -> ProbeKind {
        ProbeKind::Http { path: "/alive?deep=1".into(), host: host.map(Name::from) }
    }

    #[tokio::test]
    async fn statuses_from_200_to_399_pass_and_others_are_named() {
        for (status, result) in [
            (200, ProbeResult::Passed),
            (204, ProbeResult::Passed),
            (304, ProbeResult::Passed),
            (399, ProbeResult::Passed),
            (400, ProbeResult::Failed(ProbeFailure::Status(400))),
            (500, ProbeResult::Failed(ProbeFailure::Status(500))),
            (503, ProbeResult::Failed(ProbeFailure::Status(503))),
        ] {
            let endpoint = Endpoint::start(Script::Answer { status, promised: 0, sent: 0 });
            assert_eq!(probed(endpoint.address, http(None), LONG).await, result, "{status}");
        }
    }

    #[tokio::test]
    async fn the_request_names_host_and_probe_and_ends_its_connection() {
        for (host, expected) in [(Some("www.example.org"), "www.example.org"), (None, "nj:80")] {
            let endpoint = Endpoint::start(Script::Answer { status: 200, promised: 0, sent: 0 });
            assert_eq!(probed(endpoint.address, http(host), LONG).await, ProbeResult::Passed);
            let heads = endpoint.heads();
            let lines: Vec<&str> = heads[0].lines().collect();
            assert_eq!(lines[0], "GET /alive?deep=1 HTTP/1.1");
            for line in [&*format!("host: {expected}"), "user-agent: hotspare-probe", "connection: close"] {
                assert!(lines.contains(&line), "{line} in {lines:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_refused_connect_is_told_from_every_other_failure() {
        let refused = ProbeResult::Failed(ProbeFailure::Refused);
        assert_eq!(probed(refusing_address(), http(None), LONG).await, refused);
        assert_eq!(probed(refusing_address(), ProbeKind::Tcp, LONG).await, refused);
    }

    #[tokio::test]
    async fn an_endpoint_that_never_answers_fails_by_timeout_but_passes_a_tcp_probe() {
        let endpoint = Endpoint::start(Script::Silent);
        let late = ProbeResult::Failed(ProbeFailure::Timeout);
        assert_eq!(probed(endpoint.address, http(None), SHORT).await, late);
        assert_eq!(probed(endpoint.address, ProbeKind::Tcp, LONG).await, ProbeResult::Passed);
    }

    #[tokio::test]
    async fn an_endpoint_that_closes_without_a_word_fails_by_reset() {
        let endpoint = Endpoint::start(Script::Close);
        assert_eq!(probed(endpoint.address, http(None), LONG).await, ProbeResult::Failed(ProbeFailure::Reset));
    }

    #[tokio::test]
    async fn what_is_not_http_is_malformed() {
        for garbage in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n"] {
            let endpoint = Endpoint::start(Script::Say(garbage));
            let malformed = ProbeResult::Failed(ProbeFailure::Malformed);
            assert_eq!(probed(endpoint.address, http(None), LONG).await, malformed, "{garbage:?}");
        }
    }

    #[tokio::test]
    async fn one_that_talks_before_it_is_asked_is_malformed() {
        let endpoint = Endpoint::start(Script::Greet("220 smtp.example.org ESMTP\r\n"));
        for _ in 0..20 {
            let malformed = ProbeResult::Failed(ProbeFailure::Malformed);
            assert_eq!(probed(endpoint.address, http(None), LONG).await, malformed);
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_fails_and_one_past_the_bound_is_not_read() {
        let cut = Endpoint::start(Script::Answer { status: 200, promised: 10_000, sent: 4_000 });
        assert_eq!(probed(cut.address, http(None), LONG).await, ProbeResult::Failed(ProbeFailure::Reset));
        let whole = Endpoint::start(Script::Answer { status: 200, promised: 10_000, sent: 10_000 });
        assert_eq!(probed(whole.address, http(None), LONG).await, ProbeResult::Passed);
        let long = Endpoint::start(Script::Answer { status: 200, promised: 1 << 30, sent: 100_000 });
        assert_eq!(probed(long.address, http(None), LONG).await, ProbeResult::Passed);
    }
}
