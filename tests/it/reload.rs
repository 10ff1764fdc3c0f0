//! A new config in force, and nobody notices.

use crate::harness::endpoint::ok;
use crate::harness::ports::free_address;
use crate::harness::{Act, Door, Endpoint, PATIENCE, eventually};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "local")]
async fn a_reload_keeps_health_tallies_and_connections_of_what_stays() {
    let primary = Endpoint::start("main").await;
    let (secondary, third) = (Endpoint::start("spare").await, Endpoint::start("third").await);
    let mut door = Door::builder().primary(&primary).secondary(&secondary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    raw.read_until("main").await;
    let before = door.view();
    door.reload(|built| built.set_secondary(&third)).await;
    let after = door.view();
    assert_eq!(after.generation.0, before.generation.0 + 1);
    let id = |view: &hotspare::health::View, pool: usize| view.backends[0].pools[pool].endpoints[0].tally.id;
    assert_eq!(id(&before, 0), id(&after, 0), "the primary's endpoint stayed as it was");
    assert_ne!(id(&before, 1), id(&after, 1), "the secondary's is another");
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(raw.read_until("main").await.starts_with("HTTP/1.1 200 "), "the client's connection goes on");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn forty_reloads_under_load_cost_no_request() {
    let primary = Endpoint::start("main").await;
    let (secondary, third) = (Endpoint::start("spare").await, Endpoint::start("third").await);
    let mut door = Door::builder().primary(&primary).secondary(&secondary).start().await;
    let client = door.client();
    let load = tokio::spawn(async move {
        for count in 0..300 {
            let page = client.get("/").await;
            assert_eq!(page.status(), 200, "request {count}");
        }
    });
    for count in 0..40 {
        let other = if count % 2 == 0 { &third } else { &secondary };
        door.reload(|built| built.set_secondary(other)).await;
    }
    load.await.unwrap();
    assert_eq!(door.serving(), "main");
    eventually("nothing is in flight", || door.in_flight() == 0).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_listener_comes_and_goes_with_the_config_and_what_runs_there_is_finished() {
    let slow = Act::After(Duration::from_millis(300), Box::new(ok("slow")));
    let primary = Endpoint::start("main").await.on("/slow", slow);
    let mut door = Door::builder().primary(&primary).start().await;
    let address = free_address();
    door.reload(|built| built.set_rest(&format!("[[listener]]\naddress = \"{address}\"\n"))).await;
    let connect = || TcpStream::connect(address);
    let mut plain = connect().await.unwrap();
    plain.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    eventually("it runs", || primary.count("get /slow") == 1).await;
    door.reload(|built| built.set_rest("")).await;
    let mut answer = String::new();
    // The connection closes after its answer, and says so.
    tokio::time::timeout(PATIENCE, plain.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close") && answer.ends_with("slow"),
        "{answer}"
    );
    let refused = async {
        while connect().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("somebody still listens");
    door.reload(|built| built.set_rest(&format!("[[listener]]\naddress = \"{address}\"\n"))).await;
    connect().await.unwrap();
    door.stop().await;
}
