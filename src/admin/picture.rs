//! The picture of a moment: the published view, the workers' cells and the recent transitions as a [`Status`], and what is wrong
//! in it, in words.
//!
//! Not here: what the fields mean (`status`), how an endpoint or a pool came to its health (`domain`).

use super::certificates;
use super::metrics::{by_outcome, in_flight_at, sum_of};
use super::status::{
    BackendStatus, CERTIFICATES, CommandStatus, EndpointStatus, ListenerStatus, PoolStatus, RECENT, SCHEMA, Status,
    TransitionStatus, WaitingStatus, WritesStatus,
};
use super::{Phase, State};
use crate::config::Listener;
use crate::domain::{
    AfterWrites, BackendSnapshot, Change, Diverged, Drained, EndpointSnapshot, Enforced, Health, Isolation, Lagging,
    Moment, Out, PoolHealth, PoolSnapshot, Routing, Standing, Steadiness, Waiting, Writes,
};
use crate::health::{BackendView, EndpointView, PoolView, Told, View};
use crate::telemetry::control::{ConfigState, Control};
use crate::telemetry::words;
use std::time::{Duration, SystemTime};

/// The picture of this moment.
pub fn picture(state: &State) -> Status {
    let view = state.published.load(); // one picture for the whole answer
    let now = Now { moment: state.clock.now(), wall: state.clock.wall() };
    let mut status = Status {
        schema: SCHEMA,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        now: words::time(now.wall),
        uptime_seconds: seconds(now.moment.since_start()),
        readiness: state.readiness.get().name().to_owned(),
        generation: view.generation.0,
        problems: Vec::new(),
        backends: view.backends.iter().map(|backend| now.backend(backend)).collect(),
        listeners: view.config.listeners.iter().map(|found| now.listener(found)).collect(),
        recent: state.recent.all().iter().rev().take(RECENT).map(|told| now.transition(told)).collect(),
    };
    status.problems = problems(&status, &view, &state.control, now);
    status
}

/// The moment of the picture, on both clocks.
#[derive(Clone, Copy)]
struct Now {
    moment: Moment,
    wall: SystemTime,
}

impl Now {
    fn ago(self, since: Moment) -> Duration {
        self.moment.since(since)
    }

    fn wall_at(self, moment: Moment) -> String {
        words::time(self.wall.checked_sub(self.ago(moment)).unwrap_or(SystemTime::UNIX_EPOCH))
    }

    fn backend(self, view: &BackendView) -> BackendStatus {
        let BackendView { snapshot, pools, cells, .. } = view;
        let told = snapshot.pools.iter().zip(pools).enumerate();
        BackendStatus {
            name: snapshot.name.to_string(),
            serving: snapshot.pools[snapshot.serving.0].name.to_string(),
            serving_since: self.wall_at(snapshot.serving_since),
            serving_for_seconds: seconds(self.ago(snapshot.serving_since)),
            routing: snapshot.routing.name().to_owned(),
            waiting: snapshot.waiting.map(|waiting| self.waiting(snapshot, waiting)),
            ramp_to: snapshot.ramp.map(|ramp| snapshot.pools[ramp.to.0].name.to_string()),
            writes: self.writes(snapshot),
            commands: snapshot.standing.iter().map(|standing| self.command(standing)).collect(),
            in_flight: sum_of(cells, |cell| cell.in_flight.get()),
            waiting_writes: sum_of(cells, |cell| cell.waiting.get()),
            pools: told.map(|(i, (pool, view))| self.pool(pool, view, i == snapshot.serving.0)).collect(),
        }
    }

    fn writes(self, backend: &BackendSnapshot) -> WritesStatus {
        let serving = &backend.pools[backend.serving.0].name;
        let words = match backend.writes {
            Writes::To(pool) => format!("go to {}", backend.pools[pool.0].name),
            Writes::Pausing { to, .. } => {
                format!("wait for those that run elsewhere, then go to {}", backend.pools[to.0].name)
            }
            Writes::Refused(why) => format!("are refused at {serving}: {}", words::read_only(why)),
        };
        WritesStatus {
            state: backend.writes.name().to_owned(),
            reason: backend.writes.reason().map(|why| why.name().to_owned()),
            left_seconds: backend.writes.until().map(|until| seconds(until.since(self.moment))),
            words,
        }
    }

