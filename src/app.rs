//! Start, change and stop of the whole: who is started in which order, and who waits for whom.
//!
//! Not here: where a config comes from and what a rejected one means (`reload`), signals and words for people (`cli`).

pub mod certificates;
mod former;
mod state_dir;

use crate::admin::{self, AskedReload, Phase, Readiness, Socket};
use crate::config::{Address, Config, Listener};
use crate::edge::{self, Bound, Order};
use crate::health::{Published, Reconfiguration, Reconfigured, StateFile, Stopped, Supervisor};
use crate::proxy::Worker;
use crate::runtime::clock::Clock;
use crate::runtime::{tasks, thread};
use crate::telemetry::cells::WorkerIndex;
use crate::telemetry::control::Control;
use crate::telemetry::journal::{Entry, Journal, Line};
use crate::telemetry::metrics::Workers;
use crate::upstream::Memory;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A running Hotspare. Belongs to the office: the thread that starts it, whose tokio `LocalRuntime` runs the admin listener.
#[derive(Debug)]
pub struct Hotspare {
    supervisor: Arc<Supervisor>,
    control: Arc<Control>,
    readiness: Readiness,
    cells: Arc<Workers>,
    gate: Arc<edge::Gate>,
    memory: Arc<Memory>,
    workers: Vec<WorkerThread>,
    /// Which workers have ended, told by themselves.
    ended: (mpsc::Sender<WorkerIndex>, mpsc::Receiver<WorkerIndex>),
    /// Every listening socket there is; workers hold clones. One with connections in its queue is never closed.
    sockets: BTreeMap<Address, Bound>,
    admin: JoinHandle<()>,
    orders: JoinHandle<()>,
    /// Reloads that operators ask for, until somebody takes it.
    reloads: Option<mpsc::Receiver<AskedReload>>,
    journal: Journal,
    state: StateFile,
    clock: Clock,
}

#[derive(Debug)]
struct WorkerThread {
    orders: mpsc::Sender<Order>,
    /// `None`: it has ended by itself.
    thread: Option<thread::Thread<()>>,
}

/// Tells of its worker's end when it is dropped, by a panic too.
struct Leave {
    index: WorkerIndex,
    ended: mpsc::Sender<WorkerIndex>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        let _ = self.ended.try_send(self.index); // there is room for each worker; without a reader all of it ends
    }
}

/// Orders that wait for a worker; each is served at once, so more than a few mean that it hangs.
const WAITING_ORDERS: usize = 64;

/// Before a worker is started anew: what ends each new one at once must not take a core too.
const BEFORE_ANEW: Duration = Duration::from_millis(100);

/// Why it does not run, or not with the new config. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Listen(io::Error),
    #[error(
        "whether {0} takes IPv4 clients too follows from 0.0.0.0:{port} being listed or not, and can't change while it listens; \
         restart hotspare, or list another port",
        port = .0.port()
    )]
    Stack(SocketAddr),
    #[error(
        "another hotspare runs with the state directory {}; end that one, or give this one its own with `state_dir = \"…\"`",
        .0.display()
    )]
    StateDir(PathBuf),
    #[error("the admin listener: {0}")]
    Admin(io::Error),
    #[error(
        "cannot start a thread: {0}; is there a limit on threads, descriptors or memory (ulimit -u, ulimit -n, cgroup)?"
    )]
    Thread(io::Error),
    #[error("the supervisor has ended, so nothing can be changed any more; restart hotspare")]
    Supervisor,
}

impl Hotspare {
    /// Binds everything, then starts the supervisor, then accepts: after the first round of probes or one probe timeout.
    ///
    /// # Errors
    /// See [`Trouble`]; then nothing runs.
    pub async fn start(config: Config, clock: Clock) -> Result<Hotspare, Trouble> {
        Hotspare::start_with(config, clock, axum::Router::new()).await
    }

