//! Keeps a pool's sums from shrinking when endpoints leave it.
//!
//! A pool's histogram is the sum of its endpoints' cells. An endpoint that a reload removes would take its part out of the
//! sum, and Prometheus takes a counter that went down for a restart: a spike in every rate. So the part stays: while
//! requests still run at a removed endpoint its cells are read on, and once nothing can write to them any more their last
//! values are kept as numbers. When the pool itself goes, its series go with it.
//!
//! An endpoint that comes and goes between two scrapes is never seen: what it counted is missing, nothing goes down.
//! Memory: one entry an endpoint that is configured or still has requests, one sum a configured pool.

use super::family::Spread;
use crate::domain::{Class, EndpointId, Name};
use crate::health::{Tally, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A backend's and a pool's name.
type Place = (Name, Name);

#[derive(Debug, Default)]
pub struct Departed {
    /// Every endpoint whose cells may still change.
    living: BTreeMap<EndpointId, (Place, Arc<Tally>)>,
    /// What endpoints that are gone left behind.
    settled: BTreeMap<Place, Spread>,
}

impl Departed {
    /// Time to the head by pool: of the endpoints in `view`, and of all that were in an earlier one.
    pub fn heads(&mut self, view: &View) -> BTreeMap<Place, Spread> {
        let configured = configured(view);
        let mut sums: BTreeMap<Place, Spread> = places(view).map(|place| (place, Spread::default())).collect();
        self.settled.retain(|place, _| sums.contains_key(place));
        self.living.extend(configured.iter().map(|(id, entry)| (*id, entry.clone())));
        self.living.retain(|id, (place, tally)| {
            if configured.contains_key(id) {
                return true;
            }
            // The only owner left: no view and no request can count here any more.
            let over = Arc::get_mut(tally).is_some();
            if over && sums.contains_key(place) {
                self.settled.entry(place.clone()).or_default().add(&read(tally));
            }
            !over && sums.contains_key(place)
        });
        for (place, tally) in self.living.values() {
            sums.entry(place.clone()).or_default().add(&read(tally));
        }
        for (place, spread) in &self.settled {
            sums.entry(place.clone()).or_default().add(spread);
        }
        sums
    }
}

fn read(tally: &Tally) -> Spread {
    Spread::of(tally.cells.iter().flat_map(|cell| Class::ALL.map(|class| &cell.head[class])))
}

fn places(view: &View) -> impl Iterator<Item = Place> {
    view.backends
        .iter()
        .flat_map(|backend| backend.config.pools.iter().map(|pool| (backend.config.name.clone(), pool.name.clone())))
}

fn configured(view: &View) -> BTreeMap<EndpointId, (Place, Arc<Tally>)> {
    let mut endpoints = BTreeMap::new();
    for backend in &view.backends {
        for (config, pool) in backend.config.pools.iter().zip(&backend.pools) {
            let place = (backend.config.name.clone(), config.name.clone());
            for endpoint in &pool.endpoints {
                endpoints.insert(endpoint.tally.id, (place.clone(), endpoint.tally.clone()));
            }
        }
    }
    endpoints
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Place as Fixture, view};
    use super::*;
    use crate::telemetry::cells::WorkerIndex;
    use std::time::Duration;

    const BOTH: &[Fixture] = &[("new-jersey", &["10.1.0.11:8080", "10.1.0.12:8080"]), ("oregon", &["10.2.0.11:8080"])];
    const ONE: &[Fixture] = &[("new-jersey", &["10.1.0.11:8080"]), ("oregon", &["10.2.0.11:8080"])];

    fn observe(tally: &Tally) {
        tally.cells.of(WorkerIndex(0)).head[Class::Safe].observe(Duration::from_millis(5));
    }

    fn total(departed: &mut Departed, view: &View) -> u64 {
        departed.heads(view)[&("sites".into(), "new-jersey".into())].total()
    }

    #[test]
    fn a_removed_endpoint_leaves_its_numbers_behind() {
        let mut departed = Departed::default();
        let before = view(BOTH);
        observe(&before.backends[0].pools[0].endpoints[0].tally);
        observe(&before.backends[0].pools[0].endpoints[1].tally);
        assert_eq!(total(&mut departed, &before), 2);

        let mut after = view(ONE);
        let pools = &mut Arc::get_mut(&mut after.backends[0]).unwrap().pools;
        for (pool, old) in pools.iter_mut().zip(&before.backends[0].pools) {
            pool.endpoints[0] = old.endpoints[0].clone();
        }
        let running = before.backends[0].pools[0].endpoints[1].tally.clone();
        drop(before);
        assert_eq!(total(&mut departed, &after), 2, "a request still runs there");
        observe(&running);
        assert_eq!(total(&mut departed, &after), 3, "and what it counts is not lost");
        drop(running);
        assert_eq!(total(&mut departed, &after), 3, "nor when it has ended");
        assert_eq!(total(&mut departed, &after), 3, "and it is counted once");
        assert!(!departed.living.contains_key(&EndpointId(1)), "nothing of it is kept but the sum");
    }

    #[test]
    fn a_removed_pool_leaves_nothing_behind() {
        let mut departed = Departed::default();
        departed.heads(&view(BOTH));
        departed.heads(&view(&[("texas", &["10.3.0.11:8080"])]));
        let places: Vec<_> = departed.living.values().map(|(place, _)| &*place.1).collect();
        assert_eq!((places, departed.settled.len()), (vec!["texas"], 0));
    }
}
