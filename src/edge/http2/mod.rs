//! HTTP/2 to a client, spoken by h2: the connection's frames, and the streams that are answered over it.
//!
//! All of a connection runs in its one task: what answers its streams is polled beside the frames, so that many answers that are
//! ready together leave in one write, and a stream costs no task of its own. A panic in one ends that stream alone, by RST_STREAM.
//!
//! Not here: one stream's answer ([`stream`]), what leaves HTTP ([`tunnel`]), how long a client may take ([`super::watchdog`]), what
//! answers ([`super::front`]).

mod stream;
mod tunnel;

use super::Handler;
use super::conn::BUFFER_MAX;
use super::frames::Wrong;
use super::front::Front;
use super::pulse::Phase;
use super::roster::{Roster, What};
use super::stream::Stream;
use super::watchdog::{Late, Watchdog};
use crate::config::Limits;
use crate::proxy::{Client, websocket};
use crate::runtime::clock::Clock;
use crate::runtime::tasks::{Caught, caught};
use crate::telemetry::metrics::ProtocolError;
use crate::upstream::ClientBody;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::{Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream, server};
use http::{Request, Response};
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use stream::{Answering, Input};

/// What a client may send ahead on all of its streams.
const WINDOW: u32 = 1 << 20;

/// The same on one of them: an upload that its endpoint does not take must leave room for those to others.
const STREAM_WINDOW: u32 = WINDOW / 4;

/// Streams that the client reset before they were looked at; what a page that is left at once leaves behind is far less.
const RESET_UNSEEN_MAX: usize = 20;

/// Streams that we reset because of what the client did on them, in all of a connection's life.
const RESET_BY_US_MAX: usize = 1024;

/// Streams that are over by a reset of ours and remembered for a moment, since frames for them may be on their way.
const RESET_REMEMBERED_MAX: usize = 50;

/// Requests begun in one turn of the connection's task: a client may send a hundred at once, again and again, and others wait meanwhile.
const AT_A_STRETCH: usize = 16;

/// HTTP/2 until it is over.
pub async fn serve<H, S>(stream: Stream, front: Front<H, S>, mut watchdog: Watchdog, client: Rc<Client>)
where
    H: Handler,
    S: tower::Service<Request<ClientBody>, Response = Response<H::Body>, Error = Infallible> + Clone + 'static,
{
    let (pulse, roster, handler) = (front.pulse.clone(), front.roster.clone(), front.handler.clone());
    let address = client.ends.map(|ends| ends.client);
    let mut conversation = Conversation::new(stream.counting_frames(), front, client);
    let mut ending = None;
    let count = |reason: Reason, why: &dyn Display| {
        handler.cells().protocol_errors[protocol_error(reason) as usize].add(1);
        tracing::debug!(client = ?address, reason = reason.description(), %why, "a connection of HTTP/2 is ended");
    };
    let mut seen = roster.stage();
    poll_fn(|cx| {
        loop {
            if roster.stage() != seen {
                seen = roster.stage();
                conversation.cut(cx);
            }
            if !watchdog.is_leaving() && roster.draining_since().is_some() && pulse.phase() == Phase::Busy {
                watchdog.leave();
                conversation.leave();
            }
            if let Poll::Ready(ended) = conversation.poll(cx) {
                // Of all that can have gone wrong this is what h2 has ended it for.
                if let Err(error) = ended
                    && let Some(reason) = error.reason().filter(|_| error.is_library() && error.is_go_away())
                {
                    count(reason, &error);
                }
                return Poll::Ready(());
            }
            if let Some(wrong) = pulse.wrong().filter(|_| ending.is_none()) {
                let reason = match wrong {
                    Wrong::NoSettings | Wrong::PseudoInTrailers => Reason::PROTOCOL_ERROR,
                    Wrong::Flood => Reason::ENHANCE_YOUR_CALM,
                };
                count(reason, &wrong);
                ending = Some(reason);
                conversation.end(reason);
                continue;
            }
            let Poll::Ready(late) = watchdog.poll(cx) else { return Poll::Pending };
            match late {
                Late::Stalled => {
                    handler.cells().client_timeouts.add(1);
                    pulse.spoil();
                    return Poll::Ready(());
                }
                Late::Farewell => return Poll::Ready(()),
                Late::Head | Late::Silent => handler.cells().client_timeouts.add(1),
                Late::Handshake | Late::Idle | Late::Quiet | Late::Drained => {}
            }
            watchdog.leave();
            conversation.leave();
        }
    })
    .await;
}

/// One connection's frames, and its streams.
struct Conversation<H: Handler, S> {
    stage: Stage,
    streams: FuturesUnordered<Caught<Answering<H::Body>>>,
    /// What its streams have to send is let wait once, so that more may join it.
    gathered: Gathered,
    shared: Shared,
    front: Front<H, S>,
}

