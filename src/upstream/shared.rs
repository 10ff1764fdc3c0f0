//! The HTTP/2 connections to one endpoint that one worker's requests share: mostly one. Each request has a [`Place`] on one.
//!
//! Always true: a connection carries at most so many requests at once as its endpoint allows, and as [`STREAMS_MAX`]; only one that
//! has said SETTINGS, and so speaks HTTP/2, is ever given a request; and how many there are is bounded by the requests that run, as over
//! HTTP/1.1. Requests that find no place wait together for one that is being opened, and no connect is lost with a client that leaves.
//!
//! A connection gets no more requests once it is closed, or said GOAWAY (a request that meets either was not sent), or was
//! silent to one that was given up on ([`Place::given_up`]). Those that it has end by themselves. There is no PING: servers of gRPC
//! close connections for more than one in five minutes, and whoever waits for something has a timeout anyway.
//!
//! Not here: what is sent over it and what an error of it means (`http2`), how it is opened (`connect`).

use super::connect::open;
use super::cuts::Cuts;
use super::failure::{Failure, Malformed, STALE_AFTER, Sent};
use super::kept::{KEPT_FOR, KEPT_MAX};
use super::sending::Uploading;
use super::upload::{Upload, UploadState};
use super::watched::{First, Pulse, Watched};
use crate::config::Way;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use crate::runtime::tasks;
use bytes::Bytes;
use h2::SendStream;
use h2::client::{self, SendRequest};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// Requests on one connection at once, whatever the endpoint allows: what RFC 9113, section 6.5.2 has as the least that is sensible.
pub const STREAMS_MAX: usize = 100;

/// How much of one response an endpoint may send before its client has taken any. Over 50 ms to the other data centre and back that is
/// 5 MB a second for each response.
const STREAM_WINDOW: u32 = 256 * 1024;

/// For all responses of a connection together: as much as they may have each, so that however many clients are slow, no other
/// response waits for them.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;

/// Of a request's body, waiting to be written.
const SEND_BUFFER: usize = 64 * 1024;

/// A response's head, as over HTTP/1.1.
const HEAD_MAX: u32 = 64 * 1024;

/// A request that is given up on earlier proves nothing of its connection; nor does an upload that waits no longer.
const QUIET: Duration = Duration::from_millis(250);

/// Requests of a connection in its life: their numbers, which are odd and of 31 bits, do not reach further.
const BEGUN_MAX: u32 = 1 << 29;

/// One that is open, and counted, until the last of this is dropped.
#[derive(Debug)]
pub(super) struct Stream(Rc<Cell<usize>>);

/// One endpoint's connections, the newest last.
#[derive(Debug, Default)]
pub struct Shared {
    carriers: RefCell<Vec<Rc<Carrier>>>,
    openings: RefCell<Vec<Rc<Opening>>>,
    /// How many requests its last connection carries at once, to know for how many one that is being opened will do.
    carries: Cell<Option<usize>>,
    pub(super) cuts: Cuts,
}

/// One connection.
pub(super) struct Carrier {
    sender: RefCell<SendRequest<Bytes>>,
    pub(super) pulse: Rc<Pulse>,
    /// Whether the endpoint takes what is sent over it.
    pub(super) uploads: Uploads,
    /// Requests whose responses have not ended.
    running: Cell<usize>,
    /// Streams that are open: theirs, and those whose requests go on.
    open: Rc<Cell<usize>>,
    begun: Cell<u32>,
    last_used: Cell<Moment>,
    /// It is given no more requests.
    retired: Cell<bool>,
}

/// How an endpoint takes what is uploaded over one connection. All that is on its way there shares one window, which many endpoints open
/// only as they read: one upload that stands still may then keep all others of that connection from going on.
#[derive(Debug)]
pub(super) struct Uploads {
    /// How many wait for room.
    waiting: Cell<usize>,
    /// When one last had room, or the first began to wait.
    moved: Cell<Moment>,
}

impl Uploads {
    fn new(now: Moment) -> Uploads {
        Uploads { waiting: Cell::new(0), moved: Cell::new(now) }
    }

    pub(super) fn begin_to_wait(&self, now: Moment) {
        if self.waiting.get() == 0 {
            self.moved.set(now);
        }
        self.waiting.set(self.waiting.get() + 1);
    }

    pub(super) fn end_to_wait(&self) {
        self.waiting.set(self.waiting.get() - 1);
    }

    pub(super) fn moved(&self, now: Moment) {
        self.moved.set(now);
    }

    fn stand_still(&self, now: Moment) -> bool {
        self.waiting.get() > 0 && now.since(self.moved.get()) >= QUIET
    }
}

/// A request's place on a connection, free again when this is dropped, and the request's body too.
#[derive(Debug)]
pub struct Place {
    carrier: Rc<Carrier>,
    stream: Rc<Stream>,
}

