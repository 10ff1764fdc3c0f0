//! The demo's own visitors: GETs and POSTs over HTTPS through the front door, begun at a steady rate whether or not the
//! ones before have ended, so that a front door that hangs is not visited less.
//!
//! Connections are kept and used again, and now and then given up for a new one, as browsers do. Bounds: 256 visits at
//! once, [`PATIENCE`] each.
//!
//! Not here: what is a failure (`ledger`).

use super::ledger::{Kind, Ledger, Outcome, Visit};
use super::local_thread::{LocalThread, Stop};
use super::site;
use crate::domain::Percent;
use crate::runtime::clock::Clock;
use crate::runtime::thread::Died;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// How long a visitor waits for a whole answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
const MAX_AT_ONCE: usize = 256;
/// One visit in this many gives its connection up.
const GIVES_UP: u32 = 20;

/// Who comes, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub door: SocketAddr,
    /// Visits a second; at least 1.
    pub rate: u32,
    /// The share of POSTs.
    pub posts: Percent,
    /// Decides what they ask for.
    pub seed: u64,
}

/// Visitors on a thread of their own.
#[derive(Debug)]
pub struct Visitors {
    ledger: Arc<Mutex<Ledger>>,
    thread: LocalThread,
}

impl Visitors {
    /// They come from now on, and trust what `trust` says.
    pub fn start(plan: Plan, trust: Arc<ClientConfig>, clock: Clock) -> io::Result<Visitors> {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let noted = ledger.clone();
        let thread = LocalThread::start("demo-visitors", move |stop| async move {
            let crowd = Crowd {
                plan,
                tls: TlsConnector::from(trust),
                clock,
                ledger: noted,
                dice: RefCell::new(fastrand::Rng::with_seed(plan.seed)),
                posted: Cell::new(0),
                kept: Default::default(),
                connections: RefCell::default(),
            };
            come(Rc::new(crowd), stop).await;
        })?;
        Ok(Visitors { ledger, thread })
    }

    /// What has become of those that ended so far.
    pub fn ledger(&self) -> Ledger {
        *lock(&self.ledger)
    }

    /// No more come; waits for those under way, at most [`PATIENCE`].
    pub async fn stop(self) -> Result<Ledger, Died> {
        self.thread.stop().await?;
        Ok(*lock(&self.ledger))
    }
}

fn lock(ledger: &Mutex<Ledger>) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().expect("nobody panics while holding it")
}

/// What all visits share.
struct Crowd {
    plan: Plan,
    tls: TlsConnector,
    clock: Clock,
    ledger: Arc<Mutex<Ledger>>,
    dice: RefCell<fastrand::Rng>,
    /// POSTs so far: their ids.
    posted: Cell<u64>,
    /// Connections that wait for their next visit, of readers and of writers; never more than there were visits at once.
    kept: [RefCell<Vec<SendRequest<Full<Bytes>>>>; 2],
    /// What moves their bytes.
    connections: RefCell<JoinSet<()>>,
}

async fn come(crowd: Rc<Crowd>, mut stop: Stop) {
    let mut visits = JoinSet::new();
    let mut next = crowd.clock.now();
    loop {
        tokio::select! {
            biased;
            () = stop.asked() => break,
            Some(_) = visits.join_next() => {}
            () = tokio::time::sleep_until(crowd.clock.instant(next)) => {
                let (kind, request) = crowd.think_of_something();
                if visits.len() < MAX_AT_ONCE {
                    visits.spawn_local(visit(crowd.clone(), kind, request));
                } else {
                    crowd.note(Visit { kind, began: next, took: Duration::ZERO, outcome: Outcome::Crowded });
                }
                next = next.after(Duration::from_secs(1) / crowd.plan.rate.max(1));
            }
        }
    }
    while visits.join_next().await.is_some() {}
}

