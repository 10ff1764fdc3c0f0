//! SIGTERM: what was accepted is finished, and then it ends.

use crate::harness::client::Version;
use crate::harness::door::Door;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use crate::harness::{admin, eventually, free_address};
use http_body_util::BodyExt;
use rustix::process::Signal;
use tokio::task::JoinHandle;

/// The largest file at 200 KB a second: some seconds. Returns once its head is here.
pub async fn slow_download(door: &Door, site: &Site) -> JoinHandle<hyper::Result<usize>> {
    let path = format!("/slow{}", site.largest().path);
    let response = door.client().get(Version::Http1, &path).await;
    assert_eq!(response.status(), 200);
    tokio::spawn(async { Ok(response.into_body().collect().await?.to_bytes().len()) })
}

#[tokio::test]
async fn a_sigterm_under_load_cuts_nobody_who_was_accepted() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut door = Door::start(&Setup::new(&[new_jersey.address], &[oregon.address])).await;
    let load = Load::start(door.client(), &site, 200, Visitors::Downloaders);
    load.goes_on(400).await;
    let mut downloads = Vec::new();
    for _ in 0..4 {
        downloads.push(slow_download(&door, &site).await);
    }

    door.signal(Signal::TERM);
    eventually("the load is not accepted any more", async || load.so_far().not_accepted() > 20).await;
    assert!(matches!(admin::get(door.admin, "/readyz").await, (503, said) if said.contains("draining")));
    let report = load.stop().await;
    for download in downloads {
        assert_eq!(download.await.unwrap().unwrap(), site.largest().bytes.len());
    }
    assert_eq!(door.exit().await.code(), Some(0));
    report.assert_none_failed();
    assert!(report.good() >= 400);
    // Each write that was taken was answered, and each that was answered was taken once.
    let posts = new_jersey.posts();
    for post in report.posts() {
        let times = posts.get(post.path.strip_prefix("/post/").unwrap()).copied().unwrap_or(0);
        assert_eq!(times, usize::from(post.data_centre.is_some()), "{post:?}");
    }
    door.says("drained").await;
}

#[tokio::test]
async fn a_second_sigterm_ends_it_with_a_download_still_running() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let mut door = Door::start(&Setup::new(&[new_jersey.address], &[free_address()])).await;
    let download = slow_download(&door, &site).await;
    door.signal(Signal::TERM);
    door.says("draining").await;
    assert!(door.try_exit().is_none(), "it did not wait for the download");
    door.signal(Signal::TERM);
    assert_eq!(door.exit().await.code(), Some(1), "requests were cut");
    assert!(download.await.unwrap().is_err(), "a cut body looked like a whole one");
}

#[tokio::test]
async fn what_outlasts_the_drain_timeout_is_cut_and_the_status_is_still_0() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[free_address()]);
    setup.top = r#"drain_timeout = "1s""#;
    let mut door = Door::start(&setup).await;
    let download = slow_download(&door, &site).await;
    door.signal(Signal::INT);
    assert_eq!(door.exit().await.code(), Some(0));
    assert!(download.await.unwrap().is_err());
}
