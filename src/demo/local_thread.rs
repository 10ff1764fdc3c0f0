//! A thread of its own that ends when it is asked to, as data centres and visitors have: nothing they do slows the front
//! door's. Not here: what a thread is (`runtime::thread`).

use crate::runtime::thread::{self, Died, Thread};
use std::future::Future;
use std::io;
use tokio::sync::watch;

/// Dropping it asks the thread to end, and does not wait for that.
#[derive(Debug)]
pub struct LocalThread {
    asks: watch::Sender<()>,
    thread: Thread<()>,
}

/// The thread's side: when to end.
#[derive(Debug)]
pub struct Stop(watch::Receiver<()>);

impl LocalThread {
    /// Runs `life` there until it ends, which it should do soon after [`Stop::asked`].
    pub fn start<F: Future<Output = ()> + 'static>(
        name: &str,
        life: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> io::Result<LocalThread> {
        let (asks, asked) = watch::channel(());
        Ok(LocalThread { asks, thread: thread::spawn(name, move || life(Stop(asked)))? })
    }

    /// Asks the thread to end, and waits until it has.
    pub async fn stop(self) -> Result<(), Died> {
        drop(self.asks);
        self.thread.join().await
    }
}

impl Stop {
    pub async fn asked(&mut self) {
        while self.0.changed().await.is_ok() {} // nothing is ever sent: an error says that the owner has gone
    }
}
