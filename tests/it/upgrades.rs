//! Connections that stop being HTTP.

use crate::harness::endpoint::ok;
use crate::harness::{Act, Door, Endpoint, eventually};

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
