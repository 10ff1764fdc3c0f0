//! The connections of one listener on this worker, so that a drain, or a crowd, reaches each of them at once.
//!
//! A connection costs its entry here and nothing more until then: it looks here whenever it runs anyway, and a change
//! runs them all. Not here: how a connection drains ([`super::conn`]), when ([`super::worker`]).

use super::pulse::Pulse;
use crate::domain::Moment;
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Where a listener's connections are in their common life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Serving,
    /// Finish what runs, start nothing new.
    Draining {
        since: Moment,
        left: Left,
    },
    /// The time for draining is over.
    Cut,
}

/// Whose time for draining is not over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    All,
    Requests,
    Tunnels,
}

/// What a drain has a time for, each one its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Requests,
    /// Connections, and streams of HTTP/2, that have left HTTP.
    Tunnels,
}

/// Who is there, by a number of its own, and how to wake it.
#[derive(Debug)]
pub struct Roster {
    stage: Cell<Stage>,
    /// There is room for few connections more: those that idle are to make some.
    crowded: Cell<bool>,
    members: RefCell<HashMap<u64, (Waker, Rc<Pulse>)>>,
    next: Cell<u64>,
}

impl Roster {
    pub fn new() -> Rc<Roster> {
        Rc::new(Roster {
            stage: Cell::new(Stage::Serving),
            crowded: Cell::new(false),
            members: RefCell::default(),
            next: Cell::new(0),
        })
    }

    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    pub fn draining_since(&self) -> Option<Moment> {
        match self.stage.get() {
            Stage::Serving | Stage::Cut => None,
            Stage::Draining { since, .. } => Some(since),
        }
    }

    /// Whose time for draining is over.
    pub fn is_over(&self, what: What) -> bool {
        match self.stage.get() {
            Stage::Serving | Stage::Draining { left: Left::All, .. } => false,
            Stage::Draining { left: Left::Requests, .. } => what == What::Tunnels,
            Stage::Draining { left: Left::Tunnels, .. } => what == What::Requests,
            Stage::Cut => true,
        }
    }

    pub fn is_crowded(&self) -> bool {
        self.crowded.get()
    }

    /// Whether there is room for few connections more, as of now.
    pub fn crowd(&self, crowded: bool) {
        if !self.crowded.replace(crowded) && crowded {
            self.wake();
        }
    }

    /// Begins the drain; again changes nothing.
    pub fn drain(&self, now: Moment) {
        if self.stage.get() == Stage::Serving {
            self.enter(Stage::Draining { since: now, left: Left::All });
        }
    }

    /// Ends these where they stand, in a drain; each connection ends with the last of what it carries. On how many something ran.
    pub fn cut(&self, what: What) -> u64 {
        let Stage::Draining { since, left } = self.stage.get() else { return 0 };
        let ran = self.members.borrow().values().filter(|(_, pulse)| pulse.runs(what)).count();
        self.enter(match (left, what) {
            (Left::All, What::Requests) => Stage::Draining { since, left: Left::Tunnels },
            (Left::All, What::Tunnels) => Stage::Draining { since, left: Left::Requests },
            (Left::Requests, What::Requests) | (Left::Tunnels, What::Tunnels) => Stage::Cut,
            (Left::Requests, What::Tunnels) | (Left::Tunnels, What::Requests) => return 0, // once is enough
        });
        ran as u64
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.wake();
    }

    fn wake(&self) {
        for (waker, _) in self.members.borrow().values() {
            waker.wake_by_ref();
        }
    }

    /// The connection as a member of this roster: woken when the stage changes, dropped when all that it carries is cut. Of what is cut
    /// beside something that is not, it takes care itself.
    pub fn enrol<F: Future<Output = ()>>(self: &Rc<Roster>, pulse: Rc<Pulse>, connection: F) -> Enrolled<F> {
        Enrolled { connection, membership: Membership { roster: self.clone(), pulse, number: None } }
    }
}

