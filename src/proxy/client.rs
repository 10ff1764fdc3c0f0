//! What the edge knows of a client's connection, for as long as it lasts.
//!
//! Not here: whom one of its requests is from (`caller`), which differs where a proxy of ours is at its other end.

use super::caller::Caller;
use super::forwarded::Fields;
use super::interim::Interims;
use super::upgrade;
use crate::config::{Listener, Tls};
use crate::domain::Fingerprint;
use crate::health::Fingerprints;
use crate::upstream::Ends;
use http::HeaderMap;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// Its two ends, as the kernel knows them, or as a PROXY header said. `None`: it came over a Unix socket, and nobody said whose it
    /// is.
    pub ends: Option<Ends>,
    /// As it was when the connection was accepted.
    pub listener: Arc<Listener>,
    /// `None`: plain HTTP.
    pub secure: Option<Secure>,
    /// An upgrade that was agreed on: once the 101 is sent, the connection is no longer HTTP's. The edge takes it from here
    /// and runs it. (Of a stream of HTTP/2 it is taken as soon as its 101 is there, so there is never more than one.)
    pub upgrade: RefCell<Option<upgrade::Tunnel>>,
    /// Interim responses that are to go to it.
    pub interims: Rc<Interims>,
    pub(super) standing: Standing,
    /// What endpoints are told of it.
    pub(super) fields: Fields,
    fingerprint: OnceCell<Fingerprint>,
}

/// Whether what it says of others counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Stranger,
    /// It is a proxy of ours.
    Proxy,
}

impl Client {
    pub fn new(ends: Option<Ends>, listener: Arc<Listener>, secure: Option<Secure>) -> Client {
        let ip = ends.map(|ends| ends.client.ip());
        let standing = match listener.trusted.trust(ip) {
            true => Standing::Proxy,
            false => Standing::Stranger,
        };
        let fields = Fields::new(ip, secure.is_some());
        let fingerprint = OnceCell::new();
        Client {
            ends,
            listener,
            secure,
            upgrade: RefCell::default(),
            interims: Rc::default(),
            standing,
            fields,
            fingerprint,
        }
    }

    /// Whom a request with these fields is from.
    pub fn caller(&self, headers: &HeaderMap) -> Caller<'_> {
        Caller::of(self, headers)
    }

    /// What it is told apart by from other clients.
    pub(super) fn fingerprint(&self, fingerprints: &Fingerprints) -> Fingerprint {
        *self.fingerprint.get_or_init(|| match self.ends {
            Some(ends) => fingerprints.client(ends.client.ip()),
            None => fingerprints.unknown(),
        })
    }
}

/// What TLS said about the connection.
#[derive(Debug)]
pub struct Secure {
    pub sni: Option<Box<str>>,
    /// The setup in force when it was accepted; it knows which certificates a client was shown that asked for `sni`.
    pub tls: Arc<Tls>,
}
