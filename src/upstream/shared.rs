//! The HTTP/2 connections to one endpoint that one worker's requests share: mostly one. Each request has a [`Place`] on one.
//!
//! Always true: a connection carries at most so many requests at once as its endpoint allows, and as [`STREAMS_MAX`]; only one that
//! has said SETTINGS, and so speaks HTTP/2, is ever given a request; and how many there are is bounded by the requests that run, as over
//! HTTP/1.1. Requests that find no place wait together for one that is being opened, and no connect is lost with a client that leaves.
//!
//! A connection gets no more requests once it is closed, or said GOAWAY (a request that meets either is handed back), or was
//! silent to one that was given up on ([`Place::given_up`]). Those that it has end by themselves. There is no PING: servers of gRPC
//! close connections for more than one in five minutes, and whoever waits for something has a timeout anyway.
//!
//! Not here: what is sent over it and what an error of it means (`http2`), how it is opened (`connect`).

use super::connect::open;
use super::cuts::Cuts;
use super::failure::{Failure, Malformed, STALE_AFTER, Sent};
use super::kept::{KEPT_FOR, KEPT_MAX};
use super::upload::{Upload, UploadFailed};
use super::watched::{First, Pulse, Watched};
use crate::config::Way;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use crate::runtime::tasks::{self, LocalExec};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
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

/// A request that is given up on earlier proves nothing of its connection.
const QUIET: Duration = Duration::from_millis(250);

/// Requests of a connection in its life: their numbers, which are odd and of 31 bits, do not reach further.
const BEGUN_MAX: u32 = 1 << 29;

/// A request's body. Boxed where there is one, since hyper moves it about.
pub(super) type Carried = Either<Empty<Bytes>, Pin<Box<Going>>>;

pin_project! {
    /// A body on its way. It may go on after its response has ended, and its stream with it.
    pub(super) struct Going {
        #[pin]
        upload: Upload,
        stream: Rc<Stream>,
    }
}

/// One that is open, and counted, until the last of this is dropped.
#[derive(Debug)]
struct Stream(Rc<Cell<usize>>);

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
    sender: http2::SendRequest<Carried>,
    /// How many requests at once its endpoint allows now.
    allowed: Rc<Cell<usize>>,
    pulse: Rc<Pulse>,
    /// Requests whose responses have not ended.
    running: Cell<usize>,
    /// Streams that are open: theirs, and those whose requests go on.
    open: Rc<Cell<usize>>,
    begun: Cell<u32>,
    last_used: Cell<Moment>,
    /// It is given no more requests.
    retired: Cell<bool>,
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
        let Carrier { allowed, running, open, retired, .. } = self;
        f.debug_struct("Carrier")
            .field("allowed", allowed)
            .field("running", running)
            .field("open", open)
            .field("retired", retired)
            .finish_non_exhaustive()
    }
}

impl Carrier {
    fn is_over(&self) -> bool {
        self.retired.get() || self.sender.is_closed() || self.begun.get() >= BEGUN_MAX
    }

    fn has_room(&self) -> bool {
        self.open.get() < self.allowed.get().min(STREAMS_MAX)
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

impl Body for Going {
    type Data = Bytes;
    type Error = UploadFailed;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFailed>>> {
        self.project().upload.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.upload.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.upload.size_hint()
    }
}

impl Place {
    /// To send its request by.
    pub(super) fn sender(&self) -> http2::SendRequest<Carried> {
        self.carrier.sender.clone()
    }

    /// A request's body, as it is sent by.
    pub(super) fn carry(&self, body: Upload) -> Carried {
        if body.is_end_stream() {
            return Either::Left(Empty::new());
        }
        Either::Right(Box::pin(Going { upload: body, stream: self.stream.clone() }))
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
    /// A place on the newest connection from which something came no longer ago than `at_most`, and how long ago.
    pub fn take(&self, now: Moment, at_most: Duration) -> Option<(Place, Duration)> {
        let mut carriers = self.carriers.borrow_mut();
        carriers.retain(|carrier| !carrier.is_over());
        let idle = |carrier: &Carrier| now.since(carrier.pulse.heard());
        let fit = |carrier: &&Rc<Carrier>| carrier.has_room() && idle(carrier) <= at_most.min(KEPT_FOR);
        let carrier = carriers.iter().rev().find(fit)?;
        Some((carrier.place(), idle(carrier)))
    }

    /// A place on a connection that is opened for all who wait for one, within `timeout`.
    ///
    /// # Errors
    /// There is none. Nothing of any request was sent.
    pub async fn open(self: &Rc<Shared>, way: &Way, timeout: Duration, clock: Clock) -> Result<Place, Failure> {
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
                    Some(Ok(_)) => match self.take(clock.now(), STALE_AFTER) {
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
        self.carries.set(Some(carrier.allowed.get().min(STREAMS_MAX)));
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
    let io = TokioIo::new(Watched::new(stream, pulse.clone()));
    let builder = {
        let mut builder = http2::Builder::new(LocalExec);
        builder
            .initial_max_send_streams(0) // until SETTINGS
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(HEAD_MAX)
            // Each response that is given up on may still have pieces on their way, for which h2 says RST_STREAM once more, and counts that
            // against its own side. After 1,024 in all it would close the connection under everybody.
            .max_local_error_reset_streams(None)
            .max_concurrent_reset_streams(10 * STREAMS_MAX);
        builder
    };
    let handshake = builder.handshake::<_, Carried>(io).await;
    let (sender, mut connection) = handshake.map_err(|_| ended_early(&pulse))?;
    poll_fn(|context| {
        pulse.wake_next(context.waker());
        match Pin::new(&mut connection).poll(context) {
            Poll::Ready(_) => Poll::Ready(Err(ended_early(&pulse))),
            Poll::Pending if connection.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    let allowed = Rc::new(Cell::new(connection.current_max_send_streams()));
    let (told, heard) = (allowed.clone(), pulse.clone());
    // hyper hands requests on in it, and the connection itself is another task of hyper's. Both end when nobody can send any more.
    tasks::spawn(async move {
        let ended = poll_fn(|context| {
            // hyper would not look before the next request: one that comes after GOAWAY, or for which there is no room any more.
            heard.wake_next(context.waker());
            let polled = Pin::new(&mut connection).poll(context);
            told.set(connection.current_max_send_streams());
            polled
        });
        if let Err(error) = ended.await {
            tracing::trace!(%error, "connection to an endpoint ended");
        }
    });
    let (running, begun, retired, open) = (Cell::default(), Cell::default(), Cell::default(), Rc::default());
    let last_used = Cell::new(clock.now());
    Ok(Rc::new(Carrier { sender, allowed, pulse, running, open, begun, last_used, retired }))
}

/// The connection is over, and no request was sent.
fn ended_early(pulse: &Pulse) -> Failure {
    match (pulse.tls(), pulse.first()) {
        (Some(error), _) => Failure::Tls { error, sent: Sent::Nothing },
        (None, First::Other) => Failure::Malformed { what: Malformed::NotHttp2 },
        (None, First::Nothing | First::Frame) => Failure::Connect { error: io::ErrorKind::UnexpectedEof.into() },
    }
}
