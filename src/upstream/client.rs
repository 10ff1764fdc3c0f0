//! One request sent to one endpoint, by a kept connection or a new one, until the response head is there: here over HTTP/1.1, in `http2`
//! over that.

use super::connect::{of_tls, open};
use super::cuts::Cut;
use super::download::Download;
use super::failure::{Connection, Failure, Malformed, Sent, Shortage};
use super::http2;
use super::interim::{Course, Takes};
use super::kept::{KEPT_FOR, Kept, Lease, Taken, Whole};
use super::proxy_header::ProxyHeader;
use super::upload::{Upload, UploadEnd, UploadState};
use crate::config::{HttpVersion, Way};
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use crate::runtime::tasks;
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Where to, and how long it may take.
#[derive(Debug)]
pub struct Target<'a> {
    pub way: &'a Way,
    pub kept: &'a Kept,
    /// Of those, one that the caller took already, and on which the caller sees to the head's timeout.
    pub given: Option<Taken>,
    /// What a connection begins with. One that does belongs to the client that is named there: none is taken for it that was kept, and
    /// it is not kept after it.
    pub introduce: Option<ProxyHeader>,
    pub connect_timeout: Duration,
    /// From the last piece of the request passed on to the whole response head.
    pub head_timeout: Duration,
    /// Who wants its interim responses.
    pub interims: Option<&'a dyn Takes>,
}

/// Bytes that are read ahead, and that wait to be written, at an endpoint; and the most that a response's head may have (docs/limits.md,
/// "Memory"). By itself hyper would take 408 KiB for each, whenever a client is slow.
pub const BUFFER_MAX: usize = 64 * 1024;

/// Which kept connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Any,
    /// Only those used within [`super::failure::STALE_AFTER`]: an endpoint may close an older one just as we write to it,
    /// and a write can't be sent again then.
    Recent,
}

impl Reuse {
    /// For how long they may have been idle.
    pub fn most_idle(self) -> Duration {
        match self {
            Reuse::Any => KEPT_FOR,
            Reuse::Recent => super::failure::STALE_AFTER,
        }
    }
}

/// Whether a request is still to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    On,
    Back,
}

/// The head of a response, and the connection that its body comes by.
#[derive(Debug)]
pub struct Answer {
    pub response: Response<Download>,
    /// `None` when the connection can't carry another request.
    pub lease: Option<Lease>,
}

/// A failure, with the request if it provably never left.
#[derive(Debug)]
pub struct Failed {
    pub failure: Failure,
    pub unsent: Option<Box<Request<Upload>>>,
}

