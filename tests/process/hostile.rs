//! Hostile clients beside honest ones, again and again: nobody honest notices, no turn of a worker is long, and nothing is left of it.
//! `make slow` has far more of each.

mod control;
mod cut;
mod resets;
mod slow;

use crate::bodies::raise_descriptors;
use crate::harness::door::Door;
use crate::harness::eventually;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use control::Control;
use std::time::{Duration, Instant};

/// How much of each there is in a round.
#[derive(Clone, Copy)]
struct Size {
    cut: usize,
    slow: usize,
    /// The slow ones' limit: as long as it takes to have that many of them at once.
    limit: Duration,
    /// Of rapid reset, 1,000 a second.
    resets: usize,
    /// For which memory falls no more when it has settled.
    still: Duration,
}

/// A few seconds each: in `make test`.
const SMALL: Size =
    Size { cut: 600, slow: 100, limit: Duration::from_secs(2), resets: 1, still: Duration::from_secs(1) };

/// With `HOSTILE=full`.
const FULL: Size =
    Size { cut: 20_000, slow: 5_000, limit: Duration::from_secs(120), resets: 30, still: Duration::from_secs(10) };

/// Of requests by honest clients, in a second.
const HONEST: u32 = 40;

/// At most; two where memory is after the second what it was after the first.
const ROUNDS: usize = 4;

/// By how much an allocator's own housekeeping differs from round to round.
const SLACK: u64 = 6 * 1024 * 1024;

/// Connections to endpoints that the door may keep: 64 each, for each worker.
const KEPT: f64 = 2.0 * 2.0 * 64.0;

#[tokio::test]
async fn hostile_clients_harm_no_honest_one_and_leave_nothing_behind() {
    let size = match std::env::var("HOSTILE").as_deref() {
        Ok("full") => FULL,
        Ok(other) => panic!("HOSTILE is `full` or not there, not {other}"),
        Err(_) => SMALL,
    };
    raise_descriptors();
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    setup.top = "workers = 2";
    setup.probe = r#"{ path = "/health", interval = "10s", timeout = "10s" }"#;
    setup.backend = "";
    let seconds = size.limit.as_secs();
    let limits = format!(
        "limits = {{ handshake_timeout = \"1m\", header_timeout = \"{seconds}s\", body_idle_timeout = \"{seconds}s\", \
         send_timeout = \"{seconds}s\" }}\n"
    );
    let text = setup.text().replace("\n[[backend]]", &format!("\n{limits}[[backend]]"));
    let mut door = Door::launch_measured(&setup, &text);
    door.is_ready().await;
    let client = door.client();
    let honest = Load::start(client.clone(), &site, HONEST, Visitors::Readers);
    honest.goes_on(50).await;
    let descriptors = door.metrics().await.sum("process_open_fds", &[]);
    let control = Control::start();
    let mut last: Option<u64> = None;
    for round in 1.. {
        let began = Instant::now();
        let failed = || async { door.metrics().await.sum("hotspare_tls_handshake_failures_total", &[]) };
        let before = failed().await;
        cut::all(&client, door.address, size.cut).await;
        // One in three was answered before it was cut; of others some were gone before they were accepted.
        let answered = (size.cut / 3) as f64;
        eventually("they were handshakes", async || failed().await >= before + answered).await;
        println!("cut handshakes: {} in {:?}", size.cut, began.elapsed());
        slow::all(&door, size.slow, size.limit).await;
        resets::all(&client, door.address, 1_000, size.resets).await;
        honest.goes_on(50).await;
        let resident = settled(&door, last, size.still).await;
        let turn = longest_turn(&door).await;
        println!("round {round}: {} KiB resident, the longest turn so far {turn:?}", resident / 1024);
        if last.is_some_and(|last| resident <= most_after(last)) {
            break;
        }
        // What an allocator keeps differs from round to round; what leaks grows with each.
        assert!(round < ROUNDS, "{last:?} bytes after a round, {resident} after the next");
        last = Some(resident);
    }
    honest.stop().await.assert_all_good();
    let longest = longest_turn(&door).await;
    let noise = control.longest();
    println!("the longest turn: {longest:?}; this machine charges up to {noise:?} to a thread that does nothing");
    assert!(longest <= longest_allowed() + noise, "a turn of {longest:?}, with {noise:?} of this machine's noise");
    eventually("descriptors are given back", async || {
        door.metrics().await.sum("process_open_fds", &[]) <= descriptors + KEPT
    })
    .await;
    door.stop().await;
}

/// What it may have after a round: a tenth more than after the one before, or what an allocator makes of little.
fn most_after(before: u64) -> u64 {
    before + (before / 10).max(SLACK)
}

/// Resident memory when it does not fall any more, or is as low as it must be.
async fn settled(door: &Door, before: Option<u64>, still: Duration) -> u64 {
    let mut least = (door.memory("VmRSS"), Instant::now());
    while least.1.elapsed() < still {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = door.memory("VmRSS");
        if before.is_some_and(|before| now <= most_after(before)) {
            return now;
        }
        if now < least.0 - least.0 / 100 {
            least = (now, Instant::now());
        }
    }
    least.0
}

async fn longest_turn(door: &Door) -> Duration {
    Duration::from_secs_f64(door.metrics().await.largest("hotspare_longest_turn_seconds").expect("turns are measured"))
}

/// 10 ms are promised of what is released; a build for debugging takes many times as long for the same.
fn longest_allowed() -> Duration {
    let optimised = std::env::var_os("HOTSPARE_BIN").is_some();
    Duration::from_millis(if optimised { 10 } else { 200 })
}