/// What a connection's streams share with it.
#[derive(Clone)]
struct Shared {
    /// Whether a stream has queued something to be sent.
    queued: Rc<Cell<bool>>,
    /// What the stream which is polled was just given is there: interim responses, a tunnel.
    client: Rc<Client>,
    clock: Clock,
    roster: Rc<Roster>,
    /// Streams are polled for nothing but this: those whose time in a drain is over end.
    cutting: Rc<Cell<bool>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gathered {
    No,
    Yes,
}

enum Stage {
    /// Our SETTINGS go, the client's preface comes.
    Greeting {
        handshake: Handshake<Stream, Bytes>,
        leaving: bool,
    },
    Talking(Connection<Stream, Bytes>),
}

impl<H, S> Conversation<H, S>
where
    H: Handler,
    S: tower::Service<Request<ClientBody>, Response = Response<H::Body>, Error = Infallible> + Clone + 'static,
{
    fn new(stream: Stream, front: Front<H, S>, client: Rc<Client>) -> Conversation<H, S> {
        let handshake = builder(&front.listener.limits).handshake(stream);
        let stage = Stage::Greeting { handshake, leaving: false };
        let (streams, gathered) = (FuturesUnordered::new(), Gathered::No);
        let (clock, roster) = (front.pulse.clock(), front.roster.clone());
        let shared = Shared { queued: Rc::default(), client, clock, roster, cutting: Rc::default() };
        Conversation { stage, streams, gathered, shared, front }
    }

    /// Says goodbye (GOAWAY): streams that were begun are answered, and it is over with the last of them.
    fn leave(&mut self) {
        match &mut self.stage {
            Stage::Greeting { leaving, .. } => *leaving = true,
            Stage::Talking(connection) => connection.graceful_shutdown(),
        }
    }

    /// Says why (GOAWAY) and ends it, whatever runs.
    fn end(&mut self, reason: Reason) {
        match &mut self.stage {
            Stage::Greeting { leaving, .. } => *leaving = true, // nothing but the preface is read before it
            Stage::Talking(connection) => connection.abrupt_shutdown(reason),
        }
    }

    /// Ends the streams whose time in a drain is over, while others go on.
    fn cut(&mut self, cx: &mut Context<'_>) {
        self.shared.cutting.set(true);
        for stream in Pin::new(&mut self.streams).iter_pin_mut() {
            // One that ends may stay among the others: it has let go of all that it had, and says so again if it is asked.
            let _ = stream.poll(cx);
        }
        self.shared.cutting.set(false);
    }

    /// Goes on until nothing is left to do for now. What its streams queue for sending is sent when its task has its next turn, along
    /// with what others have queued until then.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if let Stage::Greeting { handshake, leaving } = &mut self.stage {
            let mut connection = ready!(Pin::new(handshake).poll(cx))?;
            if *leaving {
                connection.graceful_shutdown();
            }
            self.stage = Stage::Talking(connection);
        }
        let Stage::Talking(connection) = &mut self.stage else { unreachable!("it has been greeted") };
        while let Poll::Ready(Some(())) = self.streams.poll_next_unpin(cx) {}
        if self.shared.queued.take() && self.gathered == Gathered::No {
            self.gathered = Gathered::Yes;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.gathered = Gathered::No;
        let mut come = 0;
        while let Poll::Ready(next) = connection.poll_accept(cx) {
            let Some(accepted) = next else { return Poll::Ready(Ok(())) };
            let (request, mut reply) = accepted?;
            if self.shared.roster.is_over(What::Requests) {
                reply.send_reset(Reason::REFUSED_STREAM); // it was told long ago
                continue;
            }
            self.streams.push(caught(begin(&self.front, request, reply, &self.shared)));
            come += 1;
            if come == AT_A_STRETCH {
                cx.waker().wake_by_ref(); // for those that may wait behind them
                break;
            }
        }
        if come > 0 {
            while let Poll::Ready(Some(())) = self.streams.poll_next_unpin(cx) {}
            // Whatever they queued has woken this task.
            self.shared.queued.set(false);
        }
        Poll::Pending
    }
}

/// A request that has come, on its way to be answered.
fn begin<H, S>(
    front: &Front<H, S>,
    request: Request<RecvStream>,
    reply: SendResponse<Bytes>,
    shared: &Shared,
) -> Answering<H::Body>
where
    H: Handler,
    S: tower::Service<Request<ClientBody>, Response = Response<H::Body>, Error = Infallible> + Clone + 'static,
{
    let (mut head, stream) = request.into_parts();
    let method = head.method.clone();
    let (body, input) = match websocket::translate(&mut head) {
        true => (ClientBody::None, Input::Tunnel(stream)),
        false => {
            let (body, awaited) = ClientBody::streamed(stream, &head.headers);
            (body, awaited.map_or(Input::Body, Input::Awaited))
        }
    };
    let answer = front.answer(Request::from_parts(head, body));
    Answering::new(answer, reply, method, input, shared.clone())
}

fn protocol_error(reason: Reason) -> ProtocolError {
    match reason {
        Reason::PROTOCOL_ERROR => ProtocolError::Protocol,
        Reason::FLOW_CONTROL_ERROR => ProtocolError::FlowControl,
        Reason::FRAME_SIZE_ERROR => ProtocolError::FrameSize,
        Reason::STREAM_CLOSED => ProtocolError::StreamClosed,
        Reason::COMPRESSION_ERROR => ProtocolError::Compression,
        Reason::ENHANCE_YOUR_CALM => ProtocolError::EnhanceYourCalm,
        _ => ProtocolError::Other,
    }
}

fn builder(limits: &Limits) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_header_size).unwrap_or(u32::MAX))
        .max_send_buffer_size(BUFFER_MAX)
        .max_pending_accept_reset_streams(RESET_UNSEEN_MAX)
        .max_local_error_reset_streams(Some(RESET_BY_US_MAX))
        .max_concurrent_reset_streams(RESET_REMEMBERED_MAX)
        .data_frame_budget(WINDOW as usize / 2)
        .enable_connect_protocol();
    builder
}
