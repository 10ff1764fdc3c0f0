//! TLS handshakes that are cut short: after the connection, in the middle of ClientHello, after the server's answer to it.

use crate::harness::client::{Client, Version};
use crate::harness::raw;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Under way at once.
const AT_ONCE: usize = 200;

/// So many of them, as fast as they can be made. Every one is accepted.
pub async fn all(client: &Client, address: SocketAddr, count: usize) {
    let hello: Arc<[u8]> = client.hello(Version::H2).into();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for n in 0..count {
        let turn = turns.clone().acquire_owned().await.unwrap();
        let hello = hello.clone();
        running.spawn(async move {
            one(n, address, &hello).await.unwrap_or_else(|error| panic!("handshake {n}: {error}"));
            drop(turn);
        });
        while let Some(ended) = running.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

async fn one(n: usize, address: SocketAddr, hello: &[u8]) -> io::Result<()> {
    let mut stream = raw::connect(n, address, None).await?;
    match n % 3 {
        0 => {}
        1 => stream.write_all(&hello[..hello.len() / 2]).await?,
        _ => {
            stream.write_all(hello).await?;
            stream.read_u8().await?;
        }
    }
    if n.is_multiple_of(2) {
        // Gone with a reset instead of an end.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}
