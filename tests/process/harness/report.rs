//! What a load got, and what tests ask about it.

use super::client::Version;
use std::fmt;
use std::time::Duration;

/// One request's fate.
#[derive(Clone, Debug)]
pub struct Note {
    pub method: &'static str,
    pub path: String,
    pub version: Version,
    /// Since the load began.
    pub begun: Duration,
    pub outcome: Outcome,
    /// Who answered.
    pub data_centre: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200, with all of its bytes, and the right ones.
    Good,
    /// What a user would have seen instead: another status,
    Status(u16),
    /// or no whole and right answer.
    Failed(String),
    /// A kept connection was closed as the request was sent; nothing of an answer came. Browsers try again.
    Returned(String),
    /// Nothing listens any more.
    NotAccepted,
}

#[derive(Clone, Debug)]
pub struct Report {
    notes: Vec<Note>,
}

impl Report {
    pub fn of(notes: Vec<Note>) -> Report {
        Report { notes }
    }

    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Of the requests that began after that.
    pub fn since(mut self, begun: Duration) -> Report {
        self.notes.retain(|note| note.begun >= begun);
        self
    }

    pub fn gets(&self) -> Report {
        Report { notes: self.notes.iter().filter(|note| note.method == "GET").cloned().collect() }
    }

    pub fn posts(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(|note| note.method == "POST")
    }

    pub fn answered_by(&self, data_centre: &str) -> usize {
        self.notes.iter().filter(|note| note.data_centre.as_deref() == Some(data_centre)).count()
    }

    pub fn good(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Good))
    }

    /// Answered by Hotspare itself: 502, 503 or 504.
    pub fn ours(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Status(502..=504)))
    }

    /// Never taken on a kept connection: whoever asked sent it again.
    pub fn returned(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Returned(_)))
    }

    /// The first that got no good answer, if any.
    pub fn first_bad(&self) -> String {
        let bad = |note: &&Note| !matches!(note.outcome, Outcome::Good | Outcome::Returned(_));
        self.notes.iter().find(bad).map_or_else(|| "all good".to_owned(), |note| format!("{note:?}"))
    }

    pub fn not_accepted(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::NotAccepted))
    }

    /// Every request got its answer at the first try, over both versions of HTTP.
    pub fn assert_all_good(&self) {
        self.assert_none("failed", |outcome| !matches!(outcome, Outcome::Good));
        for version in [Version::Http1, Version::H2] {
            assert!(self.notes.iter().any(|note| note.version == version), "none over {version:?}");
        }
    }

    /// Nobody who was accepted went without an answer.
    pub fn assert_none_failed(&self) {
        self.assert_none("failed", |outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Status(_)));
    }

    fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        self.notes.iter().filter(|note| which(&note.outcome)).count()
    }

    fn assert_none(&self, what: &str, which: impl Fn(&Outcome) -> bool) {
        let found: Vec<&Note> = self.notes.iter().filter(|note| which(&note.outcome)).collect();
        let first: Vec<String> = found.iter().take(10).map(|note| format!("{note:?}")).collect();
        assert!(found.is_empty(), "{} of {} {what}; first:\n{}", found.len(), self.len(), first.join("\n"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let status = self.count(|outcome| matches!(outcome, Outcome::Status(_)));
        let returned = self.count(|outcome| matches!(outcome, Outcome::Returned(_)));
        let (all, good, refused) = (self.len(), self.good(), self.not_accepted());
        write!(
            f,
            "{all} requests: {good} good, {status} of another status, {failed} failed, {returned} returned, {refused} not accepted"
        )
    }
}