    fn command(self, standing: &Standing) -> CommandStatus {
        CommandStatus {
            command: standing.command.to_string(),
            since: self.wall_at(standing.since),
            left_seconds: standing.ends.map(|ends| seconds(ends.since(self.moment))),
            suspended: standing.force == Enforced::Suspended,
        }
    }

    fn waiting(self, backend: &BackendSnapshot, waiting: Waiting) -> WaitingStatus {
        let target = &backend.pools[waiting.pool().0];
        let to = &target.name;
        let mut left = None;
        let mut until = |until: Moment| {
            let span = until.since(self.moment);
            left = Some(seconds(span));
            words::span(span)
        };
        let words = match waiting {
            Waiting::NotWell { .. } if target.health.is_usable() => {
                let from = &backend.pools[backend.serving.0];
                format!("failback waits: {to} has only {}, {} has {}", up(target), from.name, up(from))
            }
            Waiting::NotWell { .. } => format!("failback waits: {to} is {}, {}", target.health.name(), up(target)),
            Waiting::Stale { .. } => format!("failback waits: {to} is behind by too much"),
            Waiting::Drained { .. } => format!("failback waits: {to} is drained; `hotspare undrain {to}` ends that"),
            Waiting::HoldDown { until: at, .. } => format!("failback to {to} in {} if it stays well", until(at)),
            Waiting::Probes { .. } => {
                format!("failback waits: more than 1 % of the probes of {to} failed since it is well")
            }
            Waiting::Intermittent { .. } => {
                format!(
                    "failback waits: an endpoint of {to} fails now and then; `hotspare failback {}` goes back all the same",
                    backend.name
                )
            }
            Waiting::AfterWrites { rule: AfterWrites::InSync, .. } => {
                format!("failback waits until {to} reports that it has what was written elsewhere")
            }
            Waiting::AfterWrites { rule: AfterWrites::Manual | AfterWrites::Auto, .. } => format!(
                "failback waits for you: {} has taken writes that {to} may lack; copy them, then `hotspare failback {}`",
                backend.pools[backend.serving.0].name, backend.name
            ),
            Waiting::Manual { .. } => {
                format!(
                    "{to} has been well for long enough, but failback.mode is \"manual\" here; `hotspare failback {}` goes back",
                    backend.name
                )
            }
            Waiting::Commanded { .. } => {
                format!("failback waits: an operator's command stands; `hotspare release {}` ends it", backend.name)
            }
            Waiting::Ramp { until: at, .. } => format!("reads return to {to}, all of them in {}", until(at)),
        };
        WaitingStatus { pool: to.to_string(), reason: waiting.name().to_owned(), left_seconds: left, words }
    }

    fn pool(self, pool: &PoolSnapshot, view: &PoolView, serving: bool) -> PoolStatus {
        let endpoints = pool.endpoints.iter().zip(&view.endpoints);
        PoolStatus {
            name: pool.name.to_string(),
            serving,
            health: pool.health.name().to_owned(),
            stale: pool.lagging == Lagging::Stale,
            drained: pool.drained == Drained::Yes,
            diverged: pool.diverged == Diverged::Yes,
            endpoints: endpoints.map(|(endpoint, view)| self.endpoint(endpoint, view)).collect(),
        }
    }

