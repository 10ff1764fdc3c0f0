//! Responses that Hotspare makes itself: short, never cached, no inside address, no version.

use super::body::Body;
use super::route::Refusal;
use crate::telemetry::metrics::ReplyKind;
use crate::upstream::{Failure, Shortage};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use std::io;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// How a client wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tongue {
    Html,
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// 200 with `grpc-status`, trailers only (gRPC over HTTP/2, "Responses").
    Grpc,
}

impl Tongue {
    fn of<B>(request: &Request<B>) -> Tongue {
        let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let accept = text(header::ACCEPT);
        if text(header::CONTENT_TYPE).starts_with("application/grpc") {
            Tongue::Grpc
        } else if accept.contains("json") && !accept.contains("text/html") {
            Tongue::Problem
        } else {
            Tongue::Html
        }
    }
}

/// What of a request decides how it is replied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    tongue: Tongue,
    asks_for: AsksFor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AsksFor {
    Page,
    /// HEAD: hyper leaves the body out over HTTP/1.1 only.
    Head,
}

impl Asker {
    pub fn of<B>(request: &Request<B>) -> Asker {
        let asks_for = if *request.method() == Method::HEAD { AsksFor::Head } else { AsksFor::Page };
        Asker { tongue: Tongue::of(request), asks_for }
    }
}

/// One response of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    pub kind: ReplyKind,
    /// One sentence for whoever sits in front of the browser.
    says: &'static str,
    /// The error type of Proxy-Status (RFC 9209, section 2.3), unless it is no error.
    error: Option<&'static str>,
    then: Then,
}

/// What the client is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    /// Come back in a moment.
    Later,
    /// Come back when whoever looks after the site may have ended it.
    MuchLater,
    /// The rest of what the connection carries can't be trusted, or is not worth reading.
    Close,
}

impl Reply {
    pub fn response(self, asker: Asker) -> Response<Body> {
        let mut headers = HeaderMap::with_capacity(8);
        match self.error {
            Some(error) => {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                let proxy_status = HeaderValue::try_from(format!("hotspare; error={error}"));
                headers.insert(PROXY_STATUS, proxy_status.expect("error types are tokens"));
            }
            None => drop(headers.insert(PROXY_STATUS, HeaderValue::from_static("hotspare"))),
        }
        match self.then {
            Then::Nothing => (),
            Then::Later => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"))),
            Then::MuchLater => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"))),
            Then::Close => drop(headers.insert(header::CONNECTION, HeaderValue::from_static("close"))),
        }
        let (status, kind, body) = match asker.tongue {
            Tongue::Html => (self.status, "text/html; charset=utf-8", Some(self.html())),
            Tongue::Problem => (self.status, "application/problem+json", Some(self.problem())),
            Tongue::Grpc => {
                headers.insert("grpc-status", HeaderValue::from_static(self.grpc_status()));
                headers.insert("grpc-message", HeaderValue::from_static(self.says));
                (StatusCode::OK, "application/grpc", None)
            }
        };
        let body = match (asker.asks_for, body) {
            (AsksFor::Page, Some(page)) => Body::full(page),
            (AsksFor::Head, Some(page)) => {
                headers.insert(header::CONTENT_LENGTH, page.len().into());
                Body::Empty
            }
            (AsksFor::Page | AsksFor::Head, None) => Body::Empty,
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// All of it as bytes of HTTP/1.1, for a client whose request nobody has parsed. The connection closes after it.
    pub fn bytes(mut self) -> Vec<u8> {
        self.then = Then::Close;
        let page = self.html();
        let head = self.response(Asker { tongue: Tongue::Html, asks_for: AsksFor::Head });
        let mut bytes = format!("HTTP/1.1 {}\r\n", self.title()).into_bytes();
        for (name, value) in head.headers() {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&page);
        bytes
    }

    fn title(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.status.canonical_reason().unwrap_or("Error"))
    }

    fn html(&self) -> Bytes {
        let title = self.title();
        let page = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<h1>{title}</h1>\n<p>{}</p>\n</html>\n",
            self.says
        );
        page.into()
    }

    fn problem(&self) -> Bytes {
        let problem = serde_json::json!({ "title": self.title(), "status": self.status.as_u16(), "detail": self.says });
        problem.to_string().into()
    }

