//! What the process runs on: named threads with a single-threaded runtime each, the tasks in them, the clock, signals, Unix sockets.
//!
//! Not here: what runs (`edge`, `health`, `app`), and anything that knows of a request.

#![warn(clippy::wildcard_enum_match_arm)] // matches on our own enums are exhaustive

pub mod clock;
pub mod costly;
pub mod grace;
pub mod signals;
pub mod tasks;
pub mod thread;
pub mod turns;
pub mod unix_socket;
