//! Who is believed when it says whose connection or request it passes on, and what we say of that ourselves.
//!
//! Not here: what is made of what they say (`edge::proxy_header`, `proxy::caller`).

use super::problem::{Form, What};
use super::table::{Table, Value};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

const EXAMPLE: &str = "trusted_proxies = [\"10.0.0.0/8\", \"2001:db8::/32\"]";

/// Each new connection is compared with all of them. The large content networks have some dozens, or a hundred.
pub(super) const MOST: usize = 256;

/// `trusted_proxies`: the networks of proxies in front of us, and whether those that come over Unix sockets are among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    networks: Arc<[IpNet]>,
    unix: bool,
}

/// One of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Network(IpNet),
    /// Whoever may connect to a Unix socket of ours.
    Unix,
}

/// `proxy_protocol` of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    Off,
    /// Each connection is one of a trusted proxy's, and begins with a PROXY header. There is no third choice: whoever guesses lets
    /// clients write their own.
    Require,
}

/// `proxy_protocol` of a backend, where it is not off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    V1,
    V2,
}

/// `forwarded` of a backend: the fields by which its endpoints learn whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedAs {
    /// X-Forwarded-For, -Proto and -Host.
    XForwarded,
    /// Forwarded.
    Rfc7239,
    Both,
}

impl ForwardedAs {
    pub(super) const ALL: [(&'static str, ForwardedAs); 3] =
        [("x-forwarded", ForwardedAs::XForwarded), ("rfc7239", ForwardedAs::Rfc7239), ("both", ForwardedAs::Both)];
}

impl Proxies {
    fn made_of(entries: Vec<Entry>) -> Proxies {
        let unix = entries.contains(&Entry::Unix);
        let network = |entry| match entry {
            Entry::Network(network) => Some(network),
            Entry::Unix => None,
        };
        Proxies { networks: entries.into_iter().filter_map(network).collect(), unix }
    }

    /// Whether a proxy of ours is at that address; `None`: at the other end of a Unix socket.
    pub fn trust(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => self.networks.iter().any(|network| network.contains(&address)),
            None => self.unix,
        }
    }

    /// These, as they are written in the list.
    #[cfg(test)]
    pub(crate) fn of(texts: &[&str]) -> Proxies {
        Proxies::made_of(texts.iter().map(|text| entry(text).unwrap()).collect())
    }

    /// Whether anyone with an address is trusted.
    pub(super) fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }
}

impl FromIterator<IpNet> for Proxies {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Proxies {
        Proxies { networks: networks.into_iter().collect(), unix: false }
    }
}

/// Reads `trusted_proxies`.
pub(super) fn read(top: &mut Table<'_>) -> Option<Proxies> {
    let read = top.or("trusted_proxies", Proxies::default(), |value| {
        let entries = value.list(EXAMPLE, |item| item.text(Form::Network, entry))?;
        if entries.len() > MOST {
            value.note(What::TooManyNetworks { count: entries.len(), most: MOST });
            return None;
        }
        entries.into_iter().collect::<Option<_>>().map(Proxies::made_of)
    });
    Some(read?.value)
}

/// Reads a listener's `proxy_protocol`.
pub(super) fn of_listener(value: &Value<'_>) -> Option<ProxyProtocol> {
    value.choice(&[("off", ProxyProtocol::Off), ("require", ProxyProtocol::Require)])
}

/// Reads a backend's `proxy_protocol`.
pub(super) fn of_backend(value: &Value<'_>) -> Option<Option<ProxyVersion>> {
    value.choice(&[("off", None), ("v1", Some(ProxyVersion::V1)), ("v2", Some(ProxyVersion::V2))])
}

fn entry(text: &str) -> Option<Entry> {
    if text == "unix" { Some(Entry::Unix) } else { network(text).map(Entry::Network) }
}

/// A network, or one address. Not every address there is: then anyone could say that they are anyone. Nor one with bits past its
/// length, which is not the network that was meant.
fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().ok()?,
    };
    let mapped = match network {
        IpNet::V4(_) => false,
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().is_some(), // clients of IPv4 are known by IPv4 addresses
    };
    (network.prefix_len() > 0 && network == network.trunc() && !mapped).then_some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_written_exactly_and_none_is_everyone() {
        for text in ["10.0.0.0/8", "192.0.2.1", "192.0.2.1/32", "2001:db8::/32", "::1", "128.0.0.0/1"] {
            assert!(network(text).is_some(), "{text}");
        }
        for text in [
            "",
            "10.1.2.3/8",
            "2001:db8::1/32",
            "0.0.0.0/0",
            "::/0",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::ffff:10.0.0.0/104",
            "fe80::1%eth0",
            "example.org",
            "[::1]",
        ] {
            assert_eq!(network(text), None, "{text}");
        }
    }

    #[test]
    fn only_those_in_the_networks_are_trusted() {
        let proxies: Proxies = ["10.0.0.0/8", "2001:db8::/32"].into_iter().filter_map(network).collect();
        for (address, trusted) in
            [("10.255.0.1", true), ("11.0.0.1", false), ("2001:db8:1::1", true), ("2001:db9::1", false)]
        {
            assert_eq!(proxies.trust(Some(address.parse().unwrap())), trusted, "{address}");
        }
        assert!(!Proxies::default().trust(Some(IpAddr::from([127, 0, 0, 1]))));
    }

    #[test]
    fn whoever_comes_over_a_unix_socket_is_trusted_if_the_list_says_so() {
        let read = Proxies::of;
        assert!(!read(&["10.0.0.0/8"]).trust(None));
        let both = read(&["10.0.0.0/8", "unix"]);
        assert!(both.trust(None) && both.trust(Some(IpAddr::from([10, 0, 0, 1]))) && both.has_networks());
        assert!(!read(&["unix"]).has_networks());
        assert_eq!(entry("unix:/run/a.sock"), None);
    }
}
