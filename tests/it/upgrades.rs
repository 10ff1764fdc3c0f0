//! Connections that stop being HTTP.

use crate::harness::client::request;
use crate::harness::door::Builder;
use crate::harness::endpoint::{Gate, behind, ok, status};
use crate::harness::{Act, Door, Endpoint, Raw, eventually};
use hotspare::domain::Command;
use std::time::Duration;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test(flavor = "local")]
async fn an_upgrade_passes_bytes_both_ways() {
    let primary = Endpoint::start("main").await.on("/chat", Act::Echo(AGREED.to_vec()));
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write(format!("{ASK}early bytes;")).await; // along with the request: they must not be lost
    let head = raw.read_until("early bytes;").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_ascii_lowercase().contains("upgrade: websocket\r\n"), "{head}");
    raw.write("hello").await;
    assert_eq!(raw.read_until("hello").await, "hello");
    assert_eq!(primary.seen()[0].field("connection"), ["upgrade"]);
    assert_eq!(door.in_flight(), 1, "an upgrade is in flight for as long as it lasts");
    drop(raw);
    eventually("it has ended", || door.in_flight() == 0).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_upgrade_that_the_endpoint_declines_is_an_answer_like_any_other() {
    let primary = Endpoint::start("main").await.on("/chat", ok("no, thanks"));
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write(ASK).await;
    assert!(raw.read_until("no, thanks").await.starts_with("HTTP/1.1 200 "));
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(raw.read_until("main").await.starts_with("HTTP/1.1 200 "));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_unasked_upgrade_is_the_endpoints_fault() {
    let primary = Endpoint::start("main").await.on("/", Act::Write(AGREED.to_vec()));
    let door = Door::builder().primary(&primary).start().await;
    assert_eq!(door.client().get("/").await.status(), 502);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn no_client_turns_a_connection_to_an_endpoint_into_http_of_its_own() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    for protocol in ["h2c", "websocket, H2C", "TLS/1.0", "HTTP/2.0"] {
        let mut raw = door.client().raw().await;
        raw.write(format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        ))
        .await;
        assert!(raw.read_until("main").await.starts_with("HTTP/1.1 200 "), "{protocol}");
        let seen = primary.seen().pop().unwrap();
        assert!(seen.field("upgrade").is_empty() && seen.field("http2-settings").is_empty(), "{protocol}: {seen:?}");
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn bytes_that_follow_the_101_and_those_of_a_side_that_is_left_arrive() {
    let first = [AGREED, b"first words;"].concat();
    let primary =
        Endpoint::start("main").await.on("/chat", Act::Echo(first.clone())).on("/bye", Act::WriteAndClose(first));
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write(ASK).await;
    raw.read_until("first words;").await;
    // The client ends its side and still hears the rest.
    raw.write("last words").await;
    tokio::io::AsyncWriteExt::shutdown(&mut raw.0).await.unwrap();
    assert_eq!(raw.read_to_end().await, "last words");
    eventually("it has ended", || door.in_flight() == 0).await;
    eventually("its bytes are counted", || {
        door.count(|cells| cells.bytes_in.get()) == 10 && door.count(|cells| cells.bytes_out.get()) == 22
    })
    .await;
    // The endpoint leaves first: the client hears of it, and cannot hold the rest open by saying nothing.
    let mut raw = door.client().raw().await;
    raw.write(ASK.replace("/chat", "/bye")).await;
    raw.read_until("first words;").await;
    assert_eq!(raw.read_to_end().await, "");
    eventually("it has ended", || door.in_flight() == 0).await;
    drop(raw);
    door.stop().await;
}

/// At /feed clients only listen; nobody knows what they do elsewhere. Neither probes nor failures take an endpoint out.
fn feed(primary: &Endpoint, secondary: &Endpoint) -> Builder {
    const SITES: &str = r#"
        [[site]]
        hosts = ["localhost"]
        path = "/feed"
        backend = "sites"
        upgrades = "read"
        [[site]]
        hosts = ["localhost"]
        backend = "sites"
        "#;
    for endpoint in [primary, secondary] {
        endpoint.set("/feed", Act::Echo(AGREED.to_vec()));
        endpoint.set("/chat", Act::Echo(AGREED.to_vec()));
    }
    let patient = "tally = { trip = 1000, consecutive = 1000 }";
    let failback = "stable_for = \"2m\", after_writes = \"auto\", ramp = \"0s\"";
    Door::builder().primary(primary).secondary(secondary).fall(1_000).failback(failback).backend(patient).rest(SITES)
}

/// Asks for an upgrade at that path; the head of what comes.
async fn ask(door: &Door, path: &str) -> (Raw, String) {
    let mut raw = door.client().raw().await;
    raw.write(ASK.replace("/chat", path)).await;
    let head = raw.read_until("\r\n\r\n").await;
    (raw, head)
}

async fn echoes(raw: &mut Raw, words: &str) {
    raw.write(words).await;
    assert_eq!(raw.read_until(words).await, words);
}

#[tokio::test(flavor = "local")]
async fn while_the_site_is_read_only_upgrades_to_read_pass_and_others_are_refused() {
    let (a, b) = (Endpoint::start("a").await, Endpoint::start("b").await);
    let door = feed(&a, &b).start().await;
    door.order(Command::ReadOnly { backend: "sites".into() }).await;
    let (mut feed, head) = ask(&door, "/feed").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    echoes(&mut feed, "hello").await;
    let (_, head) = ask(&door, "/chat").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(a.count("get /chat"), 0);
    drop(feed);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_upgrade_to_read_that_fails_before_the_101_is_sent_elsewhere() {
    let (mut a, b) = (Endpoint::start("a").await, Endpoint::start("b").await);
    let door = feed(&a, &b).start().await;
    for (count, act) in [Act::Reset, status(503), Act::WriteAndClose(b"HTTP/1.1 101 ".to_vec())].into_iter().enumerate()
    {
        a.set("/feed", act.clone());
        a.set("/chat", act.clone());
        let (mut feed, head) = ask(&door, "/feed").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{act:?}: {head}");
        assert!(head.to_ascii_lowercase().contains("upgrade: websocket\r\n"), "{head}");
        echoes(&mut feed, "hello").await;
        assert_eq!((a.count("get /feed"), b.count("get /feed")), (count + 1, count + 1), "{act:?}");
        assert_eq!(b.seen().last().unwrap().field("connection"), ["upgrade"]);
        let (_, head) = ask(&door, "/chat").await;
        assert!(head.starts_with("HTTP/1.1 50"), "{act:?}: {head}");
        assert_eq!((a.count("get /chat"), b.count("get /chat")), (count + 1, 0), "{act:?}");
    }
    a.kill().await;
    let (mut feed, head) = ask(&door, "/feed").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "refused: {head}");
    echoes(&mut feed, "hello").await;
    drop(feed);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_upgrade_to_read_leaves_an_endpoint_that_goes_out_of_service() {
    let (a, b) = (Endpoint::start("a").await, Endpoint::start("b").await);
    let door = feed(&a, &b).fall(2).start().await;
    a.set("/feed", Act::Silence);
    let mut raw = door.client().raw().await;
    raw.write(ASK.replace("/chat", "/feed")).await;
    eventually("it runs", || a.count("get /feed") == 1).await;
    a.set_probes(status(503));
    raw.read_until("HTTP/1.1 101 ").await;
    assert_eq!(b.count("get /feed"), 1);
    drop(raw);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_upgrade_to_read_is_not_hedged_nor_its_answer_held_nor_its_client_one_that_wrote() {
    let (a, b) = (Endpoint::start("a").await, Endpoint::start("b").await);
    let door = feed(&a, &b).start().await;
    let gate = Gate::default();
    a.set("/feed", behind(&gate, Act::Echo(AGREED.to_vec())));
    a.set("/page", Act::Silence);
    let mut feed = door.client().raw().await;
    feed.write(ASK.replace("/chat", "/feed")).await;
    eventually("it runs", || a.count("get /feed") == 1).await;
    // One that wrote has no page of another pool for a while.
    let (_chat, head) = {
        let mut raw = door.client_at(2).raw().await;
        raw.write(ASK).await;
        let head = raw.read_until("\r\n\r\n").await;
        (raw, head)
    };
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let writer = door.client_at(2);
    let waits = tokio::task::spawn_local(async move { writer.send(request("GET", "/page", "")).await });
    eventually("it runs", || a.count("get /page") == 1).await;
    // Later than both, and hedged before this returns.
    assert_eq!(&door.client().get("/page").await.body()[..], b"b");
    assert_eq!((b.count("get /page"), b.count("get /feed")), (1, 0));
    waits.abort();
    gate.open();
    feed.read_until("HTTP/1.1 101 ").await;
    drop(feed);
    // Were it held, it would have come from the other one, whole.
    a.set("/feed", Act::WriteAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nno".to_vec()));
    let (mut raw, head) = ask(&door, "/feed").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    raw.read_to_end().await;
    assert_eq!(b.count("get /feed"), 0);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_planned_move_of_writes_ends_upgrades_but_those_to_read() {
    let (a, b) = (Endpoint::start("a").await, Endpoint::start("b").await);
    let door = feed(&a, &b).start().await;
    let (mut feed, _) = ask(&door, "/feed").await;
    let (mut chat, _) = ask(&door, "/chat").await;
    echoes(&mut feed, "one").await;
    echoes(&mut chat, "one").await;
    door.order(Command::Failover { backend: "sites".into(), to: None }).await;
    door.serves_from("spare").await;
    assert_eq!(chat.read_to_end().await, "");
    for words in ["two", "three"] {
        echoes(&mut feed, words).await;
    }
    assert_eq!(a.count("get"), 2);
    // The next one goes where reads go now.
    let (mut next, head) = ask(&door, "/feed").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    echoes(&mut next, "hello").await;
    assert_eq!(b.count("get /feed"), 1);
    drop((feed, next));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_tunnel_in_which_nobody_says_anything_is_closed_and_each_word_brings_the_time_back() {
    const IDLE: Duration = Duration::from_secs(2);
    let primary = Endpoint::start("main").await.on("/chat", Act::Echo(AGREED.to_vec()));
    let door = Door::builder().primary(&primary).backend("timeouts = { tunnel_idle = \"2s\" }").start().await;
    let (mut talks, _) = ask(&door, "/chat").await;
    let began = tokio::time::Instant::now();
    while began.elapsed() < 2 * IDLE {
        echoes(&mut talks, "still here").await;
        tokio::time::sleep(IDLE / 20).await; // what is tested takes time: a talk that is longer than the limit
    }
    let idle = || door.count_at_workers(|cells| cells.idle_tunnels.get());
    assert_eq!((idle(), door.in_flight()), (0, 1));
    // The client keeps its side, and says no more.
    assert_eq!(talks.read_to_end().await, "");
    assert_eq!(idle(), 1);
    eventually("the endpoint's side is gone too", || door.in_flight() == 0).await;
    door.stop().await;
}
