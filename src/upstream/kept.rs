//! The connections to one endpoint that one worker keeps between requests, and those over HTTP/2 that its requests share (`shared`). Not
//! shared with other workers, so nothing is locked.

use super::cuts::Cuts;
use super::interim::Inbox;
use super::shared::{Place, Shared};
use super::upload::{Upload, UploadState};
use crate::domain::Moment;
use hyper::client::conn::http1::SendRequest;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Connections kept at most, for each endpoint and worker. More would be closed by most servers' own limits.
pub const KEPT_MAX: usize = 64;

/// How long a connection is kept idle: nginx closes after 75 s; whoever closes first should be us, between requests.
pub const KEPT_FOR: Duration = Duration::from_secs(60);

/// One endpoint's connections: of the two kinds only the one that its pool's scheme says is ever there.
#[derive(Debug, Default)]
pub struct Kept {
    /// Over HTTP/1.1, the longest idle first.
    idle: RefCell<VecDeque<Idle>>,
    /// Over HTTP/2.
    pub(super) shared: Rc<Shared>,
    /// Of all connections over HTTP/1.1, those in use too.
    pub(super) cuts: Cuts,
}

#[derive(Debug)]
struct Idle {
    whole: Whole,
    since: Moment,
}

/// What one request has of a connection. Given back when its response was read to the end.
#[derive(Debug)]
pub enum Lease {
    /// All of it. Dropped, it closes.
    Whole(Whole),
    /// A stream of it. Dropped before the response ended, that is reset, and the connection goes on.
    Stream(Place),
}

/// A connection over HTTP/1.1 in use.
#[derive(Debug)]
pub struct Whole {
    pub(super) sender: SendRequest<Upload>,
    /// More came than was asked for.
    pub(super) overfull: Rc<Cell<bool>>,
    /// Its interim responses.
    pub(super) inbox: Arc<Inbox>,
}

/// A kept connection, and for how long it has been idle.
#[derive(Debug)]
pub struct Taken {
    pub lease: Lease,
    pub idle: Duration,
}

impl Lease {
    /// Whether bytes came after the end of the last response: then nobody knows where that ended (RFC 9112, section 11.2). Known
    /// only for what was read together with it.
    pub fn is_overfull(&self) -> bool {
        match self {
            Lease::Whole(whole) => whole.overfull.get(),
            Lease::Stream(_) => false, // each frame says whose it is
        }
    }
}

impl Kept {
    /// The connection used last among those idle for no longer than `at_most`, for a request with that `body`.
    pub fn take(&self, now: Moment, at_most: Duration, body: &UploadState) -> Option<Taken> {
        let shared =
            self.shared.take(now, at_most, body).map(|(place, idle)| Taken { lease: Lease::Stream(place), idle });
        shared.or_else(|| self.take_idle(now, at_most))
    }

    fn take_idle(&self, now: Moment, at_most: Duration) -> Option<Taken> {
        let mut kept = self.idle.borrow_mut();
        let mut place = kept.len();
        while place > 0 {
            place -= 1;
            let idle = now.since(kept[place].since);
            if idle > at_most.min(KEPT_FOR) {
                return None; // those before it have been idle for even longer
            }
            // Closed: gone for good. Not ready: its last response was read, but its task has not run since; leave it.
            if kept[place].whole.sender.is_closed() {
                kept.remove(place);
            } else if kept[place].whole.sender.is_ready() {
                return kept.remove(place).map(|taken| Taken { lease: Lease::Whole(taken.whole), idle });
            }
        }
        None
    }

    /// Keeps a connection whose response was read to its end.
    pub fn give_back(&self, lease: Lease, now: Moment) {
        let whole = match lease {
            Lease::Whole(whole) if !whole.sender.is_closed() => whole,
            Lease::Whole(_) | Lease::Stream(_) => return,
        };
        let mut kept = self.idle.borrow_mut();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Idle { whole, since: now });
    }

    /// Closes what has been idle for too long and forgets what the endpoint closed. To be called now and then.
    pub fn sweep(&self, now: Moment) {
        self.idle.borrow_mut().retain(|idle| !idle.whole.sender.is_closed() && now.since(idle.since) <= KEPT_FOR);
        self.shared.sweep(now);
    }

    /// Closes what is idle. Connections over HTTP/2 that carry requests end with the last of them.
    pub fn close_idle(&self) {
        self.idle.borrow_mut().clear();
        self.shared.let_go();
    }

    /// Ends all connections where they stand, but those that have left HTTP; one that is opened after this ends at once. How many there
    /// were.
    pub fn cut(&self) -> u64 {
        self.cuts.cut() + self.shared.cuts.cut()
    }
}
