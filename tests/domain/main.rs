//! The decision core as its owner sees it: inputs in, transitions, deadlines and snapshots out. Time is jumped from deadline
//! to input, never ticked, so that a deadline which is missing is missed. The rules' numbers are in docs/failover.md.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bench;
mod commands;
mod flapping;
mod grey;
mod noise;
mod properties;
mod stories;
mod writes;
