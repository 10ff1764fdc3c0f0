//! Endpoints that speak HTTP/2: what is shared, what is passed on, what is proof that a request has not begun.

mod begun;
pub mod endpoint;
mod frames;
mod hints;
mod leaving;
mod passing;
mod room;
mod sacred;
mod sharing;
mod uploads;
mod wrong;

use crate::harness::Door;
use crate::harness::door::Builder;
use endpoint::Endpoint;

/// Keys of `failback`, where probes may fail a thousand times.
const LATER: &str = "stable_for = \"2m\", after_writes = \"auto\", ramp = \"0s\"";

/// A door before it, with one worker.
pub fn before(primary: &Endpoint) -> Builder {
    Door::builder().workers(1).backend("scheme = \"h2c\"").primary_at(primary.address)
}
