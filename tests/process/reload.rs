//! SIGHUP: all of a valid file, or nothing.

use crate::harness::door::Door;
use crate::harness::eventually;
use crate::harness::free_address;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use rustix::process::Signal;
use std::fs;
use std::net::TcpListener;
use tokio::net::TcpStream;

#[tokio::test]
async fn twenty_reloads_under_load_every_fifth_of_a_broken_file_cost_nobody_anything() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let annex = Nginx::start("annex", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    let mut door = Door::start(&setup).await;
    let begin = door.generation().await;
    let second_listener = format!("[[listener]]\naddress = \"{}\"\n", free_address());
    let load = Load::start(door.client(), &site, 200, Visitors::Downloaders);

    let (mut accepted, mut rejected) = (0.0, 0.0);
    for round in 1..=20 {
        load.goes_on(40).await;
        // A listener comes and goes, and so does an endpoint of the serving pool.
        setup.primary = if round % 2 == 0 { vec![new_jersey.address] } else { vec![new_jersey.address, annex.address] };
        let text = if round % 3 == 0 { setup.text() + &second_listener } else { setup.text() };
        if round % 5 == 0 {
            door.rewrite_config(&text.replace("primary", "primery"));
            door.signal(Signal::HUP);
            rejected += 1.0;
            door.reloads("rejected", rejected).await;
        } else {
            door.rewrite_config(&text);
            door.signal(Signal::HUP);
            accepted += 1.0;
            door.reloads("accepted", accepted).await;
        }
    }
    load.goes_on(40).await;
    let report = load.stop().await;
    report.assert_all_good();
    assert!(report.answered_by("annex") > 0, "what the reloads changed was never used");

    assert_eq!(door.generation().await, begin + 16.0);
    let metrics = door.metrics().await;
    assert_eq!(metrics.sum("hotspare_reloads_total", &[("result", "accepted")]), 16.0);
    assert_eq!(metrics.sum("hotspare_reloads_total", &[("result", "rejected")]), 4.0);
    assert_eq!(metrics.sum("hotspare_failovers_total", &[]), 0.0);
    door.says("did you mean `primary`?").await;
    door.is_idle().await;
    door.stop().await;
}

/// A reload that can't be: `break_it` is told where the door is and what its config was.
async fn changes_nothing(break_it: impl FnOnce(&Door, &Setup), said: &[&str]) {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let setup = Setup::new(&[new_jersey.address], &[free_address()]);
    let mut door = Door::start(&setup).await;
    let before = door.generation().await;

    break_it(&door, &setup);
    door.signal(Signal::HUP);
    door.reloads("rejected", 1.0).await;

    assert_eq!(door.generation().await, before);
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    load.goes_on(100).await;
    load.stop().await.assert_all_good();
    for part in said {
        door.says(part).await;
    }
    door.says(&format!("Generation {before} stays in force; nothing was changed.")).await;
    door.stop().await;
}

#[tokio::test]
async fn a_reload_into_a_port_in_use_changes_nothing_and_says_whose_port_it_is() {
    let other = TcpListener::bind(free_address()).unwrap();
    let taken = other.local_addr().unwrap();
    let free = free_address();
    let listen = |door: &Door, setup: &Setup| {
        let more = format!("[[listener]]\naddress = \"{free}\"\n[[listener]]\naddress = \"{taken}\"\n");
        door.rewrite_config(&(setup.text() + &more));
    };
    changes_nothing(listen, &[&taken.to_string(), "something else listens there"]).await;
    assert!(TcpStream::connect(free).await.is_err(), "the other new listener was kept");
}

#[tokio::test]
async fn a_reload_with_a_certificate_that_was_never_there_changes_nothing_and_names_the_file() {
    let rename = |door: &Door, setup: &Setup| door.rewrite_config(&setup.text().replace("site.pem", "none.pem"));
    changes_nothing(rename, &["none.pem", "hotspare.toml:"]).await;
}

#[tokio::test]
async fn a_reload_without_its_certificate_keeps_the_one_from_before_does_the_rest_and_says_so() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[free_address()]);
    let mut door = Door::start(&setup).await;

    fs::remove_file(door.certificate_file()).unwrap();
    setup.primary = vec![oregon.address];
    door.rewrite_config(&setup.text());
    door.signal(Signal::HUP);
    door.reloads("accepted", 1.0).await;

    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    load.goes_on(100).await;
    let report = load.stop().await;
    report.assert_all_good();
    assert_eq!(report.answered_by("oregon"), report.len());
    door.says("the one from before stays in use").await;
    assert_eq!(door.metrics().await.sum("hotspare_certificate_refused", &[]), 1.0);
    door.stop().await;
}

#[tokio::test]
async fn an_endpoint_taken_out_by_a_reload_finishes_what_it_serves() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    let mut door = Door::start(&setup).await;
    let download = crate::drain::slow_download(&door, &site).await;

    setup.primary = vec![oregon.address];
    setup.secondary = vec![free_address()];
    door.rewrite_config(&setup.text());
    door.signal(Signal::HUP);
    door.reloads("accepted", 1.0).await;
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    load.goes_on(100).await;
    let report = load.stop().await;
    report.assert_all_good();
    assert_eq!(report.answered_by("oregon"), report.len());
    assert_eq!(download.await.unwrap().unwrap(), site.largest().bytes.len(), "the download was cut");
    eventually("nothing is left of the endpoint", async || {
        door.metrics().await.sum("hotspare_endpoint_in_flight", &[]) == 0.0
    })
    .await;
    door.stop().await;
}
