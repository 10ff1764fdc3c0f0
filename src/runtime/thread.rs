//! One named thread with one runtime that runs one async main. Workers, supervisor and office are all such threads.
//!
//! The runtime is tokio's `LocalRuntime`: what a thread runs never leaves it, so nothing in it needs to be `Send`.

use super::tasks;
use super::turns::Turns;
use std::future::Future;
use std::io;
use std::sync::mpsc::sync_channel;
use tokio::runtime::{Builder, LocalRuntime};
use tokio::sync::oneshot;

/// A running thread. Dropping this lets it run on, unwatched.
#[derive(Debug)]
pub struct Thread<T> {
    name: String,
    ended: oneshot::Receiver<T>,
    handle: std::thread::JoinHandle<()>,
}

/// The thread's main panicked; what it owned is gone.
#[derive(Debug, thiserror::Error)]
#[error("thread {name} panicked: {message}")]
pub struct Died {
    pub name: String,
    pub message: String,
}

/// Starts a thread that runs the future which `main` makes there, and then ends. Tasks that still run then are dropped.
///
/// `name` is cut to 15 bytes by the kernel.
///
/// # Errors
/// The thread or its runtime could not be made: no memory, threads or descriptors left.
pub fn spawn<T, M, F>(name: &str, main: M) -> io::Result<Thread<T>>
where
    T: Send + 'static,
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (started, start) = sync_channel(1);
    let (end, ended) = oneshot::channel();
    let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        // Whoever waits for the start gave up only if it is gone itself.
        let _ = started.send(Ok(()));
        let _ = end.send(runtime.block_on(Turns::of(async move { main().await })));
    })?;
    start.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended before it began")))?;
    Ok(Thread { name: name.to_owned(), ended, handle })
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(Default::default())
}

impl<T> Thread<T> {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the thread's end: what its main returned, or that it panicked.
    pub async fn join(self) -> Result<T, Died> {
        let returned = self.ended.await;
        // The main is over either way: this waits for the runtime's drop at most.
        match (returned, self.handle.join()) {
            (Ok(value), Ok(())) => Ok(value),
            (Ok(_), Err(panic)) | (Err(_), Err(panic)) => Err(Died { name: self.name, message: tasks::said(&*panic) }),
            (Err(_), Ok(())) => Err(Died { name: self.name, message: "ended without an answer".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn wait<T>(thread: Thread<T>) -> Result<T, Died> {
        runtime().unwrap().block_on(thread.join())
    }

    #[test]
    fn a_thread_runs_a_future_that_is_not_send_and_returns_what_it_made() {
        let thread = spawn("answer", || async {
            let local = Rc::new(42);
            tokio::task::yield_now().await;
            assert_eq!(std::thread::current().name(), Some("answer"));
            *local
        });
        assert_eq!(wait(thread.unwrap()).unwrap(), 42);
    }

    #[test]
    fn the_owner_sees_the_panic_of_a_thread() {
        let thread = spawn("unlucky", || async { panic!("disk {} is gone", 7) }).unwrap();
        let died = wait::<()>(thread).unwrap_err();
        assert_eq!(died.to_string(), "thread unlucky panicked: disk 7 is gone");
    }
}
