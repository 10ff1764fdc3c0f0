//! One request over HTTP/2, with prior knowledge of it where there is no TLS.
//!
//! Not here: what is asked and what the answer must be (`http`, `grpc`).

use super::{HEAD_MAX, broken_http2};
use crate::domain::ProbeFailure;
use crate::upstream::Download;
use bytes::Bytes;
use h2::client;
use http::{Request, Response};
use std::future::poll_fn;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends the request and has the answer judged, driving the connection meanwhile.
///
/// # Errors
/// Those of the judge; or there was no answer.
pub async fn exchange<S, T>(
    stream: S,
    request: Request<Bytes>,
    judge: impl AsyncFnOnce(Response<Download>) -> Result<T, ProbeFailure>,
) -> Result<T, ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let head_max = u32::try_from(HEAD_MAX).unwrap_or(u32::MAX);
    let handshake = client::Builder::new().enable_push(false).max_header_list_size(head_max).handshake(stream);
    let (mut sender, connection) = handshake.await.map_err(|error| broken_http2(&error))?;
    let mut answer = pin!(async move {
        poll_fn(|cx| sender.poll_ready(cx)).await.map_err(|error| broken_http2(&error))?;
        let (head, body) = request.into_parts();
        let sent = sender.send_request(Request::from_parts(head, ()), body.is_empty());
        let (response, mut to) = sent.map_err(|error| broken_http2(&error))?;
        if !body.is_empty() {
            to.send_data(body, true).map_err(|error| broken_http2(&error))?; // h2 keeps it until there is room
        }
        let (head, body) = response.await.map_err(|error| broken_http2(&error))?.into_parts();
        let body = Download::of_http2(body, &head.headers);
        judge(Response::from_parts(head, body)).await
    });
    tokio::select! {
        biased;
        answered = &mut answer => answered,
        // It ended before the answer was taken from it; what it had of one waits there.
        _ended = connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LONG, failed, http, probed};
    use super::*;
    use crate::config::{HttpProbe, HttpVersion};
    use crate::domain::ProbeResult;
    use crate::health::probe::Check;
    use crate::health::scripted::{Endpoint, Script};
    use h2::{Reason, server};
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::net::TcpListener;

    /// What the server does once it has sent "good".
    #[derive(Clone, Copy)]
    enum Then {
        End,
        Reset(Reason),
        Leave,
    }

    /// Serves one probe, with a head that has so many bytes beside the length, and ends when its connection has.
    async fn serve(listener: TcpListener, length: Option<&str>, head: usize, then: Then) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = server::handshake(stream).await.unwrap();
        let (_, mut reply) = connection.accept().await.unwrap().unwrap();
        let mut response = Response::new(());
        for at in 0..head / 1024 {
            let name: http::HeaderName = format!("x-{at}").parse().unwrap();
            response.headers_mut().insert(name, "x".repeat(1024).try_into().unwrap());
        }
        if let Some(length) = length {
            response.headers_mut().insert("content-length", length.parse().unwrap());
        }
        let mut to = reply.send_response(response, false).unwrap();
        to.send_data(Bytes::from_static(b"good"), matches!(then, Then::End)).unwrap();
        // A reset drops what is still to be sent: it is to be out before that.
        let _running = tokio::time::timeout(Duration::from_millis(50), poll_fn(|cx| connection.poll_closed(cx))).await;
        match then {
            Then::End => (),
            Then::Reset(reason) => to.send_reset(reason),
            Then::Leave => connection.abrupt_shutdown(Reason::NO_ERROR),
        }
        let _ended = tokio::time::timeout(LONG, poll_fn(|cx| connection.poll_closed(cx))).await;
    }

    fn asks(text: Option<&str>) -> Check {
        let asked = HttpProbe { expect_body: text.map(Into::into), ..HttpProbe::default() };
        match http(asked, "www.example.org") {
            Check::Http { asked, host, peer, version: _ } => {
                Check::Http { asked, host, peer, version: HttpVersion::Http2 }
            }
            Check::Connect | Check::Grpc { .. } => unreachable!("it is a page"),
        }
    }

    async fn result(length: Option<&str>, head: usize, then: Then, text: Option<&str>) -> ProbeResult {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let check = asks(text);
        tokio::select! {
            heard = probed(address, check, LONG) => heard.result,
            () = async { serve(listener, length, head, then).await; std::future::pending().await } => unreachable!(),
        }
    }

    #[tokio::test]
    async fn a_page_passes_when_its_end_is_there_and_breaks_off_with_whatever_code_when_it_is_not() {
        for text in [None, Some("good")] {
            for length in [None, Some("4")] {
                assert_eq!(result(length, 0, Then::End, text).await, ProbeResult::Passed);
            }
            for length in [None, Some("4"), Some("400")] {
                for then in [Then::Reset(Reason::NO_ERROR), Then::Reset(Reason::CANCEL), Then::Leave] {
                    assert_eq!(result(length, 0, then, text).await, failed(ProbeFailure::Reset), "{length:?} {text:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_head_may_have_what_one_may_that_answers_a_request_and_over_http_1_1_as_much() {
        // hyper's bound is not sharp: a head may be whole before it is looked at.
        for (head, head1, expected) in
            [(48 * 1024, 48 * 1024, ProbeResult::Passed), (80 * 1024, 200 * 1024, failed(ProbeFailure::Malformed))]
        {
            assert_eq!(result(None, head, Then::End, None).await, expected, "{head}");
            let page = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: {}\r\n\r\n", "x".repeat(head1));
            let endpoint = Endpoint::start(Script::Say(page.leak()));
            let check = http(HttpProbe::default(), "www.example.org");
            assert_eq!(probed(endpoint.address, check, LONG).await.result, expected, "{head1} over HTTP/1.1");
        }
    }
}
