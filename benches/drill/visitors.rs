//! Visitors of the site: an open-loop HTTPS client. They come at their rate whatever became of those before, each from its own
//! address, and note what a user would have seen.
//!
//! A visit's time counts from the moment it was due, so that nothing which holds the client up is hidden. The same visits come in
//! the same order each time. Connections are kept and used again, one visit in 16 comes on a new one. A request that was handed back
//! unsent, because a kept connection had just been closed, goes out again on another, as browsers do; nothing else is tried
//! twice.
//!
//! Not here: what is counted as failed, and how it is summed up (`sums`).

use crate::site::{self, Site};
use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinSet, spawn_local};
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
    let outcome = timeout(PATIENCE, crowd.exchange(&plan)).await.unwrap_or(Outcome::TimedOut);
    Note { kind: plan.kind, due, took: (begin + due).elapsed(), outcome }
}

/// What all of them share.
struct Crowd {
    door: SocketAddr,
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
    kept: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

/// One visit before it begins.
struct Plan {
    kind: Kind,
    /// Among the readers, or the writers.
    visitor: usize,
    path: String,
    connection: Connection,
}

#[derive(PartialEq, Eq)]
enum Connection {
    New,
    KeptIfAny,
}

impl Crowd {
    fn gather(invitation: &Invitation) -> anyhow::Result<Crowd> {
        let mut roots = RootCertStore::empty();
        roots.add(invitation.certificate.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let visitors = |street: u8, count: u8| {
            let visitor = |number| Visitor { address: Ipv4Addr::new(127, 0, street, number), kept: RefCell::default() };
            (1..=count).map(visitor).collect()
        };
        Ok(Crowd {
            door: invitation.door,
            tls: TlsConnector::from(Arc::new(tls)),
            site: Site::make(),
            readers: visitors(1, READERS),
            writers: visitors(2, WRITERS),
            dice: RefCell::new(Rng::with_seed(1)),
            latest: Cell::default(),
        })
    }

    /// Three visits in 20 are writes.
    fn plan(&self, number: usize) -> Plan {
        let mut dice = self.dice.borrow_mut();
        let connection = if number.is_multiple_of(NEW_CONNECTION) { Connection::New } else { Connection::KeptIfAny };
        if matches!(number % 20, 3 | 10 | 17) {
            let (visitor, path) = (dice.usize(..self.writers.len()), site::guest_book_path(dice.usize(..)));
            Plan { kind: Kind::Post { id: number as u64 }, visitor, path, connection }
        } else {
            let (visitor, page) = (dice.usize(..self.readers.len()), dice.usize(..site::PAGES));
            Plan { kind: Kind::Get { page }, visitor, path: site::page_path(page), connection }
        }
    }

    async fn exchange(&self, plan: &Plan) -> Outcome {
        let visitor = match plan.kind {
            Kind::Get { .. } => &self.readers[plan.visitor],
            Kind::Post { .. } => &self.writers[plan.visitor],
        };
        let (mut connection, response) = match self.send(visitor, plan).await {
            Ok(answered) => answered,
            Err(outcome) => return outcome,
        };
        let status = response.status().as_u16();
        let Ok(body) = response.into_body().collect().await else { return Outcome::Cut };
        if connection.ready().await.is_ok() {
            let mut kept = visitor.kept.borrow_mut();
            if kept.len() < MOST_KEPT {
                kept.push(connection);
            }
        }
        let right = match plan.kind {
            Kind::Get { page } => self.site.page(page).bytes.clone(),
            Kind::Post { id } => site::taken(id),
        };
        match status {
            200 if body.to_bytes() == right => Outcome::Good,
            200 => Outcome::WrongBody,
            status => Outcome::Status(status),
        }
    }

    /// Up to the head of the answer.
    async fn send(
        &self,
        visitor: &Visitor,
        plan: &Plan,
    ) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), Outcome> {
        let mut request = plan.request();
        loop {
            let kept = if plan.connection == Connection::New { None } else { visitor.kept.borrow_mut().pop() };
            let mut connection = match kept {
                Some(mut kept) => match kept.ready().await {
                    Ok(()) => kept,
                    Err(_) => continue, // closed while nobody used it
                },
                None => self.connect(visitor.address).await.map_err(|_| Outcome::NotConnected)?,
            };
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut error) => request = error.take_message().ok_or(Outcome::NoAnswer)?,
            }
        }
    }

    async fn connect(&self, from: Ipv4Addr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(self.door).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(connection); // its visit hears how it went
        Ok(sender)
    }
}

impl Plan {
    fn request(&self) -> Request<Full<Bytes>> {
        let request = Request::builder().uri(&self.path).header(header::HOST, "localhost");
        let request = match self.kind {
            Kind::Get { .. } => request.body(Full::default()),
            Kind::Post { id } => {
                let form = format!("name=A+visitor&message=Fine+weather,+says+visitor+{id}.");
                let request = request.method("POST").header(site::ID, id);
                request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(Full::from(form))
            }
        };
        request.expect("its parts are valid")
    }
}
