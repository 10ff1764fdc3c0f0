//! Slow clients, all at once: heads and bodies that drip, readers that hardly read, streams of HTTP/2 without a window.

use crate::harness::client::{Client, Version};
use crate::harness::door::Door;
use crate::harness::raw::{self, PREFACE, SETTINGS};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connecting at once.
const AT_ONCE: usize = 64;

/// Between two bytes of a drip: far below the least rate.
const DRIP: Duration = Duration::from_secs(1);

/// What a slow client's kernel takes unread.
const WINDOW: u32 = 8 * 1024;

struct Scene {
    client: Client,
    address: SocketAddr,
    begun: AtomicUsize,
    /// They have met the end of their connection.
    cut_off: AtomicUsize,
    connects: Semaphore,
}

/// So many at once; returns when the door has ended them all, each within its limit, which is at most `limit`.
pub async fn all(door: &Door, count: usize, limit: Duration) {
    let open = || async { door.metrics().await.sum("hotspare_connections_open", &[]) };
    // Of a body that is late the client is told, and its connection then ends as any does after a reply.
    let timeouts = || async {
        let metrics = door.metrics().await;
        metrics.sum("hotspare_client_timeouts_total", &[]) + metrics.sum("hotspare_replies_total", &[("kind", "limit")])
    };
    let (others, before) = (open().await, timeouts().await);
    let scene = Arc::new(Scene {
        client: door.client(),
        address: door.address,
        begun: AtomicUsize::new(0),
        cut_off: AtomicUsize::new(0),
        connects: Semaphore::new(AT_ONCE),
    });
    let began = Instant::now();
    let mut running = JoinSet::new();
    for n in 0..count {
        let scene = scene.clone();
        running.spawn(async move {
            let ended = one(n, &scene).await;
            // Being cut off in the middle of it is what these are for.
            drop(ended);
            scene.cut_off.fetch_add(1, Relaxed);
            std::future::pending::<()>().await;
        });
    }
    let mut most = 0.0f64;
    let many = count as f64;
    loop {
        let now = open().await;
        most = most.max(now);
        let ended = timeouts().await - before;
        let (begun, cut_off) = (scene.begun.load(Relaxed), scene.cut_off.load(Relaxed));
        // The honest ones come and go meanwhile: beside few that are slow theirs are many where the machine is busy.
        if begun == count && ended >= many && (cut_off == count || now < others + many / 4.0) {
            break;
        }
        let patience = limit * 10;
        assert!(began.elapsed() < patience, "{begun} of {count} began, {ended} ended, {cut_off} know, {now} are open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("slow clients: {count}, {most} connections at most at once, ended after {:?}", began.elapsed());
    assert!(most >= many * 0.9, "they were not there at once: {most}");
}

async fn one(n: usize, scene: &Scene) -> io::Result<()> {
    let version = if n % 4 == 3 { Version::H2 } else { Version::Http1 };
    let turn = scene.connects.acquire().await.unwrap();
    let tcp = raw::connect(n, scene.address, Some(WINDOW)).await?;
    let mut stream = scene.client.secure_over(tcp, version).await?;
    let begin = match n % 4 {
        0 => b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ".to_vec(),
        1 => {
            format!("POST /upload/{n} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\nbegun").into_bytes()
        }
        2 => b"GET /downloads/download-9.bin HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        // A window of nothing for each stream.
        _ => {
            let closed = raw::frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
            [&PREFACE[..24], &closed, &raw::get(1, "/downloads/download-9.bin")].concat()
        }
    };
    stream.write_all(&begin).await?;
    stream.flush().await?;
    if n % 4 == 2 {
        stream.read_u8().await?;
    }
    scene.begun.fetch_add(1, Relaxed);
    drop(turn);
    loop {
        tokio::time::sleep(DRIP).await;
        match n % 4 {
            0 | 1 => {
                stream.write_all(b"x").await?;
                stream.flush().await?;
            }
            2 => drop(stream.read_u8().await?),
            // Its connection lives, and says so.
            _ => {
                stream.write_all(&raw::frame(raw::PING, 0, 0, &[0; 8])).await?;
                stream.flush().await?;
            }
        }
    }
}
