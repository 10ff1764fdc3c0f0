//! A response body that broke off goes on: its rest is fetched with a range request and appended, if it is certainly the rest of the
//! very same thing: failover.md, "Resume" (RFC 9110, sections 13.1.5 and 14).
//!
//! Not here: when a body has broken off (`body`).

use super::body::Ending;
use super::exchange::{HeadWait, InFlight, Running, Served, Spare};
use super::judge::Answered;
use super::local::Worker;
use super::pairing::Pairing;
use super::slow::is_out;
use crate::config::ResumeFrom;
use crate::domain::{Class, EndpointId, FailureKind, Lagging, Moment, Name, PoolIndex, Routing, Weight};
use crate::health::{Asking, BackendView, EndpointView};
use crate::telemetry::metrics::Rescued;
use crate::upstream::{self, Answer, Download, Failed, Go, Reuse, Target, UploadState};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How often one response may go on.
const TIMES: u8 = 8;

/// Endpoints that are asked for one rest.
const ASKED: usize = 3;

/// How long another endpoint may take for the head of a rest, when there are others to ask.
const PATIENT: Duration = Duration::from_secs(2);

/// How often a body is looked at whose endpoint may have gone out of service, and what it must have brought meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LEAST_A_LOOK: u64 = 8 * 1024;

/// What it takes to go on with one response.
#[derive(Debug)]
pub struct Resume {
    rest: Option<Box<Rest>>,
    work: Option<Work>,
    next_look: Moment,
    since_look: u64,
}

/// Where a response comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub backend: &'a BackendView,
    pub endpoint: EndpointId,
}

/// Of what, from where.
#[derive(Debug)]
struct Rest {
    worker: Rc<Worker>,
    backend: Name,
    /// Where it came from.
    pool: Name,
    from: ResumeFrom,
    asking: Asking,
    spare: Spare,
    same: Same,
    /// Bytes that came so far, and how many had when it last broke off.
    passed: u64,
    passed_before: Option<u64>,
    times: u8,
}

/// What must be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Same {
    tag: HeaderValue,
    total: u64,
    others: [Option<HeaderValue>; 3],
}

const SAME: [HeaderName; 3] = [header::LAST_MODIFIED, header::CONTENT_TYPE, header::CONTENT_ENCODING];

struct Work(Pin<Box<dyn Future<Output = Fetched>>>);

type Fetched = (Box<Rest>, Option<Resumed>);

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

/// The rest, on its way.
#[derive(Debug)]
pub struct Resumed {
    pub incoming: Download,
    pub ending: Ending,
}

/// Whether a rest is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    AtWork,
    /// It went on too often already, or brought nothing the last time.
    Never,
}

impl Resume {
    /// For a response that can go on: all of something, of known length, with a strong tag. `kept`: bytes of it that were already read.
    pub fn of(
        worker: &Rc<Worker>,
        source: Source<'_>,
        from: ResumeFrom,
        asking: Asking,
        spare: Option<&Spare>,
        response: &Response<Download>,
        kept: u64,
    ) -> Option<Resume> {
        match from {
            ResumeFrom::Nowhere => return None,
            ResumeFrom::Pool | ResumeFrom::Anywhere => (),
        }
        let Source { backend, endpoint } = source;
        let spare = spare.filter(|spare| spare.method == Method::GET)?;
        let rest = response.body().size_hint().exact()?;
        let same = Same::of(response.status(), response.headers(), kept.checked_add(rest)?)?;
        let rest = Rest {
            worker: worker.clone(),
            backend: backend.config.name.clone(),
            pool: backend.snapshot.pools[backend.pool_of(endpoint)?.0].name.clone(),
            from,
            asking,
            spare: spare.clone(),
            same,
            passed: kept,
            passed_before: None,
            times: 0,
        };
        let next_look = worker.clock.now().after(LOOK_EVERY);
        Some(Resume { rest: Some(Box::new(rest)), work: None, next_look, since_look: 0 })
    }

    /// So many more bytes came.
    pub fn note_passed(&mut self, bytes: u64) {
        self.since_look = self.since_look.saturating_add(bytes);
        if let Some(rest) = &mut self.rest {
            rest.passed = rest.passed.saturating_add(bytes);
        }
    }

    /// When to ask [`Resume::gives_up_on`] next.
    pub fn look_at(&self) -> Moment {
        self.next_look
    }

