//! The story of one request. What is decided stands in `plan` and `judge`, what runs in `attempt` and `race`, what is done about what
//! takes its time in `slow`, what is said in `reply`.

use super::Client;
use super::answer::{Answering, Try, prefer};
use super::attempt::{Attempt, By, Hold, Making, Stood, Timed};
use super::begin::{may_begin, running};
use super::blame::Silence;
use super::body::Body;
use super::caller::Caller;
use super::copies;
use super::exchange::{Exchange, InFlight, Served};
use super::headers::Upgrading;
use super::interim::For;
use super::judge::{self, Step};
use super::local::Worker;
use super::pairing::Pairing;
use super::plan::{self, Choose, Patience, Plan};
use super::race::{Ended, Race};
use super::reply::{self, Asker, Reply};
use super::route::{self, Refusal};
use super::slow::{News, Slow, is_out};
use super::steer;
use super::upgrade;
use super::wait::Waiting;
use crate::config::{Pages, Rescue};
use crate::domain::{Class, EndpointId, FailureKind, Moment, PoolIndex, Weight, Writes};
use crate::health::effect::Got;
use crate::health::view::TrialBy;
use crate::health::{Asking, BackendView, EndpointView, HeldView};
use crate::upstream::upload::{UploadEnd, UploadLimits};
use crate::upstream::{ClientBody, Failed, Failure, Go, Sent};
use http::{Request, Response};
use std::rc::Rc;

/// One request's life. Always answers; a client that goes away drops it, which cancels what runs for it.
pub async fn handle(worker: &Rc<Worker>, client: &Client, request: Request<ClientBody>) -> Response<Body> {
    let began = worker.clock.now();
    let asker = Asker::of(&request);
    let view = worker.views.view(); // one picture for the whole request, but where another saves it
    let route = match route::find(&view, client, &request) {
        Ok(route) => route,
        Err(refusal) => return say(worker, reply::to_refusal(refusal), &asker, None),
    };
    if route::asks_only_us(&request) {
        return say(worker, reply::to_options(), &asker, None);
    }
    let backend = &view.backends[route.site.backend];
    if route.upgrading == Upgrading::Yes && backend.config.speaks_http2() {
        return say(worker, reply::to_refusal(Refusal::NoUpgrade), &asker, None);
    }
    let (site, pages) = (route.site, &route.site.pages);
    // First of all: what is too much for a site must cost next to nothing.
    let Ok(seat) = view.seats.take(route.site) else {
        let reply = reply::to_full_site();
        worker.backend(backend).count_response(reply.status);
        if let Some(watch) = &view.watch {
            let caller = client.caller(request.headers());
            let asking = asking(worker, &caller, &route, &request);
            watch.note(worker.index, site, asking, Got::Failure, began, began);
        }
        return say(worker, reply, &asker, Some(pages));
    };
    let rescue = match route.upgrading {
        Upgrading::No => route.site.rescue,
        Upgrading::Yes => upgrade::rescue(route.site.rescue),
    };
    let caller = client.caller(request.headers());
    let interims = For::client(&client.interims, request.version());
    let silence = Silence::of(&asker, request.headers());
    let asking = asking(worker, &caller, &route, &request);
    let local = worker.backend(backend);
    let home = match asking.class {
        Class::Safe => steer::home(worker, backend, &local, asking, request.headers(), began),
        Class::Unsafe => {
            backend.writers.note(asking.client, began);
            backend.snapshot.serving
        }
    };
    let limits = upload_limits(client, &route, backend, &asker);
    let exchange = Exchange::new(request, route, &caller, &backend.config, limits, worker, began);
    local.retries.earn(began);
    local.hedges.earn(began);
    let served = Served::begin(local, exchange.upload.clone(), seat);
    let mut request = InHand {
        worker,
        client,
        asking,
        home,
        rescue,
        interims,
        silence,
        exchange,
        pairing: Pairing::new(worker, asking),
        served: Some(served),
        began,
        race: Race::default(),
        slow: Slow::default(),
        met: Met::default(),
        until: None,
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
    request.tell_story(backend, &done);
    if let Some(watch) = &view.watch
        && let Some(got) = judge::users_got(&done)
    {
        watch.note(worker.index, site, asking, got, began, worker.clock.now());
    }
    match done {
        Ok(response) => response,
        Err(reply) => {
            if let Some(served) = request.served.take() {
                served.count_response(reply.status, began, worker.clock.now());
            }
            say(worker, reply, &asker, Some(pages))
        }
    }
}

/// What the request's body may cost. A call of gRPC may have nothing to say for as long as its endpoint may have nothing to say.
fn upload_limits(client: &Client, route: &route::Route<'_>, backend: &BackendView, asker: &Asker) -> UploadLimits {
    let (limits, size) = (&client.listener.limits, route.site.max_body);
    if asker.speaks_grpc() {
        let idle = limits.body_idle_timeout.max(backend.config.timeouts.body_idle);
        return UploadLimits { idle, min_rate: 0, size };
    }
    UploadLimits { idle: limits.body_idle_timeout, min_rate: limits.min_rate, size }
}

/// Who asks for what, as evidence has it.
fn asking<B>(worker: &Worker, caller: &Caller<'_>, route: &route::Route<'_>, request: &Request<B>) -> Asking {
    let fingerprints = worker.reporter.fingerprints();
    let host = route.site.hosts.first().map_or("", |host| &**host);
    Asking {
        class: route.class(request.method()),
        client: caller.fingerprint(fingerprints),
        path: fingerprints.path(host, request.uri().path()),
    }
}

/// A reply of ours, counted.
fn say(worker: &Worker, reply: Reply, asker: &Asker, pages: Option<&Pages>) -> Response<Body> {
    worker.cells().replies[reply.kind as usize].add(1);
    reply.response(asker, pages)
}

/// Why there is no answer to pass on from one view.
enum Missed {
    /// A write that has provably not begun, and no endpoint of its pool would take it; `None`: there was none to ask.
    NotBegun(Option<Failure>),
    /// A newer view had taken back that it goes there, just as it was to begin.
    Withdrawn,
    /// A newer view has taken all endpoints out of service that the request is at.
    Moved,
    /// All that is left is a reply of ours.
    Reply(Reply),
}

/// A request, and what must be known of it until it is answered.
pub(super) struct InHand<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) client: &'a Client,
    pub(super) asking: Asking,
    /// The pool that its client's safe requests go to.
    pub(super) home: PoolIndex,
    pub(super) rescue: Rescue,
    interims: For,
    pub(super) silence: Silence,
    pub(super) exchange: Exchange,
    /// Failures that are not told yet.
    pub(super) pairing: Pairing<'a>,
    /// Until the response takes it over.
    pub(super) served: Option<Served>,
    pub(super) began: Moment,
    pub(super) race: Race,
    pub(super) slow: Slow,
    pub(super) met: Met,
    /// When all of it must be over.
    pub(super) until: Option<Moment>,
}

