//! What many slow clients cost in memory: docs/limits.md, "Memory". `make slow` has ten times as many.

use crate::harness::client::{Client, Version};
use crate::harness::door::Door;
use crate::harness::setup::Setup;
use crate::harness::{PATIENCE, free_address};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Of each kind, unless `CLIENTS` says otherwise.
const CLIENTS: usize = 100;

/// Of one body.
const LENGTH: usize = 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// One in so many has a stream of an HTTP/2 connection, of so many.
const ONE_IN: usize = 4;
const STREAMS: usize = 50;

/// What an allocator keeps for itself.
const SLACK: u64 = 8 * MIB;

/// Connections that are made at once.
const CONNECTS: usize = 32;

/// Between two pieces.
const PAUSE: Duration = Duration::from_millis(20);

type Body = BoxBody<Bytes, Infallible>;

/// What all of them share.
struct Scene {
    film: Bytes,
    /// Clients whose bodies have begun.
    begun: AtomicUsize,
    /// Opened when all have.
    go_on: watch::Sender<bool>,
    /// Those that connect at once.
    connects: Semaphore,
}

impl Scene {
    fn new() -> Arc<Scene> {
        let mut random = fastrand::Rng::with_seed(1024);
        let film = std::iter::repeat_with(|| random.u64(..).to_ne_bytes()).take(LENGTH / 4).flatten().collect();
        Arc::new(Scene {
            film,
            begun: AtomicUsize::new(0),
            go_on: watch::Sender::new(false),
            connects: Semaphore::new(CONNECTS),
        })
    }

    /// The body of number `n`; no two are alike.
    fn body(&self, n: usize) -> Bytes {
        self.film.slice(n * 8..n * 8 + LENGTH)
    }

    /// It has begun; returns when all others have.
    async fn all_begin(&self) {
        self.begun.fetch_add(1, Relaxed);
        self.go_on.subscribe().wait_for(|go_on| *go_on).await.unwrap();
    }

    /// The body of number `n`, half of it at once, the rest slowly when all have begun.
    fn upload(self: &Arc<Scene>, n: usize) -> Body {
        let scene = self.clone();
        let pieces = stream::iter((0..LENGTH).step_by(PIECE)).then(move |at| {
            let scene = scene.clone();
            async move {
                match at {
                    _ if at < LENGTH / 2 => {}
                    _ if at == LENGTH / 2 => scene.all_begin().await,
                    _ => tokio::time::sleep(PAUSE).await,
                }
                Ok(Frame::data(scene.body(n).slice(at..at + PIECE)))
            }
        });
        BodyExt::boxed(StreamBody::new(pieces))
    }

    /// Reads the beginning of number `n`, and slowly on when all have begun; each byte is compared.
    async fn download(&self, n: usize, mut body: Incoming) {
        let whole = self.body(n);
        let (mut read, mut pause_at) = (0, 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.unwrap_or_else(|error| panic!("cut after {read} bytes: {error:?}"));
            let Some(piece) = frame.data_ref() else { continue };
            assert_eq!(Some(&piece[..]), whole.get(read..read + piece.len()), "{n} from byte {read} on");
            if read == 0 {
                self.all_begin().await;
            }
            read += piece.len();
            if read >= pause_at {
                pause_at = read + PIECE;
                tokio::time::sleep(PAUSE).await;
            }
        }
        assert_eq!(read, LENGTH);
    }

    /// What the endpoint says: `/up/N` compares, `/down/N` sends.
    async fn answer(self: Arc<Scene>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().to_owned();
        let number = path.rsplit('/').next().and_then(|n| n.parse().ok());
        let said = match (path.starts_with("/up/"), number) {
            (true, Some(n)) => {
                let came = request.into_body().collect().await.map(|body| body.to_bytes());
                let whole = came.is_ok_and(|came| came == self.body(n));
                Bytes::from_static(if whole { b"whole" } else { b"broken" })
            }
            (false, Some(n)) => self.body(n),
            (_, None) => Bytes::from_static(b"well"),
        };
        Ok(Response::new(Full::new(said)))
    }

