//! An endpoint that keeps every byte that comes to it, and reads requests by the letter alone.

use super::dialect::{self, End, Message, STRICT};
use fastrand::Rng;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it says to a request.
pub type Says = Arc<dyn Fn(&Message) -> Said + Send + Sync>;

/// Bytes, and what follows them.
pub struct Said {
    pub bytes: Vec<u8>,
    pub then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
    Reset,
}

/// What came, so far.
#[derive(Default)]
pub struct Came {
    /// The bytes of each connection.
    pub connections: Vec<Vec<u8>>,
    /// Whole requests in the order in which they were whole, probes and pings left out.
    pub requests: Vec<Message>,
}

pub struct Recorder {
    pub address: SocketAddr,
    pub came: Arc<Mutex<Came>>,
    running: JoinHandle<()>,
}

impl Recorder {
    pub async fn start(says: Says) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, came) = (listener.local_addr().unwrap(), Arc::<Mutex<Came>>::default());
        let shared = came.clone();
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let place = {
                    let mut came = shared.lock().unwrap();
                    came.connections.push(Vec::new());
                    came.connections.len() - 1
                };
                tokio::spawn(serve(stream, place, shared.clone(), says.clone()));
            }
        });
        Recorder { address, came, running }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn serve(mut stream: TcpStream, place: usize, came: Arc<Mutex<Came>>, says: Says) {
    let (mut waiting, mut piece) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        came.lock().unwrap().connections[place].extend_from_slice(&piece[..length]);
        waiting.extend_from_slice(&piece[..length]);
        let read = dialect::requests(&waiting, &STRICT);
        waiting.drain(..read.length);
        for message in read.messages {
            let said = if matches!(message.target(), "/probe" | "/ping") {
                Said { bytes: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), then: Then::Keep }
            } else {
                came.lock().unwrap().requests.push(message.clone());
                says(&message)
            };
            let written = stream.write_all(&said.bytes).await;
            match said.then {
                Then::Keep if written.is_ok() => {}
                Then::Keep => return,
                Then::Close => {
                    let _closed = stream.shutdown().await;
                    // Closing at once would reset the connection under what was written.
                    let _rest = stream.read_to_end(&mut Vec::new()).await;
                    return;
                }
                Then::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
            }
        }
        if matches!(read.end, End::Bad(_)) {
            return;
        }
    }
}

/// Answers well, and with the target that it was asked for.
pub fn echo() -> Says {
    Arc::new(|message| {
        let target = message.target();
        let length = target.len();
        let body = if message.start[0] == "HEAD" { "" } else { target };
        let bytes = format!("HTTP/1.1 200 OK\r\nX-Seen: {target}\r\nContent-Length: {length}\r\n\r\n{body}");
        Said { bytes: bytes.into_bytes(), then: Then::Keep }
    })
}

/// Answers as [`super::answers`] makes it up for the case and place in the target.
pub fn made_up() -> Says {
    Arc::new(|message| super::answers::answer(message.target(), &message.start[0]))
}

/// Randomness for a piece of a case.
pub fn rng(of: &str) -> Rng {
    let hash = of
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Rng::with_seed(hash)
}
