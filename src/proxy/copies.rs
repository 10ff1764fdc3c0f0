//! Copies of clients' requests: how an endpoint in probation proves itself where clients must not see its answers. Sent beside
//! the request, off its path; the answer is read and dropped.
//!
//! Not here: which requests are copied (`steer`), what an answer proves (`domain`).

use super::exchange::{HeadWait, InFlight, Running};
use super::judge::Answered;
use super::local::{LocalEndpoint, Worker};
use super::pairing::PAIRED_WITHIN;
use crate::config::Timeouts;
use crate::domain::{Elsewhere, FailedRequest, FailureKind, Weight};
use crate::health::notes::Note;
use crate::health::{Asking, BackendView, EndpointView};
use crate::runtime::tasks;
use crate::upstream::{self, Answer, Download, Failed, Go, Lease, ProxyHeader, Reuse, Target, Upload, UploadState};
use http::Request;
use http_body_util::BodyExt;
use std::rc::Rc;
use tokio::sync::oneshot;

/// Copies that run at once, for each worker: they are one a second, so more than a few wait for an endpoint that does not answer.
pub const MOST: usize = 8;

/// Bytes of an answer that are read: past that it is as good as whole.
const READ: usize = 64 * 1024;

/// One copy that runs.
struct Copied {
    worker: Rc<Worker>,
    introduce: Option<ProxyHeader>,
    timeouts: Timeouts,
    asking: Asking,
    /// What the request itself meets.
    met: oneshot::Receiver<Elsewhere>,
}

/// What came of a copy.
enum Came {
    Well,
    Failed(FailureKind),
    /// It says nothing of the endpoint.
    Nothing,
}

/// Sends a copy there; whoever holds what is returned says what the request itself met.
pub fn send(
    worker: &Rc<Worker>,
    backend: &BackendView,
    endpoint: &EndpointView,
    request: Request<Upload>,
    introduce: Option<ProxyHeader>,
    asking: Asking,
) -> oneshot::Sender<Elsewhere> {
    let (tell, met) = oneshot::channel();
    worker.backend(backend).cells().copies.add(1);
    let local = worker.endpoint(endpoint);
    let timeouts = backend.config.timeouts;
    let copy = Copied { worker: worker.clone(), introduce, timeouts, asking, met };
    worker.copies.set(worker.copies.get() + 1);
    let counted = Counted(worker.clone());
    tasks::spawn(async move {
        copy.run(local, request).await;
        drop(counted);
    });
    tell
}

impl Copied {
    async fn run(self, local: Rc<LocalEndpoint>, request: Request<Upload>) {
        let Copied { worker, asking, .. } = &self;
        let began = worker.clock.now();
        let in_flight = InFlight::begin(local, Running::Read, &worker.reporter);
        let kind = match self.exchange(&in_flight, request).await {
            Came::Nothing => return,
            Came::Well => {
                return in_flight.endpoint().note_good(&worker.reporter, *asking, began, worker.clock.now());
            }
            Came::Failed(kind) => kind,
        };
        let at = worker.clock.now();
        in_flight.endpoint().count_failure(&worker.reporter, kind);
        let endpoint = in_flight.endpoint().id();
        let Asking { class, client, path } = *asking;
        let worker = self.worker;
        let met = tokio::time::timeout(PAIRED_WITHIN, self.met).await;
        let elsewhere = met.ok().and_then(Result::ok).unwrap_or(Elsewhere::Unknown);
        let failed = FailedRequest { kind, class, weight: Weight::Full, client, path, elsewhere };
        worker.tell(Note { endpoint, at, failed });
    }

    /// The request sent, and the answer read.
    async fn exchange(&self, in_flight: &InFlight, request: Request<Upload>) -> Came {
        let Copied { worker, introduce, timeouts, asking, .. } = self;
        let (clock, began) = (worker.clock, worker.clock.now());
        let local = in_flight.endpoint();
        let upload = Rc::new(UploadState::whole(began));
        let target = Target {
            way: &local.way,
            kept: &local.kept,
            given: None,
            introduce: *introduce,
            connect_timeout: timeouts.connect,
            head_timeout: timeouts.head,
            interims: None,
        };
        let waiting = HeadWait::begin(worker, local, *asking, &upload, began);
        let sent = upstream::client::send(target, request, &upload, Reuse::Any, began, clock, || Go::On).await;
        drop(waiting);
        let Answer { response, lease } = match sent {
            Ok(answer) => answer,
            Err(Failed { failure, .. }) => return failure.kind().map_or(Came::Nothing, Came::Failed),
        };
        local.tally().note_head(clock.now());
        match Answered::of(response.status()) {
            Answered::Failing => Came::Failed(FailureKind::Status),
            Answered::Well => self.read(local, response.into_body(), lease).await,
        }
    }

    async fn read(&self, local: &LocalEndpoint, mut body: Download, lease: Option<Lease>) -> Came {
        let mut left = READ;
        loop {
            let piece = tokio::time::timeout(self.timeouts.body_idle, body.frame()).await;
            match piece {
                Err(_) => return Came::Failed(FailureKind::Timeout),
                Ok(Some(Err(_))) => return Came::Failed(FailureKind::Cut),
                Ok(None) => break,
                Ok(Some(Ok(frame))) => match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
                    Some(less) => left = less,
                    None => return Came::Well, // and the connection closes with the rest unread
                },
            }
        }
        if let Some(lease) = lease {
            local.kept.give_back(lease, self.worker.clock.now());
        }
        Came::Well
    }
}

/// Counts a copy for as long as it runs.
struct Counted(Rc<Worker>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.copies.set(self.0.copies.get() - 1);
    }
}
