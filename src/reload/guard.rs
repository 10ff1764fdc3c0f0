//! Whether a reload is to stay: what came of it is watched, and the last config that stood its time comes back when it breaks
//! what it changed, or when nobody confirms what was to be confirmed.
//!
//! Not here: what proves that something broke (`domain::effect`), how a config is put in force (`app`).

use crate::config::{Backend, Config, Digest};
use crate::domain::{
    BackendSnapshot, Effect, EffectVerdict, Evidence, Explained, Force, Health, Moment, Name, Out, PoolIndex, Routing,
};
use crate::health::{View, Watch, WatchReader};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at what users got.
const LOOK: Duration = Duration::from_millis(250);

/// What stands, and what is tried.
#[derive(Debug)]
pub struct Guard {
    /// What comes back.
    confirmed: Arc<Config>,
    trying: Option<Trying>,
    /// What was taken back, and is not taken again.
    taken_back: Option<Digest>,
}

/// A config that is about to be put in force.
#[derive(Debug)]
pub struct Attempt<'a> {
    pub config: &'a Arc<Config>,
    /// Somebody is to confirm it within that time.
    pub by_hand: Option<Duration>,
    /// Of its sites, which are other than in the confirmed one.
    pub changed: Vec<bool>,
}

/// A reload whose effect is watched.
#[derive(Debug)]
struct Trying {
    config: Arc<Config>,
    /// It is taken back at the end unless somebody has confirmed it; else it is confirmed then.
    by_hand: bool,
    effect: Effect,
    reader: WatchReader,
    /// In the order of the effect's numbers: who, and where it was served from when it began.
    backends: Vec<(Name, Option<PoolIndex>)>,
    next_look: Moment,
}

/// What is to be done.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing, for now.
    Watching,
    /// It stays.
    Confirmed,
    /// `confirmed` comes back.
    TakenBack { confirmed: Arc<Config>, why: Why },
}

/// Why a reload is taken back.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// Requests for what it changed fail.
    Broke { backend: Name, evidence: Evidence },
    /// Nobody said in time that it is to stay.
    NotConfirmed,
}

/// Made before a config is put in force, kept once it is.
#[derive(Debug)]
pub struct Plan {
    /// For the view; `None`: nothing is watched.
    pub watch: Option<Arc<Watch>>,
    trying: Option<Trying>,
}

impl Guard {
    /// The config that was started with is as good as confirmed: there is none before it.
    pub fn new(confirmed: Arc<Config>) -> Guard {
        Guard { confirmed, trying: None, taken_back: None }
    }

    /// The config that a reload is held against.
    pub fn confirmed(&self) -> &Arc<Config> {
        &self.confirmed
    }

    /// Whether that file was taken back and is still the same.
    pub fn refuses(&self, digest: Digest, force: Force) -> bool {
        force == Force::No && self.taken_back == Some(digest)
    }

    /// How that config would be watched.
    pub fn plan(&self, attempt: Attempt<'_>, view: &View, workers: usize, now: Moment) -> Plan {
        let Attempt { config, by_hand, changed } = attempt;
        let nothing = Plan { watch: None, trying: None };
        let (span, by_hand) = match (by_hand, self.trying()) {
            (Some(span), _) => (span, true),
            // What waits for somebody to confirm it goes on waiting: another reload says nothing about it.
            (None, Some((until, true))) => (until.since(now), true),
            (None, Some((_, false)) | None) => (config.confirm, false),
        };
        if span.is_zero() || (!by_hand && !changed.contains(&true)) {
            return nothing;
        }
        let sites = config.sites.all().iter().map(|site| site.backend);
        let (watch, reader) = Watch::new(workers, config.backends.len(), changed.iter().copied().zip(sites));
        let backends: Vec<&Arc<Backend>> = reader.backends().map(|place| &config.backends[place]).collect();
        let served = |backend: &&Arc<Backend>| {
            (backend.name.clone(), view.backend(&backend.name).map(|view| view.snapshot.serving))
        };
        let rules = |backend: &&Arc<Backend>| {
            let probe = &backend.probe;
            (backend.rules, probe.interval + (probe.timeout + probe.fast_interval) * backend.rules.fall)
        };
        let trying = Trying {
            config: config.clone(),
            by_hand,
            effect: Effect::new(now.after(span), backends.iter().map(rules)),
            backends: backends.iter().map(served).collect(),
            reader,
            next_look: now.after(LOOK),
        };
        Plan { watch: Some(Arc::new(watch)), trying: Some(trying) }
    }

    /// It is in force: what was tried before is nobody's concern any more.
    pub fn begin(&mut self, config: &Arc<Config>, plan: Plan) {
        self.taken_back = None;
        self.trying = plan.trying;
        if self.trying.is_none() {
            self.confirmed = config.clone();
        }
    }

    /// Somebody says that it is to stay. `false`: there is nothing to confirm.
    pub fn confirm(&mut self) -> bool {
        match self.trying.take() {
            Some(trying) => {
                self.confirmed = trying.config;
                true
            }
            None => false,
        }
    }

    /// When it must be looked at again; `None`: nothing is tried.
    pub fn next_look(&self) -> Option<Moment> {
        self.trying.as_ref().map(|trying| trying.next_look)
    }

    /// Until when it is watched, and whether somebody must confirm it until then.
    pub fn trying(&self) -> Option<(Moment, bool)> {
        self.trying.as_ref().map(|trying| (trying.effect.until(), trying.by_hand))
    }

    /// Takes in what users got, and says what follows.
    pub fn look(&mut self, now: Moment, view: &View) -> Verdict {
        let Some(trying) = &mut self.trying else { return Verdict::Watching };
        trying.next_look = now.after(LOOK);
        for (number, delta) in trying.reader.look() {
            let (name, served) = &trying.backends[number];
            let explained = view.backend(name).map_or(Explained::No, |view| explained(&view.snapshot, *served));
            trying.effect.note(now, number, &delta, explained);
        }
        let why = match trying.effect.verdict(now) {
            EffectVerdict::Watching => return Verdict::Watching,
            EffectVerdict::Good if trying.by_hand => Why::NotConfirmed,
            EffectVerdict::Good => {
                self.confirm();
                return Verdict::Confirmed;
            }
            EffectVerdict::Bad { backend, evidence } => {
                Why::Broke { backend: trying.backends[backend].0.clone(), evidence }
            }
        };
        self.taken_back = Some(trying.config.digest);
        self.trying = None;
        Verdict::TakenBack { confirmed: self.confirmed.clone(), why }
    }
}

/// Whether probes say why requests fail there: they found an endpoint down that serves, or users were moved since.
fn explained(backend: &BackendSnapshot, served: Option<PoolIndex>) -> Explained {
    let down = |health: Health| match health {
        Health::Down(Out::ByProbes { .. } | Out::ByRefusals { .. }) => true,
        Health::Down(Out::Ejected { .. })
        | Health::Unproven
        | Health::Up { .. }
        | Health::Suspect { .. }
        | Health::Probation { .. } => false,
    };
    let moved = served.is_some_and(|served| served != backend.serving) || backend.routing == Routing::Panic;
    let serving = &backend.pools[backend.serving.0];
    match moved || serving.endpoints.iter().any(|endpoint| down(endpoint.health)) {
        true => Explained::ByProbes,
        false => Explained::No,
    }
}
