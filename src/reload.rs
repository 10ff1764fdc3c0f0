//! Where the config comes from, and reading it again: all of it valid and it is put in force, or nothing changes.

use crate::app::Hotspare;
use crate::config::{self, Color, Config, Problems};
use crate::domain::Generation;
use crate::telemetry::control::Reload;
use crate::telemetry::words::count;
use std::path::PathBuf;
use tokio::task::JoinError;

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
    pub fn load(&self) -> Result<Config, Problems> {
        match self {
            Source::File(path) => config::load(path),
            Source::Text { name, text } => config::parse(name, text, &|path| std::fs::read(path)),
        }
    }
}

/// What reading the config again came to.
#[derive(Debug)]
pub struct Loaded(Result<Result<Config, Problems>, JoinError>);

/// Reads the config again. May be given up: nothing has changed yet.
pub async fn read(source: &Source) -> Loaded {
    let source = source.clone();
    // Names are resolved in there: not on this thread, which answers scrapes meanwhile.
    Loaded(tokio::task::spawn_blocking(move || source.load()).await)
}

/// Puts it in force, if it is valid. What came of it is logged and counted.
pub async fn apply(hotspare: &mut Hotspare, loaded: Loaded) {
    let rejected = match loaded.0 {
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
