//! Endpoints for this floor's tests: real sockets on loopback, each doing one thing.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// For what a peer has to say. A test that failed may hold its end open until this one is joined.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an endpoint does with each connection.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// Reads the request; a head that promises that much of a body, then that much of one; close.
    Answer { status: u16, promised: usize, sent: usize },
    /// Accepts and never answers.
    Silent,
    /// Reads the request and closes.
    Close,
    /// Reads the request and says this instead of an answer.
    Say(&'static str),
    /// Says this before it was asked.
    Greet(&'static str),
}

/// A running endpoint; stops listening, and joins its thread, when dropped.
#[derive(Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    pub fn start(script: Script) -> Endpoint {
        Endpoint::start_at("127.0.0.1:0".parse().unwrap(), script)
    }

    /// At an address that another one had before.
    pub fn start_at(address: SocketAddr, script: Script) -> Endpoint {
        Endpoint::run(address, move |stream, heads| play(script, stream, heads))
    }

    /// Over TLS, with a certificate for `name`.
    pub fn start_tls(issuer: &Issuer, name: &str, script: Script) -> Endpoint {
        Endpoint::run_tls(issuer.server(name, Peer::Anybody), script)
    }

    /// Over TLS, and only for clients with a certificate.
    pub fn start_mutual_tls(issuer: &Issuer, name: &str, script: Script) -> Endpoint {
        Endpoint::run_tls(issuer.server(name, Peer::Known), script)
    }

    fn run_tls(tls: Arc<ServerConfig>, script: Script) -> Endpoint {
        Endpoint::run("127.0.0.1:0".parse().unwrap(), move |stream, heads| {
            let connection = ServerConnection::new(tls.clone()).unwrap();
            play(script, StreamOwned::new(connection, stream), heads).map(|tls| tls.sock)
        })
    }

    /// What `play` returns is kept open.
    fn run(
        address: SocketAddr,
        play: impl Fn(TcpStream, &Mutex<Vec<String>>) -> Option<TcpStream> + Send + 'static,
    ) -> Endpoint {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (heads, stopped) = (heads.clone(), stopped.clone());
            move || {
                let mut held = Vec::new();
                for stream in listener.incoming() {
                    if stopped.load(SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    held.extend(play(stream, &heads));
                }
            }
        });
        Endpoint { address, heads, stopped, thread: Some(thread) }
    }

    /// The request heads it has read.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        let _wake = TcpStream::connect(self.address);
        self.thread.take().map(JoinHandle::join);
    }
}

/// An address where nobody listens.
pub fn refusing_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Issues certificates that nobody believes who is not told to.
pub struct Issuer(CertifiedIssuer<'static, KeyPair>);

/// Whom a server speaks with.
#[derive(Clone, Copy)]
enum Peer {
    Anybody,
    /// Those to whom its own issuer gave a certificate.
    Known,
}

impl Issuer {
    pub fn new() -> Issuer {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Issuer(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// What one believes who believes this issuer.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    fn server(&self, name: &str, peer: Peer) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let server = match peer {
            Peer::Anybody => server.with_no_client_auth(),
            Peer::Known => {
                let known = WebPkiClientVerifier::builder_with_provider(self.roots().into(), provider);
                server.with_client_cert_verifier(known.build().unwrap())
            }
        };
        Arc::new(server.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

/// What a script is played over.
trait Wire: Read + Write {
    /// Says that nothing more is said.
    fn end(&mut self) -> io::Result<()>;

    /// What is noted with a request's head.
    fn note(&self) -> &'static str;
}

impl Wire for TcpStream {
    fn end(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn note(&self) -> &'static str {
        ""
    }
}

impl Wire for StreamOwned<ServerConnection, TcpStream> {
    fn end(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.shutdown(Shutdown::Write)
    }

    fn note(&self) -> &'static str {
        match self.conn.handshake_kind() {
            Some(HandshakeKind::Resumed) => "\n(a resumed session)",
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) | None => "\n(a session of its own)",
        }
    }
}

/// The stream, if it is to stay open.
fn play<S: Wire>(script: Script, mut stream: S, heads: &Mutex<Vec<String>>) -> Option<S> {
    let read_head = |stream: &mut S| {
        let head: Vec<String> =
            BufReader::new(&mut *stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        if !head.is_empty() {
            heads.lock().unwrap().push(head.join("\n") + stream.note());
        }
    };
    match script {
        Script::Silent => return Some(stream),
        Script::Answer { status, promised, sent } => {
            read_head(&mut stream);
            // The peer may have had enough before the end: its right.
            let _ = write!(stream, "HTTP/1.1 {status} Scripted\r\nContent-Length: {promised}\r\n\r\n");
            let _ = stream.write_all(&vec![b'x'; sent]);
        }
        Script::Close => read_head(&mut stream),
        Script::Say(text) => {
            read_head(&mut stream);
            let _ = stream.write_all(text.as_bytes());
        }
        Script::Greet(text) => {
            let _ = stream.write_all(text.as_bytes());
        }
    }
    let _ = stream.end();
    let _ = stream.read_to_end(&mut Vec::new()); // what it has still to say would turn our close into a reset
    None
}
