//! The state directory, and the socket in it. What can't be had is said, and users are served without: our own disk may be the one
//! that fails.
//!
//! Not here: what is kept in the directory, what the socket is for (`admin`).

use super::Trouble;
use crate::admin::{NoSocket, Socket};
use crate::health::state_file::{self, OnDisk, Remembered};
use crate::health::{Records, StateFile};
use crate::runtime::clock::Clock;
use crate::telemetry::control::Control;
use crate::telemetry::journal::{Bounds, Entry, Journal, Line};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For a disk that does not answer: users do not wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket for commands; `None` where no directory is configured, or it can't be used.
///
/// # Errors
/// Another Hotspare runs with that directory: the two would overwrite each other's state.
pub async fn socket(state_dir: Option<&Path>) -> Result<Option<Socket>, Trouble> {
    let Some(state_dir) = state_dir.map(Path::to_owned) else { return Ok(None) };
    let shown = state_dir.display().to_string();
    let opening = tokio::task::spawn_blocking(move || open(&state_dir));
    let why = match tokio::time::timeout(PATIENCE, opening).await {
        Ok(Ok(Ok(socket))) => return Ok(Some(socket)),
        Ok(Ok(Err(NoSocket::InUse))) => return Err(Trouble::StateDir(PathBuf::from(shown))),
        Ok(Ok(Err(NoSocket::Io(error)))) => error.to_string(),
        Ok(Err(panic)) => panic.to_string(),
        Err(_) => "the disk does not answer".to_owned(),
    };
    tracing::warn!(
        "cannot use state_dir {shown}: {why}; users are served all the same, but commands are taken only over TCP, with the \
         token. Let the user that hotspare runs as write there, or name another directory, and start it anew"
    );
    Ok(None)
}

/// The journal and the state file in that directory, and what an earlier process left there.
///
/// # Errors
/// The system gives no thread.
pub async fn records(state_dir: Option<&Path>, control: &Control, clock: Clock) -> io::Result<Records> {
    let journal = Journal::start(state_dir, Bounds::default(), control.files())?;
    let state = StateFile::start(state_dir, control.files())?;
    let Some(state_dir) = state_dir.map(Path::to_owned) else { return Ok(Records { journal, state, memory: None }) };
    let (shown, now) = (state_dir.display().to_string(), clock.wall());
    let reading = tokio::task::spawn_blocking(move || state_file::read(&state_dir, now));
    let memory = match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(Remembered::Memory(memory))) => Some(memory),
        Ok(Ok(Remembered::Nothing | Remembered::Lost(_))) => None, // what is lost was told
        Ok(Err(panic)) => {
            tracing::error!("reading the state in {shown} panicked: {panic}; hotspare begins anew");
            None
        }
        Err(_) => {
            tracing::warn!(
                "the disk with {shown} does not answer: hotspare begins anew, with the first pools and no commands"
            );
            None
        }
    };
    Ok(Records { journal, state, memory })
}

/// Ends what is written there, waiting no longer than a disk is worth.
pub fn finish(journal: &Journal, state: &StateFile, clock: Clock) {
    let last = Line { at: clock.wall(), moment: clock.now(), entry: Entry::Stopped };
    journal.finish(last, PATIENCE);
    if state.finish(PATIENCE) == OnDisk::No {
        tracing::error!("the state is not on disk: the next start knows an older one");
    }
}

fn open(state_dir: &Path) -> Result<Socket, NoSocket> {
    prepare(state_dir)?;
    Socket::bind(state_dir)
}

/// Makes the directory, its owner's alone; one that is there stays as it is.
fn prepare(state_dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
    let mode = fs::metadata(state_dir)?.mode();
    if mode & 0o022 != 0 {
        let shown = state_dir.display();
        tracing::warn!(
            "others may write to state_dir {shown} and could put a socket of theirs there: chmod go-w {shown}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_directory_is_made_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("var/hotspare");
        let socket = socket(Some(&state)).await.unwrap();
        assert!(socket.is_some() && state.join("admin.sock").exists());
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn what_can_not_be_had_is_done_without() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        assert!(socket(Some(&directory.path().join("file/state"))).await.unwrap().is_none());
        let long = directory.path().join("x".repeat(100)); // longer than a socket's path may be
        assert!(socket(Some(&long)).await.unwrap().is_none());
        assert!(socket(None).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn two_do_not_share_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = socket(Some(directory.path())).await.unwrap();
        let second = socket(Some(directory.path())).await.unwrap_err().to_string();
        assert!(second.contains("another hotspare runs") && second.contains("state_dir ="), "{second}");
        drop(first);
        assert!(socket(Some(directory.path())).await.unwrap().is_some());
    }
}
