//! One stream of HTTP/2: what answers its request, then its response sent as the client has room for it.
//!
//! Not here: where the response is from ([`crate::edge::front`]), the request's body ([`crate::upstream::client_body`]).

use super::Shared;
use super::tunnel;
use crate::edge::front::{Answer, Outgoing};
use crate::edge::roster::What;
use crate::runtime::clock::Clock;
use crate::upstream::client_body::Awaited;
use crate::upstream::fields::is_hop_by_hop;
use crate::upstream::interim::Interim;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::UNIX_EPOCH;

pin_project! {
    /// One stream, from its head read until its response has ended. Dropped before that it is reset.
    pub(super) struct Answering<B> {
        reply: SendResponse<Bytes>,
        method: Method,
        input: Input,
        shared: Shared,
        #[pin]
        stage: Stage<B>,
    }
}

/// What comes of a stream after its head.
#[derive(Debug)]
pub(super) enum Input {
    /// A body, which whoever answers has.
    Body,
    /// The same of a client that sends it when it is told to.
    Awaited(Rc<Awaited>),
    /// What goes through the tunnel that was asked for.
    Tunnel(RecvStream),
}

pin_project! {
    #[project = StageProject]
    enum Stage<B> {
        Awaited { answer: Answer<B> },
        Sent { #[pin] sending: Sending<B> },
        Tunnelled { tunnel: Pin<Box<dyn Future<Output = ()>>> },
        /// Its time in a drain was over.
        Cut,
    }
}

pin_project! {
    /// A response's body, after its head.
    struct Sending<B> {
        to: SendStream<Bytes>,
        #[pin]
        body: Outgoing<B>,
        // What the client has no room for yet. The next piece is not asked for before it has this.
        piece: Option<Piece>,
    }
}

struct Piece {
    bytes: Bytes,
    then: Then,
}

/// What follows a piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    More,
    End,
}

/// It is over before its end: the client has reset it, or the connection ended.
struct Gone;

impl From<h2::Error> for Gone {
    fn from(_: h2::Error) -> Gone {
        Gone
    }
}

impl<B> Answering<B> {
    pub(super) fn new(
        answer: Answer<B>,
        reply: SendResponse<Bytes>,
        method: Method,
        input: Input,
        shared: Shared,
    ) -> Answering<B> {
        Answering { reply, method, input, shared, stage: Stage::Awaited { answer } }
    }
}

impl<B> Future for Answering<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let what = match this.stage.as_mut().project() {
            StageProject::Awaited { .. } | StageProject::Sent { .. } => What::Requests,
            StageProject::Tunnelled { .. } => What::Tunnels,
            StageProject::Cut => return Poll::Ready(()),
        };
        if this.shared.roster.is_over(what) {
            this.stage.set(Stage::Cut);
            this.reply.send_reset(Reason::CANCEL);
            return Poll::Ready(());
        }
        if this.shared.cutting.get() {
            return Poll::Pending; // whoever wakes it does not know this task
        }
        loop {
            match this.stage.as_mut().project() {
                StageProject::Awaited { answer } => {
                    let polled = answer.as_mut().poll(cx);
                    if let Input::Awaited(awaited) = this.input
                        && polled.is_pending()
                        && awaited.is_wanted(cx)
                    {
                        let (status, fields) = (StatusCode::CONTINUE, HeaderMap::new());
                        tell(this.reply, Interim { status, fields }, this.shared);
                    }
                    while let Some(interim) = this.shared.client.interims.take_next() {
                        tell(this.reply, interim, this.shared);
                    }
                    let Poll::Ready(Ok(response)) = polled else {
                        // Whoever is told that the client has reset it is dropped, and what runs for it with it.
                        return this.reply.poll_reset(cx).map(drop);
                    };
                    this.shared.queued.set(true);
                    let response = match std::mem::replace(this.input, Input::Body) {
                        Input::Body | Input::Awaited(_) => response,
                        Input::Tunnel(from) => match agree(this.reply, response, from, this.shared) {
                            Agreed::Tunnel(tunnel) => {
                                this.stage.set(Stage::Tunnelled { tunnel });
                                continue;
                            }
                            Agreed::Gone => return Poll::Ready(()),
                            Agreed::Not(response) => *response,
                        },
                    };
                    match begin(this.reply, response, this.method, this.shared.clock, cx) {
                        Some(sending) => this.stage.set(Stage::Sent { sending }),
                        None => return Poll::Ready(()),
                    }
                }
                StageProject::Cut => return Poll::Ready(()),
                StageProject::Tunnelled { tunnel } => return tunnel.as_mut().poll(cx),
                StageProject::Sent { sending } => return sending.poll(&this.shared.queued, cx).map(drop),
            }
        }
    }
}

/// What became of a tunnel that was asked for.
enum Agreed<B> {
    Tunnel(Pin<Box<dyn Future<Output = ()>>>),
    /// The response says why not.
    Not(Box<Response<Outgoing<B>>>),
    Gone,
}

/// An endpoint's 101 is the client's 200. Any other 2xx would be taken for that, and is no answer to what was asked.
fn agree<B>(
    reply: &mut SendResponse<Bytes>,
    mut response: Response<Outgoing<B>>,
    from: RecvStream,
    shared: &Shared,
) -> Agreed<B> {
    let agreed = shared.client.upgrade.take().filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS);
    let Some(agreed) = agreed else {
        if response.status().is_success() {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        return Agreed::Not(Box::new(response));
    };
    let (mut head, body) = response.into_parts();
    head.status = StatusCode::OK;
    drop_connections_fields(&mut head.headers);
    head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
    head.headers.entry(header::DATE).or_insert_with(|| date(shared.clock));
    shared.queued.set(true);
    match reply.send_response(Response::from_parts(head, ()), false) {
        Ok(to) => Agreed::Tunnel(Box::pin(tunnel::run(agreed, from, to, body.into_running()))),
        Err(_) => Agreed::Gone,
    }
}

