//! Visitors: an open-loop load, which goes on at its rate whatever the answers do, and notes what each request got.

use super::PATIENCE;
use super::client::{Client, Connection, NoConnection, Version, request};
use super::report::{Note, Outcome, Report};
use super::site::{File, Site};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

/// A running load.
pub struct Load {
    crowd: Arc<Crowd>,
    arrivals: JoinHandle<()>,
}

/// What all visitors share.
struct Crowd {
    client: Client,
    site: Arc<Site>,
    visitors: Visitors,
    begun: Instant,
    over: AtomicBool,
    /// Kept HTTP/1.1 connections that are idle.
    idle: Mutex<Vec<Connection>>,
    /// The HTTP/2 connection that new requests go to.
    h2: tokio::sync::Mutex<Option<Connection>>,
    notes: Mutex<Vec<Note>>,
}

/// What visitors do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Visitors {
    /// Read pages and look at images: up to 60 KB each, which an endpoint hands to its kernel at once.
    Readers,
    /// One in seven posts something, the others read.
    Writers,
    /// As writers, and one in forty downloads something large. What breaks off in the middle of a body is cut for the client
    /// too, so these are for tests in which no endpoint dies.
    Downloaders,
}

/// What one visitor asks for.
struct Visit<'a> {
    method: &'static str,
    path: String,
    /// The right answer's body.
    body: &'a [u8],
}

impl Visit<'_> {
    fn of(file: &File) -> Visit<'_> {
        Visit { method: "GET", path: file.path.clone(), body: &file.bytes }
    }
}

impl Visitors {
    fn visit(self, n: usize, site: &Site) -> Visit<'_> {
        match self {
            Visitors::Writers | Visitors::Downloaders if n % 7 == 3 => {
                Visit { method: "POST", path: format!("/post/{n}"), body: b"taken\n" }
            }
            Visitors::Downloaders if n % 40 == 39 => Visit::of(site.download(n / 40)),
            Visitors::Readers | Visitors::Writers | Visitors::Downloaders => Visit::of(site.page(n)),
        }
    }
}

impl Load {
    /// Starts `rate` requests a second: one in four over HTTP/2, the others over HTTP/1.1, one of sixteen on a new connection.
    pub fn start(client: Client, site: &Arc<Site>, rate: u32, visitors: Visitors) -> Load {
        let crowd = Arc::new(Crowd {
            client,
            site: site.clone(),
            visitors,
            begun: Instant::now(),
            over: AtomicBool::new(false),
            idle: Mutex::default(),
            h2: tokio::sync::Mutex::default(),
            notes: Mutex::default(),
        });
        let arrivals = tokio::spawn(arrive(crowd.clone(), Duration::from_secs(1) / rate));
        Load { crowd, arrivals }
    }

    /// What came of the requests that ended so far.
    pub fn so_far(&self) -> Report {
        Report::of(self.crowd.notes.lock().unwrap().clone())
    }

    /// Waits until that many more requests have ended.
    pub async fn goes_on(&self, requests: usize) {
        let enough = self.so_far().len() + requests;
        super::eventually("the load goes on", async || self.so_far().len() >= enough).await;
    }

    /// Waits until that data centre answers somebody who came from now on.
    pub async fn reaches(&self, data_centre: &str) {
        let from = self.crowd.begun.elapsed();
        super::eventually(&format!("{data_centre} answers"), async || {
            self.so_far().since(from).answered_by(data_centre) > 0
        })
        .await;
    }

    /// No new visitors; those under way get what they came for.
    pub async fn stop(mut self) -> Report {
        self.crowd.over.store(true, Ordering::Relaxed);
        (&mut self.arrivals).await.unwrap();
        let report = self.so_far();
        eprintln!("load: {report}");
        report
    }
}

async fn arrive(crowd: Arc<Crowd>, pace: Duration) {
    let mut ticks = tokio::time::interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut visits = JoinSet::new();
    for n in 0.. {
        ticks.tick().await;
        if crowd.over.load(Ordering::Relaxed) {
            break;
        }
        visits.spawn(visit(crowd.clone(), n));
        while visits.try_join_next().is_some() {}
    }
    visits.join_all().await;
}