async fn visit(crowd: Rc<Crowd>, kind: Kind, request: Request<Full<Bytes>>) {
    let began = crowd.clock.now();
    let outcome = match tokio::time::timeout(PATIENCE, crowd.exchange(kind, request)).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::TimedOut,
    };
    crowd.note(Visit { kind, began, took: crowd.clock.now().since(began), outcome });
}

impl Crowd {
    fn note(&self, visit: Visit) {
        lock(&self.ledger).note(visit);
    }

    fn think_of_something(&self) -> (Kind, Request<Full<Bytes>>) {
        let mut dice = self.dice.borrow_mut();
        let host = format!("localhost:{}", self.plan.door.port());
        let builder = Request::builder().header(header::HOST, host).header(header::USER_AGENT, "hotspare-demo");
        let (kind, request) = if dice.u8(0..100) < self.plan.posts.0 {
            let id = self.posted.get() + 1;
            self.posted.set(id);
            let form = format!("name=A+visitor&message=Fine+weather+today,+says+visitor+no.+{id}.&id={id}");
            let builder = builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            (Kind::Post, builder.method("POST").uri("/guestbook").body(Full::from(form)))
        } else {
            let path = dice.choice(site::PATHS).expect("the site has pages");
            (Kind::Get, builder.uri(path).body(Full::default()))
        };
        (kind, request.expect("its parts are valid"))
    }

