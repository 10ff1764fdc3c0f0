//! When all attempts failed: the best answer there was.

use super::{PATIENT, calm, endpoints, told};
use crate::harness::endpoint::{response, status};
use crate::harness::{Act, Endpoint};

fn says(status: u16, body: &str) -> Act {
    Act::Write(response(status, &[], body.as_bytes()))
}

async fn between(first: Act, second: Act) -> (u16, String) {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", first);
    b.set("/page", second);
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    let page = told(&door.client().get("/page").await);
    let times = |endpoint: &Endpoint| endpoint.count("get /page");
    assert_eq!((times(&a), times(&b)), (1, 1), "each was asked");
    door.stop().await;
    page
}

#[tokio::test(flavor = "local")]
async fn the_best_answer_is_passed_on() {
    let own = |status: u16, body: &str| (status, body.to_owned());
    for (first, second, best) in [
        (says(500, "one"), says(200, "two"), own(200, "two")),
        (says(500, "one"), says(302, "two"), own(302, "two")),
        (says(500, "one"), says(503, "two"), own(500, "one")),
        (says(500, "one"), Act::Reset, own(500, "one")),
        (says(500, "one"), says(404, "two"), own(500, "one")), // it may not have been mirrored yet
        (Act::Reset, says(503, "two"), own(503, "two")),
        (Act::Reset, says(404, "two"), own(404, "two")),
    ] {
        assert_eq!(between(first.clone(), second.clone()).await, best, "{first:?} {second:?}");
    }
}

#[tokio::test(flavor = "local")]
async fn ours_comes_last_and_tells_no_address() {
    let (status, body) = between(Act::Reset, Act::WriteAndClose(Vec::new())).await;
    assert_eq!(status, 502);
    assert!(!body.contains("127.0.0.1"), "{body}");
}

#[tokio::test(flavor = "local")]
async fn a_failing_answer_is_better_than_what_another_pool_does_not_know() {
    use crate::harness::endpoint::{Gate, behind};
    let [a, b] = endpoints(["a", "b"]).await;
    let gate = Gate::default();
    a.set("/page", behind(&gate, says(500, "one")));
    b.set("/page", status(404)); // to the hedge
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    let (client, asked) = (door.client(), &b);
    let page = tokio::task::spawn_local(async move { told(&client.get("/page").await) });
    crate::harness::eventually("it was sent elsewhere too", || asked.count("get /page") == 1).await;
    gate.open();
    assert_eq!(page.await.unwrap(), (500, "one".to_owned()));
    door.stop().await;
}
