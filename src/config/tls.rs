//! TLS as one listener does it: which certificate a client is shown, and the `rustls` configuration that does so.
//!
//! Not here: which certificate of a pair is in use (`pairs`).

use super::Protocols;
use super::certificate::Certificate;
use super::client_ca::ClientCa;
use super::pairs::{InUse, Pair, by_urgency};
use super::tickets::ticketer;
use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion};
use std::collections::HashMap;
use std::sync::Arc;

/// Sessions kept for clients that resume without tickets, which are rare and old; about 1 KiB each.
const SESSIONS: usize = 256;

/// The TLS of one listener.
#[derive(Debug)]
pub struct Tls {
    /// At least one; the first is the default.
    pairs: Vec<Arc<Pair>>,
    /// For `tokio_rustls`, with ALPN and the resolver that shows what [`Tls::shown`] says.
    pub server: Arc<ServerConfig>,
    /// Whether clients must show a certificate.
    pub clients: Clients,
    profile: Profile,
    /// Of the authorities that clients' certificates are of.
    client_ca: Option<Arc<[u8]>>,
    shown: Arc<Shown>,
}

/// `tls_profile`: which clients can be spoken to. By the names of Mozilla's recommendations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// TLS 1.2 and 1.3; of 1.2 only what has forward secrecy and AEAD. (Mozilla's own has DHE besides, which rustls does not speak: whoever
    /// needs it speaks no ECDHE, and is older than 2013.)
    Intermediate,
    /// TLS 1.3.
    Modern,
}

/// What a listener asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    Anyone,
    /// A certificate of theirs. Then each request's host must be the one that TLS was asked for.
    Known,
}

impl Profile {
    pub(super) const ALL: [(&'static str, Profile); 2] =
        [("intermediate", Profile::Intermediate), ("modern", Profile::Modern)];

    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST_FIRST: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
        match self {
            Profile::Intermediate => &NEWEST_FIRST,
            Profile::Modern => &NEWEST_FIRST[..1],
        }
    }
}

impl Tls {
    /// `None`: without a certificate there is no TLS. Clients must show a certificate of `client_ca`, if there is one.
    pub fn new(
        pairs: Vec<Arc<Pair>>,
        protocols: Protocols,
        profile: Profile,
        client_ca: Option<&ClientCa>,
    ) -> Option<Tls> {
        let shown = Arc::new(Shown(ArcSwap::from_pointee(ByName::new(in_use(&pairs))?)));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(profile.versions())
            .expect("the provider's own cipher suites cover both versions")
            .with_client_cert_verifier(
                client_ca.map_or_else(WebPkiClientVerifier::no_client_auth, |ca| ca.verifier.clone()),
            )
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        server.alpn_protocols = alpn(protocols);
        server.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        if let Some(ticketer) = ticketer(client_ca.map(|ca| &ca.digest)) {
            server.ticketer = ticketer;
        }
        let clients = if client_ca.is_some() { Clients::Known } else { Clients::Anyone };
        let client_ca = client_ca.map(|ca| ca.digest.clone());
        Some(Tls { pairs, server: Arc::new(server), clients, profile, client_ca, shown })
    }

    /// Whether both were configured alike, whatever is in the files of their certificates.
    pub fn is_like(&self, other: &Tls) -> bool {
        let names = |tls: &Tls| tls.pairs.iter().map(|pair| pair.name().clone()).collect::<Vec<_>>();
        names(self) == names(other) && self.profile == other.profile && self.client_ca == other.client_ca
    }

    /// The certificates in use, in the order of the config.
    pub fn certificates(&self) -> impl Iterator<Item = Arc<Certificate>> {
        self.pairs.iter().map(|pair| pair.certificate())
    }

    /// See `Certificates::by_urgency`.
    pub fn by_urgency(&self) -> Vec<Arc<InUse>> {
        by_urgency(&self.pairs)
    }

