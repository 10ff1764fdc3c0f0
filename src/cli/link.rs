//! The way to a running Hotspare: over its socket on this machine, or to its admin listener. One request, one answer.
//!
//! Nobody who is in a hurry should have to say where it is: without options that is the socket of the default state directory,
//! and where that leads nowhere the default admin address.
//!
//! Not here: what is asked for and what an answer means (`status`, `order`).

use crate::admin::socket;
use crate::config::STATE_DIR;
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use clap::Args;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the admin listener is unless the configuration says otherwise.
pub const DEFAULT_ADMIN: &str = "127.0.0.1:9900";

/// For the connect, and for the whole answer unless it is known to take longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// No answer is this large: what sends more is something else.
const MAX_ANSWER: u64 = 16 << 20;

/// Which Hotspare, and how to get in.
#[derive(Clone, Debug, Default, Args)]
pub struct Link {
    /// Its admin listener. [default: its socket on this machine if there is one, else 127.0.0.1:9900]
    #[arg(long, value_name = "ADDR", conflicts_with = "socket")]
    pub admin: Option<String>,
    /// Its socket on this machine: admin.sock in its state_dir. Takes commands from its own user and root, without a token.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The file with the token that commands to the admin listener need.
    #[arg(long, value_name = "FILE", env = "HOTSPARE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Reads: needs no token, so none is shown.
    Get {
        path: &'a str,
    },
    Post {
        path: &'a str,
        json: &'a str,
    },
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Who answered.
    pub place: Place,
    pub status: u16,
    /// The status line, fit to be shown.
    pub line: String,
    pub body: String,
}

/// Where a Hotspare is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Tcp(SocketAddr),
    Socket(PathBuf),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("`{given}` is not an address: {error}\n  give host:port, as in `--admin {DEFAULT_ADMIN}`")]
    Address { given: String, error: io::Error },
    #[error("cannot read the token in {}: {error}\n  it is the file that `[admin] token_file` names in hotspare's configuration", file.display())]
    Token { file: PathBuf, error: io::Error },
    #[error(
        "nothing listens at {place}: {error}\n  is hotspare running? its configuration says where, in `[admin] address` and \
         `state_dir`; pass that as `--admin ADDR`, or `--socket PATH`"
    )]
    Connect { place: Place, error: io::Error },
    #[error(
        "{place} does not answer: {error}\n  is that hotspare's admin address? see `[admin] address` in its configuration"
    )]
    Exchange { place: Place, error: io::Error },
}

impl Link {
    /// Sends it, and waits for all of the answer. An error after the connection was made leaves open what was done.
    pub fn send(&self, request: Request<'_>, clock: Clock) -> Result<Answer, LinkError> {
        self.send_and_wait(request, PATIENCE, clock)
    }

    /// The same, for what takes longer.
    pub fn send_and_wait(&self, request: Request<'_>, patience: Duration, clock: Clock) -> Result<Answer, LinkError> {
        let token = match (request, &self.token_file) {
            (Request::Post { .. }, Some(file)) => Some(token(file)?),
            (Request::Post { .. }, None) | (Request::Get { .. }, _) => None,
        };
        let (mut stream, place) = self.connect()?;
        let text = written(request, &place, token.as_deref());
        let answered = exchange(&mut *stream, &text, patience, clock);
        let answer = answered.map_err(|error| LinkError::Exchange { place: place.clone(), error })?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let line = head.lines().next().unwrap_or("");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0); // 0: not HTTP at all
        let line = line.chars().filter(|c| !c.is_control()).take(80).collect();
        Ok(Answer { place, status, line, body: body.to_owned() })
    }

    fn connect(&self) -> Result<(Box<dyn Stream>, Place), LinkError> {
        match (&self.socket, &self.admin) {
            (Some(path), _) => over_socket(path),
            (None, Some(address)) => over_tcp(address),
            // A socket that is somebody else's, or dead, is no reason to give up.
            (None, None) => over_socket(&Path::new(STATE_DIR).join(socket::NAME)).or_else(|_| over_tcp(DEFAULT_ADMIN)),
        }
    }
}

fn over_socket(path: &Path) -> Result<(Box<dyn Stream>, Place), LinkError> {
    let place = Place::Socket(path.to_owned());
    let connected = || {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?; // one whose queue is full would keep us waiting for ever
        socket.connect(&socket2::SockAddr::unix(path)?)?;
        socket.set_nonblocking(false)?;
        Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
    };
    match connected() {
        Ok(stream) => Ok((Box::new(stream), place)),
        Err(error) => Err(LinkError::Connect { place, error }),
    }
}

