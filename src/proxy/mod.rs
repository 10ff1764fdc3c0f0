//! One request's life: route, plan, attempt, judge, reply. [`service::handle`] is the story.
//!
//! Not here: the client's connection and its limits (`edge`), how an endpoint is reached (`upstream`), health (`health`).

#![warn(clippy::wildcard_enum_match_arm)] // matches on our own enums are exhaustive

pub mod answer;
pub mod asker;
pub mod attempt;
pub mod begin;
pub mod blame;
pub mod body;
pub mod budget;
pub mod caller;
pub mod client;
pub mod copies;
pub mod crowd;
pub mod departed;
pub mod exchange;
pub mod forwarded;
pub mod headers;
pub mod held;
pub mod interim;
pub mod judge;
pub mod local;
pub mod lost;
pub mod pairing;
pub mod plan;
pub mod race;
pub mod reply;
pub mod resume;
pub mod route;
pub mod service;
pub mod slow;
pub mod steer;
pub mod upgrade;
pub mod wait;
pub mod websocket;

pub use body::{Body, BodyCut};
pub use client::{Client, Secure};
pub use interim::Interims;
pub use local::Worker;