    /// The same, with more paths on the admin listener.
    pub async fn start_with(config: Config, clock: Clock, more: axum::Router) -> Result<Hotspare, Trouble> {
        let config = Arc::new(config);
        let workers = config.workers.get();
        let sockets = bind_new(&config, &BTreeMap::new(), workers)?;
        let admin_address = config.admin.address;
        let admin = TcpListener::bind(admin_address)
            .map_err(|error| Trouble::Admin(edge::explain(&admin_address.into(), &error)))?;
        let socket = state_dir::socket(config.state_dir.as_deref()).await?;

        let control = Arc::new(Control::new());
        let records =
            state_dir::records(config.state_dir.as_deref(), &control, clock).await.map_err(Trouble::Thread)?;
        let (journal, state) = (records.journal.clone(), records.state.clone());
        let memory = Memory::new(config.max_buffered);
        let supervisor = Supervisor::start(config, workers, clock, control.clone(), records, fastrand::u64(..));
        let supervisor = supervisor.map_err(Trouble::Thread)?;
        let supervisor = Arc::new(supervisor);
        let cells = Arc::new(Workers::new(workers));
        let readiness = Readiness::new();
        let (line, asked) = admin::line();
        let (reload_line, reloads) = admin::reload_line();
        let orders = tasks::spawn(answer_orders(Arc::downgrade(&supervisor), asked));
        let admin = tasks::spawn(serve_admin(
            admin,
            socket,
            admin::State {
                published: supervisor.published.clone(),
                control: control.clone(),
                workers: cells.clone(),
                clock,
                readiness: readiness.clone(),
                recent: supervisor.recent(),
                line,
                reloads: reload_line,
            },
            more,
        ));
        supervisor.first_round().await;

        let ended = mpsc::channel(workers);
        let gate = edge::Gate::new();
        let shared = Shared { supervisor: &supervisor, cells: &cells, gate: &gate, memory: &memory, clock };
        let threads = (0..workers).map(|index| WorkerThread::start(WorkerIndex(index), shared, ended.0.clone()));
        let threads = threads.collect::<io::Result<Vec<_>>>().map_err(Trouble::Thread)?;
        let hotspare = Hotspare {
            supervisor,
            control,
            readiness,
            cells,
            gate,
            memory,
            workers: threads,
            ended,
            sockets,
            admin,
            orders,
            reloads: Some(reloads),
            journal,
            state,
            clock,
        };
        for bound in hotspare.sockets.values() {
            hotspare.order(hotspare.shares(bound)?).await;
        }
        hotspare.readiness.set(Phase::Ready);
        certificates::tell_of(&hotspare.published().load().config.certificates, clock.wall());
        Ok(hotspare)
    }

    /// Puts another config in force: binds what is new, swaps, gives up what is gone. Listeners that stay keep their sockets.
    ///
    /// # Errors
    /// See [`Trouble`]; then nothing has changed, not one socket. Nor has it where users would be left with nobody.
    pub async fn reconfigure(&mut self, change: Reconfiguration) -> Result<Reconfigured, Trouble> {
        let config = change.config.clone();
        let before = self.published().load();
        if let Some(address) = changed_stack(&before.config, &config) {
            return Err(Trouble::Stack(address));
        }
        let mut new = bind_new(&config, &self.sockets, self.workers.len())?;
        // All that can fail for want of a descriptor comes before the swap.
        let shares = new.values().map(|bound| self.shares(bound)).collect::<Result<Vec<_>, _>>()?;
        let generation = match self.supervisor.reconfigure(change).await.map_err(|_| Trouble::Supervisor)? {
            Ok(generation) => generation,
            Err(stranded) => return Ok(Err(stranded)),
        };
        self.memory.set_most(config.max_buffered);
        for share in shares {
            self.order(share).await;
        }
        self.sockets.append(&mut new);
        let gone = self.sockets.extract_if(.., |address, _| config.listener(address).is_none());
        for (address, bound) in gone.collect::<Vec<_>>() {
            // First ours: the workers empty their queues before they close them, and what is closed last loses its queue.
            drop(bound);
            let unlisten = |_| Order::Unlisten { address: address.clone() };
            self.order(self.workers.iter().map(unlisten).collect()).await;
        }
        self.set_modes(&before.config, &config);
        say_what_needs_a_restart(&before.config, &config);
        certificates::tell_of(&config.certificates, self.clock.wall());
        former::hold(before);
        Ok(Ok(generation))
    }

