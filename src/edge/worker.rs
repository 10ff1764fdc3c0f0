//! A worker thread's main: it carries out orders until it is told to drain, and measures how late it is meanwhile.
//!
//! Not here: how a connection runs or drains ([`super::conn`]); who gives the orders (`app`, `reload`).

use super::Handler;
use super::gate::Gate;
use super::listener::Acceptor;
use super::roster::{Roster, What};
use super::socket::Listening;
use crate::config::Address;
use crate::domain::Moment;
use crate::proxy;
use crate::runtime::tasks::{self, Tasks};
use crate::runtime::turns;
use crate::telemetry::metrics::DrainCut;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often a worker looks at how late its timers are, at drains that must end, and whether there is a crowd.
const BEAT: Duration = Duration::from_millis(100);

/// What a worker is told.
#[derive(Debug)]
pub enum Order {
    /// Accept from this socket; `address` is the listener's, as in the configuration.
    Listen { address: Address, socket: Listening },
    /// The listener is gone: take what is in its queue, drain its connections for at most the configured times.
    Unlisten { address: Address },
    /// Stop accepting, drain everything for at most that long, then return. A second one can only make it shorter.
    Drain { timeout: Duration },
}

/// One listener, until its last connection is gone.
struct Open {
    address: Address,
    roster: Rc<Roster>,
    /// Dropped to stop accepting.
    accepting: Option<oneshot::Sender<()>>,
    /// When what its connections carry is cut, if it drains.
    cut_at: Option<CutAt>,
}

/// When a drain is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CutAt {
    requests: Moment,
    tunnels: Moment,
}

impl CutAt {
    fn sooner(self, other: CutAt) -> CutAt {
        CutAt { requests: self.requests.min(other.requests), tunnels: self.tunnels.min(other.tunnels) }
    }
}

/// Runs a worker until it is told to drain and has, or until nobody is left to tell it anything, which is the same. All workers have
/// one gate.
pub async fn serve(worker: Rc<proxy::Worker>, gate: Arc<Gate>, orders: mpsc::Receiver<Order>) {
    serve_with(worker, gate, orders).await;
}

/// [`serve`] with any handler.
pub async fn serve_with<H: Handler>(handler: Rc<H>, gate: Arc<Gate>, mut orders: mpsc::Receiver<Order>) {
    let mut worker = Serving::new(handler.clone(), gate);
    let mut changes = handler.views().changes();
    let (mut ordered, mut publishing) = (true, true);
    let mut beat = handler.clock().now().after(BEAT);
    loop {
        tokio::select! {
            order = orders.recv(), if ordered => match order {
                Some(order) => worker.carry_out(order),
                None => {
                    ordered = false;
                    let timeout = handler.views().view().config.drain_timeout;
                    worker.carry_out(Order::Drain { timeout });
                }
            },
            // A worker that idles would keep the old view, and all that it holds, alive.
            change = changes.changed(), if publishing => match change {
                Ok(()) => drop(handler.views().view()),
                Err(_) => publishing = false,
            },
            () = worker.tasks.none_left(), if worker.draining => break,
            () = tokio::time::sleep_until(handler.clock().instant(beat)) => {
                worker.beat(beat);
                beat = handler.clock().now().after(BEAT);
            }
        }
    }
    worker.count_panics();
}

struct Serving<H> {
    handler: Rc<H>,
    gate: Arc<Gate>,
    tasks: Tasks,
    listeners: Vec<Open>,
    draining: bool,
    /// Panics that are in the cells already.
    counted: u64,
}

impl<H: Handler> Serving<H> {
    fn new(handler: Rc<H>, gate: Arc<Gate>) -> Serving<H> {
        Serving { handler, gate, tasks: Tasks::new(), listeners: Vec::new(), draining: false, counted: tasks::panics() }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Listen { address, socket } => {
                if let Err(error) = self.listen(address.clone(), socket) {
                    tracing::error!(%address, %error, "this worker cannot accept there");
                }
            }
            Order::Unlisten { address } => {
                let (now, view) = (self.handler.clock().now(), self.handler.views().view());
                let (requests, tunnels) = (view.config.drain_timeout, view.config.drain_streams);
                let cut_at = CutAt { requests: now.after(requests), tunnels: now.after(tunnels) };
                self.drain(now, cut_at, |open| open.address == address);
            }
            Order::Drain { timeout } => {
                self.draining = true;
                let now = self.handler.clock().now();
                let end = now.after(timeout);
                self.drain(now, CutAt { requests: end, tunnels: end }, |_| true);
            }
        }
    }

    fn listen(&mut self, address: Address, socket: Listening) -> io::Result<()> {
        let socket = socket.ready()?;
        let (accepting, stop) = oneshot::channel();
        let roster = Roster::new();
        let acceptor = Acceptor {
            handler: self.handler.clone(),
            gate: self.gate.clone(),
            tasks: self.tasks.clone(),
            listener: self.handler.views().view().config.listener(&address).cloned(),
            address: address.clone(),
            roster: roster.clone(),
        };
        self.tasks.spawn(acceptor.run(socket, stop));
        self.listeners.push(Open { address, roster, accepting: Some(accepting), cut_at: None });
        Ok(())
    }

    fn drain(&mut self, now: Moment, cut_at: CutAt, which: impl Fn(&Open) -> bool) {
        for open in self.listeners.iter_mut().filter(|open| which(open)) {
            open.accepting = None;
            open.roster.drain(now);
            open.cut_at = Some(open.cut_at.map_or(cut_at, |earlier| earlier.sooner(cut_at)));
        }
    }

    fn beat(&mut self, due: Moment) {
        let now = self.handler.clock().now();
        let late = i64::try_from(now.since(due).as_micros()).unwrap_or(i64::MAX);
        self.handler.cells().loop_lag_micros.set(late);
        if let Some(turn) = turns::longest() {
            let nanos = i64::try_from(turn.as_nanos()).unwrap_or(i64::MAX);
            self.handler.cells().longest_turn_nanos.set(nanos);
        }
        self.count_panics();
        let crowded = self.gate.is_crowded(self.handler.views().view().config.max_connections);
        self.listeners.iter().for_each(|open| open.roster.crowd(crowded));
        let cuts = &self.handler.cells().drain_cuts;
        self.listeners.retain(|open| {
            let Some(cut_at) = open.cut_at else { return true };
            if cut_at.requests <= now {
                cuts[DrainCut::ClientConnection as usize].add(open.roster.cut(What::Requests));
            }
            if cut_at.tunnels <= now {
                cuts[DrainCut::Tunnel as usize].add(open.roster.cut(What::Tunnels));
            }
            // Nobody else has it once the last connection is gone, and whoever accepted them.
            Rc::strong_count(&open.roster) > 1
        });
    }

    fn count_panics(&mut self) {
        let panics = tasks::panics();
        self.handler.cells().panics.add(panics - self.counted);
        self.counted = panics;
    }
}
