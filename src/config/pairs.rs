//! Pairs of a certificate and its key: two files that somebody replaces while they are in use. Which certificate is in use, and
//! whether it is the one in the files.
//!
//! Always true: once a pair was good, what replaces it is as good, or it stays. Files that can't be read, don't fit each other, or
//! hold a certificate whose time is over or has not come are refused, and the one from before stays in use; that is said loudly, for
//! its own time will be over, too. Where there is none from before they are problems of the config, but for a certificate whose time is
//! not now, which is used as it is: users behind a warning page are better off than users behind a proxy that does not start.
//!
//! Not here: how a config names pairs (`pair_files`), when their files are looked at again (`watch`), which of several a client is
//! shown (`tls`).

use super::certificate::{Certificate, PemFile};
use super::message;
use super::problem::What;
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

/// Its two files, named as in the config. They may be one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairName {
    pub cert: Box<str>,
    pub key: Box<str>,
}

/// A pair, for all who use it.
#[derive(Debug)]
pub struct Pair {
    name: PairName,
    in_use: ArcSwap<InUse>,
}

/// What is in use of a pair.
#[derive(Clone, Debug)]
pub struct InUse {
    pub certificate: Arc<Certificate>,
    /// Why it is not the one in the files; `None`: it is.
    pub refused: Option<Refusal>,
    pub(super) digest: Digest,
}

/// SHA-256 of both files as they were when the certificate in use was read from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

/// Why what the files hold now is not put to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They can't be read, or make no pair; in words.
    Broken(Box<str>),
    Expired {
        file: Box<str>,
        at: SystemTime,
    },
    NotYetValid {
        file: Box<str>,
        from: SystemTime,
    },
}

/// All pairs of a config, each once, whoever names it.
#[derive(Debug, Default)]
pub struct Certificates(Box<[Arc<Pair>]>);

/// What is in force while a config is read that is to take its place.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'a> {
    pub certificates: &'a Certificates,
    pub now: SystemTime,
}

impl PairName {
    /// Whether a problem is one of the key's file.
    pub(super) fn is_about_the_key(&self, what: &What) -> bool {
        match what {
            What::Unreadable { file, .. } => **file == *self.key && self.cert != self.key,
            other => other.is_about_the_key(), // what else files can be is its business
        }
    }
}

impl Pair {
    pub(super) fn new(name: PairName, in_use: InUse) -> Arc<Pair> {
        Arc::new(Pair { name, in_use: ArcSwap::from_pointee(in_use) })
    }

    /// A certificate that was made, not read.
    pub fn made(certificate: Certificate) -> Arc<Pair> {
        let name = PairName { cert: certificate.file.clone(), key: certificate.file.clone() };
        let digest = Digest::of(&[], &[]);
        Pair::new(name, InUse { certificate: Arc::new(certificate), refused: None, digest })
    }

    /// One whose files hold what was refused.
    #[cfg(test)]
    pub(crate) fn refusing(certificate: Certificate, why: &str) -> Arc<Pair> {
        let pair = Pair::made(certificate);
        pair.put_to_use(InUse { refused: Some(Refusal::Broken(why.into())), ..InUse::clone(&pair.in_use()) });
        pair
    }

    pub fn name(&self) -> &PairName {
        &self.name
    }

    pub fn in_use(&self) -> Arc<InUse> {
        self.in_use.load_full()
    }

    pub fn certificate(&self) -> Arc<Certificate> {
        self.in_use.load().certificate.clone()
    }

    pub(super) fn put_to_use(&self, in_use: InUse) {
        self.in_use.store(Arc::new(in_use));
    }
}

/// As ours, for endpoints that ask for one.
impl ResolvesClientCert for Pair {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use.load().certificate.key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Certificates {
    pub fn new(mut pairs: Vec<Arc<Pair>>) -> Certificates {
        pairs.sort_by(|one, other| one.name.cmp(&other.name));
        Certificates(pairs.into())
    }

    pub fn all(&self) -> &[Arc<Pair>] {
        &self.0
    }

    pub fn get(&self, name: &PairName) -> Option<&Arc<Pair>> {
        let found = self.0.binary_search_by(|pair| pair.name.cmp(name)).ok()?;
        self.0.get(found)
    }