/// Sends an interim response.
fn tell(reply: &mut SendResponse<Bytes>, interim: Interim, shared: &Shared) {
    let mut response = Response::new(());
    (*response.status_mut(), *response.headers_mut()) = (interim.status, interim.fields);
    shared.queued.set(true);
    if let Err(error) = reply.send_informational(response) {
        tracing::trace!(%error, "an interim response is not passed on");
    }
}

/// Sends the head. `None`: all is said with it.
fn begin<B>(
    reply: &mut SendResponse<Bytes>,
    response: Response<Outgoing<B>>,
    method: &Method,
    clock: Clock,
    cx: &mut Context<'_>,
) -> Option<Sending<B>>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let (mut head, body) = response.into_parts();
    drop_connections_fields(&mut head.headers);
    head.headers.entry(header::DATE).or_insert_with(|| date(clock));
    let bodiless = *method == Method::HEAD || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let ended = body.is_end_stream();
    if let Some(length) = body.size_hint().exact().filter(|_| !ended && !bodiless) {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    let end = ended || bodiless;
    let to = match reply.send_response(Response::from_parts(head, ()), end) {
        Ok(to) => to,
        Err(error) => {
            tracing::debug!(%error, "a response that HTTP/2 has no form for, or its stream is over");
            reply.send_reset(Reason::INTERNAL_ERROR);
            return None;
        }
    };
    let sending = Sending { to, body, piece: None };
    if bodiless && !ended {
        exhaust(sending.body, cx);
        return None;
    }
    (!end).then_some(sending)
}

/// A body that has nothing to say is to know that it was heard out.
fn exhaust<B>(body: Outgoing<B>, cx: &mut Context<'_>)
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let mut body = std::pin::pin!(body);
    while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(cx) {}
}

impl<B> Sending<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    fn poll(self: Pin<&mut Self>, queued: &Cell<bool>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut this = self.project();
        loop {
            if this.piece.is_some() {
                let then = ready!(poll_piece(this.to, this.piece, queued, cx))?;
                if then == Then::End {
                    return Poll::Ready(Ok(()));
                }
            }
            match this.body.as_mut().poll_frame(cx) {
                Poll::Pending => return this.to.poll_reset(cx).map(|_| Err(Gone)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => {
                        let then = if this.body.is_end_stream() { Then::End } else { Then::More };
                        // At once, so that nobody's window is kept for what is not there.
                        this.to.reserve_capacity(bytes.len());
                        *this.piece = Some(Piece { bytes, then });
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            queued.set(true);
                            this.to.reserve_capacity(0);
                            this.to.send_trailers(trailers)?;
                            return Poll::Ready(Ok(()));
                        }
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    tracing::trace!(error = %error, "a stream is cut");
                    this.to.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(Err(Gone));
                }
                Poll::Ready(None) => {
                    queued.set(true);
                    this.to.send_data(Bytes::new(), true)?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// Hands over as much of the piece as there is room for, until it is all gone.
fn poll_piece(
    to: &mut SendStream<Bytes>,
    piece: &mut Option<Piece>,
    queued: &Cell<bool>,
    cx: &mut Context<'_>,
) -> Poll<Result<Then, Gone>> {
    while let Some(Piece { bytes, then }) = piece {
        let room = to.capacity();
        if room > 0 {
            queued.set(true);
        }
        if room >= bytes.len() {
            let then = *then;
            to.send_data(std::mem::take(bytes), then == Then::End)?;
            *piece = None;
            return Poll::Ready(Ok(then));
        }
        if room > 0 {
            to.send_data(bytes.split_to(room), false)?;
            to.reserve_capacity(bytes.len());
        } else {
            match ready!(to.poll_capacity(cx)) {
                Some(Ok(_)) => {} // which may be none
                Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
            }
        }
    }
    Poll::Ready(Ok(Then::More))
}

/// A response that has a field about its connection could not be sent.
fn drop_connections_fields(headers: &mut HeaderMap) {
    let drops: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in drops {
        headers.remove(name);
    }
}

thread_local! {
    /// The second since 1970, and its name: most responses that have no date come in the same one as another.
    static DATE: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
}

/// Now, as a Date field has it (RFC 9110, section 6.6.1).
fn date(clock: Clock) -> HeaderValue {
    let seconds = clock.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|known| match known {
        Some((second, name)) if *second == seconds => name.clone(),
        Some(_) | None => {
            let name = named(seconds);
            *known = Some((seconds, name.clone()));
            name
        }
    })
}

fn named(seconds: u64) -> HeaderValue {
    let second = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&second.unwrap_or_default());
    text.ok().and_then(|text| text.try_into().ok()).unwrap_or_else(|| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_that_of_rfc_9110() {
        assert_eq!(named(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn fields_of_a_connection_do_not_go_over_http_2() {
        let mut fields = HeaderMap::new();
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "etag"] {
            fields.append(name, HeaderValue::from_static("x"));
        }
        drop_connections_fields(&mut fields);
        assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["etag"]);
    }
}
