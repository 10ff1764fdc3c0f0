//! The connections of one listener on this worker, so that a drain, or a crowd, reaches each of them at once.
//!
//! A connection costs its entry here and nothing more until then: it looks here whenever it runs anyway, and a change
//! runs them all. Not here: how a connection drains ([`super::conn`]), when ([`super::worker`]).

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
    },
    /// The time for draining is over.
    Cut,
}

/// Who is there, by a number of its own, and how to wake it.
#[derive(Debug)]
pub struct Roster {
    stage: Cell<Stage>,
    /// There is room for few connections more: those that idle are to make some.
    crowded: Cell<bool>,
    members: RefCell<HashMap<u64, Waker>>,
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
            Stage::Draining { since } => Some(since),
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
            self.enter(Stage::Draining { since: now });
        }
    }

    /// Ends every connection where it stands.
    pub fn cut(&self) {
        self.enter(Stage::Cut);
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.wake();
    }

    fn wake(&self) {
        for waker in self.members.borrow().values() {
            waker.wake_by_ref();
        }
    }

    /// The connection as a member of this roster: woken when the stage changes, dropped when it is [`Stage::Cut`].
    pub fn enrol<F: Future<Output = ()>>(self: &Rc<Roster>, connection: F) -> Enrolled<F> {
        Enrolled { connection, membership: Membership { roster: self.clone(), number: None } }
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
    number: Option<u64>,
}

impl<F: Future<Output = ()>> Future for Enrolled<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.membership.roster.stage.get() == Stage::Cut {
            return Poll::Ready(());
        }
        this.membership.keep(cx.waker());
        this.connection.poll(cx)
    }
}

impl Membership {
    /// Once is enough: a task keeps its waker for life.
    fn keep(&mut self, waker: &Waker) {
        if self.number.is_none() {
            let number = self.roster.next.get();
            self.roster.next.set(number + 1);
            self.roster.members.borrow_mut().insert(number, waker.clone());
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

    #[test]
    fn a_change_of_stage_wakes_every_member_and_a_cut_ends_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        runtime.block_on(async {
            let roster = Roster::new();
            let seen = Rc::new(Cell::new(0));
            let (noting, watched) = (seen.clone(), roster.clone());
            let member = crate::runtime::tasks::spawn(roster.enrol(std::future::poll_fn(move |_| {
                noting.set(noting.get() + u32::from(watched.draining_since().is_some()));
                Poll::Pending
            })));
            tokio::task::yield_now().await;
            assert_eq!((seen.get(), roster.members.borrow().len()), (0, 1));
            roster.drain(Moment::ZERO);
            tokio::task::yield_now().await;
            assert_eq!(seen.get(), 1);
            roster.cut();
            member.await.unwrap();
            assert_eq!((seen.get(), roster.members.borrow().len()), (1, 0));
        });
    }
}
