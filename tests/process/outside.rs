//! Judges from outside: h2load and curl count failures, promtool reads the metrics, so that no mistake of our own visitors
//! can hide one of the proxy's.

use crate::harness::child::{Child, finish};
use crate::harness::door::Door;
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use crate::harness::{admin, eventually};
use std::fs;
use std::path::Path;
use std::process::Command;

/// h2load with 10 clients of 20 requests a second each, for some ten seconds, over all pages of the site. Without options
/// it speaks HTTP/2.
fn h2load(door: &Door, site: &Site, name: &str, options: &[&str]) -> Child {
    let urls: Vec<String> = (0..2_000).map(|n| format!("https://{}{}", door.address, site.page(n).path)).collect();
    let list = door.directory().join(format!("{name}.urls"));
    fs::write(&list, urls.join("\n")).unwrap();
    let mut command = Command::new("h2load");
    command.args(["-n", "2000", "-c", "10", "--rps", "20"]).args(options).arg("-i").arg(list);
    Child::start(name, command, door.directory())
}

#[tokio::test]
async fn h2load_sees_no_failure_when_the_primary_is_killed() {
    let site = Site::make();
    let mut new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let door = Door::start(&Setup::new(&[new_jersey.address], &[oregon.address])).await;
    let mut loads = [h2load(&door, &site, "h2load-1", &["--h1"]), h2load(&door, &site, "h2load-2", &[])];
    eventually("new-jersey has work", async || new_jersey.access_log().lines().count() > 400).await;
    new_jersey.crash();
    for (load, protocol) in loads.iter_mut().zip(["http/1.1", "h2"]) {
        assert_eq!(load.exit().await.code(), Some(0));
        let said = load.log();
        assert!(said.contains(&format!("Application protocol: {protocol}\n")), "{said}");
        for part in ["2000 succeeded, 0 failed, 0 errored, 0 timeout", "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx"] {
            assert!(said.contains(part), "{said}");
        }
    }
    assert!(oregon.access_log().lines().count() > 400, "hardly anything came to the secondary");
    door.stop().await;
}

#[tokio::test]
async fn curl_gets_every_page_whole_while_the_primary_dies() {
    let site = Site::make();
    let mut new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let door = Door::start(&Setup::new(&[new_jersey.address], &[oregon.address])).await;
    let copy = door.directory().join("copy");
    let wanted: String = site.pages().iter().map(|file| wanted(&door, &file.path, &copy)).collect();
    fs::write(door.directory().join("wanted"), wanted).unwrap();
    let mut command = Command::new("curl");
    command.args(["--http2", "--parallel", "--parallel-max", "4", "--rate", "100/s", "--fail", "--no-progress-meter"]);
    command.arg("--create-dirs").arg("--cacert").arg(door.certificate_file()).args(["--config", "wanted"]);
    command.current_dir(door.directory());
    let mut curl = Child::start("curl", command, door.directory());
    eventually("new-jersey has work", async || new_jersey.access_log().lines().count() > 50).await;
    new_jersey.crash();
    assert_eq!(curl.exit().await.code(), Some(0), "{}", curl.log());
    for file in site.pages() {
        assert!(fs::read(copy.join(&file.path[1..])).unwrap() == file.bytes, "{} is not what it should be", file.path);
    }
    door.stop().await;
}

/// An entry of curl's config: a URL and where to put it.
fn wanted(door: &Door, path: &str, copy: &Path) -> String {
    let url = format!("https://localhost:{}{path}", door.address.port());
    format!("url = \"{url}\"\noutput = \"{}{path}\"\n", copy.display())
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about_in_the_metrics() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let door = Door::start(&Setup::new(&[new_jersey.address], &[oregon.address])).await;
    door.client().get(crate::harness::client::Version::H2, "/health").await;
    let (status, metrics) = admin::get(door.admin, "/metrics").await;
    assert_eq!(status, 200);
    let scrape = door.directory().join("scrape");
    fs::write(&scrape, &metrics).unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg("promtool check metrics <\"$0\"").arg(scrape);
    let checked = finish(command).await;
    assert_eq!((checked.code, &*checked.out, &*checked.errors), (Some(0), "", ""), "{metrics}");
    door.stop().await;
}
