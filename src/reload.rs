//! Where the config comes from, and reading it again: all of it valid and it is put in force, or nothing changes. It is a deploy: who
//! is new is probed first, what follows is watched ([`guard`]), and what breaks comes back.
//!
//! Not here: sockets and the swap (`app`), who may ask (`admin`).

mod changes;
mod guard;
mod source;

pub use source::{Before, Loaded, Source, load};

use crate::admin::reloads::{AskedReload, NotReloaded, ReloadOrder, Reloaded, Wanted};
use crate::app::{Hotspare, Trouble};
use crate::config::{Color, Config, Problems, Span};
use crate::domain::{Evidence, Force, Generation, Introduced, Moment, Name, Stranded};
use crate::health::{self, Reconfiguration};
use crate::runtime::clock::Clock;
use crate::telemetry::control::{ConfigState, Reload};
use crate::telemetry::journal::{ConfigStep, Entry};
use crate::telemetry::words::{self, count};
use changes::Changes;
use guard::{Attempt, Guard, Verdict, Why};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A config that was read, and what must be known before it can be put in force.
#[derive(Debug)]
struct Prepared {
    wanted: Wanted,
    config: Arc<Config>,
    introduced: Vec<Introduced>,
}

/// Why the config in force stays.
#[derive(Debug)]
enum Rejected {
    Invalid(Problems),
    /// Reading it panicked.
    Unread(String),
    /// Users of these would have nobody but new endpoints that failed.
    Stranded(Vec<Stranded>),
    /// It was put in force before, and taken back.
    TakenBack,
    Cannot(Trouble),
}

/// Reloads that wait to be done.
const WAITING: usize = 16;

/// All reloads of one process: they are done one after the other.
#[derive(Debug)]
pub struct Reloads {
    source: Source,
    guard: Guard,
    clock: Clock,
    /// The one that is being read and probed, and who waits for it.
    preparing: Option<Preparing>,
    /// Those that came meanwhile. Signals are one, however many they are.
    waiting: VecDeque<(Wanted, Option<Answer>)>,
    signalled: bool,
}

type Answer = oneshot::Sender<Result<Reloaded, NotReloaded>>;

#[derive(Debug)]
struct Preparing {
    reading: JoinHandle<()>,
    done: oneshot::Receiver<Result<Prepared, Rejected>>,
    answer: Option<Answer>,
}

/// What [`Reloads::event`] waited for.
#[derive(Debug)]
pub struct Event(Happened);

#[derive(Debug)]
enum Happened {
    Prepared(Result<Prepared, Rejected>),
    Look,
}

impl Reloads {
    /// Of a Hotspare that was started with a config from that source.
    pub fn new(source: Source, hotspare: &Hotspare, clock: Clock) -> Reloads {
        let guard = Guard::new(hotspare.published().load().config.clone());
        Reloads { source, guard, clock, preparing: None, waiting: VecDeque::new(), signalled: false }
    }

    /// A signal asks for a reload. While one is waited for already, that one will do.
    pub fn signal(&mut self, hotspare: &Hotspare) {
        if !std::mem::replace(&mut self.signalled, true) {
            self.waiting.push_back((Wanted::PLAIN, None));
        }
        self.begin_next(hotspare);
    }

    /// Somebody asks for one, or confirms one.
    pub fn ask(&mut self, hotspare: &Hotspare, AskedReload { order, answer }: AskedReload) {
        match order {
            ReloadOrder::Reload(wanted) => {
                self.waiting.push_back((wanted, Some(answer)));
                self.begin_next(hotspare);
            }
            ReloadOrder::Confirm => {
                let _ = answer.send(self.confirm(hotspare)); // it is confirmed, whether somebody still waits or not
            }
        }
    }

