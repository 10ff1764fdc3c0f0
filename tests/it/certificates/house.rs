//! A front door whose config and certificates are files, and clients that look at what they are shown.

use crate::harness::Endpoint;
use crate::harness::ports::free_address;
use hotspare::app::{Hotspare, certificates};
use hotspare::config::{self, Config, Folder, InForce, Problems};
use hotspare::health::Reconfiguration;
use hotspare::runtime::clock::Clock;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Instead of a minute.
const EVERY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy)]
pub enum Kind {
    Rsa,
    Ecdsa,
}

/// A certificate that was made for a test.
pub struct Made {
    pub cert: String,
    pub key: String,
    pub der: CertificateDer<'static>,
    key_pair: KeyPair,
}

impl Made {
    pub fn new(kind: Kind, name: &str) -> Made {
        Made::with(kind, name, |_| ())
    }

    /// One whose time is over.
    pub fn expired(name: &str) -> Made {
        Made::with(Kind::Ecdsa, name, |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1))
    }

    fn with(kind: Kind, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Made {
        let kind = match kind {
            Kind::Rsa => &rcgen::PKCS_RSA_SHA256,
            Kind::Ecdsa => &rcgen::PKCS_ECDSA_P256_SHA256,
        };
        let key_pair = KeyPair::generate_for(kind).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let cert = params.self_signed(&key_pair).unwrap();
        Made { cert: cert.pem(), key: key_pair.serialize_pem(), der: cert.der().clone(), key_pair }
    }

    fn own(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.der.clone()], PrivateKeyDer::try_from(self.key_pair.serialize_der()).unwrap())
    }
}

pub struct Builder {
    directory: tempfile::TempDir,
    tls: String,
}

/// A running front door, whose certificates are looked at all the time.
pub struct House {
    pub hotspare: Hotspare,
    directory: tempfile::TempDir,
    address: SocketAddr,
    keeper: JoinHandle<()>,
    _endpoint: Endpoint,
}

impl House {
    /// `tls`: keys of the listener.
    pub fn builder(tls: &str) -> Builder {
        Builder { directory: tempfile::tempdir().unwrap(), tls: tls.to_owned() }
    }

    pub fn config(&self) -> Arc<Config> {
        self.hotspare.published().load().config.clone()
    }

    pub fn client(&self, takes: Taker) -> Looker {
        Looker { address: self.address, takes, versions: rustls::ALL_VERSIONS.to_vec(), own: None }
    }

    /// Writes a file beside the config.
    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// As SIGHUP does.
    pub async fn reload(&mut self) -> Result<(), Problems> {
        let before = self.config();
        let in_force = InForce { certificates: &before.certificates, now: SystemTime::now() };
        let config = config::load_over(&self.path("hotspare.toml"), Some(in_force))?;
        self.hotspare.reconfigure(Reconfiguration::to(std::sync::Arc::new(config))).await.unwrap().unwrap();
        Ok(())
    }

    /// Why what is in the first file is not in use.
    pub fn refused(&self) -> Option<String> {
        self.config().certificates.all()[0].in_use().refused.as_ref().map(ToString::to_string)
    }

    pub async fn stop(self) {
        self.keeper.abort();
        self.hotspare.stop().await;
    }
}

impl Builder {
    pub fn file(self, name: &str, text: &str) -> Builder {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn pair(self, name: &str, made: &Made) -> Builder {
        self.file(&format!("{name}.pem"), &made.cert).file(&format!("{name}.key"), &made.key)
    }

    pub async fn start(self) -> House {
        let endpoint = Endpoint::start("main").await;
        let (address, admin) = (free_address(), free_address());
        let text = format!(
            "workers = 1\nstate_dir = 'state'\n[admin]\naddress = '{admin}'\n[[listener]]\naddress = '{address}'\n{}\n\
             [[backend]]\nname = 'sites'\nprimary = {{ name = 'main', endpoints = ['{}'] }}\n",
            self.tls, endpoint.address
        );
        let this = self.file("hotspare.toml", &text);
        let path = this.directory.path().join("hotspare.toml");
        let config = config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let clock = Clock::start();
        let hotspare = Hotspare::start(config, clock).await.unwrap();
        let keeper = tokio::spawn(certificates::keep(hotspare.published().clone(), Folder::of(&path), clock, EVERY));
        House { hotspare, directory: this.directory, address, keeper, _endpoint: endpoint }
    }
}

/// What a client can verify.
#[derive(Clone, Copy, Debug)]
pub enum Taker {
    All,
    Rsa,
}

/// A client that takes any certificate, and says which it was.
#[derive(Clone)]
pub struct Looker {
    address: SocketAddr,
    takes: Taker,
    versions: Vec<&'static SupportedProtocolVersion>,
    own: Option<Arc<Made>>,
}

impl Looker {
    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Looker {
        self.versions = vec![version];
        self
    }

    /// It shows this one where it is asked.
    pub fn showing(mut self, own: &Arc<Made>) -> Looker {
        self.own = Some(own.clone());
        self
    }

    pub async fn connect(&self, sni: &str) -> Result<TlsStream<TcpStream>, String> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_protocol_versions(&self.versions).unwrap().dangerous();
        let config = config.with_custom_certificate_verifier(Arc::new(Any(self.takes)));
        let config = match &self.own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = own.own();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        let shaken = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        shaken.map_err(|error| error.to_string())
    }

    /// The certificate that it is shown.
    pub async fn shown(&self, sni: &str) -> Result<CertificateDer<'static>, String> {
        Ok(of(&self.connect(sni).await?))
    }

    /// What a request of its own connection is answered: the status.
    pub async fn status(&self, sni: &str, host: &str) -> Result<String, String> {
        ask(&mut self.connect(sni).await?, host).await
    }
}

/// The certificate that was shown on that connection.
pub fn of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// One request, answered with a status.
pub async fn ask(stream: &mut TlsStream<TcpStream>, host: &str) -> Result<String, String> {
    let words = |error: std::io::Error| error.to_string();
    let asked = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.map_err(words)?;
    let mut read = [0; 4_096];
    let length = stream.read(&mut read).await.map_err(words)?;
    let answer = String::from_utf8_lossy(&read[..length]).into_owned();
    Ok(answer.split(' ').nth(1).unwrap_or("closed").to_owned())
}

/// Believes whatever it is shown.
#[derive(Debug)]
struct Any(Taker);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match self.0 {
            Taker::All => vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256],
            Taker::Rsa => vec![SignatureScheme::RSA_PSS_SHA256],
        }
    }
}
