//! The endpoint program: serves the site at one place, and misbehaves when told to. It is this same binary, as a process of its own,
//! so that SIGKILL and SIGSTOP do to it what they do to a real one.
//!
//! Orders come line by line on stdin (the name of a [`Trouble`]) and are acknowledged on stdout once they are in force, with how many
//! requests have met trouble so far. Every write whose request has come in whole counts as run, whatever is answered: its id goes to a
//! file, which outlives a SIGKILL.
//!
//! Not here: who answers what in which trouble (`manner`), when what happens (`fault`).

use crate::fault::Trouble;
use crate::manner::{self, Manner};
use crate::place::Place;
use crate::request::Request;
use crate::site::{self, Page, Site};
use anyhow::Context;
use bytes::Bytes;
use clap::ValueEnum;
use rustix::process::{Signal, set_parent_process_death_signal};
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::pending;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, sleep};

const BACKLOG: u32 = 1_024;
/// Of [`Trouble::HalfRefused`].
const REFUSAL_TURN: Duration = Duration::from_millis(20);
const TRICKLE_PACE: Duration = Duration::from_millis(100);

/// What all its connections share.
struct Endpoint {
    place: Place,
    number: u8,
    site: Site,
    trouble: Cell<Trouble>,
    /// Requests that were not answered well.
    met: Cell<u64>,
    dice: RefCell<fastrand::Rng>,
    runs: RefCell<File>,
}

/// Serves until stdin ends or its parent does.
pub fn run(place: Place, number: u8, runs: &Path) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?; // a frozen one would never see that stdin ended
    let runs = File::options().create(true).append(true).open(runs).context("cannot open the file of runs")?;
    let endpoint = Rc::new(Endpoint {
        place,
        number,
        site: Site::make(),
        trouble: Cell::new(Trouble::None),
        met: Cell::new(0),
        dice: RefCell::new(fastrand::Rng::with_seed(7)),
        runs: RefCell::new(runs),
    });
    let (send, orders) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let trouble = Trouble::from_str(&line, false).expect("the drill sends names of troubles");
            if send.blocking_send(trouble).is_err() {
                return;
            }
        }
    });
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(endpoint.serve(orders))
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address).with_context(|| format!("{address} is taken: another drill runs, or something else does"))?;
    Ok(socket.listen(BACKLOG)?)
}

impl Endpoint {
    /// What was asked for is done, and may be relied on.
    fn acknowledge(&self) {
        println!("{}", self.met.get());
    }

    async fn serve(self: Rc<Self>, mut orders: mpsc::Receiver<Trouble>) -> anyhow::Result<()> {
        let address = self.place.address(self.number);
        let mut listener = Some(listen(address)?);
        let mut turns = tokio::time::interval(REFUSAL_TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay); // those before the trouble began are not made up for
        self.acknowledge();
        loop {
            let next_client = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                accepted = next_client => {
                    if let Ok((stream, _)) = accepted {
                        tokio::task::spawn_local(self.clone().converse(stream));
                    }
                }
                order = orders.recv() => {
                    let Some(trouble) = order else { return Ok(()) };
                    self.trouble.set(trouble);
                    if listener.is_none() {
                        listener = Some(listen(address)?);
                    }
                    self.acknowledge();
                }
                _ = turns.tick(), if self.trouble.get() == Trouble::HalfRefused => {
                    listener = match listener {
                        Some(_) => None,
                        None => Some(listen(address)?),
                    };
                }
            }
        }
    }

    /// One connection. How it ends is told to the peer by the way it is closed, and to nobody else.
    async fn converse(self: Rc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut stream = BufReader::new(stream);
        while let Ok(Some(request)) = Request::read(&mut stream).await {
            if let Some(id) = request.write {
                self.note_run(id);
            }
            sleep(request.takes).await;
            let page = self.site.find(&request.path).map(|number| (number, self.site.page(number)));
            let manner = manner::of(self.trouble.get(), &request, page, &mut self.dice.borrow_mut());
            if manner != Manner::Well {
                self.met.set(self.met.get() + 1);
            }
            let answer = Answer::to(&request, page.map(|(_, page)| page), self.place);
            match self.give(&mut stream, &answer, manner).await {
                Ok(Then::Next) => {}
                Ok(Then::Close) | Err(_) => return,
                Ok(Then::Reset) => {
                    let _ = SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO));
                    return;
                }
            }
        }
    }

    fn note_run(&self, id: u64) {
        self.runs.borrow_mut().write_all(format!("{id}\n").as_bytes()).expect("a temporary file can be written");
    }

    /// An answer that was begun in trouble ends in it, whatever was ordered since.
    async fn give(&self, stream: &mut BufReader<TcpStream>, answer: &Answer, manner: Manner) -> io::Result<Then> {
        let length = answer.body.len();
        match manner {
            Manner::Well => answer.send(stream, length, length, "keep-alive").await?,
            Manner::Late(wait) => {
                sleep(wait).await;
                answer.send(stream, length, length, "keep-alive").await?;
            }
            Manner::LastOnConnection => {
                answer.send(stream, length, length, "close").await?;
                return Ok(Then::Close);
            }
            Manner::Error => {
                let error = Answer::error(self.place);
                error.send(stream, error.body.len(), error.body.len(), "keep-alive").await?;
            }
            Manner::Silence => return until_left(stream).await,
            Manner::Reset => return Ok(Then::Reset),
            Manner::Cut => {
                answer.send(stream, length, length / 2, "keep-alive").await?;
                return Ok(Then::Close);
            }
            Manner::HeadOnly => {
                answer.send(stream, length, 0, "keep-alive").await?;
                return until_left(stream).await;
            }
            Manner::Trickle => {
                answer.send(stream, length, 0, "keep-alive").await?;
                for byte in &answer.body {
                    stream.write_all(&[*byte]).await?; // an error once the peer has given up
                    sleep(TRICKLE_PACE).await;
                }
            }
            Manner::PromisesMore(by) => answer.send(stream, length + by, length, "keep-alive").await?,
            Manner::PromisesLess(by) => answer.send(stream, length.saturating_sub(by), length, "keep-alive").await?,
        }
        Ok(Then::Next)
    }
}

