//! One page asked for, over TLS or not, and what is made of the answer.
//!
//! Not here: the connection (`upstream::connect`), the time limit (the front page).

use super::lag::{self, Reading};
use super::{HEAD_MAX, cut, http2, not_answered};
use crate::config::{HttpProbe, HttpVersion, ProbeMethod};
use crate::domain::ProbeFailure;
use crate::upstream::Download;
use crate::upstream::client::is_chunked_or_none;
use bytes::Bytes;
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};

/// How much of a body is read. Enough for most pages to be read to the end, so that one which breaks off is seen; the
/// rest of a longer one is not worth its bandwidth every second.
const BODY_READ: usize = 64 * 1024;

/// What is asked for, of whom, and how.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub asked: &'a HttpProbe,
    pub host: &'a str,
    pub version: HttpVersion,
}

/// Sends the request and reads the answer, driving the connection meanwhile: whether it is what is expected, and the lag
/// that it tells.
///
/// # Errors
/// There was no answer.
pub async fn exchange<S>(stream: S, asking: Asking<'_>, scheme: Scheme) -> Result<Judged, ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let asked = asking.asked;
    let request = request(&asking, scheme);
    match asking.version {
        HttpVersion::Http1 => (),
        HttpVersion::Http2 => {
            return http2::exchange(stream, request, async |response| judge(response, asked).await).await;
        }
    }
    let handshake = http1::Builder::new().max_buf_size(HEAD_MAX).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| not_answered(&error))?;
    let mut answer = pin!(async move {
        let request = request.map(Full::new);
        let response = sender.send_request(request).await.map_err(|error| not_answered(&error))?;
        judge(response.map(Download::of_http1), asked).await
    });
    tokio::select! {
        biased;
        answered = &mut answer => answered,
        // It ended before the answer was taken from it; what it had of one waits there.
        _ended = connection => answer.await,
    }
}

/// Whether an answer is what is expected, and the lag that it tells.
type Judged = (Result<(), ProbeFailure>, Reading);

async fn judge(response: Response<Download>, asked: &HttpProbe) -> Result<Judged, ProbeFailure> {
    // No request would be given such an answer: a probe that took it would lie.
    if !is_chunked_or_none(response.headers()) {
        return Err(ProbeFailure::Malformed);
    }
    // An endpoint that fails its probe because it is behind may say by how much.
    let lag = asked.lag_header.as_ref().map_or(Reading::Nothing, |name| lag::read(response.headers(), name));
    let verdict = match is_expected(asked, response.status()) {
        Ok(()) => read(response.into_body(), asked.expect_body.as_deref()).await,
        unexpected => unexpected,
    };
    Ok((verdict, lag))
}

fn request(asking: &Asking<'_>, scheme: Scheme) -> Request<Bytes> {
    let Asking { asked, host, version } = *asking;
    let method = match asked.method {
        ProbeMethod::Get => Method::GET,
        ProbeMethod::Head => Method::HEAD,
        ProbeMethod::Options => Method::OPTIONS,
    };
    let request = Request::builder().method(method).header(header::USER_AGENT, super::USER_AGENT);
    let request = match version {
        HttpVersion::Http1 => request.uri(&*asked.path).header(header::HOST, host).header(header::CONNECTION, "close"),
        HttpVersion::Http2 => {
            let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(&*asked.path).build();
            request.uri(uri.expect("the config has checked that the host can stand in a URL"))
        }
    };
    let mut request =
        request.body(Bytes::new()).expect("the config has checked that the path and the host can stand in a request");
    for (name, value) in &asked.headers {
        request.headers_mut().insert(name, value.clone()); // in place of ours, if it is the User-Agent
    }
    request
}

fn is_expected(asked: &HttpProbe, status: StatusCode) -> Result<(), ProbeFailure> {
    let status = status.as_u16();
    match asked.expect_status.iter().any(|range| range.contains(&status)) {
        true => Ok(()),
        false => Err(ProbeFailure::Status(status)),
    }
}

