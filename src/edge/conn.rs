//! One client connection, from accept to close.
//!
//! hyper speaks HTTP/1.1 and h2, in [`super::http2`], HTTP/2. What they have no idea of is here: how long a client may take
//! ([`super::watchdog`]), how a drain ends a connection without losing a request, what follows an upgrade, and closing so that the last
//! reply arrives. hyper's own header timeout is off: it runs while a connection idles, too, and says nothing to the client.
//!
//! Each stage is boxed, and gone when the next begins: a connection that idles holds what idling needs.

use super::front::Front;
use super::gate::{ClientPass, Pass};
use super::proxy_header::{self, Whose};
use super::pulse::{Protocol, Pulse, Tunnelling};
use super::roster::Roster;
use super::socket::Accepted;
use super::stream::{Stream, Wire};
use super::watchdog::{FAREWELL, Late, Watchdog};
use super::{Handler, http2, tls};
use crate::config::{Limits, Listener, ProxyProtocol};
use crate::proxy::route::Refusal;
use crate::proxy::{Client, Secure, reply};
use crate::telemetry::metrics::{NotIntroduced, ReplyKind, WorkerCells};
use crate::upstream::{ClientBody, Ends};
use bytes::Bytes;
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The fields that hyper has room for without allocating; telling it this number would make it allocate.
const HYPERS_MAX_HEADERS: usize = 100;

/// How long a connection of HTTP/1.1 may be without a request before what speaks it is put away: a client that fetches what is on a page
/// comes back sooner.
pub const QUIET: Duration = Duration::from_secs(1);

/// Bytes that are read ahead, and that wait to be written, of a client's bodies (docs/limits.md, "Memory"). By themselves hyper and h2
/// would take some 400 KiB for each, whenever a client is slow.
pub(super) const BUFFER_MAX: usize = 64 * 1024;

/// Runs one connection until it ends; whatever ends it.
pub async fn run<H: Handler>(
    handler: Rc<H>,
    pass: Pass,
    accepted: Accepted,
    listener: Arc<Listener>,
    roster: Rc<Roster>,
    pulse: Rc<Pulse>,
) {
    let _open = Open::new(handler.clone());
    let (socket, ends) = accepted.open();
    let mut wire = Wire::new(socket, pulse.clone());
    let mut watchdog = Watchdog::new(pulse.clone(), roster.clone(), handler.clock(), listener.limits);
    let cells = handler.cells();
    // One handshake, with one time limit, whatever it is made of.
    if listener.proxy_protocol == ProxyProtocol::Require || listener.tls.is_some() {
        pulse.shakes_hands();
    }
    let introduced = match listener.proxy_protocol {
        ProxyProtocol::Off => Ok(ends),
        ProxyProtocol::Require => Box::pin(introduced(&mut wire, ends, &listener, &mut watchdog, cells)).await,
    };
    let Ok(ends) = introduced else { return };
    let _admitted = match ends.map(|ends| ends.client.ip()) {
        None => None, // nobody knows whose it is: whoever is let in by the socket's file
        Some(client) if listener.trusted.trust(Some(client)) => None, // a proxy speaks for many
        Some(client) => match admit(&pass, client, &*handler) {
            Some(admitted) => Some(admitted),
            None => return,
        },
    };
    let greeted = Box::pin(greet(wire, &listener, &pulse, &mut watchdog, cells)).await;
    let Some((stream, protocol, secure)) = greeted else { return };
    pulse.speaks(protocol);
    let client = Rc::new(Client::new(ends, listener.clone(), secure));
    let service = service(handler.clone(), client.clone());
    let (handler, roster, interims) = (handler.clone(), roster.clone(), client.interims.clone());
    let front = Front { service, handler, listener, pulse: pulse.clone(), roster, interims };
    match protocol {
        Protocol::Http1 => {
            let left = Box::pin(serve_http1(stream.interjecting(client.interims.clone()), front, watchdog)).await;
            let Some((stream, early)) = left else { return };
            let upgrade = client.upgrade.borrow_mut().take();
            match upgrade {
                Some(tunnel) => {
                    let _tunnelling = Tunnelling::begin(&pulse);
                    Box::pin(tunnel.run(stream, early)).await;
                }
                None => Box::pin(close(stream)).await,
            }
        }
        Protocol::Http2 => Box::pin(http2::serve(stream, front, watchdog, client)).await,
    }
}

/// Counts the connection for as long as it is open.
struct Open<H: Handler>(Rc<H>);

