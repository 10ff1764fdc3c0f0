//! Connections and paths of the admin listener, and of the socket beside it.
//!
//! A client here costs little and blocks nobody: each connection is a future of its own, at most [`MAX_CONNECTIONS`] at
//! once, with a limit on the time to send a head and on its whole life. (axum's own `serve` has neither limit, and would
//! let readers that hang use up the descriptors that user sites need.)

use super::guard::{self, Peer};
use super::metrics::Exposition;
use super::picture::picture;
use super::socket::{self, Socket};
use super::{Phase, State, commands, reloads};
use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tower::Service;

/// Scrapers and people are few; more than this wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// Over the socket, counted apart: scrapers that hang must not keep an operator out.
const MAX_SOCKET_CONNECTIONS: usize = 16;
/// For a request's head, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After this a connection takes no further request: without it, a client that never reads would stay for ever.
const LIFETIME: Duration = Duration::from_secs(60);
/// What a connection past its lifetime has for its last response.
const LAST_RESPONSE: Duration = Duration::from_secs(10);
/// After a failed accept, which is mostly a lack of descriptors: asking again at once would only burn CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const PATHS: &str = "\
/metrics  for Prometheus
/healthz  200 while the process runs
/readyz   200 while clients should be sent here, else 503 and why
/status   JSON: backends, pools, endpoints, recent transitions (`hotspare status` prints it)
/commands POST: what an operator asks for (`hotspare failover` and the like send it)
/reload   POST: read the configuration again (`hotspare reload`)
/confirm  POST: what was reloaded stays (`hotspare confirm`)
";

/// Serves the admin paths, and `more`, on `tcp` and on the socket if there is one, until the future is dropped, which closes every
/// connection and removes the socket. Fails only at once: when one of them can't be used.
pub async fn serve(
    tcp: std::net::TcpListener,
    socket: Option<Socket>,
    state: State,
    more: Router,
) -> io::Result<Infallible> {
    tcp.set_nonblocking(true)?;
    let tcp = TcpListener::from_std(tcp)?;
    let listening = socket.as_ref().map(Socket::listen).transpose()?;
    let router = router(state).merge(more).layer(axum::middleware::from_fn(guard::same_site));
    let over_tcp = attend(&router, MAX_CONNECTIONS, async || {
        let (stream, from) = tcp.accept().await?;
        Ok((stream, Peer::Tcp(from)))
    });
    let over_socket = attend(&router, MAX_SOCKET_CONNECTIONS, async || match &listening {
        Some(socket) => socket::accept(socket).await,
        None => std::future::pending().await,
    });
    tokio::select! {
        never = over_tcp => match never {},
        never = over_socket => match never {},
    }
}

/// Takes connections, at most `most` at once, and serves each of them.
async fn attend<S>(router: &Router, most: usize, accept: impl AsyncFn() -> io::Result<(S, Peer)>) -> Infallible
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = accept(), if connections.len() < most => match accepted {
                // Handlers only read and ask, so a panic leaves nothing half done; it must not end the office's thread.
                Ok((stream, peer)) => {
                    connections.push(AssertUnwindSafe(connection(stream, peer, router.clone())).catch_unwind());
                }
                Err(error) => {
                    tracing::warn!("the admin listener can't accept: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.next() => {
                if ended.is_err() {
                    tracing::error!("a panic in the admin listener ended one of its connections: a bug of hotspare");
                }
            }
        }
    }
}

/// One client, from its first byte to its last. How it ends is its own affair.
async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: Peer, router: Router) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    if tokio::time::timeout(LIFETIME, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(LAST_RESPONSE, connection).await;
    }
}

/// What the handlers share.
struct Shared {
    state: State,
    exposition: Exposition,
}