    fn endpoint(self, endpoint: &EndpointSnapshot, view: &EndpointView) -> EndpointStatus {
        let (out, words) = match endpoint.health {
            Health::Down(out @ Out::Ejected { until, .. }) if until > self.moment => {
                let left = words::span(until.since(self.moment));
                (Some(out), format!("{}, for {left} more", words::health(endpoint.health)))
            }
            Health::Down(out) => (Some(out), words::health(endpoint.health).to_owned()),
            Health::Unproven | Health::Up { .. } | Health::Suspect { .. } | Health::Probation { .. } => {
                (None, words::health(endpoint.health).to_owned())
            }
        };
        EndpointStatus {
            name: endpoint.name.to_string(),
            health: endpoint.health.name().to_owned(),
            out: out.map(|out| out.name().to_owned()),
            words: self.remarks(endpoint, words),
            drained: endpoint.drained == Drained::Yes,
            intermittent: endpoint.steadiness == Steadiness::Intermittent,
            lag_seconds: endpoint.lag.map(seconds),
            since: self.wall_at(endpoint.since),
            for_seconds: seconds(self.ago(endpoint.since)),
            in_flight: sum_of(&view.tally.cells, in_flight_at),
            attempts: by_outcome(&view.tally).map(|(outcome, count)| (outcome.to_owned(), count)).collect(),
        }
    }

    /// The health in words, with what else is to be said of the endpoint.
    fn remarks(self, endpoint: &EndpointSnapshot, mut words: String) -> String {
        if endpoint.steadiness == Steadiness::Intermittent {
            words.push_str(", fails now and then");
        }
        if endpoint.warm_at.is_some_and(|at| at > self.moment) {
            words.push_str(", starting slowly");
        }
        if endpoint.drained == Drained::Yes {
            words.push_str(", drained");
        }
        words
    }

    fn listener(self, listener: &Listener) -> ListenerStatus {
        let certificates = listener.tls.as_ref().map_or_else(Vec::new, |tls| tls.by_urgency());
        ListenerStatus {
            address: listener.address.to_string(),
            tls: listener.tls.is_some(),
            more_certificates: certificates.len().saturating_sub(CERTIFICATES),
            certificates: certificates
                .iter()
                .take(CERTIFICATES)
                .map(|in_use| certificates::status(in_use, self.wall))
                .collect(),
        }
    }

    fn transition(self, told: &Told) -> TransitionStatus {
        let transition = &told.transition;
        let backend = transition.backend.as_deref().unwrap_or("").to_owned();
        let who = match &transition.change {
            Change::Endpoint { pool, endpoint, .. } | Change::Steadiness { pool, endpoint, .. } => {
                format!("{pool}/{endpoint}")
            }
            Change::Pool { pool, .. }
            | Change::Lag { pool, .. }
            | Change::Diverged { pool, .. }
            | Change::WritesLeft { pool, .. } => pool.to_string(),
            Change::Command { command, .. } => command.to_string(),
            Change::Serving { .. }
            | Change::Routing { .. }
            | Change::Ramp { .. }
            | Change::Writes { .. }
            | Change::Waiting { .. }
            | Change::Isolation { .. }
            | Change::Probing { .. } => backend.clone(),
        };
        let (from, to) = transition.change.from_to();
        TransitionStatus {
            at: words::time(told.wall),
            ago_seconds: seconds(self.ago(transition.at)),
            backend,
            what: transition.change.name().to_owned(),
            who,
            from: from.unwrap_or_default().to_owned(),
            to: to.unwrap_or_default().to_owned(),
            cause: transition.cause.name().to_owned(),
            words: words::transition(transition),
        }
    }
}

/// What is wrong, worst first: users refused, users on the spare, less in reserve, trouble to come.
fn problems(status: &Status, view: &View, control: &Control, now: Now) -> Vec<String> {
    let mut problems: Vec<(Severity, String)> = Vec::new();
    if status.readiness != Phase::Ready.name() {
        problems.push((Severity::Refused, format!("not ready: {}", status.readiness)));
    }
    of_ourselves(control, &mut problems);
    of_the_config(control, now, &mut problems);
    for backend in &view.backends {
        of_backend(&backend.snapshot, now, &mut problems);
    }
    let waiting = status.backends.iter().filter(|backend| backend.waiting_writes > 0);
    problems.extend(waiting.map(|backend| {
        let writes = words::count(backend.waiting_writes, "write");
        (Severity::Refused, format!("{}: {writes} waiting for a verdict", backend.name))
    }));
    certificates::problems(&view.config.certificates, now.wall, &mut problems);
    problems.sort_by_key(|(severity, _)| *severity); // stable: the order of the configuration within each
    problems.into_iter().map(|(_, words)| words).collect()
}

