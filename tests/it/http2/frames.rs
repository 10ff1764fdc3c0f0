//! An endpoint of HTTP/2 by hand, for what no library would say: each connection is answered with frames that a test writes.

use super::super::harness::PATIENCE;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

/// `:status 200`, by the static table.
pub const STATUS_200: &[u8] = &[0x88];

/// What is said when a request's head is there, and whether the connection goes on after it. `nth`: of the connections that carried a
/// request.
type Says = Arc<dyn Fn(usize, u32) -> (Vec<u8>, Then) + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    GoOn,
    Close,
}

pub struct Frames {
    pub address: SocketAddr,
    /// Which streams came, on which connection.
    asked: Arc<Mutex<Vec<(usize, u32)>>>,
    running: JoinHandle<()>,
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Frames {
    pub async fn start(says: impl Fn(usize, u32) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Frames {
        Frames::start_with(frame(SETTINGS, 0, 0, &[]), says).await
    }

    /// `first`: what it says on each connection before anything else.
    pub async fn start_with(
        first: Vec<u8>,
        says: impl Fn(usize, u32) -> (Vec<u8>, Then) + Send + Sync + 'static,
    ) -> Frames {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let (says, told): (Says, _) = (Arc::new(says), asked.clone());
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, first.clone(), says.clone(), told.clone()));
            }
        });
        Frames { address, asked, running }
    }

    pub fn asked(&self) -> Vec<(usize, u32)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, first: Vec<u8>, says: Says, asked: Arc<Mutex<Vec<(usize, u32)>>>) -> Option<()> {
    stream.read_exact(&mut [0; 24]).await.ok()?;
    stream.write_all(&first).await.ok()?;
    let mut nth = None;
    loop {
        let Frame { kind, flags, id, .. } = read_frame(&mut stream).await?;
        match (kind, flags) {
            (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await.ok()?,
            (HEADERS, _) => {
                let nth = *nth.get_or_insert_with(|| {
                    let asked = asked.lock().unwrap();
                    asked.iter().map(|(nth, _)| nth + 1).max().unwrap_or(0)
                });
                asked.lock().unwrap().push((nth, id));
                let (said, then) = says(nth, id);
                stream.write_all(&said).await.ok()?;
                if then == Then::Close {
                    stream.shutdown().await.ok()?;
                    let _rest = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
                    return None;
                }
            }
            _ => (),
        }
    }
}

pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub id: u32,
    pub payload: Vec<u8>,
}

/// The next of them; `None`: the connection ended.
pub async fn read_frame(stream: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], flags: head[4], id, payload })
}

pub fn reset(id: u32, reason: h2::Reason) -> Vec<u8> {
    frame(RST_STREAM, 0, id, &u32::from(reason).to_be_bytes())
}

pub fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(id.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub fn goaway(last: u32, reason: h2::Reason) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat())
}

/// SETTINGS that allow so many requests at once.
pub fn allow(at_once: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&3_u16.to_be_bytes()[..], &at_once.to_be_bytes()].concat())
}

/// 200, with that body.
pub fn answer(id: u32, body: &str) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, id, STATUS_200), frame(DATA, END_STREAM, id, body.as_bytes())].concat()
}
