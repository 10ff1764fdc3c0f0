//! Interim responses (1xx) of an endpoint: how many pass, and over HTTP/1.1 their way from hyper's connection to whoever waits for the
//! final one.
//!
//! Not here: which of them a client gets, and how (`proxy::interim`, `edge`).

use http::{HeaderMap, StatusCode};
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// One, as it came.
#[derive(Debug)]
pub struct Interim {
    pub status: StatusCode,
    pub fields: HeaderMap,
}

/// Whoever wants them.
pub trait Takes: Debug {
    fn take(&self, interim: Interim);
}

/// Passed on at most, for each request sent to an endpoint; those after them are not.
const MOST: u32 = 16;
/// Bytes of the names and values of all of them.
const BYTES_MOST: usize = 16 * 1024;
/// An endpoint that sends more will not come to an end.
const ENDLESS: u32 = 1_000;

/// Whether the final response may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Open,
    Endless,
}

/// Where those of one connection wait. hyper tells of them in the connection's task, and asks for what might be called by any thread.
#[derive(Debug, Default)]
pub struct Inbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    heads: Vec<Interim>,
    /// Of the request that runs.
    count: Count,
    whom: Option<Waker>,
}

/// Those of one request: how many came, how many of them are passed on, and what those had of bytes.
#[derive(Debug, Default)]
pub(super) struct Count {
    came: u32,
    passed: u32,
    bytes: usize,
}

/// Whether one is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    Yes,
    No,
}

impl Count {
    /// One came.
    pub(super) fn add(&mut self, status: StatusCode, fields: &HeaderMap) -> Passes {
        self.came = self.came.saturating_add(1);
        let bytes = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        let has_room = self.passed < MOST && self.bytes + bytes <= BYTES_MOST;
        // Whoever waits for 100 was told by us, when the endpoint took the body (RFC 9110, section 10.1.1).
        if status == StatusCode::CONTINUE || !has_room {
            tracing::trace!(%status, "an interim response is not passed on");
            return Passes::No;
        }
        self.passed += 1;
        self.bytes += bytes;
        Passes::Yes
    }

    pub(super) fn course(&self) -> Course {
        if self.came < ENDLESS { Course::Open } else { Course::Endless }
    }
}

impl Inbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        *self.waiting() = Waiting::default();
    }

    /// One came.
    pub(super) fn put(&self, status: StatusCode, fields: &HeaderMap) {
        let mut waiting = self.waiting();
        match (waiting.count.add(status, fields), waiting.count.course()) {
            (Passes::Yes, _) => waiting.heads.push(Interim { status, fields: fields.clone() }),
            (Passes::No, Course::Endless) => (), // somebody should know
            (Passes::No, Course::Open) => return,
        }
        if let Some(whom) = waiting.whom.take() {
            whom.wake();
        }
    }

    /// Hands over those that came; whoever asks is woken when there are more.
    pub(super) fn empty(&self, to: &dyn Takes, cx: &Context<'_>) -> Course {
        let mut waiting = self.waiting();
        match &mut waiting.whom {
            Some(whom) => whom.clone_from(cx.waker()),
            None => waiting.whom = Some(cx.waker().clone()),
        }
        let course = waiting.count.course();
        let heads = std::mem::take(&mut waiting.heads);
        drop(waiting);
        heads.into_iter().for_each(|interim| to.take(interim));
        course
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::cell::RefCell;

    #[derive(Debug, Default)]
    struct Taken(RefCell<Vec<u16>>);

    impl Takes for Taken {
        fn take(&self, interim: Interim) {
            self.0.borrow_mut().push(interim.status.as_u16());
        }
    }

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    fn emptied(inbox: &Inbox) -> (Vec<u16>, Course) {
        let taken = Taken::default();
        let course = inbox.empty(&taken, &Context::from_waker(Waker::noop()));
        (taken.0.into_inner(), course)
    }

    #[test]
    fn they_come_in_their_order_and_100_does_not() {
        let inbox = Inbox::default();
        [103, 100, 104].into_iter().for_each(|code| inbox.put(status(code), &HeaderMap::new()));
        assert_eq!(emptied(&inbox), (vec![103, 104], Course::Open));
        assert_eq!(emptied(&inbox), (vec![], Course::Open));
    }

    #[test]
    fn no_more_are_kept_than_one_request_may_have_and_no_larger_ones() {
        let inbox = Inbox::default();
        (0..2 * MOST).for_each(|_| inbox.put(status(103), &HeaderMap::new()));
        assert_eq!(emptied(&inbox).0.len(), MOST as usize);
        inbox.put(status(103), &HeaderMap::new());
        assert_eq!(emptied(&inbox).0.len(), 0, "nor when some were taken");
        inbox.begin();
        let mut large = HeaderMap::new();
        large.insert("link", HeaderValue::try_from("x".repeat(BYTES_MOST - 4)).unwrap());
        inbox.put(status(103), &large);
        inbox.put(status(103), &large);
        assert_eq!(emptied(&inbox).0.len(), 1);
    }

    #[test]
    fn an_endpoint_that_sends_nothing_else_is_known() {
        let inbox = Inbox::default();
        (1..ENDLESS).for_each(|_| inbox.put(status(100), &HeaderMap::new()));
        assert_eq!(emptied(&inbox).1, Course::Open);
        inbox.put(status(100), &HeaderMap::new());
        assert_eq!(emptied(&inbox).1, Course::Endless);
        inbox.begin();
        assert_eq!(emptied(&inbox).1, Course::Open);
    }
}
