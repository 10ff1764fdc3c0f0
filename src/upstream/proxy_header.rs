//! The PROXY header that a connection to an endpoint begins with where its backend asks for one: HAProxy's PROXY protocol,
//! versions 1 and 2.
//!
//! Not here: reading one at a client's connection (`edge::proxy_header`).

use crate::config::ProxyVersion;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// What a header of version 2 begins with, and no other protocol does.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// A client's connection: whose it is, and where it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    pub client: SocketAddr,
    pub at: SocketAddr,
}

/// One header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProxyHeader {
    pub version: ProxyVersion,
    /// `None`: the connection is our own, as a probe's is.
    pub ends: Option<Ends>,
}

/// Both ends in one family, which is all that a header can say.
enum Pair {
    V4(SocketAddrV4, SocketAddrV4),
    V6(SocketAddrV6, SocketAddrV6),
}

impl Pair {
    fn of(ends: Ends) -> Pair {
        match (ends.client, ends.at) {
            (SocketAddr::V4(client), SocketAddr::V4(at)) => Pair::V4(client, at),
            (client, at) => Pair::V6(as_v6(client), as_v6(at)),
        }
    }
}

fn as_v6(address: SocketAddr) -> SocketAddrV6 {
    let ip = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    SocketAddrV6::new(ip, address.port(), 0, 0)
}

impl ProxyHeader {
    /// As it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let pair = self.ends.map(Pair::of);
        match self.version {
            ProxyVersion::V1 => text(pair.as_ref()).into_bytes(),
            ProxyVersion::V2 => binary(pair.as_ref()),
        }
    }
}

fn text(pair: Option<&Pair>) -> String {
    match pair {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(Pair::V4(client, at)) => {
            format!("PROXY TCP4 {} {} {} {}\r\n", client.ip(), at.ip(), client.port(), at.port())
        }
        Some(Pair::V6(client, at)) => {
            format!("PROXY TCP6 {} {} {} {}\r\n", client.ip(), at.ip(), client.port(), at.port())
        }
    }
}

fn binary(pair: Option<&Pair>) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    match pair {
        None => bytes.extend([0x20, 0x00, 0, 0]), // version 2, LOCAL; no family, nothing follows
        Some(Pair::V4(client, at)) => {
            bytes.extend([0x21, 0x11, 0, 12]); // PROXY; TCP over IPv4
            bytes.extend(client.ip().octets());
            bytes.extend(at.ip().octets());
            bytes.extend(client.port().to_be_bytes());
            bytes.extend(at.port().to_be_bytes());
        }
        Some(Pair::V6(client, at)) => {
            bytes.extend([0x21, 0x21, 0, 36]);
            bytes.extend(client.ip().octets());
            bytes.extend(at.ip().octets());
            bytes.extend(client.port().to_be_bytes());
            bytes.extend(at.port().to_be_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: ProxyVersion, client: &str, at: &str) -> Vec<u8> {
        let ends = Ends { client: client.parse().unwrap(), at: at.parse().unwrap() };
        ProxyHeader { version, ends: Some(ends) }.bytes()
    }

    #[test]
    fn both_versions_are_written_as_the_specification_has_them() {
        let (v1, v2) = (ProxyVersion::V1, ProxyVersion::V2);
        assert_eq!(header(v1, "192.0.2.7:56324", "192.0.2.1:443"), b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n");
        assert_eq!(header(v1, "[2001:db8::7]:1", "[2001:db8::1]:2"), b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n");
        let four = *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\xdc\x04\x01\xbb";
        assert_eq!(header(v2, "192.0.2.7:56324", "192.0.2.1:443"), four);
        let six = header(v2, "[2001:db8::7]:1", "[2001:db8::1]:2");
        assert_eq!((six.len(), &six[12..16], &six[48..]), (52, &[0x21, 0x21, 0, 36][..], &[0, 1, 0, 2][..]));
    }

    #[test]
    fn ends_of_two_families_are_both_written_as_ipv6() {
        let header = header(ProxyVersion::V1, "192.0.2.7:1", "[2001:db8::1]:2");
        assert_eq!(header, b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 2\r\n");
    }

    #[test]
    fn a_connection_of_our_own_is_nobodys() {
        let ours = |version| ProxyHeader { version, ends: None }.bytes();
        assert_eq!(ours(ProxyVersion::V1), b"PROXY UNKNOWN\r\n");
        assert_eq!(ours(ProxyVersion::V2), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }
}
