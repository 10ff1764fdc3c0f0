//! Unsafe requests, and rounds of traffic.
//!
//! An unsafe request goes where writes go now and nowhere else; one that could not begin waits for a view that says where
//! (docs/failover.md, §6). Each that begins is held against rule 7: none while others run elsewhere that were not left.

use crate::endpoint::HEAD;
use crate::requests::{Fate, Luck, Request, Stands, WRITE_WAIT, client_print, path_print};
use crate::view::NoWrites;
use crate::world::{Event, ROUND, World};
use hotspare::domain::*;
use std::time::Duration;

impl World {
    pub fn write_arrives(&mut self, unlucky: bool, long: bool) {
        let span = self.rng.between(Duration::from_millis(50), Duration::from_secs(3));
        let luck = match (unlucky, long) {
            (true, _) => Luck::Bad,
            (false, true) => Luck::Long(span),
            (false, false) => Luck::None,
        };
        let request = self.new_request(Class::Unsafe, luck);
        self.try_write(request);
    }

    fn try_write(&mut self, mut request: Request) {
        let mut tried: Vec<usize> = Vec::new();
        loop {
            let at = match self.view.next_for_write(&tried, &mut self.rng) {
                Ok(at) => at,
                Err(NoWrites::Wait) => return self.wait_for_writes(request),
                Err(NoWrites::Refused) => {
                    request.fate = Fate::Refused;
                    self.costs.refused += 1;
                    break;
                }
            };
            self.write_begins(at);
            tried.push(at);
            match self.send(&mut request, at) {
                // Nobody listens, so it has not begun.
                Stands::Failed { kind: FailureKind::Refused, .. } => {
                    let whom = self.endpoints[at].id;
                    self.hurry(|endpoint| endpoint.id == whom);
                }
                Stands::Waits
                | Stands::Connects
                | Stands::Lost
                | Stands::Left
                | Stands::Well
                | Stands::Failed { .. }
                | Stands::Over => break,
            }
        }
        self.conclude(request);
    }

    pub fn wait_for_writes(&mut self, request: Request) {
        let over = request.began.after(WRITE_WAIT);
        if over > self.now {
            self.waiting.insert(request.number);
            self.at(over, Event::WaitOver(request.number));
        }
        self.conclude(request);
    }

    pub fn write_goes_on(&mut self, number: u64) {
        if !self.waiting.remove(&number) {
            return;
        }
        let Some(request) = self.requests.remove(&number) else { return };
        self.try_write(request);
    }

    pub fn wait_over(&mut self, number: u64) {
        if self.waiting.remove(&number)
            && let Some(request) = self.requests.remove(&number)
        {
            self.conclude(request);
        }
    }

    /// Rule 7.
    fn write_begins(&mut self, at: usize) {
        let pool = self.endpoints[at].place.0;
        if self.endpoints.iter().all(|endpoint| endpoint.writes == 0 || endpoint.place.0 == pool) {
            return;
        }
        let elsewhere = self.requests.values().filter(|request| request.class == Class::Unsafe).find_map(|request| {
            let mut running = request.attempts.iter().filter(|attempt| attempt.stands == Stands::Waits);
            running.find(|attempt| self.endpoints[attempt.at].place.0 != pool).copied()
        });
        if let Some(other) = elsewhere {
            let (name, there) = (self.endpoints[at].name.clone(), self.endpoints[other.at].name.clone());
            self.breaks("7.7", format!("a write begins at {name} while one sent at {} runs at {there}", other.sent));
        }
    }

    /// Writes go elsewhere from now on: those that run at another pool are left, unless they were waited for.
    pub fn writes_move(&mut self, to: Writes, cause: Cause) {
        let Writes::To(PoolIndex(pool)) = to else { return };
        let mut found = None;
        for request in self.requests.values_mut().filter(|request| request.class == Class::Unsafe) {
            for attempt in &mut request.attempts {
                if attempt.stands == Stands::Waits && self.endpoints[attempt.at].place.0 != pool {
                    attempt.stands = Stands::Left;
                    found = Some(self.endpoints[attempt.at].name.clone());
                }
            }
        }
        if let (Some(name), Cause::WritesEnded) = (found, cause) {
            self.breaks("7.7", format!("writes are said to have ended, and one runs at {name}"));
        }
    }

