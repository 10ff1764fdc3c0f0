//! A visitor's connection to the site, by either version of HTTP.

use crate::variant::Protocol;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;
use tokio::task::spawn_local;
use tokio_rustls::TlsConnector;

/// What is sent.
pub type Body = Full<Bytes>;

#[derive(Debug)]
pub enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    pub async fn open(
        tls: &TlsConnector,
        protocol: Protocol,
        from: Ipv4Addr,
        to: SocketAddr,
    ) -> anyhow::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(tls.connect(ServerName::try_from("localhost")?, stream).await?);
        // What becomes of the connection itself is told to its visits.
        match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                spawn_local(connection);
                Ok(Connection::Http1(sender))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(OnThisThread, stream).await?;
                spawn_local(connection);
                Ok(Connection::Http2(sender))
            }
        }
    }

    /// For a visit at the same time, where HTTP allows it.
    pub fn share(&self) -> Option<Connection> {
        match self {
            Connection::Http1(_) => None,
            Connection::Http2(sender) => Some(Connection::Http2(sender.clone())),
        }
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Connection::Http1(sender) => sender.is_closed(),
            Connection::Http2(sender) => sender.is_closed(),
        }
    }

    /// Until a request can be sent.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Connection::Http1(sender) => sender.ready().await,
            Connection::Http2(sender) => sender.ready().await,
        }
    }

    /// Up to the head of the answer; the error has the request where it was not sent.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Connection::Http1(sender) => sender.try_send_request(request).await,
            Connection::Http2(sender) => sender.try_send_request(request).await,
        }
    }
}

#[derive(Clone, Copy)]
struct OnThisThread;

impl<F: Future<Output = ()> + 'static> Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}
