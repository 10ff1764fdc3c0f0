//! What follows from an attempt: the one place that decides about repeating a request. It acts on nothing.

use super::headers::Upgrading;
use super::reply::Reply;
use crate::config::{Retry, Upgrades};
use crate::domain::Class;
use crate::health::effect::Got;
use crate::telemetry::metrics::ReplyKind;
use crate::upstream::{Failure, Sent};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};

/// Whether a request may be repeated (RFC 9110, section 9.2.1). `upgrades`: what its site says of those who leave HTTP.
pub fn class_of(method: &Method, upgrading: Upgrading, upgrades: Upgrades) -> Class {
    match (upgrading, upgrades) {
        (Upgrading::Yes, Upgrades::Write) => Class::Unsafe,
        (Upgrading::Yes, Upgrades::Read) | (Upgrading::No, Upgrades::Write | Upgrades::Read) => match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Class::Safe,
            _ => Class::Unsafe,
        },
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

/// What a user got, as far as a configuration may be to blame for it. Of other replies of ours nothing follows: the request was wrong, or
/// writes wait for something that no configuration decides.
pub fn users_got<B>(done: &Result<Response<B>, Reply>) -> Option<Got> {
    let answered = match done {
        Ok(response) => Answered::of(response.status()),
        Err(Reply { kind: ReplyKind::Unavailable | ReplyKind::SiteFull, .. }) => Answered::Failing,
        Err(_) => return None,
    };
    Some(match answered {
        Answered::Well => Got::Good,
        Answered::Failing => Got::Failure,
    })
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

/// How far a request may be sent once more after an attempt that may have begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    No,
    /// Running twice is as running once, where it ran.
    WithinPool,
    /// It changes nothing.
    Anywhere,
}

/// By its method (RFC 9110, section 9.2.2), its Idempotency-Key, and what its site says.
pub fn repeats(class: Class, upgrading: Upgrading, method: &Method, headers: &HeaderMap, retry: Retry) -> Repeats {
    const KEY: HeaderName = HeaderName::from_static("idempotency-key");
    match (class, upgrading, retry) {
        (Class::Unsafe, Upgrading::Yes, _) | (_, _, Retry::Off) | (Class::Unsafe, _, Retry::Safe) => Repeats::No,
        (Class::Safe, _, Retry::Safe | Retry::Idempotent) => Repeats::Anywhere,
        (Class::Unsafe, Upgrading::No, Retry::Idempotent) => {
            let idempotent = matches!(*method, Method::PUT | Method::DELETE) || headers.contains_key(KEY);
            if idempotent { Repeats::WithinPool } else { Repeats::No }
        }
    }
}

/// After an answer that speaks against its endpoint.
pub fn after_failing_answer(repeats: Repeats, at_hand: AtHand) -> Step {
    match (repeats, at_hand) {
        (Repeats::Anywhere | Repeats::WithinPool, AtHand::Whole) => Step::Retry,
        (Repeats::Anywhere | Repeats::WithinPool, AtHand::Gone) | (Repeats::No, AtHand::Whole | AtHand::Gone) => {
            Step::Send
        }
    }
}

/// Whether the answer of another pool to a hedge may go to the client: what it has not mirrored yet it does not know, and a cookie
/// of its own would follow the client home.
pub fn is_good_from_away(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status.as_u16(), 200 | 206 | 304) && !headers.contains_key(http::header::SET_COOKIE)
}

