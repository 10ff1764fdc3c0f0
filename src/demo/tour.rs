//! The tour: fault after fault without a browser, each before a fresh front door, one line a fault, and whether what was
//! promised held.

use super::Promises;
use super::answer::Receipts;
use super::fault::{Fault, Faults};
use super::ledger::{Account, Ledger};
use super::port;
use super::scene::{Aftermath, PRIMARY, SECONDARY, Scene, Served, Setting};
use crate::domain::{Moment, Percent};
use crate::runtime::clock::Clock;
use std::io::Write;
use std::time::Duration;

const FAULTS: [Fault; 7] =
    [Fault::Kill, Fault::LyingCheck, Fault::Disk, Fault::Freeze, Fault::Slow, Fault::Cut, Fault::Both];
/// Visits a second: enough to see one request in a hundred fail, few enough for two busy cores.
const RATE: u32 = 100;
const POSTS: Percent = Percent(15);

/// How long visitors come before the fault, and on after what was waited for.
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(2);
/// How long is waited for a move before the promise counts as broken: many times what it takes.
const FAILOVER_LIMIT: Duration = Duration::from_secs(10);
/// A killed data centre whose requests in flight were reset counts as ejected: ten seconds and a probation more.
const FAILBACK_LIMIT: Duration = Duration::from_secs(45);
/// With both data centres gone, how soon a page must at least be answered by the front door's own reply.
const REPLY_LIMIT: Duration = Duration::from_secs(1);

/// Runs the tour; `out` gets a line for each fault as soon as it is over.
pub async fn run(out: &mut dyn Write, clock: Clock) -> anyhow::Result<Promises> {
    writeln!(
        out,
        "Two data centres and a front door, fresh for each fault; {RATE} requests/s over HTTPS, {}% POST.",
        POSTS.0
    )?;
    writeln!(out, "\n{HEADING}")?;
    out.flush()?;
    let mut promises = Promises::Held;
    for fault in FAULTS {
        let stop = visit(fault, clock).await?;
        writeln!(out, "{}", stop.line())?;
        for promise in stop.broken_promises() {
            writeln!(out, "  broken: {promise}")?;
            promises = Promises::Broken;
        }
        out.flush()?;
    }
    match promises {
        Promises::Held => writeln!(out, "\nAll promises held.")?,
        Promises::Broken => writeln!(out, "\nNot all promises held.")?,
    }
    Ok(promises)
}

/// One fault of the tour, and what was seen.
#[derive(Clone, Copy, Debug)]
struct Stop {
    fault: Fault,
    ledger: Ledger,
    rescued: u64,
    /// From the fault to new requests going to the secondary.
    failover: Move,
    /// From the end of the fault to new requests going to the primary again.
    failback: Move,
    /// POSTs that reached a data centre more than once, or both.
    repeated_posts: usize,
}

/// Whether the serving pool moved as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    NotAwaited,
    After(Duration),
    /// Not within the limit.
    Never,
}

async fn visit(fault: Fault, clock: Clock) -> anyhow::Result<Stop> {
    let doors = port::loopback(0, "--port")?;
    let admin = port::loopback(0, "--admin-port")?[0];
    let scene = Scene::start(&Setting { doors, admin, rate: RATE, posts: POSTS, seed: 1 }, clock).await?;
    tokio::time::sleep(BEFORE).await;

    let begin = clock.now();
    scene.switches().send_replace(Faults::just(fault));
    let failover = match fault {
        Fault::Both => Move::NotAwaited, // there is nowhere to go
        Fault::Disk | Fault::Freeze | Fault::Kill | Fault::Slow | Fault::LyingCheck | Fault::Cut => {
            moved(&scene, SECONDARY, FAILOVER_LIMIT, begin, clock).await
        }
    };
    tokio::time::sleep(AFTER).await;

    let failback = match fault {
        Fault::Kill => {
            let healed = clock.now();
            scene.switches().send_replace(Faults::NONE);
            let back = moved(&scene, PRIMARY, FAILBACK_LIMIT, healed, clock).await;
            tokio::time::sleep(AFTER).await;
            back
        }
        Fault::Disk | Fault::Freeze | Fault::Slow | Fault::LyingCheck | Fault::Cut | Fault::Both => Move::NotAwaited,
    };
    let Aftermath { ledger, rescued, primary, secondary } = scene.stop().await?;
    Ok(Stop { fault, ledger, rescued, failover, failback, repeated_posts: repeated(&primary, &secondary) })
}

/// How long after `begin` that pool came to serve.
async fn moved(scene: &Scene, pool: &str, limit: Duration, begin: Moment, clock: Clock) -> Move {
    let mut changes = scene.changes();
    let serves = async {
        while scene.served() != Served::By(pool.into()) {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await; // nobody is left who could move it
            }
        }
        clock.now().since(begin)
    };
    match tokio::time::timeout(limit, serves).await {
        Ok(after) => Move::After(after),
        Err(_) => Move::Never,
    }
}

/// How many POSTs came more often than once, all data centres together.
fn repeated(primary: &Receipts, secondary: &Receipts) -> usize {
    let mut ids: Vec<u64> = primary.post_ids.iter().chain(&secondary.post_ids).copied().collect();
    ids.sort_unstable();
    ids.windows(2).filter(|pair| pair[0] == pair[1]).count()
}

const HEADING: &str = "fault        requests  failed GET  failed POST  rescued  failover  failback  slowest GET";

