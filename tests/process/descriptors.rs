//! No descriptors left: nothing spins, nothing crashes, who is there is served, and so are others once some have gone.

use crate::bodies::raise_descriptors;
use crate::harness::client::{Connection, Version, request};
use crate::harness::door::Door;
use crate::harness::eventually;
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use bytes::Bytes;
use http_body_util::BodyExt;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What the door may have.
const DESCRIPTORS: usize = 200;

/// Clients that were there before.
const EARLIER: usize = 8;

/// How long it is without.
const WITHOUT: Duration = Duration::from_secs(4);

/// The same command, with fewer descriptors.
fn fewer(command: Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    shell
}

async fn ask(connection: &mut Connection) {
    let response = connection.send(request("GET", "/health", Bytes::new())).await.expect("an earlier client is served");
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "well\n");
}

#[tokio::test]
async fn without_descriptors_earlier_clients_are_served_nothing_spins_and_new_ones_come_when_some_have_gone() {
    raise_descriptors();
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    // More than there are descriptors for: what follows from their number by default is never reached.
    setup.top = "workers = 2\nmax_connections = 1000\nmax_connections_per_client = 1000";
    let limits = "limits = { handshake_timeout = \"5m\" }\n";
    let text = setup.text().replace("\n[[backend]]", &format!("\n{limits}[[backend]]"));
    let mut door = Door::launch_changed(&setup, &text, fewer);
    door.is_ready().await;
    let client = door.client();
    let mut earlier = Vec::new();
    for n in 0..EARLIER {
        let version = if n % 2 == 0 { Version::Http1 } else { Version::H2 };
        let mut connection = client.connect(version).await.unwrap();
        ask(&mut connection).await;
        earlier.push(connection);
    }

    let mut crowd = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        crowd.push(TcpStream::connect(door.address).await.unwrap());
    }
    eventually("all descriptors are taken", async || door.descriptors() >= DESCRIPTORS).await;

    let (since, cpu) = (Instant::now(), door.cpu());
    let mut asked = 0u32;
    while since.elapsed() < WITHOUT {
        for connection in &mut earlier {
            ask(connection).await;
            asked += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Whoever spins takes all of it, on two workers twice.
    let used = door.cpu() - cpu;
    assert!(used < WITHOUT / 4, "{used:?} of CPU time for {asked} requests");

    crowd.clear();
    eventually("a new client is served", async || client.connect(Version::H2).await.is_ok()).await;
    assert_eq!(client.get(Version::H2, "/health").await.status(), 200);
    let metrics = door.metrics().await;
    assert!(metrics.sum("hotspare_accept_errors_total", &[]) > 0.0);
    assert_eq!(metrics.sum("hotspare_failovers_total", &[]), 0.0, "what was wrong was here");
    for connection in &mut earlier {
        ask(connection).await;
    }
    door.stop().await;
}
