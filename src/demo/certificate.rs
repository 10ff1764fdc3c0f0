//! The demo's own certificate: made at start, kept in memory, trusted by the demo's visitors and nobody else.

use anyhow::Context;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The files that the demo's configuration names; they exist in memory only.
pub const CERT_FILE: &str = "demo.pem";
pub const KEY_FILE: &str = "demo.key";

/// A self-signed certificate for this machine's own names.
#[derive(Debug)]
pub struct Certificate {
    cert_pem: String,
    key_pem: String,
    trust: Arc<ClientConfig>,
}

impl Certificate {
    pub fn generate() -> anyhow::Result<Certificate> {
        Certificate::try_generate().context("the demo's certificate could not be made")
    }

    fn try_generate() -> anyhow::Result<Certificate> {
        let names = ["localhost", "*.localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "hotspare demo");
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let mut trust = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        trust.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Certificate { cert_pem: cert.pem(), key_pem: key.serialize_pem(), trust: Arc::new(trust) })
    }

    /// Reads one of the two files, as `config::parse` wants to.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = path.file_name().and_then(|name| name.to_str());
        match name {
            Some(CERT_FILE) => Ok(self.cert_pem.clone().into_bytes()),
            Some(KEY_FILE) => Ok(self.key_pem.clone().into_bytes()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// What a client needs that trusts this certificate, and nothing else.
    pub fn trust(&self) -> Arc<ClientConfig> {
        self.trust.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn only_its_two_files_exist() {
        let certificate = Certificate::generate().unwrap();
        assert!(certificate.read(Path::new("some/where/demo.pem")).unwrap().starts_with(b"-----BEGIN CERT"));
        assert!(PrivateKeyDer::from_pem_slice(&certificate.read(Path::new(KEY_FILE)).unwrap()).is_ok());
        assert_eq!(certificate.read(Path::new("/etc/passwd")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
