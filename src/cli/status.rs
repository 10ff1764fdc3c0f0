//! `hotspare status`: fetches `/status` from a running Hotspare and prints it.
//!
//! Not here: what is in it (`admin::status`), how it is laid out (`output`), arguments (`cli`).

use super::{Verdict, output};
use crate::admin::status::{SCHEMA, Status};
use crate::domain::Moment;
use crate::runtime::clock::Clock;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Where the admin listener is unless the configuration says otherwise.
pub const DEFAULT_ADMIN: &str = "127.0.0.1:9900";

/// For the connect, and for the whole answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// No status is this large: what sends more is something else.
const MAX_ANSWER: u64 = 16 << 20;

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table for people.
    Table,
    /// `/status` as it came.
    Json,
}

/// Why there is no status to print.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    #[error("`{given}` is not an address: {error}\n  give host:port, as in `--admin {DEFAULT_ADMIN}`")]
    Address { given: String, error: io::Error },
    #[error(
        "nothing listens at {address}: {error}\n  is hotspare running? its configuration says where, in `[admin] address`; \
         pass that as `--admin ADDR`"
    )]
    Connect { address: SocketAddr, error: io::Error },
    #[error(
        "{address} does not answer: {error}\n  is that hotspare's admin address? see `[admin] address` in its configuration"
    )]
    Exchange { address: SocketAddr, error: io::Error },
    #[error("{address} answered `{line}` to GET /status\n  is that hotspare's admin address, not that of a site?")]
    Refused { address: SocketAddr, line: String },
    #[error(
        "what {address} answered is not a status: {error}\n  is that hotspare's admin address, not that of a site?"
    )]
    NotAStatus { address: SocketAddr, error: serde_json::Error },
    #[error(
        "the hotspare at {address} is release {release}, whose status this one can't read\n  use its own `hotspare status`, or --json"
    )]
    Schema { address: SocketAddr, release: String },
}

