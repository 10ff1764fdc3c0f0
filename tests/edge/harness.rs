//! One worker thread with one listener, what answers in it, and clients that say exactly what a test wants said.

use bytes::Bytes;
use futures_util::StreamExt;
use hotspare::config::{
    Address, Admin, Certificate, Config, Digest, Limits, Listener, Pair, Profile, Protocols, Sites, Tls,
};
use hotspare::domain::Generation;
use hotspare::edge::{self, Handler, Order, worker};
use hotspare::health::{Published, Reader, Seats, View};
use hotspare::proxy::Client;
use hotspare::runtime::{clock::Clock, thread};
use hotspare::telemetry::cells::WorkerIndex;
use hotspare::telemetry::metrics::{WorkerCells, Workers};
use hotspare::upstream::ClientBody;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use rustls::crypto::aws_lc_rs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// Past this a promise counts as broken.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A limit that a test waits for; and one that no test reaches.
pub const SHORT: Duration = Duration::from_millis(500);
pub const LONG: Duration = Duration::from_secs(60);

/// A body in one piece, more than any socket takes at once.
pub const LUMP: usize = 64 << 20;

pub fn listener() -> Listener {
    Listener {
        address: Address::Tcp(([127, 0, 0, 1], 0).into()),
        mode: 0o660,
        only_v6: false,
        tls: None,
        protocols: Protocols { http1: true, h2: true },
        redirect: None,
        proxy_protocol: hotspare::config::ProxyProtocol::Off,
        trusted: hotspare::config::Proxies::default(),
        limits: Limits {
            handshake_timeout: LONG,
            header_timeout: LONG,
            body_idle_timeout: LONG,
            idle_timeout: LONG,
            send_timeout: LONG,
            min_rate: 0,
            max_header_size: 32 * 1024,
            max_headers: 100,
            max_streams: 100,
        },
    }
}

/// A running edge.
pub struct Edge {
    bound: Option<edge::Bound>,
    pub address: SocketAddr,
    /// The same, or a Unix socket's path.
    pub at: Address,
    /// One permit lets one request to /wait go on.
    pub gate: Arc<Semaphore>,
    /// Requests that have reached the handler.
    begun: Arc<AtomicUsize>,
    pub published: Arc<Published>,
    cells: Arc<Workers>,
    orders: mpsc::Sender<Order>,
    thread: thread::Thread<()>,
}

impl Edge {
    pub fn start(listener: Listener) -> Edge {
        let mut edge = Edge::bound(listener);
        edge.listen();
        edge
    }

    /// One that takes so many connections in all, and so many of one client.
    pub fn with_room(listener: Listener, in_all: usize, per_client: usize) -> Edge {
        let mut edge = Edge::bound_with(listener, in_all, per_client);
        edge.listen();
        edge
    }

    /// A worker that has not been told of its listener yet.
    pub fn bound(listener: Listener) -> Edge {
        Edge::bound_with(listener, 1_000, 1_000)
    }

    fn bound_with(mut listener: Listener, in_all: usize, per_client: usize) -> Edge {
        let bound = edge::bind(&listener, 1).unwrap();
        listener.address = bound.address().clone();
        let at = listener.address.clone();
        let address = match at {
            Address::Tcp(address) => address,
            Address::Unix(_) => ([0, 0, 0, 0], 0).into(), // nobody connects there
        };
        let published = Arc::new(Published::new(view_with(vec![Arc::new(listener)], in_all, per_client)));
        let reading = published.clone();
        let (orders, received) = mpsc::channel(8);
        let (cells, gate) = (Arc::new(Workers::new(1)), Arc::new(Semaphore::new(0)));
        let begun = Arc::new(AtomicUsize::new(0));
        let script = (cells.clone(), gate.clone(), begun.clone());
        let thread = thread::spawn("worker", move || async move {
            let (cells, gate, begun) = script;
            let views = reading.reader();
            let script = Script { clock: Clock::start(), views, cells, gate, begun };
            worker::serve_with(Rc::new(script), edge::Gate::new(), received).await;
        });
        Edge { bound: Some(bound), address, at, gate, begun, published, cells, orders, thread: thread.unwrap() }
    }

    /// Gives the worker its socket, and keeps none.
    pub fn listen(&mut self) {
        let socket = self.bound.take().unwrap().socket(WorkerIndex(0)).unwrap();
        self.order(Order::Listen { address: self.at.clone(), socket });
    }

    pub fn order(&self, order: Order) {
        self.orders.try_send(order).unwrap();
    }

    pub fn drain(&self, timeout: Duration) {
        self.order(Order::Drain { timeout });
    }

