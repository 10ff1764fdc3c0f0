//! A gRPC service that somebody else's server, tonic's, runs over HTTP/2 without TLS. Its messages are bytes as they are.

use bytes::{Buf, BufMut, Bytes};
use futures_util::{Stream, StreamExt, stream};
use http::HeaderValue;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService};
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tower::{Service, service_fn};

/// Messages that are bytes.
#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A server, and what it saw.
pub struct Server {
    pub address: SocketAddr,
    calls: Calls,
    running: JoinHandle<Result<(), tonic::transport::Error>>,
}

#[derive(Clone, Default)]
struct Calls {
    /// Calls that were given up on by the other side.
    left: Arc<AtomicUsize>,
    timeouts: Arc<Mutex<Vec<Option<HeaderValue>>>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Server {
    /// Also answers grpc.health.v1.
    pub async fn start() -> Server {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let (address, calls) = (incoming.local_addr().unwrap(), Calls::default());
        let (_reporter, health) = tonic_health::server::health_reporter();
        let server = tonic::transport::Server::builder().add_service(health).add_service(calls.clone());
        let running = tokio::spawn(server.serve_with_incoming(incoming));
        Server { address, calls, running }
    }

    pub fn left(&self) -> usize {
        self.calls.left.load(Ordering::SeqCst)
    }

    /// The deadlines that calls came with.
    pub fn timeouts(&self) -> Vec<Option<HeaderValue>> {
        self.calls.timeouts.lock().unwrap().clone()
    }
}

impl NamedService for Calls {
    const NAME: &'static str = "test.Calls";
}

/// Counts, when it is dropped, a call that has not come to its end.
struct Left(Arc<AtomicUsize>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let calls = self.clone();
        Box::pin(async move {
            calls.timeouts.lock().unwrap().push(request.headers().get("grpc-timeout").cloned());
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let mut grpc = Grpc::new(Raw);
            Ok(match &*method {
                "Echo" => grpc.unary(service_fn(echo), request).await,
                "Fail" => grpc.unary(service_fn(fail), request).await,
                "Count" => grpc.client_streaming(service_fn(count), request).await,
                "List" => grpc.server_streaming(service_fn(list), request).await,
                "Break" => grpc.server_streaming(service_fn(break_off), request).await,
                "Chat" => grpc.streaming(service_fn(chat), request).await,
                "Wait" => {
                    let left = calls.left.clone();
                    grpc.unary(service_fn(move |request| wait(Left(left.clone()), request)), request).await
                }
                "Watch" => {
                    let left = calls.left.clone();
                    grpc.streaming(service_fn(move |request| watch(Left(left.clone()), request)), request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

async fn echo(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let mut response = Response::new(Bytes::new());
    if let Some(said) = request.metadata().get("x-said") {
        response.metadata_mut().insert("x-heard", said.clone());
    }
    *response.get_mut() = request.into_inner();
    Ok(response)
}

/// Trailers alone, with details and more.
async fn fail(_request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let mut more = MetadataMap::new();
    more.insert("x-more", "to know".parse().unwrap());
    Err(Status::with_details_and_metadata(
        Code::FailedPrecondition,
        "not now: 100 %",
        Bytes::from_static(b"\x08\x01"),
        more,
    ))
}

/// How many messages there were, and how many bytes.
async fn count(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let (mut messages, mut count, mut bytes) = (request.into_inner(), 0, 0);
    while let Some(message) = messages.message().await? {
        count += 1;
        bytes += message.len();
    }
    Ok(Response::new(format!("{count} {bytes}").into()))
}

/// As many messages as are asked for, each its own number.
async fn list(request: Request<Bytes>) -> Result<Response<Messages>, Status> {
    let many: usize = std::str::from_utf8(request.get_ref()).unwrap().parse().unwrap();
    Ok(Response::new(Box::pin(stream::iter((0..many).map(|number| Ok(number.to_string().into()))))))
}

/// One message, then an error, which is in the trailers.
async fn break_off(_request: Request<Bytes>) -> Result<Response<Messages>, Status> {
    let messages = [Ok(Bytes::from_static(b"one")), Err(Status::aborted("that was all"))];
    Ok(Response::new(Box::pin(stream::iter(messages))))
}

/// Each message back as it comes.
async fn chat(request: Request<Streaming<Bytes>>) -> Result<Response<Messages>, Status> {
    Ok(Response::new(Box::pin(request.into_inner())))
}

async fn wait(_left: Left, _request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    tokio::time::sleep(Duration::from_secs(3_600)).await; // for longer than any test: it is cancelled
    Ok(Response::new(Bytes::new()))
}

/// One message, and then silence until the other side leaves.
async fn watch(left: Left, request: Request<Streaming<Bytes>>) -> Result<Response<Messages>, Status> {
    let incoming = request.into_inner();
    let silence = stream::unfold((left, incoming), |state| async move {
        tokio::time::sleep(Duration::from_secs(3_600)).await; // for longer than any test: it is cancelled
        Some((Ok(Bytes::new()), state))
    });
    Ok(Response::new(Box::pin(stream::iter([Ok(Bytes::from_static(b"begun"))]).chain(silence))))
}