    /// The next worker that ended by itself: what [`Hotspare::start_anew`] is for. May be dropped at any time.
    pub async fn worker_ended(&mut self) -> WorkerIndex {
        match self.ended.1.recv().await {
            Some(index) => index,
            None => unreachable!("there is a sender beside the receiver"),
        }
    }

    /// Starts a worker that has ended anew. Its connections are lost, which only a bug of ours brings about; clients that wait in its
    /// queues are not. Where there is no memory for it, it is tried again later.
    pub async fn start_anew(&mut self, index: WorkerIndex) {
        tokio::time::sleep(BEFORE_ANEW).await;
        // Counters have one writer: the one that ended is over when this is.
        if let Some(thread) = self.workers[index.0].thread.take()
            && let Err(died) = thread.join().await
        {
            tracing::error!("{died}; it is started anew, its connections are lost");
        }
        match self.replace(index).await {
            Ok(()) => self.control.worker_restarted(),
            Err(error) => {
                tracing::error!("worker {} can't be started anew: {error}", index.0);
                let again = self.ended.0.clone();
                tasks::spawn(async move {
                    tokio::time::sleep(10 * BEFORE_ANEW).await;
                    let _ = again.send(index).await; // nobody hears it: all of it has ended
                });
            }
        }
    }

    async fn replace(&mut self, index: WorkerIndex) -> Result<(), Trouble> {
        let shares = self.sockets.values().map(|bound| share(bound, index)).collect::<Result<Vec<_>, _>>()?;
        let ended = self.ended.0.clone();
        let Hotspare { supervisor, cells, gate, memory, clock, .. } = &*self;
        let new = WorkerThread::start(index, Shared { supervisor, cells, gate, memory, clock: *clock }, ended);
        self.workers[index.0] = new.map_err(Trouble::Thread)?;
        for share in shares {
            let _ = self.workers[index.0].orders.send(share).await; // it has ended again: which it told
        }
        Ok(())
    }

    /// What an operator asks for, carried out; what follows, or why not.
    ///
    /// # Errors
    /// [`Trouble::Supervisor`].
    pub async fn order_from_within(&self, order: crate::domain::Order) -> Result<crate::health::Answer, Trouble> {
        self.supervisor.order(order, crate::health::Act::CarryOut).await.map_err(|_| Trouble::Supervisor)
    }

    pub fn published(&self) -> &Arc<Published> {
        &self.supervisor.published
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What the workers count.
    pub fn workers(&self) -> &Arc<Workers> {
        &self.cells
    }

    /// What the control side counts.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Into the journal.
    pub fn write_down(&self, entry: Entry) {
        self.journal.write(Line { at: self.clock.wall(), moment: self.clock.now(), entry });
    }

    /// The reloads that operators ask for over the admin listener, to be taken once. Dropping it: there are none here.
    pub fn take_reloads(&mut self) -> Option<mpsc::Receiver<AskedReload>> {
        self.reloads.take()
    }

    /// Drains: stops accepting, finishes what runs (for at most `drain_timeout`), and ends all threads.
    pub async fn stop(mut self) {
        self.readiness.set(Phase::Draining);
        let timeout = self.published().load().config.drain_timeout;
        // First ours: the workers empty their queues before they close them, and what is closed last loses its queue.
        self.sockets.clear();
        self.order(self.workers.iter().map(|_| Order::Drain { timeout }).collect()).await;
        for worker in self.workers {
            drop(worker.orders);
            if let Some(thread) = worker.thread
                && let Err(died) = thread.join().await
            {
                tracing::error!("{died}");
            }
        }
        self.orders.abort();
        self.admin.abort();
        let _ = self.admin.await; // it ended because it was told to; only then is its socket removed
        drop(self.supervisor); // it decides no more, so that what is written last is the last
        let (journal, state, clock) = (self.journal, self.state, self.clock);
        let finish = move || state_dir::finish(&journal, &state, clock);
        if tokio::task::spawn_blocking(finish).await.is_err() {
            tracing::error!("ending the journal panicked: its last lines may be missing");
        }
    }

    /// Unix sockets that stay are for whom the new config says.
    fn set_modes(&self, before: &Config, after: &Config) {
        let changed =
            |listener: &&Arc<Listener>| before.listener(&listener.address).is_some_and(|old| old.mode != listener.mode);
        for listener in after.listeners.iter().filter(changed) {
            if let Some(Err(error)) = self.sockets.get(&listener.address).map(|bound| bound.set_mode(listener.mode)) {
                tracing::warn!("cannot set the mode of {}: {error}", listener.address);
            }
        }
    }

    /// Each worker's share of a listener.
    fn shares(&self, bound: &Bound) -> Result<Vec<Order>, Trouble> {
        (0..self.workers.len()).map(|index| share(bound, WorkerIndex(index))).collect()
    }

    /// Gives each worker its order. One that is gone has nothing to carry it out with.
    async fn order(&self, orders: Vec<Order>) {
        for (index, (worker, order)) in self.workers.iter().zip(orders).enumerate() {
            if worker.orders.send(order).await.is_err() {
                tracing::warn!("worker {index} has ended, and is told nothing until it is started anew");
            }
        }
    }
}

/// What all workers have part in.
#[derive(Clone, Copy)]
struct Shared<'a> {
    supervisor: &'a Supervisor,
    cells: &'a Arc<Workers>,
    gate: &'a Arc<edge::Gate>,
    memory: &'a Arc<Memory>,
    clock: Clock,
}

