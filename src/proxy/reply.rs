//! Responses that Hotspare makes itself: short, never cached, no inside address, no version; in a site's own words where it has
//! pages for them.
//!
//! Not here: who is spoken to how (`asker`); what pages a site has (`config::pages`).

pub use super::asker::Asker;
use super::asker::{AsksFor, Tongue};
use super::body::Body;
use super::route::Refusal;
use crate::config::Pages;
use crate::telemetry::metrics::ReplyKind;
use crate::upstream::{Failure, Malformed, Shortage};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use std::io;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What we pass on of the methods that everyone knows; others are passed on too.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

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
    /// These methods may do.
    OtherMethods,
    /// Come back in a moment.
    Later,
    /// Come back when whoever looks after the site may have ended it.
    MuchLater,
    /// The rest of what the connection carries can't be trusted, or is not worth reading.
    Close,
}

impl Reply {
    /// `pages`: those of the site that the request is for, where that is known.
    pub fn response(self, asker: &Asker, pages: Option<&Pages>) -> Response<Body> {
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
            // A must for 405: RFC 9110, section 15.5.6.
            Then::OtherMethods => drop(headers.insert(header::ALLOW, HeaderValue::from_static(METHODS))),
            Then::Later => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"))),
            Then::MuchLater => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"))),
            Then::Close => drop(headers.insert(header::CONNECTION, HeaderValue::from_static("close"))),
        }
        let (status, kind, body) = match asker.tongue() {
            Tongue::Html => (self.status, "text/html; charset=utf-8", Some(self.page(pages))),
            Tongue::Problem => (self.status, "application/problem+json", Some(self.problem())),
            Tongue::Grpc(kind) => {
                headers.insert("grpc-status", HeaderValue::from_static(self.grpc_status()));
                headers.insert("grpc-message", HeaderValue::from_static(self.says));
                (StatusCode::OK, kind, None)
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
        let head = self.response(&Asker::unknown(AsksFor::Head), None);
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

    /// The site's page for it, or ours.
    fn page(&self, pages: Option<&Pages>) -> Bytes {
        let page = pages.and_then(|pages| match self.kind {
            ReplyKind::Unavailable | ReplyKind::SiteFull => pages.error.as_ref(),
            // Never the page for errors: who wrote something must be told that it was not done, and that reading goes on.
            ReplyKind::ReadOnly => pages.read_only.as_ref(),
            ReplyKind::BadRequest
            | ReplyKind::UnknownSite
            | ReplyKind::Misdirected
            | ReplyKind::Limit
            | ReplyKind::Redirect
            | ReplyKind::Options => None,
        });
        page.and_then(|page| page.with(self.status.as_u16())).unwrap_or_else(|| self.html())
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
        // Without a `type`, the title is the status's own (RFC 9457, section 4.2.1).
        let title = self.status.canonical_reason().unwrap_or("Error");
        let problem = serde_json::json!({ "title": title, "status": self.status.as_u16(), "detail": self.says });
        problem.to_string().into()
    }

    /// The code that gRPC's own mapping gives to the status ("HTTP to gRPC Status Code Mapping"); 14 is UNAVAILABLE.
    ///
    /// Also while the site is read-only. Its 9, FAILED_PRECONDITION, would fit too, but means by gRPC's own litmus test that the
    /// client must not try again before someone has mended the state. Here the very same call will do in a while, nothing of it was
    /// done, every call is a POST (so reads are refused as well), and 14 is what clients that try again by themselves wait on.
    fn grpc_status(&self) -> &'static str {
        match self.status.as_u16() {
            400 | 431 => "13",
            404 | 501 => "12",
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
        R::BadTarget => (400, K::BadRequest, "The request does not say clearly what it asks for.", Then::Close),
        R::BadTransferEncoding => {
            (400, K::BadRequest, "The request's Transfer-Encoding is not one that can be passed on.", Then::Close)
        }
        R::MethodRefused => (405, K::BadRequest, "This method is not served here.", Then::OtherMethods),
        R::UnknownProtocol => (501, K::BadRequest, "This protocol is not spoken here.", Then::Nothing),
        R::UnknownHost => (404, K::UnknownSite, "No site of that name is served here.", Then::Nothing),
        R::UnknownPath => (404, K::UnknownSite, "Nothing is served at this address.", Then::Nothing),
        R::Misdirected => {
            (421, K::Misdirected, "This connection was made for another host; please connect anew.", Then::Nothing)
        }
        R::TargetTooLong => (414, K::Limit, "The address is longer than is taken here.", Then::Nothing),
        R::TooManyFields => (431, K::Limit, "The request has more header fields than are taken here.", Then::Nothing),
        R::NoUpgrade => (
            501,
            K::BadRequest,
            "This site is served by HTTP alone: no other protocol can be spoken here.",
            Then::Nothing,
        ),
        R::TooLarge => (413, K::Limit, "The request is larger than this site takes.", Then::Close),
        R::TooSlow => (408, K::Limit, "The request took too long to arrive.", Then::Close),
    };
    Reply { status: code(status), kind, says, error: Some("http_request_error"), then }
}

/// To OPTIONS that asks no further than the first proxy.
pub fn to_options() -> Reply {
    let says = "This is a proxy; what lies behind it was not asked.";
    Reply { status: StatusCode::OK, kind: ReplyKind::Options, says, error: None, then: Then::OtherMethods }
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
        Some(Failure::Connect { error, .. }) => (502, LATER, unconnected(error.kind()), Then::Later),
        Some(Failure::Tls { error, .. }) => (502, LATER, unagreed(error), Then::Later),
        Some(Failure::Reset { .. }) => (502, LATER, "connection_terminated", Then::Later),
        Some(Failure::NoHead | Failure::Stalled { .. }) => (504, LATE, "http_response_timeout", Then::Later),
        Some(Failure::Cut { .. }) => (502, LATER, "http_response_incomplete", Then::Later),
        Some(Failure::Malformed { what }) => match what {
            Malformed::Head
            | Malformed::Endless
            | Malformed::UnaskedUpgrade
            | Malformed::NotHttp2
            | Malformed::Http2 => (502, LATER, "http_protocol_error", Then::Later),
            Malformed::TooLarge => (502, LATER, "http_response_header_section_size", Then::Later),
            Malformed::Coding => (502, LATER, "http_response_transfer_coding", Then::Later),
        },
        Some(Failure::Ours(Shortage::Descriptors | Shortage::LocalPorts | Shortage::Memory)) => {
            (503, LATER, "proxy_internal_error", Then::Later)
        }
        Some(Failure::ClientBody) => (400, "The request ended early.", "http_request_error", Then::Close),
    };
    let kind = if status == 400 { ReplyKind::BadRequest } else { ReplyKind::Unavailable };
    Reply { status: code(status), kind, says, error: Some(error), then }
}

/// Why there is no connection.
fn unconnected(kind: io::ErrorKind) -> &'static str {
    const KNOWN: [(io::ErrorKind, &str); 6] = [
        (io::ErrorKind::ConnectionRefused, "connection_refused"),
        (io::ErrorKind::NotFound, "connection_refused"),
        (io::ErrorKind::UnexpectedEof, "connection_terminated"),
        (io::ErrorKind::ConnectionReset, "connection_terminated"),
        (io::ErrorKind::HostUnreachable, "destination_ip_unroutable"),
        (io::ErrorKind::NetworkUnreachable, "destination_ip_unroutable"),
    ];
    KNOWN.iter().find(|(known, _)| *known == kind).map_or("destination_unavailable", |(_, error)| error)
}

/// Why there is no TLS.
fn unagreed(error: &rustls::Error) -> &'static str {
    if matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) {
        "tls_certificate_error"
    } else if matches!(error, rustls::Error::AlertReceived(_)) {
        "tls_alert_received"
    } else {
        "tls_protocol_error"
    }
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

/// To a request of a site of which as many run as may: it was not sent.
pub fn to_full_site() -> Reply {
    let says = "This site has more visitors than it can serve right now. Please try again in a moment.";
    let (status, error) = (StatusCode::SERVICE_UNAVAILABLE, Some("http_request_denied"));
    Reply { status, kind: ReplyKind::SiteFull, says, error, then: Then::Later }
}

/// To a request that took longer in all than its backend allows.
pub fn to_total_timeout() -> Reply {
    to_failure(Some(&Failure::NoHead))
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("our own statuses are statuses")
}

#[cfg(test)]
mod tests;