/// The whole command. Prints to `out`, or an error to `errors`; fails only if `out` can't be written.
pub fn run(admin: &str, format: Format, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<Verdict> {
    let (text, status) = match fetch(admin, Clock::start()) {
        Ok(fetched) => fetched,
        Err(error) => {
            writeln!(errors, "error: {error}")?;
            return Ok(Verdict::Problem);
        }
    };
    match format {
        Format::Json => out.write_all(text.as_bytes())?,
        Format::Table => out.write_all(output::table(&status).as_bytes())?,
    }
    Ok(if status.problems.is_empty() { Verdict::Fine } else { Verdict::Problem })
}

fn fetch(admin: &str, clock: Clock) -> Result<(String, Status), StatusError> {
    let address = resolve(admin)?;
    let connected = TcpStream::connect_timeout(&address, PATIENCE);
    let stream = connected.map_err(|error| StatusError::Connect { address, error })?;
    let answer = exchange(stream, address, clock).map_err(|error| StatusError::Exchange { address, error })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let line = head.lines().next().unwrap_or("");
    if line.split(' ').nth(1) != Some("200") {
        let line = line.chars().filter(|c| !c.is_control()).take(80).collect();
        return Err(StatusError::Refused { address, line });
    }
    let status: Status = serde_json::from_str(body).map_err(|error| StatusError::NotAStatus { address, error })?;
    match status.schema {
        SCHEMA => Ok((body.to_owned(), status)),
        _ => Err(StatusError::Schema { address, release: status.release }),
    }
}

/// `http://host:port/` is taken too: it is what people copy.
fn resolve(given: &str) -> Result<SocketAddr, StatusError> {
    let address = given.strip_prefix("http://").unwrap_or(given).trim_end_matches('/');
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let found = address.to_socket_addrs().and_then(|mut found| found.next().ok_or_else(none));
    found.map_err(|error| StatusError::Address { given: given.to_owned(), error })
}

/// One GET. HTTP/1.0 because its answer is what comes until the connection closes: nothing to parse.
fn exchange(mut stream: TcpStream, address: SocketAddr, clock: Clock) -> io::Result<String> {
    let deadline = clock.now().after(PATIENCE);
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /status HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        stream.set_read_timeout(Some(left(deadline, clock.now())?))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Phase;
    use crate::admin::fixture::{SITES, state, view};
    use std::net::TcpListener;

    /// Answers one connection with `answer` and returns what the command printed.
    fn against(answer: &'static str, format: Format) -> (Verdict, String, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let n = stream.read(&mut request).unwrap();
            assert!(request[..n].starts_with(b"GET /status HTTP/1.0\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let verdict = run(&address, format, &mut out, &mut errors).unwrap();
        server.join().unwrap();
        (verdict, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
    }

    const WELL: &str = concat!(
        "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n",
        r#"{"schema": 1, "release": "0.1.0", "now": "", "uptime_seconds": 1.0, "readiness": "ready", "generation": 1, "#,
        r#""problems": [], "backends": [], "listeners": [], "recent": [], "a later field": 1}"#
    );

    #[test]
    fn a_status_without_problems_is_exit_status_0() {
        let (verdict, out, errors) = against(WELL, Format::Table);
        assert_eq!((verdict, errors.as_str()), (Verdict::Fine, ""));
        assert!(out.contains("all is well"), "{out}");
    }

    #[tokio::test]
    async fn what_the_admin_listener_says_is_what_people_see() {
        let state = state(view(SITES));
        state.readiness.set(Phase::Draining);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let command = tokio::task::spawn_blocking(move || {
            let (mut out, mut errors) = (Vec::new(), Vec::new());
            let verdict = run(&address, Format::Table, &mut out, &mut errors).unwrap();
            (verdict, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
        });
        let (verdict, out, errors) = tokio::select! {
            served = crate::admin::serve(listener, state, axum::Router::new()) => panic!("the server ended: {served:?}"),
            printed = command => printed.unwrap(),
        };
        assert_eq!((verdict, errors.as_str()), (Verdict::Problem, ""));
        for part in ["! not ready: draining", "sites: new-jersey has been serving", "10.2.0.11:8080", "certs/site.pem"]
        {
            assert!(out.contains(part), "no {part} in\n{out}");
        }
    }

    #[test]
    fn json_is_passed_on_as_it_came() {
        let (_, out, _) = against(WELL, Format::Json);
        assert_eq!(out, WELL.split_once("\r\n\r\n").unwrap().1);
    }

    #[test]
    fn a_site_in_place_of_the_admin_listener_is_recognised() {
        let (verdict, _, errors) = against("HTTP/1.1 404 Not Found\r\n\r\n<html>", Format::Table);
        assert_eq!(verdict, Verdict::Problem);
        assert!(errors.contains("404 Not Found") && errors.contains("admin address"), "{errors}");
        let (_, _, errors) = against("HTTP/1.1 200 OK\r\n\r\n<html>", Format::Table);
        assert!(errors.contains("is not a status"), "{errors}");
        let (_, _, errors) = against("SSH-2.0-OpenSSH_9.2\r\n", Format::Table);
        assert!(errors.contains("SSH-2.0"), "{errors}");
    }

    #[test]
    fn nobody_there_is_an_error_that_says_what_to_do() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let verdict = run(&free, Format::Table, &mut out, &mut errors).unwrap();
        let errors = String::from_utf8(errors).unwrap();
        assert_eq!((verdict, out.len()), (Verdict::Problem, 0));
        for part in [&*free, "is hotspare running?", "--admin"] {
            assert!(errors.contains(part), "no {part} in {errors}");
        }
    }

    #[test]
    fn an_address_without_a_port_is_an_error_that_shows_one() {
        let error = resolve("localhost").unwrap_err().to_string();
        assert!(error.contains("`localhost`") && error.contains("--admin 127.0.0.1:9900"), "{error}");
        assert_eq!(resolve("http://127.0.0.1:9900/").unwrap(), DEFAULT_ADMIN.parse().unwrap());
    }
}
