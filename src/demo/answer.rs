//! One request at a data centre, with all that is wrong there at the moment.
//!
//! Account is kept of what was received, so that the tour can prove that no POST ran twice. Bounds: forms of [`MAX_FORM`]
//! bytes, the newest 65,536 POSTs on account.
//!
//! Not here: connections, and being killed (`data_centre`); what the pages say (`site`, `guest_book`).

use super::fault::{Fault, Faults, Role};
use super::guest_book::{Form, GuestBook, MAX_FORM};
use super::site::{self, Page};
use crate::domain::Name;
use crate::runtime::clock::Clock;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, mem};
use tokio::sync::watch;

/// What probes ask for. It reads no disk: it is the kind of check that says all is well while pages fail.
pub const CHECK: &str = "/health";
/// Which data centre answered, for those who look at headers.
pub const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

const MAX_RECEIPTS: usize = 65_536;
/// How long a slow page takes.
const SLOW: Duration = Duration::from_secs(3);

/// What the data centre's thread and others look at.
#[derive(Debug)]
pub struct Shared {
    book: Mutex<GuestBook>,
    receipts: Mutex<Receipts>,
}

/// What was received, whatever became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    pub gets: u64,
    pub posts: u64,
    /// The ids of the newest posts that had one, in the order they came; one that came twice is here twice.
    pub post_ids: VecDeque<u64>,
}

/// One data centre, as its own thread sees it.
#[derive(Debug)]
pub struct Place {
    name: Name,
    role: Role,
    faults: watch::Receiver<Faults>,
    clock: Clock,
    dice: RefCell<fastrand::Rng>,
    shared: Arc<Shared>,
}

/// One request, with all that is wrong here at the moment.
pub async fn answer(place: Rc<Place>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == CHECK {
        place.until(|faults| !faults.has(Fault::Freeze)).await;
        return Ok(place.response(StatusCode::OK, Page { content_type: "text/plain", body: "ok\n".into() }));
    }
    let form = match *request.method() {
        Method::GET | Method::HEAD => {
            place.shared.receipts().gets += 1;
            None
        }
        Method::POST if path == "/guestbook" => match Limited::new(request.into_body(), MAX_FORM).collect().await {
            Ok(body) => Some(Form::parse(&body.to_bytes())),
            Err(_) => return Ok(place.plain(StatusCode::PAYLOAD_TOO_LARGE)), // or it broke off, and nobody reads this
        },
        _ => return Ok(place.plain(StatusCode::METHOD_NOT_ALLOWED)),
    };
    if let Some(form) = &form {
        place.note_post(form.as_ref().ok().and_then(|form| form.id));
    }

    place.until(|faults| !faults.has(Fault::Freeze)).await;
    let faults = place.faults();
    if faults.has(Fault::Slow) && place.hits(3, 10) {
        tokio::time::sleep(SLOW).await;
    }
    if faults.has(Fault::LyingCheck) || (faults.has(Fault::Disk) && place.hits(1, 3)) {
        return Ok(place.response(StatusCode::INTERNAL_SERVER_ERROR, site::broken(&place.name)));
    }
    let response = match form {
        None => match site::page(&path, &place.name, &place.shared.book()) {
            Some(page) => place.response(StatusCode::OK, page),
            None => place.response(StatusCode::NOT_FOUND, site::missing(&place.name)),
        },
        Some(Ok(form)) => {
            place.shared.book().sign(place.clock.now(), form);
            let mut response = place.plain(StatusCode::SEE_OTHER);
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/guestbook"));
            response
        }
        Some(Err(why)) => place.response(StatusCode::BAD_REQUEST, site::refused(&place.name, why)),
    };
    Ok(if faults.has(Fault::Cut) && place.hits(1, 2) { cut(response) } else { response })
}

impl Shared {
    pub fn new(place: &Name) -> Shared {
        Shared { book: Mutex::new(GuestBook::new(place.clone())), receipts: Mutex::new(Receipts::default()) }
    }

    /// Give it back soon: pages wait for it.
    pub fn book(&self) -> MutexGuard<'_, GuestBook> {
        self.book.lock().expect("nobody panics while holding it")
    }

    pub fn receipts(&self) -> MutexGuard<'_, Receipts> {
        self.receipts.lock().expect("nobody panics while holding it")
    }
}

impl Place {
    pub fn new(
        name: Name,
        role: Role,
        faults: watch::Receiver<Faults>,
        seed: u64,
        clock: Clock,
        shared: Arc<Shared>,
    ) -> Place {
        Place { name, role, faults, clock, dice: RefCell::new(fastrand::Rng::with_seed(seed)), shared }
    }

    fn faults(&self) -> Faults {
        self.faults.borrow().at(self.role)
    }

    /// Until the faults felt here are so.
    pub async fn until(&self, so: impl Fn(Faults) -> bool) {
        let mut faults = self.faults.clone();
        if faults.wait_for(|faults| so(faults.at(self.role))).await.is_err() {
            std::future::pending::<()>().await; // nobody is left to change them
        }
    }

    /// Whether chance lets a fault hit this request: `of` in `all` are hit.
    fn hits(&self, of: u32, all: u32) -> bool {
        self.dice.borrow_mut().u32(0..all) < of
    }

    fn note_post(&self, id: Option<u64>) {
        let mut receipts = self.shared.receipts();
        receipts.posts += 1;
        receipts.post_ids.extend(id);
        if receipts.post_ids.len() > MAX_RECEIPTS {
            receipts.post_ids.pop_front();
        }
    }

    fn response(&self, status: StatusCode, page: Page) -> Response<Body> {
        let mut response = Response::new(Body::Whole(page.body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(page.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store")); // so that a reload shows the move
        headers.insert(SERVED_BY, HeaderValue::from_str(&self.name).expect("the demo's own names are visible ASCII"));
        response
    }

    fn plain(&self, status: StatusCode) -> Response<Body> {
        let text = status.canonical_reason().unwrap_or_default();
        self.response(status, Page { content_type: "text/plain", body: Bytes::from_static(text.as_bytes()) })
    }
}

/// A response that promises its whole length and breaks off after half of it.
fn cut(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let Body::Whole(whole) = body else { return Response::from_parts(head, body) };
    head.headers.insert(header::CONTENT_LENGTH, whole.len().into());
    Response::from_parts(head, Body::Cut { half: whole.slice(..whole.len() / 2), flushed: Flushed::No })
}

/// A response's body.
#[derive(Debug)]
pub enum Body {
    /// What is left of it: all or nothing.
    Whole(Bytes),
    Cut {
        half: Bytes,
        flushed: Flushed,
    },
}

/// hyper sends what it has when a body lets it wait: without that, the half would be thrown away with the connection.
#[derive(Debug)]
pub enum Flushed {
    No,
    Yes,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        let (left, flushed) = match self.get_mut() {
            Body::Whole(left) => (left, None),
            Body::Cut { half, flushed } => (half, Some(flushed)),
        };
        if !left.is_empty() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(mem::take(left)))));
        }
        match flushed {
            None => Poll::Ready(None),
            Some(Flushed::Yes) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
            Some(flushed @ Flushed::No) => {
                *flushed = Flushed::Yes;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Body::Whole(left) => http_body::SizeHint::with_exact(left.len() as u64),
            Body::Cut { .. } => http_body::SizeHint::default(), // the head says more than comes
        }
    }
}
