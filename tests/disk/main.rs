//! The journal and the state file of a process that is killed, or whose disk is full: a real child, real files.
//!
//! A test runs itself again as its own child: there its name leads to the child's part, named by an environment variable.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod child;
mod full;
mod killed;
mod story;
