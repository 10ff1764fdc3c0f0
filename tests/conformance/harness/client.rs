//! The client's side of a case: bytes over TLS, and what comes back. HTTP/1.1 is read here, HTTP/2 in [`super::client_h2`].

use super::case::{Case, Protocol, Step};
use super::endpoint::{Endpoint, MARKER};
use super::got::{End, Got, Response};
use super::message::{Body, Framing, Head, head_end, is_token, read_body, shown};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Makes connections to one door.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    http1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
}

impl Client {
    pub fn new(address: SocketAddr, certificate: CertificateDer<'static>) -> Client {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).unwrap();
        let config = |alpn: &[u8]| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let mut config = config.unwrap().with_root_certificates(roots.clone()).with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            Arc::new(config)
        };
        Client { address, http1: config(b"http/1.1"), h2: config(b"h2") }
    }

    /// Runs a case to its end.
    pub fn run(&self, case: &Case, from: Ipv4Addr, endpoint: &Endpoint) -> io::Result<Got> {
        let mut got = match case.protocol {
            Protocol::Http1 => {
                let mut wire = Wire::connect(from, self.address, self.http1.clone(), case.window)?;
                run_http1(case, &mut wire, endpoint)
            }
            Protocol::H2 | Protocol::H2Bare => {
                let mut wire = Wire::connect(from, self.address, self.h2.clone(), case.window)?;
                super::client_h2::run(case, &mut wire, endpoint)
            }
        };
        got.seen = endpoint.seen();
        Ok(got)
    }

    /// One good request, on a connection of its own.
    pub fn is_well(&self) -> bool {
        let asked = Wire::connect(Ipv4Addr::LOCALHOST, self.address, self.http1.clone(), Duration::from_secs(2)).map(
            |mut wire| {
                wire.send(marker().as_bytes());
                while wire.more() == More::Bytes {}
                wire.buffer.starts_with(b"HTTP/1.1 200 ")
            },
        );
        asked.unwrap_or(false)
    }
}

fn marker() -> String {
    format!("GET {MARKER} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// A TLS connection, and all that came by it.
pub struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    pub buffer: Vec<u8>,
    window: Duration,
    pub close_notify: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    Bytes,
    Ended,
    /// Nothing within the window.
    Nothing,
}

impl Wire {
    fn connect(from: Ipv4Addr, to: SocketAddr, config: Arc<ClientConfig>, window: Duration) -> io::Result<Wire> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect(&to.into())?;
        let tcp = TcpStream::from(socket);
        tcp.set_nodelay(true)?;
        tcp.set_write_timeout(Some(Duration::from_secs(4)))?;
        let tls =
            ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Wire { stream, buffer: Vec::new(), window, close_notify: false })
    }

    /// A proxy that has left can't be written to; what it said before can still be read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _gone = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// Reads once.
    pub fn more(&mut self) -> More {
        self.more_within(self.window)
    }

    pub fn more_within(&mut self, window: Duration) -> More {
        let until = Instant::now() + window;
        let mut piece = vec![0; 64 * 1024];
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.sock.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut piece) {
                Ok(0) => {
                    self.close_notify = true;
                    return More::Ended;
                }
                Ok(length) => {
                    self.buffer.extend_from_slice(&piece[..length]);
                    return More::Bytes;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() >= until {
                        return More::Nothing;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return More::Ended,
            }
        }
    }
}

