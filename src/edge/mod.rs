//! The client's side of the front door: listeners, TLS, connections, and the limits on all of them.
//!
//! One [`worker::serve`] a worker thread: it accepts on its own `SO_REUSEPORT` sockets, and on Unix sockets that all share, and runs one
//! task a connection, by this road: [`listener`] accepts → [`proxy_header`] where one is required → [`tls`] or a look at the first bytes →
//! [`conn`] (hyper, or h2 in [`http2`]) → [`front`], which hands each request to the [`Handler`], in production the proxy. Always true:
//! - a connection waits for its client under exactly one deadline, which [`watchdog`] reads off its [`pulse`];
//! - what a client does, or a panic on its behalf, ends its own connection at most;
//! - a drain ([`roster`]) answers what was begun, and nothing outlives its end.
//!
//! Not here: which site and endpoint (`proxy`), limits on bodies (`proxy`), who decides to drain (`app`, `reload`).

#![warn(clippy::wildcard_enum_match_arm)] // matches on our own enums are exhaustive

pub mod conn;
pub mod frames;
pub mod front;
pub mod gate;
pub mod http2;
pub mod listener;
pub mod proxy_header;
pub mod pulse;
pub mod redirect;
pub mod roster;
pub mod socket;
pub mod stream;
pub mod tls;
pub mod watchdog;
pub mod worker;

pub use gate::Gate;
pub use listener::{Bound, bind, explain};
pub use socket::Listening;
pub use worker::{Order, serve};

use crate::health::Reader;
use crate::proxy::{self, Client, Worker};
use crate::runtime::clock::Clock;
use crate::telemetry::metrics::WorkerCells;
use crate::upstream::ClientBody;
use bytes::Bytes;
use http::{Request, Response};
use std::future::Future;
use std::rc::Rc;

/// What the edge needs of whoever answers its requests: a proxy's worker in production, a script in tests.
pub trait Handler: 'static {
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static;

    /// Always answers; dropped when the client goes away.
    fn handle(
        self: &Rc<Self>,
        client: &Client,
        request: Request<ClientBody>,
    ) -> impl Future<Output = Response<Self::Body>>;
    fn clock(&self) -> Clock;
    fn views(&self) -> &Reader;
    fn cells(&self) -> &WorkerCells;
}

impl Handler for Worker {
    type Body = proxy::body::Body;

    fn handle(
        self: &Rc<Self>,
        client: &Client,
        request: Request<ClientBody>,
    ) -> impl Future<Output = Response<Self::Body>> {
        proxy::service::handle(self, client, request)
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn views(&self) -> &Reader {
        &self.views
    }

    fn cells(&self) -> &WorkerCells {
        Worker::cells(self)
    }
}