    /// The certificate that a client is shown which asked for `sni` (lower case) and takes any: exact name, then wildcard, then the
    /// default.
    pub fn shown(&self, sni: Option<&str>) -> Arc<Certificate> {
        self.shown.0.load().shown(sni).first().clone()
    }

    /// Whether any client that asked for `sni` was shown a certificate for `host` too, whatever kinds of keys it takes.
    pub fn covers(&self, sni: Option<&str>, host: &str) -> bool {
        self.shown.0.load().shown(sni).0.iter().all(|certificate| certificate.covers(host))
    }

    /// From the next handshake on, what is in use now is shown.
    pub(super) fn refresh(&self) {
        let now = in_use(&self.pairs);
        let same = |before: &ByName| before.made_of.iter().zip(&now).all(|(before, now)| Arc::ptr_eq(before, now));
        if !same(&self.shown.0.load())
            && let Some(new) = ByName::new(now)
        {
            self.shown.0.store(Arc::new(new));
        }
    }
}

fn in_use(pairs: &[Arc<Pair>]) -> Vec<Arc<Certificate>> {
    pairs.iter().map(|pair| pair.certificate()).collect()
}

/// What is shown, for as long as nothing is replaced.
#[derive(Debug)]
struct Shown(ArcSwap<ByName>);

/// Certificates by the names in them.
#[derive(Debug)]
struct ByName {
    exact: HashMap<Box<str>, Group>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Group>,
    default: Group,
    /// In the order of the listener's pairs.
    made_of: Vec<Arc<Certificate>>,
}

/// Certificates for one name, one for each kind of key: of two of a kind the first is shown. At least one; what costs us least first.
#[derive(Clone, Debug)]
struct Group(Vec<Arc<Certificate>>);

impl ByName {
    /// `None`: there is none.
    fn new(certificates: Vec<Arc<Certificate>>) -> Option<ByName> {
        let first = certificates.first()?;
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for certificate in &certificates {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(above) => (&mut wildcard, above),
                    None => (&mut exact, name.as_ref()),
                };
                names.entry(Box::from(name)).or_insert_with(|| Group(Vec::new())).add(certificate);
            }
        }
        // With it come those of other kinds that have its name.
        let of_first = first.names.first().and_then(|name| match name.strip_prefix("*.") {
            Some(above) => wildcard.get(above),
            None => exact.get(name),
        });
        let default = of_first.cloned().unwrap_or_else(|| Group(vec![first.clone()]));
        Some(ByName { exact, wildcard, default, made_of: certificates })
    }

    fn shown(&self, sni: Option<&str>) -> &Group {
        let below = |host: &str| host.split_once('.').and_then(|(_, above)| self.wildcard.get(above));
        sni.and_then(|host| self.exact.get(host).or_else(|| below(host))).unwrap_or(&self.default)
    }
}

impl Group {
    fn add(&mut self, certificate: &Arc<Certificate>) {
        if self.0.iter().all(|known| known.kind() != certificate.kind()) {
            self.0.push(certificate.clone());
            self.0.sort_by_key(|certificate| cost(certificate.kind()));
        }
    }

    fn first(&self) -> &Arc<Certificate> {
        self.0.first().expect("it is made with one, and none is taken out")
    }

    /// The first that a client which takes such signatures can use.
    fn choose(&self, signatures: &[SignatureScheme]) -> &Arc<Certificate> {
        match &self.0[..] {
            [only] => only,
            several => {
                let fits = |certificate: &&Arc<Certificate>| certificate.key.key.choose_scheme(signatures).is_some();
                several.iter().find(fits).unwrap_or(self.first())
            }
        }
    }
}

/// Lower is better: a signature by RSA takes some ten times the CPU time of one by ECDSA, and few clients take the others.
fn cost(kind: SignatureAlgorithm) -> u8 {
    match kind {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::RSA => 2,
        _ => 1, // another crate's enum: Ed25519
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has put the name in lower case, and left out the signatures that go with no cipher suite of the client's.
        Some(self.0.load().shown(hello.server_name()).choose(hello.signature_schemes()).key.clone())
    }
}

