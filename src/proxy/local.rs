//! What one worker has to itself: kept connections, budgets, and its own counters. One [`Worker`] a thread, behind `Rc`;
//! nothing in it is shared with another thread but the view and the counters.

use super::budget::Budget;
use super::crowd::Crowd;
use super::departed::{Departed, Times};
use crate::config::Way;
use crate::domain::{Class, EndpointId, FailureKind, Moment, Name};
use crate::health::notes::{Note, Told};
use crate::health::tally::{Place, TallyCell};
use crate::health::{Asking, BackendView, EndpointView, Published, Reader, Reporter, Tally};
use crate::runtime::clock::Clock;
use crate::telemetry::cells::{PerWorker, WorkerIndex};
use crate::telemetry::metrics::{BackendCells, Buffered, WorkerCells, Workers};
use crate::upstream::{Kept, Memory, Rooms};
use http::StatusCode;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// All that one worker's requests share.
#[derive(Debug)]
pub struct Worker {
    pub index: WorkerIndex,
    pub clock: Clock,
    pub views: Reader,
    pub reporter: Reporter,
    /// Copies of requests that run (`copies`).
    pub copies: Cell<usize>,
    /// For responses that are kept until they are whole.
    pub held: Rooms,
    /// For request bodies that are kept to be sent once more. Both of the memory that all workers share.
    pub replay: Rooms,
    cells: Arc<Workers>,
    workers: usize,
    random: RefCell<fastrand::Rng>,
    endpoints: RefCell<HashMap<EndpointId, Rc<LocalEndpoint>>>,
    departed: Departed,
    backends: RefCell<HashMap<Name, Rc<LocalBackend>>>,
}

/// How often kept connections are looked through when nothing else calls for it.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// This worker's side of an endpoint. Outlives the endpoint's place in the view for as long as a response runs.
#[derive(Debug)]
pub struct LocalEndpoint {
    pub kept: Kept,
    /// Where connections lead, those that are kept too: it may be another after a reload, and then so is this.
    pub way: Arc<Way>,
    tally: Arc<Tally>,
    worker: WorkerIndex,
    /// Whether tunnels may not go on, and who is to be told.
    tunnels_over: Cell<bool>,
    tunnels_told: Notify,
}

/// This worker's side of a backend.
#[derive(Debug)]
pub struct LocalBackend {
    pub retries: Budget,
    pub hedges: Budget,
    /// Who asks during a ramp.
    pub crowd: RefCell<Option<Crowd>>,
    cells: Arc<PerWorker<BackendCells>>,
    worker: WorkerIndex,
}

impl Worker {
    /// `seed`: for the choice among endpoints.
    pub fn new(
        index: WorkerIndex,
        clock: Clock,
        published: &Published,
        reporter: Reporter,
        cells: Arc<Workers>,
        memory: &Arc<Memory>,
        seed: u64,
    ) -> Worker {
        let rooms = |what| Rooms::new(memory.clone(), what, cells.clone(), index);
        Worker {
            index,
            clock,
            views: published.reader(),
            reporter,
            copies: Cell::default(),
            held: rooms(Buffered::Response),
            replay: rooms(Buffered::Request),
            workers: cells.iter().count(),
            cells,
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            endpoints: RefCell::default(),
            departed: Departed::default(),
            backends: RefCell::default(),
        }
    }

    /// This worker's own counters.
    pub fn cells(&self) -> &WorkerCells {
        self.cells.of(self.index)
    }

    /// Passes a failure on as evidence.
    pub fn tell(&self, note: Note) {
        match self.reporter.tell(note) {
            Told::Passed => (),
            Told::Lost => self.cells().notes_lost.add(1),
        }
    }

    /// A random number below `bound`, which is at least 1.
    pub fn random(&self, bound: usize) -> usize {
        self.random.borrow_mut().usize(..bound)
    }

    /// This worker's side of an endpoint.
    pub fn endpoint(&self, endpoint: &EndpointView) -> Rc<LocalEndpoint> {
        let mut endpoints = self.endpoints.borrow_mut();
        if let Some(known) = endpoints.get(&endpoint.tally.id).filter(|known| known.way == endpoint.way) {
            return known.clone();
        }
        let local = Rc::new(LocalEndpoint {
            kept: Kept::default(),
            way: endpoint.way.clone(),
            tally: endpoint.tally.clone(),
            worker: self.index,
            tunnels_over: Cell::default(),
            tunnels_told: Notify::new(),
        });
        if let Some(former) = endpoints.insert(endpoint.tally.id, local.clone()) {
            self.departed.add(former);
        }
        local
    }

    /// This worker's side of a backend.
    pub fn backend(&self, backend: &BackendView) -> Rc<LocalBackend> {
        let mut backends = self.backends.borrow_mut();
        if let Some(known) = backends.get(&backend.config.name) {
            return known.clone();
        }
        let local = Rc::new(LocalBackend {
            retries: Budget::new(Budget::RETRIES, self.workers, self.clock.now()),
            hedges: Budget::new(Budget::HEDGES, self.workers, self.clock.now()),
            crowd: RefCell::default(),
            cells: backend.cells.clone(),
            worker: self.index,
        });
        backends.insert(backend.config.name.clone(), local.clone());
        local
    }

