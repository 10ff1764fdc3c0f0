//! Cases as data, the two ends that run them byte by byte, the proxies in between, and the page that tells of it.

pub mod case;
pub mod client;
pub mod client_h2;
pub mod door;
pub mod endpoint;
pub mod frames;
pub mod got;
pub mod hpack;
pub mod message;
pub mod page;
#[path = "../../process/harness/ports.rs"]
pub mod ports;
pub mod run;
