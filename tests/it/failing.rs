//! Endpoints that fail in each way there is: what the client gets, and how often the endpoint was asked.

use crate::harness::client::request;
use crate::harness::endpoint::{ok, response, status};
use crate::harness::{Act, Door, Endpoint, eventually};
use hotspare::domain::FailureKind;

/// Failures of one request that leave nothing with the client.
fn failures() -> Vec<(&'static str, Act)> {
    vec![
        ("reset", Act::Reset),
        ("closed without an answer", Act::WriteAndClose(Vec::new())),
        ("closed inside the head", Act::WriteAndClose(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec())),
        ("garbage", Act::WriteAndClose(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        ("a head without end", Act::WriteAndClose([&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'x'; 600_000]].concat())),
        ("500", status(500)),
        ("502", status(502)),
        ("503", status(503)),
        ("504", status(504)),
        ("never answers", Act::Silence),
    ]
}

#[tokio::test(flavor = "local")]
async fn a_read_that_fails_in_any_way_is_answered_from_elsewhere() {
    let primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await.on("/page", ok("the page"));
    let door = Door::builder()
        .primary(&primary)
        .secondary(&secondary)
        .backend(r#"timeouts = { head = "300ms" }"#)
        .backend(r#"tally = { trip = 1000, consecutive = 1000 }"#)
        .start()
        .await;
    let mut rescued = 0;
    for (name, act) in failures() {
        primary.set("/page", act);
        for asked in ["GET", "HEAD", "OPTIONS"] {
            let page = door.client().send(request(asked, "/page", "")).await.unwrap();
            rescued += 1;
            assert_eq!(page.status(), 200, "{asked}, {name}");
        }
        assert_eq!(door.count(|cells| cells.rescued()), rescued, "{name}");
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_write_that_may_have_begun_runs_once() {
    let primary = Endpoint::start("main").await;
    let secondary = Endpoint::start("spare").await;
    let door = Door::builder()
        .primary(&primary)
        .secondary(&secondary)
        .backend(r#"timeouts = { head = "300ms" }"#)
        .backend(r#"tally = { trip = 1000, consecutive = 1000 }"#)
        .start()
        .await;
    for (count, (name, act)) in failures().into_iter().enumerate() {
        primary.set("/write", act);
        for (asked, body) in [("POST", "x=1"), ("DELETE", "")] {
            let sent = door.client().send(request(asked, "/write", body)).await.unwrap();
            assert!(sent.status().is_server_error(), "{asked}, {name}: {}", sent.status());
            assert_eq!(primary.count(&asked.to_lowercase()), count + 1, "{asked}, {name}");
        }
    }
    assert_eq!(secondary.seen().len(), 0);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn the_first_failing_answer_is_better_than_a_reply_of_ours() {
    let own = Act::Write(response(503, &[("x-from", "main")], b"our own sorry page"));
    let primary = Endpoint::start("main").await.on("/page", own);
    let secondary = Endpoint::start("spare").await.on("/page", status(500));
    let door = Door::builder()
        .primary(&primary)
        .secondary(&secondary)
        .backend(r#"tally = { trip = 1000, consecutive = 1000 }"#)
        .start()
        .await;
    let page = door.client().get("/page").await;
    assert_eq!((page.status().as_u16(), &page.body()[..]), (503, &b"our own sorry page"[..]));
    secondary.set("/page", status(404)); // not mirrored yet: must not hide that the page exists
    assert_eq!(door.client().get("/page").await.status(), 503);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn with_nowhere_else_to_go_a_read_is_tried_once_more() {
    let primary = Endpoint::start("main").await.on("/page", Act::Reset);
    let door = Door::builder().primary(&primary).start().await;
    assert_eq!(door.client().get("/page").await.status(), 502);
    assert_eq!(primary.count("get /page"), 2);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn retry_off_means_one_attempt() {
    let primary = Endpoint::start("main").await.on("/page", Act::Reset);
    let secondary = Endpoint::start("spare").await;
    let door = Door::builder().primary(&primary).secondary(&secondary).backend("retry = false").start().await;
    assert_eq!(door.client().get("/page").await.status(), 502);
    assert_eq!((primary.count("get /page"), secondary.count("get /page")), (1, 0));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_request_past_its_total_time_is_answered_504() {
    let primary = Endpoint::start("main").await.on("/page", Act::Silence);
    let door = Door::builder().primary(&primary).backend(r#"timeouts = { total = "1500ms" }"#).start().await;
    assert_eq!(door.client().get("/page").await.status(), 504);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_that_fails_harms_no_other_request() {
    let primary =
        Endpoint::start("main").await.on("/bad", Act::WriteAndClose(b"\0\0\0".to_vec())).on("/good", ok("good"));
    let door =
        Door::builder().primary(&primary).backend(r#"tally = { trip = 1000, consecutive = 1000 }"#).start().await;
    let mut good = door.client().raw().await;
    for _ in 0..10 {
        door.client().get("/bad").await;
        good.write("GET /good HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(good.read_until("good").await.starts_with("HTTP/1.1 200 "));
    }
    eventually("nothing is in flight", || door.in_flight() == 0).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_that_leaves_in_the_middle_of_a_page_says_nothing_about_the_endpoint() {
    let stalls = Act::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun".to_vec());
    let primary = Endpoint::start("main").await.on("/page", stalls);
    let door = Door::builder().primary(&primary).start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    raw.read_until("begun").await;
    drop(raw);
    eventually("it is over", || door.in_flight() == 0).await;
    let failed: u64 = FailureKind::ALL.into_iter().map(|kind| door.failures(kind)).sum();
    assert_eq!((door.good(), failed), (0, 0));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_that_lets_the_whole_time_pass_is_to_blame() {
    let primary = Endpoint::start("main").await.on("/page", Act::Silence);
    let door =
        Door::builder().primary(&primary).backend(r#"timeouts = { connect = "200ms", total = "400ms" }"#).start().await;
    assert_eq!(door.client().get("/page").await.status(), 504);
    assert_eq!(door.failures(FailureKind::Timeout), 1);
    // A client that takes the whole time to send is to blame itself.
    let mut raw = door.client().raw().await;
    raw.write("POST /page HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert!(raw.read_until("</html>").await.starts_with("HTTP/1.1 504 "));
    assert_eq!(door.failures(FailureKind::Timeout), 1);
    door.stop().await;
}