enum Then {
    Next,
    Close,
    Reset,
}

/// Says nothing more, until the peer gives up.
async fn until_left(stream: &mut BufReader<TcpStream>) -> io::Result<Then> {
    let mut ignored = [0; 256];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(Then::Close)
}

/// The right answer to a request.
struct Answer {
    status: &'static str,
    /// Header lines, each with its end.
    fields: String,
    body: Bytes,
}

impl Answer {
    fn to(request: &Request, page: Option<&Page>, place: Place) -> Answer {
        let plain = |status, body: Bytes| Answer {
            status,
            fields: format!("x-place: {}\r\ncontent-type: text/plain\r\n", place.name()),
            body,
        };
        if let Some(id) = request.write {
            return plain("200 OK", site::taken(id));
        }
        let Some(page) = page else {
            return if request.path == site::CHECK {
                plain("200 OK", "ok\n".into())
            } else {
                plain("404 Not Found", "there is no such page\n".into())
            };
        };
        let mut fields = format!(
            "x-place: {}\r\ncontent-type: text/html\r\netag: {}\r\nlast-modified: Tue, 01 Mar 2011 12:00:00 GMT\r\naccept-ranges: bytes\r\n",
            place.name(),
            page.etag
        );
        let length = page.bytes.len();
        match request.range.filter(|_| request.if_range.as_ref().is_none_or(|tag| *tag == page.etag)) {
            None => Answer { status: "200 OK", fields, body: page.bytes.clone() },
            Some((first, last)) if first < length => {
                let last = last.map_or(length - 1, |last| last.min(length - 1));
                fields.push_str(&format!("content-range: bytes {first}-{last}/{length}\r\n"));
                Answer { status: "206 Partial Content", fields, body: page.bytes.slice(first..=last) }
            }
            Some(_) => {
                fields.push_str(&format!("content-range: bytes */{length}\r\n"));
                Answer { status: "416 Range Not Satisfiable", fields, body: Bytes::new() }
            }
        }
    }

    fn error(place: Place) -> Answer {
        let fields = format!("x-place: {}\r\ncontent-type: text/plain\r\n", place.name());
        Answer { status: "500 Internal Server Error", fields, body: "the disk did not answer\n".into() }
    }

    /// The head with that Content-Length, and that much of the body.
    async fn send(
        &self,
        stream: &mut BufReader<TcpStream>,
        promised: usize,
        sent: usize,
        connection: &str,
    ) -> io::Result<()> {
        let Answer { status, fields, body } = self;
        let head =
            format!("HTTP/1.1 {status}\r\n{fields}content-length: {promised}\r\nconnection: {connection}\r\n\r\n");
        // In one write where it is small, as servers do.
        let mut bytes = Vec::with_capacity(head.len() + sent);
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&body[..sent]);
        stream.write_all(&bytes).await
    }
}
