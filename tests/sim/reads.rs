//! Safe requests: attempts, retries, hedges, and when a failure becomes evidence (docs/failover.md, §1 and §6).
//!
//! Not here: unsafe requests (`writes`), where an attempt goes (`view`).

use crate::endpoint::{Answer, Asked, HEAD};
use crate::requests::{ATTEMPTS, Attempt, Fate, Luck, OWN_WRITES, PAIRED_WITHIN, PATIENCE, Request, Stands};
use crate::view::{Seeker, View, Wrote};
use crate::world::{Event, World};
use hotspare::domain::*;
use std::time::Duration;

/// A probation's share of safe requests; at most one a second, at least one in five.
const TRICKLE: f64 = 0.01;

impl World {
    pub fn new_request(&mut self, class: Class, luck: Luck) -> Request {
        self.numbers += 1;
        self.costs.requests += 1;
        let client = self.plan.traffic.client(class, &mut self.rng);
        let path = self.rng.below(self.plan.traffic.paths);
        Request {
            number: self.numbers,
            class,
            client,
            path,
            luck,
            began: self.now,
            attempts: Vec::new(),
            fate: Fate::Open,
            pairing: false,
        }
    }

    pub fn read_arrives(&mut self, unlucky: bool) {
        let request = self.new_request(Class::Safe, if unlucky { Luck::Bad } else { Luck::None });
        let copy = (!self.view.is_calm).then(|| self.trial_for(&request)).flatten();
        self.try_on(request);
        if let Some(index) = copy {
            self.send_copy(index);
        }
    }

