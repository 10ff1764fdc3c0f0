//! Visitors of the site: an open-loop HTTPS client. They come at their rate whatever became of those before, each from its own
//! address, and note what a user would have seen.
//!
//! A visit's time counts from the moment it was due, so that nothing which holds the client up is hidden. The same visits come in
//! the same order each time. Connections are kept and used again (of HTTP/2 one each, for all visits at a time), one visit in 16 comes on a
//! new one. A request that was handed back unsent, because a kept connection had just been closed, goes out again on another, as
//! browsers do; nothing else is tried twice.
//!
//! Not here: how a connection is made (`connection`), what is counted as failed, and how it is summed up (`sums`).

use crate::connection::{Body, Connection};
use crate::place::Place;
use crate::site::{self, Site};
use crate::variant::{Protocol, Variant, Writes};
use clap::ValueEnum;
use fastrand::Rng;
use http::{HeaderMap, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

/// 200 a second.
const PACE: Duration = Duration::from_millis(5);
const READERS: u8 = 50;
const WRITERS: u8 = 20;
/// After that a user has given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Idle connections that a visitor keeps, as browsers do.
const MOST_KEPT: usize = 6;
/// One visit in so many comes on a new connection.
const NEW_CONNECTION: usize = 16;

/// One visit's fate.
#[derive(Clone, Debug)]
pub struct Note {
    pub kind: Kind,
    /// Since the first visit was due.
    pub due: Duration,
    /// From then on to the end of the whole answer, or of the user's patience.
    pub took: Duration,
    pub outcome: Outcome,
    /// Where the answer came from, as it says itself.
    pub place: Option<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get { page: usize },
    Post { id: u64 },
}

/// What the user saw.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// 200, with every byte as it should be.
    Good,
    Status(u16),
    /// 200, and a body that ended cleanly and is not the right one.
    WrongBody,
    /// The body broke off.
    Cut,
    /// The connection broke before an answer.
    NoAnswer,
    NotConnected,
    TimedOut,
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Good => write!(f, "good"),
            Outcome::Status(status) => write!(f, "status {status}"),
            Outcome::WrongBody => write!(f, "wrong body"),
            Outcome::Cut => write!(f, "cut body"),
            Outcome::NoAnswer => write!(f, "connection broken"),
            Outcome::NotConnected => write!(f, "no connection"),
            Outcome::TimedOut => write!(f, "nothing whole in {} s", PATIENCE.as_secs()),
        }
    }
}

/// What came of all visits.
#[derive(Debug)]
pub struct Report {
    pub notes: Vec<Note>,
    /// How late the client itself began a visit at worst: more than some milliseconds, and the machine was too busy to measure.
    pub latest: Duration,
}

/// Where they go, and from when on.
#[derive(Debug)]
pub struct Invitation {
    pub door: SocketAddr,
    pub variant: Variant,
    pub certificate: CertificateDer<'static>,
    pub begin: std::time::Instant,
    pub length: Duration,
}

/// They come, on a thread of their own; the report is there when the last of them has left.
pub fn come(invitation: Invitation) -> JoinHandle<anyhow::Result<Report>> {
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(arrive(invitation))
    })
}

async fn arrive(invitation: Invitation) -> anyhow::Result<Report> {
    let crowd = Rc::new(Crowd::gather(&invitation)?);
    let begin = Instant::from_std(invitation.begin);
    let mut visits = JoinSet::new();
    let mut due = Duration::ZERO;
    while due < invitation.length {
        sleep_until(begin + due).await;
        let plan = crowd.plan(visits.len());
        visits.spawn_local(visit(crowd.clone(), plan, begin, due));
        due += PACE;
    }
    Ok(Report { notes: visits.join_all().await, latest: crowd.latest.get() })
}

async fn visit(crowd: Rc<Crowd>, plan: Plan, begin: Instant, due: Duration) -> Note {
    crowd.latest.set(crowd.latest.get().max((begin + due).elapsed()));
    let (outcome, place) = timeout(PATIENCE, crowd.exchange(&plan)).await.unwrap_or((Outcome::TimedOut, None));
    Note { kind: plan.kind, due, took: (begin + due).elapsed(), outcome, place }
}

/// What all of them share.
struct Crowd {
    door: SocketAddr,
    protocol: Protocol,
    writes: Writes,
    tls: TlsConnector,
    site: Site,
    readers: Vec<Visitor>,
    writers: Vec<Visitor>,
    dice: RefCell<Rng>,
    latest: Cell<Duration>,
}

/// One user.
struct Visitor {
    address: Ipv4Addr,
    kept: RefCell<Vec<Connection>>,
}

impl Visitor {
    /// A kept connection, which is not closed as far as is known.
    fn take_kept(&self) -> Option<Connection> {
        let mut kept = self.kept.borrow_mut();
        kept.retain(|connection| !connection.is_closed());
        let taken = kept.pop()?;
        kept.extend(taken.share());
        Some(taken)
    }

    fn keep(&self, connection: Connection) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < MOST_KEPT {
            kept.push(connection);
        }
    }
}