/// Whoever waits for a connection.
struct Waiter(Rc<Opening>);

/// A connection on its way.
#[derive(Debug)]
struct Opening {
    /// How many wait for it.
    waiting: Cell<usize>,
    opened: watch::Receiver<Option<Result<Rc<Carrier>, Rc<Failure>>>>,
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Carrier { running, open, retired, .. } = self;
        f.debug_struct("Carrier")
            .field("running", running)
            .field("open", open)
            .field("retired", retired)
            .finish_non_exhaustive()
    }
}

impl Carrier {
    fn is_over(&self) -> bool {
        self.retired.get() || self.is_closed() || self.begun.get() >= BEGUN_MAX
    }

    /// Whether it takes no more requests: it has ended, or the endpoint has said GOAWAY.
    fn is_closed(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop()); // nobody is woken: it is always said at once
        matches!(self.sender.borrow_mut().poll_ready(&mut context), Poll::Ready(Err(_)))
    }

    /// How many requests at once it carries now.
    fn carries(&self) -> usize {
        self.sender.borrow().current_max_send_streams().min(STREAMS_MAX)
    }

    fn has_room(&self) -> bool {
        self.open.get() < self.carries()
    }

    fn place(self: &Rc<Carrier>) -> Place {
        self.running.set(self.running.get() + 1);
        self.begun.set(self.begun.get() + 1);
        Place { carrier: self.clone(), stream: Rc::new(Stream::open(&self.open)) }
    }
}