/// What a problem means to users; worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Refused,
    OnTheSpare,
    LessInReserve,
    ToCome,
}

/// Where the trouble is held to be this machine's own. Said before what is wrong with any backend, since all of that may follow from it.
fn of_ourselves(control: &Control, problems: &mut Vec<(Severity, String)>) {
    if control.isolation() == Isolation::Yes {
        let words = "nobody answers this machine, not one endpoint of any pool: look at its own network, not at the pools; nothing \
                     moves until somebody does, by command neither";
        problems.push((Severity::Refused, words.to_owned()));
    }
    if let Some(illness) = control.illness() {
        let what = words::illness(illness);
        let words =
            format!("probes count for nothing now, for this machine is ill: {what}; what requests meet still counts");
        problems.push((Severity::LessInReserve, words));
    }
}

/// A configuration that is on trial, or was and did not stay.
fn of_the_config(control: &Control, now: Now, problems: &mut Vec<(Severity, String)>) {
    match control.config() {
        ConfigState::Confirmed | ConfigState::Trying { by_hand: false, .. } => {}
        ConfigState::Trying { until, by_hand: true } => {
            let left = words::span(until.since(now.moment));
            let words =
                format!("the configuration is taken back in {left} unless `hotspare confirm` says that it stays");
            problems.push((Severity::ToCome, words));
        }
        ConfigState::TakenBack { file, why } => {
            let words = format!("the configuration in {file} was taken back, and the one before it is in force: {why}");
            problems.push((Severity::LessInReserve, words));
        }
        ConfigState::Stuck { file, why } => {
            problems
                .push((Severity::Refused, format!("the configuration in {file} is in force and should not be: {why}")));
        }
    }
}

fn of_backend(backend: &BackendSnapshot, now: Now, problems: &mut Vec<(Severity, String)>) {
    let name = &backend.name;
    let serving = &backend.pools[backend.serving.0].name;
    match backend.routing {
        Routing::Serving => {}
        Routing::Panic => {
            problems.push((Severity::Refused, format!("{name}: no pool is usable, every endpoint is tried (panic)")));
        }
        Routing::Held => {
            let words = format!(
                "{name}: a command keeps requests at {serving}, which is not usable; `hotspare release {name}`"
            );
            problems.push((Severity::Refused, words));
        }
    }
    if let Writes::Refused(_) = backend.writes {
        problems.push((Severity::Refused, format!("{name}: writes {}", now.writes(backend).words)));
    }
    for standing in &backend.standing {
        let until =
            standing.ends.map_or(String::new(), |ends| format!(", for {} more", words::span(ends.since(now.moment))));
        let suspended = if standing.force == Enforced::Suspended { ", suspended: its pool is not usable" } else { "" };
        problems.push((Severity::ToCome, format!("{name}: command `{}` stands{until}{suspended}", standing.command)));
    }
    if backend.serving.0 != 0 {
        let (to, from) = (&backend.pools[backend.serving.0].name, &backend.pools[0].name);
        let waits = match backend.waiting {
            Some(waiting) => format!("; {}", now.waiting(backend, waiting).words),
            None => String::new(),
        };
        let span = words::span(now.ago(backend.serving_since));
        problems.push((Severity::OnTheSpare, format!("{name}: {to} has served instead of {from} for {span}{waits}")));
    }
    let told = match backend.waiting {
        Some(Waiting::NotWell { pool }) if backend.serving.0 != 0 => Some(pool.0), // just now, with what waits for it
        Some(_) | None => None,
    };
    for (index, pool) in backend.pools.iter().enumerate() {
        if pool.health != PoolHealth::Up && told != Some(index) {
            let words = format!("{name}: pool {} is {}: {}", pool.name, pool.health.name(), up(pool));
            problems.push((Severity::LessInReserve, words));
        }
        if pool.lagging == Lagging::Stale {
            problems
                .push((Severity::LessInReserve, format!("{name}: pool {} is behind by too much (stale)", pool.name)));
        }
        for endpoint in &pool.endpoints {
            if endpoint.health.is_suspect() {
                let words = format!("{name}: {}/{} is {}", pool.name, endpoint.name, words::health(endpoint.health));
                problems.push((Severity::LessInReserve, words));
            }
            if endpoint.steadiness == Steadiness::Intermittent {
                let words = format!("{name}: {}/{} fails now and then (intermittent)", pool.name, endpoint.name);
                problems.push((Severity::LessInReserve, words));
            }
        }
    }
}

