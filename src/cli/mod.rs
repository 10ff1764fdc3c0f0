//! The command line.
pub mod output;
pub mod status;
