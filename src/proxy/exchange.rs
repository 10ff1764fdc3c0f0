//! One request while it runs: what is left of it to be sent, and the guards that count it for as long as it does.

use super::headers::{self, Forwarded, Upgrading};
use super::judge::{self, AtHand};
use super::local::{LocalBackend, LocalEndpoint, Worker};
use super::route::{self, Route};
use crate::domain::{Class, Moment};
use crate::health::tally::Place;
use crate::health::{Asking, Reporter};
use crate::runtime::clock::Clock;
use crate::upstream::upload::{UploadEnd, UploadLimits};
use crate::upstream::{Upload, UploadState};
use http::header::HOST;
use http::{HeaderMap, Method, Request, Uri, Version};
use hyper::body::Incoming;
use std::cell::Cell;
use std::rc::Rc;

/// The request as it goes to endpoints.
#[derive(Debug)]
pub struct Exchange {
    pub class: Class,
    pub upgrading: Upgrading,
    /// Of the client's body.
    pub upload: Rc<UploadState>,
    /// Not sent yet, or handed back unsent.
    ready: Option<Box<Request<Upload>>>,
    /// The head, for a request without a body that may be sent again.
    spare: Option<Spare>,
}

#[derive(Clone, Debug)]
struct Spare {
    method: Method,
    target: Uri,
    headers: HeaderMap,
}

impl Exchange {
    /// Makes the request to the endpoint from the client's. `retry`: keep what it takes to send it again.
    pub fn new(
        request: Request<Incoming>,
        route: Route<'_>,
        forwarded: &Forwarded,
        limits: UploadLimits,
        retry: bool,
        now: Moment,
        clock: Clock,
    ) -> Exchange {
        let (mut head, body) = request.into_parts();
        let class = judge::class_of(&head.method, route.upgrade);
        let upgrading = if route.upgrade { Upgrading::Yes } else { Upgrading::No };
        headers::request(&mut head.headers, forwarded, route.host, upgrading);
        let target = route::target(&head.uri);
        let (body, upload) = Upload::new(body, limits, now, clock);
        let repeats = retry && class == Class::Safe && matches!(body, Upload::Empty);
        let spare = repeats.then(|| Spare {
            method: head.method.clone(),
            target: target.clone(),
            headers: head.headers.clone(),
        });
        let ready = Some(Box::new(outgoing(head.method, target, head.headers, body)));
        Exchange { class, upgrading, upload, ready, spare }
    }

    /// The request to send next; `None` when part of it is gone.
    pub fn take(&mut self) -> Option<Request<Upload>> {
        match self.ready.take() {
            Some(ready) => Some(*ready),
            None => {
                let spare = self.spare.clone()?;
                Some(outgoing(spare.method, spare.target, spare.headers, Upload::Empty))
            }
        }
    }

    /// Whether it can be sent a second time, whatever becomes of the first.
    pub fn repeats(&self) -> bool {
        self.spare.is_some()
    }

    /// Whether [`Exchange::copy`] makes one.
    pub fn copies(&self) -> bool {
        self.spare.as_ref().is_some_and(|spare| spare.method == Method::GET)
    }

    /// A second one of it, if it is one that fetches something and no more.
    pub fn copy(&self) -> Option<Request<Upload>> {
        let spare = self.spare.clone().filter(|spare| spare.method == Method::GET)?;
        Some(outgoing(spare.method, spare.target, spare.headers, Upload::Empty))
    }

    /// It was provably not sent.
    pub fn put_back(&mut self, unsent: Box<Request<Upload>>) {
        self.ready = Some(unsent);
    }

    pub fn at_hand(&self) -> AtHand {
        if self.ready.is_some() || self.spare.is_some() { AtHand::Whole } else { AtHand::Gone }
    }
}

fn outgoing(method: Method, target: Uri, headers: HeaderMap, body: Upload) -> Request<Upload> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target;
    // Only a client of HTTP/1.0 names no host, and HTTP/1.1 would have to (RFC 9112, section 3.2).
    *request.version_mut() = if headers.contains_key(HOST) { Version::HTTP_11 } else { Version::HTTP_10 };
    *request.headers_mut() = headers;
    request
}

/// A request counted at its backend until its response has ended.
#[derive(Debug)]
pub struct Served {
    pub backend: Rc<LocalBackend>,
    upload: Rc<UploadState>,
}

impl Served {
    pub fn begin(backend: Rc<LocalBackend>, upload: Rc<UploadState>) -> Served {
        backend.cells().in_flight.add(1);
        Served { backend, upload }
    }

    /// The response's head is there.
    pub fn count_response(&self, status: http::StatusCode, began: Moment, now: Moment) {
        let cells = self.backend.cells();
        let class = usize::from(status.as_u16() / 100).clamp(1, cells.responses.len());
        cells.responses[class - 1].add(1);
        cells.duration.observe(now.since(began));
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
