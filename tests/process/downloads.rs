//! Downloads outlive the data centre that they come from: each file arrives whole, whatever is killed meanwhile.

use crate::harness::client::{Client, Version};
use crate::harness::door::Door;
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::{File, Site};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const LENGTH: usize = 64 * 1024 * 1024;
const AT_ONCE: usize = 3;
const ROUNDS: usize = 3;

#[tokio::test]
async fn files_of_64_mib_arrive_whole_while_the_primary_is_killed_once_a_second() {
    let site = Site { files: vec![File { path: "/film.bin".to_owned(), bytes: film() }] };
    let site = Arc::new(site);
    let mut new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    // As soon back at the primary as may be, for it to be killed under them again.
    setup.backend = "resume = 'anywhere'\nmin_dwell = '0s'\ntally = { ejection_time = '200ms' }\n\
                     failback = { stable_for = '1500ms', after_writes = 'auto', ramp = '0s' }";
    let door = Door::start(&setup).await;

    let mut downloads = JoinSet::new();
    for at in 0..AT_ONCE {
        let (client, site) = (door.client(), site.clone());
        let version = if at % 2 == 0 { Version::Http1 } else { Version::H2 };
        downloads.spawn(async move {
            for _ in 0..ROUNDS {
                download(&client, version, &site.files[0]).await;
            }
        });
    }
    while !downloads.is_empty() {
        tokio::select! {
            ended = downloads.join_next() => ended.unwrap().unwrap(),
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                new_jersey.crash();
                new_jersey.restart().await;
            }
        }
    }
    let resumed = door.metrics().await.sum("hotspare_requests_rescued_total", &[("by", "resume")]);
    assert!(resumed >= 1.0, "no download was under way at the primary when it was killed");
    door.is_idle().await;
    door.stop().await;
}

/// Bytes of which no piece is like another.
fn film() -> Bytes {
    let mut random = fastrand::Rng::with_seed(64);
    std::iter::repeat_with(|| random.u64(..).to_ne_bytes()).take(LENGTH / 8).flatten().collect()
}

/// Slowly enough for the primary to be killed meanwhile; each byte is compared.
async fn download(client: &Client, version: Version, file: &File) {
    let mut response = client.get(version, &file.path).await;
    assert_eq!(response.status(), 200);
    let mut read = 0;
    let mut pause_at = 0;
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.unwrap_or_else(|error| panic!("cut after {read} bytes over {version:?}: {error:?}"));
        let Some(piece) = frame.data_ref() else { continue };
        assert_eq!(Some(&piece[..]), file.bytes.get(read..read + piece.len()), "from byte {read} on");
        read += piece.len();
        if read >= pause_at {
            pause_at = read + 1024 * 1024;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(read, LENGTH, "over {version:?}");
}
