//! The story of one request. What is decided stands in `plan` and `judge`, what is done in `upstream`, what is said in `reply`.

use super::Client;
use super::body::{Attempt, Body, DownloadLimits};
use super::exchange::{Exchange, InFlight, Served};
use super::headers::{self, Upgrading};
use super::judge::{self, Answered, Kind, Step};
use super::local::{LocalEndpoint, Worker};
use super::plan::{self, Choose, Plan};
use super::reply::{self, Asker, Reply};
use super::route::{self, Refusal};
use super::upgrade::Tunnel;
use super::wait::Waiting;
use crate::domain::{FailureKind, Moment};
use crate::health::{BackendView, EndpointView, HeldView};
use crate::upstream::upload::{UploadEnd, UploadLimits};
use crate::upstream::{self, Answer, Failed, Failure, Reuse, Target};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::rc::Rc;
use std::time::Duration;

/// One request's life. Always answers; a client that goes away drops it, which cancels what runs for it.
pub async fn handle(worker: &Rc<Worker>, client: &Client, request: Request<Incoming>) -> Response<Body> {
    let began = worker.clock.now();
    let asker = Asker::of(&request);
    let view = worker.views.view(); // one picture for the whole request, whatever is published meanwhile
    let route = match route::find(&view, client, &request) {
        Ok(route) => route,
        Err(refusal) => return say(worker, reply::to_refusal(refusal), asker),
    };
    let backend = &view.backends[route.site.backend];
    let limits = UploadLimits { idle: client.listener.limits.body_idle_timeout, size: route.site.max_body };
    let exchange = Exchange::new(request, route, &client.forwarded, limits, backend.config.retry, began, worker.clock);
    let local = worker.backend(backend);
    local.retries.earn(began);
    let served = Served::begin(local, exchange.upload.clone());
    let mut request = InHand {
        worker,
        client,
        exchange,
        served: Some(served),
        began,
        failures: 0,
        waited: false,
        until: None,
        trying: None,
    };

    let done = match backend.config.timeouts.total {
        None => request.forward(&view, backend).await,
        Some(total) => {
            let until = began.after(total);
            request.until = Some(until);
            let within = tokio::time::timeout_at(worker.clock.instant(until), request.forward(&view, backend)).await;
            within.unwrap_or_else(|_| {
                request.blame_for(total);
                Err(reply::to_total_timeout())
            })
        }
    };
    match done {
        Ok(response) => response,
        Err(reply) => {
            if let Some(served) = request.served.take() {
                served.count_response(reply.status, began, worker.clock.now());
            }
            say(worker, reply, asker)
        }
    }
}

/// A reply of ours, counted.
fn say(worker: &Worker, reply: Reply, asker: Asker) -> Response<Body> {
    worker.cells().replies[reply.kind as usize].add(1);
    reply.response(asker)
}

/// Why there is no answer to pass on from one view.
enum Missed {
    /// A write that has provably not begun, and no endpoint of its pool would take it; `None`: there was none to ask.
    NotBegun(Option<Failure>),
    /// All that is left is a reply of ours.
    Reply(Reply),
}

/// A request, and what must be known of it until it is answered.
struct InHand<'a> {
    worker: &'a Rc<Worker>,
    client: &'a Client,
    exchange: Exchange,
    /// Until the response takes it over.
    served: Option<Served>,
    began: Moment,
    /// Attempts that failed so far.
    failures: u32,
    /// Whether it had to wait for a verdict.
    waited: bool,
    /// When all of it must be over.
    until: Option<Moment>,
    /// The endpoint that is being tried, and since when.
    trying: Option<(Rc<LocalEndpoint>, Moment)>,
}

/// An answer with what hangs on it.
struct Answering {
    answer: Answer,
    in_flight: InFlight,
    answered: Answered,
}

