//! Starts that can't succeed: each ends with status 1 and says what is wrong, where, and what to do.

use crate::harness::child::{Finished, finish};
use crate::harness::door::{Door, hotspare};
use crate::harness::free_address;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::{Setup, write_certificate};
use crate::harness::site::Site;
use rustix::process::geteuid;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A directory with a certificate and its key.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    write_certificate(directory.path());
    directory
}

fn setup() -> Setup {
    Setup::new(&[free_address()], &[free_address()])
}

async fn run(directory: &Path, config: &str) -> Finished {
    let mut command = hotspare();
    command.args(["run", "--config", config]).current_dir(directory);
    finish(command).await
}

/// Runs it with that file, and fails unless it ended with status 1 and said all of that.
async fn refused(directory: &Path, bytes: impl AsRef<[u8]>, said: &[&str]) {
    fs::write(directory.join("hotspare.toml"), bytes).unwrap();
    says(&run(directory, "hotspare.toml").await, said);
}

fn says(finished: &Finished, parts: &[&str]) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for part in parts {
        assert!(finished.errors.contains(part), "no {part:?} in\n{}", finished.errors);
    }
    assert!(!finished.errors.contains("panicked"), "{}", finished.errors);
}

#[tokio::test]
async fn a_config_that_is_no_file_or_no_text() {
    let directory = directory();
    let missing = run(directory.path(), "nowhere.toml").await;
    says(&missing, &["there is no such file", "nowhere.toml", "check the path"]);
    let not_a_file = run(directory.path(), ".").await;
    says(&not_a_file, &["this is a directory"]);
    refused(directory.path(), b"# fine\n# caf\xe9\n", &["line 2 is not UTF-8", "hotspare.toml"]).await;
    refused(directory.path(), "", &["there is no [[listener]]", "there is no [[backend]]", "2 problems"]).await;
}

#[tokio::test]
async fn a_thousand_errors_are_counted_and_do_not_flood_the_terminal() {
    let directory = directory();
    let mut text = setup().text();
    for n in 0..1_000 {
        text.push_str(&format!(
            "[[backend]]\nname = \"b{n}\"\nnonsense = 1\nprimary = {{ name = \"p\", endpoints = [\"10.0.0.1:80\"] }}\n"
        ));
    }
    fs::write(directory.path().join("hotspare.toml"), text).unwrap();
    let finished = run(directory.path(), "hotspare.toml").await;
    says(&finished, &["unknown key `nonsense`", "problems", "hotspare was not started"]);
    assert!(finished.errors.lines().count() < 1_000, "{} lines", finished.errors.lines().count());
}

#[tokio::test]
async fn an_endpoint_without_a_port() {
    let text = setup().text().replace("endpoints = [\"127.0.0.1:", "endpoints = [\"web1\", \"127.0.0.1:");
    refused(directory().path(), text, &["endpoint `web1` has no port", "hotspare.toml:", "\"web1:8080\""]).await;
}

#[tokio::test]
async fn a_certificate_and_another_ones_key() {
    let directory = directory();
    let pem = fs::read(directory.path().join("site.pem")).unwrap();
    write_certificate(directory.path());
    fs::write(directory.path().join("site.pem"), pem).unwrap();
    refused(directory.path(), setup().text(), &["site.pem", "site.key", "hotspare.toml:"]).await;

    fs::remove_file(directory.path().join("site.key")).unwrap();
    refused(directory.path(), setup().text(), &["site.key", "hotspare.toml:"]).await;
}

#[tokio::test]
async fn a_port_in_use_by_another_program() {
    let other = TcpListener::bind(free_address()).unwrap();
    let taken = other.local_addr().unwrap();
    let find_it = format!("ss -ltnp 'sport = :{}'", taken.port());
    let said = [&*taken.to_string(), "something else listens there already", &*find_it];
    for setup in [Setup { listen: taken, ..setup() }, Setup { admin: taken, ..setup() }] {
        refused(directory().path(), setup.text(), &said).await;
    }
}

/// Workers share ports with each other (SO_REUSEPORT), and a second Hotspare of the same user could join them: half of the
/// clients would then be served by a process that nobody knows of.
#[tokio::test]
async fn a_port_in_use_by_another_hotspare_is_not_shared() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let first = Door::start(&Setup::new(&[new_jersey.address], &[free_address()])).await;
    let mut second = setup();
    second.listen = first.address;
    let said = [&*first.address.to_string(), "something else listens there already"];
    refused(directory().path(), second.text(), &said).await;

    let load = Load::start(first.client(), &site, 100, Visitors::Readers);
    load.goes_on(100).await;
    load.stop().await.assert_all_good();
    first.stop().await;
}

#[tokio::test]
async fn port_443_without_the_permission_for_it() {
    let directory = directory();
    let program = directory.path().join("hotspare");
    fs::copy(hotspare().get_program(), &program).unwrap();
    let mut setup = setup();
    setup.listen.set_port(443);
    fs::write(directory.path().join("hotspare.toml"), setup.text()).unwrap();
    for (file, mode) in
        [(".", 0o755), ("hotspare", 0o755), ("site.key", 0o644), ("site.pem", 0o644), ("hotspare.toml", 0o644)]
    {
        fs::set_permissions(directory.path().join(file), fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args(["--reuid", "65534", "--clear-groups"]);
    }
    command.arg(&program).args(["run", "--config", "hotspare.toml"]).current_dir(directory.path());
    let finished = finish(command).await;
    says(&finished, &["127.0.0.1:443", "permission denied", "CAP_NET_BIND_SERVICE"]);
}
