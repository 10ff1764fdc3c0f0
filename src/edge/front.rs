//! The seam between HTTP as it is spoken and what answers: refuses requests past a limit, redirects, notes beginnings and ends.
//!
//! What answers is a tower service, so that whatever must be around every request can be a layer there.
//! Not here: limits that end connections ([`super::watchdog`]), and those that hyper keeps (set in [`super::conn`]).

use super::Handler;
use super::pulse::{Protocol, Pulse, Running};
use super::redirect;
use super::roster::{Roster, Stage};
use crate::config::{Limits, Listener};
use crate::proxy::reply::{self, Asker};
use crate::proxy::route::Refusal;
use crate::proxy::{self, Interims};
use crate::telemetry::metrics::ReplyKind;
use crate::upstream::ClientBody;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Either;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower::ServiceExt;

/// One connection's front.
#[derive(Debug)]
pub struct Front<H, S> {
    pub service: S,
    pub handler: Rc<H>,
    pub listener: Arc<Listener>,
    pub pulse: Rc<Pulse>,
    pub roster: Rc<Roster>,
    pub interims: Rc<Interims>,
}

/// A response to come. Boxed: hyper keeps room for a whole future in every HTTP/1.1 connection, idle ones too.
pub(super) type Answer<B> = Pin<Box<dyn Future<Output = Result<Response<Outgoing<B>>, Infallible>>>>;

impl<H, S> hyper::service::Service<Request<Incoming>> for Front<H, S>
where
    H: Handler,
    S: tower::Service<Request<ClientBody>, Response = Response<H::Body>, Error = Infallible> + Clone + 'static,
{
    type Response = Response<Outgoing<H::Body>>;
    type Error = Infallible;
    type Future = Answer<H::Body>;

    fn call(&self, request: Request<Incoming>) -> Answer<H::Body> {
        let bodiless = request.body().is_end_stream();
        let answer = self.answer(request.map(ClientBody::Http1));
        if !bodiless {
            self.pulse.body_follows();
        }
        answer
    }
}

impl<H, S> Front<H, S>
where
    H: Handler,
    S: tower::Service<Request<ClientBody>, Response = Response<H::Body>, Error = Infallible> + Clone + 'static,
{
    pub(super) fn answer(&self, request: Request<ClientBody>) -> Answer<H::Body> {
        let running = Running::begin(&self.pulse, request.version());
        if let Some((kind, reply)) = reply(&request, &self.listener) {
            self.handler.cells().replies[kind as usize].add(1);
            return Box::pin(std::future::ready(Ok(send(reply.map(Either::Left), running, &self.roster))));
        }
        let (service, roster, interims) = (self.service.clone(), self.roster.clone(), self.interims.clone());
        Box::pin(async move {
            let mut answer = pin!(service.oneshot(request));
            let mut answered = None;
            // With HTTP/1.1 interim responses are written when hyper has written all of its own, and the response waits for them; over
            // HTTP/2 they are taken before it is looked at.
            let response = poll_fn(|cx| {
                if answered.is_none() {
                    answered = match interims.while_open(|| answer.as_mut().poll(cx)) {
                        Poll::Ready(response) => Some(response),
                        Poll::Pending => None,
                    };
                    if !interims.is_empty() {
                        cx.waker().wake_by_ref(); // the stream is to be looked at, whatever hyper thinks there is to do
                    }
                }
                if running.protocol() == Protocol::Http1 && !interims.is_empty() {
                    return Poll::Pending;
                }
                answered.take().map_or(Poll::Pending, Poll::Ready)
            })
            .await?;
            Ok(send(response.map(Either::Right), running, &roster))
        })
    }
}

/// The reply that the listener makes itself, if it does.
fn reply<B>(request: &Request<B>, listener: &Listener) -> Option<(ReplyKind, Response<proxy::Body>)> {
    let (reply, location) = match (past_limit(request, &listener.limits), listener.redirect) {
        (Some(refusal), _) => (reply::to_refusal(refusal), None),
        (None, None) => return None,
        (None, Some(to)) => match redirect::location(request, to) {
            Some(location) => (reply::to_redirect(), Some(location)),
            None => (reply::to_refusal(Refusal::BadHost), None),
        },
    };
    let mut response = reply.response(&Asker::of(request), None);
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Some((reply.kind, response))
}

/// hyper and h2 refuse heads past `max_header_size` before this; neither knows of half of it for the target, nor h2 of a
/// number of fields.
fn past_limit<B>(request: &Request<B>, limits: &Limits) -> Option<Refusal> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |path| PathAndQuery::as_str(path).len())
        + uri.authority().map_or(0, |authority| Authority::as_str(authority).len());
    if target > limits.max_header_size / 2 {
        return Some(Refusal::TargetTooLong);
    }
    (request.headers().len() > limits.max_headers).then_some(Refusal::TooManyFields)
}

fn send<B>(
    mut response: Response<Either<proxy::Body, B>>,
    mut running: Running,
    roster: &Roster,
) -> Response<Outgoing<B>> {
    // Before the head is written: later, hyper could only close without having said so. HTTP/2 has GOAWAY instead.
    let last = roster.stage() != Stage::Serving && running.protocol() == Protocol::Http1;
    if last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    running.clients_turn();
    response.map(|body| Outgoing { body, running })
}

pin_project! {
    /// A response's body, noting whose turn it is: hyper asks for the next piece once the client has room for it.
    #[derive(Debug)]
    pub struct Outgoing<B> {
        #[pin]
        body: Either<proxy::Body, B>,
        running: Running,
    }
}

impl<B> Outgoing<B> {
    /// There is no body, and it runs on.
    pub(super) fn into_running(self) -> Running {
        self.running
    }
}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Box<dyn Error + Send + Sync>>>> {
        let this = self.project();
        this.running.our_turn();
        let frame = ready!(this.body.poll_frame(cx));
        match &frame {
            Some(Ok(_)) => this.running.clients_turn(),
            Some(Err(_)) => this.running.cut(),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_over_half_the_header_size_and_a_field_too_many_are_refused() {
        let limits = Limits { max_header_size: 20, max_headers: 2, ..Limits::default() };
        let refused = |uri: &str, fields: usize| {
            let request = (0..fields).fold(Request::builder().uri(uri), |request, _| request.header("a", "b"));
            past_limit(&request.body(()).unwrap(), &limits)
        };
        assert_eq!(refused("/123456789", 2), None);
        assert_eq!(refused("/1234567890", 2), Some(Refusal::TargetTooLong));
        assert_eq!(refused("/", 3), Some(Refusal::TooManyFields));
    }
}
