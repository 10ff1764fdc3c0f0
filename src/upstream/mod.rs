//! Reaching an endpoint: connect, a worker's kept connections, one request sent, and what can go wrong in it as one enum.
//!
//! Not here: which endpoint, and what follows from a failure (`proxy`); what it proves (`domain`).

pub mod connect;
pub mod failure;

pub use failure::{Failure, Malformed, Sent, Shortage};