/// After a failure.
///
/// A write is sent on only after [`Sent::Nothing`] with the request handed back: that is the proof that it did not begin.
pub fn after_failure(class: Class, repeats: Repeats, failure: &Failure, at_hand: AtHand) -> Step {
    match failure {
        // Ours or the client's: another endpoint would not help.
        Failure::Ours(_) | Failure::ClientBody => Step::Stop,
        Failure::Connect { .. }
        | Failure::Tls { .. }
        | Failure::Reset { .. }
        | Failure::NoHead
        | Failure::Cut { .. }
        | Failure::Stalled { .. }
        | Failure::Malformed { .. }
        | Failure::Withdrawn => match (at_hand, class, failure.sent(), repeats) {
            (AtHand::Gone, _, Sent::Nothing | Sent::Perhaps, _) => Step::Stop,
            (AtHand::Whole, Class::Unsafe, Sent::Nothing, _) => Step::SendOn,
            (AtHand::Whole, _, Sent::Nothing | Sent::Perhaps, Repeats::Anywhere | Repeats::WithinPool) => Step::Retry,
            (AtHand::Whole, _, Sent::Nothing | Sent::Perhaps, Repeats::No) => Step::Stop,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Connection, Malformed, Shortage};
    use http::HeaderValue;
    use std::io;

    fn refused() -> Failure {
        Failure::Connect { error: io::ErrorKind::ConnectionRefused.into() }
    }

    fn reset(sent: Sent) -> Failure {
        Failure::Reset { sent, connection: Connection::Fresh }
    }

    #[test]
    fn only_get_head_and_options_are_safe_and_an_upgrade_only_where_the_site_says_so() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            for upgrades in [Upgrades::Write, Upgrades::Read] {
                assert_eq!(class_of(&method, Upgrading::No, upgrades), Class::Safe, "{method}");
            }
            assert_eq!(class_of(&method, Upgrading::Yes, Upgrades::Write), Class::Unsafe, "{method} with upgrade");
            assert_eq!(class_of(&method, Upgrading::Yes, Upgrades::Read), Class::Safe, "{method} with upgrade to read");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            for upgrading in [Upgrading::No, Upgrading::Yes] {
                assert_eq!(class_of(&method, upgrading, Upgrades::Read), Class::Unsafe, "{method}");
            }
        }
    }

    #[test]
    fn a_write_that_may_have_begun_is_never_repeated() {
        let failures = [
            reset(Sent::Perhaps),
            Failure::NoHead,
            Failure::Cut { received: 0 },
            Failure::Malformed { what: Malformed::Head },
        ];
        for failure in failures {
            for at_hand in [AtHand::Whole, AtHand::Gone] {
                assert_eq!(
                    after_failure(Class::Unsafe, Repeats::No, &failure, at_hand),
                    Step::Stop,
                    "{failure:?} {at_hand:?}"
                );
            }
        }
        assert_eq!(after_failing_answer(Repeats::No, AtHand::Whole), Step::Send);
    }

    #[test]
    fn a_write_that_has_not_begun_is_sent_on() {
        assert_eq!(after_failure(Class::Unsafe, Repeats::No, &refused(), AtHand::Whole), Step::SendOn);
        assert_eq!(after_failure(Class::Unsafe, Repeats::No, &reset(Sent::Nothing), AtHand::Whole), Step::SendOn);
    }

    #[test]
    fn a_read_is_retried_after_any_failure_of_an_endpoint() {
        let failures = [refused(), reset(Sent::Perhaps), Failure::NoHead, Failure::Malformed { what: Malformed::Head }];
        for failure in failures {
            assert_eq!(
                after_failure(Class::Safe, Repeats::Anywhere, &failure, AtHand::Whole),
                Step::Retry,
                "{failure:?}"
            );
            assert_eq!(
                after_failure(Class::Safe, Repeats::No, &failure, AtHand::Whole),
                Step::Stop,
                "{failure:?}, retry off"
            );
            assert_eq!(
                after_failure(Class::Safe, Repeats::Anywhere, &failure, AtHand::Gone),
                Step::Stop,
                "{failure:?}, body gone"
            );
        }
        assert_eq!(after_failing_answer(Repeats::Anywhere, AtHand::Whole), Step::Retry);
        assert_eq!(after_failing_answer(Repeats::No, AtHand::Whole), Step::Send);
    }

    #[test]
    fn nobody_else_is_asked_when_the_trouble_is_ours_or_the_clients() {
        for failure in [Failure::Ours(Shortage::Descriptors), Failure::ClientBody] {
            assert_eq!(
                after_failure(Class::Safe, Repeats::Anywhere, &failure, AtHand::Whole),
                Step::Stop,
                "{failure:?}"
            );
        }
    }

    #[test]
    fn what_runs_twice_as_well_as_once_is_repeated_where_the_site_says_so() {
        let key = |value| {
            HeaderMap::from_iter([(HeaderName::from_static("idempotency-key"), HeaderValue::from_static(value))])
        };
        let keyed = key("1");
        let plain = HeaderMap::new();
        let of = |method: &Method, headers, retry| {
            let class = class_of(method, Upgrading::No, Upgrades::Write);
            repeats(class, Upgrading::No, method, headers, retry)
        };
        for method in [Method::PUT, Method::DELETE] {
            assert_eq!(of(&method, &plain, Retry::Idempotent), Repeats::WithinPool, "{method}");
            assert_eq!(of(&method, &plain, Retry::Safe), Repeats::No, "{method}");
        }
        assert_eq!(of(&Method::POST, &plain, Retry::Idempotent), Repeats::No);
        assert_eq!(of(&Method::POST, &keyed, Retry::Idempotent), Repeats::WithinPool);
        assert_eq!(of(&Method::POST, &keyed, Retry::Safe), Repeats::No);
        assert_eq!(of(&Method::GET, &plain, Retry::Safe), Repeats::Anywhere);
        assert_eq!(of(&Method::GET, &plain, Retry::Off), Repeats::No);
        let upgrade = repeats(Class::Unsafe, Upgrading::Yes, &Method::GET, &plain, Retry::Idempotent);
        assert_eq!(upgrade, Repeats::No);
        for (retry, expected) in [(Retry::Safe, Repeats::Anywhere), (Retry::Off, Repeats::No)] {
            let to_read = repeats(Class::Safe, Upgrading::Yes, &Method::GET, &plain, retry);
            assert_eq!(to_read, expected, "{retry:?}");
        }
        let failed = reset(Sent::Perhaps);
        assert_eq!(after_failure(Class::Unsafe, Repeats::WithinPool, &failed, AtHand::Whole), Step::Retry);
        assert_eq!(after_failure(Class::Unsafe, Repeats::WithinPool, &failed, AtHand::Gone), Step::Stop);
    }

    #[test]
    fn from_another_pool_a_hedge_takes_only_what_every_pool_must_know() {
        let cookie = HeaderMap::from_iter([(http::header::SET_COOKIE, HeaderValue::from_static("a=b"))]);
        for status in [200, 206, 304] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(is_good_from_away(status, &HeaderMap::new()), "{status}");
            assert!(!is_good_from_away(status, &cookie), "{status} with a cookie");
        }
        for status in [201, 204, 301, 302, 401, 404, 410, 500] {
            assert!(!is_good_from_away(StatusCode::from_u16(status).unwrap(), &HeaderMap::new()), "{status}");
        }
    }
}
