//! One request while it runs: what is left of it to be sent, and the guards that count it for as long as it does.

use super::caller::Caller;
use super::headers::{self, Upgrading};
use super::held::Got;
use super::judge::{self, AtHand, Repeats};
use super::local::{LocalBackend, LocalEndpoint, Worker};
use super::route::{self, Route};
use super::websocket;
use crate::config::Backend;
use crate::domain::{Class, Moment};
use crate::health::tally::Place;
use crate::health::{Asking, Reporter, Seat};
use crate::upstream::upload::{UploadEnd, UploadLimits};
use crate::upstream::{ClientBody, Ends, Failed, Failure, Malformed, ProxyHeader, Upload, UploadState};
use http::header::{
    HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, SEC_WEBSOCKET_KEY, TE,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use hyper::body::Body;
use std::cell::Cell;
use std::rc::Rc;

/// The request as it goes to endpoints.
#[derive(Debug)]
pub struct Exchange {
    pub class: Class,
    pub upgrading: Upgrading,
    /// What an endpoint has to agree to, where WebSocket was asked for over HTTP/2.
    key: Option<HeaderValue>,
    /// How far it may be sent once more.
    pub repeats: Repeats,
    /// Of the client's body.
    pub upload: Rc<UploadState>,
    introduction: Introduction,
    /// Not sent yet, or handed back unsent.
    ready: Option<Request<Upload>>,
    /// What it takes to send it once more.
    spare: Option<Spare>,
}

/// The head of a request that may be sent once more; how its body is, its [`Upload`] knows.
#[derive(Clone, Debug)]
pub struct Spare {
    pub method: Method,
    pub introduction: Introduction,
    target: Uri,
    /// A list, since nearly all of them are made and never looked at.
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// Whose connections to endpoints are that it is sent by; `None`: nobody knows.
#[derive(Clone, Copy, Debug)]
pub struct Introduction(Option<Ends>);

impl Introduction {
    /// What a connection begins with to an endpoint of that backend.
    pub fn to(self, backend: &Backend) -> Option<ProxyHeader> {
        backend.proxy_protocol.map(|version| ProxyHeader { version, ends: self.0 })
    }
}

impl Spare {
    fn of(method: &Method, target: &Uri, headers: &HeaderMap, introduction: Introduction) -> Spare {
        let mut fields = Vec::with_capacity(headers.len()); // they do not say by themselves how many they are
        fields.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        Spare { method: method.clone(), introduction, target: target.clone(), fields }
    }

    /// It once more.
    pub fn request(&self, body: Upload) -> Request<Upload> {
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for (name, value) in &self.fields {
            headers.append(name.clone(), value.clone());
        }
        outgoing(self.method.clone(), self.target.clone(), headers, body)
    }

    /// For all but the first bytes of what it got, if that still has this tag (RFC 9110, section 13.1.5).
    pub fn request_for_rest(&self, from: u64, tag: &HeaderValue) -> Request<Upload> {
        let mut request = self.request(Upload::Empty);
        let headers = request.headers_mut();
        for condition in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
            headers.remove(condition);
        }
        headers.insert(RANGE, HeaderValue::try_from(format!("bytes={from}-")).expect("digits are a value"));
        headers.insert(IF_RANGE, tag.clone());
        request
    }
}

impl Exchange {
    /// Makes the request to the endpoint from the client's.
    pub fn new(
        request: Request<ClientBody>,
        route: Route<'_>,
        caller: &Caller<'_>,
        backend: &Backend,
        limits: UploadLimits,
        worker: &Worker,
        now: Moment,
    ) -> Exchange {
        let (mut head, body) = request.into_parts();
        let (class, upgrading) = (route.class(&head.method), route.upgrading);
        let key = match (upgrading, head.version) {
            (Upgrading::Yes, Version::HTTP_2) => head.headers.get(SEC_WEBSOCKET_KEY).cloned(),
            (Upgrading::Yes | Upgrading::No, _) => None,
        };
        let repeats = judge::repeats(class, upgrading, &head.method, &head.headers, route.site.rescue.retry);
        let trailers = backend.speaks_http2() && headers::takes_trailers(&head.headers);
        headers::request(&mut head.headers, caller, backend.forwarded, route.host, upgrading);
        if trailers {
            head.headers.insert(TE, HeaderValue::from_static("trailers")); // gRPC's servers may insist on it
        }
        let introduction = Introduction(caller.ends());
        let target = route::target(&head.uri);
        // Over HTTP/2 an endpoint may say that it has not begun with a request when it has had some of its body.
        let refusable = match repeats {
            Repeats::Anywhere | Repeats::WithinPool => true,
            Repeats::No => backend.speaks_http2(),
        };
        let keep = (refusable && route.site.rescue.replay).then_some(&worker.replay);
        let (body, upload) = Upload::new(body, limits, keep, now, worker.clock);
        let spare = match repeats {
            Repeats::No => None,
            Repeats::Anywhere | Repeats::WithinPool => {
                Some(Spare::of(&head.method, &target, &head.headers, introduction))
            }
        };
        let ready = Some(outgoing(head.method, target, head.headers, body));
        Exchange { class, upgrading, key, repeats, upload, introduction, ready, spare }
    }

    /// What a connection begins with that it is sent by.
    pub fn introduction_to(&self, backend: &Backend) -> Option<ProxyHeader> {
        self.introduction.to(backend)
    }

    /// The request to send next; `None` when part of it is gone.
    pub fn take(&mut self) -> Option<Request<Upload>> {
        match self.ready.take() {
            Some(ready) => Some(ready),
            None => {
                let body = Upload::again(&self.upload)?;
                Some(self.spare.as_ref()?.request(body))
            }
        }
    }

    /// What it takes to send it a second time beside the first, or after it: it is safe, and has no body.
    pub fn spare(&self) -> Option<&Spare> {
        self.spare.as_ref().filter(|_| self.class == Class::Safe && self.upload.is_empty())
    }

    /// Whether [`Exchange::copy`] makes one.
    pub fn copies(&self) -> bool {
        self.spare().is_some_and(|spare| spare.method == Method::GET)
    }

    /// A second one of it, if it is one that fetches something and no more.
    pub fn copy(&self) -> Option<Request<Upload>> {
        self.spare().filter(|spare| spare.method == Method::GET).map(|spare| spare.request(Upload::Empty))
    }

    /// An answer, unless it agrees to what nobody has asked for.
    pub fn agreed(&self, got: Got) -> Result<Got, Failed> {
        let response = &got.answer.response;
        let (status, fields) = (response.status(), response.headers());
        match &self.key {
            Some(key) if status == StatusCode::SWITCHING_PROTOCOLS && !websocket::agrees(key, status, fields) => {
                Err(Failed { failure: Failure::Malformed { what: Malformed::UnaskedUpgrade }, unsent: None })
            }
            Some(_) | None => Ok(got),
        }
    }

    /// It was provably not sent.
    pub fn put_back(&mut self, unsent: Request<Upload>) {
        self.ready = Some(unsent);
    }

    pub fn at_hand(&self) -> AtHand {
        let again = self.spare.is_some() && self.upload.can_be_sent_again();
        if self.ready.is_some() || again { AtHand::Whole } else { AtHand::Gone }
    }
}

fn outgoing(method: Method, target: Uri, headers: HeaderMap, body: Upload) -> Request<Upload> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target;
    // Only a client of HTTP/1.0 names no host, and HTTP/1.1 would have to (RFC 9112, section 3.2).
    *request.version_mut() = if headers.contains_key(HOST) { Version::HTTP_11 } else { Version::HTTP_10 };
    *request.headers_mut() = headers;
    frame_rare_body(&mut request);
    request
}

