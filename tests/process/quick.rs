//! `hotspare run --primary … --secondary …`: no file, no certificate, and it serves.

use crate::harness::child::Child;
use crate::harness::client::Client;
use crate::harness::door::hotspare;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::site::Site;
use crate::harness::{eventually, free_address};
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

async fn run(directory: &Path, primary: SocketAddr, secondary: SocketAddr, listen: SocketAddr) -> Child {
    let mut command = hotspare();
    command.arg("run").args(["--primary", &primary.to_string(), "--secondary", &secondary.to_string()]);
    command.args(["--listen", &listen.to_string(), "--admin", &free_address().to_string()]).current_dir(directory);
    let mut child = Child::start("hotspare", command, directory);
    eventually("it accepts", async || {
        assert!(child.try_exit().is_none(), "it ended: {}", child.log());
        tokio::net::TcpStream::connect(listen).await.is_ok()
    })
    .await;
    child
}

#[tokio::test]
async fn two_addresses_are_enough_and_the_certificate_is_made_once() {
    let site = Site::make();
    let mut new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let directory = tempfile::tempdir().unwrap();
    let listen = free_address();
    let pem = directory.path().join("certs/self-signed.pem");
    let key = directory.path().join("certs/self-signed.key");

    let mut door = run(directory.path(), new_jersey.address, oregon.address, listen).await;
    assert!(
        door.log().contains("made a self-signed certificate for localhost, certs/self-signed.pem"),
        "{}",
        door.log()
    );
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600, "others may read the key");
    let certificate = CertificateDer::from_pem_file(&pem).unwrap();
    let load = Load::start(Client::new(listen, certificate.clone()), &site, 100, Visitors::Readers);
    load.reaches("new-jersey").await;
    new_jersey.crash();
    load.reaches("oregon").await;
    load.goes_on(100).await;
    load.stop().await.assert_all_good();
    // There is no file to read again, but certificates may have been renewed.
    door.signal(Signal::HUP);
    eventually("it reloads", async || door.log().contains("reloaded: generation 2 is in force")).await;
    door.signal(Signal::TERM);
    assert_eq!(door.exit().await.code(), Some(0));
    drop(door);

    let mut again = run(directory.path(), oregon.address, new_jersey.address, listen).await;
    assert!(again.log().contains("using the self-signed certificate certs/self-signed.pem"), "{}", again.log());
    assert_eq!(CertificateDer::from_pem_file(&pem).unwrap(), certificate);
    again.signal(Signal::TERM);
    assert_eq!(again.exit().await.code(), Some(0));
}
