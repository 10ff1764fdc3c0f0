//! Writes are sacred over HTTP/2 too: thousands of them through endpoints that refuse streams, reset them, go away and break at any moment.
//! None runs twice, and none that was answered well has not run.

use super::frames::{ACK, DATA, END_STREAM, Frame, SETTINGS, answer, frame, goaway, read_frame, reset};
use crate::harness::Door;
use crate::harness::client::{Client, request};
use crate::harness::ports::free_address;
use h2::Reason;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const WRITES: u64 = 5_000;
const CLIENTS: u64 = 20;

/// How often each write has run, at all endpoints.
type Ledger = Arc<Mutex<HashMap<u64, u32>>>;

#[tokio::test(flavor = "local")]
async fn no_write_runs_twice_and_none_vanishes_without_an_error() {
    let (ledger, met) = (Ledger::default(), Arc::<Mutex<[u64; 6]>>::default());
    let places = [(); 4].map(|()| free_address());
    let _running = places.map(|address| Flaky::start(address, ledger.clone(), met.clone()));
    let door = Door::builder()
        .primary_at(places[0])
        .primary_at(places[1])
        .secondary_at(places[2])
        .secondary_at(places[3])
        .backend("scheme = \"h2c\"\nwrite_wait = \"300ms\"\nwrite_drain = \"100ms\"\nmin_dwell = \"100ms\"")
        .backend(r#"timeouts = { connect = "300ms", head = "400ms", body_idle = "400ms" }"#)
        .backend(r#"tally = { trip = 20, consecutive = 10, confirm = "100ms", ejection_time = "100ms" }"#)
        .without_probe_path()
        .probe_keys("kind = \"tcp\"")
        .start()
        .await;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let ids: Vec<u64> = (0..WRITES).filter(|id| id % CLIENTS == client).collect();
        let from = door.client_at(u8::try_from(client + 1).unwrap());
        clients.spawn_local(async move { send(&from, &ids).await });
    }
    let answered: Vec<(u64, u16)> = clients.join_all().await.into_iter().flatten().collect();

    let ran = std::mem::take(&mut *ledger.lock().unwrap());
    let twice: Vec<_> = ran.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "ran more than once: {twice:?}");
    let well: Vec<_> = answered.iter().filter(|(_, status)| *status == 200).map(|(id, _)| id).collect();
    let vanished: Vec<_> = well.iter().filter(|id| !ran.contains_key(**id)).collect();
    assert!(vanished.is_empty(), "answered well and never ran: {vanished:?}");
    // Else the test would prove nothing: many go well (fewer on a busy machine), and each kind of trouble was met.
    let (well, met) = (well.len() as u64, *met.lock().unwrap());
    assert!(well * 4 > WRITES && well < WRITES && ran.len() as u64 > well, "{well} went well, {} ran", ran.len());
    assert!(met.iter().all(|times| *times > 3), "{met:?}");
    door.stop().await;
}

/// Eight at a time on one connection; what was answered, with its status.
async fn send(client: &Client, ids: &[u64]) -> Vec<(u64, u16)> {
    let many = client.many().await;
    let mut answered = Vec::new();
    for eight in ids.chunks(8) {
        let sent = eight.iter().map(|id| many.send(request("POST", "https://localhost/write", &id.to_string())));
        let sent = futures_util::future::join_all(sent).await;
        answered.extend(eight.iter().zip(sent).map(|(id, sent)| (*id, sent.expect("an answer").status().as_u16())));
    }
    answered
}

/// An endpoint that counts what it runs in the ledger, where the write's body is its number, and does not answer all of it.
struct Flaky(JoinHandle<()>);

impl Drop for Flaky {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Flaky {
    fn start(address: SocketAddr, ledger: Ledger, met: Arc<Mutex<[u64; 6]>>) -> Flaky {
        Flaky(tokio::spawn(async move {
            let listener = TcpListener::bind(address).await.unwrap();
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, ledger.clone(), met.clone()));
            }
        }))
    }
}

async fn serve(mut stream: TcpStream, ledger: Ledger, met: Arc<Mutex<[u64; 6]>>) -> Option<()> {
    stream.set_nodelay(true).unwrap();
    stream.read_exact(&mut [0; 24]).await.ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
    let mut highest = 0;
    loop {
        let Frame { kind, flags, id, payload } = read_frame(&mut stream).await?;
        if (kind, flags) == (SETTINGS, 0) {
            stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await.ok()?;
        }
        if kind != DATA || flags & END_STREAM == 0 {
            continue;
        }
        let number = std::str::from_utf8(&payload).unwrap().parse().unwrap();
        let does = match fastrand::u32(..1_000) {
            0..40 => 1,
            40..55 => 2,
            55..59 => 3,
            59..65 => 4,
            65..80 => 5,
            _ => 0,
        };
        met.lock().unwrap()[does] += 1;
        match does {
            1 => {
                stream.write_all(&reset(id, Reason::REFUSED_STREAM)).await.ok()?;
                continue;
            }
            5 => {
                let reason = if fastrand::bool() { Reason::NO_ERROR } else { Reason::ENHANCE_YOUR_CALM };
                stream.write_all(&goaway(highest, reason)).await.ok()?;
                // Until the other side has read it: closing at once would reset the connection under it.
                let mut rest = Vec::new();
                let read = stream.read_to_end(&mut rest);
                let _gone = tokio::time::timeout(Duration::from_millis(100), read).await;
                return None;
            }
            _ => (),
        }
        *ledger.lock().unwrap().entry(number).or_default() += 1;
        highest = highest.max(id);
        match does {
            2 => stream.write_all(&reset(id, Reason::INTERNAL_ERROR)).await.ok()?,
            3 => return None, // with whatever runs there
            4 => {
                stream.write_all(&goaway(id.max(highest), Reason::NO_ERROR)).await.ok()?;
                // So that requests cross the GOAWAY on their way, which is what is tried here.
                tokio::time::sleep(Duration::from_millis(10)).await;
                return None;
            }
            _ => stream.write_all(&answer(id, "done")).await.ok()?,
        }
    }
}
