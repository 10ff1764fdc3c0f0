//! Listeners on Unix sockets: their files, who comes over them, and what endpoints are told of that.

use crate::harness::door::Builder;
use crate::harness::{Door, Endpoint};
use rustls::pki_types::ServerName;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::harness::PATIENCE;

/// Where a socket may be, which goes with the test.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("http.sock");
    (directory, path)
}

/// A listener there.
fn table(path: &Path, keys: &str) -> String {
    format!("[[listener]]\naddress = \"unix:{}\"\n{keys}\n", path.display())
}

fn door(primary: &Endpoint, path: &Path, keys: &str) -> Builder {
    Door::builder().primary(primary).backend("forwarded = \"both\"").rest(&table(path, keys))
}

/// Asks for /, with more fields, and gives back the head and the page.
async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, before: &str, fields: &str) -> String {
    let request = format!("{before}GET / HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n");
    let mut answer = String::new();
    let talk = async {
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_to_string(&mut answer).await.unwrap();
    };
    timeout(PATIENCE, talk).await.expect("an answer and an end");
    answer
}

async fn serves(path: &Path) -> bool {
    let stream = UnixStream::connect(path).await.unwrap();
    let answer = get(stream, "", "").await;
    answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("main")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "local")]
async fn clients_of_a_unix_socket_are_served_and_have_no_address() {
    let primary = Endpoint::start("main").await;
    let (_directory, path) = place();
    let door = door(&primary, &path, "").top("max_connections_per_client = 1").start().await;
    assert_eq!(mode(&path), 0o660);
    // More at once than one client may have: here nobody knows whose they are.
    let open: Vec<_> = futures_util::future::join_all((0..8).map(|_| UnixStream::connect(&path))).await;
    for stream in open {
        let said = "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n";
        assert!(get(stream.unwrap(), "", said).await.ends_with("main"));
    }
    let seen = primary.seen();
    assert_eq!(seen.len(), 8);
    for seen in seen {
        assert_eq!(
            seen.field("x-forwarded-for"),
            [""; 0],
            "what a stranger says is dropped, and there is nothing to say"
        );
        assert_eq!(seen.field("x-real-ip"), [""; 0]);
        assert_eq!(seen.field("forwarded"), ["for=unknown;proto=http;host=localhost"]);
    }
    assert_eq!(door.count_at_workers(|cells| cells.connections_refused.get()), 0);
    door.stop().await;
    assert!(!path.exists(), "it goes with hotspare");
}

#[tokio::test(flavor = "local")]
async fn a_proxy_at_a_unix_socket_is_believed_if_the_list_says_so() {
    let primary = Endpoint::start("main").await;
    let (_directory, path) = place();
    let introduced = path.with_file_name("proxied.sock");
    let two = format!("{}{}", table(&path, ""), table(&introduced, "proxy_protocol = \"require\""));
    let builder = Door::builder().primary(&primary).top("trusted_proxies = [\"unix\"]").rest(&two);
    let door = builder.start().await;
    let connect = |path: &Path| UnixStream::connect(path.to_owned());
    let told = || primary.seen().pop().unwrap().field("x-forwarded-for").join("|");
    get(connect(&path).await.unwrap(), "", "X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n").await;
    assert_eq!(told(), "192.0.2.7");
    let header = "PROXY TCP4 192.0.2.8 192.0.2.1 4711 443\r\n";
    get(connect(&introduced).await.unwrap(), header, "X-Forwarded-For: 203.0.113.9\r\n").await;
    assert_eq!(told(), "192.0.2.8", "now it is a client, whose word does not count");
    get(connect(&introduced).await.unwrap(), "PROXY UNKNOWN\r\n", "X-Forwarded-For: 192.0.2.9\r\n").await;
    assert_eq!(told(), "192.0.2.9", "the proxy's own");
    let count = primary.seen().len();
    assert_eq!(get(connect(&introduced).await.unwrap(), "", "").await, "", "without a header it is closed");
    assert_eq!(primary.seen().len(), count);
    door.stop().await;
    assert!(!path.exists() && !introduced.exists());
}

#[tokio::test(flavor = "local")]
async fn tls_is_spoken_over_a_unix_socket_too() {
    let primary = Endpoint::start("main").await;
    let (_directory, path) = place();
    let door = door(&primary, &path, "tls = [{ cert = \"cert.pem\", key = \"cert.key\" }]").start().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(door.client().certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let unix = UnixStream::connect(&path).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, unix).await.unwrap();
    assert!(get(tls, "", "").await.ends_with("main"));
    assert_eq!(primary.seen()[0].field("x-forwarded-proto"), ["https"]);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_socket_that_a_killed_process_left_is_replaced_and_one_in_use_is_an_error() {
    let primary = Endpoint::start("main").await;
    let (_directory, path) = place();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // std leaves the file
    let first = door(&primary, &path, "").start().await;
    assert!(serves(&path).await);
    let Err(trouble) = door(&primary, &path, "").try_start().await else { panic!("two on one socket") };
    let said = trouble.to_string();
    let expected = format!(
        "cannot listen on unix:{0}: something else listens there already; find it with `ss -lxp src {0}`",
        path.display()
    );
    assert!(said.starts_with(&expected), "{said}");
    assert!(serves(&path).await, "the first is as it was");
    first.stop().await;
    let nowhere = path.join("no/http.sock");
    let Err(trouble) = door(&primary, &nowhere, "").try_start().await else { panic!("no directory") };
    assert!(trouble.to_string().contains(": its directory is not there; make it first"), "{trouble}");
}

#[tokio::test(flavor = "local")]
async fn a_reload_keeps_the_socket_of_a_listener_that_stays_and_removes_that_of_one_that_goes() {
    let primary = Endpoint::start("main").await;
    let (_directory, path) = place();
    let mut door = door(&primary, &path, "").start().await;
    let inode = || fs::metadata(&path).unwrap().ino();
    let (before, open) = (inode(), UnixStream::connect(&path).await.unwrap());
    door.reload(|built| built.set_rest(&table(&path, "mode = \"0600\""))).await;
    assert_eq!((inode(), mode(&path)), (before, 0o600), "the same socket, for whom the new config says");
    assert!(get(open, "", "").await.ends_with("main"), "a connection of before is served");
    assert!(serves(&path).await);

    door.reload(|built| built.set_rest("")).await;
    assert_eq!(UnixStream::connect(&path).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    door.reload(|built| built.set_rest(&table(&path, ""))).await;
    assert!(serves(&path).await);
    door.stop().await;
    assert!(!path.exists());
}