    /// Whether one more may be asked for; those past that wait with whoever asks.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    /// The next thing there is to do, for [`Reloads::serve`]. May be dropped at any time.
    pub async fn event(&mut self) -> Event {
        let look = self.guard.next_look().map(|at| self.clock.instant(at));
        let prepared = async {
            match &mut self.preparing {
                Some(preparing) => (&mut preparing.done)
                    .await
                    .unwrap_or_else(|_| Err(Rejected::Unread("reading it panicked: a bug of hotspare".to_owned()))),
                None => std::future::pending().await,
            }
        };
        let looking = async {
            match look {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            prepared = prepared => Event(Happened::Prepared(prepared)),
            () = looking => Event(Happened::Look),
        }
    }

    /// Does it.
    pub async fn serve(&mut self, hotspare: &mut Hotspare, Event(happened): Event) {
        match happened {
            Happened::Look => self.look(hotspare).await,
            Happened::Prepared(prepared) => {
                let answer = self.preparing.take().and_then(|preparing| preparing.answer);
                let done = match prepared {
                    Ok(prepared) => self.put_in_force(hotspare, prepared).await,
                    Err(rejected) => Err(rejected),
                };
                let told = self.tell(hotspare, done);
                if let Some(answer) = answer {
                    let _ = answer.send(told); // whoever asked may have gone; what was done is done
                }
                self.begin_next(hotspare);
            }
        }
    }

    /// Reads and probes beside everything else: a name may take long to resolve, an endpoint to fail.
    fn begin_next(&mut self, hotspare: &Hotspare) {
        if self.preparing.is_some() {
            return;
        }
        let Some((wanted, answer)) = self.waiting.pop_front() else { return };
        if answer.is_none() {
            self.signalled = false; // one that comes from now on may mean a newer file
        }
        let (source, clock) = (self.source.clone(), self.clock);
        let before = Before::of(hotspare);
        let (ready, done) = oneshot::channel();
        let reading = crate::runtime::tasks::spawn(async move {
            let _ = ready.send(prepare(&source, before, wanted, clock).await);
        });
        self.preparing = Some(Preparing { reading, done, answer });
    }

    async fn put_in_force(&mut self, hotspare: &mut Hotspare, prepared: Prepared) -> Result<Done, Rejected> {
        let Prepared { wanted, config, introduced } = prepared;
        if self.guard.refuses(config.digest, wanted.force) {
            return Err(Rejected::TakenBack);
        }
        let view = hotspare.published().load();
        let changes = Changes::between(&view.config, &config);
        let changed = Changes::between(self.guard.confirmed(), &config).sites;
        let attempt = Attempt { config: &config, by_hand: wanted.by_hand, changed };
        let plan = self.guard.plan(attempt, &view, hotspare.workers().iter().count(), self.clock.now());
        let change =
            Reconfiguration { config: config.clone(), introduced, force: wanted.force, watch: plan.watch.clone() };
        match hotspare.reconfigure(change).await {
            Ok(Ok(generation)) => {
                self.guard.begin(&config, plan);
                Ok(Done { generation, changes, trying: self.guard.trying() })
            }
            Ok(Err(stranded)) => Err(Rejected::Stranded(stranded)),
            Err(trouble) => Err(Rejected::Cannot(trouble)),
        }
    }

    /// What came of a reload: counted, logged, written down, and said to whoever asked.
    fn tell(&self, hotspare: &Hotspare, done: Result<Done, Rejected>) -> Result<Reloaded, NotReloaded> {
        match done {
            Ok(Done { generation, changes, trying }) => {
                let words = self.what_follows(generation, trying);
                hotspare.control().reload(Reload::Accepted);
                hotspare.control().set_config(self.state());
                self.write_down(hotspare, ConfigStep::Accepted, generation, None, words.clone());
                tracing::info!("reloaded: {words}");
                let more = changes.all.len().saturating_sub(Reloaded::TOLD);
                let mut changes = changes.all;
                changes.truncate(Reloaded::TOLD);
                changes.iter().for_each(|change| tracing::info!("  {change}"));
                if more > 0 {
                    tracing::info!("  and {more} more");
                }
                Ok(Reloaded { generation: generation.0, changes, more, words })
            }
            Err(rejected) => {
                let generation = hotspare.published().load().generation;
                let NotReloaded { reason, error } = rejected.said(&self.source);
                hotspare.control().reload(Reload::Rejected);
                self.write_down(hotspare, ConfigStep::Rejected, generation, None, format!("reload rejected: {error}"));
                tracing::error!(
                    "reload rejected\n{error} Generation {generation} stays in force; nothing was changed."
                );
                let error = format!("{error} Generation {generation} stays in force; nothing was changed.");
                Err(NotReloaded { reason, error })
            }
        }
    }

    fn confirm(&mut self, hotspare: &Hotspare) -> Result<Reloaded, NotReloaded> {
        let generation = hotspare.published().load().generation;
        if !self.guard.confirm() {
            let error = format!("nothing waits to be confirmed: generation {generation} is in force and stays");
            return Err(NotReloaded { reason: "nothing_to_confirm", error });
        }
        self.confirmed(hotspare, generation);
        let words = format!("confirmed: generation {generation} stays");
        Ok(Reloaded { generation: generation.0, changes: Vec::new(), more: 0, words })
    }

    fn confirmed(&self, hotspare: &Hotspare, generation: Generation) {
        hotspare.control().reload(Reload::Confirmed);
        hotspare.control().set_config(self.state());
        let words = format!("confirmed: generation {generation} stays");
        tracing::info!("{words}");
        self.write_down(hotspare, ConfigStep::Confirmed, generation, None, words);
    }

    async fn look(&mut self, hotspare: &mut Hotspare) {
        let view = hotspare.published().load();
        let generation = view.generation;
        match self.guard.look(self.clock.now(), &view) {
            Verdict::Watching => {}
            Verdict::Confirmed => self.confirmed(hotspare, generation),
            Verdict::TakenBack { confirmed, why } => self.take_back(hotspare, generation, confirmed, why).await,
        }
    }

    async fn take_back(&self, hotspare: &mut Hotspare, generation: Generation, confirmed: Arc<Config>, why: Why) {
        let (told, file) = (why.told(self.clock.now()), self.source.name());
        let (state, words) = match hotspare.reconfigure(Reconfiguration::to(confirmed)).await {
            Ok(Ok(now)) => {
                let words = format!(
                    "generation {generation} is taken back: {told}. The configuration before it is in force again, as generation {now}. \
                     {file} is refused until it changes, or with `hotspare reload --force`"
                );
                (ConfigState::TakenBack { file, why: told }, words)
            }
            Ok(Err(_)) => unreachable!("a reload that is forced strands nobody"),
            Err(trouble) => {
                let why = format!("{told}; the one before it can't come back: {trouble}");
                let words = format!("generation {generation} should be taken back: {why}");
                (ConfigState::Stuck { file, why }, words)
            }
        };
        tracing::error!("{words}");
        hotspare.control().reload(Reload::TakenBack);
        hotspare.control().set_config(state);
        self.write_down(hotspare, ConfigStep::TakenBack, generation, why.broke(), words);
    }

    fn write_down(
        &self,
        hotspare: &Hotspare,
        step: ConfigStep,
        generation: Generation,
        broke: Option<(Name, Evidence)>,
        words: String,
    ) {
        hotspare.write_down(Entry::Config { step, generation, broke, words });
    }

    fn state(&self) -> ConfigState {
        match self.guard.trying() {
            None => ConfigState::Confirmed,
            Some((until, by_hand)) => ConfigState::Trying { until, by_hand },
        }
    }

    fn what_follows(&self, generation: Generation, trying: Option<(Moment, bool)>) -> String {
        let span = |until: Moment| {
            let left = until.since(self.clock.now()).as_millis().div_ceil(1_000); // 2 s, not 1.999
            Span(Duration::from_secs(u64::try_from(left).unwrap_or(u64::MAX)))
        };
        match trying {
            None => format!("generation {generation} is in force"),
            Some((until, false)) => format!(
                "generation {generation} is in force; for {} it is taken back if it breaks what it changed",
                span(until)
            ),
            Some((until, true)) => format!(
                "generation {generation} is in force; it is taken back in {} unless you run `hotspare confirm`",
                span(until)
            ),
        }
    }
}

impl Drop for Reloads {
    fn drop(&mut self) {
        if let Some(preparing) = &self.preparing {
            preparing.reading.abort();
        }
    }
}

/// A reload that is in force.
#[derive(Debug)]
struct Done {
    generation: Generation,
    changes: Changes,
    trying: Option<(Moment, bool)>,
}

/// Everything that can be known before anything changes.
async fn prepare(source: &Source, before: Before, wanted: Wanted, clock: Clock) -> Result<Prepared, Rejected> {
    let read = load(source, Some(before.clone())).await.map_err(|error| Rejected::Unread(error.to_string()))?;
    let config = Arc::new(read.map_err(Rejected::Invalid)?);
    let introduced = match wanted.force {
        Force::No => health::introduce(&before.config, &config, clock).await,
        Force::Yes => Vec::new(),
    };
    Ok(Prepared { wanted, config, introduced })
}

impl Rejected {
    fn said(&self, source: &Source) -> NotReloaded {
        let one = |reason, error: String| NotReloaded { reason, error: format!("error: {error}\n1 problem.") };
        match self {
            Rejected::Invalid(problems) => {
                let error = format!("{}{}.", problems.render(Color::Plain), count(problems.len(), "problem"));
                NotReloaded { reason: "invalid", error }
            }
            Rejected::Unread(error) => one("cannot", format!("reading the config failed: {error}")),
            Rejected::Cannot(trouble) => one("cannot", trouble.to_string()),
            Rejected::TakenBack => one(
                "taken_back",
                format!(
                    "{} was put in force before and taken back, and has not changed since; `hotspare reload --force` takes it all \
                     the same",
                    source.name()
                ),
            ),
            Rejected::Stranded(stranded) => {
                let each = |Stranded { backend, pool, endpoints }: &Stranded| {
                    let names: Vec<&str> = endpoints.iter().take(4).map(|name| &**name).collect();
                    let more = if endpoints.len() > names.len() { ", …" } else { "" };
                    format!(
                        "error: users of {backend} would be sent to {pool}, whose endpoints are new and failed their first probe ({}{more})\n",
                        names.join(", ")
                    )
                };
                let all: String = stranded.iter().map(each).collect();
                let help = "  = help: are their addresses right, and are they running? `hotspare reload --force` takes it all the same\n";
                NotReloaded { reason: "stranded", error: format!("{all}{help}{}.", count(stranded.len(), "problem")) }
            }
        }
    }
}

impl Why {
    fn told(&self, now: Moment) -> String {
        match self {
            Why::Broke { backend, evidence } => {
                format!("requests for what it changed of {backend} fail: {}", words::evidence(evidence, now))
            }
            Why::NotConfirmed => "nobody confirmed it in time".to_owned(),
        }
    }

    fn broke(self) -> Option<(Name, Evidence)> {
        match self {
            Why::Broke { backend, evidence } => Some((backend, evidence)),
            Why::NotConfirmed => None,
        }
    }
}