fn over_tcp(address: &str) -> Result<(Box<dyn Stream>, Place), LinkError> {
    let address = resolve(address)?;
    let place = Place::Tcp(address);
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(stream) => Ok((Box::new(stream), place)),
        Err(error) => Err(LinkError::Connect { place, error }),
    }
}

/// `http://host:port/` is taken too: it is what people copy.
fn resolve(given: &str) -> Result<SocketAddr, LinkError> {
    let address = given.strip_prefix("http://").unwrap_or(given).trim_end_matches('/');
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let found = address.to_socket_addrs().and_then(|mut found| found.next().ok_or_else(none));
    found.map_err(|error| LinkError::Address { given: given.to_owned(), error })
}

fn token(file: &Path) -> Result<String, LinkError> {
    let trouble = |error| LinkError::Token { file: file.to_owned(), error };
    let text = std::fs::read_to_string(file).map_err(trouble)?;
    let token = text.trim();
    match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(trouble(io::Error::new(io::ErrorKind::InvalidData, "what is in it is no token"))),
    }
}

/// HTTP/1.0 because its answer is what comes until the connection closes: nothing to parse.
fn written(request: Request<'_>, place: &Place, token: Option<&str>) -> String {
    let host = match place {
        Place::Tcp(address) => address.to_string(),
        Place::Socket(_) => "localhost".to_owned(),
    };
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    match request {
        Request::Get { path } => format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n\r\n"),
        Request::Post { path, json } => format!(
            "POST {path} HTTP/1.0\r\nhost: {host}\r\n{token}content-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            json.len()
        ),
    }
}

fn exchange(stream: &mut dyn Stream, request: &str, patience: Duration, clock: Clock) -> io::Result<String> {
    let deadline = clock.now().after(patience);
    stream.patience(Wait::Write, PATIENCE)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        stream.patience(Wait::Read, left(deadline, clock.now())?)?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
        if u64::try_from(answer.len()).unwrap_or(u64::MAX) > MAX_ANSWER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end"));
        }
    }
    String::from_utf8(answer).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the answer is not text"))
}

fn left(deadline: Moment, now: Moment) -> io::Result<Duration> {
    match deadline.since(now) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Wait {
    Read,
    Write,
}

/// Either kind of connection.
trait Stream: Read + Write {
    /// Until it is set anew, that kind of wait ends after so long.
    fn patience(&self, wait: Wait, patience: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn patience(&self, wait: Wait, patience: Duration) -> io::Result<()> {
        match wait {
            Wait::Read => self.set_read_timeout(Some(patience)),
            Wait::Write => self.set_write_timeout(Some(patience)),
        }
    }
}

impl Stream for UnixStream {
    fn patience(&self, wait: Wait, patience: Duration) -> io::Result<()> {
        match wait {
            Wait::Read => self.set_read_timeout(Some(patience)),
            Wait::Write => self.set_write_timeout(Some(patience)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Socket(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_is_an_error_that_shows_one() {
        let error = resolve("localhost").unwrap_err().to_string();
        assert!(error.contains("`localhost`") && error.contains("--admin 127.0.0.1:9900"), "{error}");
        assert_eq!(resolve("http://127.0.0.1:9900/").unwrap(), DEFAULT_ADMIN.parse().unwrap());
    }

    #[test]
    fn the_token_is_shown_with_commands_alone() {
        let place = Place::Tcp(DEFAULT_ADMIN.parse().unwrap());
        let post = written(Request::Post { path: "/commands", json: "{}" }, &place, Some("secret"));
        assert!(post.contains("\r\nauthorization: Bearer secret\r\n") && post.contains("\r\nhost: 127.0.0.1:9900\r\n"));
        let missing = Link { token_file: Some("/nowhere".into()), admin: Some("127.0.0.1:1".into()), socket: None };
        let get = missing.send(Request::Get { path: "/status" }, Clock::start());
        assert!(matches!(get, Err(LinkError::Connect { .. })), "a token that is not needed is not read: {get:?}");
        let post = missing.send(Request::Post { path: "/commands", json: "{}" }, Clock::start());
        assert!(matches!(post, Err(LinkError::Token { .. })), "{post:?}");
    }
}