/// Waits until the endpoint, which is another thread, has so many heads: for as long as the case waits for anything.
pub fn await_endpoint(endpoint: &Endpoint, heads: usize, window: Duration) {
    let until = Instant::now() + window;
    while endpoint.seen().len() < heads && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Lets what was sent arrive in a packet of its own. No state is waited for: a case means the same if it does not.
pub fn gap() {
    std::thread::sleep(Duration::from_millis(5));
}

fn run_http1(case: &Case, wire: &mut Wire, endpoint: &Endpoint) -> Got {
    let mut reader = Reader::new(case);
    for step in &case.steps {
        match step {
            Step::Send(bytes) => wire.send(bytes),
            Step::AwaitHead => while head_end(&wire.buffer).is_none() && wire.more() == More::Bytes {},
            Step::AwaitEndpoint(heads) => await_endpoint(endpoint, *heads, case.window),
            Step::Gap => gap(),
            Step::Barrier => {}
            Step::Leave => {
                reader.got.end = End::Left;
                reader.got.raw = wire.buffer.clone();
                return reader.got;
            }
        }
    }
    loop {
        while reader.read(&wire.buffer, false) {}
        if reader.wants_marker() {
            reader.marked = true;
            wire.send(marker().as_bytes());
        }
        match wire.more() {
            More::Bytes => {}
            More::Ended => return reader.end(wire, End::Closed),
            More::Nothing => return reader.end(wire, End::Waits),
        }
    }
}

/// Responses out of bytes.
struct Reader {
    got: Got,
    at: usize,
    finals: usize,
    /// The request line's method and version, of each pipelined request; the last counts for all after it.
    heads: Vec<bool>,
    old: bool,
    current: Response,
    last: bool,
    marked: bool,
}

impl Reader {
    fn new(case: &Case) -> Reader {
        let sent: Vec<u8> = case
            .steps
            .iter()
            .flat_map(|step| if let Step::Send(bytes) = step { &bytes[..] } else { &[] })
            .copied()
            .collect();
        let first = sent.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Reader {
            got: Got::default(),
            at: 0,
            finals: case.finals,
            heads: vec![first.starts_with(b"HEAD ")],
            old: first.ends_with(b"HTTP/1.0\r"),
            current: Response::default(),
            last: false,
            marked: false,
        }
    }

    fn wants_marker(&self) -> bool {
        !self.marked && !self.last && self.got.responses.len() >= self.finals
    }

    /// Whether there was a whole message.
    fn read(&mut self, bytes: &[u8], ended: bool) -> bool {
        let rest = &bytes[self.at..];
        if self.last {
            return false;
        }
        let Some(end) = head_end(rest) else { return false };
        let mut head = Head::read(&rest[..end]);
        let is_first = self.got.responses.is_empty();
        let (status, framing) = head.response_framing(is_first && self.heads[0], is_first && self.old);
        let interim = (100..200).contains(&status) && status != 101;
        let body = match status {
            101 => Body::Whole { body: Vec::new(), trailers: Vec::new(), used: 0 },
            _ => read_body(&rest[end..], framing, ended),
        };
        match body {
            Body::More if !ended => return false,
            Body::More => {
                self.current.body = rest[end..].to_vec();
                self.at = bytes.len();
            }
            Body::Bad(fault) => {
                self.got.faults.push(fault);
                self.current.body = rest[end..].to_vec();
                self.at = bytes.len();
            }
            Body::Whole { body, trailers, used } => {
                (self.current.body, self.current.trailers, self.current.whole) = (body, trailers, true);
                self.at += end + used;
            }
        }
        let said = shown(&head.first);
        self.got.faults.extend(head.faults.iter().map(|fault| format!("{fault} ({said})")));
        if interim {
            self.current.interim.push((status, head.fields));
            self.current.whole = false;
            return true;
        }
        let closes = head.list("connection").iter().any(|option| option == "close");
        let keeps =
            head.first.starts_with(b"HTTP/1.1") || head.list("connection").iter().any(|option| option == "keep-alive");
        self.last = closes || !keeps || framing == Framing::Close || status == 101 || status == 0;
        self.current.status = status;
        self.current.fields = head.fields;
        self.got.responses.push(std::mem::take(&mut self.current));
        true
    }

    fn end(mut self, wire: &mut Wire, end: End) -> Got {
        // 101 ends HTTP: what follows is the tunnel's, and its response's body here.
        if self.got.responses.last().is_some_and(|last| last.status == 101) {
            let tail = wire.buffer[self.at..].to_vec();
            self.at = wire.buffer.len();
            self.got.responses.last_mut().unwrap().body = tail;
        }
        while self.read(&wire.buffer, end == End::Closed) {}
        self.got.end = end;
        if self.marked && self.got.responses.len() > self.finals {
            let marker = self.got.responses.pop().unwrap();
            if marker.status == 200 && marker.body == b"marker" && end == End::Closed {
                self.got.end = End::Marked;
            } else {
                self.got.faults.push(format!("the next request got {} {}", marker.status, marker.body.escape_ascii()));
            }
        }
        if !self.current.interim.is_empty() {
            self.got.responses.push(std::mem::take(&mut self.current));
        }
        if self.got.responses.len() > self.finals {
            self.got.faults.push(format!("{} responses where {} were due", self.got.responses.len(), self.finals));
        }
        if self.at < wire.buffer.len() {
            let rest = &wire.buffer[self.at..];
            self.got.faults.push(format!("bytes that are no response: {}", shown(rest)));
        }
        self.got.close_notify = wire.close_notify;
        self.got.raw = std::mem::take(&mut wire.buffer);
        self.got
    }
}

/// Whether HTTP/2 allows that name (RFC 9113, section 8.2.1).
pub fn is_h2_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| is_token(byte) && !byte.is_ascii_uppercase())
}
