//! What becomes of a request at an endpoint that is left: by an operator, by a reload, or because it is out of service.

use super::resume::{LENGTH, by_range, is_whole, part, rest, whole};
use super::{PATIENT, asked, body, calm, endpoints, told};
use crate::harness::client::{Sent, request};
use crate::harness::endpoint::{Gate, behind, ok, status, then};
use crate::harness::{Act, Door, Endpoint, eventually};
use hotspare::domain::{Command, Health, PlaceName, Writes};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// Two of the looks at a body that drips.
const LOOKS: Duration = Duration::from_millis(1_200);

fn send(door: &Door, method: &'static str, path: &str) -> JoinHandle<Sent> {
    let (client, path) = (door.client(), path.to_owned());
    tokio::task::spawn_local(async move { client.send(request(method, &path, "")).await })
}

/// Has connecting to that address take for ever: the queue there is full, and nobody accepts.
async fn deafen(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut queue = Vec::new();
    while let Ok(queued) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queue.push(queued.unwrap());
    }
    (listener, queue)
}

#[tokio::test(flavor = "local")]
async fn a_write_is_taken_back_before_its_second_attempt_when_a_newer_view_sends_writes_elsewhere() {
    let [mut a, b, c] = endpoints(["a", "b", "c"]).await;
    let keys = "write_wait = \"20s\"\ntimeouts = { connect = \"3s\" }";
    let door = calm(&[&a, &b], &[&c]).backend(PATIENT).backend(keys).start().await;
    eventually("both are up", || [0, 1].iter().all(|place| matches!(door.health(0, *place), Health::Up { .. }))).await;
    a.kill().await;
    let _deaf = deafen(a.address).await;
    // Until one goes to the deaf one first.
    let mut tries = 0;
    let write = loop {
        let write = send(&door, "POST", "/write");
        eventually("it runs", || write.is_finished() || door.writes(0, 0) == 1).await;
        if door.writes(0, 0) == 1 {
            break write;
        }
        assert_eq!(told(&write.await.unwrap().unwrap()), (200, "b".to_owned()));
        tries += 1;
        assert!(tries < 100, "none goes to that one");
    };
    let before = b.seen().len();
    door.order(Command::Failover { backend: "sites".into(), to: None }).await;
    eventually("writes are sent elsewhere", || match door.view().backends[0].snapshot.writes {
        Writes::To(to) | Writes::Pausing { to, .. } => to.0 == 1,
        Writes::Refused(_) => false,
    })
    .await;
    assert!(!write.is_finished());
    assert_eq!(told(&write.await.unwrap().unwrap()), (200, "c".to_owned()));
    assert_eq!((b.seen().len(), c.seen().len()), (before, 1), "it ran where writes had gone, or twice");
    door.stop().await;
}

/// /file at both: the whole begins and drips, until the gate is open; a rest is whole.
fn drips(endpoints: &[&Endpoint], gate: &Gate) {
    let begun = Act::Write(part(200, &format!("content-length: {LENGTH}\r\netag: \"v1\"\r\n"), 0, 30_000));
    let goes_on = behind(gate, Act::Write(whole()[30_000..].to_vec()));
    let file = by_range(then(begun, goes_on), rest(30_000));
    endpoints.iter().for_each(|endpoint| endpoint.set("/file", file.clone()));
}

/// Where the one that is being asked for is.
fn its<'e>(door: &Door, [a, b]: [&'e Endpoint; 2]) -> (&'e Endpoint, PlaceName) {
    let its = if a.count("get /file") == 1 { a } else { b };
    let pool = &door.view().backends[0];
    let place =
        pool.pools[0].endpoints.iter().position(|endpoint| endpoint.way.address.to_string() == its.text()).unwrap();
    (its, PlaceName::Endpoint(pool.snapshot.pools[0].endpoints[place].name.clone()))
}

#[tokio::test(flavor = "local")]
async fn a_body_that_drips_stays_with_a_drained_endpoint_and_leaves_one_that_is_out_of_service() {
    let keys = "hedge = false\ntimeouts = { body_idle = \"20s\" }";
    for out in [false, true] {
        let [a, b] = &endpoints(["a", "b"]).await;
        let gate = Gate::default();
        drips(&[a, b], &gate);
        let door = Door::builder().primary(a).primary(b).backend(PATIENT).backend(keys).start().await;
        let got = send(&door, "GET", "/file");
        eventually("it has begun", || asked(&[a, b], "get /file") == 1).await;
        let (its, place) = its(&door, [a, b]);
        door.order(Command::Drain { place }).await;
        tokio::time::sleep(LOOKS).await;
        assert_eq!(asked(&[a, b], "get /file"), 1, "left though only drained");
        if out {
            its.set_probes(status(503)); // drained or not
        } else {
            gate.open();
        }
        is_whole(&got.await.unwrap());
        assert_eq!(asked(&[a, b], "get /file"), 1 + usize::from(out));
        door.stop().await;
    }
}

#[tokio::test(flavor = "local")]
async fn what_runs_at_an_endpoint_that_a_reload_takes_away_ends_there() {
    let [a, b] = endpoints(["a", "b"]).await;
    let [drip, page, write] = [(); 3].map(|()| Gate::default());
    drips(&[&a, &b], &drip);
    a.set("/page", behind(&page, ok("a")));
    a.set("/write", behind(&write, ok("a")));
    let keys = "hedge = false\ntimeouts = { body_idle = \"20s\" }";
    let mut door = Door::builder().primary(&a).backend(PATIENT).backend(keys).start().await;
    let running = [(send(&door, "GET", "/page"), page), (send(&door, "POST", "/write"), write)];
    let file = send(&door, "GET", "/file");
    eventually("they run", || a.seen().len() == 3).await;
    door.reload(|built| built.set_primary(&b)).await;
    assert_eq!(body(&door.client().get("/").await), "b");
    tokio::time::sleep(LOOKS).await;
    assert_eq!(b.seen().len(), 1, "sent there too");
    drip.open();
    is_whole(&file.await.unwrap());
    for (running, gate) in running {
        gate.open();
        assert_eq!(told(&running.await.unwrap().unwrap()), (200, "a".to_owned()));
    }
    assert_eq!((a.seen().len(), b.seen().len()), (3, 1));
    door.stop().await;
}
