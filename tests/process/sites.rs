//! Many sites in many files: found as few are, and one file changed costs little. `SITES=10000` for what docs/performance.md states, with a
//! binary of release speed.

use crate::harness::door::{Door, hotspare};
use crate::harness::setup::Setup;
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How many sites, unless `SITES` says otherwise.
const SOME: usize = 1_000;
const FILES: usize = 100;
/// Sites for each backend, where there are many of those.
const PER_BACKEND: usize = 10;
/// Reloads whose CPU time is taken together: the kernel counts in hundredths of a second.
const RELOADS: u32 = 10;

/// What docs/performance.md states of 10,000 sites, in CPU time.
const CHECK: Duration = Duration::from_secs(1);
const RELOAD: Duration = Duration::from_millis(200);
/// Of a worker's thread.
const TURN: f64 = 0.010;

fn sites() -> Option<usize> {
    std::env::var("SITES").ok().map(|count| count.parse().unwrap())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backends {
    One,
    /// Each with two pools.
    Many,
}

/// Something that answers "ok" at each address of this machine.
async fn endpoint() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                while stream.read(&mut piece).await.is_ok_and(|length| length > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    port
}

/// The text of one of [`FILES`].
fn file(number: usize, count: usize, backends: Backends, port: u16) -> String {
    let each = count / FILES;
    let mut text = String::new();
    for site in number * each..(number + 1) * each {
        let backend = match backends {
            Backends::One => 0,
            Backends::Many => site / PER_BACKEND,
        };
        if site == 0 || (backends == Backends::Many && site % PER_BACKEND == 0) {
            let (high, low) = (backend / 250, backend % 250 + 1);
            text.push_str(&format!(
                "[[backend]]\nname = \"b{backend}\"\n\
                 primary = {{ name = \"new-jersey\", endpoints = [\"127.1.{high}.{low}:{port}\"] }}\n\
                 secondary = {{ name = \"oregon\", endpoints = [\"127.2.{high}.{low}:{port}\"] }}\n\
                 probe = {{ kind = \"tcp\", interval = \"10m\", timeout = \"10s\" }}\nfailback = {{ stable_for = \"1h\" }}\n"
            ));
        }
        text.push_str(&format!(
            "[[site]]\nhosts = [\"www.site{site}.example.org\", \"site{site}.example.org\"]\nbackend = \"b{backend}\"\n"
        ));
    }
    text
}

fn write(directory: &Path, number: usize, text: &str) {
    fs::write(directory.join(format!("sites.d/{number:03}.toml")), text).unwrap();
}

fn write_all(directory: &Path, count: usize, backends: Backends, port: u16) {
    fs::create_dir_all(directory.join("sites.d")).unwrap();
    (0..FILES).for_each(|number| write(directory, number, &file(number, count, backends, port)));
}

fn main_file(setup: &Setup) -> String {
    let Setup { listen, admin, .. } = setup;
    format!(
        "include = [\"sites.d/*.toml\"]\nworkers = 2\nstate_dir = \"state\"\n[admin]\naddress = \"{admin}\"\n\
         [[listener]]\naddress = \"{listen}\"\n"
    )
}

/// The status of a GET for that host.
async fn status(address: SocketAddr, host: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// CPU time of `hotspare check`.
fn check(directory: &Path) -> Duration {
    let command = hotspare();
    let time = "TIMEFORMAT='%U %S'; time \"$0\" check hotspare.toml >/dev/null";
    let output =
        Command::new("bash").args(["-c", time]).arg(command.get_program()).current_dir(directory).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let seconds: f64 = said.split_whitespace().map(|part| part.parse::<f64>().unwrap()).sum();
    Duration::from_secs_f64(seconds)
}

async fn holds(backends: Backends) {
    let count = sites().unwrap_or(SOME);
    let port = endpoint().await;
    let setup = Setup::new(&[], &[]);
    let text = main_file(&setup);
    let mut door = Door::launch_changed(&setup, &text, |mut command| {
        write_all(command.get_current_dir().unwrap(), count, backends, port);
        command.env("HOTSPARE_MEASURE_TURNS", "1");
        command
    });
    door.is_ready().await;
    let (first, last) = ("site0.example.org", format!("www.site{}.example.org", count - 1));
    for host in [first, &last] {
        assert_eq!(status(setup.listen, host).await, 200, "{host}");
    }
    assert_eq!(status(setup.listen, "new.example.org").await, 404);
    let resident = door.memory("VmRSS");

    // One file of them changes, again and again.
    let before = door.cpu();
    for reload in 1..=RELOADS {
        let more = format!("[[site]]\nhosts = [\"new{reload}.example.org\", \"new.example.org\"]\nbackend = \"b0\"\n");
        write(door.directory(), 42, &(file(42, count, backends, port) + &more));
        door.signal(Signal::HUP);
        door.says(&format!("reloaded: generation {} is in force", reload + 1)).await;
    }
    let reload = (door.cpu() - before) / RELOADS;
    for host in [first, &last, "new.example.org", &format!("new{RELOADS}.example.org")] {
        assert_eq!(status(setup.listen, host).await, 200, "{host}");
    }
    assert_eq!(status(setup.listen, "new1.example.org").await, 404);

    // A slip in one of them.
    let broken = file(7, count, backends, port).replacen("hosts", "hots", 1);
    let line = broken.lines().position(|line| line.starts_with("hots")).unwrap() + 1;
    write(door.directory(), 7, &broken);
    let generation = door.generation().await;
    door.signal(Signal::HUP);
    door.reloads("rejected", 1.0).await;
    door.says(&format!("sites.d/007.toml:{line}:1")).await;
    assert_eq!(door.generation().await, generation);
    for host in [first, &last, "new.example.org"] {
        assert_eq!(status(setup.listen, host).await, 200, "{host}");
    }

    write_all(door.directory(), count, backends, port);
    let checked = check(door.directory());
    let turn = door.metrics().await.largest("hotspare_longest_turn_seconds").unwrap();
    eprintln!(
        "{count} sites, {backends:?}: check {checked:?}, reload {reload:?} of CPU, longest turn {turn} s, resident {} KiB at first, {} KiB \
         after {RELOADS} reloads",
        resident / 1024,
        door.memory("VmRSS") / 1024
    );
    if sites().is_some() {
        assert!(checked <= CHECK && reload <= RELOAD && turn <= TURN);
    }
    door.stop().await;
}

#[tokio::test]
async fn one_file_of_a_hundred_changes_and_all_other_sites_go_on() {
    holds(Backends::One).await;
}

#[tokio::test]
async fn the_same_with_a_backend_for_every_ten_sites() {
    holds(Backends::Many).await;
}
