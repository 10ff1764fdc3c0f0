//! The decision core as its owner sees it: inputs in, transitions, deadlines and snapshots out. Time is jumped from deadline
//! to input, never ticked, so that a deadline which is missing is missed. The rules' numbers are in docs/failover.md.

mod bench;
mod flapping;
mod noise;
mod properties;
mod stories;
