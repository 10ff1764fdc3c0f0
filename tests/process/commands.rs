//! Commands beside `run`: exit statuses, and what people read.

use crate::harness::child::{Finished, finish};
use crate::harness::door::{Door, hotspare};
use crate::harness::nginx::Nginx;
use crate::harness::setup::{Setup, write_certificate};
use crate::harness::site::Site;
use crate::harness::{admin, eventually, free_address};
use std::fs;

/// What one call of the binary left behind.
async fn call(arguments: &[&str]) -> Finished {
    let mut command = hotspare();
    command.args(arguments);
    finish(command).await
}

#[tokio::test]
async fn check_says_0_for_a_valid_file_1_for_another_and_2_for_wrong_usage() {
    let directory = tempfile::tempdir().unwrap();
    write_certificate(directory.path());
    let text = Setup::new(&[free_address()], &[free_address()]).text();
    let file = directory.path().join("hotspare.toml");
    let file = file.to_str().unwrap();

    fs::write(file, &text).unwrap();
    let valid = call(&["check", file]).await;
    assert_eq!((valid.code, &*valid.errors), (Some(0), ""));
    assert!(valid.out.contains("valid"), "{}", valid.out);

    fs::write(file, text.replace("interval = \"500ms\"", "intervall = \"500ms\"")).unwrap();
    let invalid = call(&["check", file]).await;
    assert_eq!(invalid.code, Some(1));
    for part in ["unknown key `intervall`", "hotspare.toml:", "did you mean `interval`?", "1 problem"] {
        assert!(invalid.errors.contains(part), "no {part:?} in\n{}", invalid.errors);
    }

    for wrong in [&["check", file, "more"][..], &["chekc"], &["run", "--listen", "nowhere"], &[]] {
        let usage = call(wrong).await;
        assert_eq!(usage.code, Some(2), "{wrong:?}: {usage:?}");
        assert!(usage.errors.contains("Usage:") || usage.errors.contains("--help"), "{}", usage.errors);
    }
}

#[tokio::test]
async fn status_shows_people_who_serves_and_its_exit_status_says_whether_all_is_well() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let mut oregon = Nginx::start("oregon", &site).await;
    let door = Door::start(&Setup::new(&[new_jersey.address], &[oregon.address])).await;
    let admin = door.admin.to_string();

    // Ready is after the first probes, or one probe timeout: a busy machine may need longer.
    let mut well = call(&["status", "--admin", &admin]).await;
    eventually("all is well", async || {
        well = call(&["status", "--admin", &admin]).await;
        well.code == Some(0)
    })
    .await;
    assert_eq!(well.errors, "");
    insta::with_settings!({ filters => [
        (r"127\.0\.0\.1:\d+ ", "127.0.0.1:PORT "),
        (r"\b\d+(\.\d+)?(ms|s|m)\b( \d+s)?", "SPAN"),
        (r" {2,}", "  "),
    ] }, {
        insta::assert_snapshot!(stable(&well.out), @"
        hotspare 0.1.0, ready, up for SPAN, generation 1

        all is well

        sites: new-jersey has been serving for SPAN; 0 requests in flight
          POOL  HEALTH  ENDPOINT  STATE  FOR  IN FLIGHT  GOOD  FAILED
          new-jersey  up, serving  127.0.0.1:PORT  up  SPAN  0  0  0
          oregon  up  127.0.0.1:PORT  up  SPAN  0  0  0
        ");
    });

    oregon.crash();
    let mut ill = String::new();
    eventually("the spare's death is told", async || {
        let called = call(&["status", "--admin", &admin]).await;
        ill = called.out;
        called.code == Some(1)
    })
    .await;
    assert!(ill.contains("! ") && ill.contains("oregon") && ill.contains("down"), "{ill}");

    let json = call(&["status", "--json", "--admin", &admin]).await;
    assert_eq!(json.code, Some(1));
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["backends"][0]["serving"], "new-jersey");
    assert_eq!(json["backends"][0]["pools"][1]["health"], "down");

    door.stop().await;
    let nobody = call(&["status", "--admin", &admin]).await;
    assert_eq!((nobody.code, &*nobody.out), (Some(1), ""));
    assert!(nobody.errors.contains("is hotspare running?"), "{}", nobody.errors);
    let nowhere = call(&["status", "--admin", "localhost"]).await;
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.errors.contains("--admin 127.0.0.1:9900"), "{}", nowhere.errors);
}

/// Up to what depends on the day: certificates and what changed lately.
fn stable(page: &str) -> String {
    page.lines().take_while(|line| *line != "certificates").map(|line| format!("{}\n", line.trim_end())).collect()
}

#[tokio::test]
async fn the_admin_listener_says_that_it_lives_and_that_it_is_ready() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let door = Door::start(&Setup::new(&[new_jersey.address], &[free_address()])).await;
    assert_eq!(admin::get(door.admin, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(admin::get(door.admin, "/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(admin::get(door.admin, "/metrics").await.0, 200);
    assert_eq!(admin::get(door.admin, "/nothing").await.0, 404);
    let (_, status) = admin::get(door.admin, "/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["readiness"], "ready");
    door.stop().await;
}
