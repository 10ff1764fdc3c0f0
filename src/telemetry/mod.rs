//! Metrics and logs.
//!
//! - [`cells`]: counters with one writer. - [`metrics`]: what workers count. - [`control`]: what the control side counts.
//! - [`names`]: what each metric is called. - [`words`]: decisions told to people. - [`log`]: where lines go.
//! - [`journal`]: decisions written down for good. - [`files`]: what is counted and told of files of our own.
//!
//! Not here: serving any of it (`admin`).

#![warn(clippy::wildcard_enum_match_arm)] // matches on our own enums are exhaustive
pub mod cells;
pub mod control;
pub mod files;
pub mod journal;
pub mod log;
pub mod metrics;
pub mod names;
pub mod words;