impl WorkerThread {
    fn start(index: WorkerIndex, shared: Shared<'_>, ended: mpsc::Sender<WorkerIndex>) -> io::Result<WorkerThread> {
        let Shared { supervisor, cells, gate, memory, clock } = shared;
        let (orders, waiting) = mpsc::channel(WAITING_ORDERS);
        let (published, reporter, cells) = (supervisor.published.clone(), supervisor.reporter(index), cells.clone());
        let (seed, gate, memory) = (fastrand::u64(..), gate.clone(), memory.clone());
        let thread = thread::spawn(&format!("worker-{}", index.0), move || async move {
            // Here and not before: one that never began is its starter's to try again, and is told of by nobody else.
            let _leave = Leave { index, ended };
            let worker = Rc::new(Worker::new(index, clock, &published, reporter, cells, &memory, seed));
            let house = tasks::spawn(Worker::keep_house(worker.clone()));
            edge::serve(worker, gate, waiting).await;
            house.abort();
        })?;
        Ok(WorkerThread { orders, thread: Some(thread) })
    }
}

/// A worker's share of a listener.
fn share(bound: &Bound, index: WorkerIndex) -> Result<Order, Trouble> {
    let address = bound.address();
    match bound.socket(index) {
        Ok(socket) => Ok(Order::Listen { address: address.clone(), socket }),
        Err(error) => Err(Trouble::Listen(edge::explain(address, &error))),
    }
}

/// Binds each listener that is not bound yet: all of them, or none.
fn bind_new(
    config: &Config,
    bound: &BTreeMap<Address, Bound>,
    workers: usize,
) -> Result<BTreeMap<Address, Bound>, Trouble> {
    let new = config.listeners.iter().filter(|listener| !bound.contains_key(&listener.address));
    let bind = |listener: &Arc<Listener>| {
        Ok((listener.address.clone(), edge::bind(listener, workers).map_err(Trouble::Listen)?))
    };
    new.map(bind).collect()
}

/// A listener that stays and would have to take IPv4 clients too, or no longer: its socket can't.
fn changed_stack(before: &Config, after: &Config) -> Option<SocketAddr> {
    let stays = |listener: &Arc<Listener>| {
        let Address::Tcp(address) = listener.address else { return None };
        let old = before.listener(&listener.address)?;
        (old.only_v6 != listener.only_v6).then_some(address)
    };
    after.listeners.iter().find_map(stays)
}

/// Has the supervisor answer operators' orders, one after the other. It ends with the supervisor: who asks then hears that.
async fn answer_orders(supervisor: Weak<Supervisor>, mut asked: mpsc::Receiver<admin::Asked>) {
    while let Some(admin::Asked { order, act, answer }) = asked.recv().await {
        if answer.is_closed() {
            continue; // whoever asked has gone, and would not learn that it was carried out
        }
        // Never held while it waits for the next: the supervisor ends when the app lets go of it.
        let Some(supervisor) = supervisor.upgrade() else { return };
        match supervisor.order(order, act).await {
            Ok(answered) => {
                let _ = answer.send(answered); // it is carried out, whether somebody still waits or not
            }
            Err(Stopped) => return,
        }
    }
}

