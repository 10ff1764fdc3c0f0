//! Commands over real connections, in raw HTTP, answered by a script in the supervisor's place.

use super::super::fixture::{SITES, answer_by, state, view, with_token};
use super::super::guard::Peer;
use super::super::{Socket, State, line, serve};
use super::*;
use crate::domain::{Command, Consequence, NothingToDo, PlaceName, Refusal, Scope};
use axum::extract::FromRequestParts;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const TOKEN: &str = "correct-horse-battery";
const BEARER: &str = "authorization: Bearer correct-horse-battery\r\n";
const JSON: &str = "content-type: application/json\r\n";
const FAILOVER: &str = r#"{"command": "failover", "backend": "sites", "to": "oregon", "for": "90m", "dry_run": true}"#;

/// An admin listener with a socket beside it.
struct Desk<'a> {
    address: SocketAddr,
    socket: PathBuf,
    /// What got through to the supervisor.
    asked: &'a RefCell<Vec<(Order, Act)>>,
}

#[derive(Clone, Copy)]
enum Configured {
    Token,
    NoToken,
}

/// Runs `test` beside a listener whose commands are answered by `script`; a test that hangs fails.
async fn with_desk(configured: Configured, script: fn(&Order) -> Answer, test: impl AsyncFnOnce(Desk<'_>)) {
    let mut view = view(SITES);
    match configured {
        Configured::Token => with_token(&mut view, TOKEN),
        Configured::NoToken => {}
    }
    let (line, waiting) = line();
    let state = State { line, ..state(view) };
    let asked = RefCell::new(Vec::new());
    let answering = answer_by(waiting, |order, act| {
        asked.borrow_mut().push((order.clone(), act));
        script(order)
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let socket = Socket::bind(directory.path()).unwrap();
    let desk =
        Desk { address: listener.local_addr().unwrap(), socket: directory.path().join("admin.sock"), asked: &asked };
    tokio::select! {
        served = serve(listener, Some(socket), state, more()) => panic!("the server ended: {served:?}"),
        never = answering => match never {},
        () = test(desk) => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("the test took too long"),
    }
}

/// A path of others, as the demo has.
fn more() -> Router {
    Router::new().route("/demo/fault/kill", post(async || "killed"))
}

fn agreeing(order: &Order) -> Answer {
    let (backend, from, to) = ("sites".into(), "new-jersey".into(), "oregon".into());
    match &order.command {
        Command::Failover { .. } => Ok(vec![
            Consequence::Moves { backend, from, to },
            Consequence::Diverges { backend: "sites".into(), pool: "oregon".into() },
        ]),
        Command::Hold { scope: Scope::Backend(name) } => Err(Refusal::NoSuchBackend { name: name.clone() }),
        Command::Drain { place } => Err(Refusal::NoSuchPlace { place: place.clone() }),
        Command::Failback { backend } => Err(Refusal::NoSuchPool { backend: backend.clone(), name: "oregom".into() }),
        Command::Ack { backend } => {
            let what = NothingToDo::NothingToAcknowledge { backend: backend.clone() };
            Err(Refusal::NothingToDo { what })
        }
        Command::Hold { .. } | Command::ReadOnly { .. } | Command::Release { .. } | Command::Undrain { .. } => {
            Ok(Vec::new())
        }
    }
}

impl Desk<'_> {
    async fn say(&self, bytes: &str) -> String {
        said(TcpStream::connect(self.address).await.unwrap(), bytes).await
    }

    /// A command to the address itself, with those headers.
    async fn post(&self, headers: &str, body: &str) -> String {
        self.say(&post_to(&self.address.to_string(), headers, body)).await
    }

    async fn over_socket(&self, headers: &str, body: &str) -> String {
        said(UnixStream::connect(&self.socket).await.unwrap(), &post_to("localhost", headers, body)).await
    }

    fn was_asked(&self) -> usize {
        self.asked.borrow().len()
    }
}

fn post_to(host: &str, headers: &str, body: &str) -> String {
    format!(
        "POST /commands HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn said(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &str) -> String {
    // One that refuses what it has read so far may close before it has read the rest.
    let _ = stream.write_all(bytes.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"))
}

fn body(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Without the time, which is all that may differ.
fn timeless(answer: &str) -> String {
    answer.split_inclusive("\r\n").filter(|line| !line.starts_with("date:")).collect()
}

#[tokio::test]
async fn a_stranger_is_told_the_same_whatever_is_asked_and_whatever_is_configured() {
    let mut told = Vec::new();
    for configured in [Configured::NoToken, Configured::Token] {
        with_desk(configured, agreeing, async |desk| {
            let large = "x".repeat(9_000);
            for body in [FAILOVER, r#"{"command": "hold", "backend": "sitse"}"#, "{", "", &large] {
                for headers in [
                    JSON,
                    "",
                    "authorization: Bearer \r\ncontent-type: application/json\r\n",
                    "authorization: Bearer correct-horse-batterz\r\ncontent-type: application/json\r\n",
                    "authorization: Basic correct-horse-battery\r\ncontent-type: application/json\r\n",
                    "authorization: correct-horse-battery\r\ncontent-type: application/json\r\n",
                    "authorization: Bearer x\r\nauthorization: Bearer correct-horse-battery\r\ncontent-type: application/json\r\n",
                ] {
                    told.push(timeless(&desk.post(headers, body).await));
                }
            }
            assert_eq!(desk.was_asked(), 0);
        })
        .await;
    }
    assert!(
        told[0].starts_with("HTTP/1.1 401 ") && told[0].contains("\r\nwww-authenticate: Bearer\r\n"),
        "{}",
        told[0]
    );
    assert!(!told[0].contains("sites"), "{}", told[0]);
    for other in &told {
        assert_eq!(*other, told[0]);
    }
}

#[tokio::test]
async fn the_token_lets_a_command_through_and_a_dry_run_changes_nothing() {
    with_desk(Configured::Token, agreeing, async |desk| {
        let answer = desk.post(&format!("{BEARER}{JSON}"), FAILOVER).await;
        assert_eq!(status(&answer), 200, "{answer}");
        insta::assert_snapshot!(serde_json::to_string_pretty(&body(&answer)).unwrap(), @r#"
        {
          "command": "failover sites --to oregon --for 1h30m",
          "consequences": [
            {
              "backend": "sites",
              "from": "new-jersey",
              "kind": "moves",
              "needs_consent": false,
              "to": "oregon",
              "words": "sites: new requests go to oregon instead of new-jersey, at once; `hotspare release sites` lets health decide again"
            },
            {
              "backend": "sites",
              "kind": "diverges",
              "needs_consent": true,
              "pool": "oregon",
              "words": "sites: oregon takes writes from then on that the pools before it lack; `hotspare failback sites` gives those up unless they were copied (`hotspare readonly sites` beforehand keeps writes out)"
            }
          ],
          "dry_run": true
        }
        "#);
        let command = Command::Failover { backend: "sites".into(), to: Some("oregon".into()) };
        let order = Order { command, lasts: Some(Duration::from_secs(5_400)), force: Force::No };
        assert_eq!(*desk.asked.borrow(), [(order.clone(), Act::Consider)]);

        let lower = format!("authorization: bearer {TOKEN}\r\ncontent-type: application/json; charset=utf-8\r\n");
        let answer = desk.post(&lower, &FAILOVER.replace("true", "false")).await;
        assert_eq!((status(&answer), body(&answer)["dry_run"].as_bool()), (200, Some(false)), "{answer}");
        assert_eq!(desk.asked.borrow()[1], (order, Act::CarryOut));
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_site_can_not_have_a_browser_send_a_command() {
    with_desk(Configured::Token, agreeing, async |desk| {
        let good = format!("{BEARER}{JSON}");
        let here = desk.address;
        for foreign in [
            "origin: https://evil.example\r\n".to_owned(),
            "origin: null\r\n".to_owned(),
            "origin: http://127.0.0.1:1\r\n".to_owned(),
            format!("origin: http://{here}\r\norigin: https://evil.example\r\n"),
            format!("origin: http://{here}\r\nsec-fetch-site: cross-site\r\n"),
            "sec-fetch-site: cross-site\r\n".to_owned(),
            "sec-fetch-site: same-site\r\n".to_owned(),
        ] {
            let answer = desk.post(&format!("{good}{foreign}"), FAILOVER).await;
            assert_eq!((status(&answer), body(&answer)["reason"].as_str()), (403, Some("cross_site")), "{foreign}");
            assert!(!answer.contains("access-control"), "{answer}");
            let over_socket = desk.over_socket(&format!("{JSON}{foreign}"), FAILOVER).await;
            assert_eq!(status(&over_socket), 403, "{foreign}");
            let fault = format!("POST /demo/fault/kill HTTP/1.1\r\nhost: {here}\r\nconnection: close\r\n{foreign}content-length: 0\r\n\r\n");
            assert_eq!(status(&desk.say(&fault).await), 403, "{foreign}");
            let get = format!("GET /healthz HTTP/1.1\r\nhost: {here}\r\nconnection: close\r\n{foreign}\r\n");
            assert_eq!(status(&desk.say(&get).await), 200, "whoever reads may come from anywhere: {foreign}");
        }
        assert_eq!(desk.was_asked(), 0);
        let own = format!("{good}origin: http://{here}\r\nsec-fetch-site: same-origin\r\n");
        assert_eq!(status(&desk.post(&own, FAILOVER).await), 200);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_leads_here_is_not_our_address() {
    with_desk(Configured::Token, agreeing, async |desk| {
        let good = format!("{BEARER}{JSON}");
        for host in ["evil.example", "evil.example:9900", "localhost.evil.example"] {
            // As a browser would send it that believes to talk to the other site.
            let own = format!("{good}origin: http://{host}\r\nsec-fetch-site: same-origin\r\n");
            let answer = desk.say(&post_to(host, &own, FAILOVER)).await;
            assert_eq!((status(&answer), body(&answer)["reason"].as_str()), (403, Some("foreign_host")), "{host}");
            let get = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            assert_eq!(status(&desk.say(&get).await), 200, "Prometheus may use a name");
        }
        let without = format!("POST /commands HTTP/1.0\r\n{good}content-length: {}\r\n\r\n{FAILOVER}", FAILOVER.len());
        assert_eq!(status(&desk.say(&without).await), 403);
        let twice = post_to(&format!("{}\r\nhost: evil.example", desk.address), &good, FAILOVER);
        assert!(matches!(status(&desk.say(&twice).await), 400 | 403));
        assert_eq!(desk.was_asked(), 0);
        for host in ["localhost:9900", "[::1]:9900", "192.0.2.1"] {
            assert_eq!(status(&desk.say(&post_to(host, &good, FAILOVER)).await), 200, "{host}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_json_command_of_a_few_bytes_is_turned_away() {
    with_desk(Configured::Token, agreeing, async |desk| {
        for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "application/jsonp", ""]
        {
            let answer = desk.post(&format!("{BEARER}content-type: {kind}\r\n"), FAILOVER).await;
            assert_eq!((status(&answer), body(&answer)["reason"].as_str()), (415, Some("not_json")), "{kind}");
        }
        assert_eq!(status(&desk.post(BEARER, FAILOVER).await), 415);

        let good = format!("{BEARER}{JSON}");
        let padded = |length: usize| format!("{FAILOVER}{}", " ".repeat(length - FAILOVER.len()));
        assert_eq!(status(&desk.post(&good, &padded(8_192)).await), 200);
        let answer = desk.post(&good, &padded(8_193)).await;
        assert_eq!((status(&answer), body(&answer)["reason"].as_str()), (413, Some("too_large")), "{answer}");
        let chunk = format!("{good}transfer-encoding: chunked\r\n");
        let chunked = format!(
            "POST /commands HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{chunk}\r\n2001\r\n{}\r\n0\r\n\r\n",
            desk.address,
            padded(0x2001)
        );
        assert_eq!(status(&desk.say(&chunked).await), 413);

        let asked = desk.was_asked();
        let answer = desk.post(&good, &FAILOVER.replace("dry_run", "dryrun")).await;
        assert_eq!(status(&answer), 400, "{answer}");
        assert_eq!(body(&answer)["reason"], "malformed");
        assert_eq!(body(&answer)["nearest"], "dry_run");
        assert_eq!(desk.was_asked(), asked);

        let get = format!("GET /commands HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{BEARER}\r\n", desk.address);
        let answer = desk.say(&get).await;
        assert!(status(&answer) == 405 && answer.contains("\r\nallow: POST\r\n"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_says_which_name_was_meant_and_what_stands_in_the_way() {
    with_desk(Configured::Token, agreeing, async |desk| {
        let good = format!("{BEARER}{JSON}");
        for (command, code, reason, nearest) in [
            (r#""hold", "backend": "site""#, 404, "no_such_backend", Some("sites")),
            (r#""hold", "backend": "photos""#, 404, "no_such_backend", None),
            (r#""failback", "backend": "sites""#, 404, "no_such_pool", Some("oregon")),
            (r#""drain", "pool": "new-jersy""#, 404, "no_such_pool", Some("new-jersey")),
            (r#""drain", "endpoint": "10.1.0.13:8080""#, 404, "no_such_endpoint", Some("10.1.0.11:8080")),
            (r#""ack", "backend": "sites""#, 409, "nothing_to_acknowledge", None),
        ] {
            let answer = desk.post(&good, &format!(r#"{{"command": {command}}}"#)).await;
            let body = body(&answer);
            assert_eq!((status(&answer), body["reason"].as_str()), (code, Some(reason)), "{answer}");
            assert_eq!(body.get("nearest").and_then(|nearest| nearest.as_str()), nearest, "{answer}");
            assert!(body["error"].as_str().is_some_and(|words| words.len() > 20), "{answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn hotspares_own_user_needs_no_token_over_the_socket() {
    with_desk(Configured::NoToken, agreeing, async |desk| {
        let answer = desk.over_socket(JSON, FAILOVER).await;
        assert_eq!((status(&answer), desk.was_asked()), (200, 1), "{answer}");
        let mut socket = UnixStream::connect(&desk.socket).await.unwrap();
        let get = "GET /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        assert_eq!(status(&said(&mut socket, get).await), 200);
    })
    .await;
}

/// Other users can't be had in a test without being root, so the kernel's word is handed in.
#[tokio::test]
async fn another_user_of_the_machine_is_a_stranger_and_root_is_none() {
    let state = state(view(SITES));
    let own = rustix::process::geteuid().as_raw();
    for (uid, good) in [(own, true), (0, true), (own.wrapping_add(4_711), false)] {
        let (mut parts, _) = Request::new(Body::empty()).into_parts();
        parts.extensions.insert(Peer::Socket { uid });
        let operator = Operator::from_request_parts(&mut parts, &state).await;
        assert_eq!(operator.is_ok(), good, "{uid}: {operator:?}");
    }
    let (mut parts, _) = Request::new(Body::empty()).into_parts();
    assert!(Operator::from_request_parts(&mut parts, &state).await.is_err(), "a connection that nobody vouches for");
}

#[tokio::test]
async fn that_nobody_decides_any_more_is_said() {
    let (line, waiting) = line();
    drop(waiting);
    let order = Order { command: Command::Hold { scope: Scope::All }, lasts: None, force: Force::No };
    assert!(matches!(line.ask(order, Act::CarryOut).await, Err(Rejection::Gone)));
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_not_kept_waiting_and_what_nobody_waits_for_can_be_told() {
    let (line, mut waiting) = line();
    let order =
        Order { command: Command::Undrain { place: PlaceName::Pool("oregon".into()) }, lasts: None, force: Force::No };
    assert!(matches!(line.ask(order.clone(), Act::CarryOut).await, Err(Rejection::Late)));
    let late = waiting.recv().await.unwrap();
    assert!(late.order == order && late.answer.is_closed());
}