/// Sends `request`, now, and waits for the response head. `state` is that of the request's body.
///
/// A kept connection that turns out to be closed before anything was written to it is no failure: the next one is taken. After
/// each connect, which may take long, `still` is asked whether the request is to be sent at all.
pub async fn send(
    mut target: Target<'_>,
    mut request: Request<Upload>,
    state: &Rc<UploadState>,
    reuse: Reuse,
    mut now: Moment,
    clock: Clock,
    still: impl Fn() -> Go,
) -> Result<Answer, Failed> {
    match target.way.version {
        HttpVersion::Http1 => (),
        HttpVersion::Http2 => return http2::send(target, request, state, reuse, now, clock, still).await,
    }
    request.headers_mut().remove(header::TE); // said for endpoints of HTTP/2 alone
    loop {
        let limit = if target.given.is_some() { None } else { Some(target.head_timeout) };
        let got = target.connection(reuse, state, &mut now, clock, &still, whole, fresh).await;
        let (mut whole, connection) = match got {
            Ok(got) => got,
            Err(failure) => return Err(Failed { failure, unsent: Some(Box::new(request)) }),
        };
        let asked_for_upgrade = request.headers().contains_key(header::UPGRADE);
        let answered = match target.interims {
            None => {
                let answer = pin!(whole.sender.try_send_request(request));
                within(limit, now, state, clock, answer).await.map(Some)
            }
            Some(to) => {
                let Whole { sender, inbox, .. } = &mut whole;
                inbox.begin();
                let put = inbox.clone();
                hyper::ext::on_informational(&mut request, move |head| put.put(head.status(), head.headers()));
                let mut answer = pin!(sender.try_send_request(request));
                let heard = poll_fn(|cx| {
                    let polled = answer.as_mut().poll(cx);
                    match (polled, inbox.empty(to, cx)) {
                        (Poll::Ready(sent), _) => Poll::Ready(Some(sent)),
                        (Poll::Pending, Course::Endless) => Poll::Ready(None),
                        (Poll::Pending, Course::Open) => Poll::Pending,
                    }
                });
                within(limit, now, state, clock, pin!(heard)).await
            }
        };
        let sent = match answered {
            None => return Err(failed(Failure::NoHead)),
            Some(None) => return Err(failed(Failure::Malformed { what: Malformed::Endless })),
            Some(Some(sent)) => sent,
        };
        match sent {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !asked_for_upgrade => {
                return Err(failed(Failure::Malformed { what: Malformed::UnaskedUpgrade }));
            }
            Ok(response) if !is_chunked_or_none(response.headers()) => {
                return Err(failed(Failure::Malformed { what: Malformed::Coding }));
            }
            Ok(response) => {
                let keep = target.introduce.is_none() && may_be_kept(&response);
                let lease = keep.then_some(Lease::Whole(whole));
                return Ok(Answer { response: response.map(Download::of_http1), lease });
            }
            Err(mut error) => match (error.take_message(), connection) {
                (Some(unsent), Connection::Kept { .. }) => request = unsent,
                (Some(unsent), Connection::Fresh) => {
                    let failure = Failure::Reset { sent: Sent::Nothing, connection };
                    return Err(Failed { failure, unsent: Some(Box::new(unsent)) });
                }
                (None, _) => return Err(failed(what_failed(error.error(), state, connection))),
            },
        }
    }
}

impl Target<'_> {
    /// What a request has of a connection, by the first that there is: the one that was given, one that was kept, a new one. `of`: whether
    /// one is of the version that is spoken.
    ///
    /// # Errors
    /// There is none, or whoever sends it took that back meanwhile. Nothing was sent.
    #[expect(clippy::too_many_arguments, reason = "what `send` was given, for either version")]
    pub(super) async fn connection<L>(
        &mut self,
        reuse: Reuse,
        body: &UploadState,
        now: &mut Moment,
        clock: Clock,
        still: &impl Fn() -> Go,
        of: impl Fn(Lease) -> Option<L>,
        fresh: impl AsyncFnOnce(&Target<'_>) -> Result<L, Failure>,
    ) -> Result<(L, Connection), Failure> {
        let taken = match self.introduce {
            Some(_) => None,
            None => self.given.take().or_else(|| self.kept.take(*now, reuse.most_idle(), body)),
        };
        if let Some(Taken { lease, idle }) = taken
            && let Some(lease) = of(lease)
        {
            return Ok((lease, Connection::Kept { idle }));
        }
        let made = fresh(self).await?;
        if still() == Go::Back {
            return Err(Failure::Withdrawn);
        }
        *now = clock.now(); // connecting has a limit of its own
        Ok((made, Connection::Fresh))
    }
}

fn whole(lease: Lease) -> Option<Whole> {
    match lease {
        Lease::Whole(whole) => Some(whole),
        Lease::Stream(_) => None,
    }
}

/// A new connection, its task started.
async fn fresh(target: &Target<'_>) -> Result<Whole, Failure> {
    let stream = open(target.way, target.introduce, target.connect_timeout).await?;
    let stream = target.kept.cuts.enrol(stream);
    let cut = stream.cut();
    begin(TokioIo::new(stream), cut).await
}

