//! The scenes that the drill can play in, besides the plain one: what differs in them, and nowhere else.

use clap::ValueEnum;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    Plain,
    /// Two endpoints a pool; the fault is one endpoint's.
    TwoEndpoints,
    /// Visitors speak HTTP/2.
    Http2,
    /// One visit in five is a write, and writes take 300 ms.
    SlowWrites,
}

/// What visitors speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// Which visits are writes, and how long an endpoint takes over one.
#[derive(Clone, Copy, Debug)]
pub struct Writes {
    /// Of each 20 visits, these.
    pub turns: &'static [usize],
    pub take: Duration,
}

impl Variant {
    /// The name of its section in docs/drill.md.
    pub fn section(self) -> &'static str {
        match self {
            Variant::Plain => "drill",
            Variant::TwoEndpoints => "drill-two-endpoints",
            Variant::Http2 => "drill-http2",
            Variant::SlowWrites => "drill-slow-writes",
        }
    }

    /// In each pool.
    pub fn endpoints(self) -> u8 {
        match self {
            Variant::TwoEndpoints => 2,
            Variant::Plain | Variant::Http2 | Variant::SlowWrites => 1,
        }
    }

    pub fn protocol(self) -> Protocol {
        match self {
            Variant::Http2 => Protocol::Http2,
            Variant::Plain | Variant::TwoEndpoints | Variant::SlowWrites => Protocol::Http1,
        }
    }

    pub fn writes(self) -> Writes {
        match self {
            Variant::SlowWrites => Writes { turns: &[3, 8, 13, 18], take: Duration::from_millis(300) },
            Variant::Plain | Variant::TwoEndpoints | Variant::Http2 => {
                Writes { turns: &[3, 10, 17], take: Duration::ZERO }
            }
        }
    }
}
