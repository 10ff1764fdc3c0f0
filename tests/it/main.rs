//! Promises of the front door, kept over real sockets: clients over TLS, scripted endpoints, everything between real.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod certificates;
mod corners;
mod deciding;
mod drain;
mod endpoints;
mod failing;
mod failover;
mod forwarding;
mod grpc;
mod harness;
mod http2;
mod proxies;
mod reload;
mod replies;
mod rescue;
mod routing;
mod seats;
mod signals;
mod smuggled;
mod smuggling;
mod unix_listeners;
mod upgrades;
mod websocket;
