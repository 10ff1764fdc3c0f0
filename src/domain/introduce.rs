//! Endpoints that a new setup brings with it, probed before it is in force; and whether users would be left with none but those
//! that failed.
//!
//! Not here: who is new, and the probes (`health::introduce`).

use super::Input;
use super::evidence::{ProbeReport, ProbeResult};
use super::model::Model;
use super::setup::Setup;
use super::snapshot::Snapshot;
use super::units::{EndpointId, Name};

/// An endpoint that is new, and what came of its first probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduced {
    pub backend: Name,
    pub pool: Name,
    pub endpoint: Name,
    pub report: ProbeReport,
}

/// A backend whose users would have nobody but new endpoints that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranded {
    pub backend: Name,
    pub pool: Name,
    /// All endpoints of that pool; at least one.
    pub endpoints: Vec<Name>,
}

impl Introduced {
    /// Its id, where a setup with it is in force.
    pub fn id(&self, snapshot: &Snapshot) -> Option<EndpointId> {
        let backend = snapshot.backends.iter().find(|backend| backend.name == self.backend)?;
        let pool = backend.pools.iter().find(|pool| pool.name == self.pool)?;
        pool.endpoints.iter().find(|endpoint| endpoint.name == self.endpoint).map(|endpoint| endpoint.id)
    }

    fn failed(&self) -> bool {
        match self.report.result {
            ProbeResult::Failed(_) => true,
            ProbeResult::Passed | ProbeResult::Void(_) => false,
        }
    }
}

impl Model {
    /// The backends whose serving pool would consist only of endpoints that just failed their first probe, were the setup in
    /// force. Found by trying it on a copy.
    pub fn stranded(&self, setup: &Setup, introduced: &[Introduced]) -> Vec<Stranded> {
        let failed: Vec<&Introduced> = introduced.iter().filter(|introduced| introduced.failed()).collect();
        if failed.is_empty() {
            return Vec::new(); // nearly always, and a copy of a thousand backends takes its time
        }
        let mut copy = self.clone();
        copy.apply(self.now(), &Input::Reconfigure(setup.clone()), &mut Vec::new());
        let stranded = |backend: &super::BackendSnapshot| {
            let pool = &backend.pools[backend.serving.0];
            let has_failed = |name: &Name| {
                failed.iter().any(|one| one.endpoint == *name && one.pool == pool.name && one.backend == backend.name)
            };
            let endpoints: Vec<Name> = pool.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
            let all = endpoints.iter().all(has_failed);
            all.then(|| Stranded { backend: backend.name.clone(), pool: pool.name.clone(), endpoints })
        };
        copy.snapshot().backends.iter().filter_map(|backend| stranded(backend)).collect()
    }
}
