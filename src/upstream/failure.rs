//! What went wrong in one attempt at one endpoint: facts and numbers. What to do about it: `proxy::judge`.

use crate::domain::FailureKind;
use std::io;
use std::time::Duration;

/// What went wrong in one attempt at one endpoint.
#[derive(Debug)]
pub enum Failure {
    /// No connection: refused, unreachable, or not in time ([`io::ErrorKind::TimedOut`]). Nothing was sent.
    Connect { error: io::Error },
    /// No TLS: another certificate than we believe, or no agreement. `sent`: with TLS 1.3 an endpoint objects to our own certificate, or
    /// to our having none, after our handshake.
    Tls { error: rustls::Error, sent: Sent },
    /// The connection closed before the response head was whole.
    Reset { sent: Sent, connection: Connection },
    /// No response head in time.
    NoHead,
    /// The response body ended before its end.
    Cut { received: u64 },
    /// The response body went on for too long, or stood still.
    Stalled { received: u64 },
    /// What came back is not HTTP, or is past a limit of ours.
    Malformed { what: Malformed },
    /// No descriptor, no local port: our own trouble, which never counts against the endpoint.
    Ours(Shortage),
    /// The client's body ended badly or took too long while it was passed on: the client's doing.
    ClientBody,
    /// Whoever sent it there took that back before it was sent. Nobody's fault.
    Withdrawn,
}

/// How much of the request the endpoint may have acted on. Only after `Nothing` may a write run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Nothing,
    Perhaps,
}

/// Which connection an attempt used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    Fresh,
    /// It had been idle for that long: the endpoint may have closed it just then, which is nobody's fault.
    Kept {
        idle: Duration,
    },
}

/// What was wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not parsable as an HTTP response.
    Head,
    /// Past our limits on heads.
    TooLarge,
    /// A Transfer-Encoding that is not exactly one `chunked`.
    Coding,
    /// Interim responses without end.
    Endless,
    /// 101 to a request that asked for no upgrade.
    UnaskedUpgrade,
    /// What came before any request was sent is not HTTP/2, which the pool's scheme says is spoken there.
    NotHttp2,
    /// It broke the rules of HTTP/2, or a limit of ours there.
    Http2,
}

/// What we ran out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    Descriptors,
    LocalPorts,
    Memory,
}

impl Failure {
    /// The same once more, of a connect that several requests waited for.
    pub(super) fn of_connect(&self) -> Failure {
        match self {
            Failure::Connect { error } => Failure::Connect { error: same(error) },
            Failure::Tls { error, sent } => Failure::Tls { error: error.clone(), sent: *sent },
            Failure::Malformed { what } => Failure::Malformed { what: *what },
            Failure::Ours(shortage) => Failure::Ours(*shortage),
            Failure::Reset { .. }
            | Failure::NoHead
            | Failure::Cut { .. }
            | Failure::Stalled { .. }
            | Failure::ClientBody
            | Failure::Withdrawn => Failure::Connect { error: io::ErrorKind::Other.into() },
        }
    }

    /// Whether the connect was refused.
    pub fn is_refusal(&self) -> bool {
        self.kind() == Some(FailureKind::Refused)
    }

    /// How the tally counts it; `None`: not evidence against the endpoint.
    pub fn kind(&self) -> Option<FailureKind> {
        match self {
            Failure::Connect { error, .. } if nobody_listens(error) => Some(FailureKind::Refused),
            Failure::Connect { .. } => Some(FailureKind::Connect),
            Failure::Tls { .. } => Some(FailureKind::Tls),
            Failure::Reset { connection: Connection::Kept { idle }, .. } if *idle > STALE_AFTER => None,
            Failure::Reset { .. } => Some(FailureKind::Reset),
            Failure::NoHead | Failure::Stalled { .. } => Some(FailureKind::Timeout),
            Failure::Cut { .. } => Some(FailureKind::Cut),
            Failure::Malformed { .. } => Some(FailureKind::Malformed),
            Failure::Ours(_) | Failure::ClientBody | Failure::Withdrawn => None,
        }
    }

    /// How much of the request the endpoint may have acted on.
    pub fn sent(&self) -> Sent {
        match self {
            Failure::Connect { .. }
            | Failure::Ours(_)
            | Failure::Withdrawn
            | Failure::Malformed { what: Malformed::NotHttp2 } => Sent::Nothing,
            Failure::Reset { sent, .. } | Failure::Tls { sent, .. } => *sent,
            Failure::NoHead
            | Failure::Cut { .. }
            | Failure::Stalled { .. }
            | Failure::Malformed { .. }
            | Failure::ClientBody => Sent::Perhaps,
        }
    }
}

fn same(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Whether the endpoint's own host says so: it refused, or has no such socket.
pub fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// A kept connection idle for longer than this that closes under a request was probably closed for being idle; writes do
/// not use such a connection at all.
pub const STALE_AFTER: Duration = Duration::from_secs(1);
