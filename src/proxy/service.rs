//! The story of one request. What is decided stands in `plan` and `judge`, what is done in `upstream`, what is said in `reply`.

use super::Client;
use super::begin::{may_begin, running};
use super::body::{Attempt, Body, DownloadLimits};
use super::copies;
use super::exchange::{Exchange, HeadWait, InFlight, Served};
use super::headers::{self, Upgrading};
use super::judge::{self, Answered, Step};
use super::local::{LocalEndpoint, Worker};
use super::pairing::Pairing;
use super::plan::{self, Choose, Patience, Plan};
use super::reply::{self, Asker, Reply};
use super::route::{self, Refusal};
use super::steer;
use super::upgrade::Tunnel;
use super::wait::Waiting;
use crate::domain::{Class, FailureKind, Moment, PoolIndex, Weight, Writes};
use crate::health::view::TrialBy;
use crate::health::{Asking, BackendView, EndpointView, HeldView};
use crate::upstream::upload::{UploadEnd, UploadLimits};
use crate::upstream::{self, Answer, Failed, Failure, Go, Reuse, Target};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::pin::pin;
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
    let asking = asking(worker, client, &route, &request);
    let local = worker.backend(backend);
    let home = match asking.class {
        Class::Safe => steer::home(worker, backend, &local, asking, request.headers(), began),
        Class::Unsafe => {
            backend.writers.note(asking.client, began);
            backend.snapshot.serving
        }
    };
    let limits = UploadLimits { idle: client.listener.limits.body_idle_timeout, size: route.site.max_body };
    let exchange = Exchange::new(request, route, &client.forwarded, limits, backend.config.retry, began, worker.clock);
    local.retries.earn(began);
    let served = Served::begin(local, exchange.upload.clone());
    let mut request = InHand {
        worker,
        client,
        asking,
        home,
        exchange,
        pairing: Pairing::new(worker, asking),
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

/// Who asks for what, as evidence has it.
fn asking<B>(worker: &Worker, client: &Client, route: &route::Route<'_>, request: &Request<B>) -> Asking {
    let fingerprints = worker.reporter.fingerprints();
    let host = route.site.hosts.first().map_or("", |host| &**host);
    Asking {
        class: judge::class_of(request.method(), route.upgrade),
        client: client.fingerprint(fingerprints),
        path: fingerprints.path(host, request.uri().path()),
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
    /// A newer view had taken back that it goes there, just as it was to begin.
    Withdrawn,
    /// All that is left is a reply of ours.
    Reply(Reply),
}

/// A request, and what must be known of it until it is answered.
struct InHand<'a> {
    worker: &'a Rc<Worker>,
    client: &'a Client,
    asking: Asking,
    /// The pool that its client's safe requests go to.
    home: PoolIndex,
    exchange: Exchange,
    /// Failures that are not told yet.
    pairing: Pairing<'a>,
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
    /// When the attempt began.
    began: Moment,
}

impl InHand<'_> {
    /// Tries where the view says; a write that could not begin waits for the view that says where writes go.
    async fn forward(&mut self, view: &HeldView, backend: &BackendView) -> Result<Response<Body>, Reply> {
        let mut missed = match self.round(view, backend, Patience::Left).await {
            Ok(response) => return Ok(response),
            Err(missed) => missed,
        };
        missed.unless_worth_a_wait(backend, self.asking.class)?;
        let Some(mut waiting) = Waiting::begin(self.worker, view, backend) else { return Err(missed.reply()) };
        self.waited = true;
        while let Some(view) = waiting.next_view(self.worker).await {
            let Some(backend) = waiting.backend(&view) else { return Err(missed.reply()) };
            missed = match self.round(&view, backend, Patience::Left).await {
                Ok(response) => return Ok(response),
                Err(missed) => missed,
            };
            missed.unless_worth_a_wait(backend, self.asking.class)?;
        }
        // An endpoint that is only suspect may answer after all.
        let view = self.worker.views.view();
        if let Some(backend) = waiting.backend(&view)
            && let Writes::To(pool) = backend.snapshot.writes
            && !backend.pools[pool.0].suspect.is_empty()
            && let Ok(response) = self.round(&view, backend, Patience::Over).await
        {
            return Ok(response);
        }
        Err(reply::to_wait_in_vain())
    }

    /// Attempt after attempt in one view, until one is good enough or none is left.
    async fn round(
        &mut self,
        view: &HeldView,
        backend: &BackendView,
        patience: Patience,
    ) -> Result<Response<Body>, Missed> {
        let mut plan = match (self.asking.class, backend.snapshot.writes) {
            (Class::Unsafe, Writes::Refused(_)) => return Err(Missed::Reply(reply::to_read_only())),
            (Class::Unsafe, Writes::To(_) | Writes::Pausing { .. }) => Plan::not_safe(backend, self.began, patience),
            (Class::Safe, _) => Plan::safe(backend, self.began, self.home).trying(self.trial(backend)),
        };
        let mut best: Option<Answering> = None; // the first failing answer: better than any of ours
        let mut last = None;
        while let Some(endpoint) = plan.next(self.worker.as_ref()) {
            if self.failures > 0 && !self.may_repeat() {
                break;
            }
            let step = match self.attempt(view, backend, endpoint).await {
                Ok(answering) => {
                    let at_hand = self.exchange.at_hand();
                    let class = self.asking.class;
                    let step = judge::after_answer(class, answering.answered, at_hand, backend.config.retry);
                    if step == Step::Send {
                        self.settle_by(&answering);
                        return Ok(self.send(backend, prefer(best, answering)));
                    }
                    self.failures += 1;
                    plan.note_failed(plan::Failed::Otherwise);
                    best = best.or(Some(answering));
                    step
                }
                Err(Failure::Withdrawn) => return Err(Missed::Withdrawn),
                Err(failure) => {
                    let at_hand = self.exchange.at_hand();
                    let step = judge::after_failure(self.asking.class, &failure, at_hand, backend.config.retry);
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
        self.pairing.settle(None);
        match (best, last) {
            (Some(best), _) => Ok(self.send(backend, best)),
            (None, Some((failure, Step::SendOn))) => Err(Missed::NotBegun(Some(failure))),
            (None, None) if self.asking.class == Class::Unsafe => Err(Missed::NotBegun(None)),
            (None, last) => Err(Missed::Reply(self.own_reply(last.map(|(failure, _)| failure).as_ref()))),
        }
    }

    /// The endpoint in probation that the request is to try first, if any; or a copy of it is sent there.
    fn trial(&mut self, backend: &BackendView) -> Option<(PoolIndex, usize)> {
        if backend.trials.is_empty() {
            return None;
        }
        let worker = self.worker;
        let copies = worker.copies.get() < copies::MOST && self.exchange.copies();
        let fit = steer::Fit { repeats: self.exchange.repeats(), copies };
        let trial = steer::trial(worker, backend, self.home, fit, self.began)?;
        match trial.by {
            TrialBy::Request => Some((trial.pool, trial.place)),
            TrialBy::Copy => {
                let endpoint = &backend.pools[trial.pool.0].endpoints[trial.place];
                let copy = self.exchange.copy()?;
                self.pairing.tell_copy(copies::send(worker, backend, endpoint, copy, self.asking));
                None
            }
        }
    }

    /// Whether the backend's budget allows one more attempt. A write that has not begun costs no endpoint anything.
    fn may_repeat(&self) -> bool {
        let Some(served) = self.served.as_ref().filter(|_| self.asking.class == Class::Safe) else { return true };
        let allowed = served.backend.retries.spend(self.worker.clock.now());
        if !allowed {
            served.backend.cells().budget_exhausted.add(1);
        }
        allowed
    }

    /// One try at one endpoint, counted there.
    async fn attempt(
        &mut self,
        view: &HeldView,
        backend: &BackendView,
        endpoint: &EndpointView,
    ) -> Result<Answering, Failure> {
        let worker = self.worker;
        let Some(request) = self.exchange.take() else { return Err(Failure::ClientBody) };
        let in_flight = InFlight::begin(
            worker.endpoint(endpoint),
            running(self.asking.class, self.exchange.upgrading),
            &worker.reporter,
        );
        let local = in_flight.endpoint();
        let still = || match self.asking.class {
            Class::Safe => Go::On,
            Class::Unsafe => may_begin(worker, view, backend, local.id()),
        };
        if still() == Go::Back {
            self.exchange.put_back(Box::new(request));
            return Err(Failure::Withdrawn);
        }
        let began = worker.clock.now();
        self.trying = Some((local.clone(), began));
        let target = Target {
            address: endpoint.address,
            kept: &local.kept,
            connect_timeout: backend.config.timeouts.connect,
            head_timeout: backend.config.timeouts.head,
        };
        let reuse = match self.asking.class {
            Class::Safe => Reuse::Any,
            Class::Unsafe => Reuse::Recent,
        };
        let upload = &self.exchange.upload;
        let waiting = HeadWait::begin(worker, local, self.asking, upload, began);
        let sent = {
            let mut sending = pin!(upstream::client::send(target, request, upload, reuse, began, worker.clock, still));
            let due = self.pairing.due().map(|due| worker.clock.instant(due));
            let in_time = match due {
                Some(due) => tokio::time::timeout_at(due, sending.as_mut()).await.ok(),
                None => None,
            };
            match in_time {
                Some(sent) => sent,
                None => {
                    // What waits has waited for long enough.
                    if due.is_some() {
                        self.pairing.settle(None);
                    }
                    sending.await
                }
            }
        };
        drop(waiting);
        self.trying = None;
        let now = worker.clock.now();
        match sent {
            Ok(answer) => {
                local.tally().note_head(now);
                let answered = Answered::of(answer.response.status());
                match answered {
                    Answered::Well => {
                        // A slow upload is its client's.
                        local.tally().note_head_time(now.since(began.max(self.exchange.upload.last_piece())));
                    }
                    Answered::Failing => {
                        local.count_failure(&worker.reporter, FailureKind::Status);
                        self.pairing.fail(local.id(), FailureKind::Status, Weight::Full, now);
                    }
                }
                Ok(Answering { answer, in_flight, answered, began })
            }
            Err(Failed { failure, unsent }) => {
                if let Some(kind) = failure.kind() {
                    local.count_failure(&worker.reporter, kind);
                    self.pairing.fail(local.id(), kind, Weight::Full, now);
                }
                if let Some(unsent) = unsent {
                    self.exchange.put_back(unsent);
                }
                Err(failure)
            }
        }
    }

    /// Tells what failed before, now that this answer ends it.
    fn settle_by(&mut self, answering: &Answering) {
        let status = answering.answer.response.status();
        let well = status.is_success() || status.is_redirection();
        self.pairing.settle(well.then(|| answering.in_flight.endpoint().id()));
    }

    /// Passes an answer on to the client.
    fn send(&mut self, backend: &BackendView, answering: Answering) -> Response<Body> {
        let Answering { answer: Answer { mut response, lease }, in_flight, answered, began } = answering;
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
            in_flight.endpoint().note_good(&worker.reporter, self.asking, began, now);
            let endpoint = hyper::upgrade::on(&mut response);
            let (worker, backend) = (worker.clone(), backend.config.name.clone());
            *self.client.upgrade.borrow_mut() = Some(Tunnel { endpoint, in_flight, served, worker, backend });
            return response.map(|_| Body::Empty);
        }
        let limits = DownloadLimits { idle: backend.config.timeouts.body_idle, until: self.until };
        let asking = self.asking;
        let attempt = Attempt { worker: worker.clone(), in_flight, served, lease, answered, asking, began };
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
    fn blame_for(&mut self, total: Duration) {
        let Some((endpoint, since)) = self.trying.take() else { return };
        let now = self.worker.clock.now();
        if now.since(since) >= total / 2 && self.exchange.upload.end() == UploadEnd::Whole {
            endpoint.count_failure(&self.worker.reporter, FailureKind::Timeout);
            self.pairing.fail(endpoint.id(), FailureKind::Timeout, Weight::Full, now);
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

/// A client that goes away is no evidence, unless it had waited for much longer than heads take there: then half as much as if
/// we had given up ourselves.
impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let Some((endpoint, since)) = self.trying.take() else { return };
        let upload = &self.exchange.upload;
        let now = self.worker.clock.now();
        let waited = now.since(since.max(upload.last_piece()));
        // Mostly it has not even waited for as long as it must at least.
        if upload.end() == UploadEnd::Whole && waited >= PATIENT && waited >= allowed(endpoint.usual()) {
            endpoint.count_failure(&self.worker.reporter, FailureKind::Timeout);
            self.pairing.fail(endpoint.id(), FailureKind::Timeout, Weight::Half, now);
        }
    }
}

/// How long a client waits at least before its going away speaks against the endpoint.
const PATIENT: Duration = Duration::from_secs(1);

/// Eight times what is usual, or what it would be if a second were.
fn allowed(usual: Option<Duration>) -> Duration {
    usual.unwrap_or(PATIENT).saturating_mul(8).max(PATIENT)
}

impl Missed {
    /// The reply, if waiting would not help.
    fn unless_worth_a_wait(&self, backend: &BackendView, class: Class) -> Result<(), Reply> {
        match self {
            Missed::Withdrawn => Ok(()),
            Missed::NotBegun(_) if plan::is_worth_a_wait(backend, class) => Ok(()),
            Missed::NotBegun(_) | Missed::Reply(_) => Err(self.reply()),
        }
    }

    fn reply(&self) -> Reply {
        match self {
            Missed::NotBegun(failure) => reply::to_failure(failure.as_ref()),
            Missed::Withdrawn => reply::to_failure(None),
            Missed::Reply(reply) => *reply,
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
