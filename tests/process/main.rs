//! The real binary as a child process, in front of two real nginx, over TLS: what an operator and their users would see.
//!
//! `HOTSPARE_BIN` names the binary; without it, it is the one that cargo built with these tests.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod bad_endpoints;
mod bad_start;
mod bodies;
mod commands;
mod deploy;
mod descriptors;
mod downloads;
mod drain;
mod endpoints;
mod failover;
mod harness;
mod hostile;
mod huge;
mod idle;
mod memory;
mod operator;
mod outside;
mod prometheus;
mod proxies;
mod quick;
mod reload;
mod reloads;
mod scanners;
mod signals;
mod sites;
mod tour;
mod websockets;
