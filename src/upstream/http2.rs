//! One request sent to one endpoint over HTTP/2, until the response head is there; and what its errors prove.
//!
//! **What proves that a request has not begun**, so that even a write may be sent again:
//! - It was never sent: h2 would not open a stream (the connection closed, or said GOAWAY, before that).
//! - The endpoint reset its stream with REFUSED_STREAM: "prior to any processing" (RFC 9113, sections 7 and 8.7).
//! - The endpoint sent GOAWAY with a last stream below it: "might be processed" goes for the others alone (section 6.8). h2 ends just
//!   those streams with the GOAWAY as their error; the others go on, and end with the connection as an error of I/O.
//!
//! Both must have come from the endpoint ([`h2::Error::is_remote`]): h2 ends streams with the same codes by itself. Everything else may
//! have begun, whatever code it has. A request that waits in h2 for a stream, since its endpoint just took back what a
//! [`super::shared::Place`] was given for, has a number already: GOAWAY says whether it began.
//!
//! Not here: the connections (`shared`), what follows from a failure (`proxy::judge`).

use super::client::{Answer, Failed, Go, Reuse, Target, within};
use super::download::Download;
use super::failure::{Connection, Failure, Malformed, Sent};
use super::fields::is_hop_by_hop;
use super::interim::{Count, Course, Interim, Passes, Takes};
use super::kept::Lease;
use super::shared::Place;
use super::upload::{Upload, UploadEnd, UploadState};
use crate::config::{Address, Way};
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use h2::Reason;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body as _;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

/// Connections that may go away in an orderly way under one request, one after the other, before that is a failure.
const LEFT_MAX: usize = 3;

/// Sends `request` as `client::send` does, on a connection that others share.
pub(super) async fn send(
    mut target: Target<'_>,
    request: Request<Upload>,
    state: &Rc<UploadState>,
    reuse: Reuse,
    mut now: Moment,
    clock: Clock,
    still: impl Fn() -> Go,
) -> Result<Answer, Failed> {
    let head = Head::of(&request);
    let mut request = request;
    let mut left = 0;
    loop {
        let limit = if target.given.is_some() { None } else { Some(target.head_timeout) };
        let got = target.connection(reuse, state, &mut now, clock, &still, place, async |target| {
            target.kept.shared.open(target.way, target.connect_timeout, clock, state).await
        });
        let (place, connection) = match got.await {
            Ok(got) => got,
            Err(failure) => return Err(Failed { failure, unsent: Some(Box::new(request)) }),
        };
        let mut waiting = Waiting { place: &place, since: now, over: Over::Not };
        let answered = {
            let answer = pin!(exchange(request, &place, target.way, target.interims));
            within(limit, now, state, clock, answer).await
        };
        let Some(exchanged) = answered else { return Err(failed(Failure::NoHead)) };
        waiting.over = Over::Answered;
        drop(waiting);
        let (error, taken) = match exchanged {
            // There is none in HTTP/2 (RFC 9113, section 8.6).
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return Err(failed(Failure::Malformed { what: Malformed::UnaskedUpgrade }));
            }
            Ok(response) => return Ok(Answer { response, lease: Some(Lease::Stream(place)) }),
            Err(Wrong::Endless) => return Err(failed(Failure::Malformed { what: Malformed::Endless })),
            Err(Wrong::Http2 { error, taken }) => (error, taken),
        };
        let ends = Ends::of(&error);
        match ends {
            Ends::Refused | Ends::Stream => (),
            Ends::Left | Ends::LeftInAnger | Ends::NeverOpened | Ends::Connection => place.retire(),
        }
        if taken == Taken::ByH2 && !ends.is_proof() {
            return Err(failed(what_failed(&error, &place, state, connection)));
        }
        let unsent = Upload::again(state).map(|body| head.request(body));
        // A connection that was kept and is gone, or goes in an orderly way, is no failure: the next is taken. Of the former there are only
        // so many.
        let gone = matches!((taken, connection), (Taken::No, Connection::Kept { .. }));
        left += usize::from(!gone);
        match unsent {
            Some(unsent) if gone || (ends == Ends::Left && left <= LEFT_MAX) => request = unsent,
            unsent => {
                let failure = Failure::Reset { sent: Sent::Nothing, connection };
                return Err(Failed { failure, unsent: unsent.map(Box::new) });
            }
        }
    }
}

fn place(lease: Lease) -> Option<Place> {
    match lease {
        Lease::Stream(place) => Some(place),
        Lease::Whole(_) => None,
    }
}

/// Why a request got no response.
enum Wrong {
    /// Interim ones without end.
    Endless,
    Http2 {
        error: h2::Error,
        taken: Taken,
    },
}

/// Whether h2 has taken a request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    ByH2,
    No,
}

