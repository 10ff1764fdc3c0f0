//! What these tests share: two data centres (real nginx), the real binary in front of them, visitors, and patience.
//!
//! Everything here starts children of its own and ends only those. Nothing asserts how long something took: tests poll for
//! an outcome, with a deadline that only broken code reaches.

pub mod admin;
pub mod child;
pub mod client;
pub mod door;
pub mod fakes;
pub mod load;
pub mod nginx;
pub mod report;
pub mod setup;
pub mod site;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// How long a test waits for what should come soon: ten times what is promised, and this is a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `so` holds.
pub async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let held = tokio::time::timeout(PATIENCE, async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(held.await.is_ok(), "never came true: {what}");
}

/// An address nobody listens on, below the ports that the kernel gives to outgoing connections: one of those could take it
/// before its listener is there.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 10_000).unwrap();
    for _ in 0..20_000 {
        let port = 12_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port");
}