/// What a request has met so far.
#[derive(Default)]
pub(super) struct Met {
    /// Where it has been, for a newer view to go on from.
    so_far: plan::SoFar,
    pub(super) attempts: u32,
    /// The first of them, for the log.
    pub(super) tries: [Option<Try>; plan::ATTEMPTS_MAX],
    /// Attempts that failed.
    pub(super) failures: u32,
    /// Among them answers that broke off before the client had any of them.
    pub(super) cut: u32,
    /// Whether it had to wait for a verdict.
    pub(super) waited: bool,
    /// Whether the next attempt is a repetition, which the budget pays for.
    repeats: bool,
    /// The first failing answer: better than any of ours.
    best: Option<Answering>,
    /// A hedge's answer that is not good enough while a better one may come.
    aside: Option<Answering>,
    last: Option<(Failure, Step)>,
    /// Whether an endpoint may have begun with it: a write then goes to no other pool.
    begun: bool,
}

impl InHand<'_> {
    /// Tries where the view says; a write that could not begin waits for the view that says where writes go.
    async fn forward(&mut self, view: &HeldView, backend: &BackendView) -> Result<Response<Body>, Reply> {
        let mut missed = match self.rounds(view, backend).await {
            Ok(response) => return Ok(response),
            Err(missed) => missed,
        };
        missed.unless_worth_a_wait(backend, self.asking.class)?;
        let Some(mut waiting) = Waiting::begin(self.worker, view, backend) else { return Err(missed.reply()) };
        self.met.waited = true;
        while let Some(view) = waiting.next_view(self.worker).await {
            let Some(backend) = waiting.backend(&view) else { return Err(missed.reply()) };
            missed = match self.anew(&view, backend, Patience::Left).await {
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
            && let Ok(response) = self.anew(&view, backend, Patience::Over).await
        {
            return Ok(response);
        }
        Err(reply::to_wait_in_vain())
    }

    /// In one view, and in each later one that takes the request's endpoints out of service.
    async fn rounds(&mut self, view: &HeldView, backend: &BackendView) -> Result<Response<Body>, Missed> {
        let mut done = self.round(view, backend, Patience::Left).await;
        while let Err(Missed::Moved) = done {
            let newest = self.worker.views.view();
            done = match newest.backend(&backend.config.name) {
                Some(newer) => self.round(&newest, newer, Patience::Left).await,
                None => self.round(view, backend, Patience::Left).await, // a reload took it away: it goes on where it is
            };
        }
        done
    }

    /// A write that has not begun tries everything once more in a later view.
    async fn anew(
        &mut self,
        view: &HeldView,
        backend: &BackendView,
        patience: Patience,
    ) -> Result<Response<Body>, Missed> {
        self.met.so_far = plan::SoFar::default();
        self.round(view, backend, patience).await
    }

    /// Attempt after attempt in one view, and beside one that takes its time another, until one is good enough or none is left.
    async fn round(
        &mut self,
        view: &HeldView,
        backend: &BackendView,
        patience: Patience,
    ) -> Result<Response<Body>, Missed> {
        let plan = match (self.asking.class, backend.snapshot.writes) {
            (Class::Unsafe, Writes::Refused(_)) => return Err(Missed::Reply(reply::to_read_only())),
            (Class::Unsafe, Writes::To(_) | Writes::Pausing { .. }) => Plan::not_safe(backend, self.began, patience),
            (Class::Safe, _) => Plan::safe(backend, self.began, self.home).trying(self.trial(backend)),
        };
        let mut plan = plan.from(self.met.so_far);
        loop {
            if self.race.is_idle() && self.met.aside.is_some() {
                break;
            }
            if self.race.is_idle() || self.leaves_for_another(backend) {
                match self.next_place(&mut plan) {
                    Some(place) => {
                        let by = if self.met.attempts == 0 { By::First } else { By::Retry };
                        if self.begin(view, backend, place, by).is_err() {
                            return self.withdrawn(backend);
                        }
                    }
                    None if self.race.is_idle() => break,
                    None => (),
                }
            }
            let Some(ended) = self.race_on().await else {
                match self.look(view, backend, &mut plan) {
                    News::None => continue,
                    News::Hedge(place, reach) => {
                        self.begin(view, backend, place, By::Hedge(reach)).map_err(|Back| Missed::Withdrawn)?;
                        continue;
                    }
                    News::Moved => {
                        self.met.so_far = plan.so_far();
                        return Err(Missed::Moved);
                    }
                    News::Release => match self.race.release() {
                        Some((attempt, got)) => {
                            let answering = prefer(self.met.best.take(), Answering::of(attempt, got));
                            return Ok(self.answer(backend, answering));
                        }
                        None => continue,
                    },
                }
            };
            match self.after(&mut plan, ended) {
                Next::Answer(answering) => return Ok(self.answer(backend, answering)),
                Next::Withdrawn => return self.withdrawn(backend),
                Next::GoOn => (),
                Next::Stop if self.race.is_idle() => break,
                Next::Stop => (),
            }
        }
        self.give_up(backend)
    }

    /// Whether it is to go elsewhere though attempts run: all of them are where requests go no more.
    fn leaves_for_another(&mut self, backend: &BackendView) -> bool {
        let leaves = self.exchange.spare().is_some()
            && self.race.running() < plan::ATTEMPTS_MAX
            && self.race.leave(|attempt| is_out(backend, attempt.endpoint().id()));
        self.met.repeats |= leaves;
        leaves
    }

    /// The next one, if there is and the budget allows it.
    fn next_place<'v>(&mut self, plan: &mut Plan<'v>) -> Option<&'v EndpointView> {
        if self.met.repeats && (plan.is_used_up() || !self.may_repeat()) {
            return None;
        }
        self.met.repeats = false;
        plan.next(self.worker.as_ref())
    }

    /// What follows from an attempt's end.
    fn after(&mut self, plan: &mut Plan<'_>, (attempt, end): Ended) -> Next {
        let class = self.asking.class;
        let id = attempt.endpoint().id();
        match end.and_then(|got| self.exchange.agreed(got)) {
            Ok(got) => {
                let answering = Answering::of(attempt, got);
                let Some(kind) = answering.failure() else {
                    if answering.is_good_enough() {
                        return Next::Answer(prefer(self.met.best.take(), answering));
                    }
                    self.met.aside.get_or_insert(answering);
                    return if self.race.is_idle() { Next::Stop } else { Next::GoOn };
                };
                self.met.begun = true;
                self.fail(id, kind, &answering.in_flight);
                plan.note_failed(id, plan::Failed::Otherwise);
                let step = judge::after_failing_answer(self.exchange.repeats, self.exchange.at_hand());
                match step {
                    Step::Send => return Next::Answer(prefer(self.met.best.take(), answering)),
                    Step::Retry | Step::SendOn => self.met.repeats = true,
                    Step::Stop => (),
                }
                self.met.best.get_or_insert(answering);
                Next::after(step)
            }
            Err(Failed { failure: Failure::Withdrawn, unsent }) => {
                if let Some(unsent) = unsent {
                    self.exchange.put_back(*unsent);
                }
                Next::Withdrawn
            }
            Err(Failed { failure, unsent }) => {
                if let Some(kind) = failure.kind() {
                    self.fail(id, kind, &attempt.in_flight);
                } else {
                    self.met.failures += 1;
                }
                if let Some(unsent) = unsent {
                    self.exchange.put_back(*unsent);
                }
                let step = judge::after_failure(class, self.exchange.repeats, &failure, self.exchange.at_hand());
                let how = if failure.is_refusal() { plan::Failed::Refused } else { plan::Failed::Otherwise };
                plan.note_failed(id, how);
                match (&failure, step) {
                    (_, Step::SendOn) if class == Class::Unsafe => (), // it costs no endpoint anything
                    (_, Step::Retry | Step::SendOn) => self.met.repeats = true,
                    (_, Step::Stop | Step::Send) => (),
                }
                self.met.begun |= failure.sent() == Sent::Perhaps;
                self.met.cut += u32::from(matches!(failure, Failure::Cut { .. } | Failure::Stalled { .. }));
                self.met.last = Some((failure, step));
                Next::after(step)
            }
        }
    }

    /// An attempt failed at that endpoint.
    fn fail(&mut self, id: EndpointId, kind: FailureKind, in_flight: &InFlight) {
        self.met.failures += 1;
        let its = self.met.tries.iter_mut().flatten().rev().find(|one| one.endpoint == id);
        its.into_iter().for_each(|one| one.failed = Some(kind));
        in_flight.endpoint().count_failure(&self.worker.reporter, kind);
        self.pairing.fail(id, kind, Weight::Full, self.worker.clock.now());
    }

    /// It may not begin there any more. Where it may is worth a wait, unless it has begun before: its pool is the one it was at.
    fn withdrawn(&mut self, backend: &BackendView) -> Result<Response<Body>, Missed> {
        if self.met.begun { self.give_up(backend) } else { Err(Missed::Withdrawn) }
    }

    /// No attempt was good enough, and none is left: the best there is.
    fn give_up(&mut self, backend: &BackendView) -> Result<Response<Body>, Missed> {
        if let Some(aside) = self.met.aside.take() {
            let best = prefer(self.met.best.take(), aside);
            return Ok(self.answer(backend, best));
        }
        self.pairing.settle(None);
        if let Some(answering) = self.met.best.take() {
            return Ok(self.send(backend, answering));
        }
        match self.met.last.take() {
            Some((failure, Step::SendOn)) if !self.met.begun => Err(Missed::NotBegun(Some(failure))),
            None if self.asking.class == Class::Unsafe => Err(Missed::NotBegun(None)),
            last => Err(Missed::Reply(self.own_reply(last.map(|(failure, _)| failure).as_ref()))),
        }
    }

    /// The endpoint in probation that the request is to try first, if any; or a copy of it is sent there.
    fn trial(&mut self, backend: &BackendView) -> Option<(PoolIndex, usize)> {
        // What may last for days is no good for trying an endpoint out.
        if backend.trials.is_empty() || self.met.attempts > 0 || self.exchange.upgrading == Upgrading::Yes {
            return None;
        }
        let worker = self.worker;
        let copies = worker.copies.get() < copies::MOST && self.exchange.copies();
        let fit = steer::Fit { repeats: self.exchange.spare().is_some(), copies };
        let trial = steer::trial(worker, backend, self.home, fit, self.began)?;
        match trial.by {
            TrialBy::Request => Some((trial.pool, trial.place)),
            TrialBy::Copy => {
                let endpoint = &backend.pools[trial.pool.0].endpoints[trial.place];
                let copy = self.exchange.copy()?;
                let introduce = self.exchange.introduction_to(&backend.config);
                let sent = copies::send(worker, backend, endpoint, copy, introduce, self.asking);
                self.pairing.tell_copy(sent);
                None
            }
        }
    }

    /// Whether the backend's budget allows one more attempt.
    fn may_repeat(&self) -> bool {
        let Some(served) = &self.served else { return true };
        let allowed = served.backend.retries.spend(self.worker.clock.now());
        if !allowed {
            served.backend.cells().retries_denied.add(1);
        }
        allowed
    }

    /// Sends it there, counted.
    fn begin(&mut self, view: &HeldView, backend: &BackendView, endpoint: &EndpointView, by: By) -> Result<(), Back> {
        let worker = self.worker;
        let Some(request) = self.exchange.take() else { unreachable!("what is not at hand is not repeated") };
        let local = worker.endpoint(endpoint);
        let in_flight = InFlight::begin(local, running(self.asking.class, self.exchange.upgrading), &worker.reporter);
        let planned = match self.asking.class {
            Class::Safe => None,
            Class::Unsafe => {
                if may_begin(worker, view, backend, in_flight.endpoint().id()) == Go::Back {
                    self.exchange.put_back(request);
                    return Err(Back);
                }
                view.backends
                    .iter()
                    .position(|known| std::ptr::eq(&**known, backend))
                    .map(|place| (view.clone(), place))
            }
        };
        let hold = if self.rescue.held && self.exchange.spare().is_some() { Hold::On } else { Hold::Off };
        let stood = if backend.is_up(in_flight.endpoint().id()) { Stood::Up } else { Stood::Otherwise };
        if let Some(place) = self.met.tries.iter_mut().find(|place| place.is_none()) {
            *place = Some(Try { endpoint: in_flight.endpoint().id(), by, failed: None });
        }
        self.met.attempts += 1;
        self.race.add(Attempt::begin(Making {
            worker: worker.clone(),
            request,
            upload: self.exchange.upload.clone(),
            asking: self.asking,
            by,
            hold,
            timed: if self.exchange.spare().is_some() { Timed::ByRace } else { Timed::Itself },
            introduce: self.exchange.introduction_to(&backend.config),
            timeouts: backend.config.timeouts,
            in_flight,
            planned,
            stood,
            interims: match by {
                By::First | By::Retry => self.interims.clone(),
                By::Hedge(_) => self.interims.beside(),
            },
        }));
        Ok(())
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

/// What follows from an attempt's end.
#[expect(clippy::large_enum_variant, reason = "most are answers, looked at once")]
enum Next {
    Answer(Answering),
    /// The next place, or what still runs.
    GoOn,
    /// There is no other place to try.
    Stop,
    Withdrawn,
}

impl Next {
    fn after(step: Step) -> Next {
        match step {
            Step::Retry | Step::SendOn => Next::GoOn,
            Step::Stop | Step::Send => Next::Stop,
        }
    }
}

/// It may not begin there any more.
struct Back;

impl Missed {
    /// The reply, if waiting would not help.
    fn unless_worth_a_wait(&self, backend: &BackendView, class: Class) -> Result<(), Reply> {
        match self {
            Missed::Withdrawn | Missed::Moved => Ok(()),
            Missed::NotBegun(_) if plan::is_worth_a_wait(backend, class) => Ok(()),
            Missed::NotBegun(_) | Missed::Reply(_) => Err(self.reply()),
        }
    }

    fn reply(&self) -> Reply {
        match self {
            Missed::NotBegun(failure) => reply::to_failure(failure.as_ref()),
            Missed::Withdrawn | Missed::Moved => reply::to_failure(None),
            Missed::Reply(reply) => *reply,
        }
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
