//! A request as an endpoint of the drill reads it: no more of HTTP/1.1 than the proxies in front of it send.

use crate::site::{ID, TAKES};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

/// A request that came in whole.
#[derive(Debug, Default)]
pub struct Request {
    pub path: String,
    /// The id, if it is a write.
    pub write: Option<u64>,
    /// How long the site works on it in good health.
    pub takes: Duration,
    /// The first byte, and the last one where it is named.
    pub range: Option<(usize, Option<usize>)>,
    pub if_range: Option<String>,
}

impl Request {
    /// The next one; none if the peer closed the connection.
    pub async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let mut request = Request { path: words.next().unwrap_or_default().to_owned(), ..Request::default() };
        let (mut id, mut length) = (None, 0);
        loop {
            line.clear();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                "transfer-encoding" => return Err(io::Error::other("visitors say how long their writes are")),
                "range" => request.range = range(value),
                "if-range" => request.if_range = Some(value.to_owned()),
                name if name == ID => id = value.parse().ok(),
                name if name == TAKES => {
                    request.takes = Duration::from_millis(value.parse().map_err(io::Error::other)?);
                }
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        request.write = id.filter(|_| method == "POST");
        Ok(Some(request))
    }
}

/// `bytes=100-` or `bytes=100-199`; other forms are ignored, as RFC 9110 (section 14.2) allows.
fn range(value: &str) -> Option<(usize, Option<usize>)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    Some((first.parse().ok()?, last))
}