fn router(state: State) -> Router {
    let commands = commands::router(state.clone()).merge(reloads::router(state.clone()));
    let exposition = Exposition::new(state.published.clone(), state.control.clone(), state.workers.clone());
    Router::new()
        .route("/", get(|| async { PATHS }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .fallback(|| async { (StatusCode::NOT_FOUND, format!("Nothing is here. What there is:\n\n{PATHS}")) })
        .with_state(Arc::new(Shared { state, exposition }))
        .merge(commands)
}

async fn metrics(extract::State(shared): extract::State<Arc<Shared>>) -> Response {
    match shared.exposition.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => trouble(format!("the metrics can't be written: {error}\n")),
    }
}

async fn readyz(extract::State(shared): extract::State<Arc<Shared>>) -> (StatusCode, &'static str) {
    match shared.state.readiness.get() {
        Phase::Ready => (StatusCode::OK, "ready\n"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting: the first round of probes has not ended\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining: no new connection is accepted\n"),
    }
}

async fn status(extract::State(shared): extract::State<Arc<Shared>>) -> Response {
    let status = picture(&shared.state);
    match serde_json::to_string_pretty(&status) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], Body::from(text + "\n")).into_response(),
        Err(error) => trouble(format!("the status can't be written: {error}\n")),
    }
}

fn trouble(what: String) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, what).into_response()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{SITES, state, view};
    use super::*;
    use axum::routing::get as get_handler;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Runs `test` beside a server; a test that hangs fails.
    async fn with_server<T>(state: State, test: impl AsyncFnOnce(SocketAddr) -> T) -> T {
        with_more(state, Router::new(), test).await
    }

    async fn with_more<T>(state: State, more: Router, test: impl AsyncFnOnce(SocketAddr) -> T) -> T {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        tokio::select! {
            served = serve(listener, None, state, more) => panic!("the server ended: {served:?}"),
            result = test(address) => result,
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("the test took too long"),
        }
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn each_path_says_what_it_is_for() {
        let state = state(view(SITES));
        with_server(state, async |address| {
            let metrics = get(address, "/metrics").await;
            assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
            assert!(metrics.contains("hotspare_config_generation 7\n"), "{metrics}");
            assert!(get(address, "/healthz").await.ends_with("\r\n\r\nok\n"));
            assert!(get(address, "/status").await.contains("content-type: application/json"));
            assert!(get(address, "/").await.starts_with("HTTP/1.1 200"));
            let nothing = get(address, "/metric").await;
            assert!(nothing.starts_with("HTTP/1.1 404") && nothing.contains("/metrics "), "{nothing}");
        })
        .await;
    }

    #[tokio::test]
    async fn ready_is_said_only_between_start_and_drain() {
        let state = state(view(SITES));
        let readiness = state.readiness.clone();
        with_server(state, async |address| {
            let starting = get(address, "/readyz").await;
            assert!(starting.starts_with("HTTP/1.1 503") && starting.contains("first round of probes"), "{starting}");
            readiness.set(Phase::Ready);
            assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
            readiness.set(Phase::Draining);
            let draining = get(address, "/readyz").await;
            assert!(draining.starts_with("HTTP/1.1 503") && draining.contains("draining"), "{draining}");
            assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"), "a draining process still lives");
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_sends_half_a_head_blocks_nobody() {
        with_server(state(view(SITES)), async |address| {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(b"GET /metrics HT").await.unwrap();
            assert!(get(address, "/healthz").await.ends_with("ok\n"));
            slow.write_all(b"TP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut late = String::new();
            slow.read_to_string(&mut late).await.unwrap();
            assert!(late.starts_with("HTTP/1.1 200"), "{late}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_panic_costs_one_connection_and_no_more() {
        let more = Router::new().route(
            "/more",
            get_handler(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        );
        with_more(state(view(SITES)), more, async |address| {
            assert_eq!(get(address, "/more").await, "");
            assert!(get(address, "/healthz").await.ends_with("ok\n"));
        })
        .await;
    }

    #[tokio::test]
    async fn more_clients_than_the_limit_wait_for_their_turn() {
        with_server(state(view(SITES)), async |address| {
            let mut crowd = Vec::new();
            for _ in 0..MAX_CONNECTIONS {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: admin\r\n\r\n").await.unwrap();
                let mut first = [0; 15];
                stream.read_exact(&mut first).await.unwrap();
                crowd.push(stream);
            }
            let mut waiting = std::pin::pin!(get(address, "/healthz"));
            let early = tokio::time::timeout(Duration::from_millis(100), waiting.as_mut()).await;
            assert!(early.is_err(), "one more than the limit was served: {early:?}");
            crowd.pop();
            assert!(waiting.await.ends_with("ok\n"));
        })
        .await;
    }
}
