//! WebSockets that say something all the while and want it back, and who answers them. As far as a proxy can tell: an upgrade, then bytes.

use crate::harness::client::{Client, Version};
use crate::harness::free_address;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Of RFC 6455, section 1.3, and what it is answered with.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

/// Those that speak.
pub struct Speakers {
    over: Arc<AtomicBool>,
    all: JoinSet<Result<(), std::io::Error>>,
}

impl Speakers {
    /// All of them have their upgrade.
    pub async fn start(client: &Client, many: usize) -> Speakers {
        let (over, mut all) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for _ in 0..many {
            let mut stream =
                client.secure(Version::Http1).await.unwrap_or_else(|error| panic!("{error:?}")).into_inner();
            let request = format!(
                "GET /live HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: {KEY}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let head = head(&mut stream).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            let over = over.clone();
            all.spawn(async move {
                while !over.load(Relaxed) {
                    speak(&mut stream).await?;
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(())
            });
        }
        Speakers { over, all }
    }

    /// How many were dropped.
    pub async fn stop(self) -> usize {
        self.over.store(true, Relaxed);
        let ended = self.all.join_all().await;
        ended
            .into_iter()
            .filter(|ended| ended.as_ref().inspect_err(|error| eprintln!("a WebSocket: {error}")).is_err())
            .count()
    }
}

async fn speak(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
    let said = *b"anybody there? ok";
    stream.write_all(&said).await?;
    stream.flush().await?;
    let mut heard = [0; 17];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut heard)).await??;
    if heard == said { Ok(()) } else { Err(std::io::Error::other("something else came back")) }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Says everything back. Runs as long as the test's runtime.
pub async fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind(free_address()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let head = head(&mut stream).await?;
    if head.starts_with("GET /health ") {
        return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nwell\n").await;
    }
    let upgraded = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n"
    );
    stream.write_all(upgraded.as_bytes()).await?;
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece).await? {
            0 => return Ok(()),
            length => stream.write_all(&piece[..length]).await?,
        }
    }
}
