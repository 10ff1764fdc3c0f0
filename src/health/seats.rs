//! How many requests of one site run at once, in all workers together, where its site has a limit on that.
//!
//! The counts outlive views and reloads: a site is known by its name, and who was let in by an earlier config is counted in the next.
//!
//! Not here: what is said to whoever finds no seat (`proxy::reply`).

use crate::config::Sites;
use crate::config::sites::Site;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The seats of all sites of one config. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Seats(Arc<[Option<OfSite>]>);

/// Those of one site.
#[derive(Debug)]
struct OfSite {
    most: usize,
    count: Arc<Count>,
}

/// Written by all workers, but only for requests of sites with a limit.
#[derive(Debug, Default)]
struct Count {
    taken: AtomicUsize,
    refused: AtomicU64,
}

/// One request that runs, counted as long as this lives.
#[derive(Debug)]
pub struct Seat(Arc<Count>);

/// As many requests of that site run as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Seats {
    /// For these sites; those that there were before keep their counts.
    pub(super) fn of(sites: &Sites, before: &Counts) -> (Seats, Counts) {
        let mut counts = Counts::default();
        let of_site = |site: &Arc<Site>| {
            let most = site.max_requests?;
            let count = before.0.get(&site.name()).cloned().unwrap_or_default();
            counts.0.insert(site.name(), count.clone());
            Some(OfSite { most, count })
        };
        let seats = sites.all().iter().map(of_site).collect();
        (Seats(seats), counts)
    }

    /// One for a request of that site, which is one of the same config; `None` where it has no limit. Allocates nothing.
    ///
    /// # Errors
    /// [`Full`]; that is counted.
    pub fn take(&self, site: &Site) -> Result<Option<Seat>, Full> {
        let Some(Some(of_site)) = self.0.get(site.place) else { return Ok(None) };
        let OfSite { most, count } = of_site;
        match count.taken.fetch_update(Relaxed, Relaxed, |taken| (taken < *most).then_some(taken + 1)) {
            Ok(_) => Ok(Some(Seat(count.clone()))),
            Err(_) => {
                count.refused.fetch_add(1, Relaxed);
                Err(Full)
            }
        }
    }

    /// Of a site with a limit: how many requests run, and how many found no seat.
    pub fn counts(&self, site: &Site) -> Option<(usize, u64)> {
        let of_site = self.0.get(site.place)?.as_ref()?;
        Some((of_site.count.taken.load(Relaxed), of_site.count.refused.load(Relaxed)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// The counts of sites by name, for the next config.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(BTreeMap<String, Arc<Count>>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Pages, Rescue, Upgrades};

    fn sites(limits: &[(&str, Option<usize>)]) -> Sites {
        Sites::new(limits.iter().map(|(host, max_requests)| Site {
            place: 0,
            hosts: vec![(*host).into()],
            path: "/".into(),
            backend: 0,
            max_body: None,
            max_requests: *max_requests,
            upgrades: Upgrades::default(),
            rescue: Rescue::default(),
            pages: Pages::default(),
        }))
    }

    #[test]
    fn a_site_has_its_own_seats_and_those_that_are_left_are_free_again() {
        let sites = sites(&[("a", Some(2)), ("b", None), ("c", Some(1))]);
        let [a, b, c] = sites.all() else { panic!("three") };
        let (seats, _) = Seats::of(&sites, &Counts::default());
        let first = seats.take(a).unwrap().unwrap();
        let _second = seats.take(a).unwrap().unwrap();
        assert_eq!(seats.take(a).unwrap_err(), Full);
        assert!(seats.take(b).unwrap().is_none(), "no limit, no count");
        let _other = seats.take(c).unwrap().unwrap();
        assert_eq!((seats.counts(a), seats.counts(b), seats.counts(c)), (Some((2, 1)), None, Some((1, 0))));
        drop(first);
        let _third = seats.take(a).unwrap().unwrap();
        assert_eq!(seats.counts(a), Some((2, 1)));
    }

    #[test]
    fn who_was_let_in_before_a_reload_is_counted_after_it() {
        let before = sites(&[("a", Some(3))]);
        let (old, counts) = Seats::of(&before, &Counts::default());
        let mut runs: Vec<_> = (0..3).map(|_| old.take(&before.all()[0]).unwrap().unwrap()).collect();
        // It has another place, and another limit.
        let after = sites(&[("b", None), ("a", Some(2))]);
        let a = &after.all()[1];
        let (new, _) = Seats::of(&after, &counts);
        assert_eq!(new.counts(a), Some((3, 0)));
        for _ in 0..2 {
            assert_eq!(new.take(a).unwrap_err(), Full);
            runs.pop();
        }
        runs.push(new.take(a).unwrap().unwrap());
        assert_eq!(new.counts(a), Some((2, 2)));
        drop(runs);
        assert_eq!((old.counts(&before.all()[0]), new.counts(a)), (Some((0, 2)), Some((0, 2))));
    }

    #[test]
    fn workers_that_ask_at_once_get_no_more_than_there_are() {
        let sites = sites(&[("a", Some(10))]);
        let (seats, _) = Seats::of(&sites, &Counts::default());
        let got = std::thread::scope(|scope| {
            let ask = || (0..100).filter_map(|_| seats.take(&sites.all()[0]).ok().flatten()).collect::<Vec<_>>();
            let threads = [(); 4].map(|()| scope.spawn(ask));
            threads.map(|thread| thread.join().unwrap()).into_iter().flatten().collect::<Vec<_>>()
        });
        assert_eq!((got.len(), seats.counts(&sites.all()[0])), (10, Some((10, 390))));
    }
}
