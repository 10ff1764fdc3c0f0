//! Whom one request is from. The one place that says so: evidence, ramps, the fields that endpoints get and the PROXY header that
//! begins a connection to them all go by it.
//!
//! A stranger's request is from the other end of its connection, whatever it says. A proxy of ours is believed about who is before
//! it, and so on to the first that is none of ours: X-Forwarded-For, read from its end.
//!
//! Not here: who is at a connection's other end (`edge::conn`), what endpoints are told (`forwarded`).

use super::client::{Client, Standing};
use super::forwarded::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use super::route;
use crate::config::Proxies;
use crate::domain::Fingerprint;
use crate::health::Fingerprints;
use crate::upstream::Ends;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Entries of X-Forwarded-For that are read, from its end: proxies before proxies are few.
const MOST: usize = 32;

/// Whose a request is.
#[derive(Debug)]
pub struct Caller<'c> {
    client: &'c Client,
    /// What a proxy of ours says; `None`: a stranger asks.
    pub(super) told: Option<Told>,
}

/// What a trusted proxy says of a request that it passes on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Those before it, the client first, and then proxies of ours alone; of what was said before the client nothing. Empty: the
    /// request is the proxy's own.
    pub(super) before: Vec<IpAddr>,
    pub(super) proto: Option<Proto>,
    pub(super) host: Option<HeaderValue>,
}

/// By what a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proto {
    Http,
    Https,
}

impl<'c> Caller<'c> {
    pub(super) fn of(client: &'c Client, headers: &HeaderMap) -> Caller<'c> {
        let told = match client.standing {
            Standing::Stranger => None,
            Standing::Proxy => Some(Told::of(headers, &client.listener.trusted)),
        };
        Caller { client, told }
    }

    pub(super) fn client(&self) -> &'c Client {
        self.client
    }

    /// The client's address, and where it was taken; of one behind a proxy the port is not known, and 0, and where that came over a Unix
    /// socket so is the address. `None`: nothing is known of it.
    pub fn ends(&self) -> Option<Ends> {
        let Some(client) = self.client_before() else { return self.client.ends };
        let nowhere = match client {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let at = self.client.ends.map_or(SocketAddr::new(nowhere, 0), |ends| ends.at);
        Some(Ends { client: SocketAddr::new(client, 0), at })
    }

    /// What it is told apart by from others.
    pub fn fingerprint(&self, fingerprints: &Fingerprints) -> Fingerprint {
        match self.client_before() {
            Some(client) => fingerprints.client(client),
            None => self.client.fingerprint(fingerprints),
        }
    }

    fn client_before(&self) -> Option<IpAddr> {
        self.told.as_ref()?.before.first().copied()
    }
}

impl Told {
    fn of(headers: &HeaderMap, trusted: &Proxies) -> Told {
        let only = |name: HeaderName| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none())
        };
        let proto = only(X_FORWARDED_PROTO).and_then(|value| match value.as_bytes() {
            text if text.eq_ignore_ascii_case(b"https") => Some(Proto::Https),
            text if text.eq_ignore_ascii_case(b"http") => Some(Proto::Http),
            _ => None,
        });
        let host = only(X_FORWARDED_HOST).filter(|host| host.to_str().is_ok_and(route::is_host)).cloned();
        Told { before: before(headers, trusted), proto, host }
    }
}

/// The entries of X-Forwarded-For from the last one that is none of ours on. What is no address ends the walk: whoever wrote that
/// did not write what is before it for us.
fn before(headers: &HeaderMap, trusted: &Proxies) -> Vec<IpAddr> {
    let mut before = Vec::new();
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for address in entries.take(MOST).map_while(address) {
        before.push(address);
        if !trusted.trust(Some(address)) {
            break;
        }
    }
    before.reverse();
    before
}

