//! Every fault of the drill: its name, what it is, and its course in time. The primary is struck from [`FROM`] to [`UNTIL`].
//!
//! Not here: how an endpoint misbehaves (`endpoint`), how a process is killed or frozen (`place`).

use crate::place::Place;
use crate::variant::Variant;
use crate::verdict::Bound;
use clap::ValueEnum;
use std::time::Duration;

pub const FROM: Duration = Duration::from_secs(3);
pub const UNTIL: Duration = Duration::from_secs(11);
/// How long visitors come.
pub const LENGTH: Duration = Duration::from_secs(19);

/// What an endpoint that runs does wrong. The page that probes ask for is a page like the others, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Trouble {
    None,
    /// Takes connections and requests, and never says a word.
    Mute,
    Pages500,
    SomePages500,
    /// 30 % of pages take 3 s.
    SomeSlow,
    /// Half of the requests are read, then the connection is reset before a byte of an answer.
    HalfReset,
    /// Half of the answers end in the middle of the body, with a clean close (FIN).
    HalfCut,
    /// The check alone is well.
    LyingCheck,
    /// The check alone is ill.
    FailedCheck,
    HeadOnly,
    /// The head, then a byte of the body each 100 ms.
    Trickle,
    /// `Content-Length` says 100 bytes more than come, and the connection stays open.
    PromisesMore,
    /// `Content-Length` says 100 bytes less than come.
    PromisesLess,
    /// The listening socket is closed and opened again every 20 ms, and each answer ends its connection: half of the
    /// connects meet a port that really refuses them.
    HalfRefused,
    Writes500,
    LargeCut,
    /// Pages with an error of their own.
    BrokenPages,
}

impl Trouble {
    /// Whether every endpoint of a place has it, and not just the one that faults strike. Its end is everyone's.
    pub fn is_of_the_site(self) -> bool {
        matches!(self, Trouble::BrokenPages | Trouble::None)
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Kill(Place),
    Start(Place),
    Freeze(Place),
    Thaw(Place),
    Trouble(Place, Trouble),
    /// The config file is written anew, and the proxy gets the signal to read it.
    Reload,
}

/// One row of the table.
#[derive(Debug)]
pub struct Fault {
    /// For `ROWS=…`.
    pub name: &'static str,
    pub title: &'static str,
    /// In order; times since the first visitor.
    pub course: Vec<(Duration, Action)>,
    /// What Hotspare must show in the plain scene, where that is agreed.
    pub bound: Option<Bound>,
}

impl Fault {
    fn must(self, bound: Bound) -> Fault {
        Fault { bound: Some(bound), ..self }
    }
}

/// In the order of the table.
pub fn all(variant: Variant) -> Vec<Fault> {
    use Action::{Freeze, Kill, Start, Thaw};
    use Place::{NewJersey, Oregon};
    let fault = |name, title, course| Fault { name, title, course, bound: None };
    let failed = Bound::failed;
    vec![
        fault("none", "none, for comparison", Vec::new()),
        fault("killed", "killed", vec![(FROM, Kill(NewJersey)), (UNTIL, Start(NewJersey))]).must(failed(0, 0).p99(100)),
        fault("frozen", "frozen (SIGSTOP)", vec![(FROM, Freeze(NewJersey)), (UNTIL, Thaw(NewJersey))])
            .must(failed(0, 6).p99(600)),
        trouble("mute", "accepts, never answers", Trouble::Mute).must(failed(0, 6).p99(600)),
        trouble("pages-500", "every page 500", Trouble::Pages500).must(failed(0, 3)),
        trouble("disk", "30 % of pages 500 (the disk)", Trouble::SomePages500).must(failed(0, 4)),
        trouble("slow", "30 % of pages take 3 s", Trouble::SomeSlow).must(failed(0, 0).p99(500)),
        trouble("reset", "50 % reset", Trouble::HalfReset).must(failed(0, 4)),
        trouble("cut", "50 % cut mid-body", Trouble::HalfCut).must(failed(0, 5)),
        trouble("lying-check", "check ok, pages 500", Trouble::LyingCheck).must(failed(0, 3)),
        trouble("failed-check", "check 500, pages ok", Trouble::FailedCheck).must(failed(0, 0)),
        fault("flapping", "up and down each second", every(2_000, 1_000, Kill(NewJersey), Start(NewJersey)))
            .must(failed(0, 3).changes(2)),
        fault("reloads", "40 reloads in 8 s", every(400, 200, Action::Reload, Action::Reload)).must(failed(0, 0)),
        fault(
            "both-killed",
            if variant.endpoints() > 1 { "one endpoint killed in both pools" } else { "both pools killed" },
            vec![(FROM, Kill(NewJersey)), (FROM, Kill(Oregon)), (UNTIL, Start(NewJersey)), (UNTIL, Start(Oregon))],
        ),
        trouble("head-only", "headers, then silence", Trouble::HeadOnly),
        trouble("trickle", "a body at one byte per 100 ms", Trouble::Trickle),
        trouble("promises-more", "Content-Length 100 too large", Trouble::PromisesMore),
        trouble("promises-less", "Content-Length 100 too small", Trouble::PromisesLess),
        trouble("half-refused", "50 % of connections refused", Trouble::HalfRefused),
        trouble("writes-500", "only POST fails (500)", Trouble::Writes500),
        trouble("large-cut", "pages over 64 KiB cut mid-body", Trouble::LargeCut),
        fault("pauses", "pauses of 400 ms every 2 s", every(2_000, 400, Freeze(NewJersey), Thaw(NewJersey))),
        fault(
            "broken-pages",
            "5 pages in 100 are 500 at both pools",
            [(FROM, Trouble::BrokenPages), (UNTIL, Trouble::None)]
                .into_iter()
                .flat_map(|(at, trouble)| [NewJersey, Oregon].map(|place| (at, Action::Trouble(place, trouble))))
                .collect(),
        ),
    ]
}

fn trouble(name: &'static str, title: &'static str, trouble: Trouble) -> Fault {
    let strike = (FROM, Action::Trouble(Place::NewJersey, trouble));
    let heal = (UNTIL, Action::Trouble(Place::NewJersey, Trouble::None));
    Fault { name, title, course: vec![strike, heal], bound: None }
}

/// `strike` each `period` ms during the fault, `heal` so many ms after each.
fn every(period: u64, heal_after: u64, strike: Action, heal: Action) -> Vec<(Duration, Action)> {
    let mut course = Vec::new();
    let mut at = FROM;
    while at < UNTIL {
        course.push((at, strike));
        course.push((at + Duration::from_millis(heal_after), heal));
        at += Duration::from_millis(period);
    }
    course
}
