//! Where the config comes from, and reading it beside everything else.
//!
//! Not here: what is done with it (`reload`).

use crate::app::Hotspare;
use crate::config::{self, Config, Folder, InForce, Problems};
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

    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Text { name, .. } => name.clone(),
        }
    }
}

/// What is in force while the config is read again: its certificates stay where what is read is worse.
#[derive(Clone, Debug)]
pub struct Before {
    pub config: Arc<Config>,
    now: SystemTime,
}

impl Before {
    pub fn of(hotspare: &Hotspare) -> Before {
        Before { config: hotspare.published().load().config.clone(), now: hotspare.clock().wall() }
    }
}

/// What came of reading the config.
pub type Loaded = Result<Result<Config, Problems>, tokio::task::JoinError>;

/// Reads and checks all of it on another thread, so that this one goes on: to answer scrapes, and to hear signals.
pub async fn load(source: &Source, before: Option<Before>) -> Loaded {
    let source = source.clone();
    tokio::task::spawn_blocking(move || source.load(before.as_ref())).await
}
