//! Whom we believe at the other end of TLS to an endpoint: the roots in a pool's `ca_file`, or this machine's own, and the
//! name that a certificate must be for.
//!
//! Not here: our own certificates (`certificate`, `pairs`), those of clients (`client_ca`), the handshake (`upstream::connect`).

use super::certificate::{self, PemFile};
use super::pairs::Pair;
use super::problem::{Form, What};
use super::table::{Table, Value};
use super::{HttpVersion, Surroundings};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{self, cipher_suite::TLS13_AES_128_GCM_SHA256};
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, TrustAnchor};
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

/// Names of endpoints whose sessions are remembered, for each set of roots and certificate of our own: with eight tickets each, which is
/// rustls's own number, about 64 KiB at most where all are in use.
const SESSIONS: usize = 256;

/// Roots and, where endpoints ask for one, our own certificate, ready to be used. Equal where these are the same certificates, so that
/// a reload which changes none of them is seen to.
#[derive(Clone, Debug)]
pub struct Trust {
    /// For traffic: sessions are resumed, of up to 256 endpoints' names.
    client: Offers,
    /// For probes, which see the endpoint's certificate each time.
    prober: Offers,
    roots: Arc<RootCertStore>,
    /// SHA-256 of the roots in order (directories list them in any), then of our certificate.
    digest: Arc<[u8]>,
}

/// The same for each version of HTTP, which alone is offered by ALPN.
#[derive(Clone, Debug)]
struct Offers {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Offers {
    fn of(client: &ClientConfig) -> Offers {
        let offering = |protocol: &[u8]| {
            let mut client = client.clone();
            client.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(client)
        };
        Offers { http1: offering(b"http/1.1"), http2: offering(b"h2") }
    }

    fn of_version(&self, version: HttpVersion) -> &Arc<ClientConfig> {
        match version {
            HttpVersion::Http1 => &self.http1,
            HttpVersion::Http2 => &self.http2,
        }
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Trust) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Trust {}

impl Hash for Trust {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl Trust {
    /// `own` is shown to whoever asks for a certificate.
    pub fn new(roots: impl Into<Arc<RootCertStore>>, own: Option<&Arc<Pair>>) -> Trust {
        let (provider, roots) = (Arc::new(aws_lc_rs::default_provider()), roots.into());
        let digest = digest(&roots, own);
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider's own cipher suites cover both versions")
            .with_root_certificates(roots.clone());
        let mut client = match own {
            None => client.with_no_client_auth(),
            Some(own) => client.with_client_cert_resolver(own.clone()),
        };
        // A resumed session shows no certificate: one that has expired since would pass for good. Traffic may resume, for the probes
        // are asked the same and do not.
        client.resumption = Resumption::in_memory_sessions(SESSIONS);
        let mut prober = client.clone();
        prober.resumption = Resumption::disabled();
        Trust { client: Offers::of(&client), prober: Offers::of(&prober), roots, digest }
    }

    /// For traffic of that version.
    pub fn for_traffic(&self, version: HttpVersion) -> &Arc<ClientConfig> {
        self.client.of_version(version)
    }

    /// For probes of that version.
    pub fn for_probes(&self, version: HttpVersion) -> &Arc<ClientConfig> {
        self.prober.of_version(version)
    }

    /// The same roots, and our own certificate with them.
    pub(super) fn showing(&self, own: &Arc<Pair>) -> Trust {
        Trust::new(self.roots.clone(), Some(own))
    }
}

/// Of the roots, and of our certificate as it is now.
pub(super) fn digest(roots: &RootCertStore, own: Option<&Arc<Pair>>) -> Arc<[u8]> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("it is one of TLS 1.3");
    let parts = |root: &'_ TrustAnchor<'_>| {
        let constraints = root.name_constraints.as_ref().map_or(&[][..], AsRef::as_ref);
        [root.subject.as_ref(), root.subject_public_key_info.as_ref(), constraints].map(<[u8]>::to_vec)
    };
    let mut all: Vec<_> = roots.roots.iter().map(parts).collect();
    all.sort_unstable();
    let own = own.map(|own| own.certificate());
    let shown = own.iter().flat_map(|own| &own.key.cert).map(|part| part.to_vec());
    let mut hash = suite.common.hash_provider.start();
    for part in all.into_iter().flatten().chain(shown) {
        hash.update(&part.len().to_be_bytes());
        hash.update(&part);
    }
    hash.finish().as_ref().into()
}

/// A DNS name or an IP address (IPv6 with brackets or without) as TLS takes it.
pub fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<std::net::IpAddr>() {
        Ok(address) => Some(ServerName::IpAddress(IpAddr::from(address))),
        Err(_) => ServerName::try_from(bare.to_ascii_lowercase()).ok(),
    }
}

/// Reads each file, and this machine's roots, once; and those only where they are needed.
pub(super) struct Roots<'a> {
    surroundings: &'a Surroundings<'a>,
    files: HashMap<String, Trust>,
    system: Option<Trust>,
}