/// Sends the request, and what there is of its body, until the head is there.
async fn exchange(
    request: Request<Upload>,
    place: &Place,
    way: &Way,
    interims: Option<&dyn Takes>,
) -> Result<Response<Download>, Wrong> {
    let (request, body) = of_http2(request, way);
    let not_taken = |error| Wrong::Http2 { error, taken: Taken::No };
    let mut sender = place.sender();
    poll_fn(|cx| sender.poll_ready(cx)).await.map_err(not_taken)?;
    let bodiless = body.is_end_stream();
    let (mut response, to) = sender.send_request(request, bodiless).map_err(not_taken)?;
    drop(sender);
    let mut uploading = (!bodiless).then(|| place.carry(body, to));
    let mut count = Count::default();
    let response = poll_fn(|cx| {
        if let Some(uploading) = &mut uploading {
            let _ = uploading.poll(cx); // it is over, or goes on
        }
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let (head, ()) = interim.into_parts();
            if let (Passes::Yes, Some(to)) = (count.add(head.status, &head.headers), interims) {
                to.take(Interim { status: head.status, fields: head.headers });
            }
            match count.course() {
                Course::Open => (),
                Course::Endless => return Poll::Ready(Err(Wrong::Endless)),
            }
        }
        Pin::new(&mut response).poll(cx).map_err(|error| Wrong::Http2 { error, taken: Taken::ByH2 })
    })
    .await?;
    let (head, body) = response.into_parts();
    let body = Download::of_http2(body, &head.headers);
    let body = match uploading {
        Some(uploading) => body.beside(uploading),
        None => body,
    };
    Ok(Response::from_parts(head, body))
}

/// Waits for a head; whoever gives up on that drops it.
struct Waiting<'a> {
    place: &'a Place,
    since: Moment,
    over: Over,
}

enum Over {
    Not,
    Answered,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        match self.over {
            Over::Not => self.place.given_up(self.since),
            Over::Answered => (),
        }
    }
}

/// A request less its body, to make it once more.
struct Head {
    method: Method,
    target: Uri,
    version: Version,
    headers: HeaderMap,
}

impl Head {
    fn of(request: &Request<Upload>) -> Head {
        let (method, target) = (request.method().clone(), request.uri().clone());
        Head { method, target, version: request.version(), headers: request.headers().clone() }
    }

    fn request(&self, body: Upload) -> Request<Upload> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// The endpoint did not begin with it.
    Refused,
    /// The endpoint leaves, and did not begin with it.
    Left,
    /// The same, for something that it did not like.
    LeftInAnger,
    /// There never was one.
    NeverOpened,
    /// It ended otherwise, alone.
    Stream,
    /// It ended with its connection.
    Connection,
}

impl Ends {
    fn of(error: &h2::Error) -> Ends {
        let theirs = error.is_remote();
        match error.reason() {
            Some(Reason::REFUSED_STREAM) if theirs && error.is_reset() => Ends::Refused,
            Some(Reason::NO_ERROR) if theirs && error.is_go_away() => Ends::Left,
            Some(_) if theirs && error.is_go_away() => Ends::LeftInAnger,
            Some(_) if error.is_reset() => Ends::Stream,
            None if error.is_io() => Ends::Connection,
            // The others without a code are of our own doing (`h2::codec::UserError`), and of the call alone that would have opened it.
            None => Ends::NeverOpened,
            Some(_) => Ends::Connection,
        }
    }

    /// Whether it proves that the endpoint has not begun with the request.
    fn is_proof(self) -> bool {
        match self {
            Ends::Refused | Ends::Left | Ends::LeftInAnger | Ends::NeverOpened => true,
            Ends::Stream | Ends::Connection => false,
        }
    }
}

fn what_failed(error: &h2::Error, place: &Place, state: &UploadState, connection: Connection) -> Failure {
    match state.end() {
        UploadEnd::TooSlow | UploadEnd::TooLarge | UploadEnd::Broken => return Failure::ClientBody,
        UploadEnd::Untouched | UploadEnd::Streaming | UploadEnd::Whole => (),
    }
    if let Some(error) = place.tls() {
        return Failure::Tls { error, sent: Sent::Perhaps };
    }
    if error.is_library() {
        Failure::Malformed { what: Malformed::Http2 }
    } else {
        Failure::Reset { sent: Sent::Perhaps, connection }
    }
}

fn failed(failure: Failure) -> Failed {
    Failed { failure, unsent: None }
}

/// The request as HTTP/2 has it: the target whole, with Host in it, and no field about the connection (RFC 9113, sections 8.2.2 and 8.3.1).
fn of_http2(request: Request<Upload>, way: &Way) -> (Request<()>, Upload) {
    let (mut head, body) = request.into_parts();
    let host = head.headers.remove(header::HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok()).unwrap_or_else(|| own(way));
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if way.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority);
    parts.path_and_query = Some(head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    head.uri = Uri::from_parts(parts).expect("a scheme, an authority and a path are a target");
    head.version = Version::HTTP_2;
    let wants_trailers = head.headers.contains_key(header::TE);
    let drops: Vec<HeaderName> = head.headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in drops {
        head.headers.remove(name);
    }
    if wants_trailers {
        head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // No length means none to be expected where a method has no use for a body (RFC 9110, section 8.6).
    let says_length = !matches!(head.method, Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT);
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0 || says_length) {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    (Request::from_parts(head, ()), body)
}

/// What an endpoint is called where the client named no host, which only one of HTTP/1.0 may: as it is reached.
fn own(way: &Way) -> Authority {
    let named = match &way.address {
        Address::Tcp(address) => Authority::try_from(address.to_string()).ok(),
        Address::Unix(_) => None,
    };
    named.unwrap_or_else(|| Authority::from_static("localhost"))
}