    /// Whether the body should come from elsewhere: its endpoint is out of service, and it hardly moves.
    pub fn gives_up_on(&mut self, ending: &Ending, now: Moment) -> bool {
        if now < self.next_look {
            return false;
        }
        self.next_look = now.after(LOOK_EVERY);
        let slow = std::mem::take(&mut self.since_look) < LEAST_A_LOOK;
        let Some(rest) = self.rest.as_ref().filter(|_| slow) else { return false };
        let view = ending.worker.views.view();
        view.backend(&rest.backend).is_some_and(|backend| is_out(backend, ending.in_flight.endpoint().id()))
    }

    /// The body broke off: begins to fetch its rest.
    pub fn begin(&mut self, broken: Ending, until: Option<Moment>, served: &Served) -> Begun {
        let Some(mut rest) = self.rest.take() else { return Begun::Never };
        if rest.times == TIMES || rest.passed_before == Some(rest.passed) {
            return Begun::Never;
        }
        rest.times += 1;
        rest.passed_before = Some(rest.passed);
        let broke = broken.in_flight.endpoint().id();
        drop(broken); // closes its connection, half read
        let backend = served.backend.clone();
        self.work = Some(Work(Box::pin(async move {
            let may = || {
                let allowed = backend.retries.spend(rest.worker.clock.now());
                if !allowed {
                    backend.cells().retries_denied.add(1);
                }
                allowed
            };
            let fetch = rest.fetch(broke, may);
            let resumed = match until {
                None => fetch.await,
                Some(until) => tokio::time::timeout_at(rest.worker.clock.instant(until), fetch).await.ok().flatten(),
            };
            if resumed.is_some() && rest.times == 1 {
                backend.cells().rescued[Rescued::Resume as usize].add(1);
            }
            (rest, resumed)
        })));
        Begun::AtWork
    }

    pub fn is_at_work(&self) -> bool {
        self.work.is_some()
    }

    /// The rest, or `None` when there is none to be had. Only while it is at work.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Resumed>> {
        let Some(work) = &mut self.work else { return Poll::Ready(None) };
        let (rest, resumed) = ready!(work.0.as_mut().poll(context));
        self.work = None;
        self.next_look = rest.worker.clock.now().after(LOOK_EVERY);
        self.since_look = 0;
        self.rest = Some(rest);
        Poll::Ready(resumed)
    }
}

impl Rest {
    /// Asks one endpoint after the other.
    async fn fetch(&self, broke: EndpointId, may: impl Fn() -> bool) -> Option<Resumed> {
        let mut asked: Vec<EndpointId> = Vec::new();
        while asked.len() < ASKED {
            let view = self.worker.views.view();
            let backend = view.backend(&self.backend)?;
            let home = self.home(backend, broke)?;
            let place = next_place(backend, self.from, home, broke, &asked)?;
            asked.push(place.tally.id);
            if !may() {
                return None;
            }
            let last = asked.len() == ASKED || next_place(backend, self.from, home, broke, &asked).is_none();
            let head = if last { backend.config.timeouts.head } else { backend.config.timeouts.head.min(PATIENT) };
            match self.ask(backend, place, head).await {
                Asked::Rest(resumed) => return Some(resumed),
                Asked::Failed => (),
                Asked::Another => return None,
            }
        }
        None
    }

    /// The pool that it came from. A reload may have taken the endpoint away, or all of them.
    fn home(&self, backend: &BackendView, broke: EndpointId) -> Option<PoolIndex> {
        let named = || backend.snapshot.pools.iter().position(|pool| pool.name == self.pool).map(PoolIndex);
        let instead = match self.from {
            ResumeFrom::Anywhere => Some(backend.snapshot.serving),
            ResumeFrom::Pool | ResumeFrom::Nowhere => None,
        };
        backend.pool_of(broke).or_else(named).or(instead)
    }