impl Stream {
    fn open(count: &Rc<Cell<usize>>) -> Stream {
        count.set(count.get() + 1);
        Stream(count.clone())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Waiter {
    fn of(opening: Rc<Opening>) -> Waiter {
        opening.waiting.set(opening.waiting.get() + 1);
        Waiter(opening)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

impl Place {
    /// To send its request by.
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.carrier.sender.borrow().clone()
    }

    /// A request's body, as it is sent by.
    pub(super) fn carry(&self, body: Upload, to: SendStream<Bytes>) -> Uploading {
        Uploading::new(to, body, self.carrier.clone(), self.stream.clone())
    }

    /// The connection is given no more requests.
    pub(super) fn retire(&self) {
        self.carrier.retired.set(true);
    }

    /// What TLS ended the connection with.
    pub(super) fn tls(&self) -> Option<rustls::Error> {
        self.carrier.pulse.tls()
    }

    /// Nobody waits any more for a head to the request, sent at `since`. If nothing at all came since then, nobody knows whether the
    /// endpoint still has the connection: a firewall between may have forgotten it, and then new ones are well.
    pub(super) fn given_up(&self, since: Moment) {
        let pulse = &self.carrier.pulse;
        if pulse.heard() <= since && pulse.clock.now().since(since) >= QUIET {
            self.retire();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.carrier.running.set(self.carrier.running.get() - 1);
        self.carrier.last_used.set(self.carrier.pulse.clock.now());
    }
}

impl Shared {
    /// A place on the newest connection from which something came no longer ago than `at_most`, and how long ago. One with a body gets
    /// none where uploads stand still.
    pub fn take(&self, now: Moment, at_most: Duration, body: &UploadState) -> Option<(Place, Duration)> {
        let mut carriers = self.carriers.borrow_mut();
        carriers.retain(|carrier| !carrier.is_over());
        let idle = |carrier: &Carrier| now.since(carrier.pulse.heard());
        let takes_body = |carrier: &Carrier| body.is_empty() || !carrier.uploads.stand_still(now);
        let fit = |carrier: &&Rc<Carrier>| {
            carrier.has_room() && idle(carrier) <= at_most.min(KEPT_FOR) && takes_body(carrier)
        };
        let carrier = carriers.iter().rev().find(fit)?;
        Some((carrier.place(), idle(carrier)))
    }

    /// A place on a connection that is opened for all who wait for one, within `timeout`.
    ///
    /// # Errors
    /// There is none. Nothing of any request was sent.
    pub async fn open(
        self: &Rc<Shared>,
        way: &Way,
        timeout: Duration,
        clock: Clock,
        body: &UploadState,
    ) -> Result<Place, Failure> {
        let opening = async {
            loop {
                let opening = self.on_its_way().unwrap_or_else(|| self.begin(way.clone(), timeout, clock));
                let waiter = Waiter::of(opening);
                let mut opened = waiter.0.opened.clone();
                let opened = opened.wait_for(Option::is_some).await.ok().and_then(|opened| opened.clone());
                match opened {
                    Some(Err(failure)) => return Err(failure.of_connect()),
                    None => return Err(Failure::Connect { error: io::ErrorKind::Other.into() }), // its task panicked
                    // More may have waited for it than it carries.
                    Some(Ok(carrier)) if carrier.has_room() && !carrier.is_over() => return Ok(carrier.place()),
                    Some(Ok(_)) => match self.take(clock.now(), STALE_AFTER, body) {
                        Some((place, _)) => return Ok(place),
                        None => continue,
                    },
                }
            }
        };
        match tokio::time::timeout(timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Failure::Connect { error: io::ErrorKind::TimedOut.into() }),
        }
    }

    /// A connection that is being opened, if it will do for one more.
    fn on_its_way(&self) -> Option<Rc<Opening>> {
        let mut openings = self.openings.borrow_mut();
        openings.retain(|opening| opening.opened.has_changed().is_ok()); // unless its task panicked
        let carries = self.carries.get().unwrap_or(STREAMS_MAX);
        openings.iter().find(|opening| opening.waiting.get() < carries).cloned()
    }

    /// Begins to open one. It goes on though whoever asked for it leaves: others wait for it, or come next.
    fn begin(self: &Rc<Shared>, way: Way, timeout: Duration, clock: Clock) -> Rc<Opening> {
        let (tell, opened) = watch::channel(None);
        let opening = Rc::new(Opening { waiting: Cell::default(), opened });
        self.openings.borrow_mut().push(opening.clone());
        let (shared, its) = (self.clone(), opening.clone());
        tasks::spawn(async move {
            let raised = tokio::time::timeout(timeout, async {
                let stream = open(&way, None, timeout).await?;
                raise(shared.cuts.enrol(stream), clock).await
            });
            let raised = raised.await.unwrap_or(Err(Failure::Connect { error: io::ErrorKind::TimedOut.into() }));
            if let Err(Failure::Malformed { .. }) = &raised {
                tracing::debug!(address = %way.address, "an endpoint does not speak HTTP/2, as its pool's scheme says");
            }
            shared.openings.borrow_mut().retain(|opening| !Rc::ptr_eq(opening, &its));
            if let Ok(carrier) = &raised {
                shared.add(carrier.clone(), clock.now());
            }
            tell.send_replace(Some(raised.map_err(Rc::new)));
        });
        opening
    }

    /// Among the others stay those that are fresh: for the want of one it was opened, and each that stayed for longer would have one more
    /// beside it a second later.
    fn add(&self, carrier: Rc<Carrier>, now: Moment) {
        self.carries.set(Some(carrier.carries()));
        let mut carriers = self.carriers.borrow_mut();
        carriers.retain(|other| !other.is_over() && now.since(other.pulse.heard()) <= STALE_AFTER);
        if carriers.len() == KEPT_MAX {
            carriers.remove(0);
        }
        carriers.push(carrier);
    }

    /// Closes what nobody has used for too long. To be called now and then.
    pub fn sweep(&self, now: Moment) {
        let used = |carrier: &Carrier| carrier.running.get() > 0 || now.since(carrier.last_used.get()) <= KEPT_FOR;
        self.carriers.borrow_mut().retain(|carrier| !carrier.is_over() && used(carrier));
    }

    /// Each connection ends with the last request that it carries.
    pub(super) fn let_go(&self) {
        self.carriers.borrow_mut().clear();
    }
}

/// Begins HTTP/2 on a connection, and waits until the endpoint has said its SETTINGS: only then is it known that it speaks it, and how
/// many requests it takes.
async fn raise(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, clock: Clock) -> Result<Rc<Carrier>, Failure> {
    let pulse = Pulse::new(clock);
    let stream = Watched::new(stream, pulse.clone());
    let handshake = builder().handshake::<_, Bytes>(stream).await;
    let (sender, mut connection) = handshake.map_err(|_| ended_early(&pulse))?;
    poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
        Poll::Ready(_) => Poll::Ready(Err(ended_early(&pulse))),
        Poll::Pending if connection.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    // It ends when nobody can send any more.
    tasks::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "connection to an endpoint ended");
        }
    });
    let (running, begun, retired, open) = (Cell::default(), Cell::default(), Cell::default(), Rc::default());
    let (sender, uploads, last_used) = (RefCell::new(sender), Uploads::new(clock.now()), Cell::new(clock.now()));
    Ok(Rc::new(Carrier { sender, pulse, uploads, running, open, begun, last_used, retired }))
}

fn builder() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_max_send_streams(0) // until SETTINGS
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEAD_MAX)
        // Each response that is given up on may still have pieces on their way, for which h2 says RST_STREAM once more, and counts that
        // against its own side. After 1,024 in all it would close the connection under everybody.
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(10 * STREAMS_MAX);
    builder
}

/// The connection is over, and no request was sent.
fn ended_early(pulse: &Pulse) -> Failure {
    match (pulse.tls(), pulse.first()) {
        (Some(error), _) => Failure::Tls { error, sent: Sent::Nothing },
        (None, First::Other) => Failure::Malformed { what: Malformed::NotHttp2 },
        (None, First::Nothing | First::Frame) => Failure::Connect { error: io::ErrorKind::UnexpectedEof.into() },
    }
}