pin_project! {
    /// A connection's future, enrolled.
    #[derive(Debug)]
    pub struct Enrolled<F> {
        #[pin]
        connection: F,
        membership: Membership,
    }
}

#[derive(Debug)]
struct Membership {
    roster: Rc<Roster>,
    pulse: Rc<Pulse>,
    number: Option<u64>,
}

impl<F: Future<Output = ()>> Future for Enrolled<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.membership.is_cut() {
            return Poll::Ready(());
        }
        this.membership.keep(cx.waker());
        this.connection.poll(cx)
    }
}

impl Membership {
    /// Whether nothing that it carries may go on.
    fn is_cut(&self) -> bool {
        match self.roster.stage.get() {
            Stage::Serving | Stage::Draining { left: Left::All, .. } => false,
            Stage::Draining { left: Left::Requests, .. } => !self.pulse.has_requests(),
            Stage::Draining { left: Left::Tunnels, .. } => !self.pulse.has_tunnels(),
            Stage::Cut => true,
        }
    }

    /// Once is enough: a task keeps its waker for life.
    fn keep(&mut self, waker: &Waker) {
        if self.number.is_none() {
            let number = self.roster.next.get();
            self.roster.next.set(number + 1);
            self.roster.members.borrow_mut().insert(number, (waker.clone(), self.pulse.clone()));
            self.number = Some(number);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.roster.members.borrow_mut().remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::pulse::Tunnelling;
    use crate::runtime::clock::Clock;
    use crate::runtime::tasks::spawn;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default());
        runtime.unwrap().block_on(test);
    }

    /// It does so in its next turn.
    async fn ends(member: &tokio::task::JoinHandle<()>) {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        assert!(member.is_finished());
    }

    fn pulse() -> Rc<Pulse> {
        Rc::new(Pulse::new(Clock::start()))
    }

    #[test]
    fn a_change_of_stage_wakes_every_member_and_a_cut_ends_it() {
        run(async {
            let roster = Roster::new();
            let seen = Rc::new(Cell::new(0));
            let (noting, watched) = (seen.clone(), roster.clone());
            let watch = std::future::poll_fn(move |_| {
                noting.set(noting.get() + u32::from(watched.draining_since().is_some()));
                Poll::Pending
            });
            let member = spawn(roster.enrol(pulse(), watch));
            tokio::task::yield_now().await;
            assert_eq!((seen.get(), roster.members.borrow().len()), (0, 1));
            roster.drain(Moment::ZERO);
            tokio::task::yield_now().await;
            assert_eq!(seen.get(), 1);
            roster.cut(What::Requests);
            ends(&member).await;
            assert_eq!((seen.get(), roster.members.borrow().len()), (1, 0));
        });
    }

    #[test]
    fn a_connection_ends_when_all_that_it_carries_is_cut() {
        run(async {
            for (first, second) in [(What::Requests, What::Tunnels), (What::Tunnels, What::Requests)] {
                let roster = Roster::new();
                let (plain, upgraded) = (pulse(), pulse());
                let _tunnel = Tunnelling::begin(&upgraded);
                let member = |pulse| spawn(roster.enrol(pulse, std::future::pending()));
                let (plain, upgraded) = (member(plain), member(upgraded));
                tokio::task::yield_now().await;
                assert_eq!(roster.cut(first), 0, "nothing is cut where nothing drains");
                roster.drain(Moment::ZERO);
                let count = |what| u64::from(what == What::Tunnels); // no request runs
                assert_eq!(roster.cut(first), count(first));
                assert_eq!((roster.is_over(first), roster.is_over(second)), (true, false));
                let (first_cut, stays) = match first {
                    What::Requests => (plain, upgraded),
                    What::Tunnels => (upgraded, plain),
                };
                ends(&first_cut).await;
                assert!(!stays.is_finished() && roster.cut(first) == 0);
                assert_eq!(roster.cut(second), count(second));
                ends(&stays).await;
                assert!(roster.is_over(first) && roster.is_over(second));
            }
        });
    }
}
