//! What the rest of the process holds of the supervisor: starts its thread, talks to it, and ends it.

use super::{Answer, Asked, FirstRound, Ordered, Reconfigure, Records, Task, Tools};
use crate::config::Config;
use crate::domain::{Force, Generation, Introduced, Order, Stranded};
use crate::health::prober::Prober;
use crate::health::recent::Recent;
use crate::health::{Published, Reporter, Signals, Watch};
use crate::runtime::clock::Clock;
use crate::telemetry::cells::WorkerIndex;
use crate::telemetry::control::Control;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};

/// A running supervisor. Dropping it stops its probes and its thread; the last view stays.
#[derive(Debug)]
pub struct Supervisor {
    /// The first view is there from the start.
    pub published: Arc<Published>,
    signals: Arc<Signals>,
    recent: Arc<Recent>,
    first_round: watch::Receiver<FirstRound>,
    /// `None` only while it is being dropped: closing it is how the thread is told to stop.
    line: Option<mpsc::Sender<Asked>>,
    thread: Option<JoinHandle<()>>,
}

/// The supervisor's thread has ended; nothing is decided any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the supervisor is not running")]
pub struct Stopped;

/// Whether an order is only thought through, or carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Says what would follow; nothing changes.
    Consider,
    CarryOut,
}

/// A config to be put in force.
#[derive(Debug)]
pub struct Reconfiguration {
    pub config: Arc<Config>,
    /// Who is new in it, and was probed.
    pub introduced: Vec<Introduced>,
    /// Whether it is put in force though a backend's users would have nobody but new endpoints that failed.
    pub force: Force,
    /// Where workers count what becomes of requests.
    pub watch: Option<Arc<Watch>>,
}

impl Reconfiguration {
    /// Of that config, whatever follows.
    pub fn to(config: Arc<Config>) -> Reconfiguration {
        Reconfiguration { config, introduced: Vec::new(), force: Force::Yes, watch: None }
    }
}

/// The generation that is in force now, or whose users would have been left with nobody; then nothing has changed.
pub type Reconfigured = Result<Generation, Vec<Stranded>>;

/// Reloads and orders that wait in line; whoever asks for one more waits to ask.
const WAITING: usize = 16;

impl Supervisor {
    /// Starts the supervisor's thread for `workers` workers, as generation 1. Probing begins at once; `seed` spreads it.
    ///
    /// # Errors
    /// The system gives no thread, or no poller.
    pub fn start(
        config: Arc<Config>,
        workers: usize,
        clock: Clock,
        control: Arc<Control>,
        records: Records,
        seed: u64,
    ) -> io::Result<Supervisor> {
        let (signals, notes) = Signals::new(workers);
        let signals = Arc::new(signals);
        let recent = Arc::new(Recent::default());
        let (first_round, first_round_over) = watch::channel(FirstRound::Running);
        let (line, waiting) = mpsc::channel(WAITING);
        let tools = Tools { clock, control, signals: signals.clone(), recent: recent.clone() };
        let task = Task::new(config, workers, tools, notes, records, first_round);
        let published = task.published.clone();
        let runtime =
            move || Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default());
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("supervisor".into()).spawn(move || match runtime() {
            Ok(runtime) => {
                let _ = ready.send(Ok(()));
                runtime.block_on(task.run(Prober::new(clock, fastrand::Rng::with_seed(seed)), waiting));
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        })?;
        started.recv().map_err(io::Error::other)??;
        Ok(Supervisor {
            published,
            signals,
            recent,
            first_round: first_round_over,
            line: Some(line),
            thread: Some(thread),
        })
    }

    /// That worker's line to the supervisor, for its thread alone.
    pub fn reporter(&self, worker: WorkerIndex) -> Reporter {
        Reporter::new(worker, self.signals.clone())
    }

    /// Puts a config in force: returns, with its generation, once the view is swapped. What stays as it was keeps its
    /// health, tallies and counters; what is gone is no longer probed. Or says why not, and then nothing has changed.
    ///
    /// # Errors
    /// [`Stopped`]: nothing changed, and nothing will.
    pub async fn reconfigure(&self, change: Reconfiguration) -> Result<Reconfigured, Stopped> {
        let (done, swapped) = oneshot::channel();
        self.ask(Asked::Reconfigure(Reconfigure { change, done })).await?;
        swapped.await.map_err(|_| Stopped)
    }

    /// Has an operator's order considered or carried out: what follows from it at once, or why it was not taken. Returns once
    /// the view that follows from it is swapped.
    ///
    /// # Errors
    /// [`Stopped`]: it was not carried out, unless the supervisor ended in the midst of it.
    pub async fn order(&self, order: Order, act: Act) -> Result<Answer, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.ask(Asked::Order(Ordered { order, act, answer })).await?;
        answered.await.map_err(|_| Stopped)
    }

    async fn ask(&self, asked: Asked) -> Result<(), Stopped> {
        self.line.as_ref().ok_or(Stopped)?.send(asked).await.map_err(|_| Stopped)
    }

    /// Returns when every endpoint has been probed once, or one probe timeout (the longest) has passed since the start.
    pub async fn first_round(&self) {
        // An error: the supervisor is gone, and there is nothing to wait for.
        let _ = self.first_round.clone().wait_for(|round| *round == FirstRound::Over).await;
    }

    /// Whether anything is decided any more: `false` only after a bug of ours ended the thread.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// The newest transitions, oldest first; at most 256.
    pub fn recent(&self) -> Arc<Recent> {
        self.recent.clone()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.line = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the supervisor's thread had panicked");
        }
    }
}