/// One visit before it begins.
struct Plan {
    kind: Kind,
    /// Among the readers, or the writers.
    visitor: usize,
    path: String,
    takes: Duration,
    begins: Begins,
}

#[derive(PartialEq, Eq)]
enum Begins {
    OnNewConnection,
    OnKeptIfAny,
}

impl Crowd {
    fn gather(invitation: &Invitation) -> anyhow::Result<Crowd> {
        let mut roots = RootCertStore::empty();
        roots.add(invitation.certificate.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
        let protocol = invitation.variant.protocol();
        let name: &[u8] = match protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        };
        tls.alpn_protocols = vec![name.to_vec()];
        let visitors = |street: u8, count: u8| {
            let visitor = |number| Visitor { address: Ipv4Addr::new(127, 0, street, number), kept: RefCell::default() };
            (1..=count).map(visitor).collect()
        };
        Ok(Crowd {
            door: invitation.door,
            protocol,
            writes: invitation.variant.writes(),
            tls: TlsConnector::from(Arc::new(tls)),
            site: Site::make(),
            readers: visitors(1, READERS),
            writers: visitors(2, WRITERS),
            dice: RefCell::new(Rng::with_seed(1)),
            latest: Cell::default(),
        })
    }

    fn plan(&self, number: usize) -> Plan {
        let mut dice = self.dice.borrow_mut();
        let begins = if number.is_multiple_of(NEW_CONNECTION) { Begins::OnNewConnection } else { Begins::OnKeptIfAny };
        if self.writes.turns.contains(&(number % 20)) {
            let (visitor, path) = (dice.usize(..self.writers.len()), site::guest_book_path(dice.usize(..)));
            Plan { kind: Kind::Post { id: number as u64 }, visitor, path, takes: self.writes.take, begins }
        } else {
            let (visitor, page) = (dice.usize(..self.readers.len()), dice.usize(..site::PAGES));
            Plan { kind: Kind::Get { page }, visitor, path: site::page_path(page), takes: Duration::ZERO, begins }
        }
    }

    async fn exchange(&self, plan: &Plan) -> (Outcome, Option<Place>) {
        let visitor = match plan.kind {
            Kind::Get { .. } => &self.readers[plan.visitor],
            Kind::Post { .. } => &self.writers[plan.visitor],
        };
        let (mut connection, response) = match self.send(visitor, plan).await {
            Ok(answered) => answered,
            Err(outcome) => return (outcome, None),
        };
        let (status, place) = (response.status().as_u16(), place(response.headers()));
        let Ok(body) = response.into_body().collect().await else { return (Outcome::Cut, place) };
        match self.protocol {
            Protocol::Http1 if connection.ready().await.is_ok() => visitor.keep(connection),
            Protocol::Http1 | Protocol::Http2 => {}
        }
        let right = match plan.kind {
            Kind::Get { page } => self.site.page(page).bytes.clone(),
            Kind::Post { id } => site::taken(id),
        };
        let outcome = match status {
            200 if body.to_bytes() == right => Outcome::Good,
            200 => Outcome::WrongBody,
            status => Outcome::Status(status),
        };
        (outcome, place)
    }

    /// Up to the head of the answer.
    async fn send(&self, visitor: &Visitor, plan: &Plan) -> Result<(Connection, Response<Incoming>), Outcome> {
        let mut request = plan.request(self.protocol);
        loop {
            let kept = if plan.begins == Begins::OnNewConnection { None } else { visitor.take_kept() };
            let mut connection = match kept {
                Some(mut kept) => match kept.ready().await {
                    Ok(()) => kept,
                    Err(_) => continue, // closed while nobody used it
                },
                None => self.connect(visitor).await.map_err(|_| Outcome::NotConnected)?,
            };
            match connection.send(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut error) => request = error.take_message().ok_or(Outcome::NoAnswer)?,
            }
        }
    }

    async fn connect(&self, visitor: &Visitor) -> anyhow::Result<Connection> {
        let connection = Connection::open(&self.tls, self.protocol, visitor.address, self.door).await?;
        if let Some(shared) = connection.share() {
            *visitor.kept.borrow_mut() = vec![shared];
        }
        Ok(connection)
    }
}

impl Plan {
    fn request(&self, protocol: Protocol) -> Request<Body> {
        let request = match protocol {
            Protocol::Http1 => Request::builder().uri(&self.path).header(header::HOST, "localhost"),
            Protocol::Http2 => Request::builder().uri(format!("https://localhost{}", self.path)),
        };
        let request = match self.kind {
            Kind::Get { .. } => request.body(Body::default()),
            Kind::Post { id } => {
                let form = format!("name=A+visitor&message=Fine+weather,+says+visitor+{id}.");
                let request = request.method("POST").header(site::ID, id);
                let request = request.header(site::TAKES, self.takes.as_millis().to_string());
                request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(Body::from(form))
            }
        };
        request.expect("its parts are valid")
    }
}

fn place(headers: &HeaderMap) -> Option<Place> {
    Place::from_str(headers.get(site::PLACE)?.to_str().ok()?, false).ok()
}
