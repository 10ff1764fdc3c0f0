//! The serving pool moves, and users do not notice.

use crate::harness::endpoint::{ok, status};
use crate::harness::{Door, Endpoint, eventually};
use std::time::Duration;

#[tokio::test(flavor = "local")]
async fn a_killed_primary_costs_no_read_and_no_write_that_comes_after() {
    let mut primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    let door = Door::builder().primary(&primary).secondary(&secondary).start().await;
    assert_eq!(&door.client().get("/").await.body()[..], b"main");
    primary.kill().await;
    // A write that begins after the kill can't have begun there: it waits for the verdict.
    let (write, read) = (door.client(), door.client());
    let (written, got) = tokio::join!(write.post("/", "x=1"), read.get("/"));
    assert_eq!((&written.body()[..], &got.body()[..]), (&b"spare"[..], &b"spare"[..]));
    door.serves_from("spare").await;
    assert_eq!(secondary.count("post /"), 1);
    primary.listen().await;
    door.serves_from("main").await;
    assert_eq!(&door.client().get("/").await.body()[..], b"main");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_check_that_lies_does_not_save_a_failing_primary() {
    let primary = Endpoint::start("main").await; // its probes go on passing
    let secondary = Endpoint::start("spare").await;
    let door = Door::builder().primary(&primary).secondary(&secondary).start().await;
    primary.set_otherwise(status(500));
    for _ in 0..20 {
        assert_eq!(door.client().get("/").await.status(), 200);
    }
    door.serves_from("spare").await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_failing_check_moves_users_without_any_traffic() {
    let primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    let door = Door::builder().primary(&primary).secondary(&secondary).start().await;
    primary.set_probes(status(503));
    door.serves_from("spare").await;
    primary.set_probes(ok("well"));
    door.serves_from("main").await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn with_every_pool_down_everything_is_tried_and_the_first_answer_ends_it() {
    let mut primary = Endpoint::start("main").await;
    let mut secondary = Endpoint::start("spare").await;
    let door = Door::builder().primary(&primary).secondary(&secondary).start().await;
    primary.kill().await;
    secondary.kill().await;
    eventually("no pool is usable", || door.view().backends[0].pools.iter().all(|pool| !pool.usable)).await;
    let sorry = door.client().get("/").await;
    assert_eq!(sorry.status(), 502);
    assert_eq!(sorry.headers()["retry-after"], "2");
    assert_eq!(door.client().post("/", "x").await.status(), 502);
    secondary.listen().await;
    eventually("it is over", || door.view().backends[0].pools.iter().any(|pool| pool.usable)).await;
    assert_eq!(&door.client().get("/").await.body()[..], b"spare");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn hold_down_keeps_users_where_they_are() {
    let mut primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    let door = Door::builder().primary(&primary).secondary(&secondary).backend("").start().await;
    primary.kill().await;
    door.serves_from("spare").await;
    primary.listen().await;
    eventually("the primary is well again", || door.view().backends[0].pools[0].usable).await;
    let waiting = door.view().backends[0].snapshot.waiting;
    assert!(waiting.is_some() || door.serving() == "main", "status says what it waits for");
    tokio::time::timeout(Duration::from_secs(20), door.serves_from("main")).await.unwrap();
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_that_leaves_while_its_write_waits_leaves_nothing_behind() {
    let mut primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    // Down by neither probe nor tally, so that the wait lasts.
    let door = Door::builder()
        .primary(&primary)
        .secondary(&secondary)
        .backend("tally = { trip = 1000, consecutive = 1000 }")
        .start()
        .await;
    let waiting = |door: &Door| door.view().backends[0].cells.iter().map(|cells| cells.waiting.get()).sum::<i64>();
    primary.kill().await;
    let mut raw = door.client().raw().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx").await;
    drop(raw);
    eventually("nothing is left", || (waiting(&door), door.in_flight()) == (0, 0)).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn in_panic_a_whole_pool_that_refuses_hides_no_endpoint_elsewhere() {
    let mut refusing = Vec::new();
    for _ in 0..4 {
        refusing.push(Endpoint::start("main").await);
    }
    let mut secondary = Endpoint::start("spare").await;
    let mut builder = Door::builder();
    for endpoint in &refusing {
        builder = builder.primary(endpoint);
    }
    let door = builder.secondary(&secondary).start().await;
    for endpoint in &mut refusing {
        endpoint.kill().await;
    }
    secondary.kill().await;
    let usable = |door: &Door| door.view().backends[0].pools.iter().any(|pool| pool.usable);
    eventually("no pool is usable", || !usable(&door)).await;
    secondary.set_probes(status(503)); // it answers users, and no probe says so
    secondary.listen().await;
    assert_eq!(&door.client().get("/").await.body()[..], b"spare");
    door.stop().await;
}