    /// The supervisor reads what was counted; then the requests of the next round are drawn.
    pub fn round(&mut self) {
        // While writes pause, what runs is asked of everyone.
        let pausing = matches!(self.view.snapshot.writes, Writes::Pausing { .. });
        for index in 0..self.endpoints.len() {
            if self.endpoints[index].counted.touched || pausing {
                self.tell(index);
            }
        }
        if self.broken.is_some() {
            return;
        }
        let traffic = self.plan.traffic;
        let all = self.rng.poisson(traffic.rate * ROUND.as_secs_f64());
        if all == 0 {
            return;
        }
        let writes = self.rng.binomial(all, traffic.writes);
        let targets = self.targets();
        if targets.is_empty() {
            self.arrive_singly(all - writes, writes);
            return;
        }
        let unlucky = (self.rng.binomial(all - writes, traffic.noise), self.rng.binomial(writes, traffic.noise));
        let long = self.rng.binomial(writes - unlucky.1, traffic.long_writes);
        for _ in 0..unlucky.0 {
            self.soon(Event::Read { unlucky: true });
        }
        for _ in 0..unlucky.1 {
            self.soon(Event::Write { unlucky: true, long: false });
        }
        for _ in 0..long {
            self.soon(Event::Write { unlucky: false, long: true });
        }
        let refused = matches!(self.view.snapshot.writes, Writes::Refused(_));
        let plain = writes - unlucky.1 - long;
        self.costs.requests += u64::from(all - writes - unlucky.0 + plain);
        self.spread(&targets, Class::Safe, all - writes - unlucky.0);
        if refused {
            self.costs.refused += u64::from(plain);
        } else {
            self.spread(&targets, Class::Unsafe, plain);
        }
    }

    /// The endpoints that take all requests and answer all of them; none where each request must be looked at.
    fn targets(&self) -> Vec<usize> {
        if !self.view.is_calm {
            return Vec::new();
        }
        let takes = |shown: &EndpointSnapshot| shown.drained == Drained::No && shown.health.counts_as_up();
        let targets = self.view.those(self.view.snapshot.serving.0, takes);
        if targets.iter().all(|index| self.endpoints[*index].answers_all()) { targets } else { Vec::new() }
    }

    fn soon(&mut self, event: Event) {
        let at = self.now.after(self.rng.between(Duration::ZERO, ROUND));
        self.at(at, event);
    }

    fn arrive_singly(&mut self, reads: u32, writes: u32) {
        let traffic = self.plan.traffic;
        for _ in 0..reads {
            let unlucky = self.rng.chance(traffic.noise);
            self.soon(Event::Read { unlucky });
        }
        for _ in 0..writes {
            let (unlucky, long) = (self.rng.chance(traffic.noise), self.rng.chance(traffic.long_writes));
            self.soon(Event::Write { unlucky, long });
        }
    }

    /// All answered well: counts suffice.
    fn spread(&mut self, targets: &[usize], class: Class, count: u32) {
        let mut left = count;
        for (done, index) in targets.iter().enumerate() {
            let others = f64::from(u32::try_from(targets.len() - done).unwrap());
            let here = if done + 1 == targets.len() { left } else { self.rng.binomial(left, 1.0 / others) };
            left -= here;
            if here == 0 {
                continue;
            }
            let client = self.plan.traffic.client(class, &mut self.rng);
            let path = self.rng.below(self.plan.traffic.paths);
            let endpoint = &mut self.endpoints[*index];
            endpoint.counted.good(self.now, class, here, HEAD);
            endpoint.counted.variety(self.now, class, client_print(client), path_print(path));
            endpoint.answered += u64::from(here);
            if class == Class::Unsafe {
                self.wrote[client] = Some(self.now);
            }
        }
    }
}
