//! The mirror: what is written in one data centre's guest book reaches the other's, with a delay.
//!
//! [`Mirror`] is the rule, [`start`] what runs it.

use super::answer::Shared;
use super::fault::{Fault, Faults, Role};
use super::guest_book::GuestBook;
use super::local_thread::LocalThread;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How far behind the copy is.
pub const DELAY: Duration = Duration::from_secs(2);
/// How often there is a look for what to copy.
const PACE: Duration = Duration::from_millis(100);

/// Mirrors on a thread of its own until that is stopped, while neither data centre is gone or frozen.
pub fn start(
    primary: Arc<Shared>,
    secondary: Arc<Shared>,
    faults: watch::Receiver<Faults>,
    clock: Clock,
) -> io::Result<LocalThread> {
    LocalThread::start("demo-mirror", move |mut stop| async move {
        let (mut there, mut back) = (Mirror::default(), Mirror::default());
        while tokio::time::timeout(PACE, stop.asked()).await.is_err() {
            let faults = *faults.borrow();
            let gone = |role| faults.at(role).has(Fault::Kill) || faults.at(role).has(Fault::Freeze);
            if gone(Role::Primary) || gone(Role::Secondary) {
                continue;
            }
            let (mut first, mut second) = (primary.book(), secondary.book());
            there.step(clock.now(), &first, &mut second);
            back.step(clock.now(), &second, &mut first);
        }
    })
}

/// One direction. The demo runs both, so that what visitors wrote on the spare is not lost to the primary when it serves
/// again: only entries written at the source travel, so none goes in circles.
#[derive(Debug, Default)]
pub struct Mirror {
    /// The number of the newest entry copied.
    copied: u64,
}

impl Mirror {
    /// Copies what has been at the source for [`DELAY`].
    pub fn step(&mut self, now: Moment, from: &GuestBook, to: &mut GuestBook) {
        let Some(until) = now.since_start().checked_sub(DELAY) else { return };
        for entry in from.written_here(self.copied, Moment::at(until)) {
            to.add(entry.clone());
            self.copied = entry.number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::guest_book::Form;
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    fn sign(book: &mut GuestBook, now: Moment, message: &str) {
        book.sign(now, Form { name: "Ada".into(), message: message.into(), id: None });
    }

    #[test]
    fn an_entry_arrives_once_and_not_before_the_delay() {
        let (mut primary, mut secondary) = (GuestBook::new("new-jersey".into()), GuestBook::new("oregon".into()));
        let mut mirror = Mirror::default();
        sign(&mut primary, at(1_000), "hello");
        mirror.step(at(1_500), &primary, &mut secondary);
        mirror.step(at(2_999), &primary, &mut secondary);
        assert_eq!(secondary.html(), "");
        mirror.step(at(3_000), &primary, &mut secondary);
        mirror.step(at(9_000), &primary, &mut secondary);
        assert_eq!(secondary.html(), primary.html());
    }

    #[test]
    fn both_directions_end_with_the_same_book() {
        let (mut primary, mut secondary) = (GuestBook::new("new-jersey".into()), GuestBook::new("oregon".into()));
        let (mut there, mut back) = (Mirror::default(), Mirror::default());
        sign(&mut primary, at(100), "before");
        sign(&mut secondary, at(200), "meanwhile");
        sign(&mut primary, at(300), "after");
        for now in [2_150, 2_250, 2_350, 9_000] {
            there.step(at(now), &primary, &mut secondary);
            back.step(at(now), &secondary, &mut primary);
        }
        assert_eq!(primary.html(), secondary.html());
        assert_eq!(primary.html().matches("<article>").count(), 3);
    }

    #[test]
    fn nothing_travels_while_a_data_centre_is_gone_and_all_of_it_after() {
        let (clock, switches) = (Clock::start(), watch::Sender::new(Faults::just(Fault::Kill)));
        let shared = |name: &str| Arc::new(Shared::new(&name.into()));
        let (primary, secondary) = (shared("new-jersey"), shared("oregon"));
        let _mirror = start(primary.clone(), secondary.clone(), switches.subscribe(), clock).unwrap();
        sign(&mut primary.book(), Moment::ZERO, "hello");
        while clock.now() < Moment::ZERO.after(DELAY + 3 * PACE) {
            std::thread::sleep(PACE);
            assert_eq!(secondary.book().html(), "");
        }
        switches.send_replace(Faults::NONE);
        let arrived = (0..100).any(|_| {
            std::thread::sleep(PACE);
            secondary.book().html().contains("hello")
        });
        assert!(arrived);
    }
}
