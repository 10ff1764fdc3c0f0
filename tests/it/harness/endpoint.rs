//! An endpoint that does as the test says, byte for byte, and keeps what it was sent.

use super::line::{At, Hello, Line, Listening};
use hotspare::proxy::websocket;
use rustls::ServerConfig;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// What the endpoint does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Writes these bytes and keeps the connection.
    Write(Vec<u8>),
    /// Writes these bytes and closes the connection.
    WriteAndClose(Vec<u8>),
    /// Closes the connection with a reset.
    Reset,
    /// Never answers.
    Silence,
    /// Answers after a while.
    After(Duration, Box<Act>),
    /// Reads what comes after the head and sends it back (for upgrades), after writing this.
    Echo(Vec<u8>),
    /// Does this as soon as the head is there, the body unread.
    AtHead(Box<Act>),
    /// Writes these bytes and resets the connection, whatever has not been read.
    WriteAndReset(Vec<u8>),
    /// Writes these bytes and ends its side; with TLS, without saying so.
    WriteAndCut(Vec<u8>),
    /// One after the other.
    Both(Box<Act>, Box<Act>),
    /// Goes on once the gate is open.
    Behind(Gate, Box<Act>),
    /// What is next in line, whichever endpoint of those that share it is asked.
    InTurn(Turns),
    /// Agrees to WebSocket, and goes on so.
    Agrees(Box<Act>),
    /// The second for a request of part of something, the first for any other.
    ByRange(Box<Act>, Box<Act>),
}

/// What a test opens when it has seen enough.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Notify>);

impl Gate {
    /// For one that waits, or the first one that will.
    pub fn open(&self) {
        self.0.notify_one();
    }
}

/// Acts in their order. The last one stays.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Mutex<VecDeque<Act>>>);

/// The first of these acts, then the second, and so on. Clones share the line.
pub fn in_turn(acts: impl IntoIterator<Item = Act>) -> Act {
    Act::InTurn(Turns(Arc::new(Mutex::new(acts.into_iter().collect()))))
}

impl Turns {
    fn next(&self) -> Act {
        let mut acts = self.0.lock().unwrap();
        if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0].clone() }
    }
}

/// One act, then another.
pub fn then(first: Act, second: Act) -> Act {
    Act::Both(Box::new(first), Box::new(second))
}

/// Once `gate` is open.
pub fn behind(gate: &Gate, act: Act) -> Act {
    Act::Behind(gate.clone(), Box::new(act))
}

/// A whole response.
pub fn response(status: u16, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n", body.len());
    fields.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// 200 with a body.
pub fn ok(body: &str) -> Act {
    Act::Write(response(200, &[], body.as_bytes()))
}

/// A status without more.
pub fn status(status: u16) -> Act {
    Act::Write(response(status, &[], b"no"))
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The head as it was sent, in lower case.
    pub head: String,
    /// For WebSocket, with its case.
    key: Option<String>,
    /// The PROXY header that its connection began with.
    pub introduction: Vec<u8>,
    pub body: Vec<u8>,
    /// In lower case, one line each.
    pub trailers: Vec<String>,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or("")
    }

    /// The values of a field.
    pub fn field(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(field, _)| *field == name).map(|(_, value)| value).collect()
    }
}

#[derive(Default)]
struct Shared {
    script: Mutex<HashMap<String, Act>>,
    otherwise: Mutex<Option<Act>>,
    probes: Mutex<Option<Act>>,
    seen: Mutex<Vec<Seen>>,
    answered: Mutex<usize>,
    connections: Mutex<usize>,
    /// The PROXY headers of probes.
    probed_by: Mutex<Vec<Vec<u8>>>,
    /// Of connections that carried a request, or a probe.
    hellos: Mutex<Vec<Hello>>,
    probed_with: Mutex<Vec<Hello>>,
}

/// A scripted endpoint. Probes of `/probe` are answered well unless told otherwise, and not kept.
pub struct Endpoint {
    /// Nowhere, if it listens on a Unix socket.
    pub address: SocketAddr,
    at: At,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Listens on a free port; answers everything with 200 and its name.
    pub async fn start(name: &str) -> Endpoint {
        Endpoint::start_at(name, At::Tcp("127.0.0.1:0".parse().unwrap()), None).await
    }

    /// The same over TLS.
    pub async fn start_tls(name: &str, tls: Arc<ServerConfig>) -> Endpoint {
        Endpoint::start_at(name, At::Tcp("127.0.0.1:0".parse().unwrap()), Some(tls)).await
    }

    /// The same on a Unix socket.
    pub async fn start_unix(name: &str, path: &Path) -> Endpoint {
        Endpoint::start_at(name, At::Unix(path.to_owned()), None).await
    }

