//! Whose fault was it? A safe request that failed is tried elsewhere, and what it meets there says more of the failure than the
//! failure itself. So its failures wait here until its last attempt has ended, but for a quarter of a second at most: an
//! endpoint that is dying must not wait for a slow one to say so.
//!
//! Not here: what follows from it (`domain`); the failures of unsafe requests, which are not repeated (told at once).

use super::local::Worker;
use crate::domain::{Class, Elsewhere, EndpointId, FailedRequest, FailureKind, Moment, Weight};
use crate::health::Asking;
use crate::health::notes::Note;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a failure waits for what its request meets elsewhere.
pub const PAIRED_WITHIN: Duration = Duration::from_millis(250);

/// Failures of one request that wait: as many as attempts count. A pool that refuses everywhere has more, of which the oldest
/// are told unpaired: a refusal needs no witness.
const WAITING: usize = 3;

/// The failures of one request.
#[derive(Debug)]
pub struct Pairing<'a> {
    worker: &'a Rc<Worker>,
    asking: Asking,
    waiting: [Option<Note>; WAITING],
    /// Whoever sent a copy of the request wants to know what the request itself met.
    copy: Option<oneshot::Sender<Elsewhere>>,
}

impl<'a> Pairing<'a> {
    pub fn new(worker: &'a Rc<Worker>, asking: Asking) -> Pairing<'a> {
        Pairing { worker, asking, waiting: [None; WAITING], copy: None }
    }

    /// Tells the sender of a copy as well.
    pub fn tell_copy(&mut self, copy: oneshot::Sender<Elsewhere>) {
        self.copy = Some(copy);
    }

    /// The request failed there.
    pub fn fail(&mut self, endpoint: EndpointId, kind: FailureKind, weight: Weight, at: Moment) {
        let Asking { class, client, path } = self.asking;
        let failed = FailedRequest { kind, class, weight, client, path, elsewhere: Elsewhere::Unknown };
        let note = Note { endpoint, at, failed };
        match class {
            Class::Unsafe => self.worker.tell(note),
            Class::Safe => match self.waiting.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = Some(note),
                None => {
                    self.waiting.rotate_left(1);
                    self.waiting[WAITING - 1].replace(note).into_iter().for_each(|oldest| self.worker.tell(oldest));
                }
            },
        }
    }

    /// When they have waited for long enough; `None`: none waits.
    pub fn due(&self) -> Option<Moment> {
        self.waiting.iter().flatten().map(|note| note.at.after(PAIRED_WITHIN)).min()
    }

    /// Tells what waits. `well`: the endpoint that gave the request a 2xx or 3xx.
    pub fn settle(&mut self, well: Option<EndpointId>) {
        let waiting = std::mem::take(&mut self.waiting);
        if let Some(copy) = self.copy.take() {
            // Whoever asked may have gone.
            let _ = copy.send(elsewhere(&waiting, well, |_| true));
        }
        for note in waiting.iter().flatten() {
            let elsewhere = elsewhere(&waiting, well, |other| other != note.endpoint);
            self.worker.tell(Note { failed: FailedRequest { elsewhere, ..note.failed }, ..*note });
        }
    }
}

/// What the request met at those endpoints.
fn elsewhere(waiting: &[Option<Note>], well: Option<EndpointId>, there: impl Fn(EndpointId) -> bool) -> Elsewhere {
    if well.is_some_and(&there) {
        return Elsewhere::Well;
    }
    let failing = waiting.iter().flatten().find(|note| note.failed.kind == FailureKind::Status && there(note.endpoint));
    failing.map_or(Elsewhere::Unknown, |note| Elsewhere::FailingStatus(note.endpoint))
}