impl<H: Handler> Open<H> {
    fn new(handler: Rc<H>) -> Open<H> {
        handler.cells().connections_open.add(1);
        Open(handler)
    }
}

impl<H: Handler> Drop for Open<H> {
    fn drop(&mut self) {
        self.0.cells().connections_open.add(-1);
    }
}

/// The proxy, or whatever answers in its place, for one client. Layers for every request belong around this.
fn service<H: Handler>(
    handler: Rc<H>,
    client: Rc<Client>,
) -> impl tower::Service<Request<ClientBody>, Response = Response<H::Body>, Error = Infallible> + Clone + Unpin + 'static
{
    tower::service_fn(move |request| {
        let (handler, client) = (handler.clone(), client.clone());
        async move { Ok(handler.handle(&client, request).await) }
    })
}

/// Counted for its client. `None`: that has as many as one may have.
fn admit<H: Handler>(pass: &Pass, client: IpAddr, handler: &H) -> Option<ClientPass> {
    let most = handler.views().view().config.max_connections_per_client;
    let admitted = pass.admit(client, most);
    if admitted.is_none() {
        handler.cells().connections_refused.add(1);
        tracing::debug!(%client, most, "closed at once: it has as many connections as one client may have");
    }
    admitted
}

/// What comes between a connection whose client is known and HTTP. `None`: it came to nothing.
async fn greet(
    wire: Wire,
    listener: &Listener,
    pulse: &Pulse,
    watchdog: &mut Watchdog,
    cells: &WorkerCells,
) -> Option<(Stream, Protocol, Option<Secure>)> {
    let Some(tls) = listener.tls.clone() else {
        if listener.proxy_protocol == ProxyProtocol::Require {
            pulse.shook_hands();
        }
        let (stream, protocol) = tls::sniff(wire, listener.protocols, watchdog).await.ok()?;
        return Some((stream, protocol, None));
    };
    match watchdog.guard(tls::handshake(wire, tls, listener.protocols)).await {
        Ok(Ok((stream, protocol, secure))) => {
            cells.handshakes.add(1);
            pulse.shook_hands();
            return Some((stream, protocol, Some(secure)));
        }
        // Whoever connects and leaves without a byte tests whether the port is open; no handshake failed.
        Ok(Err(_)) if !pulse.has_spoken() => {}
        Ok(Err(error)) => {
            cells.handshakes_failed.add(1);
            tracing::debug!(%error, "TLS handshake failed");
        }
        Err(Late::Drained) => {}
        Err(_) => {
            cells.handshakes_failed.add(1);
            cells.client_timeouts.add(1);
        }
    }
    None
}

/// It is closed, and counted.
struct Closed;

/// Whose the connection is, where a trusted proxy has to say so first; `None`: nobody knows.
async fn introduced(
    wire: &mut Wire,
    peer: Option<Ends>,
    listener: &Listener,
    watchdog: &mut Watchdog,
    cells: &WorkerCells,
) -> Result<Option<Ends>, Closed> {
    let why = match listener.trusted.trust(peer.map(|peer| peer.client.ip())) {
        false => NotIntroduced::Untrusted,
        true => match watchdog.guard(proxy_header::take(wire)).await {
            Ok(Ok(Whose::Clients(ends))) => return Ok(Some(ends)),
            Ok(Ok(Whose::Proxys)) => return Ok(peer),
            Ok(Ok(Whose::Nobodys)) | Err(Late::Drained) => return Err(Closed),
            Ok(Err(why)) => why,
            Err(_) => {
                cells.client_timeouts.add(1);
                NotIntroduced::Late
            }
        },
    };
    cells.not_introduced[why as usize].add(1);
    tracing::debug!(peer = ?peer.map(|peer| peer.client), cause = why.name(), "no good PROXY header");
    Err(Closed)
}

/// What a connection ended by.
enum Ended {
    Done(hyper::Result<()>),
    Late(Late),
}

/// HTTP/1.1 as far as hyper has spoken it, and what it gave back.
struct Spoken<H, S> {
    stream: Stream,
    front: Front<H, S>,
    /// What was read past the last request.
    early: Bytes,
    ended: Ended,
}

