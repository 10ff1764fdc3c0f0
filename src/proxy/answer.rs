//! The answer that ends a request, on its way to the client, and what is told and counted with it.
//!
//! Not here: which answer that is (`service`, `judge`), what we say ourselves (`reply`).

use super::attempt::{Attempt, By};
use super::body::{Body, DownloadLimits, Ending};
use super::exchange::InFlight;
use super::headers::{self, Upgrading};
use super::held::{Extent, Got};
use super::interim::For;
use super::judge::Answered;
use super::lost;
use super::reply::Reply;
use super::resume::{Resume, Source};
use super::service::{InHand, Met};
use super::upgrade::Tunnel;
use crate::domain::{EndpointId, FailureKind, Moment};
use crate::health::BackendView;
use crate::telemetry::metrics::Rescued;
use http::{Response, StatusCode, Version};

/// An answer with what hangs on it.
pub(super) struct Answering {
    pub(super) got: Got,
    pub(super) answered: Answered,
    pub(super) in_flight: InFlight,
    by: By,
    /// When the attempt began.
    began: Moment,
    interims: For,
}

impl Answering {
    pub(super) fn of(attempt: Attempt, got: Got) -> Answering {
        let Attempt { by, in_flight, began, interims, .. } = attempt;
        Answering { answered: Answered::of(got.answer.response.status()), got, in_flight, by, began, interims }
    }

    /// What it says against its endpoint, if anything.
    pub(super) fn failure(&self) -> Option<FailureKind> {
        match (self.answered, self.got.is_overfull()) {
            (Answered::Failing, _) => Some(FailureKind::Status),
            (Answered::Well, true) => Some(FailureKind::Malformed),
            (Answered::Well, false) => None,
        }
    }

    /// Whether it may go to the client while a better one may come.
    pub(super) fn is_good_enough(&self) -> bool {
        self.by.is_good_enough(&self.got.answer.response)
    }
}

/// Of the failing answer there is and a later one: a 4xx from a place that may not have the page yet must not hide that the page
/// exists (failover.md, "Best answer").
pub(super) fn prefer(best: Option<Answering>, later: Answering) -> Answering {
    match best {
        Some(best) if later.got.answer.response.status().is_client_error() => best,
        Some(_) | None => later,
    }
}

/// Where a request was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    pub(super) endpoint: EndpointId,
    pub(super) by: By,
    /// What failed there.
    pub(super) failed: Option<FailureKind>,
}

impl Try {
    fn told(&self, backend: &BackendView) -> String {
        let mut all = backend.snapshot.pools.iter().flat_map(|pool| &pool.endpoints);
        let name = all.find(|endpoint| endpoint.id == self.endpoint).map_or("gone", |endpoint| &*endpoint.name);
        let by = match self.by {
            By::First => "first",
            By::Retry => "retry",
            By::Hedge(_) => "hedge",
        };
        match self.failed {
            None => format!("{name} ({by})"),
            Some(kind) => format!("{name} ({by}; {})", kind.name()),
        }
    }
}

impl InHand<'_> {
    /// The answer that ends it: what failed before is told, and what still runs is left behind.
    pub(super) fn answer(&mut self, backend: &BackendView, answering: Answering) -> Response<Body> {
        let status = answering.got.answer.response.status();
        let well = (status.is_success() || status.is_redirection()).then(|| answering.in_flight.endpoint().id());
        self.pairing.settle(well);
        let now = self.worker.clock.now();
        for attempt in self.race.take() {
            lost::run_on(self.worker, attempt, backend.config.rules.confirm, well, now);
        }
        self.send(backend, answering)
    }

    /// Passes an answer on to the client.
    pub(super) fn send(&mut self, backend: &BackendView, answering: Answering) -> Response<Body> {
        let Answering { got: Got { answer, pieces, extent }, in_flight, answered, began, by, interims } = answering;
        interims.won(&self.client.interims);
        let (mut response, lease) = (answer.response, answer.lease);
        let Some(served) = self.served.take() else { unreachable!("a request is answered once") };
        let worker = self.worker;
        let now = worker.clock.now();
        served.count_response(response.status(), self.began, now);
        if answered == Answered::Well
            && let Some(rescued) = self.rescued(by)
        {
            served.backend.cells().rescued[rescued as usize].add(1);
        }
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let upgrading = if upgraded { self.exchange.upgrading } else { Upgrading::No };
        let (from, spare) = (self.rescue.resume, self.exchange.spare());
        let resume = match extent {
            Extent::Whole => None,
            Extent::Begun => {
                let source = Source { backend, endpoint: in_flight.endpoint().id() };
                Resume::of(worker, source, from, self.asking, spare, &response, pieces.bytes())
            }
        };
        let status = response.status();
        headers::response(response.headers_mut(), status, upgrading);
        *response.version_mut() = Version::HTTP_11; // ours, whatever the endpoint's is (RFC 9110, section 2.5)
        if upgraded {
            match extent {
                Extent::Whole => {} // told as it ended
                Extent::Begun => in_flight.endpoint().note_good(&worker.reporter, self.asking, began, now),
            }
            let endpoint = hyper::upgrade::on(&mut response);
            let idle = backend.config.timeouts.tunnel_idle;
            let (worker, backend, class) = (worker.clone(), backend.config.name.clone(), self.asking.class);
            *self.client.upgrade.borrow_mut() =
                Some(Tunnel { endpoint, in_flight, served, worker, backend, class, idle });
            return response.map(|_| Body::Empty);
        }
        match extent {
            Extent::Whole => response.map(|_| Body::held(pieces, served)),
            Extent::Begun => {
                let limits = DownloadLimits { idle: backend.config.timeouts.body_idle, until: self.until };
                let asking = self.asking;
                let ending = Ending { worker: worker.clone(), in_flight, lease, answered, asking, began };
                response.map(|incoming| Body::passing(pieces, incoming, served, ending, limits, resume))
            }
        }
    }

    /// What saved it, if it had to be saved.
    fn rescued(&self, by: By) -> Option<Rescued> {
        match (by, self.met.failures) {
            (By::Hedge(_), _) => Some(Rescued::Hedge),
            (By::First, 0) => self.met.waited.then_some(Rescued::Wait),
            (By::Retry, 0) => Some(Rescued::Retry),
            (By::First | By::Retry, _) if self.met.waited => Some(Rescued::Wait),
            (By::First | By::Retry, _) if self.met.cut > 0 => Some(Rescued::Held),
            (By::First | By::Retry, _) => Some(Rescued::Retry),
        }
    }

    /// One line for whoever looks for what became of a request: where it was sent and why, what failed there, what its client got.
    pub(super) fn tell_story(&self, backend: &BackendView, done: &Result<Response<Body>, Reply>) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let status = match done {
            Ok(response) => response.status(),
            Err(reply) => reply.status,
        };
        let Met { attempts, waited, tries, .. } = &self.met;
        let tries: Vec<String> = tries.iter().flatten().map(|one| one.told(backend)).collect();
        let took = self.worker.clock.now().since(self.began);
        let (backend, tries) = (&*backend.config.name, tries.join(", "));
        tracing::debug!(backend, status = status.as_u16(), attempts, tries, waited, ?took, "request");
    }
}
