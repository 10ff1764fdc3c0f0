//! The state file on disk: replaced in one step, read with care, set aside when it is damaged.
//!
//! Not here: when it is written (`state_file`), how it is spelt (`schema`).

use super::schema::{self, Damage, LARGEST};
use crate::domain::Memory;
use crate::telemetry::files::{Doing, FileError};
use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const NAME: &str = "state.json";
/// The next one, while it is written.
const NEXT: &str = "state.json.new";
/// What a damaged one is called, before the Unix time at which it was found.
const DAMAGED: &str = "state.json.damaged-";
/// Damaged ones that are kept, the newest: enough to see that it happens again and again.
const DAMAGED_KEPT: usize = 4;

/// What was found at the start.
#[derive(Debug)]
pub enum Remembered {
    /// No state file: a first start, or somebody removed it.
    Nothing,
    Memory(Memory),
    /// There was one, and it is of no use. It was told in the log.
    Lost(Lost),
}

/// Why a memory is lost, and where its file is now. As text: what an operator has to know.
#[derive(Debug)]
pub struct Lost {
    file: PathBuf,
    why: Why,
    aside: Result<PathBuf, FileError>,
}

#[derive(Debug)]
enum Why {
    Unreadable(io::Error),
    NotAFile,
    TooLarge,
    Damaged(Damage),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is of no use: ", self.file.display())?;
        match &self.why {
            Why::Unreadable(error) => write!(f, "it can't be read ({error})")?,
            Why::NotAFile => write!(f, "it is not a file")?,
            Why::TooLarge => write!(f, "it has more than {} MiB", LARGEST >> 20)?,
            Why::Damaged(damage) => write!(f, "{damage}")?,
        }
        match &self.aside {
            Ok(aside) => write!(f, ". It was set aside as {}", aside.display())?,
            Err(error) => write!(f, ". It could not be set aside ({error})")?,
        }
        write!(
            f,
            ". Forgotten are: which pools served, commands that stood (hold, drain, failover, readonly), which pools took writes \
             that others lack, and how often pools flapped. Everything begins anew from the configuration and from probes; give \
             commands again, and check for writes on the spare before they are overwritten"
        )
    }
}

/// Reads what an earlier process left in `directory`. What is damaged is set aside and told in the log; what is left of
/// commands is as at the wall time `now`.
pub fn read(directory: &Path, now: SystemTime) -> Remembered {
    let file = directory.join(NAME);
    let why = match load(&file) {
        Ok(None) => return Remembered::Nothing,
        Ok(Some(bytes)) => match schema::decode(&bytes, now) {
            Ok(memory) => return Remembered::Memory(memory),
            Err(damage) => Why::Damaged(damage),
        },
        Err(why) => why,
    };
    let lost = Lost { aside: set_aside(directory, now), file, why };
    tracing::warn!("{lost}");
    Remembered::Lost(lost)
}

/// The file's bytes; `None`: there is no such file.
fn load(path: &Path) -> Result<Option<Vec<u8>>, Why> {
    // A pipe in its place would keep a blocking open waiting for its other end.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match File::options().read(true).custom_flags(nonblocking).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(Why::Unreadable)?,
    };
    if !file.metadata().map_err(Why::Unreadable)?.is_file() {
        return Err(Why::NotAFile);
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(Why::Unreadable)?;
    if bytes.len() > LARGEST { Err(Why::TooLarge) } else { Ok(Some(bytes)) }
}

/// Gives the file, or whatever stands in its place, another name, and forgets the oldest that were set aside.
fn set_aside(directory: &Path, now: SystemTime) -> Result<PathBuf, FileError> {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let named = |seconds: u64| directory.join(format!("{DAMAGED}{seconds}"));
    // Two in one second: the later one's name says a second more, and neither takes the other's place.
    let free = (seconds..).map(named).find(|path| fs::symlink_metadata(path).is_err());
    let (file, aside) = (directory.join(NAME), free.unwrap_or_else(|| named(seconds)));
    fs::rename(&file, &aside).map_err(Doing::Rename.failed(&file))?;
    for old in damaged(directory).into_iter().rev().skip(DAMAGED_KEPT) {
        if let Err(error) = fs::remove_file(&old).or_else(|_| fs::remove_dir(&old)) {
            tracing::warn!("{}", Doing::Remove.failed(&old)(error));
        }
    }
    Ok(aside)
}

/// All that were set aside, oldest first.
fn damaged(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let dated = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        let seconds: u64 = name.to_str()?.strip_prefix(DAMAGED)?.parse().ok()?;
        Some((seconds, directory.join(name)))
    });
    let mut dated: Vec<(u64, PathBuf)> = dated.collect();
    dated.sort_unstable();
    dated.into_iter().map(|(_, path)| path).collect()
}

/// Replaces the file by one of these bytes, in one step: whatever happens on the way, the old one or the new one is there,
/// whole, and once this has returned the new one is on the disk.
pub(super) fn write(directory: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let next = directory.join(NEXT);
    if bytes.len() > LARGEST {
        let large = format!("it would have {} bytes, and no more than {LARGEST} are read", bytes.len());
        return Err(Doing::Write.failed(&next)(io::Error::new(ErrorKind::FileTooLarge, large)));
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o750).create(directory).map_err(Doing::CreateDirectory.failed(directory))?;
    let written = write_beside(&next, bytes).and_then(|()| {
        let file = directory.join(NAME);
        fs::rename(&next, &file).map_err(Doing::Rename.failed(&next))
    });
    if written.is_err() {
        // What it takes up is missing elsewhere on a full disk. It is overwritten the next time if this does not work.
        let _ = fs::remove_file(&next);
    }
    written?;
    sync_directory(directory).map_err(Doing::Sync.failed(directory))
}

fn write_beside(next: &Path, bytes: &[u8]) -> Result<(), FileError> {
    // What a crash left there may have another mode, or be a link to elsewhere.
    match fs::remove_file(next) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Doing::Remove.failed(next)(error)),
        Ok(()) | Err(_) => {}
    }
    let file = File::options().create_new(true).write(true).mode(0o600).open(next);
    let mut file = file.map_err(Doing::Open.failed(next))?;
    file.write_all(bytes).map_err(Doing::Write.failed(next))?;
    file.sync_all().map_err(Doing::Sync.failed(next))
}

/// Without this a power failure may undo the rename. Where a file system has no such thing, it keeps its names by itself.
fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests;
