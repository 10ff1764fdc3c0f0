//! What became of the demo's visits: sums, and the first that failed as evidence. Not here: making them (`visitors`).

use crate::domain::Moment;
use http::StatusCode;
use std::fmt;
use std::time::Duration;

/// One request of a visitor, from its begin to the last byte of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    pub kind: Kind,
    pub began: Moment,
    pub took: Duration,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    Post,
}

/// How a visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer.
    Answered(StatusCode),
    /// No connection, or no TLS.
    NotConnected,
    /// The connection closed before the answer's head was whole.
    NoAnswer,
    /// The answer broke off.
    Cut,
    TimedOut,
    /// So many visits were still waiting that this one was not begun.
    Crowded,
}

impl Outcome {
    pub fn is_good(self) -> bool {
        self.status().is_some_and(|status| status.is_success() || status.is_redirection())
    }

    /// Of a whole answer, good or not.
    pub fn status(self) -> Option<StatusCode> {
        match self {
            Outcome::Answered(status) => Some(status),
            Outcome::NotConnected | Outcome::NoAnswer | Outcome::Cut | Outcome::TimedOut | Outcome::Crowded => None,
        }
    }
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Visit { kind, began, took, outcome } = self;
        let kind = match kind {
            Kind::Get => "GET",
            Kind::Post => "POST",
        };
        write!(f, "{kind} at {began}: ")?;
        match outcome {
            Outcome::Answered(status) => write!(f, "{}", status.as_u16())?,
            Outcome::NotConnected => f.write_str("no connection")?,
            Outcome::NoAnswer => f.write_str("no answer")?,
            Outcome::Cut => f.write_str("the answer broke off")?,
            Outcome::TimedOut => f.write_str("timed out")?,
            Outcome::Crowded => f.write_str("not begun, too many were waiting")?,
        }
        write!(f, " after {} ms", took.as_millis())
    }
}

/// The sums over one kind of visit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub made: u64,
    /// Not good, `unanswered` among them.
    pub failed: u64,
    /// No whole answer came.
    pub unanswered: u64,
    pub slowest: Duration,
}

/// The sums over all visits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub gets: Account,
    pub posts: Account,
    pub first_failed_get: Option<Visit>,
}

impl Ledger {
    pub fn note(&mut self, visit: Visit) {
        let account = match visit.kind {
            Kind::Get => &mut self.gets,
            Kind::Post => &mut self.posts,
        };
        account.made += 1;
        account.slowest = account.slowest.max(visit.took);
        account.unanswered += u64::from(visit.outcome.status().is_none());
        if !visit.outcome.is_good() {
            account.failed += 1;
            if visit.kind == Kind::Get {
                self.first_failed_get.get_or_insert(visit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_summed_by_kind_and_the_first_failed_get_is_kept() {
        let mut ledger = Ledger::default();
        let answered = |status| Outcome::Answered(StatusCode::from_u16(status).unwrap());
        let visits = [
            (Kind::Get, 10, answered(200)),
            (Kind::Post, 20, answered(303)),
            (Kind::Post, 30, Outcome::NoAnswer),
            (Kind::Get, 40, answered(502)),
            (Kind::Get, 15, Outcome::Cut),
        ];
        for (kind, millis, outcome) in visits {
            let took = Duration::from_millis(millis);
            ledger.note(Visit { kind, began: Moment::ZERO, took, outcome });
        }
        let account = |made, failed, unanswered, millis| Account {
            made,
            failed,
            unanswered,
            slowest: Duration::from_millis(millis),
        };
        assert_eq!(ledger.gets, account(3, 2, 1, 40));
        assert_eq!(ledger.posts, account(2, 1, 1, 30));
        assert_eq!(ledger.first_failed_get.unwrap().to_string(), "GET at +0.000s: 502 after 40 ms");
    }
}
