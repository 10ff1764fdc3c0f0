//! The directory that files are named from in a config: its own.
//!
//! Not here: which files are read, and when.

use super::load::bytes;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A directory. Nothing in it is opened until it is asked for.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// By what a file is known to be as it was, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// No program can set it back, as backups and `cp -p` do with the other.
    changed: (i64, i64),
}

/// Two changes within this may leave one mark: clocks of file systems are coarse.
const COARSE: Duration = Duration::from_secs(2);

impl Folder {
    /// Where the config file is.
    pub fn of(config: &Path) -> Folder {
        Folder(config.parent().unwrap_or(Path::new("")).to_owned())
    }

    /// The directory that the process runs in.
    pub fn here() -> Folder {
        Folder(PathBuf::new())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    pub(super) fn path(&self, file: &Path) -> PathBuf {
        self.0.join(file)
    }

    /// The whole file. May block.
    pub(super) fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        bytes(&self.path(Path::new(file)))
    }

    /// The names in a directory. May block.
    pub(super) fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.path(directory))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// The mark of a file, if it can be told from a change that comes later. May block.
    pub(super) fn mark(&self, file: &str, now: SystemTime) -> Option<Mark> {
        let found = fs::metadata(self.path(Path::new(file))).ok()?;
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(found.ctime()).ok()?);
        let settled = now.duration_since(changed).is_ok_and(|age| age > COARSE);
        settled.then(|| Mark {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}