    fn seeker<'a>(&self, client: usize, tried: &'a [usize]) -> Seeker<'a> {
        let lately = self.wrote[client].is_some_and(|at| self.now.since(at) < OWN_WRITES);
        let turn = f64::from(u32::try_from(client * 7_919 % 1_000).unwrap()) / 1_000.0;
        Seeker { tried, turn, wrote: if lately { Wrote::Lately } else { Wrote::No } }
    }

    /// Sends it until it is answered, or waits somewhere, or nothing is left to try.
    fn try_on(&mut self, mut request: Request) {
        let mut tried: Vec<usize> = request.attempts.iter().map(|attempt| attempt.at).collect();
        while request.fate == Fate::Open && tried.len() < ATTEMPTS {
            let seeker = self.seeker(request.client, &tried);
            let Some(at) = self.view.next_for_read(self.now, seeker, &mut self.rng) else { break };
            if !tried.is_empty() && !self.retries.take(self.now) {
                break;
            }
            tried.push(at);
            let stands = self.send(&mut request, at);
            if stands.runs() {
                let hedge = self.now.after(View::HEDGE_AFTER);
                self.at(hedge, Event::Hedge(request.number));
                break;
            }
        }
        self.conclude(request);
    }

    /// One attempt. Served, it is counted; failed, it is noted; else it runs on.
    pub fn send(&mut self, request: &mut Request, at: usize) -> Stands {
        let asked = Asked { class: request.class, client: request.client, path: request.path };
        let mut answer = self.endpoints[at].answer(self.now, asked, &mut self.rng);
        if request.luck == Luck::Bad && request.attempts.is_empty() && matches!(answer, Answer::Well) {
            answer = Answer::Fails(FailureKind::Status);
        }
        if let (Luck::Long(span), Answer::Well) = (request.luck, answer) {
            answer = Answer::WellAt(self.now.after(span));
        }
        let attempt = request.attempts.len();
        let number = request.number;
        let stands = match answer {
            Answer::Well => Stands::Well,
            Answer::Fails(kind) => Stands::Failed { kind, weight: Weight::Full, told: false },
            Answer::WellAt(_) | Answer::Never => Stands::Waits,
            Answer::Unreachable(_) => Stands::Connects,
        };
        request.attempts.push(Attempt { at, sent: self.now, stands });
        match answer {
            Answer::Well => self.served(request, attempt, HEAD),
            Answer::Fails(_) => {}
            Answer::WellAt(moment) => self.at(moment, Event::Answered(number, attempt)),
            Answer::Unreachable(moment) => self.at(moment, Event::Unreachable(number, attempt)),
            Answer::Never => {}
        }
        if stands == Stands::Waits {
            let endpoint = &mut self.endpoints[at];
            endpoint.running.push_back((number, attempt));
            endpoint.pending += 1;
            endpoint.writes += u32::from(request.class == Class::Unsafe);
            endpoint.counted.touched = true;
        }
        stands
    }

    /// An attempt was answered well: its request is served, and others of it are lost.
    fn served(&mut self, request: &mut Request, attempt: usize, took: Duration) {
        let (client, path) = request.fingerprints();
        let at = request.attempts[attempt].at;
        request.attempts[attempt].stands = Stands::Well;
        self.endpoints[at].counted.good(self.now, request.class, 1, took);
        self.endpoints[at].counted.variety(self.now, request.class, client, path);
        self.endpoints[at].answered += 1;
        if request.fate == Fate::Open {
            request.fate = Fate::Served;
            self.costs.rescued += u64::from(request.attempts.len() > 1);
            if request.class == Class::Unsafe {
                self.wrote[request.client] = Some(self.now);
            }
        }
        for (other, lost) in request.attempts.iter_mut().enumerate() {
            if other != attempt && lost.stands == Stands::Waits {
                lost.stands = Stands::Lost;
                self.endpoints[lost.at].open_hedges += 1;
                self.endpoints[lost.at].counted.touched = true;
                let confirmed = self.now.after(self.plan.rules.confirm);
                self.at(confirmed, Event::Confirmed(request.number, other));
            } else if other != attempt && lost.stands == Stands::Connects {
                lost.stands = Stands::Over;
            }
        }
    }

    /// Keeps a request that goes on, or makes an end of it.
    pub fn conclude(&mut self, mut request: Request) {
        let runs = request.runs();
        if request.fate == Fate::Open && !runs && !self.waiting.contains(&request.number) {
            request.fate = Fate::Failed;
            match request.class {
                Class::Safe => self.costs.failed_reads += 1,
                Class::Unsafe => self.costs.failed_writes += 1,
            }
        }
        let undecided = request.fate == Fate::Open && request.class == Class::Safe;
        if request.has_untold() && undecided && !request.pairing {
            request.pairing = true;
            let paired = self.now.after(PAIRED_WITHIN);
            self.at(paired, Event::Paired(request.number));
        }
        let told = if request.has_untold() && !undecided { self.note_failures(&mut request) } else { Vec::new() };
        if runs || self.waiting.contains(&request.number) {
            if request.fate == Fate::Open {
                let leaves = request.began.after(PATIENCE);
                self.at(leaves, Event::ClientLeaves(request.number));
            }
            self.requests.insert(request.number, request);
        }
        told.into_iter().for_each(|index| self.tell(index));
    }

    /// Makes evidence of what failed so far; returns the endpoints of which something is to be told now.
    fn note_failures(&mut self, request: &mut Request) -> Vec<usize> {
        let mut about = Vec::new();
        for attempt in 0..request.attempts.len() {
            let Stands::Failed { kind, weight, told: false } = request.attempts[attempt].stands else { continue };
            let elsewhere = request.elsewhere(attempt, |at| self.endpoints[at].id);
            let at = request.attempts[attempt].at;
            request.attempts[attempt].stands = Stands::Failed { kind, weight, told: true };
            let (client, path) = request.fingerprints();
            let failure = FailedRequest { kind, class: request.class, weight, client, path, elsewhere };
            self.endpoints[at].counted.failed(failure);
            if !about.contains(&at) {
                about.push(at);
            }
        }
        about
    }

    pub fn tell_unpaired(&mut self, number: u64) {
        let Some(mut request) = self.requests.remove(&number) else { return };
        request.pairing = false;
        let about = self.note_failures(&mut request);
        self.requests.insert(number, request);
        about.into_iter().for_each(|index| self.tell(index));
    }

    /// No head for a while: elsewhere too.
    pub fn hedge(&mut self, number: u64) {
        let Some(request) = self.requests.get(&number).filter(|request| request.fate == Fate::Open) else { return };
        let tried: Vec<usize> = request.attempts.iter().map(|attempt| attempt.at).collect();
        let seeker = self.seeker(request.client, &tried);
        let Some(at) = self.view.next_for_read(self.now, seeker, &mut self.rng) else { return };
        let serving = self.view.snapshot.serving.0;
        let elsewhere = self.endpoints[at].place.0 != serving;
        let stale = self.view.snapshot.pools[self.endpoints[at].place.0].lagging == Lagging::Stale;
        let doubted = request.attempts.iter().all(|attempt| self.is_doubted(attempt.at));
        let barred = elsewhere && (stale || (seeker.wrote == Wrote::Lately && !doubted));
        if !tried.contains(&at) && !barred && tried.len() < ATTEMPTS && self.hedges.take(self.now) {
            self.send_also(number, at);
        }
    }

    /// Its endpoint is doubted: elsewhere at once, as a retry.
    pub fn send_elsewhere(&mut self, number: u64) {
        let Some(request) = self.requests.get(&number) else { return };
        let tried: Vec<usize> = request.attempts.iter().map(|attempt| attempt.at).collect();
        if request.fate != Fate::Open || tried.len() >= ATTEMPTS {
            return;
        }
        let seeker = self.seeker(request.client, &tried);
        let Some(at) = self.view.next_for_read(self.now, seeker, &mut self.rng) else { return };
        if !tried.contains(&at) && self.retries.take(self.now) {
            self.send_also(number, at);
        }
    }

    fn send_also(&mut self, number: u64, at: usize) {
        let Some(mut request) = self.requests.remove(&number) else { return };
        self.send(&mut request, at);
        self.conclude(request);
    }

    /// A lost hedge had its time: a timeout.
    pub fn confirm(&mut self, number: u64, attempt: usize) {
        let Some(mut request) = self.requests.remove(&number) else { return };
        if request.attempts[attempt].stands == Stands::Lost {
            self.stops_running(&mut request, attempt);
            let timeout = Stands::Failed { kind: FailureKind::Timeout, weight: Weight::Full, told: false };
            request.attempts[attempt].stands = timeout;
        }
        self.conclude(request);
    }

    /// An attempt that waited no longer does.
    pub fn stops_running(&mut self, request: &mut Request, attempt: usize) {
        let Attempt { at, stands, .. } = request.attempts[attempt];
        let endpoint = &mut self.endpoints[at];
        endpoint.counted.touched = true;
        match stands {
            Stands::Waits | Stands::Left => {
                endpoint.pending -= 1;
                endpoint.writes -= u32::from(request.class == Class::Unsafe);
            }
            Stands::Lost => {
                endpoint.pending -= 1;
                endpoint.open_hedges -= 1;
            }
            Stands::Connects | Stands::Well | Stands::Failed { .. } | Stands::Over => {}
        }
        request.attempts[attempt].stands = Stands::Over;
    }

    /// What waited was answered, or its connection failed.
    pub fn attempt_ends(&mut self, number: u64, attempt: usize, how: Result<(), FailureKind>) {
        let Some(mut request) = self.requests.remove(&number) else { return };
        let Attempt { at, stands, sent } = request.attempts[attempt];
        if !stands.runs() {
            self.requests.insert(number, request);
            return;
        }
        self.stops_running(&mut request, attempt);
        match how {
            Ok(()) => {
                self.endpoints[at].counted.last_head = Some(self.now);
                if stands != Stands::Lost {
                    self.served(&mut request, attempt, self.now.since(sent));
                }
            }
            Err(kind) => {
                request.attempts[attempt].stands = Stands::Failed { kind, weight: Weight::Full, told: false };
                if request.fate == Fate::Open && !request.runs() {
                    match request.class {
                        Class::Safe => return self.try_on(request),
                        Class::Unsafe if kind == FailureKind::Connect => return self.wait_for_writes(request),
                        Class::Unsafe => {}
                    }
                }
            }
        }
        self.conclude(request);
    }

    pub fn client_leaves(&mut self, number: u64) {
        let Some(mut request) = self.requests.remove(&number) else { return };
        if request.fate != Fate::Open || self.now < request.began.after(PATIENCE) {
            self.requests.insert(number, request);
            return;
        }
        self.waiting.remove(&number);
        for attempt in 0..request.attempts.len() {
            if request.attempts[attempt].stands.runs() {
                self.stops_running(&mut request, attempt);
                request.attempts[attempt].stands =
                    Stands::Failed { kind: FailureKind::Timeout, weight: Weight::Half, told: false };
            }
        }
        self.conclude(request);
    }

    /// A fault has ended: who waits there is answered.
    pub fn wakes(&mut self, index: usize) {
        self.ends_all(index, Ok(()));
    }

    /// The process died: who waits there is reset.
    pub fn resets(&mut self, index: usize) {
        self.ends_all(index, Err(FailureKind::Reset));
    }

    fn ends_all(&mut self, index: usize, how: Result<(), FailureKind>) {
        let all: Vec<(u64, usize)> = self.endpoints[index].running.drain(..).collect();
        for (number, attempt) in all {
            self.attempt_ends(number, attempt, how);
        }
    }

    /// An endpoint in probation whose turn it is to be tried.
    fn trial_for(&mut self, request: &Request) -> Option<usize> {
        let pools = &self.view.snapshot.pools;
        let on_trial =
            |shown: &EndpointSnapshot| shown.drained == Drained::No && matches!(shown.health, Health::Probation { .. });
        let all: Vec<usize> = (0..pools.len()).flat_map(|pool| self.view.those(pool, on_trial)).collect();
        let index = all.into_iter().min_by_key(|index| self.endpoints[*index].tried)?;
        let since = self.now.since(self.endpoints[index].tried);
        let due = since >= Duration::from_secs(5) || (since >= Duration::from_secs(1) && self.rng.chance(TRICKLE));
        (due && request.luck == Luck::None).then(|| {
            self.endpoints[index].tried = self.now;
            index
        })
    }

    /// A copy whose answer is dropped.
    fn send_copy(&mut self, index: usize) {
        let mut copy = self.new_request(Class::Safe, Luck::None);
        self.costs.requests -= 1;
        copy.fate = Fate::Served;
        let stands = self.send(&mut copy, index);
        if stands.runs() {
            let over = copy.began.after(Duration::from_secs(1));
            self.at(over, Event::Confirmed(copy.number, 0));
            self.endpoints[index].open_hedges += 1;
            copy.attempts[0].stands = Stands::Lost;
        }
        self.conclude(copy);
    }
}
