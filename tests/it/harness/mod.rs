//! A front door in the test's own process, scripted endpoints behind it, and clients before it: all over real sockets.

pub mod client;
pub mod door;
pub mod endpoint;
pub mod line;
#[path = "../../process/harness/ports.rs"]
pub mod ports;

pub use client::{Client, Raw};
pub use door::Door;
pub use endpoint::{Act, Endpoint};

use std::time::Duration;

/// How long a test waits for what is promised to come soon: ten times what any promise here is.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `so` holds; fails the test with `what` when it never does.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let held = tokio::time::timeout(PATIENCE, async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(held.await.is_ok(), "never came true: {what}");
}