impl<'a> Roots<'a> {
    pub(super) fn new(surroundings: &'a Surroundings<'a>) -> Roots<'a> {
        Roots { surroundings, files: HashMap::new(), system: None }
    }

    /// Those in the file that `value` names.
    pub(super) fn of_file(&mut self, value: &Value<'_>) -> Option<Trust> {
        let file = value.text(Form::FileName, |text| (!text.is_empty()).then_some(text))?;
        if let Some(trust) = self.files.get(file) {
            return Some(trust.clone());
        }
        match read(self.surroundings, file) {
            Ok(roots) => {
                let trust = Trust::new(roots, None);
                self.files.insert(file.to_owned(), trust.clone());
                Some(trust)
            }
            Err(what) => {
                value.note(what);
                None
            }
        }
    }

    /// This machine's own, for the pool in `table`. A root that can't be read is left out, as everywhere.
    pub(super) fn of_system(&mut self, table: &Table<'_>) -> Option<Trust> {
        if self.system.is_none() {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates((self.surroundings.roots)());
            self.system = (!roots.is_empty()).then(|| Trust::new(roots, None));
        }
        if self.system.is_none() {
            table.note(What::NoRoots);
        }
        self.system.clone()
    }
}

/// The authorities in a file, at least one.
pub(super) fn read(surroundings: &Surroundings<'_>, file: &str) -> Result<RootCertStore, What> {
    let bytes = (surroundings.files)(Path::new(file))
        .map_err(|error| What::Unreadable { file: file.to_owned(), error: error.to_string() })?;
    authorities(PemFile { name: file, bytes: &bytes })
}

fn authorities(file: PemFile<'_>) -> Result<RootCertStore, What> {
    let chain = certificate::chain(file).map_err(|what| match what {
        What::NoCertificate { file, instead } => What::NoAuthority { file, instead },
        broken => broken,
    })?;
    let mut roots = RootCertStore::empty();
    for root in chain {
        // Its words are about a peer's certificate; what is wrong is that this is none at all, or not of version 3.
        let bad =
            |_| What::BadCertificate { file: file.name.to_owned(), error: "it is not X.509, version 3".to_owned() };
        roots.add(root).map_err(bad)?;
    }
    Ok(roots)
}

/// The roots of this machine, as its TLS libraries have them.
pub(super) fn system() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

#[cfg(test)]
mod tests {
    use super::super::Certificate;
    use super::*;

    fn roots(names: &[&str]) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for name in names {
            let made = rcgen::generate_simple_self_signed([(*name).to_owned()]).unwrap();
            roots.add(made.cert.der().clone()).unwrap();
        }
        roots
    }

    #[test]
    fn trust_is_the_same_where_the_roots_are() {
        let (one, other) = (roots(&["a", "b"]), roots(&["a", "b"]));
        assert_eq!(Trust::new(one.clone(), None), Trust::new(one.clone(), None));
        assert_ne!(Trust::new(one.clone(), None), Trust::new(other, None), "other keys");
        let mut turned = one.clone();
        turned.roots.reverse();
        assert_eq!(Trust::new(one.clone(), None), Trust::new(turned, None));
        let mut fewer = one.clone();
        fewer.roots.pop();
        assert_ne!(Trust::new(one, None), Trust::new(fewer, None));
    }

    #[test]
    fn trust_with_a_certificate_of_our_own_is_another() {
        let own = |name: &str| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            let pem = |bytes| PemFile { name, bytes };
            Pair::made(Certificate::load(pem(certificate.as_bytes()), pem(key.as_bytes())).unwrap())
        };
        let (plain, own, other) = (Trust::new(roots(&["a"]), None), own("b"), own("b"));
        assert_eq!(plain.showing(&own), plain.showing(&own));
        assert_ne!(plain.showing(&own), plain);
        assert_ne!(plain.showing(&own), plain.showing(&other));
    }

    #[test]
    fn a_certificate_of_our_own_that_is_replaced_is_shown_from_then_on() {
        let made = |name: &str| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            let pem = |bytes| PemFile { name, bytes };
            Pair::made(Certificate::load(pem(certificate.as_bytes()), pem(key.as_bytes())).unwrap())
        };
        let (own, next) = (made("a"), made("b"));
        let trust = Trust::new(roots(&["a"]), Some(&own));
        own.put_to_use(crate::config::InUse::clone(&next.in_use()));
        for client in [trust.for_traffic(HttpVersion::Http1), trust.for_probes(HttpVersion::Http2)] {
            let shown = client.client_auth_cert_resolver.resolve(&[], &[]).unwrap();
            assert!(Arc::ptr_eq(&shown, &next.certificate().key));
        }
    }

    #[test]
    fn names_for_tls_are_dns_names_and_addresses() {
        let said = |host: &str| server_name(host).map(|name| name.to_str().into_owned());
        for (host, name) in
            [("WWW.example.org", "www.example.org"), ("web_1", "web_1"), ("10.0.0.1", "10.0.0.1"), ("[::1]", "::1")]
        {
            assert_eq!(said(host).as_deref(), Some(name));
        }
        for host in ["", "a b", "10.1", "*.example.org"] {
            assert_eq!(said(host), None, "{host}");
        }
    }
}
