//! The demo as somebody plays with it: keys switch faults, and each move is told as it happens.

use super::fault::Fault;
use super::ledger::{Account, Ledger};
use super::port;
use super::scene::{PRIMARY, SECONDARY, Scene, Served, Setting};
use super::switches::{self, told};
use crate::domain::Percent;
use crate::runtime::clock::Clock;
use crate::runtime::signals::Signals;
use anyhow::{Context, bail};
use std::io::{self, BufRead, Write};
use std::thread;
use tokio::sync::mpsc;

/// Visits a second: a trickle.
const RATE: u32 = 5;
const POSTS: Percent = Percent(5);

/// The ports of the front door and of the admin page; 0: any that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub https: u16,
    pub admin: u16,
}

/// Starts the scene and tells of it until the user quits, or a signal ends it.
pub async fn play(ports: Ports, out: &mut dyn Write, clock: Clock) -> anyhow::Result<()> {
    if ports.https == ports.admin && ports.https != 0 {
        bail!("--port and --admin-port are both {}: choose two", ports.https);
    }
    let mut signals = Signals::listen().context("signals can't be listened for")?;
    let doors = port::loopback(ports.https, "--port")?;
    let admin = port::loopback(ports.admin, "--admin-port")?[0];
    let (https, page) = (doors[0].port(), admin.port());
    let scene =
        Scene::start(&Setting { doors, admin, rate: RATE, posts: POSTS, seed: fastrand::u64(..) }, clock).await?;
    write!(out, "{}", welcome(https, page))?;

    let mut keys = keys()?;
    let mut changes = scene.changes();
    let mut faults = scene.switches().subscribe();
    let mut served = scene.served();
    loop {
        tokio::select! {
            _ = signals.next() => break, // whichever: a terminal that is gone ends the demo too
            Some(key) = keys.recv() => match Key::of(&key) {
                Key::Fault(fault) => switches::toggle(scene.switches(), fault),
                Key::Quit => break,
                Key::None => {}
                Key::Unknown => writeln!(out, "{KEYS}")?,
            },
            Ok(()) = faults.changed() => {
                let on = *faults.borrow_and_update();
                writeln!(out, "{}  {}", clock.now(), told(on))?;
            }
            Ok(()) = changes.changed() => {
                let now = scene.served();
                if now != served {
                    writeln!(out, "{}  {}; visitors so far: {}", clock.now(), moved(&now), seen(&scene.ledger()))?;
                    served = now;
                }
            }
        }
        out.flush()?;
    }
    writeln!(out, "Ending; visitors saw: {}", seen(&scene.ledger()))?;
    scene.stop().await?;
    Ok(())
}

const KEYS: &str = "Type a number and Enter: 1 to 7 switch a fault on or off, q ends.";

fn welcome(https: u16, admin: u16) -> String {
    let mut text = format!(
        "Two data centres are running: {PRIMARY} (primary) and {SECONDARY} (secondary).\n\
         The user site:  https://localhost:{https}  (its certificate is made for this run: your browser will ask)\n\
         The admin page: http://localhost:{admin}\n\n"
    );
    for (fault, key) in Fault::ALL.into_iter().zip(1..) {
        text += &format!("  {key}  {:<12} {}\n", fault.name(), fault.about());
    }
    text + &format!("\n{KEYS}\nOr: curl -X POST http://localhost:{admin}/demo/fault/NAME\n\n")
}

fn moved(now: &Served) -> String {
    match now {
        Served::By(pool) => format!("users are now served from {pool}"),
        Served::Hardly(pool) => format!("no data centre is usable: all are tried, {pool} first"),
    }
}

fn seen(ledger: &Ledger) -> String {
    let kind = |Account { made, failed, .. }: Account, what| format!("{made} {what}, {failed} failed");
    format!("{}; {}", kind(ledger.gets, "pages"), kind(ledger.posts, "posts"))
}

/// What a typed line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Fault(Fault),
    Quit,
    None,
    Unknown,
}

impl Key {
    fn of(line: &str) -> Key {
        match line.trim() {
            "" => Key::None,
            "q" | "Q" | "quit" => Key::Quit,
            key => Fault::of_key(key).map_or(Key::Unknown, Key::Fault),
        }
    }
}

/// Lines typed by the user. Where there is no terminal they end at once, and only a signal ends the demo.
fn keys() -> anyhow::Result<mpsc::Receiver<String>> {
    let (typed, keys) = mpsc::channel(16);
    // Reading a terminal can't be cancelled: this thread ends with the process.
    let reader = thread::Builder::new().name("demo-keys".to_owned()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if typed.blocking_send(line).is_err() {
                break;
            }
        }
    });
    reader.context("keys can't be read")?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_welcome_says() {
        assert_eq!(Key::of(" 3 "), Key::Fault(Fault::Kill));
        assert_eq!(Key::of("q"), Key::Quit);
        assert_eq!(Key::of(""), Key::None);
        assert_eq!(Key::of("8"), Key::Unknown);
        let text = welcome(8443, 9900);
        assert!(text.contains("https://localhost:8443") && text.contains("http://localhost:9900"));
        for (fault, key) in Fault::ALL.into_iter().zip(1..) {
            assert!(text.contains(&format!("  {key}  {:<12} {}\n", fault.name(), fault.about())), "{text}");
        }
    }

    #[tokio::test]
    async fn one_port_for_both_is_refused_before_anything_starts() {
        let same = Ports { https: 8443, admin: 8443 };
        let error = play(same, &mut Vec::new(), Clock::start()).await.unwrap_err().to_string();
        assert!(error.contains("--port and --admin-port are both 8443"), "{error}");
    }

    #[test]
    fn what_visitors_saw_is_told_by_kind() {
        let account = |made, failed| Account { made, failed, ..Account::default() };
        let ledger = Ledger { gets: account(40, 0), posts: account(3, 1), first_failed_get: None };
        assert_eq!(seen(&ledger), "40 pages, 0 failed; 3 posts, 1 failed");
    }
}
