//! What follows from an attempt: the one place that decides about repeating a request. It acts on nothing.

use crate::domain::Class;
use crate::upstream::{Failure, Sent};
use http::{Method, StatusCode};

/// Whether a request may be repeated (RFC 9110, section 9.2.1).
pub fn class_of(method: &Method, upgrade: bool) -> Class {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS if !upgrade => Class::Safe,
        _ => Class::Unsafe,
    }
}

/// Whether a response speaks well of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Well,
    /// 500, 502, 503, 504.
    Failing,
}

impl Answered {
    pub fn of(status: StatusCode) -> Answered {
        match status.as_u16() {
            500 | 502 | 503 | 504 => Answered::Failing,
            _ => Answered::Well,
        }
    }
}

/// What to do next with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pass the answer on.
    Send,
    /// It may be repeated: elsewhere, within the budget.
    Retry,
    /// It has provably not begun: it is sent on where it can be, or waits for the verdict.
    SendOn,
    /// Nothing more can be done: the best answer there is, or ours.
    Stop,
}

/// Whether all of the request is still at hand, to be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtHand {
    Whole,
    /// Part of its body has gone.
    Gone,
}

/// After an answer. `retry`: as the backend's config says.
pub fn after_answer(class: Class, answered: Answered, at_hand: AtHand, retry: bool) -> Step {
    match (answered, class, at_hand) {
        (Answered::Failing, Class::Safe, AtHand::Whole) if retry => Step::Retry,
        (Answered::Failing | Answered::Well, Class::Safe | Class::Unsafe, AtHand::Whole | AtHand::Gone) => Step::Send,
    }
}

/// After a failure.
///
/// A write is sent on only after [`Sent::Nothing`] with the request handed back: that is the proof that it did not begin.
pub fn after_failure(class: Class, failure: &Failure, at_hand: AtHand, retry: bool) -> Step {
    match failure {
        // Ours or the client's: another endpoint would not help.
        Failure::Ours(_) | Failure::ClientBody => Step::Stop,
        Failure::Connect { .. }
        | Failure::Reset { .. }
        | Failure::NoHead { .. }
        | Failure::Cut { .. }
        | Failure::Malformed { .. }
        | Failure::Withdrawn => match (at_hand, class, failure.sent()) {
            (AtHand::Gone, Class::Safe | Class::Unsafe, Sent::Nothing | Sent::Perhaps) => Step::Stop,
            (AtHand::Whole, Class::Unsafe, Sent::Perhaps) => Step::Stop,
            (AtHand::Whole, Class::Unsafe, Sent::Nothing) => Step::SendOn,
            (AtHand::Whole, Class::Safe, Sent::Nothing | Sent::Perhaps) if retry => Step::Retry,
            (AtHand::Whole, Class::Safe, Sent::Nothing | Sent::Perhaps) => Step::Stop,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Connection, Malformed, Shortage};
    use std::io;
    use std::time::Duration;

    fn refused() -> Failure {
        Failure::Connect { error: io::ErrorKind::ConnectionRefused.into(), after: Duration::ZERO }
    }

    fn reset(sent: Sent) -> Failure {
        Failure::Reset { sent, connection: Connection::Fresh }
    }

    #[test]
    fn only_get_head_and_options_without_upgrade_are_safe() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert_eq!(class_of(&method, false), Class::Safe, "{method}");
            assert_eq!(class_of(&method, true), Class::Unsafe, "{method} with upgrade");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(class_of(&method, false), Class::Unsafe, "{method}");
        }
    }

    #[test]
    fn a_write_that_may_have_begun_is_never_repeated() {
        let failures = [
            reset(Sent::Perhaps),
            Failure::NoHead { waited: Duration::ZERO },
            Failure::Cut { received: 0 },
            Failure::Malformed { what: Malformed::Head },
        ];
        for failure in failures {
            for at_hand in [AtHand::Whole, AtHand::Gone] {
                assert_eq!(
                    after_failure(Class::Unsafe, &failure, at_hand, true),
                    Step::Stop,
                    "{failure:?} {at_hand:?}"
                );
            }
        }
        assert_eq!(after_answer(Class::Unsafe, Answered::Failing, AtHand::Whole, true), Step::Send);
    }

    #[test]
    fn a_write_that_has_not_begun_is_sent_on() {
        assert_eq!(after_failure(Class::Unsafe, &refused(), AtHand::Whole, true), Step::SendOn);
        assert_eq!(after_failure(Class::Unsafe, &reset(Sent::Nothing), AtHand::Whole, true), Step::SendOn);
    }

    #[test]
    fn a_read_is_retried_after_any_failure_of_an_endpoint() {
        let failures = [
            refused(),
            reset(Sent::Perhaps),
            Failure::NoHead { waited: Duration::ZERO },
            Failure::Malformed { what: Malformed::Head },
        ];
        for failure in failures {
            assert_eq!(after_failure(Class::Safe, &failure, AtHand::Whole, true), Step::Retry, "{failure:?}");
            assert_eq!(
                after_failure(Class::Safe, &failure, AtHand::Whole, false),
                Step::Stop,
                "{failure:?}, retry off"
            );
            assert_eq!(after_failure(Class::Safe, &failure, AtHand::Gone, true), Step::Stop, "{failure:?}, body gone");
        }
        assert_eq!(after_answer(Class::Safe, Answered::Failing, AtHand::Whole, true), Step::Retry);
        assert_eq!(after_answer(Class::Safe, Answered::Failing, AtHand::Whole, false), Step::Send);
        assert_eq!(after_answer(Class::Safe, Answered::Well, AtHand::Whole, true), Step::Send);
    }

    #[test]
    fn nobody_else_is_asked_when_the_trouble_is_ours_or_the_clients() {
        for failure in [Failure::Ours(Shortage::Descriptors), Failure::ClientBody] {
            assert_eq!(after_failure(Class::Safe, &failure, AtHand::Whole, true), Step::Stop, "{failure:?}");
        }
    }
}