    pub async fn start_at(name: &str, at: At, tls: Option<Arc<ServerConfig>>) -> Endpoint {
        let shared = Arc::new(Shared::default());
        *shared.otherwise.lock().unwrap() = Some(ok(name));
        let mut endpoint = Endpoint { address: ([0, 0, 0, 0], 0).into(), at, tls, shared, running: None };
        endpoint.listen().await;
        endpoint
    }

    /// As it is written in a config.
    pub fn text(&self) -> String {
        match &self.at {
            At::Tcp(address) => address.to_string(),
            At::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// The handshakes of connections that carried a request.
    pub fn hellos(&self) -> Vec<Hello> {
        self.shared.hellos.lock().unwrap().clone()
    }

    /// The handshakes of probes.
    pub fn probed_with(&self) -> Vec<Hello> {
        self.shared.probed_with.lock().unwrap().clone()
    }

    /// Another certificate from now on.
    pub async fn secure(&mut self, tls: Arc<ServerConfig>) {
        self.kill().await;
        self.tls = Some(tls);
        self.listen().await;
    }

    /// What to do with requests for a path.
    pub fn on(self, path: &str, act: Act) -> Endpoint {
        self.set(path, act);
        self
    }

    pub fn set(&self, path: &str, act: Act) {
        self.shared.script.lock().unwrap().insert(path.to_owned(), act);
    }

    /// What to do with all other requests.
    pub fn set_otherwise(&self, act: Act) {
        *self.shared.otherwise.lock().unwrap() = Some(act);
    }

    /// What to do with probes.
    pub fn set_probes(&self, act: Act) {
        *self.shared.probes.lock().unwrap() = Some(act);
    }

    /// Requests that came, probes left out.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The PROXY headers that probes began with, empty where there was none.
    pub fn probed_by(&self) -> Vec<Vec<u8>> {
        self.shared.probed_by.lock().unwrap().clone()
    }

    /// How many requests came whose line begins so.
    pub fn count(&self, line: &str) -> usize {
        self.seen().iter().filter(|seen| seen.line().starts_with(line)).count()
    }

    /// How many of them were done with.
    pub fn answered(&self) -> usize {
        *self.shared.answered.lock().unwrap()
    }

    /// Connections that carried a request, those of probes left out.
    pub fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    /// Refuses connections from now on, and resets those there are.
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            let _aborted = running.await;
        }
    }

    /// Listens again, at the same address.
    pub async fn listen(&mut self) {
        let listener = self.at.listen();
        if let At::Tcp(address) = self.at {
            self.address = address;
        }
        self.running = Some(tokio::spawn(accept(listener, self.tls.clone(), self.shared.clone())));
    }
}

