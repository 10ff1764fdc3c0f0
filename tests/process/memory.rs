//! What a Hotspare that is killed at any moment leaves to the next one.

use crate::harness::child::{Child, Finished, finish};
use crate::harness::door::hotspare;
use crate::harness::nginx::Nginx;
use crate::harness::setup::{Setup, write_certificate};
use crate::harness::site::Site;
use crate::harness::{eventually, free_address};
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How often it is killed.
const ROUNDS: usize = 12;

async fn call(directory: &Path, arguments: &[&str]) -> Finished {
    let mut command = hotspare();
    command.args(arguments).args(["--socket", "state/admin.sock"]).current_dir(directory);
    finish(command).await
}

/// Starts it anew, with listeners of its own: those of a killed one may linger.
async fn start(directory: &Path, endpoints: [&Nginx; 2]) -> Child {
    let setup = Setup::new(&[endpoints[0].address], &[endpoints[1].address]);
    let setup = Setup { listen: free_address(), admin: free_address(), ..setup };
    fs::write(directory.join("hotspare.toml"), setup.text()).unwrap();
    let mut command = hotspare();
    command.args(["run", "--config", "hotspare.toml"]).current_dir(directory);
    let child = Child::start("hotspare", command, directory);
    eventually("it is ready", async || call(directory, &["status"]).await.out.contains(", ready, ")).await;
    child
}

async fn serving(directory: &Path) -> String {
    let status = call(directory, &["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap_or_else(|_| panic!("{status:?}"));
    status["backends"][0]["serving"].as_str().unwrap().to_owned()
}

/// Every line but perhaps the last before a start is whole.
fn journal_is_whole(directory: &Path) {
    let journal = fs::read_to_string(directory.join("state/journal.jsonl")).unwrap();
    let broken = journal.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err()).count();
    let starts = journal.matches("\"kind\":\"start\"").count();
    assert!(broken < starts, "{broken} lines are torn, after {starts} starts");
}

#[tokio::test]
async fn killed_at_any_moment_it_serves_on_from_where_an_operator_moved_its_users() {
    let site = Site::make();
    let (new_jersey, oregon) = (Nginx::start("new-jersey", &site).await, Nginx::start("oregon", &site).await);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    write_certificate(directory);
    let mut dice = fastrand::Rng::with_seed(20_110_424);
    let mut running = start(directory, [&new_jersey, &oregon]).await;
    let mut before = "new-jersey".to_owned();
    for round in 0..ROUNDS {
        let to = if before == "oregon" { "new-jersey" } else { "oregon" };
        let command = ["failover", "sites", "--to", to, "--yes"];
        let kept = round % 2 == 0;
        if kept {
            // What is on disk when it dies is certain to be there again.
            assert_eq!(call(directory, &command).await.code, Some(0), "round {round}");
            let told = format!("\"serving\":\"{to}\"");
            let state = directory.join("state/state.json");
            eventually("it is on disk", async || fs::read_to_string(&state).is_ok_and(|text| text.contains(&told)))
                .await;
            running.signal(Signal::KILL);
        } else {
            // At any moment of a command: before, during, after.
            let moment = Duration::from_micros(dice.u64(..30_000));
            let kill = async {
                tokio::time::sleep(moment).await;
                running.signal(Signal::KILL);
            };
            tokio::join!(call(directory, &command), kill);
        }
        running.exit().await;
        running = start(directory, [&new_jersey, &oregon]).await;
        let now = serving(directory).await;
        assert!(now == to || (!kept && now == before), "round {round}: {now} serves, after {before} and {to}");
        journal_is_whole(directory);
        before = now;
    }
    // Garbage in its place costs the memory, and nothing else.
    running.signal(Signal::KILL);
    running.exit().await;
    fs::write(directory.join("state/state.json"), b"{\"version\":1,\"saved\":").unwrap();
    let mut running = start(directory, [&new_jersey, &oregon]).await;
    assert_eq!(serving(directory).await, "new-jersey");
    let names = fs::read_dir(directory.join("state")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| name.to_string_lossy().starts_with("state.json.damaged-")));
    running.signal(Signal::TERM);
    assert_eq!(running.exit().await.code(), Some(0));
}
