//! `hotspare run`: the office's thread. Signals in, reloads and the drain out.

use super::{Run, Verdict, color, complain, quick};
use crate::app::{Hotspare, certificates};
use crate::reload::{self, Reloads, Source};
use crate::runtime::clock::Clock;
use crate::runtime::signals::{Signal, Signals};
use crate::runtime::{tasks, turns};
use crate::telemetry::log::{self, Format};
use crate::telemetry::words::count;
use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, LocalOptions};

/// In the environment, with any value: each worker's longest turn is measured (docs/metrics.md).
const MEASURE_TURNS: &str = "HOTSPARE_MEASURE_TURNS";

/// Serves until a signal ends it.
pub fn run(options: Run) -> anyhow::Result<Verdict> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = runtime.context("cannot start")?;
    raise_descriptors();
    if std::env::var_os(MEASURE_TURNS).is_some() {
        turns::measure();
    }
    let done = runtime.block_on(async {
        // First of all: from here on no signal does what it does by default.
        let signals = Signals::listen().context("cannot take over signals")?;
        let _log = log::start(if options.log_json { Format::Json } else { Format::Human })?;
        let source = if options.primary.is_empty() { Source::File(options.config) } else { quick::source(&options)? };
        attend(source, signals).await
    });
    runtime.shutdown_background(); // a config that is still being read keeps nobody waiting
    done
}

/// As many descriptors as we may have: the usual soft limit, 1,024, is for programs that use select(2).
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Where it fails the lower limit stands, and what follows from it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Starts, serves and stops; signals are heard all the while.
async fn attend(source: Source, mut signals: Signals) -> anyhow::Result<Verdict> {
    let clock = Clock::start();
    let started = tokio::select! {
        started = start(&source, clock) => started?,
        () = signals.end() => {
            tracing::info!("ended by a signal before clients were accepted");
            return Ok(Verdict::Fine);
        }
    };
    match started {
        Some(hotspare) => Ok(serve(hotspare, source, clock, signals).await),
        None => Ok(Verdict::Problem),
    }
}

/// `None`: the config has problems, which have been said.
async fn start(source: &Source, clock: Clock) -> anyhow::Result<Option<Hotspare>> {
    let config = match reload::load(source, None).await.context("reading the config failed")? {
        Ok(config) => config,
        Err(problems) => {
            let (text, problems) = (problems.render(color()), count(problems.len(), "problem"));
            complain(&format!("{text}{problems}. hotspare was not started."));
            return Ok(None);
        }
    };
    let hotspare = Hotspare::start(config, clock).await?;
    let view = hotspare.published().load();
    for listener in &view.config.listeners {
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        tracing::info!("accepting {scheme} on {}", listener.address);
    }
    tracing::info!("metrics and status on http://{}", view.config.admin.address);
    drop(view);
    Ok(Some(hotspare))
}

async fn serve(mut hotspare: Hotspare, source: Source, clock: Clock, mut signals: Signals) -> Verdict {
    let (published, folder) = (hotspare.published().clone(), source.folder());
    tasks::spawn(certificates::keep(published, folder, clock, certificates::EVERY));
    let mut reloads = Reloads::new(source, &hotspare, clock);
    let mut asked = hotspare.take_reloads().expect("nobody has taken them before");
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Hangup => reloads.signal(&hotspare),
                Signal::Terminate | Signal::Interrupt => break,
            },
            Some(order) = asked.recv(), if reloads.has_room() => reloads.ask(&hotspare, order),
            event = reloads.event() => reloads.serve(&mut hotspare, event).await,
            index = hotspare.worker_ended() => hotspare.start_anew(index).await,
        }
    }
    drop((reloads, asked)); // who still waits for one hears that there will be none
    tracing::info!("draining: what runs is finished, nothing new is accepted; a second signal ends it at once");
    let second = async {
        while signals.next().await == Signal::Hangup {
            tracing::warn!("draining: the config is not read again");
        }
    };
    tokio::select! {
        () = hotspare.stop() => {
            tracing::info!("drained");
            Verdict::Fine
        }
        () = second => {
            tracing::warn!("ended by a second signal, with requests cut");
            Verdict::Problem
        }
    }
}