async fn serve_admin(listener: TcpListener, socket: Option<Socket>, state: admin::State, more: axum::Router) {
    match admin::serve(listener, socket, state, more).await {
        Ok(never) => match never {},
        Err(error) => tracing::error!("the admin listener can't be used: {error}"),
    }
}

fn say_what_needs_a_restart(before: &Config, after: &Config) {
    if before.workers != after.workers {
        tracing::warn!("`workers` has changed: that takes effect when hotspare is started anew");
    }
    if before.state_dir != after.state_dir {
        tracing::warn!("`state_dir` has changed: that takes effect when hotspare is started anew");
    }
    if before.admin.address != after.admin.address {
        tracing::warn!("`admin.address` has changed: that takes effect when hotspare is started anew");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    #[test]
    fn a_worker_that_ends_by_itself_is_started_anew_and_serves() {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (listen, admin) = (free(), free());
        let state = tempfile::tempdir().unwrap();
        let text = format!(
            r#"workers = 1
state_dir = "{state}"
admin = {{ address = "{admin}" }}
listener = [{{ address = "{listen}" }}]
backend = [{{ name = "a", primary = {{ name = "b", endpoints = ["127.0.0.1:1"] }} }}]
"#,
            state = state.path().display()
        );
        let config = crate::config::parse("test.toml", &text, &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
        let office = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        office.unwrap().block_on(async {
            let mut hotspare = Hotspare::start(config, Clock::start()).await.unwrap();
            let ended = hotspare.ended.0.clone();
            let sound = hotspare.workers.remove(0);
            drop(sound.orders);
            sound.thread.unwrap().join().await.unwrap();
            assert_eq!(hotspare.worker_ended().await.0, 0, "the one that drained");
            let leave = Leave { index: WorkerIndex(0), ended };
            let main = move || async move {
                let _leave = leave;
                panic!("on purpose")
            };
            let thread = Some(thread::spawn("dying", main).unwrap());
            hotspare.workers.push(WorkerThread { orders: mpsc::channel(1).0, thread });
            assert_eq!(hotspare.worker_ended().await.0, 0, "the one that panicked");
            let asked = std::thread::spawn(move || {
                let mut client = TcpStream::connect(listen).unwrap();
                client.set_read_timeout(Some(Duration::from_secs(20))).unwrap(); // else it would be waited for without end
                client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                answer
            });
            hotspare.start_anew(WorkerIndex(0)).await;
            // The office goes on meanwhile: it serves the admin listener from this very thread.
            while !asked.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let answer = asked.join().unwrap();
            assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
            hotspare.stop().await;
        });
    }

    #[test]
    fn a_listener_that_stays_can_not_begin_or_cease_to_take_ipv4_clients() {
        let config = |listeners: &[&str]| {
            let listeners = listeners.iter().map(|address| format!("[[listener]]\naddress = \"{address}\"\n"));
            let backend = "[[backend]]\nname = \"a\"\nprimary = { name = \"b\", endpoints = [\"127.0.0.1:1\"] }\n";
            let text = listeners.chain([backend.to_owned()]).collect::<String>();
            crate::config::parse("test.toml", &text, &|_| Err(io::ErrorKind::NotFound.into())).unwrap()
        };
        let (both, apart) = (config(&["[::]:80"]), config(&["[::]:80", "0.0.0.0:80"]));
        assert_eq!(changed_stack(&both, &apart).unwrap().to_string(), "[::]:80");
        assert_eq!(changed_stack(&apart, &both).unwrap().to_string(), "[::]:80", "IPv4 clients would be shut out");
        assert_eq!(changed_stack(&both, &config(&["[::]:80", "0.0.0.0:81"])), None);
        assert_eq!(changed_stack(&apart, &config(&["[::]:81", "0.0.0.0:80"])), None);
    }
}
