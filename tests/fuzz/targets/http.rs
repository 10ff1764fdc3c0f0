//! The heads of requests and responses, and the bodies that they frame: through hyper and through what we check ourselves, with pipes in
//! memory for sockets, and beside a reader that has nothing in common with either.

use super::{alone, shown};
use crate::dialect::{self, Allowed, DOOR, FROM_ENDPOINTS, Message};
use bytes::Bytes;
use hotspare::config::{self, Config, ForwardedAs, Way};
use hotspare::domain::Moment;
use hotspare::health::View;
use hotspare::health::supervisor::steps::Steps;
use hotspare::proxy::headers::{self, Upgrading};
use hotspare::proxy::{Client, route};
use hotspare::runtime::clock::Clock;
use hotspare::runtime::tasks;
use hotspare::upstream::client::{Reuse, over, send};
use hotspare::upstream::{Ends, Go, Kept, Taken, Target, Upload, UploadState};
use http::{HeaderMap, Request, Response, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// Method, target as it is sent on, body.
type Seen = (String, String, Vec<u8>);

/// Every request that we would pass on is one that the client sent, by the letter or by what docs/http.md allows, with that body, in that
/// order; its target is in a form that endpoints expect, and its fields say nothing of this connection.
pub fn request_head(bytes: &[u8]) {
    let seen: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let (view, clock) = (VIEW.clone(), Clock::start());
    let _now = clock;
    let ends = Ends { client: ([192, 0, 2, 7], 5_000).into(), at: ([127, 0, 0, 1], 80).into() };
    let client = Rc::new(Client::new(Some(ends), view.config.listeners[0].clone(), None));
    let shared = seen.clone();
    let handler = hyper::service::service_fn(move |request| {
        let (view, client, seen) = (view.clone(), client.clone(), shared.clone());
        async move { Ok::<_, Infallible>(look(&view, &client, request, &seen).await) }
    });
    alone(async {
        let (mut theirs, ours) = duplex(1 << 20);
        theirs.write_all(bytes).await.expect("there is room");
        theirs.shutdown().await.expect("a pipe closes");
        let _served = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(ours), handler).await;
    });
    let asked = dialect::requests(bytes, &DOOR);
    let mut left = asked.messages.iter().map(|Message { start: [method, target, _], body, .. }| {
        (method.clone(), dialect::sent_on(target), body.clone())
    });
    for seen in seen.take() {
        assert!(left.any(|asked| asked == seen), "{seen:?} was never asked for in {:?}: {}", asked, shown(bytes));
    }
}

static VIEW: LazyLock<Arc<View>> = LazyLock::new(|| {
    let text = "[[listener]]\naddress = '127.0.0.1:80'\n[[backend]]\nname = 'sites'\nprimary = { name = 'main', endpoints = \
                ['127.0.0.1:1'] }\n";
    let config: Config = config::parse("fuzz.toml", text, &|_| Err(ErrorKind::NotFound.into()))
        .unwrap_or_else(|problems| panic!("{problems}"));
    Steps::new(Arc::new(config), 1).expect("the system gives a poller").view()
});

async fn look(
    view: &View,
    client: &Client,
    request: Request<Incoming>,
    seen: &RefCell<Vec<Seen>>,
) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    match route::find(view, client, &request) {
        Err(_) => *response.status_mut() = http::StatusCode::BAD_REQUEST,
        Ok(route) => {
            let (mut head, body) = request.into_parts();
            let caller = client.caller(&head.headers);
            let upgrading = route.upgrading;
            headers::request(&mut head.headers, &caller, ForwardedAs::XForwarded, route.host, upgrading);
            well_formed(&head.headers, upgrading);
            let hosts = head.headers.get_all(header::HOST).iter().count();
            assert!(hosts == 1 || (hosts == 0 && head.version == Version::HTTP_10), "{hosts} hosts");
            let odd = head.headers.keys().find(|name| name.as_str().contains('_') || name.as_str() == "proxy");
            assert_eq!(odd, None);
            let target = route::target(&head.uri).to_string();
            assert!(target.starts_with('/') || target == "*", "{target}");
            assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target}");
            if let Ok(body) = body.collect().await {
                seen.borrow_mut().push((head.method.to_string(), target, body.to_bytes().to_vec()));
            }
        }
    }
    response
}

/// Nothing that frames a message twice, and nothing that belongs to one connection.
fn well_formed(fields: &HeaderMap, upgrading: Upgrading) {
    for name in ["transfer-encoding", "te", "keep-alive", "proxy-connection"] {
        assert!(!fields.contains_key(name), "{name} in {fields:?}");
    }
    let upgrade = usize::from(upgrading == Upgrading::Yes && fields.contains_key(header::UPGRADE));
    assert_eq!(fields.get_all(header::CONNECTION).iter().count(), upgrade, "{fields:?}");
}

/// Whatever an endpoint answers: a response that we take whole is one that it sent whole, with that status and body.
pub fn response_head(bytes: &[u8]) {
    alone(async {
        let clock = Clock::start();
        let (ours, mut theirs) = duplex(1 << 20);
        let reply = bytes.to_vec();
        tasks::spawn(async move {
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                if !matches!(theirs.read_buf(&mut heard).await, Ok(1..)) {
                    return;
                }
            }
            let _said = theirs.write_all(&reply).await;
        });
        let lease = over(TokioIo::new(ours)).await.expect("there is memory");
        let (kept, way) = (Kept::default(), Way::plain(SocketAddr::from(([127, 0, 0, 1], 1))));
        let target = Target {
            way: &way,
            kept: &kept,
            given: Some(Taken { lease, idle: Duration::ZERO }),
            introduce: None,
            connect_timeout: Duration::from_secs(1),
            head_timeout: Duration::from_secs(1),
            interims: None,
        };
        let request = Request::builder().uri("/").header("host", "localhost").body(Upload::Empty).expect("it is one");
        let state = Rc::new(UploadState::whole(Moment::default()));
        let Ok(answer) = send(target, request, &state, Reuse::Any, clock.now(), clock, || Go::On).await else { return };
        let (mut head, body) = answer.response.into_parts();
        headers::response(&mut head.headers, head.status, Upgrading::No);
        well_formed(&head.headers, Upgrading::No);
        let Ok(body) = body.collect().await else { return };
        let read = dialect::responses(bytes, &FROM_ENDPOINTS, &["GET"], Allowed::Yes);
        let whole = read.messages.iter().find(|message| message.status() >= 200);
        let sent = whole.map(|message| (message.status(), &message.body[..]));
        let taken = (head.status.as_u16(), &body.to_bytes()[..]);
        assert_eq!(Some(taken), sent, "{:?}: {}", read.end, shown(bytes));
    });
}
