//! The endpoint: reads strictly, keeps what it saw, and writes the bytes that the case says.

use super::case::{Answer, Then};
use super::got::Seen;
use super::message::{Body, Framing, Head, head_end, read_body};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What requests of the harness's own ask for; never part of a case.
pub const MARKER: &str = "/marker";

#[derive(Default)]
struct Shared {
    /// Which case it is: what an older one left running adds nothing to this one.
    case: u64,
    answers: Vec<Answer>,
    seen: Vec<Seen>,
}

/// A running endpoint. Its threads end with their connections, the last with the process.
pub struct Endpoint {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl Endpoint {
    pub fn start() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let endpoint = Endpoint { address: listener.local_addr().unwrap(), shared: shared.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || Connection { stream, buffer: Vec::new(), shared }.serve());
            }
        });
        endpoint
    }

    /// From now on it is this case. The address that its client comes from: no other case's does.
    pub fn expect(&self, answers: &[Answer]) -> Ipv4Addr {
        let mut shared = self.shared.lock().unwrap();
        let case = shared.case + 1;
        *shared = Shared { case, answers: answers.to_vec(), seen: Vec::new() };
        let [.., high, low] = case.to_be_bytes();
        Ipv4Addr::new(127, 7, high, low)
    }

    /// Requests of this case. What an older one left on its way may come only now, and says so in X-Forwarded-For.
    pub fn seen(&self) -> Vec<Seen> {
        let shared = self.shared.lock().unwrap();
        let [.., high, low] = shared.case.to_be_bytes();
        let ours = Ipv4Addr::new(127, 7, high, low).to_string();
        let is_ours = |seen: &&Seen| seen.head.list("x-forwarded-for").last().is_none_or(|last| *last == ours);
        shared.seen.iter().filter(is_ours).cloned().collect()
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    shared: Arc<Mutex<Shared>>,
}

impl Connection {
    /// Requests, one after the other; `None`: it is over.
    fn serve(mut self) -> Option<()> {
        self.stream.set_nodelay(true).ok()?;
        loop {
            self.one_request()?;
        }
    }

    fn one_request(&mut self) -> Option<()> {
        let end = loop {
            match head_end(&self.buffer) {
                Some(end) => break end,
                None => self.more()?,
            }
        };
        let mut head = Head::read(&self.buffer[..end]);
        self.buffer.drain(..end);
        let framing = head.request_framing();
        if head.first.split(|byte| *byte == b' ').nth(1) == Some(MARKER.as_bytes()) {
            return self.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nmarker").ok();
        }
        let bad = !head.faults.is_empty();
        let expects = !head.all("expect").is_empty();
        let (case, at, answer) = {
            let mut shared = self.shared.lock().unwrap();
            let at = shared.seen.len();
            shared.seen.push(Seen { head, body: Vec::new(), trailers: Vec::new(), whole: false });
            (shared.case, at, shared.answers.get(at).or(shared.answers.last()).cloned()?)
        };
        if bad {
            return None; // it is shown what came; nobody could answer that
        }
        if expects && answer.at_head.is_empty() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        self.write(&answer.at_head)?;
        self.finish(case, at, framing)?;
        self.write(&answer.whole)?;
        match answer.then {
            Then::Keep => Some(()),
            Then::Close => {
                self.stream.shutdown(std::net::Shutdown::Write).ok()?;
                // Until the other side is gone: closing at once would reset the connection under what was written.
                let _rest = self.stream.read_to_end(&mut Vec::new());
                None
            }
            Then::Echo => {
                self.stream.write_all(&std::mem::take(&mut self.buffer)).ok()?;
                let mut back = self.stream.try_clone().ok()?;
                let _bytes = std::io::copy(&mut self.stream, &mut back);
                let _gone = back.shutdown(std::net::Shutdown::Write);
                None
            }
            Then::Endless => {
                let piece = answer.whole.last()?;
                for _ in 0..(64 << 20) / piece.len().max(1) {
                    self.stream.write_all(piece).ok()?;
                }
                None
            }
        }
    }

    fn write(&mut self, pieces: &[Vec<u8>]) -> Option<()> {
        for (at, piece) in pieces.iter().enumerate() {
            if at > 0 {
                // No state is waited for: it only makes one packet of each piece more likely.
                std::thread::sleep(Duration::from_millis(2));
            }
            self.stream.write_all(piece).ok()?;
        }
        Some(())
    }

    /// The rest of the request, noted as it comes.
    fn finish(&mut self, case: u64, at: usize, framing: Framing) -> Option<()> {
        loop {
            let body = read_body(&self.buffer, framing, false);
            let mut shared = self.shared.lock().unwrap();
            let current = shared.case == case;
            let seen = shared.seen.get_mut(at).filter(|_| current);
            match body {
                Body::Whole { body, trailers, used } => {
                    if let Some(seen) = seen {
                        (seen.body, seen.trailers, seen.whole) = (body, trailers, true);
                    }
                    self.buffer.drain(..used);
                    return Some(());
                }
                Body::Bad(fault) => {
                    if let Some(seen) = seen {
                        seen.head.faults.push(fault);
                    }
                    return None;
                }
                Body::More => {
                    if let Some(seen) = seen {
                        seen.body = self.buffer.clone();
                    }
                }
            }
            drop(shared);
            self.more()?;
        }
    }

    fn more(&mut self) -> Option<()> {
        let mut piece = [0; 16 * 1024];
        let length = self.stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        self.buffer.extend_from_slice(&piece[..length]);
        Some(())
    }
}
