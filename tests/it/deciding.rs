//! What the workers tell decides well, and what is decided they obey.

use crate::harness::endpoint::{ok, status};
use crate::harness::{Act, Door, Endpoint, eventually};
use hotspare::domain::{Command, Health, PlaceName, PoolIndex, Writes};
use std::time::Duration;

fn answered(response: &http::Response<bytes::Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

fn is_up(health: Health) -> bool {
    matches!(health, Health::Up { .. })
}

#[tokio::test(flavor = "local")]
async fn a_page_that_fails_in_both_places_moves_nothing() {
    let primary = Endpoint::start("main").await.on("/broken", status(500));
    let secondary = Endpoint::start("spare").await.on("/broken", status(500));
    let door = Door::builder().primary(&primary).secondary(&secondary).start().await;
    for round in 0..40 {
        let client = door.client_at(round + 1);
        assert_eq!(client.get("/broken").await.status(), 500);
        assert_eq!(answered(&client.get("/").await), "main", "round {round}");
    }
    assert!(
        primary.count("get /broken") >= 40 && secondary.count("get /broken") >= 40,
        "each was tried in both places"
    );
    assert!(is_up(door.health(0, 0)) && is_up(door.health(1, 0)));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_disk_that_fails_one_read_in_three_is_left_and_no_reader_notices() {
    let primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    let door = Door::builder().primary(&primary).secondary(&secondary).start().await;
    let mut asked = 0;
    while door.serving() == "main" {
        primary.set_otherwise(if asked % 3 == 2 { status(500) } else { ok("main") });
        let got = door.client_at(asked % 50 + 1).get(&format!("/page-{}", asked % 7)).await;
        assert_eq!(got.status(), 200);
        asked += 1;
        assert!(asked < 200, "it is still asked");
    }
    assert!(asked >= 15, "and not for a few");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_that_answers_nobody_is_asked_last_and_then_taken_out() {
    let primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    // A second of silence makes it suspect, and ten more would eject it: time to look.
    let door = Door::builder()
        .primary(&primary)
        .secondary(&secondary)
        .fall(1_000)
        .failback("stable_for = \"2m\"")
        .start()
        .await;
    assert_eq!(answered(&door.client().get("/").await), "main");
    primary.set_otherwise(Act::Silence);
    primary.set_probes(Act::Silence);
    let mut hang = tokio::task::JoinSet::new();
    for last in 1..=6 {
        let client = door.client_at(last);
        hang.spawn_local(async move { client.get("/").await });
    }
    eventually("it is suspect", || matches!(door.health(0, 0), Health::Suspect { .. }) || door.serving() == "spare")
        .await;
    assert_eq!(answered(&door.client().get("/").await), "spare");
    door.serves_from("spare").await;
    assert!(matches!(door.health(0, 0), Health::Down(_)));
    hang.shutdown().await;
    eventually("nothing is left", || door.in_flight() == 0).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_drained_endpoint_gets_no_request_whatever_happens_to_the_others() {
    let (mut primary, drained) = (Endpoint::start("main").await, Endpoint::start("drained").await);
    let secondary = Endpoint::start("spare").await;
    let builder = Door::builder().primary(&primary).primary(&drained).secondary(&secondary);
    let door = builder.start().await;
    door.order(Command::Drain { place: PlaceName::Endpoint(drained.address.to_string().into()) }).await;
    for last in 1..=20 {
        assert_eq!(answered(&door.client_at(last).get("/").await), "main");
        assert_eq!(answered(&door.client_at(last).post("/", "x").await), "main");
    }
    primary.kill().await;
    assert_eq!(answered(&door.client().get("/").await), "spare");
    assert_eq!(answered(&door.client().post("/", "x").await), "spare");
    assert!(drained.seen().is_empty(), "{:?}", drained.seen());
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn while_read_only_pages_are_served_and_writes_are_told_so() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).primary_keys(r#"writes = "refuse""#).start().await;
    assert_eq!(answered(&door.client().get("/").await), "main");
    let refused = door.client().post("/", "x").await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"30".parse().unwrap()));
    assert!(answered(&refused).contains("read-only"), "{}", answered(&refused));
    let mut raw = door.client().raw().await;
    raw.write("GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert!(raw.read_until("read-only").await.starts_with("HTTP/1.1 503 "), "an upgrade may write, too");
    assert_eq!(primary.seen().len(), 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_planned_move_waits_for_the_write_that_runs_and_the_next_one_waits_for_it() {
    let primary = Endpoint::start("main").await.on("/slow", Act::After(Duration::from_millis(700), ok("main").into()));
    let secondary = Endpoint::start("spare").await;
    let keys = "write_drain = \"15s\"\nwrite_wait = \"20s\"";
    let door = Door::builder().primary(&primary).secondary(&secondary).backend(keys).start().await;
    let running = door.client();
    let running = tokio::task::spawn_local(async move { running.post("/slow", "first").await });
    eventually("it runs", || primary.count("post /slow") == 1).await;
    door.order(Command::Failover { backend: "sites".into(), to: None }).await;
    assert_eq!(answered(&door.client().get("/").await), "spare", "reads do not wait");
    let writes = || door.view().backends[0].snapshot.writes;
    assert!(matches!(writes(), Writes::Pausing { to: PoolIndex(1), .. }), "{:?}", writes());
    let next = door.client().post("/", "second").await;
    assert!(running.is_finished(), "the first one had ended before the second one began");
    assert_eq!((answered(&running.await.unwrap()), answered(&next)), ("main".to_owned(), "spare".to_owned()));
    assert_eq!((primary.count("post"), secondary.count("post")), (1, 1));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_planned_move_closes_upgrades() {
    let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let primary = Endpoint::start("main").await.on("/chat", Act::Echo(agreed.to_vec()));
    let secondary = Endpoint::start("spare").await;
    let door = Door::builder().primary(&primary).secondary(&secondary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello").await;
    raw.read_until("hello").await;
    door.order(Command::Failover { backend: "sites".into(), to: None }).await;
    raw.read_to_end().await;
    eventually("it has ended", || door.in_flight() == 0).await;
    door.stop().await;
}

/// Fails until the endpoint is ejected, then is well.
pub async fn eject(door: &Door, endpoint: &Endpoint, place: usize) {
    endpoint.set_otherwise(status(500));
    for asked in 0..200 {
        if matches!(door.health(0, place), Health::Down(_)) {
            break;
        }
        assert_eq!(door.client_at(asked % 50 + 1).get(&format!("/page-{}", asked % 7)).await.status(), 200);
    }
    assert!(matches!(door.health(0, place), Health::Down(_)), "it was ejected");
    endpoint.set_otherwise(ok("well again"));
    eventually("it is in probation", || matches!(door.health(0, place), Health::Probation { .. })).await;
}

#[tokio::test(flavor = "local")]
async fn copies_prove_a_pool_that_does_not_serve_and_clients_see_none_of_their_answers() {
    let primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    let builder = Door::builder().primary(&primary).secondary(&secondary).failback("mode = \"manual\"");
    let door = builder.backend("tally = { ejection_time = \"100ms\" }").start().await;
    eject(&door, &primary, 0).await;
    door.serves_from("spare").await;
    let before = primary.seen().len();
    let mut asked = 0_usize;
    while !is_up(door.health(0, 0)) {
        assert_eq!(answered(&door.client().get("/copied").await), "spare");
        assert_eq!(answered(&door.client().post("/written", "x").await), "spare");
        asked += 1;
        assert!(asked < 4_000, "it never came back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let copies = primary.count("get /copied");
    assert!(copies >= 5, "{copies} of {asked}: five good answers in a row prove it");
    assert!(copies <= asked / 10 + 8, "{copies} of {asked}: a trickle");
    assert_eq!((primary.seen().len() - before, primary.count("post /written")), (copies, 0), "a write is never copied");
    assert_eq!(door.count(|cells| cells.copies.get()), copies as u64);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_trickle_tries_an_endpoint_of_the_serving_pool_and_no_client_is_hurt_by_it() {
    let (primary, ailing) = (Endpoint::start("main").await, Endpoint::start("main").await);
    let door = Door::builder().primary(&primary).primary(&ailing);
    let door = door.backend("tally = { ejection_time = \"100ms\" }").start().await;
    eject(&door, &ailing, 1).await;
    ailing.set_otherwise(status(500)); // not so well after all
    let before = ailing.seen().len();
    let mut asked = 0;
    while matches!(door.health(0, 1), Health::Probation { .. }) {
        assert_eq!(answered(&door.client().get("/tried").await), "main");
        asked += 1;
        assert!(asked < 4_000, "it was never tried");
    }
    assert_eq!(ailing.seen().len(), before + 1, "one failure, and it is out again");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_ramp_moves_clients_one_by_one_and_nobody_who_just_wrote() {
    let mut primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    let builder = Door::builder().primary(&primary).secondary(&secondary).backend("own_writes = \"1m\"");
    let door = builder.failback("stable_for = \"300ms\", after_writes = \"auto\", ramp = \"8s\"").start().await;
    primary.kill().await;
    door.serves_from("spare").await;
    let writer = door.client_at(101);
    assert_eq!(answered(&writer.post("/", "x").await), "spare");
    primary.listen().await;
    let ramp = || door.view().backends[0].snapshot.ramp;
    eventually("reads begin to return", || ramp().is_some()).await;
    let mut moved = std::collections::BTreeSet::new();
    let mut both = false;
    while ramp().is_some() {
        for last in (1..=96).step_by(5) {
            let got = answered(&door.client_at(last).get("/").await);
            if ramp().is_none() {
                break;
            }
            match &*got {
                "main" => drop(moved.insert(last)),
                _ => assert!(!moved.contains(&last), "{last} was taken back"),
            }
        }
        both |= !moved.is_empty() && moved.len() < 20;
        let (read, written) = (writer.get("/").await, writer.post("/", "x").await);
        if ramp().is_some() {
            assert_eq!((answered(&read), answered(&written)), ("spare".to_owned(), "spare".to_owned()));
        }
    }
    assert!(both, "at some time some had moved and others had not: {moved:?}");
    door.serves_from("main").await;
    assert_eq!(answered(&writer.get("/").await), "main");
    door.stop().await;
}
