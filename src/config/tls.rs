//! TLS as one listener does it: which certificate a client is shown, and the `rustls` configuration that does so.

use super::Protocols;
use super::certificate::Certificate;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Sessions kept for clients that resume without tickets, which are rare and old; about 1 KiB each.
const SESSIONS: usize = 256;

/// The `tls` of one listener.
#[derive(Debug)]
pub struct Tls {
    /// At least one; the first is the default.
    pub certificates: Vec<Arc<Certificate>>,
    /// For `tokio_rustls`, with ALPN and the resolver that shows what [`Tls::shown`] says.
    pub server: Arc<ServerConfig>,
    by_name: Arc<ByName>,
}

/// Certificates by the names in them. Of two certificates with one name the first is shown.
#[derive(Debug)]
struct ByName {
    exact: HashMap<Box<str>, Arc<Certificate>>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Arc<Certificate>>,
    default: Arc<Certificate>,
}

impl Tls {
    /// `None`: without a certificate there is no TLS.
    pub fn new(certificates: Vec<Arc<Certificate>>, protocols: Protocols) -> Option<Tls> {
        let by_name = Arc::new(ByName::new(&certificates)?);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider's own cipher suites cover both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&by_name) as Arc<dyn ResolvesServerCert>);
        server.alpn_protocols = alpn(protocols);
        server.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        if let Some(ticketer) = ticketer() {
            server.ticketer = ticketer;
        }
        Some(Tls { certificates, server: Arc::new(server), by_name })
    }

    /// The certificate that a client is shown which asked for `sni` (lower case): exact name, then wildcard, then the
    /// default.
    pub fn shown(&self, sni: Option<&str>) -> &Arc<Certificate> {
        self.by_name.shown(sni)
    }
}

impl ByName {
    fn new(certificates: &[Arc<Certificate>]) -> Option<ByName> {
        let default = Arc::clone(certificates.first()?);
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for certificate in certificates {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(above) => (&mut wildcard, above),
                    None => (&mut exact, name.as_ref()),
                };
                names.entry(name.into()).or_insert_with(|| Arc::clone(certificate));
            }
        }
        Some(ByName { exact, wildcard, default })
    }

    fn shown(&self, sni: Option<&str>) -> &Arc<Certificate> {
        let below = |host: &str| host.split_once('.').and_then(|(_, above)| self.wildcard.get(above));
        sni.and_then(|host| self.exact.get(host).or_else(|| below(host))).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown(hello.server_name()).key)) // rustls has put the name in lower case
    }
}

/// What is offered by ALPN, our first choice first.
fn alpn(protocols: Protocols) -> Vec<Vec<u8>> {
    let h2 = protocols.h2.then(|| b"h2".to_vec());
    let http1 = protocols.http1.then(|| b"http/1.1".to_vec());
    h2.into_iter().chain(http1).collect()
}

/// The keys that session tickets are sealed with: one set for the whole process, so that tickets are good on every
/// listener and survive a reload. rustls changes them every few hours. `None` (the system gives no randomness): clients
/// shake hands in full.
fn ticketer() -> Option<Arc<dyn ProducesTickets>> {
    static TICKETER: OnceLock<Option<Arc<dyn ProducesTickets>>> = OnceLock::new();
    TICKETER.get_or_init(|| Ticketer::new().ok()).clone()
}

#[cfg(test)]
mod tests {
    use super::super::certificate::PemFile;
    use super::*;

    fn certificate(file: &str, names: &[&str]) -> Arc<Certificate> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        let (cert, key) = (cert.pem(), signing_key.serialize_pem());
        let pem = |bytes| PemFile { name: file, bytes };
        Arc::new(Certificate::load(pem(cert.as_bytes()), pem(key.as_bytes())).unwrap())
    }

    #[test]
    fn the_exact_name_is_shown_before_the_wildcard_and_the_first_certificate_to_all_others() {
        let certificates = vec![
            certificate("default", &["example.com"]),
            certificate("wildcard", &["*.example.org"]),
            certificate("exact", &["www.example.org"]),
            certificate("late", &["www.example.org"]),
        ];
        let tls = Tls::new(certificates, Protocols { http1: true, h2: true }).unwrap();
        for (sni, file) in [
            (None, "default"),
            (Some("example.com"), "default"),
            (Some("www.example.org"), "exact"),
            (Some("a.example.org"), "wildcard"),
            (Some("a.b.example.org"), "default"),
            (Some("example.org"), "default"),
        ] {
            assert_eq!(&*tls.shown(sni).file, file, "{sni:?}");
        }
    }

    #[test]
    fn clients_are_offered_the_protocols_of_the_listener_h2_first() {
        assert_eq!(alpn(Protocols { http1: true, h2: true }), [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(alpn(Protocols { http1: true, h2: false }), [b"http/1.1".to_vec()]);
        assert_eq!(alpn(Protocols { http1: false, h2: true }), [b"h2".to_vec()]);
    }

    #[test]
    fn tickets_are_on_and_survive_a_reload() {
        let new = || Tls::new(vec![certificate("a", &["a"])], Protocols { http1: true, h2: true }).unwrap();
        let (before, after) = (new(), new());
        assert!(before.server.ticketer.enabled());
        let sealed = before.server.ticketer.encrypt(b"session").unwrap();
        assert_eq!(after.server.ticketer.decrypt(&sealed).unwrap(), b"session");
    }
}