    /// Nobody is left to give orders.
    pub fn abandon(&mut self) {
        self.orders = mpsc::channel(1).0;
    }

    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// Waits for the worker's end.
    pub fn ended(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, self.thread.join()).await });
        ended.expect("the worker drains in time").expect("the worker does not panic");
    }

    pub fn count<T>(&self, read: impl Fn(&WorkerCells) -> T) -> T {
        read(self.cells.of(WorkerIndex(0)))
    }

    pub fn eventually(&self, what: &str, is_so: impl Fn(&WorkerCells) -> bool) {
        let start = Instant::now();
        while !self.count(&is_so) {
            assert!(start.elapsed() < DEADLINE, "{what}: {:?}", self.cells.of(WorkerIndex(0)));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Nobody accepts there any more.
    pub fn refuses(&self) {
        self.eventually("refused", |_| TcpStream::connect(self.address).is_err());
    }

    pub fn connect(&self) -> Raw {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Raw { stream, read: Vec::new() }
    }

    /// Says all that on a new connection and returns all that is answered until it closes.
    pub fn say(&self, bytes: &str) -> String {
        let mut raw = self.connect();
        raw.send(bytes);
        raw.rest()
    }
}

pub fn view(listeners: Vec<Arc<Listener>>) -> View {
    view_with(listeners, 1_000, 1_000)
}

fn view_with(listeners: Vec<Arc<Listener>>, in_all: usize, per_client: usize) -> View {
    let config = Config {
        workers: NonZeroUsize::MIN,
        max_connections: in_all,
        max_connections_per_client: per_client,
        max_buffered: 1 << 20,
        drain_timeout: LONG,
        digest: Digest::default(),
        confirm: Duration::ZERO,
        drain_streams: LONG,
        state_dir: None,
        admin: Admin { address: "127.0.0.1:0".parse().unwrap(), token: None },
        listeners,
        certificates: Default::default(),
        sites: Sites::default(),
        backends: Vec::new(),
    };
    View {
        generation: Generation(1),
        config: Arc::new(config),
        backends: Box::default(),
        seats: Seats::default(),
        watch: None,
    }
}

/// A client that speaks in bytes.
pub struct Raw {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).unwrap();
    }

    pub fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    }

    /// One response with a content-length, whole.
    pub fn response(&mut self) -> String {
        loop {
            if let Some(length) = whole(&self.read) {
                let response = self.read.drain(..length).collect();
                return String::from_utf8(response).unwrap();
            }
            assert!(self.more() > 0, "closed after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Everything up to and with that.
    pub fn until(&mut self, end: &str) {
        while !self.read.windows(end.len()).any(|window| window == end.as_bytes()) {
            assert!(self.more() > 0, "closed after {:?}", String::from_utf8_lossy(&self.read));
        }
        self.read.clear();
    }

    /// Everything until the connection closes.
    pub fn rest(&mut self) -> String {
        while self.more() > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// Everything until the connection ends, by whatever end: what closes with bytes unread ends by a reset.
    pub fn stream_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.stream.read_to_end(&mut all) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        all
    }

    fn more(&mut self) -> usize {
        let mut chunk = [0; 4096];
        let length = self.stream.read(&mut chunk).expect("an answer or an end before the deadline");
        self.read.extend_from_slice(&chunk[..length]);
        length
    }
}

/// The length of the first response, if it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;
pub type AnyBody = Pin<Box<dyn Body<Data = Bytes, Error = AnyError>>>;

/// Answers by path.
struct Script {
    clock: Clock,
    views: Reader,
    cells: Arc<Workers>,
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
}

impl Handler for Script {
    type Body = AnyBody;

    async fn handle(self: &Rc<Self>, client: &Client, request: Request<ClientBody>) -> Response<AnyBody> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let body: AnyBody = match request.uri().path() {
            "/wait" => {
                self.gate.acquire().await.unwrap().forget();
                full("waited")
            }
            "/length" => full(&request.into_body().collect().await.map_or(0, |body| body.to_bytes().len()).to_string()),
            // Answers at once, and somebody reads the body all the same.
            "/later" => {
                let body = request.into_body();
                hotspare::runtime::tasks::spawn(async move { drop(body.collect().await) });
                full("later")
            }
            "/big" => Box::pin(StreamBody::new(futures_util::stream::repeat_with(|| {
                Ok(Frame::data(Bytes::from_static(&[b'x'; 65_536])))
            }))),
            "/lump" => Box::pin(Full::new(Bytes::from(vec![b'x'; LUMP])).map_err(|never| match never {})),
            "/trickle" => {
                let gate = self.gate.clone();
                let rest = async move {
                    gate.acquire().await.unwrap().forget();
                    Ok(Frame::data(Bytes::from_static(b"cked")))
                };
                let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"tri")))]);
                Box::pin(StreamBody::new(first.chain(futures_util::stream::once(rest))))
            }
            "/cut" => Box::pin(StreamBody::new(futures_util::stream::iter([
                Ok(Frame::data(Bytes::from_static(b"begun"))),
                Err(AnyError::from("cut")),
            ]))),
            "/block" => {
                std::thread::sleep(SHORT);
                full("blocked")
            }
            "/panic" => panic!("on purpose"),
            "/client" => {
                let sni = client.secure.as_ref().map(|secure| secure.sni.as_deref().unwrap_or("none").to_owned());
                let ends = client.ends.map_or("nobody".to_owned(), |ends| ends.client.to_string());
                full(&format!("{ends} {:?} {:?}", sni, request.version()))
            }
            _ => full("hello"),
        };
        Response::new(body)
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn views(&self) -> &Reader {
        &self.views
    }

    fn cells(&self) -> &WorkerCells {
        self.cells.of(WorkerIndex(0))
    }
}

fn full(text: &str) -> AnyBody {
    Box::pin(Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}))
}

/// TLS with a certificate for localhost that it signed itself, and a client's configuration that trusts it.
pub fn tls(alpn: &[&str]) -> (Arc<Tls>, rustls::ClientConfig) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certificate_and_key = Certificate {
        file: "made.pem".into(),
        names: vec!["localhost".into()],
        not_before: std::time::SystemTime::UNIX_EPOCH,
        not_after: std::time::SystemTime::UNIX_EPOCH,
        key: Arc::new(rustls::sign::CertifiedKey::new(vec![certificate.clone()], key)),
    };
    let protocols = Protocols { http1: alpn.contains(&"http/1.1"), h2: alpn.contains(&"h2") };
    let tls = Tls::new(vec![Pair::made(certificate_and_key)], protocols, Profile::Intermediate, None).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(tls), client)
}

/// A runtime for clients that are not raw.
pub fn run<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE * 2, client).await.expect("the test ends") })
}