/// The same over anything that carries bytes.
///
/// # Errors
/// There is no memory for it.
pub async fn over(io: impl Read + Write + Unpin + Send + 'static) -> Result<Lease, Failure> {
    begin(io, Arc::default()).await.map(Lease::Whole)
}

async fn begin(io: impl Read + Write + Unpin + Send + 'static, cut: Arc<Cut>) -> Result<Whole, Failure> {
    // hyper's own limit on fields, 100, is ours; told even that number, it would make room for it with every response.
    let handshake = http1::Builder::new().max_buf_size(BUFFER_MAX).handshake(io).await;
    let (sender, connection) = handshake.map_err(|_| Failure::Ours(Shortage::Memory))?;
    let overfull = Rc::new(Cell::new(false));
    let spoiled = overfull.clone();
    // The task ends with the connection: when either side closes it, or its lease is dropped.
    tasks::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            spoiled.set(is_overfull(&error));
            tracing::trace!(%error, "connection to an endpoint ended");
        }
        cut.spare(); // it may have become a tunnel
    });
    Ok(Whole { sender, overfull, inbox: Arc::default() })
}

/// The future's output, or `None` when `limit` passed since `start` and since the last piece of the body was passed on.
pub(super) async fn within<F: Future>(
    limit: Option<Duration>,
    start: Moment,
    state: &UploadState,
    clock: Clock,
    mut future: std::pin::Pin<&mut F>,
) -> Option<F::Output> {
    let Some(limit) = limit else { return Some(future.await) };
    let mut deadline = start.after(limit);
    loop {
        if let Ok(output) = tokio::time::timeout_at(clock.instant(deadline), future.as_mut()).await {
            return Some(output);
        }
        let extended = state.last_piece().max(start).after(limit);
        if extended <= deadline {
            return None;
        }
        deadline = extended;
    }
}

/// Whether a body is in chunks, or in no transfer coding (RFC 9112, section 6.1). hyper knows `chunked` alone: with the field gone nobody
/// could tell that what is left is compressed, or where it ends; and a list of codings it takes is one that endpoints may read
/// differently.
pub fn is_chunked_or_none(fields: &HeaderMap) -> bool {
    let mut codings = fields.get_all(header::TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|only| only.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Whether the connection can be kept once the response was read.
fn may_be_kept(response: &Response<Incoming>) -> bool {
    let headers = response.headers();
    // With both lengths given the end of the message is a matter of opinion (RFC 9112, section 6.3): hyper goes by the
    // chunks; whatever follows them must not be taken for an answer to the next request.
    let both_lengths = headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH);
    !both_lengths && response.status() != StatusCode::SWITCHING_PROTOCOLS
}

fn failed(failure: Failure) -> Failed {
    Failed { failure, unsent: None }
}

/// Of what can end a connection between two responses this alone has neither a cause nor a name of its own.
fn is_overfull(error: &hyper::Error) -> bool {
    let named = error.is_parse() || error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    !named && std::error::Error::source(error).is_none()
}

/// What TLS said of it, if that is what ended the connection.
fn tls_in(error: &hyper::Error) -> Option<&rustls::Error> {
    of_tls(std::error::Error::source(error)?.downcast_ref()?)
}

/// The one place that asks hyper what its errors mean.
fn what_failed(error: &hyper::Error, state: &UploadState, connection: Connection) -> Failure {
    match state.end() {
        UploadEnd::TooSlow | UploadEnd::TooLarge | UploadEnd::Broken => return Failure::ClientBody,
        UploadEnd::Untouched | UploadEnd::Streaming | UploadEnd::Whole => (),
    }
    if let Some(tls) = tls_in(error) {
        Failure::Tls { error: tls.clone(), sent: Sent::Perhaps }
    } else if error.is_parse_too_large() {
        Failure::Malformed { what: Malformed::TooLarge }
    } else if error.is_parse() {
        Failure::Malformed { what: Malformed::Head }
    } else {
        Failure::Reset { sent: Sent::Perhaps, connection }
    }
}
