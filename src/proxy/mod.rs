//! One request's life: route, plan, attempt, judge, reply. [`service::handle`] is the story.
//!
//! Not here: the client's connection and its limits (`edge`), how an endpoint is reached (`upstream`), health (`health`).

#![warn(clippy::wildcard_enum_match_arm)] // matches on our own enums are exhaustive

pub mod answer;
pub mod asker;
pub mod attempt;
pub mod begin;
pub mod blame;
pub mod body;
pub mod budget;
pub mod copies;
pub mod crowd;
pub mod exchange;
pub mod headers;
pub mod held;
pub mod judge;
pub mod local;
pub mod lost;
pub mod pairing;
pub mod plan;
pub mod race;
pub mod reply;
pub mod resume;
pub mod route;
pub mod service;
pub mod slow;
pub mod steer;
pub mod upgrade;
pub mod wait;

pub use body::{Body, BodyCut};
pub use local::Worker;

use crate::config::{Listener, Tls};
use crate::domain::Fingerprint;
use crate::health::Fingerprints;
use std::cell::{OnceCell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;

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
    /// What its requests tell endpoints about it.
    forwarded: headers::Forwarded,
    fingerprint: OnceCell<Fingerprint>,
}

impl Client {
    pub fn new(address: SocketAddr, listener: Arc<Listener>, secure: Option<Secure>) -> Client {
        let forwarded = headers::Forwarded::new(address, secure.is_some());
        Client { address, listener, secure, upgrade: RefCell::default(), forwarded, fingerprint: OnceCell::new() }
    }
}

impl Client {
    /// What it is told apart by from other clients.
    fn fingerprint(&self, fingerprints: &Fingerprints) -> Fingerprint {
        *self.fingerprint.get_or_init(|| fingerprints.client(self.address.ip()))
    }
}

/// What TLS said about the connection.
#[derive(Debug)]
pub struct Secure {
    pub sni: Option<Box<str>>,
    /// The setup in force when it was accepted; `tls.shown(sni)` is the certificate that the client saw.
    pub tls: Arc<Tls>,
}
