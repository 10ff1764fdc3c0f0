//! `hotspare demo`: two small data centres inside the process, a front door before them, and faults to switch on.
//!
//! - [`scene`]: all of it, running. - [`tour`]: fault after fault by itself, with a verdict.
//! - [`data_centre`], [`answer`], [`site`], [`guest_book`], [`mirror`]: what is served, and how it fails.
//! - [`visitors`], [`ledger`]: who comes, and what they saw. - [`fault`], [`switches`]: what is wrong at the moment.
//!
//! It reads and writes no file, and talks to the loopback interface alone.

pub mod answer;
pub mod certificate;
pub mod data_centre;
pub mod fault;
pub mod guest_book;
pub mod ledger;
pub mod local_thread;
pub mod mirror;
pub mod play;
pub mod port;
pub mod scene;
pub mod site;
pub mod switches;
pub mod tour;
pub mod visitors;

use crate::runtime::clock::Clock;
use anyhow::Context;
use play::Ports;
use std::io;
use tokio::runtime::Builder;

/// What `hotspare demo` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Options {
    /// The port of the front door, https://localhost:PORT.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    port: u16,
    /// The port of the admin page, http://localhost:PORT.
    #[arg(long, value_name = "PORT", default_value_t = 9900)]
    admin_port: u16,
    /// Show fault after fault without a browser, on free ports, in less than two minutes; fails if a promise did not hold.
    #[arg(long, conflicts_with_all = ["port", "admin_port"])]
    tour: bool,
}

/// Whether users saw what the tour promises; a demo that is played promises nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promises {
    Held,
    Broken,
}

/// `hotspare demo`: plays until the user quits, or takes the tour.
pub fn run(options: Options) -> anyhow::Result<Promises> {
    let clock = Clock::start();
    let out = &mut io::stdout();
    // This thread is the front door's office, too.
    let runtime = Builder::new_current_thread().enable_all().build_local(Default::default());
    runtime.context("the demo's event loop could not be started")?.block_on(async {
        if options.tour {
            return tour::run(out, clock).await;
        }
        play::play(Ports { https: options.port, admin: options.admin_port }, out, clock).await?;
        Ok(Promises::Held)
    })
}
