//! Clients of the front door: one that speaks HTTP, and one that writes bytes.

use super::PATIENCE;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub type Sent = Result<Response<Bytes>, String>;

/// An HTTPS client that makes a new connection for each request.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    /// Where it connects from.
    pub from: IpAddr,
    /// What it says before TLS.
    pub introduction: Vec<u8>,
    pub certificate: CertificateDer<'static>,
}

/// Which version of HTTP to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    H2,
}

impl Client {
    /// A TLS connection to the front door.
    pub async fn connect(&self, sni: &str, version: Version) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![match version {
            Version::Http1 => b"http/1.1".to_vec(),
            Version::H2 => b"h2".to_vec(),
        }];
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(self.from, 0)).unwrap();
        let mut tcp = socket.connect(self.address).await.unwrap();
        tcp.write_all(&self.introduction).await.unwrap();
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
    }

    /// Sends one request over HTTP/1.1 and reads all of the response; an error says how it broke.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Sent {
        let stream = self.connect("localhost", Version::Http1).await;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let running = tokio::spawn(connection);
        let sent = whole(sender.send_request(request)).await;
        running.abort();
        sent
    }

    /// The same over HTTP/2.
    pub async fn send_h2(&self, request: Request<Full<Bytes>>) -> Sent {
        let stream = self.connect("localhost", Version::H2).await;
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.unwrap();
        let running = tokio::spawn(connection);
        let sent = whole(sender.send_request(request)).await;
        running.abort();
        sent
    }

    /// One HTTP/2 connection for many requests: all of them meet the same worker.
    pub async fn many(&self) -> Many {
        self.many_by(&hyper::client::conn::http2::Builder::new(TokioExecutor::new())).await
    }

    /// The same, but it takes no byte of a response's body, ever.
    pub async fn many_without_bodies(&self) -> Many {
        self.many_by(hyper::client::conn::http2::Builder::new(TokioExecutor::new()).initial_stream_window_size(0)).await
    }

    async fn many_by(&self, builder: &hyper::client::conn::http2::Builder<TokioExecutor>) -> Many {
        let stream = self.connect("localhost", Version::H2).await;
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        Many { sender, _running: AbortOnDropHandle(tokio::spawn(connection)) }
    }

    pub async fn get(&self, path: &str) -> Response<Bytes> {
        self.send(request("GET", path, "")).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &str) -> Response<Bytes> {
        self.send(request("POST", path, body)).await.unwrap()
    }

    /// A connection to write bytes to.
    pub async fn raw(&self) -> Raw {
        Raw(self.connect("localhost", Version::Http1).await)
    }
}

/// A connection for many requests.
pub struct Many {
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    _running: AbortOnDropHandle,
}

struct AbortOnDropHandle(tokio::task::JoinHandle<hyper::Result<()>>);

impl Drop for AbortOnDropHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Many {
    /// Sends it; any number may run at once.
    pub fn send(&self, request: Request<Full<Bytes>>) -> impl Future<Output = Sent> + 'static {
        let mut sender = self.sender.clone();
        async move {
            sender.ready().await.map_err(|error| format!("{error:?}"))?;
            whole(sender.send_request(request)).await
        }
    }

    /// Sends it, and returns with the head.
    pub fn head(&self, request: Request<Full<Bytes>>) -> impl Future<Output = Response<Incoming>> + 'static {
        let mut sender = self.sender.clone();
        async move {
            sender.ready().await.unwrap();
            let head = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
            head.expect("no head in time").unwrap()
        }
    }
}

/// A request for localhost.
pub fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    Request::builder().method(method).uri(path).header("host", "localhost").body(body).unwrap()
}

async fn whole(response: impl Future<Output = hyper::Result<Response<Incoming>>>) -> Sent {
    let all = async {
        let (head, body) = response.await.map_err(|error| format!("{error:?}"))?.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    tokio::time::timeout(PATIENCE, all).await.expect("no whole response in time")
}

/// A connection that a test writes bytes to, and reads bytes from.
pub struct Raw(pub TlsStream<TcpStream>);

impl Raw {
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Reads until what came contains `end`, or the connection ended.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        let read = async {
            let mut piece = [0; 16 * 1024];
            while !String::from_utf8_lossy(&all).contains(end) {
                match self.0.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(length) => all.extend_from_slice(&piece[..length]),
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, read).await;
        let text = String::from_utf8_lossy(&all).into_owned();
        assert!(in_time.is_ok(), "never came: {end:?}; so far: {text:?}");
        text
    }

    /// Reads until the connection ends.
    pub async fn read_to_end(&mut self) -> String {
        self.read_until("\0 never sent").await
    }
}
