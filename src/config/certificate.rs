//! Certificates, loaded: chains with the keys that fit them, and the names they cover.
//!
//! Not here: which one a client is shown (`tls`); where they are read from, and what becomes of one whose time is not now (`pairs`).

use super::problem::{Instead, What};
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureAlgorithm, crypto::aws_lc_rs};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// One certificate and its key.
#[derive(Debug)]
pub struct Certificate {
    /// The file it came from, for people and for the `certificate` label of the expiry metric.
    pub file: Box<str>,
    /// DNS names it covers, lower case; `*.example.org` covers one label. IP addresses as a Host header has them.
    pub names: Vec<Box<str>>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    pub key: Arc<CertifiedKey>,
}

/// A file named in the config, and what is in it.
#[derive(Clone, Copy)]
pub(super) struct PemFile<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
}

impl Certificate {
    /// The certificate in one file with the key in another, or all that is wrong with them.
    pub(super) fn load(cert: PemFile<'_>, key: PemFile<'_>) -> Result<Certificate, Vec<What>> {
        let chain = chain(cert).and_then(|chain| Ok((facts(cert, &chain)?, chain)));
        let (Facts { names, not_before, not_after }, chain, private_key) = match (chain, private_key(key)) {
            (Ok((facts, chain)), Ok(private_key)) => (facts, chain, private_key),
            (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
        };
        let bad_key = |error: String| What::BadKey { file: key.name.to_owned(), error };
        let pair = CertifiedKey::from_der(chain, private_key, &aws_lc_rs::default_provider());
        let pair = pair.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                What::KeyMismatch { cert: cert.name.to_owned(), key: key.name.to_owned() }
            }
            rustls::Error::InvalidCertificate(error) => {
                What::BadCertificate { file: cert.name.to_owned(), error: format!("{error:?}") }
            }
            rustls::Error::General(error) => bad_key(error),
            other => bad_key(other.to_string()), // another crate's enum
        });
        let pair = pair.map_err(|what| vec![what])?;
        Ok(Certificate { file: cert.name.into(), names, not_before, not_after, key: Arc::new(pair) })
    }

    /// The kind of its key: clients differ in which they take.
    pub fn kind(&self) -> SignatureAlgorithm {
        self.key.key.algorithm()
    }

    /// Whether a client that trusts it may use it for `host` (RFC 9525, section 6.3: a wildcard is one whole label).
    pub fn covers(&self, host: &str) -> bool {
        let above = host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, above)| above);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(wildcard) => above == Some(wildcard),
            None => **name == *host,
        })
    }
}

/// The certificates of a file, at least one.
pub(super) fn chain(file: PemFile<'_>) -> Result<Vec<CertificateDer<'static>>, What> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(file.bytes) {
        let broken = |error| What::BadCertificate { file: file.name.to_owned(), error: damage(&error) };
        chain.push(certificate.map_err(broken)?);
    }
    match chain.is_empty() {
        false => Ok(chain),
        true => Err(What::NoCertificate { file: file.name.to_owned(), instead: instead(file.bytes, is_key) }),
    }
}

fn private_key(file: PemFile<'_>) -> Result<PrivateKeyDer<'static>, What> {
    let name = || file.name.to_owned();
    PrivateKeyDer::from_pem_slice(file.bytes).map_err(|error| match error {
        // PKCS #8's own label, which the reader passes over, or the header of the older formats (RFC 1421, section
        // 4.6).
        _ if contains(file.bytes, b"ENCRYPTED") => What::EncryptedKey { file: name() },
        pem::Error::NoItemsFound => What::NoKey { file: name(), instead: instead(file.bytes, is_certificate) },
        damaged => What::BadKey { file: name(), error: damage(&damaged) },
    })
}

/// How a PEM file is damaged; its own words show bytes as numbers.
fn damage(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it breaks off: a \"-----BEGIN\" line has no \"-----END\"".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a \"-----BEGIN\" line is damaged".to_owned(),
        pem::Error::Base64Decode(_) => "its text is damaged: not base64".to_owned(),
        other => other.to_string(), // another crate's enum
    }
}

/// What else is in a file that lacks what it should hold.
fn instead(bytes: &[u8], is_the_other: fn(SectionKind) -> bool) -> Instead {
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes).flatten();
    match (bytes.trim_ascii().is_empty(), sections.any(|(kind, _)| is_the_other(kind))) {
        (true, _) => Instead::Nothing,
        (false, true) => Instead::TheOther,
        (false, false) => Instead::SomethingElse,
    }
}

fn is_certificate(kind: SectionKind) -> bool {
    kind == SectionKind::Certificate
}

fn is_key(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What the first certificate of a chain says of itself.
struct Facts {
    names: Vec<Box<str>>,
    not_before: SystemTime,
    not_after: SystemTime,
}

fn facts(file: PemFile<'_>, chain: &[CertificateDer<'_>]) -> Result<Facts, What> {
    let der = chain.first().map_or(&[][..], |certificate| certificate.as_ref());
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|_| What::BadCertificate { file: file.name.to_owned(), error: "it is not X.509".to_owned() })?;
    let time = |seconds: i64| {
        let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    // No such extension, or one that can't be read: no names. The certificate still serves as the default one.
    let names = certificate.subject_alternative_name().ok().flatten().map(|extension| &extension.value.general_names);
    let names = names.into_iter().flatten().filter_map(name).collect();
    let validity = certificate.validity();
    let (not_before, not_after) = (time(validity.not_before.timestamp()), time(validity.not_after.timestamp()));
    Ok(Facts { names, not_before, not_after })
}

fn name(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into_boxed_str()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()?;
            let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            Some(host.into_boxed_str())
        }
        _ => None, // another crate's enum: e-mail addresses and other kinds that are no hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        let (cert, key) = (cert.pem(), signing_key.serialize_pem());
        let file = |name, text: &'static str| PemFile { name, bytes: text.as_bytes() };
        Certificate::load(file("site.pem", cert.leak()), file("site.key", key.leak())).unwrap()
    }

    #[test]
    fn a_wildcard_covers_one_whole_label() {
        let certificate = load(&["Example.org", "*.example.org", "127.0.0.1", "::1"]);
        for host in ["example.org", "www.example.org", "127.0.0.1", "[::1]"] {
            assert!(certificate.covers(host), "{host}");
        }
        for host in ["", "org", "a.b.example.org", ".example.org", "wwwexample.org", "example.com", "*", "127.0.0.2"] {
            assert!(!certificate.covers(host), "{host}");
        }
    }

    #[test]
    fn its_end_is_read_from_it() {
        let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap().pem();
        let cert = PemFile { name: "c", bytes: cert.as_bytes() };
        let key = key.serialize_pem();
        let loaded = Certificate::load(cert, PemFile { name: "k", bytes: key.as_bytes() }).unwrap();
        let seconds = loaded.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds, 1_927_843_200); // date -u -d 2031-02-03 +%s
    }
}
