//! The connections to one endpoint that one worker keeps between requests. Not shared with other workers, so nothing is
//! locked.

use super::interim::Inbox;
use super::upload::Upload;
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

/// One endpoint's kept connections, the longest idle first.
#[derive(Debug, Default)]
pub struct Kept(RefCell<VecDeque<Idle>>);

#[derive(Debug)]
struct Idle {
    lease: Lease,
    since: Moment,
}

/// A connection in use. Given back when its response was read to the end; dropped, it closes.
#[derive(Debug)]
pub struct Lease {
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
        self.overfull.get()
    }
}

impl Kept {
    /// The connection used last among those idle for no longer than `at_most`.
    pub fn take(&self, now: Moment, at_most: Duration) -> Option<Taken> {
        let mut kept = self.0.borrow_mut();
        let mut place = kept.len();
        while place > 0 {
            place -= 1;
            let idle = now.since(kept[place].since);
            if idle > at_most.min(KEPT_FOR) {
                return None; // those before it have been idle for even longer
            }
            // Closed: gone for good. Not ready: its last response was read, but its task has not run since; leave it.
            if kept[place].lease.sender.is_closed() {
                kept.remove(place);
            } else if kept[place].lease.sender.is_ready() {
                return kept.remove(place).map(|taken| Taken { lease: taken.lease, idle });
            }
        }
        None
    }

    /// Keeps a connection whose response was read to its end.
    pub fn give_back(&self, lease: Lease, now: Moment) {
        if lease.sender.is_closed() {
            return;
        }
        let mut kept = self.0.borrow_mut();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Idle { lease, since: now });
    }

    /// Closes what has been idle for too long and forgets what the endpoint closed. To be called now and then.
    pub fn sweep(&self, now: Moment) {
        self.0.borrow_mut().retain(|idle| !idle.lease.sender.is_closed() && now.since(idle.since) <= KEPT_FOR);
    }
}
