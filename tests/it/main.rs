//! Promises of the front door, kept over real sockets: clients over TLS, scripted endpoints, everything between real.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod corners;
mod deciding;
mod endpoints;
mod failing;
mod failover;
mod forwarding;
mod harness;
mod proxies;
mod reload;
mod replies;
mod rescue;
mod routing;
mod signals;
mod smuggled;
mod smuggling;
mod upgrades;
mod websocket;
