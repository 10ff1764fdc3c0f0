//! Endpoints on Unix sockets.

use super::{LATER, ONCE, PATIENT, error};
use crate::harness::endpoint::{Seen, response};
use crate::harness::{Act, Door, Endpoint, eventually};
use hotspare::domain::{FailureKind, Health};

#[tokio::test(flavor = "local")]
async fn requests_and_probes_go_to_a_unix_socket_and_its_connections_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let primary = Endpoint::start_unix("main", &directory.path().join("web.sock")).await;
    let door = Door::builder().primary(&primary).start().await;
    let one = door.client().many().await;
    for _ in 0..5 {
        let get = http::Request::get("https://localhost/").body(http_body_util::Full::default()).unwrap();
        assert_eq!(&one.send(get).await.unwrap().body()[..], b"main");
    }
    assert_eq!((primary.connections(), primary.seen().len()), (1, 5));
    assert_eq!(primary.seen().iter().map(Seen::line).next(), Some("get / http/1.1"));
    let name = &door.view().backends[0].snapshot.pools[0].endpoints[0].name;
    assert_eq!(**name, *primary.text(), "it is called as it is written");
    eventually("it is up by its probes", || matches!(door.health(0, 0), Health::Up { .. })).await;
    assert_eq!(&door.client().post("/", &"x".repeat(3_000_000)).await.body()[..], b"main");
    assert_eq!(primary.seen()[5].body.len(), 3_000_000);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn nobody_behind_the_socket_and_no_socket_are_both_refusals() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let mut primary = Endpoint::start_unix("main", &path).await;
    let door =
        Door::builder().primary(&primary).backend(ONCE).backend(PATIENT).fall(1_000).failback(LATER).start().await;
    primary.kill().await; // its file stays
    assert!(path.exists());
    let refused = door.client().get("/").await;
    assert_eq!((refused.status().as_u16(), error(&refused)), (502, "hotspare; error=connection_refused"));
    std::fs::remove_file(&path).unwrap();
    let gone = door.client().get("/").await;
    assert_eq!((gone.status().as_u16(), error(&gone)), (502, "hotspare; error=connection_refused"));
    assert_eq!(door.failures(FailureKind::Refused), 2);
    primary.listen().await;
    assert_eq!(&door.client().get("/").await.body()[..], b"main", "at the same path, another socket");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn probes_take_a_unix_socket_out_and_back_in() {
    let directory = tempfile::tempdir().unwrap();
    let mut primary = Endpoint::start_unix("main", &directory.path().join("web.sock")).await;
    let spare = Endpoint::start("spare").await;
    let door = Door::builder().primary(&primary).secondary(&spare).start().await;
    primary.kill().await;
    door.serves_from("spare").await;
    primary.listen().await;
    door.serves_from("main").await;
    assert_eq!(&door.client().get("/").await.body()[..], b"main");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_reload_keeps_what_is_known_of_a_socket_and_forgets_one_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let primary = Endpoint::start_unix("main", &directory.path().join("web.sock")).await;
    let other = Endpoint::start_unix("other", &directory.path().join("other.sock")).await;
    let mut door = Door::builder().primary(&primary).start().await;
    assert_eq!(&door.client().get("/").await.body()[..], b"main");
    assert_eq!(door.good(), 1);
    door.reload(|built| built.set_backend("min_up = \"60%\"")).await;
    assert_eq!(door.good(), 1, "the same text is the same endpoint");
    door.reload(|built| built.set_primary(&other)).await;
    assert_eq!(&door.client().get("/").await.body()[..], b"other");
    assert_eq!(door.good(), 1, "another has counters of its own");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_answer_before_the_upload_is_whole_reaches_the_client_from_a_unix_socket_too() {
    let directory = tempfile::tempdir().unwrap();
    let sorry = response(413, &[("connection", "close")], b"too much");
    let primary = Endpoint::start_unix("main", &directory.path().join("web.sock"))
        .await
        .on("/", Act::AtHead(Box::new(Act::WriteAndReset(sorry))));
    let door = Door::builder().primary(&primary).start().await;
    for _ in 0..20 {
        let sent = door.client().send(crate::harness::client::request("POST", "/", &"x".repeat(3_000_000))).await;
        if let Ok(answer) = sent {
            assert_eq!((answer.status().as_u16(), &answer.body()[..]), (413, &b"too much"[..]));
        }
    }
    door.stop().await;
}