/// A body in chunks, or of HTTP/2, whose length nobody said: hyper passes one on in chunks, but takes it for none where the method hardly
/// ever has a body, unless it is told.
fn frame_rare_body(request: &mut Request<Upload>) {
    let rare = matches!(*request.method(), Method::GET | Method::HEAD);
    if rare && !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// A request counted at its backend, and at its site, until its response has ended.
#[derive(Debug)]
pub struct Served {
    pub backend: Rc<LocalBackend>,
    upload: Rc<UploadState>,
    _seat: Option<Seat>,
}

impl Served {
    pub fn begin(backend: Rc<LocalBackend>, upload: Rc<UploadState>, seat: Option<Seat>) -> Served {
        backend.cells().in_flight.add(1);
        Served { backend, upload, _seat: seat }
    }

    /// The response's head is there.
    pub fn count_response(&self, status: http::StatusCode, began: Moment, now: Moment) {
        self.backend.count_response(status);
        self.backend.cells().duration.observe(now.since(began));
    }

    /// Bytes that were no HTTP body's: an upgrade's.
    pub fn count_bytes(&self, from_client: u64, to_client: u64) {
        self.backend.cells().bytes_in.add(from_client);
        self.backend.cells().bytes_out.add(to_client);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.backend.cells().in_flight.add(-1);
        self.backend.cells().bytes_in.add(self.upload.bytes());
    }
}

/// An attempt counted at its endpoint until its response has ended.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Rc<LocalEndpoint>,
    running: Running,
}

