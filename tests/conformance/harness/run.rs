//! Runs cases, several doors side by side, each with an endpoint of its own.

use super::case::{Case, Step};
use super::door::{Door, Proxy};
use super::endpoint::Endpoint;
use super::got::Got;
use super::message::shown;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases that wait for a limit of time leave the processor to others.
const DOORS: usize = 6;

/// What became of a case.
#[derive(Debug)]
pub struct Verdict {
    pub topic: &'static str,
    pub case: Case,
    /// Empty: all held.
    pub wrong: Vec<String>,
    pub got: Got,
}

impl Verdict {
    pub fn failed(&self) -> bool {
        !self.wrong.is_empty()
    }

    /// All of it, for whoever mends it.
    pub fn story(&self) -> String {
        let sent: Vec<String> = self
            .case
            .steps
            .iter()
            .map(|step| match step {
                Step::Send(bytes) => format!("sent: {}", shown(bytes)),
                other => format!("then: {other:?}"),
            })
            .collect();
        format!(
            "{}: {} ({})\n    {}\n    {}\n    wrong: {}",
            self.topic,
            self.case.name,
            self.case.source,
            sent.join("\n    "),
            self.got.story(),
            self.wrong.join("\n           ")
        )
    }
}

/// All cases through one proxy, in the order they were given.
pub fn all(proxy: Proxy, cases: &[(&'static str, Case)]) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..DOORS {
            scope.spawn(|| {
                let endpoint = Endpoint::start();
                let mut door = Door::start(proxy, endpoint.address);
                while let Some((topic, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = one(topic, case, &mut door, proxy, &endpoint);
                    verdicts.lock().unwrap().push(verdict);
                }
                if proxy == Proxy::Hotspare {
                    let log = door.log();
                    assert!(!log.contains("panicked"), "a panic in its log:\n{log}");
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap();
    let place = |verdict: &Verdict| cases.iter().position(|(_, case)| case.name == verdict.case.name);
    verdicts.sort_by_key(place);
    verdicts
}

fn one(topic: &'static str, case: &Case, door: &mut Door, proxy: Proxy, endpoint: &Endpoint) -> Verdict {
    let from = endpoint.expect(&case.answers);
    let (got, mut wrong) = match door.client.run(case, from, endpoint) {
        Ok(got) => {
            let wrong = got.judge(case);
            (got, wrong)
        }
        Err(error) => (Got::default(), vec![format!("no connection: {error}")]),
    };
    // What hurts the door is this case's failure, and not the next one's.
    if !(wrong.is_empty() || door.client.is_well()) {
        wrong.push("the door was no use afterwards".to_owned());
        *door = Door::start(proxy, endpoint.address);
    }
    Verdict { topic, case: case.clone(), wrong, got }
}
