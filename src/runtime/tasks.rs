//! Tasks of one thread. [`spawn`] is the only way to start one: its panic ends that task alone, is logged and counted.
//!
//! [`Tasks`] counts tasks that somebody must wait for (a drain). Not here: what to do about a task that does not end.

use super::turns::Turns;
use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use pin_project_lite::pin_project;
use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

thread_local! {
    /// A panic has no owner left to be handed a counter, so the thread keeps it.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Starts a task on this thread.
pub fn spawn(task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that may start a task")]
    tokio::task::spawn_local(caught(Turns::of(task)))
}

/// What is run as a part of a task and must not end it: a panic ends this part alone, is logged and counted.
pub fn caught<F: Future<Output = ()>>(part: F) -> Caught<F> {
    Caught { task: AssertUnwindSafe(part).catch_unwind() }
}

/// How many tasks of this thread have panicked.
pub fn panics() -> u64 {
    PANICS.get()
}

pin_project! {
    /// The task itself, and nothing but it: as an `async fn` this would take its room twice.
    #[derive(Debug)]
    pub struct Caught<F> {
        // What a task shares with others it shares by cells, which are never left half written.
        #[pin]
        task: CatchUnwind<AssertUnwindSafe<F>>,
    }
}

impl<F: Future<Output = ()>> Future for Caught<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(panic) = ready!(self.project().task.poll(cx)) {
            PANICS.set(PANICS.get() + 1);
            tracing::error!(panic = said(&*panic), "a task, or a part of one, panicked; it alone has ended");
        }
        Poll::Ready(())
    }
}

/// The message of a panic.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Tasks that are waited for. Clones count the same ones.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    shared: Rc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    running: Cell<usize>,
    none_left: Notify,
}

pin_project! {
    struct Counted<F> {
        #[pin]
        task: F,
        count: Count,
    }
}

/// Counts one task for as long as it lives, however it ends.
struct Count(Rc<Shared>);

impl Tasks {
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Starts a task, as [`spawn`] does, and counts it until it has ended.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
        self.shared.running.set(self.shared.running.get() + 1);
        spawn(Counted { task, count: Count(self.shared.clone()) })
    }

    pub fn running(&self) -> usize {
        self.shared.running.get()
    }

    /// Waits until none runs.
    pub async fn none_left(&self) {
        loop {
            let none_left = self.shared.none_left.notified();
            if self.running() == 0 {
                return;
            }
            none_left.await;
        }
    }
}

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        if self.0.running.get() == 0 {
            self.0.none_left.notify_waiters();
        }
    }
}

/// Lets hyper start its tasks (one a stream of HTTP/2) by [`spawn`].
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalExec;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExec {
    fn execute(&self, task: F) {
        spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn a_panic_ends_its_own_task_alone_and_is_counted() {
        run(async {
            let tasks = Tasks::new();
            let before = panics();
            tasks.spawn(async { panic!("on purpose") });
            let other = tasks.spawn(async { tokio::task::yield_now().await });
            tasks.none_left().await;
            assert!(other.await.is_ok());
            assert_eq!(panics(), before + 1);
        });
    }

    #[test]
    fn waiting_ends_when_the_last_task_has_ended_even_if_it_was_aborted() {
        run(async {
            let tasks = Tasks::new();
            tasks.none_left().await;
            let endless = tasks.spawn(std::future::pending());
            tokio::task::yield_now().await;
            assert_eq!(tasks.running(), 1);
            endless.abort();
            tasks.none_left().await;
            assert_eq!(tasks.running(), 0);
        });
    }
}
