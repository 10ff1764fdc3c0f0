//! Writes are sacred: thousands of them, by HTTP/1.1 with and without pipelining and by HTTP/2, through endpoints that fail in every
//! way of the drill at any moment. None runs twice, and none that was answered well has not run. `make slow` sends ten times as many.

use crate::harness::client::{Client, Many, request};
use crate::harness::ports::free_address;
use crate::harness::{Door, PATIENCE};
use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const WRITES: u64 = 10_000;
const AT_ONCE: u64 = 80;

/// How often each write has run, in both data centres.
type Ledger = Arc<Mutex<HashMap<u64, u32>>>;

#[tokio::test(flavor = "local")]
async fn no_write_runs_twice_and_none_vanishes_without_an_error() {
    let writes = std::env::var("WRITES").map_or(WRITES, |count| count.parse().expect("WRITES is a number"));
    let ledger = Ledger::default();
    let places = [(); 4].map(|()| free_address());
    let _running = places.map(|address| Flaky::start(address, ledger.clone()));
    let door = Door::builder()
        .primary_at(places[0])
        .primary_at(places[1])
        .secondary_at(places[2])
        .secondary_at(places[3])
        .fall(3)
        .backend("write_wait = \"300ms\"\nwrite_drain = \"100ms\"\nmin_dwell = \"100ms\"")
        .backend(r#"timeouts = { connect = "300ms", head = "400ms", body_idle = "400ms" }"#)
        .backend(r#"tally = { trip = 8, consecutive = 3, confirm = "100ms", ejection_time = "200ms" }"#)
        .start()
        .await;

    let mut clients = JoinSet::new();
    for client in 0..AT_ONCE {
        let ids: Vec<u64> = (0..writes).filter(|id| id % AT_ONCE == client).collect();
        let from = door.client_at(u8::try_from(client + 1).unwrap());
        clients.spawn_local(async move {
            match client % 3 {
                0 => one_by_one(&from, &ids).await,
                1 => pipelined(&from, &ids).await,
                _ => over_http2(&from, &ids).await,
            }
        });
    }
    let answered: Vec<(u64, u16)> = clients.join_all().await.into_iter().flatten().collect();

    let ran = std::mem::take(&mut *ledger.lock().unwrap());
    let twice: Vec<_> = ran.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "ran more than once: {twice:?}");
    let well: Vec<_> = answered.iter().filter(|(_, status)| *status == 200).map(|(id, _)| id).collect();
    let vanished: Vec<_> = well.iter().filter(|id| !ran.contains_key(**id)).collect();
    assert!(vanished.is_empty(), "answered well and never ran: {vanished:?}");
    // Else the test would prove nothing: many go well, and each kind of trouble was met.
    let (well, count) = (well.len() as u64, answered.len() as u64);
    assert!(well * 4 > writes, "{well} of {writes} went well, {count} were answered");
    assert!(well < writes && (ran.len() as u64) > well, "{well} of {writes} went well, {} ran", ran.len());
    door.stop().await;
}

/// Each on its connection until that ends; what was answered, with its status.
async fn one_by_one(client: &Client, ids: &[u64]) -> Vec<(u64, u16)> {
    let mut answered = Vec::new();
    for id in ids {
        if let Ok(response) = client.send(request("POST", &format!("/write/{id}"), "one line")).await {
            answered.push((*id, response.status().as_u16()));
        }
    }
    answered
}

/// Four requests at a time on one connection, before any of them is answered.
async fn pipelined(client: &Client, ids: &[u64]) -> Vec<(u64, u16)> {
    let mut answered = Vec::new();
    let mut raw = client.raw().await;
    for four in ids.chunks(4) {
        let post =
            |id: &u64| format!("POST /write/{id} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\none line");
        if raw.0.write_all(four.iter().map(post).collect::<String>().as_bytes()).await.is_err() {
            raw = client.raw().await; // none of these was sent whole, and none may be sent again
            continue;
        }
        for id in four {
            match read_response(&mut raw.0).await {
                Some(status) => answered.push((*id, status)),
                None => {
                    raw = client.raw().await;
                    break;
                }
            }
        }
    }
    answered
}

/// Eight at a time on one connection.
async fn over_http2(client: &Client, ids: &[u64]) -> Vec<(u64, u16)> {
    let mut answered = Vec::new();
    let mut many: Many = client.many().await;
    for eight in ids.chunks(8) {
        let sent = eight.iter().map(|id| {
            let post = request("POST", &format!("https://localhost/write/{id}"), "one line");
            many.send(post)
        });
        let sent = futures_util::future::join_all(sent).await;
        let broken = sent.iter().any(Result::is_err);
        let statuses = eight.iter().zip(sent).filter_map(|(id, sent)| Some((*id, sent.ok()?.status().as_u16())));
        answered.extend(statuses);
        if broken {
            many = client.many().await;
        }
    }
    answered
}

/// The status of one response, read to its end by its Content-Length; `None`: the connection ended.
async fn read_response(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<u16> {
    let read = async {
        let head = read_head(stream).await?;
        let mut body = vec![0; length(&head)];
        stream.read_exact(&mut body).await.ok()?;
        head.get(9..12)?.parse().ok()
    };
    tokio::time::timeout(PATIENCE, read).await.expect("no response in time")
}

/// Byte for byte, so that nothing of what follows is taken.
async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).to_ascii_lowercase())
}

fn length(head: &str) -> usize {
    let field = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    field.map_or(0, |length| length.parse().expect("a number"))
}

/// An endpoint that does its work in two of three requests, and something else in the others.
struct Flaky(JoinHandle<()>);