    /// Runs for as long as the worker: takes up each published view, so that an idle worker does not hold on to an old one, and sweeps.
    pub async fn keep_house(self: Rc<Worker>) {
        let mut changes = self.views.changes();
        let mut due: Option<Moment> = None;
        loop {
            let ordinary = self.clock.now().after(SWEEP_EVERY);
            let next = self.clock.instant(due.map_or(ordinary, |due| due.min(ordinary)));
            // An error: the supervisor is gone, and there will be no news.
            if let Ok(Err(_)) = tokio::time::timeout_at(next, changes.changed()).await {
                tokio::time::sleep_until(next).await;
            }
            due = self.sweep();
        }
    }

    /// Closes kept connections that were idle for too long or whose endpoint is gone from the view, forgets endpoints and backends that
    /// are, and cuts what has run there for too long. When to do it again, if that is soon.
    fn sweep(&self) -> Option<Moment> {
        let view = self.views.view();
        let now = self.clock.now();
        let mut endpoints = self.endpoints.borrow_mut();
        let mut due = None;
        if !endpoints.is_empty() || !self.departed.is_empty() {
            let all =
                view.backends.iter().flat_map(|backend| backend.pools.iter()).flat_map(|pool| pool.endpoints.iter());
            let known: HashSet<EndpointId> = all.map(|endpoint| endpoint.tally.id).collect();
            for (_, gone) in endpoints.extract_if(|id, _| !known.contains(id)) {
                self.departed.add(gone);
            }
            endpoints.values().for_each(|local| local.kept.sweep(now));
            let times = Times { requests: view.config.drain_timeout, tunnels: view.config.drain_streams };
            due = self.departed.look(now, |id| known.contains(&id), times, self.cells());
        }
        let mut backends = self.backends.borrow_mut();
        if !backends.is_empty() {
            let known: HashSet<&str> = view.backends.iter().map(|backend| &*backend.config.name).collect();
            backends.retain(|name, _| known.contains(&**name));
        }
        due
    }
}

impl LocalEndpoint {
    /// This worker's own tally of the endpoint.
    pub fn tally(&self) -> &TallyCell {
        self.tally.cells.of(self.worker)
    }

    pub fn id(&self) -> EndpointId {
        self.tally.id
    }

    /// Ends the tunnels to it.
    pub fn cut_tunnels(&self) {
        self.tunnels_over.set(true);
        self.tunnels_told.notify_waiters();
    }

    /// Returns when tunnels to it are to end.
    pub async fn tunnels_cut(&self) {
        let told = self.tunnels_told.notified();
        if !self.tunnels_over.get() {
            told.await;
        }
    }

    /// How long 99 of 100 heads of that class take at most there; `None`: not known yet.
    pub fn usual(&self, class: Class) -> Option<Duration> {
        self.tally.usual(class)
    }

    /// How long 95 of 100 heads take at most there of late; `None`: not known yet.
    pub fn pace(&self) -> Option<Duration> {
        self.tally.pace()
    }

    /// A request, begun at `began`, was answered well to its end.
    pub fn note_good(&self, reporter: &Reporter, asking: Asking, began: Moment, now: Moment) {
        reporter.good(&self.tally, asking, began, now);
    }

    /// A failure, for the metrics; as evidence it is told by `Worker::tell`.
    pub fn count_failure(&self, reporter: &Reporter, kind: FailureKind) {
        reporter.failed(&self.tally, kind);
    }

    pub fn begin_waiting(&self, reporter: &Reporter, asking: Asking, now: Moment) -> Place {
        reporter.waits(&self.tally, asking, now)
    }

    /// The supervisor must look here.
    pub fn touch(&self, reporter: &Reporter) {
        reporter.touch(&self.tally);
    }

    pub fn ask_verdict(&self, reporter: &Reporter) {
        reporter.ask_verdict(&self.tally);
    }
}

impl LocalBackend {
    /// A client is given a response, by its class.
    pub fn count_response(&self, status: StatusCode) {
        let responses = &self.cells().responses;
        let class = usize::from(status.as_u16() / 100).clamp(1, responses.len());
        responses[class - 1].add(1);
    }

    /// This worker's own counters of the backend.
    pub fn cells(&self) -> &BackendCells {
        self.cells.of(self.worker)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Admin, Config, Digest, Sites};
    use crate::domain::Generation;
    use crate::health::notes::Notes;
    use crate::health::{Seats, Signals, View};

    /// A view of these backends, and of nothing else.
    pub fn view(backends: Box<[Arc<BackendView>]>) -> View {
        let config = Config {
            workers: std::num::NonZeroUsize::MIN,
            max_connections: 1_000,
            max_connections_per_client: 1_000,
            max_buffered: 1 << 20,
            drain_timeout: Duration::ZERO,
            digest: Digest::default(),
            confirm: Duration::ZERO,
            drain_streams: Duration::ZERO,
            state_dir: None,
            admin: Admin { address: "127.0.0.1:0".parse().unwrap(), token: None },
            listeners: Vec::new(),
            certificates: Default::default(),
            sites: Sites::default(),
            backends: Vec::new(),
        };
        View { generation: Generation(1), config: Arc::new(config), backends, seats: Seats::default(), watch: None }
    }

    /// A worker that reads these views, and what it tells.
    pub fn worker_of(published: &Published) -> (Rc<Worker>, Notes) {
        let (signals, notes) = Signals::new(1);
        let (index, cells) = (WorkerIndex(0), Arc::new(Workers::new(1)));
        let reporter = Reporter::new(index, Arc::new(signals));
        let memory = Memory::new(1 << 20);
        (Rc::new(Worker::new(index, Clock::start(), published, reporter, cells, &memory, 1)), notes)
    }

    /// A worker of nothing, and what it tells.
    pub fn worker() -> (Rc<Worker>, Notes) {
        worker_of(&Published::new(view(Box::default())))
    }
}
