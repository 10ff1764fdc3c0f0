//! Real servers as endpoints: an nginx over TLS that asks who we are, and one on a Unix socket.

use crate::harness::child::Child;
use crate::harness::client::Version;
use crate::harness::door::Door;
use crate::harness::setup::Setup;
use crate::harness::{free_address, nginx};
use http_body_util::BodyExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// An nginx with that server, run in that directory.
fn serve(directory: &Path, server: &str) -> Child {
    nginx::with(directory, &format!("access_log off; server {{ {server} }}"))
}

/// A certificate for `name` and its key, as files of that name.
fn issue(issuer: &CertifiedIssuer<'_, KeyPair>, directory: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

async fn said(door: &Door) -> String {
    let page = door.client().get(Version::Http1, "/").await.into_body().collect().await.unwrap();
    String::from_utf8(page.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_pool_over_tls_fails_over_to_one_on_a_unix_socket() {
    let directories: [TempDir; 2] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let [tls, unix] = directories.each_ref().map(TempDir::path);
    let mut params = CertificateParams::new([]).unwrap();
    // Named, or OpenSSL would take what it issues for its own.
    params.distinguished_name.push(DnType::CommonName, "the tests' issuer");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(tls.join("ca.pem"), issuer.pem()).unwrap();
    issue(&issuer, tls, "web.internal");
    issue(&issuer, tls, "hotspare.internal");

    let address = free_address();
    let mut primary = serve(
        tls,
        &format!(
            r#"
            listen {address} ssl;
            ssl_certificate web.internal.pem;
            ssl_certificate_key web.internal.key;
            ssl_client_certificate ca.pem;
            ssl_verify_client on;
            location / {{ return 200 "$ssl_server_name $ssl_client_verify"; }}
            "#
        ),
    );
    let _spare = serve(unix, &format!("listen unix:{}/web.sock; location / {{ return 200 spare; }}", unix.display()));

    let mut setup = Setup::new(&[address], &[free_address()]);
    setup.probe = r#"{ path = "/health", interval = "200ms" }"#;
    let here = tls.display();
    let keys = format!(
        "], scheme = \"https\", tls_name = \"web.internal\", ca_file = \"{here}/ca.pem\", client_cert = {{ cert = \
         \"{here}/hotspare.internal.pem\", key = \"{here}/hotspare.internal.key\" }} }}\nsecondary"
    );
    let text = setup.text().replace("] }\nsecondary", &keys);
    let text = text.replace(&setup.secondary[0].to_string(), &format!("unix:{}/web.sock", unix.display()));
    let door = Door::start_with_text(&setup, &text).await;
    door.serves_from("new-jersey").await;
    let up = async || {
        let metrics = door.metrics().await;
        metrics.sum("hotspare_probes_total", &[("result", "passed")]) > 4.0
    };
    crate::harness::eventually("both are probed", up).await;
    assert_eq!(said(&door).await, "web.internal SUCCESS");
    primary.crash();
    door.serves_from("oregon").await;
    assert_eq!(said(&door).await, "spare");
    let metrics = door.metrics().await;
    let socket = format!("unix:{}/web.sock", unix.display());
    assert!(metrics.sum("hotspare_attempts_total", &[("endpoint", &socket), ("outcome", "good")]) >= 1.0);
    door.stop().await;
}