impl Drop for Flaky {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What it does with a request.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    /// It runs, and something goes wrong with the answer.
    RunsAndFails,
    RunsAndResets,
    RunsAndIsSlow,
    RunsAndNeverAnswers,
    RunsAndIsCut,
    /// The head, then nothing on an open connection.
    RunsAndIsHeadOnly,
    RunsAndTrickles,
    /// Its length says more than comes; less than comes.
    RunsAndPromisesMore,
    RunsAndPromisesLess,
    /// It does not run.
    ResetsAtHead,
    ResetsInBody,
    /// It runs and closes the connection a moment later, as a server does that keeps it no longer: perhaps just as the next request
    /// comes.
    WellAndCloses {
        after: Duration,
    },
}

impl Mood {
    fn any() -> Mood {
        match fastrand::u32(..80) {
            0 => Mood::RunsAndFails,
            1 => Mood::RunsAndResets,
            2 => Mood::RunsAndIsSlow,
            3 => Mood::RunsAndNeverAnswers,
            4 => Mood::RunsAndIsCut,
            5 => Mood::ResetsAtHead,
            6 => Mood::ResetsInBody,
            7 => Mood::RunsAndIsHeadOnly,
            8 => Mood::RunsAndTrickles,
            9 => Mood::RunsAndPromisesMore,
            10 => Mood::RunsAndPromisesLess,
            11..=30 => Mood::WellAndCloses { after: Duration::from_micros(fastrand::u64(..5_000)) },
            _ => Mood::Well,
        }
    }
}

impl Flaky {
    fn start(address: SocketAddr, ledger: Ledger) -> Flaky {
        Flaky(tokio::task::spawn_local(async move {
            let frozen = Frozen::default();
            loop {
                // Nobody listens now and then, and whatever waits to be accepted then is reset.
                let socket = TcpSocket::new_v4().unwrap();
                socket.set_reuseaddr(true).unwrap();
                socket.bind(address).unwrap();
                let listener = socket.listen(128).unwrap();
                let open = Duration::from_millis(fastrand::u64(300..900));
                let _over = tokio::time::timeout(open, accept(&listener, &ledger, &frozen)).await;
                // And now and then everything stands still, with all that is there left as it is.
                if fastrand::u32(..4) == 0 {
                    frozen.set(true);
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(100..900))).await;
                    frozen.set(false);
                    let _over = tokio::time::timeout(open, accept(&listener, &ledger, &frozen)).await;
                }
                drop(listener);
                tokio::time::sleep(Duration::from_millis(fastrand::u64(1..60))).await;
            }
        }))
    }
}

/// Whether an endpoint stands still.
type Frozen = Rc<Cell<bool>>;

async fn thaw(frozen: &Frozen) {
    while frozen.get() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn accept(listener: &TcpListener, ledger: &Ledger, frozen: &Frozen) {
    while let Ok((stream, _)) = listener.accept().await {
        let (ledger, frozen) = (ledger.clone(), frozen.clone());
        tokio::task::spawn_local(async move { converse(stream, &ledger, &frozen).await });
    }
}

/// Request after request. `None`: the connection is over.
async fn converse(mut stream: TcpStream, ledger: &Ledger, frozen: &Frozen) -> Option<()> {
    loop {
        thaw(frozen).await;
        let head = read_head(&mut stream).await?;
        thaw(frozen).await;
        let path = head.split(' ').nth(1)?;
        let Some(id) = path.strip_prefix("/write/") else {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
            continue;
        };
        let mood = Mood::any();
        if matches!(mood, Mood::ResetsAtHead) {
            return reset(&stream);
        }
        let mut body = vec![0; length(&head)];
        if matches!(mood, Mood::ResetsInBody) {
            stream.read_exact(&mut body[..4]).await.ok()?;
            return reset(&stream);
        }
        stream.read_exact(&mut body).await.ok()?;
        thaw(frozen).await;
        *ledger.lock().unwrap().entry(id.parse().expect("a number")).or_default() += 1;
        thaw(frozen).await;
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
        match mood {
            Mood::Well => stream.write_all(ok).await.ok()?,
            Mood::RunsAndFails => {
                stream.write_all(b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno").await.ok()?;
            }
            Mood::RunsAndIsSlow => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stream.write_all(ok).await.ok()?;
            }
            Mood::RunsAndNeverAnswers => {
                let _ended = stream.read_u8().await;
                return None;
            }
            Mood::RunsAndIsHeadOnly => {
                stream.write_all(&ok[..ok.len() - 4]).await.ok()?;
                let _ended = stream.read_u8().await;
                return None;
            }
            Mood::RunsAndTrickles => {
                let (head, body) = ok.split_at(ok.len() - 4);
                stream.write_all(head).await.ok()?;
                for byte in body {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    stream.write_u8(*byte).await.ok()?;
                }
            }
            Mood::RunsAndPromisesMore => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 104\r\n\r\ndone").await.ok()?;
                let _ended = stream.read_u8().await;
                return None;
            }
            Mood::RunsAndPromisesLess => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\ndone").await.ok()?;
            }
            Mood::RunsAndIsCut => {
                stream.write_all(&ok[..ok.len() - 2]).await.ok()?;
                return None;
            }
            Mood::WellAndCloses { after } => {
                stream.write_all(ok).await.ok()?;
                tokio::time::sleep(after).await;
                return None;
            }
            Mood::RunsAndResets | Mood::ResetsAtHead | Mood::ResetsInBody => return reset(&stream),
        }
    }
}

/// With RST when it is dropped.
fn reset(stream: &TcpStream) -> Option<()> {
    stream.set_zero_linger().unwrap();
    None
}
