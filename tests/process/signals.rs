//! Signals at bad moments, and logs that can't be written: nothing of that ends service.

use crate::harness::door::Door;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use crate::harness::{eventually, free_address};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::sync::Arc;

async fn one_data_centre() -> (Arc<Site>, Nginx, Setup) {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let setup = Setup::new(&[new_jersey.address], &[free_address()]);
    (site, new_jersey, setup)
}

async fn serves(door: &Door, site: &Arc<Site>) {
    let load = Load::start(door.client(), site, 100, Visitors::Readers);
    load.goes_on(100).await;
    load.stop().await.assert_all_good();
}

#[tokio::test]
async fn signals_of_later_meaning_end_nothing() {
    let (site, _new_jersey, setup) = one_data_centre().await;
    let mut door = Door::start(&setup).await;
    for signal in [Signal::USR1, Signal::USR2] {
        door.signal(signal);
    }
    door.says("SIGUSR1").await;
    door.says("SIGUSR2").await;
    serves(&door, &site).await;
    door.stop().await;
}

#[tokio::test]
async fn a_sighup_while_it_starts_is_a_reload_once_it_has_started() {
    let (site, _new_jersey, setup) = one_data_centre().await;
    // A config in a fifo: it is read when the test writes it, and so start lasts until then.
    let mut door = Door::launch(&setup, |command| {
        let file = command.get_current_dir().unwrap().join("hotspare.toml");
        fs::remove_file(&file).unwrap();
        mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        command
    });
    let file = door.directory().join("hotspare.toml");
    let opened = tokio::task::spawn_blocking({
        let file = file.clone();
        move || File::options().write(true).open(file).unwrap() // waits for the reader
    });
    let mut config = opened.await.unwrap();
    door.signal(Signal::HUP);
    config.write_all(setup.text().as_bytes()).unwrap();
    drop(config);
    door.is_ready().await;
    let text = setup.text();
    tokio::task::spawn_blocking(move || fs::write(file, text).unwrap()).await.unwrap();
    door.reloads("accepted", 1.0).await;
    serves(&door, &site).await;
    door.stop().await;
}

#[tokio::test]
async fn fifty_sighups_in_a_row_are_survived_and_the_last_file_is_in_force() {
    let (site, _new_jersey, mut setup) = one_data_centre().await;
    let mut door = Door::start(&setup).await;
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    for _ in 0..49 {
        door.signal(Signal::HUP);
    }
    setup.secondary.push(free_address());
    door.rewrite_config(&setup.text());
    door.signal(Signal::HUP);
    eventually("the last file is in force", async || {
        door.metrics().await.sum("hotspare_endpoint_health", &[("pool", "oregon")]) == 2.0
    })
    .await;
    load.goes_on(50).await;
    load.stop().await.assert_all_good();
    door.stop().await;
}

/// Runs it with that redirection of its stderr; then makes it log.
async fn serves_without_a_log(redirection: &str) {
    let (site, _new_jersey, setup) = one_data_centre().await;
    let mut door = Door::start_by(&setup, |command| {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec \"$0\" \"$@\" {redirection}"));
        shell.arg(command.get_program()).args(command.get_args()).current_dir(command.get_current_dir().unwrap());
        shell
    })
    .await;
    serves(&door, &site).await;
    door.rewrite_config("nonsense");
    door.signal(Signal::HUP);
    door.reloads("rejected", 1.0).await;
    door.rewrite_config(&setup.text());
    door.signal(Signal::HUP);
    door.reloads("accepted", 1.0).await;
    serves(&door, &site).await;
    door.stop().await;
}

#[tokio::test]
async fn a_full_disk_under_the_log_does_not_stop_service() {
    serves_without_a_log(">/dev/full 2>&1").await;
}

#[tokio::test]
async fn a_closed_stderr_does_not_stop_service() {
    serves_without_a_log(">&- 2>&-").await;
}
