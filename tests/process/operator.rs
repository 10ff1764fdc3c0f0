//! The ways in for operators: the socket in the state directory, and the token.

use crate::harness::child::{Finished, finish};
use crate::harness::door::{Door, hotspare};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use crate::harness::{eventually, free_address};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

async fn call(arguments: &[&str]) -> Finished {
    let mut command = hotspare();
    command.args(arguments).env_remove("HOTSPARE_TOKEN_FILE");
    finish(command).await
}

/// Whether the supervisor itself answered: a backend that is not there changes nothing.
fn was_considered(called: &Finished) -> bool {
    assert_ne!(called.code, Some(0), "{called:?}");
    let turned_away = ["takes no command from you", "nothing listens", "has ended"];
    called.errors.starts_with("error: ") && !turned_away.iter().any(|words| called.errors.contains(words))
}

fn write_token(path: &Path, token: &str) {
    fs::write(path, token).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn the_socket_lives_as_long_as_its_hotspare_and_belongs_to_one() {
    let new_jersey = Nginx::start("new-jersey", &Site::make()).await;
    let mut door = Door::start(&Setup::new(&[new_jersey.address], &[free_address()])).await;
    let socket = door.directory().join("state/admin.sock");
    let path = socket.to_str().unwrap();
    assert_eq!(fs::metadata(door.directory().join("state")).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(call(&["status", "--socket", path]).await.out.contains("new-jersey has been serving"));
    assert!(was_considered(&call(&["ack", "nowhere", "--socket", path]).await));

    let second = Setup { listen: free_address(), admin: free_address(), ..Setup::new(&[new_jersey.address], &[]) };
    fs::write(door.directory().join("second.toml"), second.text().replace("secondary = ", "#")).unwrap();
    let mut command = hotspare();
    command.args(["run", "--config", "second.toml"]).current_dir(door.directory());
    let refused = finish(command).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.errors.contains("another hotspare runs with the state directory"), "{}", refused.errors);
    assert!(call(&["status", "--socket", path]).await.out.contains("new-jersey has been serving"));

    door.signal(Signal::TERM);
    assert_eq!(door.exit().await.code(), Some(0));
    assert!(!socket.exists(), "it left its socket behind");
}

#[tokio::test]
async fn a_killed_hotspares_socket_is_in_nobodys_way() {
    let new_jersey = Nginx::start("new-jersey", &Site::make()).await;
    let setup = Setup::new(&[new_jersey.address], &[free_address()]);
    let mut first = Door::start(&setup).await;
    let socket = first.directory().join("state/admin.sock");
    first.signal(Signal::KILL);
    first.exit().await;
    assert!(socket.exists());

    let again = Setup { listen: free_address(), admin: free_address(), ..setup };
    let state = format!("state_dir = \"{}\"", first.directory().join("state").display());
    let directory = first.directory().to_owned();
    let mut command = hotspare();
    fs::write(directory.join("hotspare.toml"), again.text().replace("state_dir = \"state\"", &state)).unwrap();
    command.args(["run", "--config", "hotspare.toml"]).current_dir(&directory);
    let mut second = crate::harness::child::Child::start("again", command, &directory);
    eventually("the socket answers", async || {
        call(&["status", "--socket", socket.to_str().unwrap()]).await.out.contains("new-jersey has been serving")
    })
    .await;
    second.signal(Signal::TERM);
    assert_eq!(second.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_state_directory_that_can_not_be_had_keeps_no_user_waiting() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap(); // root may write anywhere else
    let top = format!("state_dir = \"{}\"", directory.path().join("file/state").display());
    let setup = Setup::new(&[new_jersey.address], &[free_address()]);
    let door = Door::start_with_text(&setup, &setup.text().replace("state_dir = \"state\"", &top)).await;
    door.says("cannot use state_dir").await;
    door.stop().await;
}

#[tokio::test]
async fn a_reload_changes_the_token_unless_others_can_read_it() {
    let new_jersey = Nginx::start("new-jersey", &Site::make()).await;
    let setup = Setup::new(&[new_jersey.address], &[free_address()]);
    let mut door = Door::start(&setup).await;
    let admin = door.admin.to_string();
    let [configured, old, new] = ["admin.token", "old.token", "new.token"].map(|name| door.directory().join(name));
    write_token(&configured, "correct-horse-battery\n");
    write_token(&old, "correct-horse-battery\n");
    write_token(&new, "staple-staple-staple\n");
    let ack = async |token: &Path| {
        let token = token.to_str().unwrap();
        was_considered(&call(&["ack", "nowhere", "--admin", &admin, "--token-file", token]).await)
    };
    assert!(!ack(&old).await, "no token is configured yet");

    door.rewrite_config(&setup.text().replace("[admin]", "[admin]\ntoken_file = \"admin.token\""));
    door.signal(Signal::HUP);
    door.reloads("accepted", 1.0).await;
    assert!(ack(&old).await && !ack(&new).await);

    fs::copy(&new, &configured).unwrap();
    door.signal(Signal::HUP);
    door.reloads("accepted", 2.0).await;
    assert!(ack(&new).await && !ack(&old).await);

    fs::set_permissions(&configured, fs::Permissions::from_mode(0o640)).unwrap();
    door.signal(Signal::HUP);
    door.reloads("rejected", 1.0).await;
    assert!(door.log().contains("others than its owner may read or change admin.token"), "{}", door.log());
    assert!(ack(&new).await, "what was in force stays in force");
    door.stop().await;
}
