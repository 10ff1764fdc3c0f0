//! An endpoint that speaks HTTP/2 and nothing else, by the h2 crate: what it does with a stream is a test's to say.

use super::super::harness::PATIENCE;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use rustls::ServerConfig;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// What is done with a request that is no probe.
type Does = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// One request, and the way back.
pub struct Call {
    pub head: Request<()>,
    pub body: RecvStream,
    pub back: SendResponse<Bytes>,
    shared: Arc<Shared>,
    _on: Arc<Running>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    probes: AtomicUsize,
    most_at_once: AtomicUsize,
    seen: Mutex<Vec<Request<Bytes>>>,
    cancelled: Mutex<Vec<(String, Reason)>>,
}

/// What runs on one connection; counted at the end of each request.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One that runs.
pub struct Endpoint {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    running: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Endpoint {
    pub async fn start<F, R>(does: F) -> Endpoint
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Endpoint::start_with(h2::server::Builder::new(), None, does).await
    }

    /// `tls`: its ALPN is left to the test.
    pub async fn start_with<F, R>(builder: h2::server::Builder, tls: Option<Arc<ServerConfig>>, does: F) -> Endpoint
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let does: Does = Arc::new(move |call| Box::pin(does(call)));
        let told = shared.clone();
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new(); // aborted with this task
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (builder, does, shared, tls) = (builder.clone(), does.clone(), told.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, builder, does, shared).await,
                        Some(tls) => {
                            let secured = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await;
                            if let Ok(stream) = secured {
                                serve(stream, builder, does, shared).await;
                            }
                        }
                    }
                });
            }
        });
        Endpoint { address, shared, running }
    }

    /// Requests whose bodies were read with [`Call::read`].
    pub fn seen(&self) -> Vec<Request<Bytes>> {
        self.shared
            .seen
            .lock()
            .unwrap()
            .iter()
            .map(|seen| {
                let mut copy = Request::new(seen.body().clone());
                *copy.uri_mut() = seen.uri().clone();
                *copy.method_mut() = seen.method().clone();
                *copy.headers_mut() = seen.headers().clone();
                copy
            })
            .collect()
    }

    /// Connections that carried anything but probes.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Probes that were answered.
    pub fn probes(&self) -> usize {
        self.shared.probes.load(Ordering::SeqCst)
    }

    /// Requests that ran at once on one connection, at most.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }

    /// Paths whose streams the other side reset, and why.
    pub fn cancelled(&self) -> Vec<(String, Reason)> {
        self.shared.cancelled.lock().unwrap().clone()
    }
}

async fn serve<S>(stream: S, builder: h2::server::Builder, does: Does, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let (running, mut streams, mut counted) = (Arc::new(AtomicUsize::new(0)), JoinSet::new(), false);
    while let Some(Ok((request, mut back))) = connection.accept().await {
        if request.uri().path() == "/probe" {
            shared.probes.fetch_add(1, Ordering::SeqCst);
            back.send_response(Response::new(()), true).unwrap();
            continue;
        }
        shared.connections.fetch_add(usize::from(!std::mem::replace(&mut counted, true)), Ordering::SeqCst);
        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_at_once.fetch_max(now, Ordering::SeqCst);
        let (head, body) = request.into_parts();
        let on = Arc::new(Running(running.clone()));
        let call = Call { head: Request::from_parts(head, ()), body, back, shared: shared.clone(), _on: on };
        streams.spawn(does(call));
    }
}

impl Call {
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// All of its body, and what followed it; the request counts as seen.
    pub async fn read(&mut self) -> (Bytes, Option<HeaderMap>) {
        let mut all = Vec::new();
        while let Some(piece) = self.body.data().await {
            let piece = piece.unwrap();
            self.body.flow_control().release_capacity(piece.len()).unwrap();
            all.extend_from_slice(&piece);
        }
        let trailers = self.body.trailers().await.unwrap();
        let all = Bytes::from(all);
        let mut seen = Request::new(all.clone());
        *seen.uri_mut() = self.head.uri().clone();
        *seen.method_mut() = self.head.method().clone();
        *seen.headers_mut() = self.head.headers().clone();
        self.shared.seen.lock().unwrap().push(seen);
        (all, trailers)
    }

    /// The head of an answer, and the way for its body.
    pub fn begin(&mut self, status: u16, fields: &[(&'static str, &'static str)]) -> SendStream<Bytes> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        self.back.send_response(response, false).unwrap()
    }

    /// Reads the request and answers it.
    pub async fn answer(mut self, body: impl Into<Bytes>) {
        self.read().await;
        let stream = self.begin(200, &[]);
        send(stream, body.into(), None).await;
    }

    /// Waits until the other side resets the stream, the head of whose answer was sent already.
    pub async fn until_cut(self, mut stream: SendStream<Bytes>) {
        let path = self.path().to_owned();
        let reset = tokio::time::timeout(PATIENCE, poll_fn(|context| stream.poll_reset(context))).await;
        if let Ok(Ok(reason)) = reset {
            self.shared.cancelled.lock().unwrap().push((path, reason));
        }
    }

    /// The same before its head.
    pub async fn until_cancelled(mut self) {
        let path = self.path().to_owned();
        let reset = tokio::time::timeout(PATIENCE, poll_fn(|context| self.back.poll_reset(context))).await;
        if let Ok(Ok(reason)) = reset {
            self.shared.cancelled.lock().unwrap().push((path, reason));
        }
    }
}

/// Sends a body as fast as the other side takes it.
pub async fn send(mut stream: SendStream<Bytes>, mut body: Bytes, trailers: Option<HeaderMap>) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(Ok(capacity)) = poll_fn(|context| stream.poll_capacity(context)).await else { return };
        let piece = body.split_to(capacity.min(body.len()));
        if stream.send_data(piece, body.is_empty() && trailers.is_none()).is_err() {
            return;
        }
        if body.is_empty() && trailers.is_none() {
            return;
        }
    }
    let _gone = match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => stream.send_data(Bytes::new(), true),
    };
}