async fn accept(listener: Listening, tls: Option<Arc<ServerConfig>>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new(); // aborted with this task
    loop {
        tokio::select! {
            line = listener.accept() => {
                connections.spawn(serve(line, tls.clone(), shared.clone()));
            }
            Some(ended) = connections.join_next() => if let Err(error) = ended && error.is_panic() {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

/// Requests on one connection, one after the other. Ends when either side closes.
async fn serve(mut stream: Line, tls: Option<Arc<ServerConfig>>, shared: Arc<Shared>) {
    let (mut buffer, mut hello) = (Vec::new(), None);
    let mut counted = false;
    // A header would come before TLS; no test has both.
    if let Some(tls) = tls {
        let Ok((secured, said)) = stream.secure(tls).await else { return };
        (stream, hello) = (secured, Some(said));
    }
    let Some(introduction) = read_introduction(&mut stream, &mut buffer).await else { return };
    while let Some(mut seen) = read_head(&mut stream, &mut buffer).await {
        seen.introduction.clone_from(&introduction);
        let path = seen.line().split(' ').nth(1).unwrap_or("").to_owned();
        let act = if path == "/probe" {
            shared.probed_by.lock().unwrap().push(introduction.clone());
            shared.probed_with.lock().unwrap().extend(hello.clone());
            shared.probes.lock().unwrap().clone().unwrap_or_else(|| ok("well"))
        } else {
            shared.hellos.lock().unwrap().extend(hello.take());
            *shared.connections.lock().unwrap() += usize::from(!std::mem::replace(&mut counted, true));
            let scripted = shared.script.lock().unwrap().get(&path).cloned();
            scripted.unwrap_or_else(|| shared.otherwise.lock().unwrap().clone().unwrap())
        };
        let act = match choose(act, &seen) {
            Act::AtHead(act) => {
                shared.seen.lock().unwrap().push(seen);
                *act
            }
            act => {
                let Some(()) = read_body(&mut stream, &mut buffer, &mut seen).await else { return };
                if path != "/probe" {
                    shared.seen.lock().unwrap().push(seen);
                }
                act
            }
        };
        let goes_on = perform(&mut stream, act).await;
        *shared.answered.lock().unwrap() += usize::from(path != "/probe");
        if !goes_on {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn perform(stream: &mut Line, act: Act) -> bool {
    match act {
        Act::After(wait, then) => {
            tokio::time::sleep(wait).await;
            Box::pin(perform(stream, *then)).await
        }
        Act::Behind(gate, then) => {
            gate.0.notified().await;
            Box::pin(perform(stream, *then)).await
        }
        Act::Both(first, second) => Box::pin(perform(stream, *first)).await && Box::pin(perform(stream, *second)).await,
        Act::Write(bytes) => stream.io().write_all(&bytes).await.is_ok() && stream.io().flush().await.is_ok(),
        Act::WriteAndClose(bytes) => {
            let _written = stream.io().write_all(&bytes).await;
            let _closed = stream.io().shutdown().await;
            // Until the other side is gone: closing at once would reset the connection under what was written.
            let _rest = stream.io().read_to_end(&mut Vec::new()).await;
            false
        }
        Act::Reset => false, // dropped with linger zero
        Act::WriteAndCut(bytes) => {
            stream.io().write_all(&bytes).await.unwrap();
            stream.io().flush().await.unwrap();
            stream.cut().await;
            let _rest = stream.io().read_to_end(&mut Vec::new()).await;
            false
        }
        Act::WriteAndReset(bytes) => {
            let _written = stream.io().write_all(&bytes).await;
            let _flushed = stream.io().flush().await;
            false
        }
        Act::Silence => {
            let _gone = stream.io().read_to_end(&mut Vec::new()).await;
            false
        }
        Act::Echo(first) => {
            stream.io().write_all(&first).await.unwrap();
            stream.io().flush().await.unwrap();
            let (mut read, mut write) = tokio::io::split(stream.io());
            let _bytes = tokio::io::copy(&mut read, &mut write).await;
            let _closed = write.shutdown().await;
            false
        }
        Act::AtHead(_) | Act::InTurn(_) | Act::ByRange(..) | Act::Agrees(_) => unreachable!("chosen by the head"),
    }
}

/// What is to be done with this one.
fn choose(mut act: Act, seen: &Seen) -> Act {
    loop {
        act = match act {
            Act::InTurn(turns) => turns.next(),
            Act::Agrees(after) => {
                let proof = websocket::proof(&seen.key.as_ref().unwrap().parse().unwrap());
                let head = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {proof}\r\n\r\n"
                );
                Act::Both(Box::new(Act::Write(head.into_bytes())), after)
            }
            Act::ByRange(whole, part) => *if seen.field("range").is_empty() { whole } else { part },
            chosen => return chosen,
        }
    }
}

/// The PROXY header before the first request, or nothing; `None` when the connection ended.
async fn read_introduction(stream: &mut Line, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        let length = match &buffer[..] {
            [b'P', b'R', b'O', b'X', ..] => buffer.iter().position(|byte| *byte == b'\n').map(|end| end + 1),
            [b'\r', ..] if buffer.len() >= 16 => Some(16 + usize::from(u16::from_be_bytes([buffer[14], buffer[15]]))),
            [b'\r', ..] => None,
            bytes if bytes.len() < 4 => None,
            _ => Some(0),
        };
        match length {
            Some(length) if buffer.len() >= length => return Some(buffer.drain(..length).collect()),
            Some(_) | None => more(stream, buffer).await?,
        }
    }
}

/// A request's head; `None` when the connection ended.
async fn read_head(stream: &mut Line, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, buffer).await?;
    };
    let sent = String::from_utf8_lossy(&buffer[..end]);
    let key = sent.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).map(str::to_owned);
    let head = sent.to_ascii_lowercase();
    buffer.drain(..end);
    Some(Seen { head, key, introduction: Vec::new(), body: Vec::new(), trailers: Vec::new() })
}

/// Its body, and what follows that; `None` when the connection ended before.
async fn read_body(stream: &mut Line, buffer: &mut Vec<u8>, seen: &mut Seen) -> Option<()> {
    if seen.field("transfer-encoding") == ["chunked"] {
        loop {
            let line = take_line(stream, buffer).await?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            while buffer.len() < size + 2 {
                more(stream, buffer).await?;
            }
            seen.body.extend(buffer.drain(..size));
            buffer.drain(..2);
        }
        loop {
            let line = take_line(stream, buffer).await?;
            if line.is_empty() {
                return Some(());
            }
            seen.trailers.push(line.to_ascii_lowercase());
        }
    }
    let length = seen.field("content-length").first().and_then(|length| length.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    seen.body = buffer.drain(..length).collect();
    Some(())
}

async fn take_line(stream: &mut Line, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
            let line = buffer.drain(..end + 2).take(end).collect();
            return String::from_utf8(line).ok();
        }
        more(stream, buffer).await?;
    }
}

async fn more(stream: &mut Line, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 16 * 1024];
    let length = stream.io().read(&mut piece).await.ok().filter(|length| *length > 0)?;
    buffer.extend_from_slice(&piece[..length]);
    Some(())
}
