//! What is counted and told of Hotspare's own files, the journal and the state file: a disk that fails is said when that
//! begins and when it ends, not with every try between.
//!
//! Not here: writing them (`journal`, `health::state_file`), the config file and the log.

use super::names::{self, Metric};
use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge, Opts};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long after a failed try the next one comes: a disk that is full stays so for longer, and one that was full is missed
/// for no longer.
pub const RETRY: Duration = Duration::from_secs(1);

/// What went wrong at a file of ours. Not whose fault: mostly the disk's, or of whoever may not write there.
#[derive(Debug, thiserror::Error)]
#[error("{} {}: {error}", doing.words(), path.display())]
pub struct FileError {
    pub doing: Doing,
    pub path: PathBuf,
    pub error: io::Error,
}

/// What was being done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    CreateDirectory,
    Open,
    Read,
    Write,
    Sync,
    Rename,
    Remove,
}

impl Doing {
    const fn words(self) -> &'static str {
        match self {
            Doing::CreateDirectory => "cannot create the directory",
            Doing::Open => "cannot open",
            Doing::Read => "cannot read",
            Doing::Write => "cannot write",
            Doing::Sync => "cannot sync",
            Doing::Rename => "cannot rename",
            Doing::Remove => "cannot remove",
        }
    }

    /// The error of doing that to `path`.
    pub fn failed(self, path: &Path) -> impl FnOnce(io::Error) -> FileError {
        move |error| FileError { doing: self, path: path.to_owned(), error }
    }
}

/// The counters of both files.
#[derive(Clone, Debug)]
pub struct Files {
    pub journal: Counts,
    pub state: Counts,
    /// Lines of the journal that were dropped.
    pub lines_dropped: IntCounter,
}

/// What is counted of one file.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Tries to write that failed.
    errors: IntCounter,
    /// 1 from the first failed try to the next good one.
    failing: IntGauge,
}

impl Files {
    pub fn new() -> Files {
        Files {
            journal: Counts::new(&names::JOURNAL_ERRORS, &names::JOURNAL_FAILING),
            state: Counts::new(&names::STATE_ERRORS, &names::STATE_FAILING),
            lines_dropped: counter(&names::JOURNAL_LINES_DROPPED),
        }
    }

    pub(super) fn collectors(&self) -> [&dyn Collector; 5] {
        [&self.journal.errors, &self.journal.failing, &self.lines_dropped, &self.state.errors, &self.state.failing]
    }
}

impl Default for Files {
    fn default() -> Files {
        Files::new()
    }
}

impl Counts {
    fn new(errors: &Metric, failing: &Metric) -> Counts {
        let failing = IntGauge::with_opts(Opts::new(failing.name, failing.help)).expect(VALID);
        Counts { errors: counter(errors), failing }
    }

    /// How many tries failed so far.
    pub fn errors(&self) -> u64 {
        self.errors.get()
    }
}

const VALID: &str = "the constants in `names` are valid metric names: a test collects them all";

fn counter(metric: &Metric) -> IntCounter {
    IntCounter::with_opts(Opts::new(metric.name, metric.help)).expect(VALID)
}

/// One file's trouble, kept by its only writer.
#[derive(Debug)]
pub struct Trouble {
    counts: Counts,
    /// Tries that failed since the last good one.
    failed: u64,
}

/// Whether a failure is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Begins,
    GoesOn,
}

impl Trouble {
    pub fn none(counts: Counts) -> Trouble {
        Trouble { counts, failed: 0 }
    }

    /// A try to write failed.
    pub fn failed(&mut self) -> News {
        self.counts.errors.inc();
        self.counts.failing.set(1);
        self.failed = self.failed.saturating_add(1);
        if self.failed == 1 { News::Begins } else { News::GoesOn }
    }

    /// A try was good. How many had failed before it, if that was not known to be over.
    pub fn over(&mut self) -> Option<u64> {
        self.counts.failing.set(0);
        match std::mem::take(&mut self.failed) {
            0 => None,
            failed => Some(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_news_when_it_begins_and_when_it_ends() {
        let files = Files::new();
        let mut trouble = Trouble::none(files.journal.clone());
        assert_eq!(trouble.over(), None);
        assert_eq!([trouble.failed(), trouble.failed()], [News::Begins, News::GoesOn]);
        assert_eq!((files.journal.errors(), files.journal.failing.get()), (2, 1));
        assert_eq!(trouble.over(), Some(2));
        assert_eq!((files.journal.errors(), files.journal.failing.get()), (2, 0));
        assert_eq!(trouble.over(), None);
        assert_eq!(trouble.failed(), News::Begins);
    }

    #[test]
    fn an_error_says_what_was_done_to_which_file() {
        let full = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let error = Doing::Write.failed(Path::new("/var/lib/hotspare/journal.jsonl"))(full);
        assert_eq!(
            error.to_string(),
            "cannot write /var/lib/hotspare/journal.jsonl: No space left on device (os error 28)"
        );
    }
}
