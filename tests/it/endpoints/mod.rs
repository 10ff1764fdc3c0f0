//! Endpoints that are reached in other ways than by plain TCP over IPv4: over TLS, over IPv6, by Unix sockets.

mod tls;
mod tls_broken;
mod unix;
mod v6;

use bytes::Bytes;
use http::Response;

/// What a reply says of the endpoint.
fn error(reply: &Response<Bytes>) -> &str {
    reply.headers()["proxy-status"].to_str().unwrap()
}

/// Keys of the backend: nothing is tried twice.
const ONCE: &str = "retry = false\nhedge = false\nheld = false\nresume = \"off\"";

/// Keys of the backend: failures decide nothing.
const PATIENT: &str = "tally = { trip = 1000, consecutive = 1000, confirm = \"10s\" }";

/// Keys of `failback`, where probes may fail a thousand times.
const LATER: &str = "stable_for = \"2m\", after_writes = \"auto\", ramp = \"0s\"";
