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
pub mod ports;
pub mod raw;
pub mod report;
pub mod setup;
pub mod site;

pub use ports::free_address;
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