    /// What is in use, what somebody should look after first: what was refused, then what ends soonest.
    pub fn by_urgency(&self) -> Vec<Arc<InUse>> {
        by_urgency(&self.0)
    }
}

/// See [`Certificates::by_urgency`].
pub(super) fn by_urgency(pairs: &[Arc<Pair>]) -> Vec<Arc<InUse>> {
    let mut all: Vec<_> = pairs.iter().map(|pair| pair.in_use()).collect();
    all.sort_by_key(|in_use| (Reverse(in_use.refused.is_some()), in_use.certificate.not_after));
    all
}

/// What is to be in use of a pair, now that its files hold what `read` says; `before` is in use so far.
///
/// # Errors
/// All that is wrong with the files, where nothing is in use so far.
pub(super) fn judge(
    name: &PairName,
    read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    before: Option<(&InUse, SystemTime)>,
) -> Result<InUse, Vec<What>> {
    let file =
        |file: &str| read(file).map_err(|error| What::Unreadable { file: file.to_owned(), error: error.to_string() });
    let found = match (file(&name.cert), file(&name.key)) {
        (Ok(cert), Ok(key)) => {
            let digest = Digest::of(&cert, &key);
            if let Some((before, _)) = before
                && before.digest == digest
            {
                return Ok(InUse { refused: None, ..before.clone() });
            }
            let loaded =
                Certificate::load(PemFile { name: &name.cert, bytes: &cert }, PemFile { name: &name.key, bytes: &key });
            loaded.map(|certificate| InUse { certificate: Arc::new(certificate), refused: None, digest })
        }
        (cert, key) => {
            let mut wrong: Vec<_> = [cert.err(), key.err()].into_iter().flatten().collect();
            wrong.truncate(if name.cert == name.key { 1 } else { 2 });
            Err(wrong)
        }
    };
    let refusal = match (&found, before) {
        (_, None) => return found,
        (Err(wrong), Some(_)) => Some(Refusal::broken(wrong)),
        (Ok(new), Some((_, now))) => Refusal::of_time(&new.certificate, now),
    };
    match (refusal, before) {
        (Some(refusal), Some((before, _))) => Ok(InUse { refused: Some(refusal), ..before.clone() }),
        (None, _) | (_, None) => found,
    }
}

impl Digest {
    fn of(cert: &[u8], key: &[u8]) -> Digest {
        let mut hash = Context::new(&SHA256);
        hash.update(&cert.len().to_be_bytes()); // or two other files could be the same bytes in a row
        hash.update(cert);
        hash.update(key);
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        Digest(digest)
    }
}

impl Refusal {
    fn broken(wrong: &[What]) -> Refusal {
        let words: Vec<String> = wrong.iter().map(message::sentence).collect();
        Refusal::Broken(words.join("; ").into())
    }

    /// Whether a certificate's time is not now.
    pub fn of_time(certificate: &Certificate, now: SystemTime) -> Option<Refusal> {
        let file = certificate.file.clone();
        match (certificate.not_before <= now, now <= certificate.not_after) {
            (true, true) => None,
            (_, false) => Some(Refusal::Expired { file, at: certificate.not_after }),
            (false, true) => Some(Refusal::NotYetValid { file, from: certificate.not_before }),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |at: SystemTime| jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::MAX);
        match self {
            Refusal::Broken(words) => f.write_str(words),
            Refusal::Expired { file, at } => write!(f, "the certificate in {file} expired at {:.0}", time(*at)),
            Refusal::NotYetValid { file, from } => {
                write!(f, "the certificate in {file} is not valid before {:.0}", time(*from))
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::time::Duration;

    /// Certificate and key, PEM, valid for these days from now.
    pub(in super::super) fn made(name: &str, from: i64, until: i64) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let day = |days: i64| {
            let since = Duration::from_secs((NOW + days * 86_400).unsigned_abs());
            rcgen::date_time_ymd(1970, 1, 1) + since
        };
        (params.not_before, params.not_after) = (day(from), day(until));
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    /// 2027-01-15, in seconds.
    const NOW: i64 = 1_800_000_000;

    pub(in super::super) fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs())
    }

    fn name() -> PairName {
        PairName { cert: "a.pem".into(), key: "a.key".into() }
    }

    /// What is to be in use where the two files hold that.
    fn judged(files: Option<(&str, &str)>, before: Option<&InUse>) -> Result<InUse, Vec<What>> {
        let read = |file: &str| match (file, files) {
            ("a.pem", Some((cert, _))) => Ok(cert.as_bytes().to_vec()),
            ("a.key", Some((_, key))) => Ok(key.as_bytes().to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        judge(&name(), &read, before.map(|before| (before, now())))
    }

    #[test]
    fn what_is_worse_than_what_is_in_use_is_refused_and_says_why() {
        let (good, better, other) = (made("a", -1, 9), made("a", -1, 90), made("a", -1, 90));
        let (expired, early) = (made("a", -9, -1), made("a", 1, 9));
        let pem = |pair: &'_ (String, String)| -> (String, String) { pair.clone() };
        let first = judged(Some((&good.0, &good.1)), None).unwrap();
        let again = judged(Some((&good.0, &good.1)), Some(&first)).unwrap();
        assert!(Arc::ptr_eq(&first.certificate, &again.certificate), "the same files are not read into another one");
        let next = judged(Some((&better.0, &better.1)), Some(&first)).unwrap();
        assert!(next.refused.is_none() && !Arc::ptr_eq(&first.certificate, &next.certificate));

        let mixed = (better.0.clone(), other.1.clone());
        for (files, said) in [
            (None, "can't read a.pem: entity not found; can't read a.key: entity not found"),
            (
                Some(pem(&mixed)),
                "the key in a.key is not the one of the certificate in a.pem: every handshake with them would fail",
            ),
            (Some(pem(&expired)), "the certificate in a.pem expired at 2027-01-14T08:00:00Z"),
            (Some(pem(&early)), "the certificate in a.pem is not valid before 2027-01-16T08:00:00Z"),
        ] {
            let kept = judged(files.as_ref().map(|(cert, key)| (&**cert, &**key)), Some(&first)).unwrap();
            assert!(Arc::ptr_eq(&first.certificate, &kept.certificate), "{said}");
            assert_eq!(kept.refused.as_ref().unwrap().to_string(), said);
            let healed = judged(Some((&good.0, &good.1)), Some(&kept)).unwrap();
            assert_eq!(healed.refused, None, "what is in use is in the files again");
        }
    }

    #[test]
    fn where_nothing_is_in_use_a_certificate_whose_time_is_not_now_is_used() {
        for (from, until) in [(-9, -1), (1, 9)] {
            let (cert, key) = made("a", from, until);
            assert_eq!(judged(Some((&cert, &key)), None).unwrap().refused, None);
        }
        assert!(judged(None, None).is_err());
    }
}
