//! The table of Hotspare beside its peers.

use crate::Row;
use crate::document;
use crate::front::Proxy;
use crate::peer::{HAPROXY, NGINX};
use crate::sums::Sums;
use crate::table::seconds;
use hotspare::telemetry::words::count;
use std::fmt::Write;

/// In the order of the columns, and of [`Row::peers`].
pub const ALL: [Proxy; 2] = [Proxy::Nginx, Proxy::Haproxy];
pub const SECTION: &str = "drill-peers";
const HEADER: &str = "\
| fault | nginx | HAProxy | Hotspare, the middle run | its worst run | must show |
|---|---|---|---|---|---|
";

/// Theirs, in words.
pub fn versions() -> anyhow::Result<String> {
    Ok(format!("nginx {}, HAProxy {}", NGINX.version()?, HAPROXY.version()?))
}

pub fn when(versions: &str) -> anyhow::Result<String> {
    Ok(format!("{}; {versions}.\n\n", document::when()?))
}

pub fn table(rows: &[Row], misses: &[String]) -> anyhow::Result<String> {
    let (mut text, mut remarks) = (HEADER.to_owned(), String::new());
    for row in rows {
        let must = row.fault.bound.map_or("–".to_owned(), |bound| bound.to_string());
        let peers: Vec<String> = row.peers.iter().map(cell).collect();
        let (title, peers) = (row.fault.title, peers.join(" | "));
        writeln!(text, "| {title} | {peers} | {} | {} | {must} |", cell(row.middle()), cell(row.worst()))?;
    }
    for row in rows {
        for (proxy, sums) in ALL.iter().zip(&row.peers).filter(|(_, sums)| sums.reloads.0 < sums.reloads.1) {
            let (read, told) = sums.reloads;
            remarks.push_str(&format!(" {} read {read} of the {told} configs that it was told to.", proxy.name()));
        }
    }
    let runs = rows.first().map_or(0, |row| row.hotspare.len());
    let runs = count(runs, "run");
    writeln!(
        text,
        "\nHotspare had {runs} of each row, its peers one. Writes that ran twice: {}.{remarks}",
        twice(rows)
    )?;
    match misses {
        [] => writeln!(text, "Hotspare shows what it must.")?,
        _ => writeln!(text, "Missed: {}.", misses.join("; "))?,
    }
    Ok(text)
}

/// Failed GET/POST, p99 during the fault, max, moves.
fn cell(sums: &Sums) -> String {
    let (gets, posts) = (sums.gets.failed, sums.posts.failed);
    format!("{gets}/{posts}; {}, {}; {}", seconds(sums.p99()), seconds(sums.max), sums.moves)
}

fn twice(rows: &[Row]) -> String {
    let mut told: Vec<String> = Vec::new();
    for (column, proxy) in ALL.iter().enumerate() {
        let twice: usize = rows.iter().filter_map(|row| row.peers.get(column)).map(|sums| sums.twice.len()).sum();
        told.push(format!("{} {twice}", proxy.name()));
    }
    let twice: usize = rows.iter().flat_map(|row| &row.hotspare).map(|sums| sums.twice.len()).sum();
    told.push(format!("{} {twice}", Proxy::Hotspare.name()));
    told.join(", ")
}
