//! `hotspare demo`: two small data centres inside the process, and what goes wrong in them.
//!
//! - [`data_centre`], [`answer`], [`site`], [`guest_book`], [`mirror`]: what is served, and how it fails.
//! - [`visitors`], [`ledger`]: who comes, and what they saw.

pub mod answer;
pub mod certificate;
pub mod data_centre;
pub mod fault;
pub mod guest_book;
pub mod ledger;
pub mod local_thread;
pub mod mirror;
pub mod port;
pub mod site;
pub mod visitors;
