//! Retries and hedges have budgets: past them nothing is sent, and that is counted.

use super::{PATIENT, calm, endpoints};
use crate::harness::Act;
use crate::harness::client::request;
use crate::harness::endpoint::ok;
use futures_util::future::join_all;
use std::time::Duration;

#[tokio::test(flavor = "local")]
async fn past_the_retry_budget_a_failure_is_passed_on_and_counted() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", Act::Reset);
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    // One worker's share is 50; each request earns a fifth, and each second 5.
    let one = door.client().many().await;
    let (mut well, mut failed) = (0, 0);
    while failed < 5 {
        match one.send(request("GET", "/page", "")).await.unwrap().status().as_u16() {
            200 => well += 1,
            502 => failed += 1,
            other => panic!("{other}"),
        }
        assert!(well < 1_000, "it is never used up");
    }
    assert!(well >= 50, "and not before its time: {well}");
    assert_eq!(b.count("get /page"), well);
    assert_eq!(a.count("get /page"), well + failed);
    assert_eq!(door.count(|cells| cells.retries_denied.get()), failed as u64);
    // What fails nowhere needs none.
    assert_eq!(one.send(request("GET", "/", "")).await.unwrap().status(), 200);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn past_the_hedge_budget_a_read_waits_and_that_is_counted() {
    const ASKED: usize = 60;
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", Act::After(Duration::from_secs(3), ok("a").into()));
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    // One worker's share is 10; each request earns a twentieth, and each second one.
    let one = door.client().many().await;
    let pages = join_all((0..ASKED).map(|_| one.send(request("GET", "/page", "")))).await;
    let from = |name: &str| pages.iter().filter(|page| page.as_ref().unwrap().body() == name).count();
    assert_eq!(from("a") + from("b"), ASKED);
    assert_eq!(b.count("get /page"), from("b"));
    assert!((10..ASKED / 2).contains(&from("b")), "{}", from("b"));
    assert_eq!(door.count(|cells| cells.hedges_denied.get()), from("a") as u64);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn the_rest_of_a_body_is_paid_for_too() {
    use super::resume::{by_range, cut, get, is_whole, rest};
    let [a] = endpoints(["a"]).await;
    a.set("/file", by_range(cut(30_000), rest(30_000)));
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    is_whole(&get(&door).await);
    let one = door.client().many().await;
    let mut asked = 0;
    while one.send(request("GET", "/file", "")).await.is_ok() {
        asked += 1;
        assert!(asked < 1_000, "it is never used up");
    }
    assert!(asked >= 49, "{asked}");
    assert_eq!(door.count(|cells| cells.retries_denied.get()), 1);
    door.stop().await;
}
