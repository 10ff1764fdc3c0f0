//! WebSocket through the front door, by Python's `websockets` at both ends (torture.py says what they do). `make slow` has more of it.

use crate::bodies::raise_descriptors;
use crate::harness::child::Child;
use crate::harness::door::Door;
use crate::harness::setup::Setup;
use crate::harness::{admin, eventually, free_address};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// At once, unless `SOCKETS` says otherwise; with it, messages of up to 16 MiB, too.
const MANY: usize = 30;
const LARGEST: usize = 1024 * 1024;
const LARGEST_SLOW: usize = 16 * 1024 * 1024;

/// For all that the script does: some seconds, on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// Python with the packages that `make tools` puts into target/python.
pub fn python() -> Command {
    let packages = std::env::var_os("PYTHON_DIR").map(PathBuf::from);
    let packages = packages.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python"));
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages);
    command
}

fn torture(arguments: &[&str]) -> Command {
    let mut command = python();
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/torture.py")).args(arguments);
    command
}

async fn endpoint(directory: &Path) -> (SocketAddr, Child) {
    let address = free_address();
    let child = Child::start("endpoint", torture(&["serve", &address.port().to_string()]), directory);
    eventually("the endpoint answers (is Python's `websockets` there? `make tools`)", async || {
        matches!(admin::try_get(address, "/health").await, Ok((200, _)))
    })
    .await;
    (address, child)
}

/// A setup with that endpoint in both places.
fn setup(endpoint: SocketAddr) -> Setup {
    let mut setup = Setup::new(&[endpoint], &[endpoint]);
    // The endpoint is one thread of Python: many at once take their time there.
    setup.backend = r#"timeouts = { connect = "30s", head = "5m" }"#;
    setup.probe = r#"{ path = "/health", interval = "5s", timeout = "5s" }"#;
    setup
}

fn text(setup: &Setup) -> String {
    // One place: an endpoint may not be in two.
    let text = setup.text();
    text.lines().filter(|line| !line.starts_with("secondary")).map(|line| format!("{line}\n")).collect()
}

/// Its end, which must be a good one.
async fn passes(script: &mut Child) {
    let since = Instant::now();
    let status = loop {
        if let Some(status) = script.try_exit() {
            break status;
        }
        assert!(since.elapsed() < PATIENCE, "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(status.success(), "{status}");
    print!("{}", script.log());
}

#[tokio::test]
async fn websockets_pass_whole_whatever_their_messages_are() {
    let many = std::env::var("SOCKETS").map_or(MANY, |many| many.parse().expect("SOCKETS is a number"));
    let largest = if many > MANY { LARGEST_SLOW } else { LARGEST };
    raise_descriptors();
    let directory = tempfile::tempdir().unwrap();
    let (address, _endpoint) = endpoint(directory.path()).await;
    let setup = setup(address);
    let door = Door::start_with_text(&setup, &text(&setup)).await;
    let url = format!("wss://localhost:{}", door.address.port());
    let certificate = door.certificate_file();
    let arguments = ["torture", &url, certificate.to_str().unwrap(), &many.to_string(), &largest.to_string()];
    passes(&mut Child::start("torture", torture(&arguments), directory.path())).await;
    door.is_idle().await;
    door.stop().await;
}

#[tokio::test]
async fn a_drain_lets_websockets_speak_on_and_cuts_them_at_its_end() {
    raise_descriptors();
    let directory = tempfile::tempdir().unwrap();
    let (address, _endpoint) = endpoint(directory.path()).await;
    let mut setup = setup(address);
    setup.top = "drain_timeout = \"8s\"";
    let mut door = Door::start_with_text(&setup, &text(&setup)).await;
    let url = format!("wss://localhost:{}", door.address.port());
    let certificate = door.certificate_file();
    let mut script = Child::start("drain", torture(&["drain", &url, certificate.to_str().unwrap()]), directory.path());
    eventually("they are open", async || {
        assert!(script.try_exit().is_none(), "it ended");
        script.log().contains("open\n")
    })
    .await;
    door.signal(Signal::TERM);
    passes(&mut script).await;
    assert_eq!(door.exit().await.code(), Some(0));
}
