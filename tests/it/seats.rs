//! A site's `max_requests`: what is past it is refused at once, and whatever else there is goes on.

use crate::harness::client::request;
use crate::harness::door::Builder;
use crate::harness::endpoint::ok;
use crate::harness::{Act, Door, Endpoint, eventually};
use hotspare::telemetry::metrics::ReplyKind;

/// Two sites of one backend; one has a limit.
fn sites(most: usize) -> String {
    format!(
        "[[site]]\nhosts = [\"localhost\"]\npath = \"/shop\"\nbackend = \"sites\"\nmax_requests = {most}\nerror_page = \"sorry.html\"\n\
         [[site]]\nhosts = [\"localhost\"]\nbackend = \"sites\"\n"
    )
}

/// Nothing that happens to requests takes an endpoint out.
fn calm(primary: &Endpoint, most: usize) -> Builder {
    let patient = "tally = { trip = 1000, consecutive = 1000 }\nhedge = false";
    let failback = "stable_for = \"10m\", after_writes = \"auto\"";
    let door = Door::builder().primary(primary).fall(1_000).failback(failback).backend(patient);
    door.rest(&sites(most)).file("sorry.html", "<p>{status}")
}

/// Requests of the site with a limit: how many run, how many were refused.
fn counts(door: &Door) -> (usize, u64) {
    let view = door.view();
    view.seats.counts(&view.config.sites.all()[0]).unwrap()
}

/// A request that nobody answers.
fn waits(door: &Door, at: u8) -> tokio::task::JoinHandle<()> {
    let client = door.client_at(at);
    tokio::task::spawn_local(async move {
        let _cut = client.send(request("GET", "/shop/wait", "")).await;
    })
}

#[tokio::test(flavor = "local")]
async fn a_site_with_all_that_may_run_refuses_more_and_other_sites_are_served() {
    let primary = Endpoint::start("main").await.on("/shop/wait", Act::Silence).on("/shop", ok("shop"));
    let door = calm(&primary, 3).start().await;
    // Of several clients, so that several workers have them.
    let mut run: Vec<_> = (1..=3).map(|at| waits(&door, at)).collect();
    eventually("they run", || primary.count("get /shop/wait") == 3).await;
    for at in 1..=4 {
        let refused = door.client_at(at).get("/shop").await;
        assert_eq!((refused.status().as_u16(), &refused.body()[..]), (503, &b"<p>503"[..]), "in the site's own words");
        assert_eq!(refused.headers()["retry-after"], "2");
        assert_eq!(refused.headers()["proxy-status"], "hotspare; error=http_request_denied");
        assert_eq!(door.client_at(at).get("/").await.status(), 200);
    }
    assert_eq!(counts(&door), (3, 4));
    assert_eq!(primary.count("get /shop"), 3, "what is refused reaches no endpoint");
    assert_eq!(door.count_at_workers(|cells| cells.replies[ReplyKind::SiteFull as usize].get()), 4);
    assert_eq!(door.count(|cells| cells.responses[4].get()), 4);
    // One whose client goes away leaves its seat.
    run.pop().unwrap().abort();
    eventually("one is free", || counts(&door).0 == 2).await;
    assert_eq!(&door.client().get("/shop").await.body()[..], b"shop");
    run.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("all are free", || counts(&door) == (0, 4)).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_reload_keeps_the_count_and_brings_the_new_limit() {
    let primary = Endpoint::start("main").await.on("/shop/wait", Act::Silence).on("/shop", ok("shop"));
    let mut door = calm(&primary, 2).start().await;
    let run: Vec<_> = (1..=2).map(|at| waits(&door, at)).collect();
    eventually("they run", || primary.count("get /shop/wait") == 2).await;
    assert_eq!(door.client().get("/shop").await.status(), 503);
    door.reload(|built| built.set_rest(&sites(3))).await;
    assert_eq!((counts(&door), door.client().get("/shop").await.status().as_u16()), ((2, 1), 200));
    door.reload(|built| built.set_rest(&sites(1))).await;
    assert_eq!((door.client().get("/shop").await.status().as_u16(), counts(&door)), (503, (2, 2)));
    run.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("all are free", || counts(&door) == (0, 2)).await;
    assert_eq!(door.client().get("/shop").await.status(), 200);
    door.stop().await;
}
