//! The main job: the primary data centre dies under load, and comes back.

use crate::harness::door::Door;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_killed_primary_costs_no_reader_a_page_and_gets_its_users_back_after_the_hold_down() {
    let site = Site::make();
    let mut new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let door = Door::start(&Setup::new(&[new_jersey.address], &[oregon.address])).await;
    let load = Load::start(door.client(), &site, 200, Visitors::Writers);
    load.goes_on(400).await;
    assert_eq!(load.so_far().answered_by("oregon"), 0, "the spare serves although nothing is wrong");

    new_jersey.crash();
    load.reaches("oregon").await;
    door.serves_from("oregon").await;
    load.goes_on(600).await;

    let power_on = Instant::now();
    new_jersey.restart().await;
    door.serves_from("new-jersey").await;
    assert!(power_on.elapsed() >= Duration::from_secs(3), "failback before the hold-down was over");
    load.reaches("new-jersey").await;
    load.goes_on(400).await;

    let report = load.stop().await;
    report.gets().assert_all_good();
    // A write may fail: one that was under way when its data centre died. It may not be done twice, or for nothing.
    let (there, here) = (new_jersey.posts(), oregon.posts());
    for post in report.posts() {
        let id = post.path.strip_prefix("/post/").unwrap();
        let times = there.get(id).unwrap_or(&0) + here.get(id).unwrap_or(&0);
        assert!(times <= 1, "{post:?} was received {times} times");
    }
    let metrics = door.metrics().await;
    assert_eq!(metrics.sum("hotspare_failovers_total", &[("backend", "sites")]), 1.0);
    assert_eq!(metrics.sum("hotspare_failbacks_total", &[("backend", "sites")]), 1.0);
    door.is_idle().await;
    door.stop().await;
}

#[tokio::test]
async fn with_both_data_centres_dead_everyone_gets_a_reply_of_ours_and_the_first_to_return_serves() {
    let site = Site::make();
    let mut new_jersey = Nginx::start("new-jersey", &site).await;
    let mut oregon = Nginx::start("oregon", &site).await;
    let door = Door::start(&Setup::new(&[new_jersey.address], &[oregon.address])).await;

    new_jersey.crash();
    oregon.crash();
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    load.goes_on(200).await;
    let dark = load.stop().await;
    assert_eq!(dark.good(), 0);
    assert_eq!(dark.ours(), dark.len(), "somebody got no reply at all: {dark}");

    oregon.restart().await;
    door.serves_from("oregon").await;
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    load.goes_on(200).await;
    load.stop().await.assert_all_good();
    door.stop().await;
}
