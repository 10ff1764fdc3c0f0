//! Plain GETs, for the admin listener and for nginx itself, and the metrics they bring.

use super::PATIENCE;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and body of a GET. HTTP/1.0: the body is what comes until the end.
pub async fn try_get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok((status, body.to_owned()))
    };
    tokio::time::timeout(PATIENCE, exchange).await?
}

pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    try_get(address, path).await.unwrap_or_else(|error| panic!("http://{address}{path}: {error}"))
}

/// One scrape: each series with its labels as written, and its value.
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub async fn scrape(address: SocketAddr) -> Metrics {
        let (status, text) = get(address, "/metrics").await;
        assert_eq!(status, 200, "{text}");
        let series = text.lines().filter(|line| !line.starts_with('#'));
        Metrics(
            series
                .filter_map(|line| line.rsplit_once(' '))
                .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
                .collect(),
        )
    }

    /// The largest of all series of that name; `None` where there is none.
    pub fn largest(&self, name: &str) -> Option<f64> {
        let named = self.0.iter().filter(|(series, _)| series.split('{').next() == Some(name));
        named.map(|(_, value)| *value).max_by(f64::total_cmp)
    }

    /// The sum of all series of that name that have all of these labels; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let named = self.0.iter().filter(|(series, _)| series.split('{').next() == Some(name));
        named.filter(|(series, _)| wanted.iter().all(|label| series.contains(label))).map(|(_, value)| value).sum()
    }
}
