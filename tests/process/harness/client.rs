//! A client of the front door that trusts its certificate and nothing else.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes connections; TLS sessions are resumed, as browsers do.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    http1: TlsConnector,
    h2: TlsConnector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    H2,
}

/// One connection.
pub enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

/// Why there is no connection.
#[derive(Debug)]
pub enum NoConnection {
    /// The kernel said no: nothing listens there.
    Refused,
    /// It was accepted, and broke before HTTP began.
    Broken(io::Error),
}

impl Client {
    pub fn new(address: SocketAddr, certificate: CertificateDer<'static>) -> Client {
        Client::trusting(address, [certificate])
    }

    /// One that trusts several.
    pub fn trusting(address: SocketAddr, certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Client {
        let mut roots = rustls::RootCertStore::empty();
        certificates.into_iter().for_each(|certificate| roots.add(certificate).unwrap());
        let tls = |alpn: &[u8]| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let mut config = config.unwrap().with_root_certificates(roots.clone()).with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Client { address, http1: tls(b"http/1.1"), h2: tls(b"h2") }
    }

    /// TLS, and HTTP not begun.
    pub async fn secure(&self, version: Version) -> Result<TokioIo<TlsStream<TcpStream>>, NoConnection> {
        let tcp = TcpStream::connect(self.address).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => NoConnection::Refused,
            _ => NoConnection::Broken(error),
        })?;
        Ok(TokioIo::new(self.secure_over(tcp, version).await.map_err(NoConnection::Broken)?))
    }

    /// TLS over a connection that is there already.
    pub async fn secure_over(&self, tcp: TcpStream, version: Version) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        self.tls(version).connect(name, tcp).await
    }

    /// What a client says first.
    pub fn hello(&self, version: Version) -> Vec<u8> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = rustls::ClientConnection::new(self.tls(version).config().clone(), name).unwrap();
        let mut hello = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut hello).unwrap();
        }
        hello
    }

    fn tls(&self, version: Version) -> &TlsConnector {
        match version {
            Version::Http1 => &self.http1,
            Version::H2 => &self.h2,
        }
    }

    pub async fn connect(&self, version: Version) -> Result<Connection, NoConnection> {
        let stream = self.secure(version).await?;
        let broken = |error| NoConnection::Broken(io::Error::other(error));
        Ok(match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.map_err(broken)?;
                tokio::spawn(connection);
                Connection::Http1(sender)
            }
            Version::H2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.map_err(broken)?;
                tokio::spawn(connection);
                Connection::H2(sender)
            }
        })
    }

    /// One GET over a connection of its own, up to the head.
    pub async fn get(&self, version: Version, path: &str) -> Response<Incoming> {
        let mut connection = self.connect(version).await.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        connection.send(request("GET", path, Bytes::new())).await.unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }
}

impl Connection {
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Connection::Http1(sender) => sender.send_request(request).await,
            Connection::H2(sender) => {
                request.headers_mut().remove(http::header::HOST); // :authority says it, and nginx refuses both
                sender.send_request(request).await
            }
        }
    }

    /// Whether a further request may be sent on it now.
    pub async fn usable(&mut self) -> bool {
        match self {
            Connection::Http1(sender) => sender.ready().await.is_ok(),
            Connection::H2(sender) => sender.ready().await.is_ok(),
        }
    }
}

/// A request for localhost, in the form that its version wants.
pub fn request(method: &str, path: &str, body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(format!("https://localhost{path}"));
    request.header("host", "localhost").body(Full::new(body)).unwrap()
}
