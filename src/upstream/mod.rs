//! Reaching an endpoint: connect, a worker's kept connections, one request sent, and what can go wrong in it as one enum.
//!
//! Not here: which endpoint, and what follows from a failure (`proxy`); what it proves (`domain`).

#![warn(clippy::wildcard_enum_match_arm)] // matches on our own enums are exhaustive

pub mod client;
pub mod client_body;
pub mod connect;
mod cuts;
pub mod download;
pub mod failure;
pub mod fields;
mod frames;
mod http2;
pub mod interim;
pub mod kept;
pub mod proxy_header;
pub mod room;
mod sending;
mod shared;
pub mod trailers;
pub mod upload;
mod watched;
pub mod wire;

pub use client::{Answer, Failed, Go, Reuse, Target};
pub use client_body::ClientBody;
pub use connect::Socket;
pub use download::Download;
pub use failure::{Connection, Failure, Malformed, Sent, Shortage};
pub use kept::{Kept, Lease, Taken, Whole};
pub use proxy_header::{Ends, ProxyHeader};
pub use room::{Memory, Room, Rooms};
pub use upload::{Upload, UploadState};
