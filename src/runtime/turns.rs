//! How much CPU time one turn of a thread's loop takes: one poll of one task, for which all other tasks of the thread wait.
//!
//! Off unless [`measure`] was called: the CPU clock of a thread is a call of the kernel before and after each poll, which together cost
//! more than many polls do. CPU time, not wall time: who else runs on the core meanwhile is no matter; but interrupts are in it where the
//! kernel does not tell them apart (`CONFIG_IRQ_TIME_ACCOUNTING`).
//!
//! Not here: how late the loop is for whatever reason (`edge::worker` measures that, always).

use super::clock;
use pin_project_lite::pin_project;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

/// Set once, if at all, before there are threads.
static MEASURED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static LONGEST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// From now on all threads measure their turns.
pub fn measure() {
    MEASURED.store(true, Relaxed);
}

/// The longest turn of this thread so far; `None`: nobody measures.
pub fn longest() -> Option<Duration> {
    MEASURED.load(Relaxed).then(|| LONGEST.get())
}

pin_project! {
    /// A future whose polls are turns.
    pub(super) struct Turns<F> {
        #[pin]
        task: F,
    }
}

impl<F> Turns<F> {
    pub(super) fn of(task: F) -> Turns<F> {
        Turns { task }
    }
}

impl<F: Future> Future for Turns<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let task = self.project().task;
        if !MEASURED.load(Relaxed) {
            return task.poll(cx);
        }
        let begun = clock::thread_cpu();
        let polled = task.poll(cx);
        ended(clock::thread_cpu().saturating_sub(begun), std::any::type_name::<F>());
        polled
    }
}

fn ended(took: Duration, task: &'static str) {
    if took <= LONGEST.get() {
        return;
    }
    LONGEST.set(took);
    tracing::debug!(?took, task, "the longest turn of this thread so far");
}

#[cfg(test)]
mod tests {
    use super::super::{tasks, thread};
    use super::*;

    fn use_cpu(time: Duration) {
        let begun = clock::thread_cpu();
        while clock::thread_cpu() < begun + time {}
    }

    #[test]
    fn the_longest_turn_is_that_of_any_task_and_of_the_threads_main_and_sleep_is_not_in_it() {
        const WORK: Duration = Duration::from_millis(3);
        measure();
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        let worker = thread::spawn("measured", || async {
            tasks::spawn(async { std::thread::sleep(20 * WORK) }).await.unwrap();
            let slept = longest().unwrap();
            tasks::spawn(async { use_cpu(WORK) }).await.unwrap();
            let worked = longest().unwrap();
            use_cpu(2 * WORK);
            tokio::task::yield_now().await;
            (slept, worked, longest().unwrap())
        });
        let (slept, worked, main) = runtime.block_on(worker.unwrap().join()).unwrap();
        assert!(slept < WORK, "{slept:?}");
        assert!(worked >= WORK && main >= 2 * WORK, "{worked:?} {main:?}");
        assert_eq!(longest(), Some(Duration::ZERO), "another thread's turns are its own");
    }
}
