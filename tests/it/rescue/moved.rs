//! A read that has no head yet leaves an endpoint that goes out of service.

use super::{PATIENT, asked, body, endpoints, told};
use crate::harness::client::{Sent, request};
use crate::harness::endpoint::{Gate, behind, in_turn, ok, response, status, then};
use crate::harness::{Act, Door, Endpoint, eventually};
use hotspare::domain::{Command, Health, PlaceName};
use hotspare::telemetry::metrics::Rescued;
use tokio::task::JoinHandle;

/// Nothing but its endpoint's health moves a request.
const ALONE: &str = "hedge = false";

fn get(door: &Door, path: &'static str) -> JoinHandle<Sent> {
    let client = door.client();
    tokio::task::spawn_local(async move { client.send(request("GET", path, "")).await })
}

#[tokio::test(flavor = "local")]
async fn a_read_without_a_head_leaves_an_endpoint_that_probes_take_out() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", Act::Silence);
    let door = Door::builder().primary(&a).secondary(&b).backend(PATIENT).backend(ALONE).start().await;
    let page = get(&door, "/page");
    eventually("it runs", || a.count("get /page") == 1).await;
    assert_eq!(b.seen().len(), 0);
    a.set_probes(status(503));
    assert_eq!(told(&page.await.unwrap().unwrap()), (200, "b".to_owned()));
    assert_eq!(door.rescued(Rescued::Retry), 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_read_without_a_head_leaves_an_endpoint_that_other_requests_take_out() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", Act::Silence);
    let door = Door::builder().primary(&a).secondary(&b).backend(ALONE).start().await;
    let page = get(&door, "/page");
    eventually("it runs", || a.count("get /page") == 1).await;
    a.set_otherwise(status(500));
    for asked in 0..200_u8 {
        if !matches!(door.health(0, 0), Health::Up { .. }) {
            break;
        }
        door.client_at(asked % 50 + 1).get(&format!("/page-{}", asked % 7)).await;
    }
    assert_eq!(told(&page.await.unwrap().unwrap()), (200, "b".to_owned()));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn it_goes_to_another_endpoint_of_its_pool_first_and_only_once() {
    let [a, b, c] = endpoints(["a", "b", "c"]).await;
    let gate = Gate::default();
    let acts = in_turn([Act::Silence, behind(&gate, ok("second"))]);
    [&a, &b, &c].iter().for_each(|endpoint| endpoint.set("/page", acts.clone()));
    let door = Door::builder().primary(&a).primary(&b).secondary(&c).backend(PATIENT).backend(ALONE).start().await;
    let page = get(&door, "/page");
    eventually("it runs", || asked(&[&a, &b], "get /page") == 1).await;
    let its: &Endpoint = if a.seen().is_empty() { &b } else { &a };
    its.set_probes(status(503));
    eventually("it runs elsewhere", || asked(&[&a, &b], "get /page") == 2).await;
    // More news, that does not concern it.
    c.set_probes(status(503));
    eventually("it is down", || matches!(door.health(1, 0), Health::Down(_))).await;
    gate.open();
    assert_eq!(told(&page.await.unwrap().unwrap()), (200, "second".to_owned()));
    assert_eq!((asked(&[&a, &b], "get /page"), c.seen().len()), (2, 0));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_it_left_may_still_answer_first() {
    let [a, b] = endpoints(["a", "b"]).await;
    let gate = Gate::default();
    a.set("/page", behind(&gate, ok("a after all")));
    b.set("/page", Act::Silence);
    let door = Door::builder().primary(&a).secondary(&b).backend(PATIENT).backend(ALONE).start().await;
    let page = get(&door, "/page");
    eventually("it runs", || a.count("get /page") == 1).await;
    a.set_probes(status(503));
    eventually("it runs elsewhere", || b.count("get /page") == 1).await;
    gate.open();
    assert_eq!(body(&page.await.unwrap().unwrap()), "a after all");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_page_that_is_kept_and_not_whole_leaves_too() {
    let [a, b] = endpoints(["a", "b"]).await;
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun".to_vec();
    a.set("/page", then(Act::Write(begun), Act::Silence));
    a.set_probes(Act::After(std::time::Duration::from_millis(20), ok("well").into()));
    let door = Door::builder().primary(&a).secondary(&b).backend(PATIENT).backend(ALONE).start().await;
    let page = get(&door, "/page");
    eventually("it runs", || a.count("get /page") == 1).await;
    a.set_probes(status(503));
    assert_eq!(body(&page.await.unwrap().unwrap()), "b");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_write_stays_where_it_has_begun() {
    let [a, b] = endpoints(["a", "b"]).await;
    let gate = Gate::default();
    a.set("/page", behind(&gate, ok("a")));
    let keys = "retry = { idempotent = true }";
    let door = Door::builder().primary(&a).secondary(&b).backend(PATIENT).backend(ALONE).backend(keys).start().await;
    let client = door.client();
    let sent = [("POST", "x"), ("PUT", "x"), ("GET", "x")].map(|(method, body)| {
        let client = client.clone();
        tokio::task::spawn_local(async move { client.send(request(method, "/page", body)).await })
    });
    eventually("they run", || a.seen().len() == 3).await;
    a.set_probes(status(503));
    door.serves_from("spare").await;
    assert_eq!(body(&door.client().get("/page").await), "b");
    (0..3).for_each(|_| gate.open());
    for sent in sent {
        gate.open();
        assert_eq!(body(&sent.await.unwrap().unwrap()), "a");
    }
    assert_eq!(b.seen().len(), 1, "that of the new read");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_drained_endpoint_keeps_what_it_runs() {
    let [a, b] = endpoints(["a", "b"]).await;
    let gate = Gate::default();
    a.set("/page", behind(&gate, Act::Write(response(200, &[], b"a"))));
    let door = Door::builder().primary(&a).secondary(&b).backend(PATIENT).backend(ALONE).start().await;
    let page = get(&door, "/page");
    eventually("it runs", || a.count("get /page") == 1).await;
    door.order(Command::Drain { place: PlaceName::Pool("main".into()) }).await;
    assert_eq!(body(&door.client().get("/").await), "b");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await; // it would be sent elsewhere at once
    assert_eq!(b.count("get /page"), 0);
    gate.open();
    assert_eq!(body(&page.await.unwrap().unwrap()), "a");
    door.stop().await;
}