/// An entry: an address, IPv6 in brackets or without, with a port or without.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let address = match text.parse() {
        Ok(address) => address,
        Err(_) => match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(bare) => IpAddr::V6(bare.parse().ok()?),
            None => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proxies() -> Proxies {
        ["10.0.0.0/8", "2001:db8::/32"].into_iter().map(|text| text.parse().unwrap()).collect()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn read(lines: &[&str]) -> Vec<String> {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        before(&headers(&lines), &proxies()).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn the_client_is_the_last_one_that_is_no_proxy_of_ours() {
        for (lines, expected) in [
            (&[][..], &[][..]),
            (&["192.0.2.7"], &["192.0.2.7"]),
            (&["198.51.100.1, 192.0.2.7"], &["192.0.2.7"]),
            (&["198.51.100.1, 192.0.2.7, 10.1.1.1,2001:db8::5"], &["192.0.2.7", "10.1.1.1", "2001:db8::5"]),
            (&["198.51.100.1", "192.0.2.7", "10.1.1.1"], &["192.0.2.7", "10.1.1.1"]),
            (&["10.3.3.3, 10.2.2.2", "10.1.1.1"], &["10.3.3.3", "10.2.2.2", "10.1.1.1"]),
        ] {
            assert_eq!(read(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        for odd in [
            "unknown",
            "",
            " ",
            "_hidden",
            "192.0.2",
            "192.0.2.7:x",
            "[192.0.2.7]",
            "fe80::1%eth0",
            "\"192.0.2.7\"",
            "a b",
        ] {
            assert_eq!(read(&[&format!("192.0.2.7, {odd}, 10.1.1.1")]), ["10.1.1.1"], "{odd:?}");
            assert_eq!(read(&[&format!("192.0.2.7, {odd}")]), [""; 0], "{odd:?}");
        }
    }

    #[test]
    fn ports_and_brackets_are_read_past_and_ipv4_is_ipv4() {
        for (entry, address) in [
            ("192.0.2.7:4711", "192.0.2.7"),
            ("[2001:db9::1]", "2001:db9::1"),
            ("[2001:db9::1]:4711", "2001:db9::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(read(&[entry]), [address], "{entry}");
        }
        assert_eq!(read(&["192.0.2.7, ::ffff:10.1.1.1"]), ["192.0.2.7", "10.1.1.1"]);
    }

    #[test]
    fn no_more_than_so_many_entries_are_read() {
        let line = vec!["10.1.1.1"; 5_000].join(",");
        assert_eq!(read(&["192.0.2.7", &line]).len(), MOST);
    }

    #[test]
    fn a_proto_or_host_is_taken_only_where_it_is_one() {
        let told = |pairs: &[(&'static str, &str)]| Told::of(&headers(pairs), &proxies());
        let good = told(&[("x-forwarded-proto", "HTTPS"), ("x-forwarded-host", "www.example.org:8443")]);
        assert_eq!((good.proto, good.host.unwrap().to_str().unwrap()), (Some(Proto::Https), "www.example.org:8443"));
        for pairs in [
            [("x-forwarded-proto", "https, http"), ("x-forwarded-host", "a, b")],
            [("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b")],
            [("x-forwarded-proto", ""), ("x-forwarded-host", "")],
            [("x-forwarded-host", "a"), ("x-forwarded-host", "b")],
            [("x-forwarded-proto", "http"), ("x-forwarded-proto", "http")],
        ] {
            assert_eq!(told(&pairs), Told::default(), "{pairs:?}");
        }
    }

    /// Entries of which most are addresses.
    fn entries() -> impl Strategy<Value = String> {
        let ours = any::<[u8; 3]>().prop_map(|[b, c, d]| format!("10.{b}.{c}.{d}"));
        let any_v4 = any::<[u8; 4]>().prop_map(|ip| IpAddr::from(ip).to_string());
        let any_v6 = any::<[u16; 8]>().prop_map(|ip| format!(" [{}]:1", IpAddr::from(ip)));
        prop_oneof![4 => ours, 1 => any_v4, 1 => any_v6, 1 => "[0-9a-f.:\\[\\] \t]{0,20}"]
    }

    proptest! {
        #[test]
        fn all_but_the_first_are_proxies_of_ours(lines in prop::collection::vec(prop::collection::vec(entries(), 1..8), 0..12)) {
            let lines: Vec<String> = lines.iter().map(|line| line.join(",")).collect();
            let pairs: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", line.as_str())).collect();
            let said = before(&headers(&pairs), &proxies());
            prop_assert!(said.len() <= MOST);
            prop_assert!(said.iter().skip(1).all(|address| proxies().trust(Some(*address))), "{said:?}");
            // Whatever a client writes before its own address changes nothing.
            let forged: Vec<_> = [("x-forwarded-for", "192.0.2.66, 10.6.6.6")].into_iter().chain(pairs).collect();
            if said.first().is_some_and(|client| !proxies().trust(Some(*client))) {
                prop_assert_eq!(before(&headers(&forged), &proxies()), said);
            }
        }
    }
}
