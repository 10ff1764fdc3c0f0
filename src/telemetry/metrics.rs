//! What is counted on the way of a request, per worker. Names and exposition are elsewhere (`names`, `admin::metrics`).

use super::cells::{Counter, Gauge, Histogram, PerWorker};

/// What one worker counts for one backend.
#[derive(Debug, Default)]
pub struct BackendCells {
    /// Responses sent to clients by status class: 1xx (an upgrade), 2xx, 3xx, 4xx, 5xx.
    pub responses: [Counter; 5],
    /// From the request's head read to the response's head given to the client's connection.
    pub duration: Histogram,
    /// Requests whose response has not ended yet.
    pub in_flight: Gauge,
    /// Bodies' bytes from clients and to clients.
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    /// Requests that got a good answer after an attempt had failed, by what saved them.
    /// Indexed by `Rescued as usize`.
    pub rescued: [Counter; Rescued::ALL.len()],
    /// Retries and hedges not made because the budget was used up.
    pub retries_denied: Counter,
    pub hedges_denied: Counter,
    /// Unsafe requests that wait for a verdict now.
    pub waiting: Gauge,
    /// Copies of requests sent to endpoints in probation.
    pub copies: Counter,
}

/// What saved a request that had met trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescued {
    /// It was sent again.
    Retry,
    /// It was sent elsewhere too, and answered there first.
    Hedge,
    /// Its answer broke off before the client had any of it.
    Held,
    /// Its answer broke off, and the rest was fetched.
    Resume,
    /// It waited for the verdict on where to go.
    Wait,
}

impl Rescued {
    pub const ALL: [Rescued; 5] = [Rescued::Retry, Rescued::Hedge, Rescued::Held, Rescued::Resume, Rescued::Wait];

    pub const fn name(self) -> &'static str {
        match self {
            Rescued::Retry => "retry",
            Rescued::Hedge => "hedge",
            Rescued::Held => "held",
            Rescued::Resume => "resume",
            Rescued::Wait => "wait",
        }
    }
}

impl BackendCells {
    /// Requests that were rescued, by whatever.
    pub fn rescued(&self) -> u64 {
        self.rescued.iter().map(Counter::get).sum()
    }
}

/// Responses that Hotspare makes itself, by what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// 400, 405, 411, 501: not a request we can pass on.
    BadRequest,
    /// 404: no such site.
    UnknownSite,
    /// 421: this connection is not for that host.
    Misdirected,
    /// 408, 413, 414, 431: past a limit.
    Limit,
    /// 308 of a redirect listener.
    Redirect,
    /// 200 to OPTIONS with `Max-Forwards: 0`: it asked no further than here.
    Options,
    /// 502, 503, 504: no endpoint gave an answer.
    Unavailable,
    /// 503 to an unsafe request: the site is read-only for the moment.
    ReadOnly,
    /// 503: as many requests of its site run as may.
    SiteFull,
}

impl ReplyKind {
    pub const ALL: [ReplyKind; 9] = [
        ReplyKind::BadRequest,
        ReplyKind::UnknownSite,
        ReplyKind::Misdirected,
        ReplyKind::Limit,
        ReplyKind::Redirect,
        ReplyKind::Options,
        ReplyKind::Unavailable,
        ReplyKind::ReadOnly,
        ReplyKind::SiteFull,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            ReplyKind::BadRequest => "bad_request",
            ReplyKind::UnknownSite => "unknown_site",
            ReplyKind::Misdirected => "misdirected",
            ReplyKind::Limit => "limit",
            ReplyKind::Redirect => "redirect",
            ReplyKind::Options => "options",
            ReplyKind::Unavailable => "unavailable",
            ReplyKind::ReadOnly => "read_only",
            ReplyKind::SiteFull => "site_full",
        }
    }
}

/// Why a connection to a listener that requires a PROXY header was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotIntroduced {
    /// It is not from a trusted proxy; nothing of it was read.
    Untrusted,
    /// It begins with something else.
    Missing,
    /// The header is wrong somewhere.
    Malformed,
    /// The header is longer than is read.
    TooLong,
    /// It ended inside the header.
    Cut,
    /// The header was not there in time.
    Late,
}

impl NotIntroduced {
    pub const ALL: [NotIntroduced; 6] = [
        NotIntroduced::Untrusted,
        NotIntroduced::Missing,
        NotIntroduced::Malformed,
        NotIntroduced::TooLong,
        NotIntroduced::Cut,
        NotIntroduced::Late,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            NotIntroduced::Untrusted => "untrusted",
            NotIntroduced::Missing => "missing",
            NotIntroduced::Malformed => "malformed",
            NotIntroduced::TooLong => "too_long",
            NotIntroduced::Cut => "cut",
            NotIntroduced::Late => "late",
        }
    }
}