impl Stop {
    fn line(&self) -> String {
        let seconds = |span: Duration| format!("{:.2} s", span.as_secs_f64());
        let Ledger { gets, posts, .. } = self.ledger;
        let moved = |awaited| match awaited {
            Move::NotAwaited => "-".to_owned(),
            Move::After(span) => seconds(span),
            Move::Never => "never".to_owned(),
        };
        format!(
            "{:<11}  {:>8}  {:>10}  {:>11}  {:>7}  {:>8}  {:>8}  {:>11}",
            self.fault.name(),
            gets.made + posts.made,
            gets.failed,
            posts.failed,
            self.rescued,
            moved(self.failover),
            moved(self.failback),
            seconds(gets.slowest),
        )
    }

    /// What was promised and did not hold, with the numbers.
    fn broken_promises(&self) -> Vec<String> {
        let Account { made, failed, unanswered, slowest } = self.ledger.gets;
        let mut broken = Vec::new();
        if made == 0 {
            broken.push("visitors should have come, but none did".to_owned());
        }
        if self.repeated_posts > 0 {
            broken.push(format!("no POST may run twice, but {} did", self.repeated_posts));
        }
        if self.fault == Fault::Both {
            if unanswered > 0 {
                broken.push(format!("every GET should be answered, but {unanswered} of {made} were not"));
            }
            if slowest > REPLY_LIMIT {
                broken.push(format!("every GET should be answered within {REPLY_LIMIT:?}, but one took {slowest:.1?}"));
            }
            return broken;
        }
        if failed > 0 {
            let first = self.ledger.first_failed_get.map(|visit| format!(" (first: {visit})")).unwrap_or_default();
            broken.push(format!("no GET may fail, but {failed} of {made} did{first}"));
        }
        if self.failover == Move::Never {
            broken.push(format!("users should be served from {SECONDARY} within {FAILOVER_LIMIT:?}, but are not"));
        }
        if self.failback == Move::Never {
            broken.push(format!("users should be back in {PRIMARY} within {FAILBACK_LIMIT:?}, but are not"));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Kind, Outcome, Visit};
    use super::*;

    fn stop(fault: Fault) -> Stop {
        let account = |made, failed| Account { made, failed, unanswered: 0, slowest: Duration::from_millis(83) };
        Stop {
            fault,
            ledger: Ledger { gets: account(862, 0), posts: account(150, 3), first_failed_get: None },
            rescued: 17,
            failover: Move::After(Duration::from_millis(57)),
            failback: Move::NotAwaited,
            repeated_posts: 0,
        }
    }

    #[test]
    fn lines_stand_in_columns() {
        let mut kill = stop(Fault::Kill);
        kill.failback = Move::After(Duration::from_millis(3_104));
        let mut both = stop(Fault::Both);
        (both.failover, both.ledger.gets.failed) = (Move::NotAwaited, 310);
        let mut disk = stop(Fault::Disk);
        (disk.failover, disk.ledger.gets.made) = (Move::Never, 10_000_000);
        let lines = [kill.line(), stop(Fault::LyingCheck).line(), disk.line(), both.line()];
        insta::assert_snapshot!(format!("{HEADING}\n{}", lines.join("\n")), @r"
        fault        requests  failed GET  failed POST  rescued  failover  failback  slowest GET
        kill             1012           0            3       17    0.06 s    3.10 s       0.08 s
        lying-check      1012           0            3       17    0.06 s         -       0.08 s
        disk         10000150           0            3       17     never         -       0.08 s
        both             1012         310            3       17         -         -       0.08 s
        ");
        assert!(lines.iter().all(|line| line.len() == HEADING.len()));
    }

    #[test]
    fn a_kept_promise_says_nothing() {
        for fault in FAULTS {
            assert_eq!(stop(fault).broken_promises(), [""; 0]);
        }
        let mut both = stop(Fault::Both);
        both.ledger.gets.failed = 300;
        assert_eq!(both.broken_promises(), [""; 0], "a reply of ours is all that both can have");
    }

    #[test]
    fn each_broken_promise_is_told_with_its_numbers() {
        let mut kill = stop(Fault::Kill);
        let (began, took) = (Moment::at(Duration::from_secs(3)), Duration::from_millis(12));
        let first = Visit { kind: Kind::Get, began, took, outcome: Outcome::Cut };
        (kill.ledger.gets.failed, kill.ledger.first_failed_get) = (2, Some(first));
        (kill.failover, kill.failback, kill.repeated_posts) = (Move::Never, Move::Never, 1);
        let mut both = stop(Fault::Both);
        (both.ledger.gets.unanswered, both.ledger.gets.slowest) = (4, Duration::from_millis(2_345));
        let mut empty = stop(Fault::Disk);
        empty.ledger = Ledger::default();
        let told = [kill, both, empty].map(|stop| stop.broken_promises().join("\n")).join("\n");
        insta::assert_snapshot!(told, @r"
        no POST may run twice, but 1 did
        no GET may fail, but 2 of 862 did (first: GET at +3.000s: the answer broke off after 12 ms)
        users should be served from oregon within 10s, but are not
        users should be back in new-jersey within 45s, but are not
        every GET should be answered, but 4 of 862 were not
        every GET should be answered within 1s, but one took 2.3s
        visitors should have come, but none did
        ");
    }

    #[test]
    fn a_post_that_reached_both_or_one_twice_is_repeated() {
        let receipts = |ids: &[u64]| Receipts { post_ids: ids.iter().copied().collect(), ..Receipts::default() };
        assert_eq!(repeated(&receipts(&[1, 2]), &receipts(&[3, 4])), 0);
        assert_eq!(repeated(&receipts(&[1, 2]), &receipts(&[2, 3])), 1);
        assert_eq!(repeated(&receipts(&[5, 1, 5]), &receipts(&[])), 1);
    }
}
