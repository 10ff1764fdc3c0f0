//! What stands in front of the two places: Hotspare, or one of its peers, at the same address with the same certificate.

use crate::door::Door;
use crate::journal::{self, Decision};
use crate::peer::{HAPROXY, NGINX, Peer};
use crate::variant::Variant;
use anyhow::ensure;
use rustls::pki_types::CertificateDer;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;

pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 90, 1));
/// As all their files say.
pub const ADDRESS: SocketAddr = SocketAddr::new(HERE, 7443);
pub const CERTIFICATE: &str = "site.pem";
pub const KEY: &str = "site.key";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    Hotspare,
    Nginx,
    Haproxy,
}

impl Proxy {
    pub fn name(self) -> &'static str {
        match self {
            Proxy::Hotspare => "Hotspare",
            Proxy::Nginx => "nginx",
            Proxy::Haproxy => "HAProxy",
        }
    }
}

/// It, running.
#[derive(Debug)]
pub struct Front {
    pub certificate: CertificateDer<'static>,
    stands: Stands,
}

#[derive(Debug)]
enum Stands {
    Hotspare(Door),
    Peer(Peer),
}

/// What it tells of itself when the row is over; of a peer only reloads.
#[derive(Debug, Default)]
pub struct Told {
    pub rescued: u64,
    pub decisions: Vec<Decision>,
    /// Read, of those that it was told to; where it might not be all.
    pub reloads: (usize, usize),
}

impl Front {
    /// Opened, and ready.
    pub fn open(proxy: Proxy, variant: Variant, directory: &Path) -> anyhow::Result<Front> {
        ensure!(TcpStream::connect(ADDRESS).is_err(), "something listens on {ADDRESS} already: another drill?");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?; // ECDSA, P-256
        fs::write(directory.join(CERTIFICATE), made.cert.pem())?;
        fs::write(directory.join(KEY), made.signing_key.serialize_pem())?;
        let stands = match proxy {
            Proxy::Hotspare => Stands::Hotspare(Door::open(directory, variant)?),
            Proxy::Nginx => Stands::Peer(Peer::open(&NGINX, directory)?),
            Proxy::Haproxy => Stands::Peer(Peer::open(&HAPROXY, directory)?),
        };
        Ok(Front { certificate: made.cert.der().clone(), stands })
    }

    /// Another config file, and the signal to read it.
    pub fn reload(&mut self) -> anyhow::Result<()> {
        match &mut self.stands {
            Stands::Hotspare(door) => door.reload(),
            Stands::Peer(peer) => peer.reload(),
        }
    }

    /// Closes it; an error if it was gone before, had not read every config (a peer: none), or ended badly.
    pub fn close(self) -> anyhow::Result<Told> {
        match self.stands {
            Stands::Hotspare(door) => {
                let rescued = door.rescued()?;
                Ok(Told { rescued, decisions: journal::read(&door.close()?)?, ..Told::default() })
            }
            Stands::Peer(peer) => Ok(Told { reloads: peer.close()?, ..Told::default() }),
        }
    }
}
