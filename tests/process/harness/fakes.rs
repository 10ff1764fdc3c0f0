//! Endpoints that are broken in ways that nginx never is.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    NeverAnswers,
    Garbage,
    ClosesAtOnce,
    /// Its check is fine; each page is answered with 500.
    FailingPages,
}

/// Runs as long as the test's runtime.
pub async fn endpoint(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind(super::free_address()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, fault));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, fault: Fault) {
    match fault {
        Fault::NeverAnswers => read_all(stream).await,
        Fault::Garbage => {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"\x16\x03\x01\x00\xff\xfe no HTTP at all\r\n\r\n\0\0\0").await;
            read_all(stream).await;
        }
        Fault::ClosesAtOnce => drop(stream),
        Fault::FailingPages => {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let well = request[..length].starts_with(b"GET /health ");
            let status = if well { "200 OK" } else { "500 Internal Server Error" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhm");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}

async fn read_all(mut stream: TcpStream) {
    let mut piece = [0; 4096];
    while stream.read(&mut piece).await.is_ok_and(|length| length > 0) {}
}
