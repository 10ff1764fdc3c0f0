//! A response's body on its way from an endpoint, and whether it has ended or was cut.
//!
//! Not here: what is done about one that is cut (`proxy::held`, `proxy::resume`).

use super::frames::Frames;
use super::sending::Uploading;
use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a response.
#[derive(Debug)]
pub struct Download(From);

#[derive(Debug)]
enum From {
    Http1(Incoming),
    Http2 {
        frames: Frames,
        /// The request's body, which goes on no longer than this.
        uploading: Option<Uploading>,
    },
}

/// Why it breaks off.
#[derive(Debug, thiserror::Error)]
#[error("the endpoint's response body broke off")]
pub enum Broken {
    Http1(#[source] hyper::Error),
    Http2(#[source] h2::Error),
}

impl Download {
    pub(crate) fn of_http1(incoming: Incoming) -> Download {
        Download(From::Http1(incoming))
    }

    /// That after a head with those fields.
    pub(crate) fn of_http2(stream: RecvStream, fields: &HeaderMap) -> Download {
        Download(From::Http2 { frames: Frames::new(stream, fields), uploading: None })
    }

    /// The same while the request is still being sent.
    pub(super) fn beside(mut self, mut sent: Uploading) -> Download {
        match &mut self.0 {
            From::Http2 { frames, uploading } if !frames.is_end_stream() => {
                sent.go_on();
                *uploading = Some(sent);
            }
            From::Http1(_) | From::Http2 { .. } => drop(sent),
        }
        self
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.0 {
            From::Http1(incoming) => Pin::new(incoming).poll_frame(context).map_err(Broken::Http1),
            From::Http2 { frames, uploading } => {
                let polled = frames.poll_frame(context);
                if frames.is_end_stream() || matches!(polled, Poll::Ready(None | Some(Err(_)))) {
                    *uploading = None;
                }
                polled.map_err(Broken::Http2)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            From::Http1(incoming) => incoming.is_end_stream(),
            From::Http2 { frames, .. } => frames.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            From::Http1(incoming) => incoming.size_hint(),
            // A response to HEAD has a length and no body.
            From::Http2 { frames, .. } if frames.is_end_stream() => SizeHint::with_exact(0),
            From::Http2 { frames, .. } => frames.size_hint(),
        }
    }
}
