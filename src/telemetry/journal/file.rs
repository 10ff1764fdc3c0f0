//! The journal's files: appending whole lines, rotating, and going on after whatever the disk or somebody else did to them.
//!
//! Another process may append to the same file (one that takes over while the old one drains), so nothing is ever cut off or
//! overwritten here. A torn line, of which a full disk or a crash took the rest, is closed off by a newline, so that the next
//! one can be read.
//!
//! Not here: when to try again (`journal`).

use super::Bounds;
use crate::telemetry::files::{Doing, FileError};
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file that is written and those before it.
#[derive(Debug)]
pub struct Lines {
    directory: PathBuf,
    bounds: Bounds,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The file's own number, by which it is known whatever it is called.
    number: (u64, u64),
    end: End,
}

/// How the file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// In the middle of a line.
    Torn,
}

impl Lines {
    pub fn new(directory: &Path, bounds: Bounds) -> Lines {
        Lines { directory: directory.to_owned(), bounds, open: None }
    }

    /// Appends one line, which ends with its newline, in one write. It opens, creates and rotates as is needed.
    ///
    /// # Errors
    /// Not all of the line was written. The file is closed, and opened anew with the next line.
    pub fn append(&mut self, line: &[u8]) -> Result<(), FileError> {
        let mut open = self.opened()?;
        let path = self.current();
        let size = open.file.metadata().map_err(Doing::Read.failed(&path))?.len();
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if size > 0 && size.saturating_add(length) > self.bounds.file_size {
            open.close_off().map_err(Doing::Write.failed(&path))?;
            open.file.sync_all().map_err(Doing::Sync.failed(&path))?;
            drop(open);
            self.rotate()?;
            open = self.create()?;
        }
        open.write(line).map_err(Doing::Write.failed(&path))?;
        self.open = Some(open);
        Ok(())
    }

    /// Waits until the disk has it all.
    pub(super) fn sync(&mut self) -> Result<(), FileError> {
        match &self.open {
            Some(open) => open.file.sync_all().map_err(Doing::Sync.failed(&self.current())),
            None => Ok(()),
        }
    }

    fn current(&self) -> PathBuf {
        self.directory.join("journal.jsonl")
    }

    fn older(&self, age: u32) -> PathBuf {
        self.directory.join(format!("journal.{age}.jsonl"))
    }

    /// The file that is open, if it is still the one of that name; else the one that is. It is put back by whoever wrote to it
    /// well, so that after an error of any kind the next try begins with a look at what is there.
    fn opened(&mut self) -> Result<Open, FileError> {
        let path = self.current();
        match (self.open.take(), fs::metadata(&path)) {
            (Some(open), Ok(there)) if open.number == number(&there) => Ok(open),
            (Some(_), Ok(_)) => {
                tracing::warn!("{} is another file than it was; the journal goes on in that one", path.display());
                self.create()
            }
            (Some(_), Err(_)) => {
                tracing::warn!("{} was removed or moved; the journal goes on in a new file", path.display());
                self.create()
            }
            (None, _) => self.create(),
        }
    }

    /// Opens the file, or creates it, its directory too.
    fn create(&self) -> Result<Open, FileError> {
        let (directory, path) = (&self.directory, self.current());
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o750).create(directory).map_err(Doing::CreateDirectory.failed(directory))?;
        let file = File::options().create(true).append(true).read(true).mode(0o640).open(&path);
        let file = file.map_err(Doing::Open.failed(&path))?;
        Open::new(file).map_err(Doing::Read.failed(&path))
    }

    /// Makes each file one older, up to the first number that is free, or over the oldest.
    fn rotate(&self) -> Result<(), FileError> {
        let kept = self.bounds.kept;
        if kept == 0 {
            return fs::remove_file(self.current()).map_err(Doing::Remove.failed(&self.current()));
        }
        let free = (1..kept).find(|age| !self.older(*age).exists()).unwrap_or(kept);
        for age in (1..free).rev() {
            move_over(&self.older(age), &self.older(age + 1))?;
        }
        move_over(&self.current(), &self.older(1))?;
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        directory.map_err(Doing::Sync.failed(&self.directory))
    }
}

impl Open {
    fn new(file: File) -> io::Result<Open> {
        let there = file.metadata()?;
        let mut last = [b'\n'];
        if let Some(at) = there.len().checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        let end = if last == [b'\n'] { End::Whole } else { End::Torn };
        Ok(Open { file, number: number(&there), end })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.close_off()?;
        self.end = End::Torn; // until it is written whole
        self.file.write_all(line)?;
        self.end = End::Whole;
        Ok(())
    }

