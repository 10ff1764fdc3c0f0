//! `hotspare status`: fetches `/status` from a running Hotspare and prints it.
//!
//! Not here: what is in it (`admin::status`), how it is laid out (`output`), arguments (`cli`).

use super::link::{Link, LinkError, Place, Request};
use super::{Verdict, output};
use crate::admin::status::{SCHEMA, Status};
use crate::runtime::clock::Clock;
use std::io::{self, Write};

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
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("{place} answered `{line}` to GET /status\n  is that hotspare's admin address, not that of a site?")]
    Refused { place: Place, line: String },
    #[error("what {place} answered is not a status: {error}\n  is that hotspare's admin address, not that of a site?")]
    NotAStatus { place: Place, error: serde_json::Error },
    #[error(
        "the hotspare at {place} is release {release}, whose status this one can't read\n  use its own `hotspare status`, or --json"
    )]
    Schema { place: Place, release: String },
}

/// The whole command. Prints to `out`, or an error to `errors`; fails only if `out` can't be written.
pub fn run(link: &Link, format: Format, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<Verdict> {
    let (text, status) = match fetch(link, Clock::start()) {
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

fn fetch(link: &Link, clock: Clock) -> Result<(String, Status), StatusError> {
    let answer = link.send(Request::Get { path: "/status" }, clock)?;
    let place = answer.place;
    if answer.status != 200 {
        return Err(StatusError::Refused { place, line: answer.line });
    }
    match serde_json::from_str::<Status>(&answer.body) {
        Ok(status) if status.schema == SCHEMA => Ok((answer.body, status)),
        Ok(status) => Err(StatusError::Schema { place, release: status.release }),
        Err(error) => Err(StatusError::NotAStatus { place, error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Phase;
    use crate::admin::fixture::{SITES, state, view};
    use std::io::Read;
    use std::net::TcpListener;

    fn at(address: &str) -> Link {
        Link { admin: Some(address.to_owned()), ..Link::default() }
    }

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
        let verdict = run(&at(&address), format, &mut out, &mut errors).unwrap();
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
            let verdict = run(&at(&address), Format::Table, &mut out, &mut errors).unwrap();
            (verdict, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
        });
        let (verdict, out, errors) = tokio::select! {
            served = crate::admin::serve(listener, None, state, axum::Router::new()) => panic!("the server ended: {served:?}"),
            printed = command => printed.unwrap(),
        };
        assert_eq!((verdict, errors.as_str()), (Verdict::Problem, ""));
        for part in ["! not ready: draining", "sites: new-jersey has been serving", "10.2.0.11:8080", "certs/site.pem"]
        {
            assert!(out.contains(part), "no {part} in\n{out}");
        }
    }

    #[tokio::test]
    async fn the_socket_tells_the_same_as_the_admin_listener() {
        let directory = tempfile::tempdir().unwrap();
        let socket = crate::admin::Socket::bind(directory.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Link { socket: Some(directory.path().join("admin.sock")), ..Link::default() };
        let command = tokio::task::spawn_blocking(move || fetch(&link, Clock::start()));
        let state = state(view(SITES));
        let fetched = tokio::select! {
            served = crate::admin::serve(listener, Some(socket), state, axum::Router::new()) => panic!("the server ended: {served:?}"),
            fetched = command => fetched.unwrap(),
        };
        assert_eq!(fetched.unwrap().1.backends[0].serving, "new-jersey");
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
        let verdict = run(&at(&free), Format::Table, &mut out, &mut errors).unwrap();
        let errors = String::from_utf8(errors).unwrap();
        assert_eq!((verdict, out.len()), (Verdict::Problem, 0));
        for part in [&*free, "is hotspare running?", "--admin"] {
            assert!(errors.contains(part), "no {part} in {errors}");
        }
    }
}
