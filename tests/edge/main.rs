//! The edge alone, with real sockets and a scripted handler in the proxy's place.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(clippy::disallowed_methods, reason = "deadlines of tests are real time")]

mod drain;
mod floods;
mod harness;
mod http1;
mod http2;
mod limits;
mod proxied;
mod quiet;
mod room;
mod tls;
mod unix;
mod worker;
