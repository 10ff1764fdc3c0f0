//! Writes: where they go, and when they are sent once more.

use super::{PATIENT, asked, calm, endpoints, told};
use crate::harness::client::request;
use crate::harness::endpoint::{Gate, behind, in_turn, ok, status};
use crate::harness::{Act, Door, Endpoint, eventually};
use bytes::Bytes;
use hotspare::domain::Health;
use hotspare::telemetry::metrics::Rescued;
use http::Request;
use http_body_util::Full;
use std::time::Duration;

const IDEMPOTENT: &str = "retry = { idempotent = true }";

fn keyed(body: &str) -> Request<Full<Bytes>> {
    let mut request = request("POST", "/write", body);
    request.headers_mut().insert("idempotency-key", "1".parse().unwrap());
    request
}

#[tokio::test(flavor = "local")]
async fn a_write_stays_in_the_pool_that_takes_writes_and_runs_once() {
    let [a, b, c] = endpoints(["a", "b", "c"]).await;
    let door = calm(&[&a, &b], &[&c]).backend(PATIENT).start().await;
    for (count, act) in [Act::Reset, status(500), Act::WriteAndClose(Vec::new())].into_iter().enumerate() {
        for endpoint in [&a, &b] {
            endpoint.set("/write", act.clone());
        }
        let put = door.client().send(request("PUT", "/write", "x")).await.unwrap();
        let keyed = door.client().send(keyed("x")).await.unwrap();
        assert!(put.status().is_server_error() && keyed.status().is_server_error(), "{act:?}");
        assert_eq!((asked(&[&a, &b], ""), c.seen().len()), (2 * (count + 1), 0), "{act:?}");
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_write_that_is_refused_is_sent_on_within_its_pool() {
    let [mut a, b, c] = endpoints(["a", "b", "c"]).await;
    let door = calm(&[&a, &b], &[&c]).backend(PATIENT).start().await;
    a.kill().await;
    for _ in 0..8 {
        assert_eq!(told(&door.client().post("/write", "x").await), (200, "b".to_owned()));
    }
    assert_eq!(c.seen().len(), 0);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_write_that_no_endpoint_of_its_pool_takes_waits_for_the_verdict() {
    let [mut a, b] = endpoints(["a", "b"]).await;
    let door = Door::builder().primary(&a).secondary(&b).backend(PATIENT).backend("write_wait = \"20s\"").start().await;
    a.kill().await;
    assert_eq!(told(&door.client().post("/write", "x").await), (200, "b".to_owned()));
    assert_eq!(door.serving(), "spare");
    assert_eq!((b.count("post"), door.rescued(Rescued::Wait)), (1, 1));
    assert_eq!(b.seen()[0].body, b"x");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_write_that_waits_in_vain_is_told_to_come_back() {
    let [mut a, b] = endpoints(["a", "b"]).await;
    let door =
        calm(&[&a], &[&b]).backend(PATIENT).backend("write_wait = \"400ms\"\nwrite_drain = \"100ms\"").start().await;
    a.kill().await;
    let sorry = door.client().post("/write", "x").await;
    assert_eq!(sorry.status(), 503);
    assert!(sorry.headers().contains_key("retry-after"));
    assert_eq!(b.seen().len(), 0);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_kept_connection_that_was_idle_for_a_second_is_used_for_reads_and_not_for_writes() {
    let [a] = endpoints(["a"]).await;
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    let one = door.client().many().await; // one worker, whose connections they are
    let idle = || tokio::time::sleep(Duration::from_millis(1_200));
    one.send(request("GET", "/", "")).await.unwrap();
    one.send(request("POST", "/", "x")).await.unwrap();
    let soon = a.connections();
    idle().await;
    one.send(request("GET", "/", "")).await.unwrap();
    assert_eq!(a.connections(), soon, "a read may take it");
    idle().await;
    one.send(request("POST", "/", "x")).await.unwrap();
    assert_eq!(a.connections(), soon + 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_runs_twice_as_well_as_once_is_repeated_where_the_site_says_so() {
    let [a, b, c] = endpoints(["a", "b", "c"]).await;
    let door = calm(&[&a, &b], &[&c]).backend(PATIENT).backend(IDEMPOTENT).start().await;
    for act in [Act::Reset, status(500), Act::WriteAndClose(b"HTTP/1.1 ".to_vec())] {
        for sent in [request("PUT", "/write", "x"), request("DELETE", "/write", ""), keyed("x")] {
            let acts = in_turn([act.clone(), ok("done")]);
            for endpoint in [&a, &b, &c] {
                endpoint.set("/write", acts.clone());
            }
            let before = (a.seen().len(), b.seen().len());
            let done = door.client().send(sent.clone()).await.unwrap();
            assert_eq!(told(&done), (200, "done".to_owned()), "{sent:?} {act:?}");
            assert_eq!((a.seen().len(), b.seen().len()), (before.0 + 1, before.1 + 1), "once at each");
        }
        for endpoint in [&a, &b] {
            endpoint.set("/write", act.clone());
        }
        let before = asked(&[&a, &b], "post");
        assert!(door.client().post("/write", "x").await.status().is_server_error(), "a POST without a key");
        assert_eq!(asked(&[&a, &b], "post"), before + 1);
    }
    assert_eq!(c.seen().len(), 0, "never in another pool");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_write_that_may_have_begun_somewhere_is_not_sent_to_another_pool_when_the_next_endpoint_refuses_it() {
    let [mut a, mut b, c] = endpoints(["a", "b", "c"]).await;
    let (gate, keys) = (Gate::default(), "min_up = \"100%\"\nwrite_wait = \"20s\"");
    for endpoint in [&a, &b] {
        endpoint.set("/write", behind(&gate, Act::Reset));
    }
    let door = Door::builder().primary(&a).primary(&b).secondary(&c).backend(PATIENT).backend(keys).backend(IDEMPOTENT);
    let door = door.start().await;
    let client = door.client();
    let put = tokio::task::spawn_local(async move { client.send(request("PUT", "/write", "x")).await.unwrap() });
    eventually("it has begun", || asked(&[&a, &b], "put") == 1).await;
    let other = if a.seen().is_empty() { &mut a } else { &mut b };
    other.kill().await; // soon the pool is not usable any more, and writes go to the spare
    gate.open();
    assert_eq!(put.await.unwrap().status(), 502);
    door.serves_from("spare").await;
    assert_eq!(c.seen().len(), 0, "it ran in both pools");
    door.stop().await;
}

/// Until the endpoint is out of service.
async fn is_out(door: &Door, pool: usize, place: usize) {
    eventually("it is out", || matches!(door.health(pool, place), Health::Down(_))).await;
}

#[tokio::test(flavor = "local")]
async fn writes_need_not_go_where_reads_go() {
    let primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    let door =
        Door::builder().primary(&primary).secondary(&secondary).backend(PATIENT).primary_keys("writes = \"allow\"");
    let door = door.failback("mode = \"manual\", stable_for = \"300ms\"").start().await;
    primary.set_probes(status(503));
    is_out(&door, 0, 0).await;
    door.serves_from("spare").await;
    assert_eq!(told(&door.client().post("/", "x").await), (200, "spare".to_owned()));
    door.stop().await;
}
