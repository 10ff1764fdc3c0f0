//! The supervisor's steps one at a time, for benches/core: a real one, without its thread, its timer and its probes, none of
//! which is ever sent.
//!
//! Not here: what the steps may cost (benches/core).

use super::{FirstRound, Look, Records, Task, Tools};
use crate::config::Config;
use crate::domain::{Class, Fingerprint, Input, Lag, Moment, ProbeReport, ProbeResult};
use crate::health::prober::Prober;
use crate::health::{Asking, Published, Recent, Reporter, Signals, View};
use crate::runtime::clock::Clock;
use crate::telemetry::cells::WorkerIndex;
use crate::telemetry::control::Control;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::watch;

/// A supervisor that does what it is told, and nothing else.
pub struct Steps {
    task: Task,
    prober: Prober,
    reporter: Reporter,
    /// Holds the probes that wait to be sent, so it is dropped last.
    _runtime: LocalRuntime,
}

impl Steps {
    /// Every endpoint of that config has passed a probe, and its next one is under way for ever.
    ///
    /// # Errors
    /// The system gives no poller.
    pub fn new(config: Arc<Config>, workers: usize) -> io::Result<Steps> {
        let clock = Clock::start();
        let (signals, notes) = Signals::new(workers);
        let signals = Arc::new(signals);
        let reporter = Reporter::new(WorkerIndex(0), signals.clone());
        let tools = Tools { clock, control: Arc::new(Control::new()), signals, recent: Arc::new(Recent::default()) };
        let (first_round, _) = watch::channel(FirstRound::Running);
        let task = Task::new(config, workers, tools, notes, Records::none(), first_round);
        let prober = Prober::new(clock, fastrand::Rng::with_seed(1));
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default())?;
        let mut steps = Steps { task, prober, reporter, _runtime: runtime };
        steps.task.watch_endpoints(&mut steps.prober);
        // Ends before any task that it starts has had a turn.
        steps._runtime.block_on(async { steps.prober.start_due(clock.now()) });
        let ids: Vec<_> = steps.task.readers.keys().map(|(_, endpoint)| *endpoint).collect();
        for endpoint in ids {
            let (result, began, lag) = (ProbeResult::Passed, clock.now(), Lag::Unknown);
            let report = ProbeReport { result, began, answered_meanwhile: 0, lag };
            steps.apply(&Input::Probe { endpoint, report });
        }
        steps.publish();
        Ok(steps)
    }

    /// The view in force.
    pub fn view(&self) -> Arc<View> {
        self.task.published.load()
    }

    /// Where workers read it.
    pub fn published(&self) -> &Published {
        &self.task.published
    }

    pub fn now(&self) -> Moment {
        self.task.now()
    }

    /// A worker counts a good answer at every endpoint.
    pub fn everyone_answers(&self) {
        let now = self.now();
        let asking = Asking { class: Class::Safe, client: Fingerprint(1), path: Fingerprint(2) };
        self.task.assembly.tallies().for_each(|tally| self.reporter.good(tally, asking, now, now));
    }

    /// Has the model take something in, and tells what follows.
    pub fn apply(&mut self, input: &Input) {
        self.task.apply(input);
    }

    /// Stores the next view, if something changed.
    pub fn publish(&mut self) {
        self.task.publish();
    }

    /// Reads the tallies that workers touched, as every 50 ms.
    pub fn look(&mut self) {
        self.task.read_workers(Look::Round, &mut self.prober);
    }

    /// What the supervisor does every 50 ms: finds out when to wake, and serves all that has come by then.
    pub fn turn(&mut self) -> Moment {
        self.task.next_round = Moment::ZERO;
        let wake = self.task.wake_at(&self.prober);
        self.task.serve_time(&mut self.prober);
        wake
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").finish_non_exhaustive()
    }
}