impl InHand<'_> {
    /// Tries where the view says; a write that could not begin waits for the view that says where writes go.
    async fn forward(&mut self, view: &HeldView, backend: &BackendView) -> Result<Response<Body>, Reply> {
        let failure = match self.round(backend).await {
            Ok(response) => return Ok(response),
            Err(Missed::Reply(reply)) => return Err(reply),
            Err(Missed::NotBegun(failure)) => failure,
        };
        let Some(mut waiting) = Waiting::begin(self.worker, view, backend) else {
            return Err(reply::to_failure(failure.as_ref()));
        };
        self.waited = true;
        while let Some(view) = waiting.next_view(self.worker).await {
            let Some(backend) = waiting.backend(&view) else { break };
            match self.round(backend).await {
                Ok(response) => return Ok(response),
                Err(Missed::Reply(reply)) => return Err(reply),
                Err(Missed::NotBegun(_)) if backend.another_pool_is_usable() => (),
                Err(Missed::NotBegun(failure)) => return Err(reply::to_failure(failure.as_ref())),
            }
        }
        Err(reply::to_wait_in_vain())
    }

    /// Attempt after attempt in one view, until one is good enough or none is left.
    async fn round(&mut self, backend: &BackendView) -> Result<Response<Body>, Missed> {
        let mut plan = Plan::new(backend, self.exchange.kind);
        let mut best: Option<Answering> = None; // the first failing answer: better than any of ours
        let mut last = None;
        while let Some(endpoint) = plan.next(self.worker.as_ref()) {
            if self.failures > 0 && !self.may_repeat() {
                break;
            }
            let step = match self.attempt(backend, endpoint).await {
                Ok(answering) => {
                    let at_hand = self.exchange.at_hand();
                    let step =
                        judge::after_answer(self.exchange.kind, answering.answered, at_hand, backend.config.retry);
                    if step == Step::Send {
                        return Ok(self.send(backend, prefer(best, answering)));
                    }
                    self.failures += 1;
                    plan.note_failed(plan::Failed::Otherwise);
                    best = best.or(Some(answering));
                    step
                }
                Err(failure) => {
                    let at_hand = self.exchange.at_hand();
                    let step = judge::after_failure(self.exchange.kind, &failure, at_hand, backend.config.retry);
                    self.failures += 1;
                    plan.note_failed(if failure.is_refusal() {
                        plan::Failed::Refused
                    } else {
                        plan::Failed::Otherwise
                    });
                    last = Some((failure, step));
                    step
                }
            };
            match step {
                Step::Retry | Step::SendOn => (),
                Step::Stop | Step::Send => break,
            }
        }
        match (best, last) {
            (Some(best), _) => Ok(self.send(backend, best)),
            (None, Some((failure, Step::SendOn))) => Err(Missed::NotBegun(Some(failure))),
            (None, None) if self.exchange.kind == Kind::Unsafe => Err(Missed::NotBegun(None)),
            (None, last) => Err(Missed::Reply(self.own_reply(last.map(|(failure, _)| failure).as_ref()))),
        }
    }

    /// Whether the backend's budget allows one more attempt. A write that has not begun costs no endpoint anything.
    fn may_repeat(&self) -> bool {
        let Some(served) = self.served.as_ref().filter(|_| self.exchange.kind == Kind::Safe) else { return true };
        let allowed = served.backend.retries.spend(self.worker.clock.now());
        if !allowed {
            served.backend.cells().budget_exhausted.add(1);
        }
        allowed
    }

    /// One try at one endpoint, counted there.
    async fn attempt(&mut self, backend: &BackendView, endpoint: &EndpointView) -> Result<Answering, Failure> {
        let worker = self.worker;
        let local = worker.endpoint(endpoint);
        let Some(request) = self.exchange.take() else { return Err(Failure::ClientBody) };
        let began = worker.clock.now();
        self.trying = Some((local.clone(), began));
        let in_flight = InFlight::begin(local);
        let target = Target {
            address: endpoint.address,
            kept: &in_flight.endpoint().kept,
            connect_timeout: backend.config.timeouts.connect,
            head_timeout: backend.config.timeouts.head,
        };
        let reuse = match self.exchange.kind {
            Kind::Safe => Reuse::Any,
            Kind::Unsafe => Reuse::Recent,
        };
        let sent = upstream::client::send(target, request, &self.exchange.upload, reuse, began, worker.clock).await;
        self.trying = None;
        match sent {
            Ok(answer) => {
                in_flight.endpoint().tally().head.observe(worker.clock.now().since(began));
                let answered = Answered::of(answer.response.status());
                if answered == Answered::Failing {
                    in_flight.endpoint().note_failure(&worker.reporter, FailureKind::Status);
                }
                Ok(Answering { answer, in_flight, answered })
            }
            Err(Failed { failure, unsent }) => {
                if let Some(kind) = failure.kind() {
                    in_flight.endpoint().note_failure(&worker.reporter, kind);
                }
                if let Some(unsent) = unsent {
                    self.exchange.put_back(unsent);
                }
                Err(failure)
            }
        }
    }

    /// Passes an answer on to the client.
    fn send(&mut self, backend: &BackendView, answering: Answering) -> Response<Body> {
        let Answering { answer: Answer { mut response, lease }, in_flight, answered } = answering;
        let Some(served) = self.served.take() else { unreachable!("a request is answered once") };
        let worker = self.worker;
        let now = worker.clock.now();
        served.count_response(response.status(), self.began, now);
        if answered == Answered::Well {
            self.count_rescue(&served);
        }
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let upgrading = if upgraded { self.exchange.upgrading } else { Upgrading::No };
        headers::response(response.headers_mut(), upgrading);
        *response.version_mut() = Version::HTTP_11; // ours, whatever the endpoint's is (RFC 9110, section 2.5)
        if upgraded {
            in_flight.endpoint().note_good(&worker.reporter);
            let endpoint = hyper::upgrade::on(&mut response);
            *self.client.upgrade.borrow_mut() = Some(Tunnel { endpoint, in_flight, served });
            return response.map(|_| Body::Empty);
        }
        let limits = DownloadLimits { idle: backend.config.timeouts.body_idle, until: self.until };
        let attempt = Attempt { worker: worker.clone(), in_flight, served, lease, answered };
        response.map(|incoming| Body::passing(incoming, attempt, limits, now))
    }

    fn count_rescue(&self, served: &Served) {
        if self.failures > 0 {
            let cells = served.backend.cells();
            let rescued = if self.waited { &cells.rescued_by_wait } else { &cells.rescued_by_retry };
            rescued.add(1);
        }
    }

    /// The time for all of it is over. To blame is the endpoint that let at least half of it pass without an answer, if it had the
    /// whole request: the last of several may have had no time left, and a slow upload is its client's.
    fn blame_for(&self, total: Duration) {
        let Some((endpoint, since)) = &self.trying else { return };
        let waited = self.worker.clock.now().since(*since);
        if waited >= total / 2 && self.exchange.upload.end() == UploadEnd::Whole {
            endpoint.note_failure(&self.worker.reporter, FailureKind::Timeout);
        }
    }

    /// What we say when no endpoint gave an answer: the client's fault is said first.
    fn own_reply(&self, failure: Option<&Failure>) -> Reply {
        match self.exchange.upload.end() {
            UploadEnd::TooLarge => reply::to_refusal(Refusal::TooLarge),
            UploadEnd::TooSlow => reply::to_refusal(Refusal::TooSlow),
            UploadEnd::Untouched | UploadEnd::Streaming | UploadEnd::Whole | UploadEnd::Broken => {
                reply::to_failure(failure)
            }
        }
    }
}

/// Of the failing answer there is and a later one: a 4xx from a place that may not have the page yet must not hide that the page
/// exists (failover.md, "Best answer").
fn prefer(best: Option<Answering>, later: Answering) -> Answering {
    match best {
        Some(best) if later.answer.response.status().is_client_error() => best,
        Some(_) | None => later,
    }
}

impl Choose for Worker {
    fn in_flight(&self, endpoint: &EndpointView) -> i64 {
        endpoint.tally.cells.of(self.index).in_flight.get()
    }

    fn random(&self, bound: usize) -> usize {
        Worker::random(self, bound)
    }
}