    fn close_off(&mut self) -> io::Result<()> {
        if self.end == End::Torn {
            self.file.write_all(b"\n")?;
            self.end = End::Whole;
        }
        Ok(())
    }
}

fn number(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Renames; a file that is not there has been moved by somebody else, which is as good.
fn move_over(from: &Path, to: &Path) -> Result<(), FileError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Doing::Rename.failed(from)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Bounds = Bounds { file_size: 100, kept: 2 };

    /// All there is, file by file, oldest first.
    fn written(directory: &Path) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap_or_default())
            })
            .collect();
        files.sort();
        files
    }

    fn line(number: u32) -> String {
        format!("{{\"line\":{number:032}}}\n")
    }

    #[test]
    fn files_are_rotated_by_size_and_the_oldest_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let mut lines = Lines::new(directory.path(), SMALL);
        for number in 0..11 {
            lines.append(line(number).as_bytes()).unwrap();
        }
        let expected = [("journal.1.jsonl", [8, 9].as_slice()), ("journal.2.jsonl", &[6, 7]), ("journal.jsonl", &[10])];
        let expected = expected.map(|(name, numbers)| (name.to_owned(), numbers.iter().copied().map(line).collect()));
        assert_eq!(written(directory.path()), expected);
    }

    #[test]
    fn a_gap_among_the_older_files_is_filled_before_one_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = Bounds { kept: 3, ..SMALL };
        fs::write(directory.path().join("journal.2.jsonl"), "newer\n").unwrap();
        fs::write(directory.path().join("journal.3.jsonl"), "oldest\n").unwrap();
        let mut lines = Lines::new(directory.path(), bounds);
        (0..3).for_each(|number| lines.append(line(number).as_bytes()).unwrap());
        let older: Vec<String> = written(directory.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(older[1..3], ["newer\n", "oldest\n"]);
    }

    #[test]
    fn no_line_is_too_long_for_an_empty_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut lines = Lines::new(directory.path(), SMALL);
        let long = "x".repeat(500) + "\n";
        lines.append(long.as_bytes()).unwrap();
        lines.append(long.as_bytes()).unwrap();
        assert_eq!(written(directory.path()).len(), 2);
    }

    #[test]
    fn a_torn_last_line_is_closed_off_at_the_start_and_at_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("journal.jsonl"), "{\"torn\":tr").unwrap();
        Lines::new(directory.path(), SMALL).append(b"{}\n").unwrap();
        assert_eq!(written(directory.path())[0].1, "{\"torn\":tr\n{}\n");

        fs::write(directory.path().join("journal.jsonl"), "x".repeat(99)).unwrap();
        Lines::new(directory.path(), SMALL).append(b"{}\n").unwrap();
        assert_eq!(written(directory.path())[0].1, "x".repeat(99) + "\n", "files can be put together with cat");
    }

    #[test]
    fn a_file_that_was_removed_or_moved_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let mut lines = Lines::new(&state, SMALL);
        lines.append(b"1\n").unwrap();
        fs::remove_dir_all(&state).unwrap();
        lines.append(b"2\n").unwrap();
        fs::rename(state.join("journal.jsonl"), state.join("elsewhere")).unwrap();
        lines.append(b"3\n").unwrap();
        let expected = [("elsewhere", "2\n"), ("journal.jsonl", "3\n")];
        assert_eq!(written(&state), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn two_processes_share_the_files_and_no_line_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = Bounds { file_size: 100, kept: 50 };
        let mut both = [Lines::new(directory.path(), bounds), Lines::new(directory.path(), bounds)];
        for number in 0..60 {
            both[usize::from(number % 3 == 0)].append(line(number).as_bytes()).unwrap();
        }
        let mut found: Vec<String> = written(directory.path())
            .iter()
            .flat_map(|(_, text)| text.lines())
            .map(|line| format!("{line}\n"))
            .collect();
        found.sort();
        assert_eq!(found, (0..60).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_says_which_file_and_is_over_when_its_cause_is() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        fs::write(&state, "a file in the directory's place").unwrap();
        let mut lines = Lines::new(&state, SMALL);
        let error = lines.append(b"1\n").unwrap_err().to_string();
        assert!(error.starts_with("cannot create the directory ") && error.contains("/state: "), "{error}");
        fs::remove_file(&state).unwrap();
        lines.append(b"1\n").unwrap();

        // Every write to this device says that the disk is full.
        let path = state.join("journal.jsonl");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let error = lines.append(b"2\n").unwrap_err().to_string();
        assert!(error.ends_with("journal.jsonl: No space left on device (os error 28)"), "{error}");
        fs::remove_file(&path).unwrap();
        lines.append(b"2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
    }
}
