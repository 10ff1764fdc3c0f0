//! Endpoints that are broken in ways that nginx never is.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    NeverAnswers,
    Garbage,
    ClosesAtOnce,
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
    }
}

async fn read_all(mut stream: TcpStream) {
    let mut piece = [0; 4096];
    while stream.read(&mut piece).await.is_ok_and(|length| length > 0) {}
}