/// What is offered by ALPN, our first choice first.
fn alpn(protocols: Protocols) -> Vec<Vec<u8>> {
    let h2 = protocols.h2.then(|| b"h2".to_vec());
    let http1 = protocols.http1.then(|| b"http/1.1".to_vec());
    h2.into_iter().chain(http1).collect()
}

#[cfg(test)]
mod tests {
    use super::super::certificate::PemFile;
    use super::*;

    fn certificate(file: &str, names: &[&str]) -> Arc<Pair> {
        with_key(file, names, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    fn with_key(file: &str, names: &[&str], kind: &'static rcgen::SignatureAlgorithm) -> Arc<Pair> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        let cert = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
        let key = key.serialize_pem();
        let pem = |bytes| PemFile { name: file, bytes };
        Pair::made(Certificate::load(pem(cert.as_bytes()), pem(key.as_bytes())).unwrap())
    }

    fn tls(pairs: Vec<Arc<Pair>>) -> Tls {
        Tls::new(pairs, Protocols { http1: true, h2: true }, Profile::Intermediate, None).unwrap()
    }

    #[test]
    fn the_exact_name_is_shown_before_the_wildcard_and_the_first_certificate_to_all_others() {
        let tls = tls(vec![
            certificate("default", &["example.com"]),
            certificate("wildcard", &["*.example.org"]),
            certificate("exact", &["www.example.org"]),
            certificate("late", &["www.example.org"]),
        ]);
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
    fn of_several_kinds_of_keys_a_client_is_shown_the_cheapest_that_it_takes() {
        let pairs = vec![
            with_key("rsa", &["example.org", "rsa.example.org"], &rcgen::PKCS_RSA_SHA256),
            with_key("ecdsa", &["example.org"], &rcgen::PKCS_ECDSA_P256_SHA256),
            with_key("late", &["example.org"], &rcgen::PKCS_ECDSA_P256_SHA256),
        ];
        let tls = tls(pairs);
        let by_name = tls.shown.0.load();
        let (rsa, ecdsa) = (SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256);
        for (sni, signatures, file) in [
            (Some("example.org"), &[rsa, ecdsa][..], "ecdsa"),
            (Some("example.org"), &[rsa], "rsa"),
            (Some("example.org"), &[ecdsa], "ecdsa"),
            (Some("rsa.example.org"), &[ecdsa, rsa], "rsa"),
            (None, &[rsa], "rsa"),
            (None, &[rsa, ecdsa], "ecdsa"),
            // Nothing fits: the handshake fails, and says so.
            (Some("example.org"), &[SignatureScheme::ED25519], "ecdsa"),
        ] {
            assert_eq!(&*by_name.shown(sni).choose(signatures).file, file, "{sni:?} {signatures:?}");
        }
        assert!(!tls.covers(Some("example.org"), "rsa.example.org"), "who was shown the other has no proof of it");
        assert!(tls.covers(Some("rsa.example.org"), "example.org"));
    }

    #[test]
    fn clients_are_offered_the_protocols_of_the_listener_h2_first() {
        assert_eq!(alpn(Protocols { http1: true, h2: true }), [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(alpn(Protocols { http1: true, h2: false }), [b"http/1.1".to_vec()]);
        assert_eq!(alpn(Protocols { http1: false, h2: true }), [b"h2".to_vec()]);
    }

    #[test]
    fn tickets_are_on_and_survive_a_reload() {
        let new = || tls(vec![certificate("a", &["a"])]);
        let (before, after) = (new(), new());
        assert!(before.server.ticketer.enabled());
        let sealed = before.server.ticketer.encrypt(b"session").unwrap();
        assert_eq!(after.server.ticketer.decrypt(&sealed).unwrap(), b"session");
    }
}
