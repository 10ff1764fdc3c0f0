//! A read that takes its time is sent elsewhere too, and the first good answer wins.

use super::{PATIENT, asked, body, calm, endpoints, told};
use crate::harness::client::{Sent, request};
use crate::harness::endpoint::{Gate, behind, in_turn, ok, response, status};
use crate::harness::{Act, Client, Endpoint, eventually};
use hotspare::domain::FailureKind;
use hotspare::telemetry::metrics::Rescued;
use std::time::Duration;

/// Longer than a hedge waits, which is a second where nothing is known to be usual.
const LATE: Duration = Duration::from_millis(2_500);

fn late(act: Act) -> Act {
    Act::After(LATE, act.into())
}

fn in_background(client: Client, method: &'static str, body: &'static str) -> tokio::task::JoinHandle<Sent> {
    tokio::task::spawn_local(async move { client.send(request(method, "/page", body)).await })
}

#[tokio::test(flavor = "local")]
async fn a_read_that_takes_its_time_is_answered_from_elsewhere() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", Act::Silence);
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    for method in ["GET", "HEAD", "OPTIONS"] {
        let body = if method == "HEAD" { "" } else { "b" };
        b.set("/page", Act::Write(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{body}").into_bytes()));
        assert_eq!(door.client().send(request(method, "/page", "")).await.unwrap().status(), 200, "{method}");
    }
    assert_eq!((a.seen().len(), b.seen().len()), (3, 3));
    assert_eq!((door.rescued(Rescued::Hedge), door.count(|cells| cells.rescued())), (3, 3));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn it_is_sent_to_the_same_pool_first() {
    let [a, b, c] = endpoints(["a", "b", "c"]).await;
    let door = calm(&[&a, &b], &[&c]).backend(PATIENT).start().await;
    for round in 1..=3 {
        let acts = in_turn([Act::Silence, ok("second")]);
        [&a, &b, &c].iter().for_each(|endpoint| endpoint.set("/page", acts.clone()));
        assert_eq!(told(&door.client().get("/page").await), (200, "second".to_owned()));
        assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (round, round, 0));
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_another_pool_may_not_know_yet_does_not_win() {
    let [a, b] = endpoints(["a", "b"]).await;
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    let cookie = Act::Write(response(200, &[("set-cookie", "session=2")], b"b"));
    for (what, act) in [("404", status(404)), ("302", status(302)), ("a cookie", cookie)] {
        let gate = Gate::default();
        a.set("/page", behind(&gate, ok("a")));
        b.set("/page", act);
        let before = b.seen().len();
        let page = in_background(door.client(), "GET", "");
        eventually("it was sent elsewhere too", || b.seen().len() == before + 1).await;
        eventually("it was answered there", || b.answered() == before + 1).await;
        gate.open();
        assert_eq!(told(&page.await.unwrap().unwrap()), (200, "a".to_owned()), "{what}");
    }
    assert_eq!(door.rescued(Rescued::Hedge), 0);
    // Within the pool each answer will do.
    let [c, d] = endpoints(["c", "d"]).await;
    let acts = in_turn([Act::Silence, status(404)]);
    [&c, &d].iter().for_each(|endpoint| endpoint.set("/page", acts.clone()));
    let same = calm(&[&c, &d], &[]).backend(PATIENT).start().await;
    assert_eq!(same.client().get("/page").await.status(), 404);
    same.stop().await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_did_not_win_is_passed_on_when_nothing_better_comes() {
    let [a, b] = endpoints(["a", "b"]).await;
    let gate = Gate::default();
    a.set("/page", behind(&gate, Act::Reset));
    b.set("/page", status(404));
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    let page = in_background(door.client(), "GET", "");
    eventually("it was sent elsewhere too", || b.seen().len() == 1).await;
    gate.open();
    assert_eq!(page.await.unwrap().unwrap().status(), 404);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_would_not_win_is_not_passed_on_in_part_either() {
    let [a, b] = endpoints(["a", "b"]).await;
    let gate = Gate::default();
    a.set("/page", behind(&gate, ok("a")));
    b.set("/page", Act::Write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 1000\r\n\r\nbegun".to_vec()));
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    let page = in_background(door.client(), "GET", "");
    eventually("it was sent elsewhere too", || b.seen().len() == 1).await;
    // A response that is kept is let go a second after its head.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    gate.open();
    assert_eq!(told(&page.await.unwrap().unwrap()), (200, "a".to_owned()));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn whoever_wrote_lately_is_not_answered_by_another_pool() {
    let [a, b, c] = endpoints(["a", "b", "c"]).await;
    a.set("/page", late(ok("a")));
    let door = calm(&[&a], &[&b]).backend(PATIENT).backend("own_writes = \"60s\"").start().await;
    door.client_at(1).post("/comment", "x").await;
    let pages = [in_background(door.client_at(1), "GET", ""), in_background(door.client_at(2), "GET", "")];
    let [wrote, read] = pages.map(|page| async { body(&page.await.unwrap().unwrap()) });
    assert_eq!((wrote.await, read.await), ("a".to_owned(), "b".to_owned()));
    door.stop().await;
    // Its own pool has what it wrote.
    c.set("/page", ok("c"));
    let acts = in_turn([Act::Silence, ok("second")]);
    [&a, &c].iter().for_each(|endpoint| endpoint.set("/page", acts.clone()));
    let door = calm(&[&a, &c], &[]).backend(PATIENT).backend("own_writes = \"60s\"").start().await;
    door.client().post("/comment", "x").await;
    assert_eq!(body(&door.client().get("/page").await), "second");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn only_a_read_without_a_body_is_sent_elsewhere_too() {
    let [a, b, c] = endpoints(["a", "b", "c"]).await;
    [&a, &b].iter().for_each(|endpoint| endpoint.set("/page", late(ok("late"))));
    let keys = "retry = { idempotent = true }";
    let door = calm(&[&a, &b], &[&c]).backend(PATIENT).backend(keys).start().await;
    let all = [("POST", "x"), ("PUT", "x"), ("DELETE", ""), ("GET", "x")];
    let sent = all.map(|(method, body)| in_background(door.client(), method, body));
    for sent in sent {
        assert_eq!(told(&sent.await.unwrap().unwrap()), (200, "late".to_owned()));
    }
    assert_eq!((asked(&[&a, &b], ""), c.seen().len()), (4, 0));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_loser_that_never_answers_counts_as_a_timeout_once_that_is_certain() {
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", Act::Silence);
    let keys = r#"tally = { trip = 1000, consecutive = 1000, confirm = "100ms" }"#;
    let door = calm(&[&a], &[&b]).backend(keys).start().await;
    assert_eq!(body(&door.client().get("/page").await), "b");
    eventually("it counts", || door.failures(FailureKind::Timeout) == 1).await;
    eventually("and is over", || door.open_hedges(0, 0) == 0).await;
    let in_flight = |door: &crate::harness::Door| {
        door.view().backends[0].pools[0].endpoints[0].tally.cells.iter().map(|cell| cell.in_flight.get()).sum::<i64>()
    };
    eventually("its request is cancelled", || in_flight(&door) == 0).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_loser_that_answers_in_time_counts_as_any_other() {
    let [a, b] = endpoints(["a", "b"]).await;
    let gate = Gate::default();
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    for (act, good, failed) in [(ok("a"), 1, 0), (status(500), 1, 1)] {
        a.set("/page", behind(&gate, act));
        assert_eq!(body(&door.client().get("/page").await), "b");
        eventually("it is open", || door.open_hedges(0, 0) == 1).await;
        assert_eq!(door.failures(FailureKind::Timeout), 0, "nobody knows yet");
        gate.open();
        eventually("it is over", || door.open_hedges(0, 0) == 0).await;
        let all: u64 = FailureKind::ALL.into_iter().map(|kind| door.failures(kind)).sum();
        assert_eq!((door.good(), all, door.failures(FailureKind::Status)), (good, failed, failed));
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_a_loser_still_writes_is_no_answer_to_anybody_else() {
    let [a, b] = endpoints(["a", "b"]).await;
    let (gate, rest) = (Gate::default(), Gate::default());
    // Too long to be held: its rest, which nobody reads, looks like an answer.
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec();
    let forged = response(200, &[], b"not yours").repeat(3_000);
    let body_bytes = forged[..100_000].to_vec();
    let loses = crate::harness::endpoint::then(
        behind(&gate, Act::Write([&head[..], &body_bytes[..50_000]].concat())),
        behind(&rest, Act::Write(body_bytes[50_000..].to_vec())),
    );
    a.set("/page", loses);
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    let one = door.client().many().await;
    assert_eq!(body(&one.send(request("GET", "/page", "")).await.unwrap()), "b");
    gate.open();
    eventually("it is over", || door.open_hedges(0, 0) == 0).await;
    rest.open();
    let before = a.connections();
    for _ in 0..5 {
        assert_eq!(body(&one.send(request("GET", "/", "")).await.unwrap()), "a");
    }
    assert_eq!(a.connections(), before + 1, "that connection was closed");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn no_more_than_three_attempts_run_at_once() {
    let [a, b, c, d] = endpoints(["a", "b", "c", "d"]).await;
    let all: [&Endpoint; 4] = [&a, &b, &c, &d];
    let gate = Gate::default();
    all.iter().for_each(|endpoint| endpoint.set("/page", behind(&gate, ok("at last"))));
    let door = calm(&all, &[]).backend(PATIENT).start().await;
    let page = in_background(door.client(), "GET", "");
    eventually("three run", || asked(&all, "get /page") == 3).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await; // another would be sent after a second
    assert_eq!(asked(&all, "get /page"), 3);
    gate.open();
    assert_eq!(told(&page.await.unwrap().unwrap()), (200, "at last".to_owned()));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_pool_that_is_behind_or_drained_gets_no_hedge() {
    use hotspare::domain::{Command, PlaceName};
    let [a, b] = endpoints(["a", "b"]).await;
    a.set("/page", late(ok("a")));
    let door = calm(&[&a], &[&b]).backend(PATIENT).start().await;
    door.order(Command::Drain { place: PlaceName::Pool("spare".into()) }).await;
    assert_eq!(body(&door.client().get("/page").await), "a");
    door.stop().await;
    let probe = Act::Write(response(200, &[("x-lag", "30")], b"well"));
    b.set_probes(probe);
    let keys = "max_lag = \"1s\"";
    let door = calm(&[&a], &[&b]).backend(PATIENT).backend(keys).probe_keys("lag_header = \"x-lag\"").start().await;
    eventually("it is behind", || door.view().backends[0].pools[1].lagging == hotspare::domain::Lagging::Stale).await;
    assert_eq!(body(&door.client().get("/page").await), "a");
    assert_eq!(b.seen().len(), 0);
    door.stop().await;
}
