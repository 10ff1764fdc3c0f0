//! The config files of these tests, and the certificate they name.

use super::free_address;
use rustls::pki_types::CertificateDer;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// What a test's config says. [`Setup::text`] is the file.
#[derive(Clone)]
pub struct Setup {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub primary: Vec<SocketAddr>,
    pub secondary: Vec<SocketAddr>,
    /// The value of `probe`.
    pub probe: &'static str,
    /// Further keys of the backend.
    pub backend: &'static str,
    /// Further keys at the top.
    pub top: &'static str,
}

impl Setup {
    /// Failback after 3 s, so that a test can wait for it.
    pub fn new(primary: &[SocketAddr], secondary: &[SocketAddr]) -> Setup {
        Setup {
            listen: free_address(),
            admin: free_address(),
            primary: primary.to_vec(),
            secondary: secondary.to_vec(),
            probe: r#"{ path = "/health", interval = "500ms", timeout = "500ms" }"#,
            backend: r#"failback = { stable_for = "3s", after_writes = "auto", ramp = "0s" }"#,
            top: "",
        }
    }

    pub fn text(&self) -> String {
        let list = |pool: &[SocketAddr]| {
            let quoted: Vec<String> = pool.iter().map(|address| format!("\"{address}\"")).collect();
            quoted.join(", ")
        };
        format!(
            r#"{top}
state_dir = "state"
[admin]
address = "{admin}"
[[listener]]
address = "{listen}"
tls = [{{ cert = "site.pem", key = "site.key" }}]
[[backend]]
name = "sites"
primary = {{ name = "new-jersey", endpoints = [{primary}] }}
secondary = {{ name = "oregon", endpoints = [{secondary}] }}
probe = {probe}
{backend}
"#,
            top = self.top,
            admin = self.admin,
            listen = self.listen,
            primary = list(&self.primary),
            secondary = list(&self.secondary),
            probe = self.probe,
            backend = self.backend,
        )
    }
}

/// Writes site.pem and site.key, for localhost, into `directory`.
pub fn write_certificate(directory: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(directory.join("site.pem"), made.cert.pem()).unwrap();
    fs::write(directory.join("site.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}