/// What is kept in memory so that a request can be rescued, within `max_buffered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffered {
    /// A request's body, to be sent once more.
    Request,
    /// A response, until it is whole.
    Response,
}

impl Buffered {
    pub const ALL: [Buffered; 2] = [Buffered::Request, Buffered::Response];

    pub const fn name(self) -> &'static str {
        match self {
            Buffered::Request => "request",
            Buffered::Response => "response",
        }
    }
}

/// Why a connection of HTTP/2 was ended for what its client did on it: error codes of RFC 9113, section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    Protocol,
    FlowControl,
    FrameSize,
    StreamClosed,
    /// HPACK.
    Compression,
    /// A flood.
    EnhanceYourCalm,
    Other,
}

impl ProtocolError {
    pub const ALL: [ProtocolError; 7] = [
        ProtocolError::Protocol,
        ProtocolError::FlowControl,
        ProtocolError::FrameSize,
        ProtocolError::StreamClosed,
        ProtocolError::Compression,
        ProtocolError::EnhanceYourCalm,
        ProtocolError::Other,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            ProtocolError::Protocol => "protocol_error",
            ProtocolError::FlowControl => "flow_control_error",
            ProtocolError::FrameSize => "frame_size_error",
            ProtocolError::StreamClosed => "stream_closed",
            ProtocolError::Compression => "compression_error",
            ProtocolError::EnhanceYourCalm => "enhance_your_calm",
            ProtocolError::Other => "other",
        }
    }
}

/// What a drain has cut: its time was over, and something still ran on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainCut {
    /// A client's, of a listener that is gone, that carried requests.
    ClientConnection,
    /// To an endpoint that is gone, that carried requests.
    EndpointConnection,
    /// One or more, on one connection of a client.
    Tunnel,
}

impl DrainCut {
    pub const ALL: [DrainCut; 3] = [DrainCut::ClientConnection, DrainCut::EndpointConnection, DrainCut::Tunnel];

    pub const fn name(self) -> &'static str {
        match self {
            DrainCut::ClientConnection => "client_connection",
            DrainCut::EndpointConnection => "endpoint_connection",
            DrainCut::Tunnel => "tunnel",
        }
    }
}

/// What one worker counts apart from any backend.
#[derive(Debug, Default)]
pub struct WorkerCells {
    pub connections_accepted: Counter,
    pub connections_open: Gauge,
    pub handshakes: Counter,
    /// TLS handshakes that failed or took too long.
    pub handshakes_failed: Counter,
    /// Indexed by `NotIntroduced as usize`.
    pub not_introduced: [Counter; NotIntroduced::ALL.len()],
    /// Closed at once: their client had as many as one may have.
    pub connections_refused: Counter,
    /// accept(2) failed: mostly no descriptors left.
    pub accept_errors: Counter,
    /// Connections that ended because a client took too long somewhere.
    pub client_timeouts: Counter,
    /// Connections that had left HTTP and were closed because nothing came over them for too long.
    pub idle_tunnels: Counter,
    /// What drains have cut. Indexed by `DrainCut as usize`.
    pub drain_cuts: [Counter; DrainCut::ALL.len()],
    /// Connections of HTTP/2 that we ended for what the client did. Indexed by `ProtocolError as usize`.
    pub protocol_errors: [Counter; ProtocolError::ALL.len()],
    /// Panics caught in one connection.
    pub panics: Counter,
    /// Failures of which the supervisor did not hear because too many waited to be read.
    pub notes_lost: Counter,
    /// Indexed by `ReplyKind as usize`.
    pub replies: [Counter; ReplyKind::ALL.len()],
    /// Bytes that are kept for requests. Indexed by `Buffered as usize`.
    pub buffered: [Gauge; Buffered::ALL.len()],
    /// What was not kept because there was no room for it. Indexed by `Buffered as usize`.
    pub not_buffered: [Counter; Buffered::ALL.len()],
    /// How late the worker's loop woke from a timer, the newest measurement, in microseconds.
    pub loop_lag_micros: Gauge,
    /// The longest turn of the worker's loop, in nanoseconds of CPU time; 0 where it is not measured.
    pub longest_turn_nanos: Gauge,
}

/// Every worker's [`WorkerCells`].
pub type Workers = PerWorker<WorkerCells>;