/// Reads the body to its end or to our bound, and looks for the text in that. One that breaks off is a failed probe, as it
/// would be a failed page; one that stalls runs into the timeout.
async fn read(mut body: Download, text: Option<&str>) -> Result<(), ProbeFailure> {
    let (mut left, mut kept) = (BODY_READ, Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| cut(&error))?;
        let piece = frame.data_ref().map_or(&[][..], |piece| piece);
        if text.is_some() {
            kept.extend_from_slice(&piece[..piece.len().min(left)]);
        }
        left = match left.checked_sub(piece.len()) {
            Some(left) => left,
            None => break,
        };
    }
    match text {
        // Lossy, so that the search takes linear time: the text itself is valid, so it is found where its bytes are.
        Some(text) if !String::from_utf8_lossy(&kept).contains(text) => Err(ProbeFailure::Text),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LONG, failed, http, probed};
    use super::*;
    use crate::domain::{Lag, ProbeResult};
    use crate::health::scripted::{Endpoint, Script};
    use http::{HeaderName, HeaderValue};
    use std::time::Duration;

    const PASSED: ProbeResult = ProbeResult::Passed;

    fn statuses(ranges: impl Into<Box<[std::ops::RangeInclusive<u16>]>>) -> HttpProbe {
        HttpProbe { expect_status: ranges.into(), ..HttpProbe::default() }
    }

    fn text(text: &str) -> HttpProbe {
        HttpProbe { expect_body: Some(text.into()), ..HttpProbe::default() }
    }

    async fn result(script: Script, asked: HttpProbe) -> ProbeResult {
        probed(Endpoint::start(script).address, http(asked, "www.example.org"), LONG).await.result
    }

    #[tokio::test]
    async fn statuses_from_200_to_399_pass_and_others_are_named_where_nothing_else_is_said() {
        for (status, expected) in [
            (200, PASSED),
            (204, PASSED),
            (304, PASSED),
            (399, PASSED),
            (400, failed(ProbeFailure::Status(400))),
            (500, failed(ProbeFailure::Status(500))),
            (503, failed(ProbeFailure::Status(503))),
        ] {
            let script = Script::Answer { status, promised: 0, sent: 0 };
            assert_eq!(result(script, HttpProbe::default()).await, expected, "{status}");
        }
    }

    #[tokio::test]
    async fn a_status_passes_if_it_is_in_any_range_that_is_expected() {
        for (status, expected) in [
            (200, failed(ProbeFailure::Status(200))),
            (204, PASSED),
            (400, failed(ProbeFailure::Status(400))),
            (401, PASSED),
            (403, PASSED),
            (404, failed(ProbeFailure::Status(404))),
        ] {
            let script = Script::Answer { status, promised: 0, sent: 0 };
            assert_eq!(result(script, statuses([204..=204, 401..=403])).await, expected, "{status}");
        }
    }

    #[tokio::test]
    async fn the_request_names_host_and_probe_and_ends_its_connection() {
        let endpoint = Endpoint::start(Script::Answer { status: 200, promised: 0, sent: 0 });
        let asked = HttpProbe { path: "/alive?deep=1".into(), ..HttpProbe::default() };
        assert_eq!(probed(endpoint.address, http(asked, "www.example.org"), LONG).await.result, PASSED);
        let heads = endpoint.heads();
        let lines: Vec<&str> = heads[0].lines().collect();
        assert_eq!(lines[0], "GET /alive?deep=1 HTTP/1.1");
        for line in ["host: www.example.org", "user-agent: hotspare-probe", "connection: close"] {
            assert!(lines.contains(&line), "{line} in {lines:?}");
        }
    }

    #[tokio::test]
    async fn the_request_has_the_method_and_the_headers_that_are_asked_for() {
        for (method, word) in
            [(ProbeMethod::Get, "GET"), (ProbeMethod::Head, "HEAD"), (ProbeMethod::Options, "OPTIONS")]
        {
            let endpoint = Endpoint::start(Script::Answer { status: 200, promised: 5, sent: 0 });
            let headers = [("x-check", "deep"), ("user-agent", "curl/8")]
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let asked = HttpProbe { method, headers: Box::new(headers), ..HttpProbe::default() };
            let result = probed(endpoint.address, http(asked, "a"), LONG).await.result;
            // Of a body of 5 bytes that was promised none came, which for HEAD is as it should be.
            assert_eq!(result, if method == ProbeMethod::Head { PASSED } else { failed(ProbeFailure::Reset) });
            let head = endpoint.heads().remove(0);
            assert!(head.starts_with(&format!("{word} / HTTP/1.1\n")), "{head}");
            assert!(head.contains("\nx-check: deep") && head.contains("\nuser-agent: curl/8"), "{head}");
            assert!(!head.contains("hotspare-probe"), "{head}");
        }
    }

    #[tokio::test]
    async fn a_body_without_the_expected_text_fails() {
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nall is \u{fc}well\n";
        assert_eq!(result(Script::Say(page), text("\u{fc}well")).await, PASSED);
        assert_eq!(result(Script::Say(page), text("all is well")).await, failed(ProbeFailure::Text));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n7\r\nis well\r\n0\r\n\r\n";
        assert_eq!(result(Script::Say(chunked), text("all is well")).await, PASSED, "in two pieces");
        let empty = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(result(Script::Say(empty), text("x")).await, failed(ProbeFailure::Text));
        let maintenance = "HTTP/1.1 503 Gone\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(result(Script::Say(maintenance), text("ok")).await, failed(ProbeFailure::Status(503)));
    }

    #[tokio::test]
    async fn a_coding_that_no_request_would_be_answered_with_fails() {
        for coding in ["gzip, chunked", "chunke", "identity", "chunked\r\nTransfer-Encoding: chunked"] {
            let page = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n4\r\nwell\r\n0\r\n\r\n");
            let result = result(Script::Say(page.leak()), HttpProbe::default()).await;
            assert_eq!(result, failed(ProbeFailure::Malformed), "{coding}");
        }
    }

    #[tokio::test]
    async fn the_expected_text_is_looked_for_in_64_kib_and_no_further() {
        let page = |before: usize| -> &'static str {
            let after = 200_000 - before;
            let (before, after) = ("x".repeat(before), "y".repeat(after));
            format!("HTTP/1.1 200 OK\r\nContent-Length: 200004\r\n\r\n{before}good{after}").leak()
        };
        assert_eq!(result(Script::Say(page(BODY_READ - 4)), text("good")).await, PASSED);
        assert_eq!(result(Script::Say(page(BODY_READ - 3)), text("good")).await, failed(ProbeFailure::Text));
        assert_eq!(result(Script::Say(page(BODY_READ)), text("good")).await, failed(ProbeFailure::Text));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_fails_and_one_past_the_bound_is_not_read() {
        for (promised, sent, expected) in
            [(10_000, 4_000, failed(ProbeFailure::Reset)), (10_000, 10_000, PASSED), (1 << 30, 100_000, PASSED)]
        {
            let script = Script::Answer { status: 200, promised, sent };
            assert_eq!(result(script, HttpProbe::default()).await, expected);
            let found = if expected == PASSED { failed(ProbeFailure::Text) } else { expected };
            assert_eq!(result(script, text("good")).await, found);
        }
    }

    #[tokio::test]
    async fn the_lag_is_heard_whether_the_probe_passes_or_not() {
        let lagging = || HttpProbe { lag_header: Some(HeaderName::from_static("x-lag")), ..HttpProbe::default() };
        let behind = Lag::Behind(Duration::from_millis(2_500));
        for (script, asked, expected, lag) in [
            ("HTTP/1.1 200 OK\r\nX-Lag: 2.5\r\nContent-Length: 0\r\n\r\n", lagging(), PASSED, behind),
            ("HTTP/1.1 503 Late\r\nX-Lag: 2.5\r\n\r\n", lagging(), failed(ProbeFailure::Status(503)), behind),
            ("HTTP/1.1 200 OK\r\nX-Lag: NULL\r\nContent-Length: 0\r\n\r\n", lagging(), PASSED, Lag::Unknown),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", lagging(), PASSED, Lag::Unknown),
            ("HTTP/1.1 200 OK\r\nX-Lag: 2.5\r\nContent-Length: 0\r\n\r\n", HttpProbe::default(), PASSED, Lag::Unknown),
        ] {
            let endpoint = Endpoint::start(Script::Say(script));
            let heard = probed(endpoint.address, http(asked, "a"), LONG).await;
            assert_eq!((heard.result, heard.lag.lag()), (expected, lag), "{script}");
        }
    }
}
