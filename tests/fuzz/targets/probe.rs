//! What an endpoint says to a probe.

use super::{alone, shown};
use crate::dialect::{self, Allowed, FROM_ENDPOINTS};
use ::http::uri::Scheme;
use hotspare::config::{HttpProbe, HttpVersion, ProbeMethod};
use hotspare::health::probe::lag::Reading;
use hotspare::health::probe::{grpc, http};
use hotspare::runtime::tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// The first byte says which probe it is. A probe ends when its connection does; it passes only if what came is, to our reader of HTTP, a
/// whole response with a status that is expected, or more than it would read; a lag that can't be read is fit to be shown.
pub fn reply(bytes: &[u8]) {
    let Some((kind, reply)) = bytes.split_first() else { return };
    let (method, text) = match kind % 4 {
        0 => (ProbeMethod::Get, None),
        1 => (ProbeMethod::Head, None),
        2 => (ProbeMethod::Get, Some("well")),
        _ => {
            alone(async {
                let (ours, theirs) = duplex(64 * 1024);
                tasks::spawn(say(theirs, b"PRI", reply.to_vec()));
                let _verdict = grpc::exchange(ours, "", "localhost", Scheme::HTTP).await;
            });
            return;
        }
    };
    let lag_header = Some("x-lag".parse().expect("it is a name"));
    let asked = HttpProbe { method, expect_body: text.map(Into::into), lag_header, ..HttpProbe::default() };
    alone(async {
        let (ours, theirs) = duplex(64 * 1024);
        tasks::spawn(say(theirs, b"\r\n\r\n", reply.to_vec()));
        let asking = http::Asking { asked: &asked, host: "localhost", version: HttpVersion::Http1 };
        let Ok((verdict, lag)) = http::exchange(ours, asking, Scheme::HTTP).await else { return };
        if let Reading::Garbage(text) = lag {
            assert!(text.len() < 500 && !text.contains(char::is_control), "{text:?} of {}", shown(bytes));
        }
        if verdict.is_ok() {
            let method = if method == ProbeMethod::Head { "HEAD" } else { "GET" };
            let read = dialect::responses(reply, &FROM_ENDPOINTS, &[method], Allowed::Yes);
            let answer = read.messages.iter().find(|message| message.status() >= 200);
            let passes = answer.is_some_and(|answer| (200..400).contains(&answer.status()));
            assert!(passes || reply.len() > 64 * 1024, "{:?} passes: {}", read.end, shown(bytes));
        }
    });
}

/// An endpoint: once it has been asked, it says that and leaves.
async fn say(mut pipe: tokio::io::DuplexStream, end: &[u8], reply: Vec<u8>) {
    let mut heard = Vec::new();
    while !heard.windows(end.len()).any(|window| window == end) {
        if !matches!(pipe.read_buf(&mut heard).await, Ok(1..)) {
            return;
        }
    }
    let _said = pipe.write_all(&reply).await;
}
