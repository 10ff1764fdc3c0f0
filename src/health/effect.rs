//! What became of requests for what a reload has changed: counted by workers for as long as the reload is watched, read by whoever
//! watches it.
//!
//! It is a tally as an endpoint's is, one for each backend, of what users got rather than of what endpoints gave: a rescued
//! request is a good one. Bounds: as many notes wait as [`notes::WAITING`]; more are dropped.
//!
//! Not here: what counts prove (`domain::effect`), what follows (`reload`).

use super::notes::{self, Note, Notes};
use super::tally::{Asking, Tally, TallyReader};
use crate::config::sites::Site;
use crate::domain::{Elsewhere, EndpointId, FailedRequest, FailureKind, Moment, TallyDelta, Weight};
use crate::telemetry::cells::WorkerIndex;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The workers' end: part of the view that the reload brought.
#[derive(Debug)]
pub struct Watch {
    /// By the site's place: whether it, or its backend, has changed.
    sites: Box<[bool]>,
    /// By the backend's place.
    tallies: Box<[Option<Arc<Tally>>]>,
    notes: notes::Sender,
}

/// The other end. Dropping it ends the watch: what workers still count is nobody's concern.
#[derive(Debug)]
pub struct WatchReader {
    /// The watched backends' places, in the order of their numbers.
    places: Vec<usize>,
    readers: Vec<TallyReader>,
    notes: Notes,
}

/// What a client got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    Good,
    /// A failing status, of an endpoint or of ours.
    Failure,
}

impl Watch {
    /// For `workers` workers, and a config with `backends` backends: of its sites, in their order, whether each is watched, and its
    /// backend's place. The reader numbers the watched backends in the order of their places.
    pub fn new(
        workers: usize,
        backends: usize,
        sites: impl IntoIterator<Item = (bool, usize)>,
    ) -> (Watch, WatchReader) {
        let (sender, notes) = mpsc::channel(notes::WAITING);
        let (sites, places): (Vec<bool>, Vec<usize>) = sites.into_iter().unzip();
        let watched: BTreeSet<usize> =
            sites.iter().zip(&places).filter(|(is, _)| **is).map(|(_, place)| *place).collect();
        let tally = |(number, place): (usize, &usize)| {
            let id = EndpointId(u32::try_from(number).expect("a config has fewer than 2^32 backends"));
            (*place, Arc::new(Tally::new(id, workers)))
        };
        let mut tallies: Vec<Option<Arc<Tally>>> = vec![None; backends];
        let mut readers = Vec::new();
        for (place, tally) in watched.iter().enumerate().map(tally) {
            readers.push(TallyReader::new(tally.clone()));
            tallies[place] = Some(tally);
        }
        let watch = Watch { sites: sites.into(), tallies: tallies.into(), notes: sender };
        (watch, WatchReader { places: watched.into_iter().collect(), readers, notes })
    }

    /// A request of that site, which is one of the same config, was answered. Allocates nothing, and nobody waits.
    pub fn note(&self, worker: WorkerIndex, site: &Site, asking: Asking, got: Got, began: Moment, now: Moment) {
        if !self.sites.get(site.place).is_some_and(|watched| *watched) {
            return;
        }
        let Some(Some(tally)) = self.tallies.get(site.backend) else { return };
        match got {
            Got::Good => tally.cells.of(worker).note_good(asking, began, now),
            Got::Failure => {
                let Asking { class, client, path } = asking;
                let (kind, weight, elsewhere) = (FailureKind::Status, Weight::Full, Elsewhere::Unknown);
                let failed = FailedRequest { kind, class, weight, client, path, elsewhere };
                // Where so many wait to be read, one more says the same.
                let _ = self.notes.try_send(Note { endpoint: tally.id, at: now, failed });
            }
        }
    }
}

impl WatchReader {
    /// The places of the watched backends, in the order of their numbers.
    pub fn backends(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().copied()
    }

    /// What was counted of each watched backend since the last look.
    pub fn look(&mut self) -> impl Iterator<Item = (usize, TallyDelta)> + '_ {
        for _ in 0..notes::WAITING {
            let Ok(note) = self.notes.try_recv() else { break };
            let number = usize::try_from(note.endpoint.0).expect("at least 32 bits");
            self.readers[number].add(note);
        }
        self.readers.iter_mut().map(TallyReader::look).enumerate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::domain::{Class, Fingerprint};

    #[test]
    fn what_users_got_is_read_by_backend_and_only_of_what_changed() {
        let site = |host: &str, backend: &str| format!("[[site]]\nhosts = ['{host}']\nbackend = '{backend}'\n");
        let backend = |name: &str| {
            format!("[[backend]]\nname = '{name}'\nprimary = {{ name = 'p', endpoints = ['10.0.0.1:80'] }}\n")
        };
        let text = [
            "[[listener]]\naddress = '127.0.0.1:80'\n",
            &backend("a"),
            &backend("b"),
            &site("x", "b"),
            &site("y", "b"),
        ];
        let config = config::parse("test.toml", &text.concat(), &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let changed = config.sites.all().iter().map(|site| (&*site.hosts[0] == "x", site.backend));
        let (watch, mut reader) = Watch::new(1, 2, changed);
        let asking = Asking { class: Class::Safe, client: Fingerprint(1), path: Fingerprint(2) };
        let [x, y] = config.sites.all() else { panic!() };
        for got in [Got::Good, Got::Good, Got::Failure] {
            watch.note(WorkerIndex(0), x, asking, got, Moment::ZERO, Moment::ZERO);
            watch.note(WorkerIndex(0), y, asking, got, Moment::ZERO, Moment::ZERO);
        }
        let looked: Vec<_> = reader.look().collect();
        assert_eq!(looked.len(), 1, "the other backend is not watched");
        assert_eq!((looked[0].0, looked[0].1.good[Class::Safe], looked[0].1.failed.len()), (0, 2, 1));
        drop(reader);
        watch.note(WorkerIndex(0), x, asking, Got::Failure, Moment::ZERO, Moment::ZERO);
    }
}