    /// The code that gRPC's own mapping gives to the status ("HTTP to gRPC Status Code Mapping"); 14 is UNAVAILABLE.
    fn grpc_status(&self) -> &'static str {
        match self.status.as_u16() {
            400 | 431 => "13",
            404 => "12",
            408 | 502..=504 => "14",
            _ => "2",
        }
    }
}

/// To a request that is not passed on.
pub fn to_refusal(refusal: Refusal) -> Reply {
    use Refusal as R;
    use ReplyKind as K;
    let (status, kind, says, then) = match refusal {
        R::BadHost => (400, K::BadRequest, "The request does not say clearly which host it is for.", Then::Close),
        R::BadTransferEncoding => {
            (400, K::BadRequest, "The request's Transfer-Encoding is not one that can be passed on.", Then::Close)
        }
        R::MethodRefused => (405, K::BadRequest, "This method is not served here.", Then::Nothing),
        R::UnknownHost => (404, K::UnknownSite, "No site of that name is served here.", Then::Nothing),
        R::UnknownPath => (404, K::UnknownSite, "Nothing is served at this address.", Then::Nothing),
        R::Misdirected => {
            (421, K::Misdirected, "This connection was made for another host; please connect anew.", Then::Nothing)
        }
        R::TargetTooLong => (414, K::Limit, "The address is longer than is taken here.", Then::Nothing),
        R::TooManyFields => (431, K::Limit, "The request has more header fields than are taken here.", Then::Nothing),
        R::TooLarge => (413, K::Limit, "The request is larger than this site takes.", Then::Close),
        R::TooSlow => (408, K::Limit, "The request took too long to arrive.", Then::Close),
    };
    Reply { status: code(status), kind, says, error: Some("http_request_error"), then }
}

/// To a request that is to be made again at another address, which goes into Location. May be cached: it is meant for good.
pub fn to_redirect() -> Reply {
    let says = "This site is served over HTTPS.";
    let (kind, then) = (ReplyKind::Redirect, Then::Nothing);
    Reply { status: StatusCode::PERMANENT_REDIRECT, kind, says, error: None, then }
}

/// To a request that no endpoint answered; `None`: none was tried. A write that waited in vain comes here too.
pub fn to_failure(failure: Option<&Failure>) -> Reply {
    const LATER: &str = "The site can't be reached right now. Please try again in a moment.";
    const LATE: &str = "The site did not answer in time. Please try again in a moment.";
    let (status, says, error, then) = match failure {
        None | Some(Failure::Withdrawn) => (503, LATER, "destination_unavailable", Then::Later),
        Some(Failure::Connect { error, .. }) if error.kind() == io::ErrorKind::TimedOut => {
            (504, LATE, "connection_timeout", Then::Later)
        }
        Some(Failure::Connect { .. }) => (502, LATER, "connection_refused", Then::Later),
        Some(Failure::Reset { .. }) => (502, LATER, "connection_terminated", Then::Later),
        Some(Failure::NoHead { .. } | Failure::Stalled { .. }) => (504, LATE, "http_response_timeout", Then::Later),
        Some(Failure::Cut { .. }) => (502, LATER, "http_response_incomplete", Then::Later),
        Some(Failure::Malformed { .. }) => (502, LATER, "http_protocol_error", Then::Later),
        Some(Failure::Ours(Shortage::Descriptors | Shortage::LocalPorts | Shortage::Memory)) => {
            (503, LATER, "proxy_internal_error", Then::Later)
        }
        Some(Failure::ClientBody) => (400, "The request ended early.", "http_request_error", Then::Close),
    };
    let kind = if status == 400 { ReplyKind::BadRequest } else { ReplyKind::Unavailable };
    Reply { status: code(status), kind, says, error: Some(error), then }
}

/// To a write that waited for the verdict for as long as it may.
pub fn to_wait_in_vain() -> Reply {
    to_failure(None)
}

/// To an unsafe request while the site is read-only: it was not sent, and need not be feared to have been done.
pub fn to_read_only() -> Reply {
    let says = "This site is read-only for the moment: pages can be read, but nothing can be changed. Nothing of what you sent was done; please try again later.";
    let (status, error) = (StatusCode::SERVICE_UNAVAILABLE, Some("http_request_denied"));
    Reply { status, kind: ReplyKind::ReadOnly, says, error, then: Then::MuchLater }
}

/// To a request that took longer in all than its backend allows.
pub fn to_total_timeout() -> Reply {
    to_failure(Some(&Failure::NoHead { waited: std::time::Duration::ZERO }))
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("our own statuses are statuses")
}
