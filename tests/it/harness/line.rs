//! A connection as a scripted endpoint has it: over TCP or a Unix socket, and with TLS or without.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Where an endpoint listens.
#[derive(Clone, Debug)]
pub enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

pub enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// One connection.
pub enum Line {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub trait Both: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

/// What a client said in its handshake, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub sni: Option<String>,
    pub alpn: Option<String>,
    pub resumed: bool,
    pub showed_certificate: bool,
}

impl At {
    pub fn listen(&mut self) -> Listening {
        match self {
            At::Tcp(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
                socket.set_reuseaddr(true).unwrap();
                socket.bind(*address).unwrap();
                let listener = socket.listen(1024).unwrap();
                *address = listener.local_addr().unwrap();
                Listening::Tcp(listener)
            }
            At::Unix(path) => {
                let _stale = std::fs::remove_file(&*path);
                Listening::Unix(UnixListener::bind(path).unwrap())
            }
        }
    }
}

impl Listening {
    pub async fn accept(&self) -> Line {
        match self {
            Listening::Tcp(listener) => {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_zero_linger().unwrap();
                stream.set_nodelay(true).unwrap(); // or what is written just before a reset may not have left
                Line::Tcp(stream)
            }
            Listening::Unix(listener) => Line::Unix(listener.accept().await.unwrap().0),
        }
    }
}

impl Line {
    /// With TLS, if the client agrees.
    pub async fn secure(self, server: Arc<ServerConfig>) -> io::Result<(Line, Hello)> {
        let Line::Tcp(tcp) = self else { panic!("TLS is tried over TCP") };
        let tls = TlsAcceptor::from(server).accept(tcp).await?;
        let (_, connection) = tls.get_ref();
        let hello = Hello {
            sni: connection.server_name().map(str::to_owned),
            alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            showed_certificate: connection.peer_certificates().is_some(),
        };
        Ok((Line::Tls(Box::new(tls)), hello))
    }

    pub fn io(&mut self) -> &mut dyn Both {
        match self {
            Line::Tcp(stream) => stream,
            Line::Unix(stream) => stream,
            Line::Tls(stream) => stream,
        }
    }

    /// Ends our side as somebody on the way would: with TLS, without its close_notify.
    pub async fn cut(&mut self) {
        let ended = match self {
            Line::Tcp(stream) => stream.shutdown().await,
            Line::Unix(stream) => stream.shutdown().await,
            Line::Tls(stream) => stream.get_mut().0.shutdown().await,
        };
        ended.unwrap();
    }
}

/// Issues certificates that nobody believes who is not told to.
pub struct Issuer(CertifiedIssuer<'static, KeyPair>);

/// How long a certificate is good for.
#[derive(Clone, Copy)]
pub enum Good {
    Long,
    /// It was.
    Once,
}

impl Issuer {
    pub fn new() -> Issuer {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Issuer(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, for `ca_file`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, both in PEM.
    pub fn issue(&self, name: &str, good: Good) -> (String, String) {
        let (certificate, key) = self.made(name, good);
        (certificate.pem(), key.serialize_pem())
    }

    fn made(&self, name: &str, good: Good) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        match good {
            Good::Long => (),
            Good::Once => params.not_after = date_time_ymd(2020, 1, 1),
        }
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server with a certificate for `name`, for all clients.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.server_for(name, Good::Long, None)
    }

    /// For clients alone whose certificate is from that issuer, if one is given.
    pub fn server_for(&self, name: &str, good: Good, clients: Option<&Issuer>) -> Arc<ServerConfig> {
        let (certificate, key) = self.made(name, good);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let server = match clients {
            None => server.unwrap().with_no_client_auth(),
            Some(issuer) => {
                let mut roots = RootCertStore::empty();
                roots.add(issuer.0.der().clone()).unwrap();
                let known = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                server.unwrap().with_client_cert_verifier(known.unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut server = server.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(server)
    }
}
