//! Tasks of one thread. [`spawn`] is the only way to start one: its panic ends that task alone, is logged and counted.
//!
//! [`Tasks`] counts tasks that somebody must wait for (a drain). Not here: what to do about a task that does not end.

use futures_util::FutureExt;
use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

thread_local! {
    /// A panic has no owner left to be handed a counter, so the thread keeps it.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Starts a task on this thread.
pub fn spawn(task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that may start a task")]
    tokio::task::spawn_local(caught(task))
}

/// How many tasks of this thread have panicked.
pub fn panics() -> u64 {
    PANICS.get()
}

async fn caught(task: impl Future<Output = ()>) {
    // What the task shared with others it shared by cells, which are never left half written.
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        PANICS.set(PANICS.get() + 1);
        tracing::error!(panic = said(&*panic), "a task panicked; it alone has ended");
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

/// Counts one task for as long as it lives, however it ends.
struct Counted(Rc<Shared>);

impl Tasks {
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Starts a task, as [`spawn`] does, and counts it until it has ended.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
        self.shared.running.set(self.shared.running.get() + 1);
        let counted = Counted(self.shared.clone());
        spawn(async move {
            let _counted = counted;
            task.await;
        })
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

impl Drop for Counted {
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
