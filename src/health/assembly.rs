//! How a view is made of a config and the model's snapshot. What did not change is shared with the view before it; counters
//! outlive views and reloads for as long as what they count stays configured.
//!
//! Not here: when to make one (`supervisor`).

use super::effect::Watch;
use super::seats::{Counts, Seats};
use super::tally::Tally;
use super::view::{BackendView, EndpointView, PoolView, Trial, TrialBy, View};
use super::writers::Writers;
use crate::config::{Backend, Config, Pool};
use crate::domain::{
    BackendSnapshot, Diverged, Drained, EndpointId, EndpointSnapshot, Generation, Health, Name, PoolIndex,
    PoolSnapshot, Snapshot,
};
use crate::telemetry::cells::PerWorker;
use crate::telemetry::metrics::BackendCells;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What views are made of.
#[derive(Debug)]
pub(super) struct Assembly {
    workers: usize,
    generation: Generation,
    config: Arc<Config>,
    tallies: BTreeMap<EndpointId, Arc<Tally>>,
    shared: BTreeMap<Name, Shared>,
    seats: Seats,
    seated: Counts,
    watch: Option<Arc<Watch>>,
    /// Those of the newest view, and its generation.
    backends: Box<[Arc<BackendView>]>,
    made: Option<Generation>,
}

/// What all views of a backend share.
#[derive(Clone, Debug)]
struct Shared {
    cells: Arc<PerWorker<BackendCells>>,
    writers: Arc<Writers>,
}

impl Assembly {
    /// For the first generation; `snapshot` is of a model that was told of this config.
    pub(super) fn new(workers: usize, config: Arc<Config>, snapshot: &Snapshot) -> Assembly {
        let mut assembly = Assembly {
            workers,
            generation: Generation(1),
            config: config.clone(),
            tallies: BTreeMap::new(),
            shared: BTreeMap::new(),
            seats: Seats::default(),
            seated: Counts::default(),
            watch: None,
            backends: Box::default(),
            made: None,
        };
        assembly.adopt(Generation(1), config, snapshot, None);
        assembly
    }

    /// Another config; `snapshot` is of a model that was told of it. Keeps the counters of what stays.
    pub(super) fn adopt(
        &mut self,
        generation: Generation,
        config: Arc<Config>,
        snapshot: &Snapshot,
        watch: Option<Arc<Watch>>,
    ) {
        let (mut tallies, mut shared) = (std::mem::take(&mut self.tallies), std::mem::take(&mut self.shared));
        for backend in &snapshot.backends {
            let new = || Shared { cells: Arc::new(PerWorker::new(self.workers)), writers: Arc::default() };
            self.shared.insert(backend.name.clone(), shared.remove(&backend.name).unwrap_or_else(new));
            for endpoint in backend.pools.iter().flat_map(|pool| &pool.endpoints) {
                let new = || Arc::new(Tally::new(endpoint.id, self.workers));
                self.tallies.insert(endpoint.id, tallies.remove(&endpoint.id).unwrap_or_else(new));
            }
        }
        (self.seats, self.seated) = Seats::of(&config.sites, &self.seated);
        (self.generation, self.config, self.watch) = (generation, config, watch);
    }

    /// Every endpoint's tally.
    pub(super) fn tallies(&self) -> impl Iterator<Item = &Arc<Tally>> {
        self.tallies.values()
    }

    /// The places of the backends of which the newest view does not tell the truth any more; all of them after a reload.
    pub(super) fn changed(&self, snapshot: &Snapshot) -> Vec<usize> {
        let is_new = self.made != Some(self.generation);
        let seen = |at: usize| self.backends.get(at).map(|view| &view.snapshot);
        let all = snapshot.backends.iter().enumerate();
        let changed = all.filter(|(at, now)| is_new || seen(*at).is_none_or(|seen| !Arc::ptr_eq(seen, now)));
        changed.map(|(at, _)| at).collect()
    }

    /// The next view. Only what differs from the newest one is made anew.
    pub(super) fn make(&mut self, snapshot: &Snapshot) -> View {
        let backends: Box<[_]> = (self.config.backends.iter().zip(&snapshot.backends).enumerate())
            .map(|(at, (config, snapshot))| match self.backends.get(at) {
                Some(view) if Arc::ptr_eq(&view.config, config) && Arc::ptr_eq(&view.snapshot, snapshot) => {
                    view.clone()
                }
                Some(_) | None => Arc::new(self.backend(config, snapshot)),
            })
            .collect();
        self.backends = backends.clone();
        self.made = Some(self.generation);
        let (config, seats, watch) = (self.config.clone(), self.seats.clone(), self.watch.clone());
        View { generation: self.generation, config, backends, seats, watch }
    }

    fn backend(&self, config: &Arc<Backend>, snapshot: &Arc<BackendSnapshot>) -> BackendView {
        let pools = config.pools.iter().zip(&snapshot.pools);
        let Shared { cells, writers } = self.shared[&config.name].clone();
        BackendView {
            config: config.clone(),
            snapshot: snapshot.clone(),
            pools: pools.map(|(config, snapshot)| self.pool(config, snapshot)).collect(),
            trials: trials(snapshot),
            cells,
            writers,
        }
    }

