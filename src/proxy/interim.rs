//! Interim responses (1xx) on their way to a client: a proxy must pass them on (RFC 9110, section 15.2).
//!
//! What answers a request gives them while it is polled; whoever polls it takes them out after that, before the response, and sends
//! them. So they need no name of their request, though a connection of HTTP/2 has many. Not here: how many an endpoint may send
//! (`upstream::interim`), how they are sent (`edge`).

use super::headers::{self, Upgrading};
use crate::upstream::interim::{Interim, Takes};
use http::{Version, header};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Those that wait, of one client's connection.
#[derive(Debug, Default)]
pub struct Interims {
    /// What answers a request is being polled.
    open: Cell<bool>,
    heads: RefCell<VecDeque<Interim>>,
}

/// More than attempts side by side can have passed on.
const MOST: usize = 64;

impl Interims {
    /// Polls what answers a request. What anybody else gives, whose request is over, is dropped.
    pub fn while_open<T>(&self, poll: impl FnOnce() -> T) -> T {
        struct Open<'a>(&'a Interims);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.open.set(false);
                if std::thread::panicking() {
                    self.0.heads.take(); // the request is over, and the next stream must not be taken for it
                }
            }
        }
        self.open.set(true);
        let _open = Open(self);
        poll()
    }

    pub fn is_empty(&self) -> bool {
        self.heads.borrow().is_empty()
    }

    /// The next one to be sent.
    pub fn take_next(&self) -> Option<Interim> {
        self.heads.borrow_mut().pop_front()
    }

    fn give(&self, interim: Interim) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < MOST {
            heads.push_back(interim);
        }
    }
}

/// Whose an attempt's are.
#[derive(Clone, Debug)]
pub enum For {
    Client(Rc<Interims>),
    /// The client's if the attempt wins: nobody wants the hints of another answer than they get.
    Winner(Rc<Interims>),
    /// The client speaks HTTP/1.0, which has none.
    Nobody,
}

impl For {
    /// Those of a request's first attempt, and of each in its place.
    pub fn client(interims: &Rc<Interims>, version: Version) -> For {
        if version < Version::HTTP_11 { For::Nobody } else { For::Client(interims.clone()) }
    }

    /// Those of an attempt beside it.
    #[must_use]
    pub fn beside(&self) -> For {
        match self {
            For::Client(_) | For::Winner(_) => For::Winner(Rc::default()),
            For::Nobody => For::Nobody,
        }
    }

    /// `None`: nobody listens.
    pub fn takes(&self) -> Option<&dyn Takes> {
        match self {
            For::Client(_) | For::Winner(_) => Some(self),
            For::Nobody => None,
        }
    }

    /// The attempt has won.
    pub fn won(&self, client: &Interims) {
        match self {
            For::Winner(kept) => kept.heads.take().into_iter().for_each(|interim| client.give(interim)),
            For::Client(_) | For::Nobody => {}
        }
    }
}

impl Takes for For {
    fn take(&self, mut interim: Interim) {
        let interims = match self {
            For::Client(interims) if interims.open.get() => interims,
            For::Winner(interims) => interims,
            For::Client(_) | For::Nobody => return,
        };
        headers::response(&mut interim.fields, interim.status, Upgrading::No);
        interim.fields.remove(header::CONTENT_LENGTH); // RFC 9110, section 8.6
        interims.give(interim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, StatusCode};

    fn hint() -> Interim {
        let names = ["link", "connection", "x-named", "content-length", "transfer-encoding", "keep-alive"];
        let mut fields = HeaderMap::new();
        for name in names {
            fields.insert(name, HeaderValue::from_static("x-named"));
        }
        Interim { status: StatusCode::EARLY_HINTS, fields }
    }

    #[test]
    fn fields_of_the_endpoints_connection_and_lengths_stop_here() {
        let interims = Rc::new(Interims::default());
        let attempt = For::client(&interims, Version::HTTP_2);
        interims.while_open(|| attempt.take(hint()));
        let fields = interims.take_next().unwrap().fields;
        assert_eq!(fields.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["link"]);
    }

    #[test]
    fn an_attempt_that_lost_gives_nothing_any_more_and_one_beside_it_only_once_it_has_won() {
        let interims = Rc::new(Interims::default());
        let first = For::client(&interims, Version::HTTP_11);
        let beside = first.beside();
        interims.while_open(|| beside.take(hint()));
        first.take(hint()); // in a task of its own
        assert!(interims.is_empty());
        beside.won(&interims);
        assert!(interims.take_next().is_some() && interims.is_empty());
    }

    #[test]
    fn what_a_request_gave_that_panicked_is_nobody_elses() {
        let interims = Rc::new(Interims::default());
        let attempt = For::client(&interims, Version::HTTP_2);
        let poll = || {
            interims.while_open(|| {
                attempt.take(hint());
                assert!(interims.is_empty(), "on purpose");
            });
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).unwrap_err();
        assert!(interims.is_empty());
        attempt.take(hint());
        assert!(interims.is_empty(), "nor is it open");
    }

    #[test]
    fn a_client_of_http_1_0_gets_none() {
        let interims = Rc::new(Interims::default());
        let attempt = For::client(&interims, Version::HTTP_10);
        assert!(attempt.takes().is_none() && attempt.beside().takes().is_none());
    }
}
