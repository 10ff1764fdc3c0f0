//! How clients and paths are told apart without keeping a byte of them: keyed hashes, the key new with each process, so that
//! nobody can choose an address or a path that is taken for another.

use crate::domain::Fingerprint;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};

/// The key. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Fingerprints(RandomState);

impl Fingerprints {
    /// A client: its address, of IPv6 the /64, for that is what one subscriber is given.
    pub fn client(&self, address: IpAddr) -> Fingerprint {
        let v6 = match address {
            IpAddr::V4(v4) => return Fingerprint(self.0.hash_one(v4)),
            IpAddr::V6(v6) => v6,
        };
        Fingerprint(match v6.to_ipv4_mapped() {
            Some(v4) => self.0.hash_one(v4),
            None => self.0.hash_one(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        })
    }

    /// All clients that have no address: nothing tells them apart.
    pub fn unknown(&self) -> Fingerprint {
        Fingerprint(self.0.hash_one("unknown"))
    }

    /// A path, without query, of the site that this host names.
    pub fn path(&self, host: &str, path: &str) -> Fingerprint {
        Fingerprint(self.0.hash_one((host, path)))
    }

    /// Of what behind one address is told apart by `text`.
    pub fn within(&self, client: Fingerprint, text: &[u8]) -> Fingerprint {
        Fingerprint(self.0.hash_one((client.0, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscriber_is_one_client_and_another_is_not() {
        let prints = Fingerprints::default();
        let client = |address: &str| prints.client(address.parse().unwrap());
        assert_eq!(client("2001:db8:1:2::3"), client("2001:db8:1:2:ffff::1"));
        assert_ne!(client("2001:db8:1:2::3"), client("2001:db8:1:3::3"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"), "over a dual-stack socket too");
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn a_path_belongs_to_its_site() {
        let prints = Fingerprints::default();
        assert_ne!(prints.path("a.example", "/"), prints.path("b.example", "/"));
        assert_ne!(prints.path("a.example", "/b"), prints.path("a.example/", "b"));
    }
}