/// The client went away: what failed before that failed all the same.
impl Drop for Pairing<'_> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Fingerprint;
    use crate::health::notes::Notes;
    use crate::proxy::local::tests::worker;

    const A: EndpointId = EndpointId(1);
    const B: EndpointId = EndpointId(2);

    fn asking(class: Class) -> Asking {
        Asking { class, client: Fingerprint(7), path: Fingerprint(8) }
    }

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    /// What was told: where, and what was met elsewhere.
    fn told(notes: &mut Notes) -> Vec<(EndpointId, Elsewhere)> {
        std::iter::from_fn(|| notes.try_recv().ok()).map(|note| (note.endpoint, note.failed.elsewhere)).collect()
    }

    /// Failures in turn, then the end.
    fn met(failures: &[(EndpointId, FailureKind)], well: Option<EndpointId>) -> Vec<(EndpointId, Elsewhere)> {
        let (worker, mut notes) = worker();
        let mut pairing = Pairing::new(&worker, asking(Class::Safe));
        for (endpoint, kind) in failures {
            pairing.fail(*endpoint, *kind, Weight::Full, at(0));
        }
        assert!(told(&mut notes).is_empty(), "nothing is told before the end");
        pairing.settle(well);
        told(&mut notes)
    }

    #[test]
    fn a_failure_is_told_with_what_the_request_met_elsewhere() {
        use FailureKind::{Reset, Status};
        assert_eq!(met(&[(A, Status)], Some(B)), [(A, Elsewhere::Well)]);
        assert_eq!(met(&[(A, Status)], Some(A)), [(A, Elsewhere::Unknown)], "the same endpoint is no witness");
        assert_eq!(met(&[(A, Status)], None), [(A, Elsewhere::Unknown)]);
        let shared = [(A, Elsewhere::FailingStatus(B)), (B, Elsewhere::FailingStatus(A))];
        assert_eq!(met(&[(A, Status), (B, Status)], None), shared);
        let one_says_nothing = [(A, Elsewhere::FailingStatus(B)), (B, Elsewhere::Unknown)];
        assert_eq!(met(&[(A, Reset), (B, Status)], None), one_says_nothing);
    }

    #[test]
    fn an_unsafe_request_is_told_at_once() {
        let (worker, mut notes) = worker();
        let mut pairing = Pairing::new(&worker, asking(Class::Unsafe));
        pairing.fail(A, FailureKind::Reset, Weight::Full, at(0));
        assert_eq!(told(&mut notes), [(A, Elsewhere::Unknown)]);
        assert_eq!(pairing.due(), None);
    }

    #[test]
    fn what_waits_is_due_a_quarter_of_a_second_after_the_first_and_is_not_told_twice() {
        let (worker, mut notes) = worker();
        let mut pairing = Pairing::new(&worker, asking(Class::Safe));
        assert_eq!(pairing.due(), None);
        pairing.fail(A, FailureKind::Status, Weight::Full, at(100));
        pairing.fail(B, FailureKind::Status, Weight::Full, at(300));
        assert_eq!(pairing.due(), Some(at(350)));
        pairing.settle(None);
        drop(pairing);
        assert_eq!(told(&mut notes).len(), 2);
    }

    #[test]
    fn what_waits_when_the_client_goes_away_is_told() {
        let (worker, mut notes) = worker();
        let mut pairing = Pairing::new(&worker, asking(Class::Safe));
        pairing.fail(A, FailureKind::Timeout, Weight::Full, at(0));
        drop(pairing);
        assert_eq!(told(&mut notes), [(A, Elsewhere::Unknown)]);
    }

    #[test]
    fn more_than_can_wait_lose_nothing() {
        let (worker, mut notes) = worker();
        let mut pairing = Pairing::new(&worker, asking(Class::Safe));
        for id in 0..5 {
            pairing.fail(EndpointId(id), FailureKind::Refused, Weight::Full, at(0));
        }
        pairing.settle(Some(B));
        let mut ids: Vec<u32> = told(&mut notes).iter().map(|(endpoint, _)| endpoint.0).collect();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_copy_hears_what_the_request_itself_met() {
        for (failures, well, met) in [
            (&[][..], Some(B), Elsewhere::Well),
            (&[(A, FailureKind::Status)], None, Elsewhere::FailingStatus(A)),
            (&[(A, FailureKind::Reset)], None, Elsewhere::Unknown),
        ] {
            let (worker, _notes) = worker();
            let (copy, mut heard) = oneshot::channel();
            let mut pairing = Pairing::new(&worker, asking(Class::Safe));
            pairing.tell_copy(copy);
            failures.iter().for_each(|(endpoint, kind)| pairing.fail(*endpoint, *kind, Weight::Full, at(0)));
            pairing.settle(well);
            assert_eq!(heard.try_recv(), Ok(met));
        }
    }
}