    /// Runs as long as the test's runtime.
    fn endpoint(self: &Arc<Scene>) -> SocketAddr {
        let address = free_address();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(4096).unwrap();
        let scene = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let scene = scene.clone();
                let service = service_fn(move |request| scene.clone().answer(request));
                let serving = hyper::server::conn::http1::Builder::new();
                tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
            }
        });
        address
    }

    /// All clients at once, each to its end.
    async fn round(self: &Arc<Scene>, door: &Door, clients: usize) {
        let client = &door.client();
        self.begun.store(0, Relaxed);
        self.go_on.send_replace(false);
        let mut all = JoinSet::new();
        let over_h2 = clients / ONE_IN;
        for first in (0..over_h2).step_by(STREAMS) {
            for kind in [Kind::Upload, Kind::Download] {
                let sender = h2(client).await;
                for n in first..(first + STREAMS).min(over_h2) {
                    let (scene, mut sender) = (self.clone(), sender.clone());
                    all.spawn(async move {
                        sender.ready().await.unwrap();
                        let response = sender.send_request(kind.request(&scene, n, "https://localhost")).await.unwrap();
                        kind.finish(&scene, n, response).await;
                    });
                }
            }
        }
        for n in over_h2..clients {
            for kind in [Kind::Upload, Kind::Download] {
                let (scene, client) = (self.clone(), client.clone());
                all.spawn(async move {
                    let stream = {
                        let _turn = scene.connects.acquire().await.unwrap();
                        client.secure(Version::Http1).await.unwrap()
                    };
                    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
                    let running = tokio::spawn(connection);
                    let response = sender.send_request(kind.request(&scene, n, "")).await.unwrap();
                    kind.finish(&scene, n, response).await;
                    running.abort();
                });
            }
        }
        let begun = tokio::time::timeout(10 * PATIENCE, async {
            while self.begun.load(Relaxed) < 2 * clients {
                if let Some(ended) = all.try_join_next() {
                    ended.unwrap();
                    panic!("one ended before all had begun");
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // Until what can be read ahead has been.
            let mut before = 0;
            while door.memory("VmRSS") > before + MIB {
                before = door.memory("VmRSS");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let begun = begun.await.is_ok();
        assert!(begun, "{} of {} have begun", self.begun.load(Relaxed), 2 * clients);
        self.go_on.send_replace(true);
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Upload,
    Download,
}

impl Kind {
    fn request(self, scene: &Arc<Scene>, n: usize, authority: &str) -> Request<Body> {
        let (method, path, body) = match self {
            Kind::Upload => ("POST", "up", scene.upload(n)),
            Kind::Download => ("GET", "down", Empty::new().boxed()),
        };
        let mut request = Request::builder().method(method).uri(format!("{authority}/{path}/{n}"));
        if authority.is_empty() {
            request = request.header("host", "localhost");
        }
        request.body(body).unwrap()
    }

    async fn finish(self, scene: &Scene, n: usize, response: Response<Incoming>) {
        assert_eq!(response.status(), 200);
        match self {
            Kind::Upload => assert_eq!(&response.into_body().collect().await.unwrap().to_bytes()[..], b"whole", "{n}"),
            Kind::Download => scene.download(n, response.into_body()).await,
        }
    }
}

/// A connection with the windows that HTTP/2 begins with for each stream, and enough for all of them.
async fn h2(client: &Client) -> http2::SendRequest<Body> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(65_535).initial_connection_window_size(u32::try_from(STREAMS * 65_536).unwrap());
    let (sender, connection) = builder.handshake(client.secure(Version::H2).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Four descriptors for each client in this process, and in that of the door, which has the same limit.
pub fn raise_descriptors() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
}

/// What they may cost by docs/limits.md, "Memory": nothing here is small enough to be held, or may be repeated.
fn at_most(clients: u64) -> u64 {
    let over_h2 = clients / ONE_IN as u64;
    let connections = 2 * over_h2.div_ceil(STREAMS as u64);
    ((clients - over_h2) * 2 * 384 + over_h2 * (264 + 256) + connections * 1_120) * KIB
}

#[tokio::test]
async fn slow_uploads_and_slow_readers_cost_what_is_said_and_no_more_the_next_time() {
    let clients = std::env::var("CLIENTS").map_or(CLIENTS, |count| count.parse().expect("CLIENTS is a number"));
    raise_descriptors();
    let scene = Scene::new();
    let mut setup = Setup::new(&[scene.endpoint()], &[scene.endpoint()]);
    setup.top = "workers = 2";
    // Nothing is to happen but what the clients do, however busy this machine is with being all of them.
    setup.probe = r#"{ path = "/health", interval = "10s" }"#;
    setup.backend = r#"timeouts = { connect = "30s", body_idle = "5m" }"#;
    let limits = r#"limits = { handshake_timeout = "1m", body_idle_timeout = "5m", send_timeout = "5m" }"#;
    let text = setup.text().replace("\n[[backend]]", &format!("\n{limits}\n[[backend]]"));
    let door = Door::start_with_text(&setup, &text).await;
    let idle = door.memory("VmRSS");
    let most = at_most(clients as u64);
    let mut peaks = Vec::new();
    for round in ["first", "second"] {
        door.forget_peak();
        scene.round(&door, clients).await;
        let peak = door.memory("VmHWM").saturating_sub(idle);
        println!(
            "{round} round: {clients} slow uploads and as many slow downloads took {} MiB above the {} MiB of an idle process; {} may be",
            peak / MIB,
            idle / MIB,
            most / MIB
        );
        assert!(peak <= most + SLACK, "the {round} round took {} MiB of {}", peak / MIB, most / MIB);
        peaks.push(peak);
        door.is_idle().await;
    }
    assert!(peaks[1] <= peaks[0] + peaks[0] / 10 + SLACK, "the second round took more: {peaks:?}");
    door.stop().await;
}
