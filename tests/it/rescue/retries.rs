//! A read that fails is tried again: how often, and where.

use super::{PATIENT, asked, calm, endpoints, told};
use crate::harness::Act;
use crate::harness::client::request;
use crate::harness::endpoint::{in_turn, ok, status};

#[tokio::test(flavor = "local")]
async fn a_read_costs_three_attempts_the_second_in_its_pool_and_the_last_in_another() {
    let [a, b, c, d, e] = endpoints(["a", "b", "c", "d", "e"]).await;
    for endpoint in [&a, &b, &c, &d, &e] {
        endpoint.set("/page", Act::Reset);
    }
    let door = calm(&[&a, &b, &c], &[&d, &e]).backend(PATIENT).start().await;
    for round in 1..=5 {
        assert_eq!(door.client().get("/page").await.status(), 502);
        let (here, elsewhere) = (asked(&[&a, &b, &c], "get /page"), asked(&[&d, &e], "get /page"));
        assert_eq!((here, elsewhere), (2 * round, round));
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn the_second_attempt_goes_to_another_pool_when_there_is_no_other_endpoint() {
    let [a, b, c] = endpoints(["a", "b", "c"]).await;
    let acts = in_turn([Act::Reset, Act::Reset, ok("found")]);
    for endpoint in [&a, &b, &c] {
        endpoint.set("/page", acts.clone());
    }
    let door = calm(&[&a], &[&b, &c]).backend(PATIENT).start().await;
    assert_eq!(told(&door.client().get("/page").await), (200, "found".to_owned()));
    assert_eq!((a.count("get /page"), b.count("get /page"), c.count("get /page")), (1, 1, 1));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn without_another_pool_all_three_attempts_are_made_in_the_one_there_is() {
    let [a, b, c, d] = endpoints(["a", "b", "c", "d"]).await;
    let acts = in_turn([status(503), Act::Reset, ok("found"), status(500)]);
    for endpoint in [&a, &b, &c, &d] {
        endpoint.set("/page", acts.clone());
    }
    let door = calm(&[&a, &b, &c, &d], &[]).backend(PATIENT).start().await;
    assert_eq!(told(&door.client().get("/page").await), (200, "found".to_owned()));
    for endpoint in [&a, &b, &c, &d] {
        endpoint.set("/page", Act::Reset);
    }
    assert_eq!(door.client().get("/page").await.status(), 502);
    assert_eq!(asked(&[&a, &b, &c, &d], "get /page"), 6);
    assert!([&a, &b, &c, &d].iter().all(|endpoint| endpoint.count("get /page") <= 2), "no endpoint twice");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn refused_by_every_endpoint_of_a_pool_counts_as_one_attempt() {
    let [mut a, mut b, mut c, d, e] = endpoints(["a", "b", "c", "d", "e"]).await;
    d.set("/page", Act::Reset);
    e.set("/page", Act::Reset);
    let door = calm(&[&a, &b, &c], &[&d, &e]).backend(PATIENT).start().await;
    for endpoint in [&mut a, &mut b, &mut c] {
        endpoint.kill().await;
    }
    assert_eq!(door.client().get("/page").await.status(), 502);
    assert_eq!((d.count("get /page"), e.count("get /page")), (1, 1), "two attempts are left after the refusals");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_has_reached_the_client_is_not_tried_again() {
    let [a, b] = endpoints(["a", "b"]).await;
    // Too long to be held, and nothing to resume it by.
    let cut = [b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", &[b'x'; 10_000][..]].concat();
    a.set("/page", Act::WriteAndClose(cut));
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    let sent = door.client().send(request("GET", "/page", "")).await;
    assert!(sent.is_err(), "{sent:?}");
    assert_eq!((a.count("get /page"), b.count("get /page")), (1, 0));
    door.stop().await;
}
