//! Who is answered how in which trouble: one table, without sockets.

use crate::fault::Trouble;
use crate::request::Request;
use crate::site::{self, Page};
use fastrand::Rng;
use std::time::Duration;

/// How one request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Well,
    Late(Duration),
    /// Well, and the connection ends after it.
    LastOnConnection,
    /// With a 500.
    Error,
    /// Never.
    Silence,
    /// By a reset connection.
    Reset,
    /// With half of the body.
    Cut,
    HeadOnly,
    Trickle,
    /// With a Content-Length that is so much too large.
    PromisesMore(usize),
    /// With a Content-Length that is so much too small.
    PromisesLess(usize),
}

const LATE: Duration = Duration::from_secs(3);
const MISCOUNT: usize = 100;

/// `page` is what is asked for, with its number, if it is a page; writes and the check are none.
pub fn of(trouble: Trouble, request: &Request, page: Option<(usize, &Page)>, dice: &mut Rng) -> Manner {
    let mut percent = |share: u8| dice.u8(0..100) < share;
    let is_check = request.path == site::CHECK;
    match trouble {
        Trouble::Mute => Manner::Silence,
        Trouble::Pages500 => Manner::Error,
        Trouble::SomePages500 if percent(30) => Manner::Error,
        Trouble::SomeSlow if percent(30) => Manner::Late(LATE),
        Trouble::HalfReset if percent(50) => Manner::Reset,
        Trouble::HalfCut if percent(50) => Manner::Cut,
        Trouble::LyingCheck if !is_check => Manner::Error,
        Trouble::FailedCheck if is_check => Manner::Error,
        Trouble::HeadOnly => Manner::HeadOnly,
        Trouble::Trickle => Manner::Trickle,
        Trouble::PromisesMore => Manner::PromisesMore(MISCOUNT),
        Trouble::PromisesLess => Manner::PromisesLess(MISCOUNT),
        Trouble::HalfRefused => Manner::LastOnConnection,
        Trouble::Writes500 if request.write.is_some() => Manner::Error,
        Trouble::LargeCut if page.is_some_and(|(_, page)| page.is_large()) => Manner::Cut,
        Trouble::BrokenPages if page.is_some_and(|(number, _)| site::is_broken_everywhere(number)) => Manner::Error,
        Trouble::None
        | Trouble::SomePages500
        | Trouble::SomeSlow
        | Trouble::HalfReset
        | Trouble::HalfCut
        | Trouble::LyingCheck
        | Trouble::FailedCheck
        | Trouble::Writes500
        | Trouble::LargeCut
        | Trouble::BrokenPages => Manner::Well,
    }
}