/// HTTP/1.1 until it is over. What is left of the connection, and bytes that were read past the last request, if it may
/// still be used: to close it well, or for an upgrade.
async fn serve_http1<H, S>(
    mut stream: Stream,
    mut front: Front<H, S>,
    mut watchdog: Watchdog,
) -> Option<(Stream, Bytes)>
where
    H: Handler,
    S: tower::Service<Request<ClientBody>, Response = Response<H::Body>, Error = Infallible> + Clone + Unpin + 'static,
{
    let (pulse, handler) = (front.pulse.clone(), front.handler.clone());
    let (early, ended) = loop {
        watchdog.tell_of_quiet(Some(QUIET));
        let spoken = Box::pin(speak_http1(stream, front, &mut watchdog)).await;
        (stream, front) = (spoken.stream, spoken.front);
        match spoken.ended {
            // hyper would keep two buffers of 8 KiB for a client that may never come back. An empty line that some send after a request
            // begins none (RFC 9112, section 2.2).
            Ended::Late(Late::Quiet) if spoken.early.iter().all(|byte| b"\r\n".contains(byte)) => {
                watchdog.tell_of_quiet(None);
                match watchdog.guard(stream.hear()).await {
                    Ok(Ok(())) if pulse.has_ended() => break (Bytes::new(), Ended::Done(Ok(()))),
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::trace!(%error, "connection ended");
                        return None;
                    }
                    Err(late) => break (Bytes::new(), Ended::Late(late)),
                }
            }
            // It has begun the next head.
            Ended::Late(Late::Quiet) => stream.unread(spoken.early),
            ended @ (Ended::Done(_) | Ended::Late(_)) => break (spoken.early, ended),
        }
    };
    match ended {
        Ended::Done(Ok(())) => {}
        Ended::Done(Err(error)) => {
            let cells = handler.cells();
            if error.is_parse() && !error.is_parse_version_h2() {
                let kind = if error.is_parse_too_large() { ReplyKind::Limit } else { ReplyKind::BadRequest };
                cells.replies[kind as usize].add(1); // hyper has written it
            } else {
                tracing::trace!(%error, "connection ended");
                return None; // the client is gone, or must not take this for an end
            }
        }
        Ended::Late(Late::Head) => {
            let reply = reply::to_refusal(Refusal::TooSlow);
            handler.cells().client_timeouts.add(1);
            handler.cells().replies[reply.kind as usize].add(1);
            // By hand: hyper has nothing to answer yet.
            timeout(FAREWELL, stream.write_all(&reply.bytes())).await.ok()?.ok()?;
        }
        Ended::Late(Late::Silent) => handler.cells().client_timeouts.add(1),
        Ended::Late(Late::Stalled) => {
            handler.cells().client_timeouts.add(1);
            pulse.spoil(); // or the kernel goes on offering what the client does not take
            return None;
        }
        Ended::Late(Late::Handshake | Late::Idle | Late::Quiet | Late::Drained | Late::Farewell) => {}
    }
    Some((stream, early))
}

/// HTTP/1.1 until it is over, or until its client has been quiet for a while between two requests.
async fn speak_http1<H, S>(stream: Stream, front: Front<H, S>, watchdog: &mut Watchdog) -> Spoken<H, S>
where
    H: Handler,
    S: tower::Service<Request<ClientBody>, Response = Response<H::Body>, Error = Infallible> + Clone + Unpin + 'static,
{
    let mut connection = http1_builder(&front.listener.limits).serve_connection(TokioIo::new(stream), front);
    // In a drain the front says `Connection: close` with the next head. hyper's graceful shutdown is not used: it closes
    // as soon as nothing runs, when a request may be on its way, without having said so.
    let ended = poll_fn(|cx| match connection.poll_without_shutdown(cx) {
        Poll::Ready(result) => Poll::Ready(Ended::Done(result)),
        Poll::Pending => watchdog.poll(cx).map(Ended::Late),
    })
    .await;
    let parts = connection.into_parts();
    Spoken { stream: parts.io.into_inner(), front: parts.service, early: parts.read_buf, ended }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.half_close(false).header_read_timeout(None);
    builder.max_header_size(limits.max_header_size).max_buf_size(BUFFER_MAX.max(limits.max_header_size));
    if limits.max_headers != HYPERS_MAX_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    builder
}

/// Ends our side, then waits a little for the client's. Closing while it still sends would reset the connection, and the
/// reset overtakes our last reply (RFC 9112, section 9.6).
async fn close(mut stream: Stream) {
    let farewell = async {
        stream.shutdown().await?;
        let mut scrap = vec![0; 4096];
        while !stream.pulse().has_ended() && stream.read(&mut scrap).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Late or failed: it is closed all the same.
    let _ = timeout(FAREWELL, farewell).await;
}
