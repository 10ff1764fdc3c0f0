//! What is done for one request that meets trouble: each rule of failover.md, "Rescuing one request", seen from outside.
//!
//! Not here: in which ways an attempt can fail at all (`failing`), what failures prove (`deciding`).

mod best;
mod budgets;
mod hedges;
mod held;
mod leaving;
mod moved;
mod replay;
mod resume;
mod resume_refused;
mod retries;
mod rooms;
mod sacred;
mod switches;
mod waits;
mod writes;

use crate::harness::client::Sent;
use crate::harness::door::Builder;
use crate::harness::{Door, Endpoint};
use bytes::Bytes;

/// A front door for which neither probes nor failures take an endpoint out.
fn calm(primary: &[&Endpoint], secondary: &[&Endpoint]) -> Builder {
    let mut door = Door::builder().fall(1_000).failback("stable_for = \"2m\", after_writes = \"auto\", ramp = \"0s\"");
    for endpoint in primary {
        door = door.primary(endpoint);
    }
    for endpoint in secondary {
        door = door.secondary(endpoint);
    }
    door
}

/// Keys of the backend: failures decide nothing; `confirm` of 10 s.
const PATIENT: &str = r#"tally = { trip = 1000, consecutive = 1000, confirm = "10s" }"#;

/// As many endpoints, each with its name.
async fn endpoints<const N: usize>(names: [&str; N]) -> [Endpoint; N] {
    let started = futures_util::future::join_all(names.map(Endpoint::start)).await;
    started.try_into().unwrap_or_else(|_| unreachable!("one for each"))
}

fn body(response: &http::Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

/// Its status and body.
fn told(response: &http::Response<Bytes>) -> (u16, String) {
    (response.status().as_u16(), body(response))
}

/// Whether the client saw that its response is not whole.
fn is_cut(sent: &Sent) -> bool {
    sent.is_err()
}

/// How many requests came that begin so, in all of these.
fn asked(endpoints: &[&Endpoint], line: &str) -> usize {
    endpoints.iter().map(|endpoint| endpoint.count(line)).sum()
}
