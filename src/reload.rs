//! Where the config comes from, and reading it again: all of it valid and it is put in force, or nothing changes.

use crate::app::Hotspare;
use crate::config::{self, Color, Config, Folder, InForce, Problems};
use crate::domain::Generation;
use crate::telemetry::control::Reload;
use crate::telemetry::words::count;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// Where the config comes from, each time it is read.
#[derive(Clone, Debug)]
pub enum Source {
    File(PathBuf),
    /// Made from the command line; certificates are still read from their files.
    Text {
        name: String,
        text: String,
    },
}

impl Source {
    /// Reads and checks all of it. Blocks: it reads files and resolves names.
    pub fn load(&self, before: Option<&Before>) -> Result<Config, Problems> {
        let in_force = before.map(|before| InForce { certificates: &before.config.certificates, now: before.now });
        match self {
            Source::File(path) => config::load_over(path, in_force),
            Source::Text { name, text } => config::parse_over(name, text, &|path| std::fs::read(path), in_force),
        }
    }

    /// Where its files are named from.
    pub fn folder(&self) -> Folder {
        match self {
            Source::File(path) => Folder::of(path),
            Source::Text { .. } => Folder::here(),
        }
    }
}

/// What is in force while the config is read again: its certificates stay where what is read is worse.
#[derive(Clone, Debug)]
pub struct Before {
    config: Arc<Config>,
    now: SystemTime,
}

impl Before {
    pub fn of(hotspare: &Hotspare) -> Before {
        Before { config: hotspare.published().load().config.clone(), now: hotspare.clock().wall() }
    }
}

/// What came of reading the config again.
pub type Loaded = Result<Result<Config, Problems>, tokio::task::JoinError>;

/// Reads and checks all of it on another thread, so that this one goes on: to answer scrapes, and to hear signals.
pub async fn load(source: &Source, before: Option<Before>) -> Loaded {
    let source = source.clone();
    tokio::task::spawn_blocking(move || source.load(before.as_ref())).await
}

/// Puts in force what was read, or leaves all as it is. What came of it is logged and counted.
pub async fn reload(hotspare: &mut Hotspare, loaded: Loaded) {
    let rejected = match loaded {
        Ok(Ok(config)) => match hotspare.reconfigure(config).await {
            Ok(generation) => {
                hotspare.note_reload(Reload::Accepted);
                return tracing::info!("reloaded: generation {generation} is in force");
            }
            Err(trouble) => format!("error: {trouble}\n1 problem."),
        },
        Ok(Err(problems)) => format!("{}{}.", problems.render(Color::Plain), count(problems.len(), "problem")),
        Err(panic) => format!("error: reading the config failed: {panic}\n1 problem."),
    };
    hotspare.note_reload(Reload::Rejected);
    let generation: Generation = hotspare.published().load().generation;
    tracing::error!("reload rejected\n{rejected} Generation {generation} stays in force; nothing was changed.");
}