    async fn exchange(&self, kind: Kind, mut request: Request<Full<Bytes>>) -> Outcome {
        let (mut connection, response) = loop {
            let kept = self.kept[kind as usize].borrow_mut().pop();
            let mut connection = match kept {
                Some(mut kept) => match kept.ready().await {
                    Ok(()) => kept,
                    Err(_) => continue, // closed while nobody used it
                },
                None => match self.connect(kind).await {
                    Ok(fresh) => fresh,
                    Err(_) => return Outcome::NotConnected,
                },
            };
            match connection.try_send_request(request).await {
                Ok(response) => break (connection, response),
                // Handed back unsent: the connection was closed just then, which is nobody's fault.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Outcome::NoAnswer,
                },
            }
        };
        let status = response.status();
        if response.into_body().collect().await.is_err() {
            return Outcome::Cut;
        }
        let keep = self.dice.borrow_mut().u32(0..GIVES_UP) != 0;
        if keep && !connection.is_closed() && connection.ready().await.is_ok() {
            self.kept[kind as usize].borrow_mut().push(connection);
        }
        Outcome::Answered(status)
    }

    /// Readers and writers come from addresses of their own: who wrote a moment ago is treated with more care than others.
    async fn connect(&self, kind: Kind) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let from = match kind {
            Kind::Get => Ipv4Addr::new(127, 0, 0, 2),
            Kind::Post => Ipv4Addr::new(127, 0, 0, 3),
        };
        let stream = match self.plan.door {
            SocketAddr::V4(door) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind((from, 0).into())?;
                socket.connect(door.into()).await?
            }
            door @ SocketAddr::V6(_) => TcpStream::connect(door).await?, // it has one address of this machine only
        };
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut connections = self.connections.borrow_mut();
        while connections.try_join_next().is_some() {} // those that ended
        connections.spawn_local(async {
            let _ = connection.await; // its visit hears how it went
        });
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::{CERT_FILE, Certificate, KEY_FILE};
    use super::*;
    use http::{Method, Response, StatusCode};
    use hyper::service::service_fn;
    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::convert::Infallible;
    use std::path::Path;
    use tokio_rustls::TlsAcceptor;

    /// What came in: connections, and the bodies of POSTs.
    #[derive(Debug, Default)]
    struct Seen {
        connections: usize,
        gets: u64,
        posts: Vec<String>,
    }

    /// A door that answers as `status` says, until it is dropped.
    fn door(status: StatusCode) -> (SocketAddr, Arc<ClientConfig>, Arc<Mutex<Seen>>, LocalThread) {
        let certificate = Certificate::generate().unwrap();
        let read = |file| certificate.read(Path::new(file)).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(&read(CERT_FILE)).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&read(KEY_FILE)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Seen::default())));
        let noted = seen.clone();
        let thread = LocalThread::start("test-door", move |mut stop| async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut connections = JoinSet::new();
            loop {
                let stream = tokio::select! {
                    () = stop.asked() => break,
                    accepted = listener.accept() => accepted.unwrap().0,
                };
                noted.lock().unwrap().connections += 1;
                let (tls, noted) = (tls.clone(), noted.clone());
                connections.spawn_local(async move {
                    let service = service_fn(|request: Request<hyper::body::Incoming>| async {
                        let posted = request.method() == Method::POST;
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let mut seen = noted.lock().unwrap();
                        if posted {
                            seen.posts.push(String::from_utf8(body.to_vec()).unwrap());
                        } else {
                            seen.gets += 1;
                        }
                        let mut response = Response::new(Full::<Bytes>::from("hello"));
                        *response.status_mut() = status;
                        Ok::<_, Infallible>(response)
                    });
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        (address, certificate.trust(), seen, thread.unwrap())
    }

    /// The ledger after at least `enough` visits.
    async fn visited(door: SocketAddr, trust: Arc<ClientConfig>, enough: u64) -> Ledger {
        let plan = Plan { door, rate: 60, posts: Percent(30), seed: 1 };
        let visitors = Visitors::start(plan, trust, Clock::start()).unwrap();
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let Ledger { gets, posts, .. } = visitors.ledger();
            if gets.made + posts.made >= enough {
                return visitors.stop().await.unwrap();
            }
        }
        panic!("too few visits: {:?}", visitors.ledger());
    }

    #[tokio::test]
    async fn they_come_at_their_rate_keep_connections_and_count_what_they_saw() {
        let (address, trust, seen, _thread) = door(StatusCode::OK);
        let ledger = visited(address, trust, 100).await;
        let seen = seen.lock().unwrap();
        assert_eq!((ledger.gets.failed, ledger.posts.failed), (0, 0), "{:?}", ledger.first_failed_get);
        assert_eq!((ledger.gets.made, ledger.posts.made), (seen.gets, seen.posts.len() as u64));
        assert!(seen.posts.len() > 10 && seen.gets > 40, "{seen:?}");
        assert!(seen.connections > 1 && seen.connections < 60, "{} connections", seen.connections);
        let mut ids: Vec<_> = seen.posts.iter().map(|form| form.split("&id=").nth(1).unwrap()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), seen.posts.len(), "every POST has an id of its own");
    }

    #[tokio::test]
    async fn an_error_page_is_a_failed_visit_that_was_answered() {
        let (address, trust, _seen, _thread) = door(StatusCode::BAD_GATEWAY);
        let Ledger { gets, first_failed_get, .. } = visited(address, trust, 20).await;
        assert_eq!((gets.failed, gets.unanswered), (gets.made, 0));
        assert_eq!(first_failed_get.unwrap().outcome, Outcome::Answered(StatusCode::BAD_GATEWAY));
    }

    #[tokio::test]
    async fn a_closed_door_is_a_failed_visit_that_was_not_answered() {
        let port = super::super::port::Port::reserve().unwrap();
        let Ledger { gets, .. } = visited(port.address(), Certificate::generate().unwrap().trust(), 20).await;
        assert_eq!((gets.failed, gets.unanswered), (gets.made, gets.made));
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_the_demos_is_not_trusted() {
        let (address, _, _seen, _thread) = door(StatusCode::OK);
        let Ledger { gets, first_failed_get, .. } =
            visited(address, Certificate::generate().unwrap().trust(), 20).await;
        assert_eq!(gets.failed, gets.made);
        assert_eq!(first_failed_get.unwrap().outcome, Outcome::NotConnected);
    }
}
