//! One request's life: route, plan, attempt, judge, reply. [`service::handle`] is the story.
//!
//! Not here: the client's connection and its limits (`edge`), how an endpoint is reached (`upstream`), health (`health`).

pub mod body;
pub mod service;
pub mod upgrade;

use crate::config::{Listener, Tls};
use crate::health::{Published, Reader, Reporter};
use crate::runtime::clock::Clock;
use crate::telemetry::cells::WorkerIndex;
use crate::telemetry::metrics::{WorkerCells, Workers};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

/// All that one worker's requests share. One a thread, behind `Rc`; nothing in it is shared with another thread but the
/// view and the counters.
#[derive(Debug)]
pub struct Worker {
    pub index: WorkerIndex,
    pub clock: Clock,
    pub views: Reader,
    pub reporter: Reporter,
    cells: Arc<Workers>,
}

impl Worker {
    pub fn new(
        index: WorkerIndex,
        clock: Clock,
        published: &Published,
        reporter: Reporter,
        cells: Arc<Workers>,
    ) -> Worker {
        Worker { index, clock, views: published.reader(), reporter, cells }
    }

    /// This worker's own counters.
    pub fn cells(&self) -> &WorkerCells {
        self.cells.of(self.index)
    }
}

/// What the edge knows of a client's connection, for as long as it lasts.
#[derive(Debug)]
pub struct Client {
    pub address: SocketAddr,
    /// As it was when the connection was accepted.
    pub listener: Arc<Listener>,
    /// `None`: plain HTTP.
    pub secure: Option<Secure>,
    /// An upgrade that was agreed on: once the 101 is sent, the connection is no longer HTTP's. The edge takes it from here
    /// and runs it. (HTTP/1.1 only, so there is never more than one.)
    pub upgrade: RefCell<Option<upgrade::Tunnel>>,
}

/// What TLS said about the connection.
#[derive(Debug)]
pub struct Secure {
    pub sni: Option<Box<str>>,
    /// The setup in force when it was accepted; `tls.shown(sni)` is the certificate that the client saw.
    pub tls: Arc<Tls>,
}
