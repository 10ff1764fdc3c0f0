//! Writes that wait for the word where they go: so many, and no more.

use super::{PATIENT, calm, endpoints};
use crate::harness::client::request;
use crate::harness::endpoint::{Gate, behind, ok};
use crate::harness::eventually;
use hotspare::domain::Command;
use hotspare::telemetry::metrics::Rescued;
use std::collections::HashMap;

/// Writes of one backend that wait at once, on one worker.
const MOST: u16 = 1_000;

#[tokio::test(flavor = "local")]
async fn a_thousand_writes_wait_and_run_once_each_and_the_next_is_told_at_once_to_come_back() {
    let [a, b] = endpoints(["a", "b"]).await;
    let gate = Gate::default();
    a.set("/first", behind(&gate, ok("a")));
    let keys = "write_wait = \"60s\"\nwrite_drain = \"50s\"";
    let door = calm(&[&a], &[&b]).backend(PATIENT).backend(keys);
    let door = door.listener("limits = { max_streams = 2000 }").workers(1).start().await;
    let many = door.client().many().await;
    let post = |path: &str| many.send(request("POST", &format!("https://localhost{path}"), path));

    // While one runs at the pool that is left, none begins at the next.
    let first = tokio::task::spawn_local(post("/first"));
    eventually("it runs", || a.count("post /first") == 1).await;
    door.order(Command::Failover { backend: "sites".into(), to: None }).await;
    let paths: Vec<String> = (0..MOST).map(|id| format!("/write/{id}")).collect();
    let writes: Vec<_> = paths.iter().map(|path| tokio::task::spawn_local(post(path))).collect();
    eventually("they wait", || door.waiting() == i64::from(MOST)).await;

    let sorry = post("/one-too-many").await.unwrap();
    assert_eq!(sorry.status(), 503);
    assert!(sorry.headers().contains_key("retry-after"), "{sorry:?}");
    assert_eq!((door.waiting(), b.seen().len()), (i64::from(MOST), 0), "the others wait on");

    gate.open();
    assert_eq!(&first.await.unwrap().unwrap().body()[..], b"a");
    for write in writes {
        let done = write.await.unwrap().unwrap();
        assert_eq!((done.status().as_u16(), &done.body()[..]), (200, &b"b"[..]));
    }
    let mut ran = HashMap::<Vec<u8>, usize>::new();
    b.seen().into_iter().for_each(|seen| *ran.entry(seen.body).or_default() += 1);
    assert_eq!(ran.len(), usize::from(MOST));
    for path in &paths {
        assert_eq!(ran.get(path.as_bytes()), Some(&1), "{path}");
    }
    assert_eq!((a.seen().len(), door.waiting(), door.rescued(Rescued::Wait)), (1, 0, u64::from(MOST)));
    // There is room again.
    assert_eq!(post("/next").await.unwrap().status(), 200);
    door.stop().await;
}
