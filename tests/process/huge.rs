//! Bodies of any length pass within the memory of docs/limits.md, and every byte is where it belongs. `make slow` has 1 GiB each.

use crate::harness::client::Version;
use crate::harness::door::Door;
use crate::harness::free_address;
use crate::harness::setup::Setup;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

const KIB: u64 = 1024;
const MIB: usize = 1024 * 1024;

/// Of each body, unless `BODY_MIB` says otherwise.
const LENGTH: usize = 64;
const PIECE: usize = 64 * 1024;

/// After so many bytes a body begins anew: a prime, so that no piece is like another of its kind for a long time.
const PERIOD: usize = 1_048_573;

/// What an allocator keeps for itself, and what comes with the first requests of a process.
const SLACK: u64 = 8 * MIB as u64;

type Body = BoxBody<Bytes, Infallible>;

struct Film {
    bytes: Bytes,
    length: usize,
}

impl Film {
    fn new(length: usize) -> Arc<Film> {
        let mut random = fastrand::Rng::with_seed(64);
        let once: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(PERIOD).collect();
        // As much again as a piece may need past the end.
        Arc::new(Film { bytes: [&once[..], &once[..]].concat().into(), length })
    }

    fn body(self: &Arc<Film>) -> Body {
        let film = self.clone();
        let pieces = (0..self.length).step_by(PIECE).map(move |at| {
            let from = at % PERIOD;
            Ok(Frame::data(film.bytes.slice(from..from + PIECE)))
        });
        BodyExt::boxed(StreamBody::new(stream::iter(pieces)))
    }

    /// Reads a body to its end; how many bytes were right, and all of them must be.
    async fn compare(&self, mut body: Incoming) -> Result<usize, String> {
        let mut at = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| format!("cut after {at} bytes: {error:?}"))?;
            let Some(piece) = frame.data_ref() else { continue };
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(PIECE));
                let from = at % PERIOD;
                if self.bytes[from..from + now.len()] != *now {
                    return Err(format!("wrong after {at} bytes"));
                }
                at += now.len();
                rest = later;
            }
        }
        if at == self.length { Ok(at) } else { Err(format!("{at} bytes of {}", self.length)) }
    }

    async fn answer(self: Arc<Film>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let body = match (request.method().as_str(), request.body().is_end_stream()) {
            ("POST", _) => {
                let said = match self.compare(request.into_body()).await {
                    Ok(_) => "whole".to_owned(),
                    Err(what) => what,
                };
                Full::new(Bytes::from(said)).boxed()
            }
            _ if request.uri().path() == "/film" => self.body(),
            _ => Empty::new().boxed(),
        };
        Ok(Response::new(body))
    }

    /// Runs as long as the test's runtime.
    async fn endpoint(self: &Arc<Film>) -> SocketAddr {
        let listener = TcpListener::bind(free_address()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let film = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let film = film.clone();
                let service = service_fn(move |request| film.clone().answer(request));
                let serving = hyper::server::conn::http1::Builder::new();
                tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
            }
        });
        address
    }

    async fn upload(self: &Arc<Film>, door: &Door, version: Version) {
        let said = send(door, version, "POST", self.body()).await.collect().await.unwrap().to_bytes();
        assert_eq!(said, "whole", "an upload over {version:?}");
    }

    async fn download(self: &Arc<Film>, door: &Door, version: Version) {
        let body = send(door, version, "GET", Empty::new().boxed()).await;
        self.compare(body).await.unwrap_or_else(|error| panic!("a download over {version:?}: {error}"));
    }
}

/// Sends it over a connection of its own; the answer's body.
async fn send(door: &Door, version: Version, method: &str, body: Body) -> Incoming {
    let stream = door.client().secure(version).await.unwrap();
    let request = Request::builder().method(method).uri("https://localhost/film").header("host", "localhost");
    let request = request.body(body).unwrap();
    let response = match version {
        Version::Http1 => {
            let (mut sender, connection) = http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        }
        Version::H2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        }
    };
    let response = response.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// Two of them, by docs/limits.md, "Memory".
fn at_most(version: Version) -> u64 {
    KIB * match version {
        Version::Http1 => 2 * 384,
        Version::H2 => 2 * (600 + 256 + 1_120),
    }
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways_within_the_memory_of_small_ones() {
    let length = std::env::var("BODY_MIB").map_or(LENGTH, |length| length.parse().expect("BODY_MIB is a number"));
    let film = Film::new(length * MIB);
    let endpoint = film.endpoint().await;
    let mut setup = Setup::new(&[endpoint], &[film.endpoint().await]);
    setup.top = "workers = 2";
    setup.backend = "";
    setup.probe = r#"{ path = "/health", interval = "10s", timeout = "10s" }"#;
    let door = Door::start(&setup).await;
    let idle = door.memory("VmRSS");
    for version in [Version::Http1, Version::H2] {
        door.forget_peak();
        tokio::join!(film.upload(&door, version), film.upload(&door, version));
        let up = door.memory("VmHWM").saturating_sub(idle);
        door.forget_peak();
        tokio::join!(film.download(&door, version), film.download(&door, version));
        let down = door.memory("VmHWM").saturating_sub(idle);
        println!("two bodies of {length} MiB over {version:?}: {} KiB up, {} KiB down", up / KIB, down / KIB);
        let most = at_most(version) + SLACK;
        assert!(up <= most && down <= most, "{} and {} KiB of {}", up / KIB, down / KIB, most / KIB);
        door.is_idle().await;
    }
    door.stop().await;
}