async fn visit(crowd: Arc<Crowd>, n: usize) {
    let begun = crowd.begun.elapsed();
    let version = if n.is_multiple_of(4) { Version::H2 } else { Version::Http1 };
    let visit = crowd.visitors.visit(n, &crowd.site);
    let exchange = tokio::time::timeout(PATIENCE, exchange(&crowd, &visit, version, n % 16 == 1));
    let (outcome, data_centre) =
        exchange.await.unwrap_or_else(|_| (Outcome::Failed("no whole answer in time".to_owned()), None));
    let note = Note { method: visit.method, path: visit.path, version, begun, outcome, data_centre };
    crowd.notes.lock().unwrap().push(note);
}

/// Sends it and reads the whole answer; on a new connection if a kept one was closed before it took the request.
async fn exchange(crowd: &Crowd, visit: &Visit<'_>, version: Version, new: bool) -> (Outcome, Option<String>) {
    let body = if visit.method == "POST" { Bytes::from(vec![b'x'; 300]) } else { Bytes::new() };
    let failed = |what: String| (Outcome::Failed(what), None);
    let (mut connection, kept) = match crowd.connection(version, new).await {
        Ok(connection) => connection,
        Err(NoConnection::Refused) => return (Outcome::NotAccepted, None),
        Err(NoConnection::Broken(error)) => return failed(format!("no connection: {error}")),
    };
    let response = match connection.send(request(visit.method, &visit.path, body)).await {
        Ok(response) => response,
        Err(error) if kept && never_taken(&error) => return (Outcome::Returned(format!("{error:?}")), None),
        Err(error) => {
            return failed(format!("no response on a {} connection: {error:?}", if kept { "kept" } else { "new" }));
        }
    };
    let (head, body) = response.into_parts();
    let data_centre = head.headers.get("x-data-centre").map(|name| name.to_str().unwrap().to_owned());
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return (Outcome::Failed(format!("status {}, cut body: {error:?}", head.status)), data_centre),
    };
    if let Connection::Http1(_) = connection
        && head.headers.get("connection").is_none_or(|value| value != "close")
    {
        crowd.idle.lock().unwrap().push(connection);
    }
    let outcome = match head.status.as_u16() {
        200 if body == visit.body => Outcome::Good,
        200 => {
            let same = body.iter().zip(visit.body).take_while(|(got, right)| got == right).count();
            Outcome::Failed(format!("{} bytes of {}, right up to {same}", body.len(), visit.body.len()))
        }
        status => Outcome::Status(status),
    };
    (outcome, data_centre)
}

impl Crowd {
    /// A connection, and whether it was used before.
    async fn connection(&self, version: Version, new: bool) -> Result<(Connection, bool), NoConnection> {
        match version {
            Version::Http1 if new => Ok((self.client.connect(Version::Http1).await?, false)),
            Version::Http1 => {
                loop {
                    let Some(mut connection) = self.idle.lock().unwrap().pop() else { break };
                    if connection.usable().await {
                        return Ok((connection, true));
                    }
                }
                Ok((self.client.connect(Version::Http1).await?, false))
            }
            Version::H2 => {
                let mut shared = self.h2.lock().await;
                if let Some(Connection::H2(sender)) = &mut *shared
                    && sender.ready().await.is_ok()
                {
                    return Ok((Connection::H2(sender.clone()), true));
                }
                let connection = self.client.connect(Version::H2).await?;
                if let Connection::H2(sender) = &connection {
                    *shared = Some(Connection::H2(sender.clone()));
                }
                Ok((connection, false))
            }
        }
    }
}

/// Whether a kept connection was closed at the very moment when the request was sent: nothing of an answer came. HTTP/1.1
/// can't avoid that (RFC 9112, section 9.3.1), HTTP/2 says so; browsers send it again.
fn never_taken(error: &hyper::Error) -> bool {
    let text = format!("{error:?}");
    error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
        || text.contains("ConnectionReset")
        || text.contains("BrokenPipe")
        || text.contains("REFUSED_STREAM")
        || text.contains("GoAway")
}