/// `1 of 2 endpoints up`.
fn up(pool: &PoolSnapshot) -> String {
    let up = pool.endpoints.iter().filter(|endpoint| endpoint.health.counts_as_up()).count();
    let of = u64::try_from(pool.endpoints.len()).unwrap_or(u64::MAX);
    format!("{up} of {} up", words::count(of, "endpoint"))
}

/// To the millisecond: what more there is nobody reads, and not every parser reads it back as it was.
pub(super) fn seconds(span: Duration) -> f64 {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{SITES, state, view, with_snapshot};
    use super::*;
    use crate::domain::{Cause, Evidence, FailureKind, Illness, PoolIndex, Transition};
    use crate::telemetry::cells::WorkerIndex;

    fn ready(view: View) -> State {
        let state = state(view);
        state.readiness.set(Phase::Ready);
        state
    }

    fn failed_over(waiting: Waiting, health: PoolHealth) -> State {
        ready(with_snapshot(view(SITES), |backend| {
            backend.serving = PoolIndex(1);
            backend.waiting = Some(waiting);
            backend.pools[0].health = health;
            backend.pools[0].endpoints[0].health = Health::Down(Out::ByRefusals { passes: 0 });
        }))
    }

    fn waits(waiting: Waiting, health: PoolHealth) -> WaitingStatus {
        picture(&failed_over(waiting, health)).backends.remove(0).waiting.unwrap()
    }

    #[test]
    fn nothing_is_wrong_when_all_is_up() {
        let status = picture(&ready(view(SITES)));
        assert_eq!(status.problems, [] as [&str; 0]);
        assert_eq!((status.backends[0].serving.as_str(), &status.backends[0].waiting), ("new-jersey", &None));
    }

    #[test]
    fn what_failback_waits_for_is_said_in_words() {
        let pool = PoolIndex(0);
        let down = waits(Waiting::NotWell { pool }, PoolHealth::Down);
        assert_eq!(down.words, "failback waits: new-jersey is down, 1 of 2 endpoints up");
        let less = waits(Waiting::NotWell { pool }, PoolHealth::Degraded);
        assert_eq!(
            less.words,
            "failback waits: new-jersey has only 1 of 2 endpoints up, oregon has 1 of 1 endpoint up",
        );
        let until = Moment::at(Duration::from_secs(100_000));
        let held = waits(Waiting::HoldDown { pool, until }, PoolHealth::Up);
        assert!(held.words.starts_with("failback to new-jersey in 1d 3h if it stays well"), "{}", held.words);
        assert!(held.left_seconds.unwrap() > 90_000.0);
        let manual = waits(Waiting::Manual { pool }, PoolHealth::Up);
        assert!(manual.words.contains("\"manual\""), "{}", manual.words);
    }

    #[test]
    fn the_worst_problem_comes_first() {
        let waiting = Waiting::NotWell { pool: PoolIndex(0) };
        let state = failed_over(waiting, PoolHealth::Down);
        state.readiness.set(Phase::Draining);
        let problems = picture(&state).problems;
        assert_eq!(problems[0], "not ready: draining");
        assert!(problems[1].starts_with("sites: oregon has served instead of new-jersey"), "{problems:?}");
        assert!(problems[1].ends_with("failback waits: new-jersey is down, 1 of 2 endpoints up"), "{problems:?}");
        assert_eq!(problems.len(), 2, "nothing is said twice: {problems:?}");
    }

    #[test]
    fn a_pool_in_reserve_that_is_not_whole_is_a_problem_though_nobody_notices() {
        let state = ready(with_snapshot(view(SITES), |backend| {
            backend.pools[1].health = PoolHealth::Down;
            backend.pools[1].endpoints[0].health = Health::Down(Out::ByProbes { passes: 0 });
        }));
        assert_eq!(picture(&state).problems, ["sites: pool oregon is down: 0 of 1 endpoint up"]);
    }

    #[test]
    fn trouble_of_our_own_is_a_problem_until_it_ends() {
        let state = ready(view(SITES));
        let tell = |change: Change| {
            state.control.transition(&Transition {
                at: Moment::ZERO,
                backend: None,
                first_evidence: None,
                change,
                cause: Cause::NobodyAnswers,
                evidence: Evidence::Configured,
            });
            picture(&state).problems
        };
        let ill = tell(Change::Probing { to: Some(Illness::Short) });
        assert!(
            matches!(&ill[..], [only] if only.contains("descriptors, local ports or memory have run out")),
            "{ill:?}"
        );
        let cut_off = tell(Change::Isolation { to: Isolation::Yes });
        assert!(cut_off[0].starts_with("nobody answers this machine, not one endpoint of any pool"), "{cut_off:?}");
        assert_eq!(cut_off[1..], ill);
        tell(Change::Probing { to: None });
        assert_eq!(tell(Change::Isolation { to: Isolation::No }), [] as [&str; 0]);
    }

    #[test]
    fn an_endpoint_tells_its_health_and_what_was_tried_there() {
        let state = failed_over(Waiting::NotWell { pool: PoolIndex(0) }, PoolHealth::Down);
        let view = state.published.load();
        let cell = view.backends[0].pools[0].endpoints[0].tally.cells.of(WorkerIndex(1));
        cell.good[crate::domain::Class::Safe].add(5);
        cell.failed[FailureKind::Refused as usize].add(2);
        cell.in_flight.add(1);
        let endpoint = picture(&state).backends.remove(0).pools.remove(0).endpoints.remove(0);
        assert_eq!((endpoint.health.as_str(), endpoint.out.as_deref()), ("down", Some("refusals")));
        assert_eq!((endpoint.attempts["good"], endpoint.attempts["refused"], endpoint.in_flight), (5, 2, 1));
    }

    #[test]
    fn certificates_tell_when_they_end() {
        let status = picture(&ready(view(SITES)));
        let certificate = &status.listeners[0].certificates[0];
        assert_eq!(
            (certificate.file.as_str(), certificate.not_after.as_str()),
            ("certs/site.pem", "2100-01-01T00:00:00.000Z")
        );
        assert!(certificate.left_seconds > 0.0);
    }

    #[test]
    fn recent_transitions_come_newest_first_and_bounded() {
        let state = ready(view(SITES));
        for second in 0..50 {
            let transition = Transition {
                at: Moment::ZERO,
                backend: Some("sites".into()),
                first_evidence: None,
                change: Change::Serving { from: "new-jersey".into(), to: "oregon".into() },
                cause: Cause::PoolUnusable,
                evidence: Evidence::Endpoints { up: 0, of: 2, needed: 1 },
            };
            state.recent.push(Told { wall: SystemTime::UNIX_EPOCH + Duration::from_secs(second), transition });
        }
        let recent = picture(&state).recent;
        assert_eq!((recent.len(), recent[0].at.as_str()), (RECENT, "1970-01-01T00:00:49.000Z"));
        assert_eq!(
            recent[0].words,
            "sites: failover new-jersey → oregon: new-jersey is not usable (pool_unusable): 0 of 2 endpoints up; 1 needed",
        );
    }

    #[test]
    fn what_is_written_can_be_read_back() {
        let status = picture(&failed_over(Waiting::Manual { pool: PoolIndex(0) }, PoolHealth::Up));
        let text = serde_json::to_string(&status).unwrap();
        let read: Status = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
