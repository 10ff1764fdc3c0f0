//! `hotspare run`: the office's thread. Signals in, reloads and the drain out.

use super::{Run, Verdict, color, quick};
use crate::app::Hotspare;
use crate::reload::{self, Source};
use crate::runtime::clock::Clock;
use crate::runtime::signals::{Signal, Signals};
use crate::telemetry::log::{self, Format};
use crate::telemetry::words::count;
use anyhow::Context;
use tokio::runtime::{Builder, LocalOptions};

/// Serves until a signal ends it.
pub fn run(options: Run) -> anyhow::Result<Verdict> {
    log::start(if options.log_json { Format::Json } else { Format::Human })?;
    let source = if options.primary.is_empty() { Source::File(options.config) } else { quick::source(&options)? };
    let config = match source.load() {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{}{}. hotspare was not started.", problems.render(color()), count(problems.len(), "problem"));
            return Ok(Verdict::Problem);
        }
    };
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = runtime.context("cannot start")?;
    let verdict = runtime.block_on(async {
        let signals = Signals::listen().context("cannot take over signals")?;
        let hotspare = Hotspare::start(config, Clock::start()).await?;
        let view = hotspare.published().load();
        for listener in &view.config.listeners {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            tracing::info!("accepting {scheme} on {}", listener.address);
        }
        tracing::info!("metrics and status on http://{}", view.config.admin.address);
        drop(view);
        Ok(serve(hotspare, source, signals).await)
    });
    runtime.shutdown_background(); // a config that is still being read would be waited for
    verdict
}

async fn serve(mut hotspare: Hotspare, source: Source, mut signals: Signals) -> Verdict {
    while signals.next().await == Signal::Hangup {
        // A name that does not resolve can take a minute; nobody who wants an end should have to wait for it.
        tokio::select! {
            loaded = reload::read(&source) => reload::apply(&mut hotspare, loaded).await,
            _end = signals.end() => break,
        }
    }
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