    async fn ask(&self, backend: &BackendView, place: &EndpointView, head_timeout: Duration) -> Asked {
        let worker = &self.worker;
        let began = worker.clock.now();
        let in_flight = InFlight::begin(worker.endpoint(place), Running::Read, &worker.reporter);
        let local = in_flight.endpoint().clone();
        let upload = Rc::new(UploadState::whole(began));
        let connect_timeout = backend.config.timeouts.connect;
        let target = Target {
            way: &local.way,
            kept: &local.kept,
            given: None,
            introduce: self.spare.introduction.to(&backend.config),
            connect_timeout,
            head_timeout,
            interims: None, // its client has the head of its answer
        };
        let waiting = HeadWait::begin(worker, &local, self.asking, &upload, began);
        let request = self.spare.request_for_rest(self.passed, &self.same.tag);
        let sent = upstream::client::send(target, request, &upload, Reuse::Any, began, worker.clock, || Go::On).await;
        drop(waiting);
        let now = worker.clock.now();
        let Answer { response, lease } = match sent {
            Ok(answer) => answer,
            Err(Failed { failure, .. }) => {
                if let Some(kind) = failure.kind() {
                    local.count_failure(&worker.reporter, kind);
                    Pairing::new(worker, self.asking).fail(local.id(), kind, Weight::Full, now);
                }
                return Asked::Failed;
            }
        };
        local.tally().note_head(now);
        match Answered::of(response.status()) {
            Answered::Failing => {
                let kind = FailureKind::Status;
                local.count_failure(&worker.reporter, kind);
                Pairing::new(worker, self.asking).fail(local.id(), kind, Weight::Full, now);
                return Asked::Failed;
            }
            Answered::Well => local.tally().note_head_time(Class::Safe, now.since(began)),
        }
        if !self.same.has_rest(response.status(), response.headers(), response.body().size_hint().exact(), self.passed)
        {
            return Asked::Another;
        }
        let (worker, asking) = (worker.clone(), self.asking);
        let ending = Ending { worker, in_flight, lease, answered: Answered::Well, asking, began };
        Asked::Rest(Resumed { incoming: response.into_body(), ending })
    }
}

/// What an endpoint had.
enum Asked {
    Rest(Resumed),
    Failed,
    /// Something else, under the same address: nobody can tell what the whole would be.
    Another,
}

/// Where to ask next: another endpoint of the pool that it came from, then another pool if that is allowed, and the endpoint where it
/// broke off once more, which may have closed that one connection only.
fn next_place<'a>(
    backend: &'a BackendView,
    from: ResumeFrom,
    home: PoolIndex,
    broke: EndpointId,
    asked: &[EndpointId],
) -> Option<&'a EndpointView> {
    let up = |pool: PoolIndex| {
        let pool = &backend.pools[pool.0];
        pool.up.iter().map(|&place| &*pool.endpoints[place])
    };
    let not_asked = |place: &&EndpointView| !asked.contains(&place.tally.id);
    let elsewhere = match (from, backend.snapshot.routing) {
        (ResumeFrom::Anywhere, Routing::Serving | Routing::Panic) => true,
        (ResumeFrom::Anywhere, Routing::Held) | (ResumeFrom::Pool | ResumeFrom::Nowhere, _) => false,
    };
    let others = || {
        let pools = backend.others(home).filter(|(_, pool)| pool.lagging == Lagging::Fresh);
        pools.flat_map(|(pool, _)| up(pool)).find(not_asked)
    };
    let same_pool = up(home).filter(|place| place.tally.id != broke).find(not_asked);
    same_pool
        .or_else(|| if elsewhere { others() } else { None })
        .or_else(|| backend.endpoint_in_use(broke).filter(not_asked))
}

impl Same {
    /// `total`: the length of the whole body.
    fn of(status: StatusCode, headers: &HeaderMap, total: u64) -> Option<Same> {
        let tag = headers.get(header::ETAG).filter(|tag| is_strong(tag.as_bytes()))?;
        let ranges = headers.get(header::ACCEPT_RANGES).is_none_or(|units| units != "none");
        let whole = status == StatusCode::OK && ranges;
        whole.then(|| Same { tag: tag.clone(), total, others: SAME.map(|name| headers.get(name).cloned()) })
    }

    /// Whether a response is the rest of it from that byte on, and nothing else.
    fn has_rest(&self, status: StatusCode, headers: &HeaderMap, length: Option<u64>, from: u64) -> bool {
        let range = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let last = self.total.saturating_sub(1);
        status == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|range| range == format!("bytes {from}-{last}/{}", self.total))
            && length == self.total.checked_sub(from)
            && headers.get(header::ETAG) == Some(&self.tag)
            && SAME.iter().zip(&self.others).all(|(name, other)| headers.get(name) == other.as_ref())
    }
}

/// RFC 9110, section 8.8.3: quoted, and not marked as weak.
fn is_strong(tag: &[u8]) -> bool {
    tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\"")
}

#[cfg(test)]
mod tests;