    fn pool(&self, config: &Pool, snapshot: &PoolSnapshot) -> PoolView {
        let endpoints = config.endpoints.iter().zip(&snapshot.endpoints);
        let those = |wanted: Use| {
            let all = snapshot.endpoints.iter().enumerate();
            all.filter(|(_, endpoint)| Use::of(snapshot, endpoint) == wanted).map(|(at, _)| at).collect()
        };
        PoolView {
            usable: snapshot.health.is_usable(),
            lagging: snapshot.lagging,
            drained: snapshot.drained,
            up: those(Use::First),
            suspect: those(Use::AfterOthers),
            rest: those(Use::AtLast),
            endpoints: endpoints
                .map(|(config, snapshot)| {
                    let tally = self.tallies[&snapshot.id].clone();
                    Arc::new(EndpointView { way: config.way.clone(), tally })
                })
                .collect(),
        }
    }
}

/// When requests go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    First,
    AfterOthers,
    AtLast,
    Never,
}

impl Use {
    fn of(pool: &PoolSnapshot, endpoint: &EndpointSnapshot) -> Use {
        match (is_drained(pool, endpoint), endpoint.health) {
            (Drained::Yes, _) => Use::Never,
            (Drained::No, Health::Unproven | Health::Up { .. }) => Use::First,
            (Drained::No, Health::Suspect { .. }) => Use::AfterOthers,
            (Drained::No, Health::Down(_) | Health::Probation { .. }) => Use::AtLast,
        }
    }
}

fn is_drained(pool: &PoolSnapshot, endpoint: &EndpointSnapshot) -> Drained {
    match (pool.drained, endpoint.drained) {
        (Drained::No, Drained::No) => Drained::No,
        (Drained::Yes, Drained::No | Drained::Yes) | (Drained::No, Drained::Yes) => Drained::Yes,
    }
}

/// What is in probation. A client sees the answer only of the pool that answers everybody, and of that only if it can't
/// lack what clients wrote.
fn trials(snapshot: &BackendSnapshot) -> Box<[Trial]> {
    let mut trials = Vec::new();
    for (index, pool) in snapshot.pools.iter().enumerate() {
        let by = match (snapshot.serving.0 == index, pool.diverged) {
            (true, Diverged::No) => TrialBy::Request,
            (true, Diverged::Yes) | (false, Diverged::No | Diverged::Yes) => TrialBy::Copy,
        };
        for (place, endpoint) in pool.endpoints.iter().enumerate() {
            match endpoint.health {
                Health::Probation { .. } if is_drained(pool, endpoint) == Drained::No => {
                    trials.push(Trial { pool: PoolIndex(index), place, by });
                }
                Health::Probation { .. }
                | Health::Unproven
                | Health::Up { .. }
                | Health::Suspect { .. }
                | Health::Down(_) => {}
            }
        }
    }
    trials.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Config};
    use crate::domain::{Input, Model, Moment, Suspicion};

    /// Two pools of three endpoints.
    fn config() -> Arc<Config> {
        let pool = |name: &str, net: u8| {
            let endpoints: Vec<String> = (1..=3).map(|last| format!("\"10.{net}.0.{last}:80\"")).collect();
            format!("{{ name = \"{name}\", endpoints = [{}] }}", endpoints.join(", "))
        };
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:80\"\n[[backend]]\nname = \"sites\"\nprimary = {}\nsecondary = {}\n",
            pool("a", 1),
            pool("b", 2)
        );
        Arc::new(config::parse("test.toml", &text, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap())
    }

    /// The view of a snapshot that `change` has changed.
    fn view(change: impl FnOnce(&mut BackendSnapshot)) -> BackendView {
        let config = config();
        let mut model = Model::new();
        model.apply(Moment::ZERO, &Input::Reconfigure(config.setup()), &mut Vec::new());
        let mut snapshot = model.snapshot();
        let mut assembly = Assembly::new(1, config, &snapshot);
        change(Arc::make_mut(&mut snapshot.backends[0]));
        let view = assembly.make(&snapshot);
        drop(assembly);
        Arc::into_inner(view.backends.into_iter().next().unwrap()).unwrap()
    }

    const SUSPECT: Health = Health::Suspect { by: Suspicion::Doubted, failures: 0 };

    fn probation() -> Health {
        Health::Probation { trial: crate::domain::Trial::default() }
    }

    #[test]
    fn each_endpoint_stands_where_its_health_puts_it_and_a_drained_one_nowhere() {
        let view = view(|backend| {
            let [pool, drained] = &mut backend.pools[..] else { panic!("two pools") };
            (pool.endpoints[0].health, pool.endpoints[1].health) = (SUSPECT, probation());
            drained.drained = Drained::Yes;
            drained.endpoints[0].health = probation();
        });
        let lists = |pool: usize| {
            let PoolView { up, suspect, rest, .. } = &view.pools[pool];
            (up.to_vec(), suspect.to_vec(), rest.to_vec())
        };
        assert_eq!(lists(0), (vec![2], vec![0], vec![1]));
        assert_eq!(lists(1), (vec![], vec![], vec![]));
        assert_eq!(*view.trials, [Trial { pool: PoolIndex(0), place: 1, by: TrialBy::Request }]);
    }

    #[test]
    fn clients_see_a_trials_answer_only_where_they_are_served_and_nothing_may_be_missing() {
        let trials = |serving: usize, diverged: Diverged| {
            let view = view(|backend| {
                backend.serving = PoolIndex(serving);
                backend.pools[1].diverged = diverged;
                backend.pools.iter_mut().for_each(|pool| pool.endpoints[0].health = probation());
            });
            view.trials.iter().map(|trial| trial.by).collect::<Vec<_>>()
        };
        assert_eq!(trials(0, Diverged::No), [TrialBy::Request, TrialBy::Copy]);
        assert_eq!(trials(1, Diverged::No), [TrialBy::Copy, TrialBy::Request]);
        assert_eq!(trials(1, Diverged::Yes), [TrialBy::Copy, TrialBy::Copy]);
    }
}
