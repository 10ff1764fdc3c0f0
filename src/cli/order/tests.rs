//! Commands as they are typed, against the real admin listener and its socket, with a script in the supervisor's place.

use super::*;
use crate::admin::fixture::{SITES, answer_by, state, view, with_token};
use crate::admin::{Socket, State, line, serve};
use crate::domain::{self, Command, Consequence, Force, PlaceName, Refusal};
use crate::health::{self, Act as Asked};
use clap::Parser;
use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(name = "hotspare")]
struct Typed {
    #[command(subcommand)]
    order: Order,
}

fn typed(words: &[&str]) -> Result<Order, clap::Error> {
    Typed::try_parse_from([&["hotspare"], words].concat()).map(|typed| typed.order)
}

/// What is typed when asked.
#[derive(Clone, Copy)]
enum Typing {
    /// There is no terminal.
    Nobody,
    Line(&'static str),
}

/// What came of a command.
#[derive(Debug)]
struct Came {
    verdict: Verdict,
    out: String,
    errors: String,
    /// What got through to the supervisor.
    asked: Vec<(domain::Order, Asked)>,
}

impl Came {
    fn acts(&self) -> Vec<Asked> {
        self.asked.iter().map(|(_, act)| *act).collect()
    }
}

fn agreeing(order: &domain::Order) -> health::Answer {
    let backend = "sites".into();
    match &order.command {
        Command::Failover { .. } => Ok(vec![Consequence::Diverges { backend, pool: "oregon".into() }]),
        Command::Ack { backend } => Err(Refusal::NoSuchBackend { name: backend.clone() }),
        Command::Failback { backend } => Err(Refusal::NoOtherPool { backend: backend.clone() }),
        Command::Hold { .. } => Ok(vec![Consequence::Stays { backend, pool: "new-jersey".into() }]),
        Command::Drain { .. } | Command::ReadOnly { .. } | Command::Release { .. } | Command::Undrain { .. } => {
            Ok(Vec::new())
        }
    }
}

/// Runs those words against a listener with a socket; `@socket`, `@admin` and `@token` stand for its own.
async fn run_typed(words: &str, typing: Typing) -> Came {
    let mut view = view(SITES);
    with_token(&mut view, "correct-horse-battery");
    let (line, waiting) = line();
    let asked = RefCell::new(Vec::new());
    let answering = answer_by(waiting, |order, act| {
        asked.borrow_mut().push((order.clone(), act));
        agreeing(order)
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let socket = Socket::bind(directory.path()).unwrap();
    std::fs::write(directory.path().join("token"), "correct-horse-battery\n").unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let words = words
        .replace("@socket", &path("admin.sock"))
        .replace("@admin", &listener.local_addr().unwrap().to_string())
        .replace("@token", &path("token"));
    let order = typed(&words.split(' ').collect::<Vec<_>>()).unwrap();
    let command = tokio::task::spawn_blocking(move || called(&order, typing));
    let state = State { line, ..state(view) };
    let (verdict, out, errors) = tokio::select! {
        served = serve(listener, Some(socket), state, axum::Router::new()) => panic!("the server ended: {served:?}"),
        never = answering => match never {},
        called = command => called.unwrap(),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("the command took too long"),
    };
    Came { verdict, out, errors, asked: asked.into_inner() }
}

fn called(order: &Order, typing: Typing) -> (Verdict, String, String) {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let mut line: &[u8] = match typing {
        Typing::Nobody => b"",
        Typing::Line(line) => line.as_bytes(),
    };
    let asked: Option<&mut dyn BufRead> = match typing {
        Typing::Nobody => None,
        Typing::Line(_) => Some(&mut line),
    };
    let verdict = run(order, &mut Person { out: &mut out, errors: &mut errors, asked }).unwrap();
    (verdict, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[tokio::test]
async fn what_nobody_has_to_agree_to_is_done_at_once_and_told() {
    let came = run_typed("hold sites --for 10m --socket @socket", Typing::Nobody).await;
    assert_eq!((came.verdict, came.errors.as_str()), (Verdict::Fine, ""));
    assert_eq!(
        came.out,
        "done: hold sites --for 10m\n  \
         sites: new-jersey keeps serving, whatever health says; `hotspare release sites` ends that\n"
    );
    assert_eq!(came.acts(), [Asked::Consider, Asked::CarryOut]);
    assert_eq!(came.asked[1].0.lasts, Some(Duration::from_secs(600)));
}

#[tokio::test]
async fn the_one_way_door_is_not_passed_without_somebody_who_agrees() {
    for typing in
        [Typing::Nobody, Typing::Line("\n"), Typing::Line("n\n"), Typing::Line(""), Typing::Line("yesterday\n")]
    {
        let came = run_typed("failover sites --to oregon --socket @socket", typing).await;
        assert_eq!((came.verdict, came.out.as_str()), (Verdict::Problem, ""));
        assert!(
            came.errors.contains("failover sites --to oregon would do this:\n  sites: oregon takes writes"),
            "{came:?}"
        );
        assert!(came.errors.contains("nothing was done"), "{came:?}");
        assert_eq!(came.errors.contains("--yes"), matches!(typing, Typing::Nobody), "{came:?}");
        assert_eq!(came.acts(), [Asked::Consider]);
    }
    let came = run_typed("failover sites --to oregon --json --socket @socket", Typing::Line("y\n")).await;
    assert_eq!((came.verdict, came.acts()), (Verdict::Problem, vec![Asked::Consider]), "a program can't be asked");
}

#[tokio::test]
async fn whoever_agrees_gets_it_done_and_yes_is_not_asked() {
    let came = run_typed("failover sites --socket @socket", Typing::Line("Y\n")).await;
    assert_eq!((came.verdict, came.acts()), (Verdict::Fine, vec![Asked::Consider, Asked::CarryOut]));
    assert!(came.errors.ends_with("Go on? [y/N] ") && came.out.starts_with("done: failover sites\n  "), "{came:?}");
    let came = run_typed("failover sites --force --yes --socket @socket", Typing::Nobody).await;
    assert_eq!((came.verdict, came.acts()), (Verdict::Fine, vec![Asked::CarryOut]));
    assert_eq!((came.asked[0].0.force, came.errors.as_str()), (Force::Yes, ""));
}

#[tokio::test]
async fn a_dry_run_only_says_what_would_follow() {
    let came = run_typed("failover sites --dry-run --socket @socket", Typing::Nobody).await;
    assert_eq!((came.verdict, came.acts()), (Verdict::Fine, vec![Asked::Consider]));
    assert!(
        came.out.starts_with("failover sites would do this; nothing was done:\n  sites: oregon takes writes"),
        "{came:?}"
    );
    let came = run_typed("undrain oregon --dry-run --json --socket @socket", Typing::Nobody).await;
    let json: Value = serde_json::from_str(&came.out).unwrap();
    assert_eq!((json["dry_run"].as_bool(), json["command"].as_str()), (Some(true), Some("undrain oregon")));
}

#[tokio::test]
async fn a_name_that_is_not_there_is_wrong_usage_and_told_with_the_nearest() {
    let came = run_typed("ack sitse --socket @socket", Typing::Nobody).await;
    assert_eq!((came.verdict, came.out.as_str()), (Verdict::Usage, ""));
    assert_eq!(came.errors, "error: there is no backend `sitse`\n  did you mean `sites`?\n");
    let came = run_typed("failback sites --socket @socket", Typing::Nobody).await;
    assert_eq!(came.verdict, Verdict::Problem, "refused is no slip");
    assert_eq!(came.errors, "error: sites has one pool only, so there is nowhere to go\n");
}

#[tokio::test]
async fn the_admin_listener_takes_commands_with_the_token_and_no_others() {
    let came = run_typed("hold --all --admin @admin --token-file @token", Typing::Nobody).await;
    assert_eq!((came.verdict, came.acts()), (Verdict::Fine, vec![Asked::Consider, Asked::CarryOut]), "{came:?}");
    let came = run_typed("hold --all --admin @admin", Typing::Nobody).await;
    assert_eq!((came.verdict, came.asked.len()), (Verdict::Problem, 0));
    for part in ["takes no command from you", "--socket", "--token-file"] {
        assert!(came.errors.contains(part), "no {part} in {}", came.errors);
    }
}

#[tokio::test]
async fn a_place_with_a_colon_or_a_slash_is_an_endpoint() {
    for (place, name) in [
        ("oregon", PlaceName::Pool("oregon".into())),
        ("10.1.0.11:8080", PlaceName::Endpoint("10.1.0.11:8080".into())),
        ("unix:/run/app.sock", PlaceName::Endpoint("unix:/run/app.sock".into())),
    ] {
        let came = run_typed(&format!("drain {place} --socket @socket"), Typing::Nobody).await;
        assert_eq!(came.asked[1].0.command, Command::Drain { place: name });
        assert_eq!(came.out, format!("done: drain {place}; nothing changes for now\n"));
    }
}

#[test]
fn what_makes_no_sense_is_not_even_sent() {
    for wrong in [
        &["failover"][..],
        &["hold"],
        &["hold", "sites", "--all"],
        &["release"],
        &["failback", "sites", "--for", "10m"],
        &["failback", "sites", "--force"],
        &["hold", "--all", "--for", "10"],
        &["hold", "--all", "--for", "soon"],
        &["ack", "sites", "--yes", "--dry-run"],
        &["ack", "sites", "--admin", "127.0.0.1:1", "--socket", "/nowhere"],
    ] {
        assert_eq!(typed(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
}

#[test]
fn nobody_there_and_a_site_in_its_place_are_told_apart() {
    let order = typed(&["ack", "sites", "--socket", "/nowhere/admin.sock"]).unwrap();
    let (verdict, _, errors) = called(&order, Typing::Nobody);
    assert_eq!(verdict, Verdict::Problem);
    assert!(errors.contains("nothing listens at /nowhere/admin.sock") && errors.contains("--socket PATH"), "{errors}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let site = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = io::Read::read(&mut stream, &mut [0; 4_096]).unwrap();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n<html>").unwrap();
    });
    let order = typed(&["ack", "sites", "--admin", &address]).unwrap();
    let (verdict, _, errors) = called(&order, Typing::Nobody);
    site.join().unwrap();
    assert_eq!(verdict, Verdict::Problem, "a site's 404 is no slip in a name");
    assert!(errors.contains("404 Not Found") && errors.contains("not that of a site"), "{errors}");
}

#[test]
fn an_answer_that_is_lost_is_not_taken_for_a_command_that_was_not_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let order = typed(&["ack", "sites", "--yes", "--socket", &Path::display(&path).to_string()]).unwrap();
    let (verdict, _, errors) = called(&order, Typing::Nobody);
    server.join().unwrap();
    assert_eq!(verdict, Verdict::Problem);
    assert!(errors.contains("whether the command was carried out is not known"), "{errors}");
}