/// As what an attempt is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    Read,
    /// Its end is waited for before writes go elsewhere. An upgrade's is not: it may last for days.
    Write,
}

impl InFlight {
    pub fn begin(endpoint: Rc<LocalEndpoint>, running: Running, reporter: &Reporter) -> InFlight {
        endpoint.tally().in_flight.add(1);
        match running {
            Running::Read => (),
            Running::Write => {
                endpoint.tally().writes.add(1);
                endpoint.touch(reporter);
            }
        }
        InFlight { endpoint, running }
    }

    pub fn endpoint(&self) -> &Rc<LocalEndpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.tally().in_flight.add(-1);
        match self.running {
            Running::Read => (),
            Running::Write => self.endpoint.tally().writes.add(-1),
        }
    }
}

/// A request counted among those that wait for a head: from when all of it was passed on, which its client may take its time
/// for, until this is dropped.
#[derive(Debug)]
pub struct HeadWait {
    endpoint: Rc<LocalEndpoint>,
    waits: Waits,
}

#[derive(Debug)]
enum Waits {
    Now(Place),
    /// Shared with whoever passes the body on.
    OnceWhole(Rc<Cell<Turn>>),
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Clients,
    Endpoints(Place),
    /// It answered before it had all of it, or failed.
    Nobodys,
}

impl HeadWait {
    pub fn begin(
        worker: &Rc<Worker>,
        endpoint: &Rc<LocalEndpoint>,
        asking: Asking,
        upload: &UploadState,
        now: Moment,
    ) -> HeadWait {
        let waits = match upload.end() {
            UploadEnd::Whole => Waits::Now(endpoint.begin_waiting(&worker.reporter, asking, now)),
            UploadEnd::Untouched
            | UploadEnd::Streaming
            | UploadEnd::TooSlow
            | UploadEnd::TooLarge
            | UploadEnd::Broken => {
                let turn = Rc::new(Cell::new(Turn::Clients));
                let (worker, endpoint, shared) = (worker.clone(), endpoint.clone(), turn.clone());
                upload.tell_when_whole(move |now| match shared.get() {
                    Turn::Clients => {
                        shared.set(Turn::Endpoints(endpoint.begin_waiting(&worker.reporter, asking, now)));
                    }
                    Turn::Endpoints(_) | Turn::Nobodys => (),
                });
                Waits::OnceWhole(turn)
            }
        };
        HeadWait { endpoint: endpoint.clone(), waits }
    }
}

impl Drop for HeadWait {
    fn drop(&mut self) {
        let turn = match &self.waits {
            Waits::Now(place) => Turn::Endpoints(*place),
            Waits::OnceWhole(turn) => turn.replace(Turn::Nobodys),
        };
        match turn {
            Turn::Endpoints(place) => self.endpoint.tally().end_waiting(place),
            Turn::Clients | Turn::Nobodys => (),
        }
    }
}
