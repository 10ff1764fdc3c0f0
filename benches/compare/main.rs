//! Hotspare and nginx as the same kind of TLS proxy, side by side: requests a second, and CPU time of the proxy per request.
//!
//! `make bench` runs it, prints the table and writes it into docs/performance.md. Both proxies have one worker on core 0;
//! the endpoint (another nginx) and the load (h2load) share core 1. They take turns, several times for each load, so that
//! a busy moment of the machine meets both.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench: what fails ends it")]

mod measure;
mod page;
mod proxies;

use measure::{Sample, measure};
use proxies::Bench;

/// How often each proxy has its turn with each load. Odd, so that there is a middle one.
const ROUNDS: usize = 7;

/// What h2load is asked to do.
#[derive(Debug)]
pub struct Load {
    pub name: &'static str,
    pub path: &'static str,
    pub options: &'static [&'static str],
    pub requests: u32,
    pub connections: u32,
    /// How many times in one turn.
    pub times: u32,
}

/// Sizes as a site has them; each turn takes some seconds.
const LOADS: [Load; 7] = [
    Load { name: "HTTP/1.1, 1 KB", path: "/1k", options: &["--h1"], requests: 40_000, connections: 64, times: 1 },
    Load { name: "HTTP/1.1, 64 KB", path: "/64k", options: &["--h1"], requests: 10_000, connections: 64, times: 1 },
    Load { name: "HTTP/1.1, 1 MB", path: "/1m", options: &["--h1"], requests: 1_000, connections: 64, times: 1 },
    Load { name: "HTTP/2, 1 KB", path: "/1k", options: &[], requests: 40_000, connections: 64, times: 1 },
    Load { name: "HTTP/2, 64 KB", path: "/64k", options: &[], requests: 10_000, connections: 64, times: 1 },
    Load { name: "HTTP/2, 1 MB", path: "/1m", options: &[], requests: 1_000, connections: 64, times: 1 },
    Load { name: "new connection, 1 KB", path: "/1k", options: &["--h1"], requests: 400, connections: 400, times: 5 },
];

/// What both did with one load, turn by turn.
#[derive(Debug)]
pub struct Row {
    pub load: &'static Load,
    pub nginx: Vec<Sample>,
    pub hotspare: Vec<Sample>,
}

fn main() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        panic!("two cores are needed: one for the proxy, one for the load and the endpoint");
    }
    let bench = Bench::start();
    let mut rows = Vec::new();
    for load in &LOADS {
        let mut row = Row { load, nginx: Vec::new(), hotspare: Vec::new() };
        // One turn each that does not count: caches, kept connections.
        for proxy in [&bench.nginx, &bench.hotspare] {
            measure(proxy, load);
        }
        for round in 0..ROUNDS {
            let mut turns = [(&bench.nginx, &mut row.nginx), (&bench.hotspare, &mut row.hotspare)];
            if round % 2 == 1 {
                turns.reverse(); // who is first finds the other one's cache lines: that burden alternates too
            }
            for (proxy, samples) in turns {
                samples.push(measure(proxy, load));
            }
        }
        println!("{}", page::line(&row));
        rows.push(row);
    }
    page::write(&bench, &rows);
}
