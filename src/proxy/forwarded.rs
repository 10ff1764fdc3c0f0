//! The fields that tell an endpoint whose request it gets: X-Forwarded-For, -Proto and -Host, and Forwarded (RFC 7239).
//!
//! What a stranger wrote there goes no further, and of what a proxy of ours wrote only what it is believed in.
//!
//! Not here: who is believed (`caller`).

use super::caller::{Caller, Proto};
use crate::config::ForwardedAs;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write;
use std::net::IpAddr;

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is told of whoever is at a connection's other end, made once a connection.
#[derive(Debug)]
pub struct Fields {
    /// `None`: it has no address.
    ip: Option<IpAddr>,
    address: Option<HeaderValue>,
    proto: Proto,
}

impl Fields {
    pub fn new(client: Option<IpAddr>, secure: bool) -> Fields {
        let ip = client.map(|client| client.to_canonical());
        let value = |ip: IpAddr| HeaderValue::try_from(ip.to_string()).expect("an IP address is a field value");
        Fields { ip, address: ip.map(value), proto: if secure { Proto::Https } else { Proto::Http } }
    }
}

impl Proto {
    fn word(self) -> &'static str {
        match self {
            Proto::Http => "http",
            Proto::Https => "https",
        }
    }
}

/// Replaces what came. Host must be there already as the endpoint gets it.
pub fn write(headers: &mut HeaderMap, caller: &Caller<'_>, form: ForwardedAs) {
    let forwarded = match form {
        ForwardedAs::XForwarded => None,
        ForwardedAs::Rfc7239 | ForwardedAs::Both => Some(rfc7239(headers.get(header::HOST), caller)),
    };
    match form {
        ForwardedAs::XForwarded | ForwardedAs::Both => x_forwarded(headers, caller),
        ForwardedAs::Rfc7239 => {
            for name in [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST] {
                headers.remove(name);
            }
        }
    }
    match forwarded {
        Some(value) => drop(headers.insert(header::FORWARDED, value)),
        None => drop(headers.remove(header::FORWARDED)),
    }
}

fn x_forwarded(headers: &mut HeaderMap, caller: &Caller<'_>) {
    let fields = &caller.client().fields;
    let told = caller.told.as_ref();
    let chain = match told.map_or(&[][..], |told| &told.before) {
        [] => fields.address.clone(),
        before => {
            let mut chain = String::new();
            for address in before.iter().chain(&fields.ip) {
                let comma = if chain.is_empty() { "" } else { ", " };
                let _ = write!(chain, "{comma}{address}"); // a String takes all
            }
            Some(HeaderValue::try_from(chain).expect("IP addresses and commas are a field value"))
        }
    };
    let proto = told.and_then(|told| told.proto).unwrap_or(fields.proto);
    // Who has no address is not in it: it has no word for that, and what is no address ends the reading of most who read it.
    match chain {
        Some(chain) => drop(headers.insert(X_FORWARDED_FOR, chain)),
        None => drop(headers.remove(X_FORWARDED_FOR)),
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto.word()));
    let host = told.and_then(|told| told.host.as_ref()).or_else(|| headers.get(header::HOST)).cloned();
    match host {
        Some(host) => drop(headers.insert(X_FORWARDED_HOST, host)),
        None => drop(headers.remove(X_FORWARDED_HOST)),
    }
}

/// An element for each hop, the client's first (RFC 7239, section 4). `by` would tell endpoints our addresses, and nothing that they need.
fn rfc7239(host: Option<&HeaderValue>, caller: &Caller<'_>) -> HeaderValue {
    let fields = &caller.client().fields;
    let mut value = String::new();
    let mut parts = |of: Option<IpAddr>, proto: Option<Proto>, host: Option<&HeaderValue>| {
        let comma = if value.is_empty() { "" } else { ", " };
        let _ = match of {
            Some(IpAddr::V4(v4)) => write!(value, "{comma}for={v4}"),
            Some(IpAddr::V6(v6)) => write!(value, "{comma}for=\"[{v6}]\""),
            None => write!(value, "{comma}for=unknown"), // RFC 7239, section 6.2
        };
        if let Some(proto) = proto {
            let _ = write!(value, ";proto={}", proto.word());
        }
        if let Some(host) = host.and_then(|host| host.to_str().ok()) {
            // Only a name without a port is a token.
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            let quote = if !host.is_empty() && host.bytes().all(token) { "" } else { "\"" };
            let _ = write!(value, ";host={quote}{host}{quote}");
        }
    };
    match &caller.told {
        None => parts(fields.ip, Some(fields.proto), host),
        Some(told) => match &*told.before {
            [] => parts(fields.ip, told.proto.or(Some(fields.proto)), told.host.as_ref().or(host)),
            [client, between @ ..] => {
                parts(Some(*client), told.proto, told.host.as_ref());
                between.iter().for_each(|proxy| parts(Some(*proxy), None, None));
                parts(fields.ip, Some(fields.proto), host);
            }
        },
    }
    HeaderValue::try_from(value).expect("addresses and checked hosts are a field value")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Limits, Listener, Protocols, Proxies, ProxyProtocol};
    use crate::proxy::client::Client;
    use crate::upstream::Ends;
    use std::sync::Arc;

    /// At the other end of a plain connection to a listener that trusts these.
    pub(in crate::proxy) fn client(address: &str, trusted: &[&str]) -> Client {
        let listener = Listener {
            address: "127.0.0.1:80".parse::<std::net::SocketAddr>().unwrap().into(),
            mode: 0o660,
            only_v6: false,
            tls: None,
            protocols: Protocols { http1: true, h2: true },
            redirect: None,
            proxy_protocol: ProxyProtocol::Off,
            trusted: Proxies::of(trusted),
            limits: Limits::default(),
        };
        // One without an address comes over a Unix socket, which is trusted if the list says so.
        let ends =
            (address != "unix").then(|| Ends { client: address.parse().unwrap(), at: "192.0.2.1:80".parse().unwrap() });
        Client::new(ends, Arc::new(listener), None)
    }

    /// What an endpoint gets of what was sent, as text in the order of names.
    fn written(client: &Client, sent: &[(&'static str, &str)], form: ForwardedAs) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        let caller = client.caller(&headers.clone());
        write(&mut headers, &caller, form);
        headers.remove(header::HOST);
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort_unstable();
        lines
    }

    const SAID: [(&str, &str); 5] = [
        ("host", "www.example.org"),
        ("x-forwarded-for", "203.0.113.9, 192.0.2.7, 10.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example.org"),
        ("forwarded", "for=203.0.113.66"),
    ];

    #[test]
    fn what_a_stranger_says_is_replaced() {
        let stranger = client("198.51.100.2:4711", &["10.0.0.0/8"]);
        assert_eq!(
            written(&stranger, &SAID, ForwardedAs::Both),
            [
                "forwarded: for=198.51.100.2;proto=http;host=www.example.org",
                "x-forwarded-for: 198.51.100.2",
                "x-forwarded-host: www.example.org",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn what_a_proxy_of_ours_says_is_gone_on_with_from_the_client_on() {
        let proxy = client("10.9.9.9:4711", &["10.0.0.0/8"]);
        assert_eq!(
            written(&proxy, &SAID, ForwardedAs::Both),
            [
                "forwarded: for=192.0.2.7;proto=https;host=shop.example.org, for=10.1.1.1, \
                 for=10.9.9.9;proto=http;host=www.example.org",
                "x-forwarded-for: 192.0.2.7, 10.1.1.1, 10.9.9.9",
                "x-forwarded-host: shop.example.org",
                "x-forwarded-proto: https",
            ]
        );
        let own = written(&proxy, &[("host", "a"), ("x-forwarded-proto", "https")], ForwardedAs::Both);
        let expected = [
            "forwarded: for=10.9.9.9;proto=https;host=a",
            "x-forwarded-for: 10.9.9.9",
            "x-forwarded-host: a",
            "x-forwarded-proto: https",
        ];
        assert_eq!(own, expected);
    }

    #[test]
    fn each_form_is_sent_without_what_came_in_the_other() {
        for client in [client("198.51.100.2:1", &[]), client("198.51.100.2:1", &["198.51.100.0/24"])] {
            let lines = written(&client, &SAID, ForwardedAs::XForwarded);
            assert_eq!(lines.iter().filter(|line| line.starts_with("forwarded")).count(), 0, "{lines:?}");
            assert_eq!(lines.len(), 3);
            let lines = written(&client, &SAID, ForwardedAs::Rfc7239);
            assert!(lines.len() == 1 && lines[0].starts_with("forwarded: for="), "{lines:?}");
        }
    }

    #[test]
    fn who_has_no_address_is_unknown_and_a_trusted_one_is_believed_about_who_is_before_it() {
        let stranger = client("unix", &["10.0.0.0/8"]);
        let nobody = [
            "forwarded: for=unknown;proto=http;host=www.example.org",
            "x-forwarded-host: www.example.org",
            "x-forwarded-proto: http",
        ];
        assert_eq!(written(&stranger, &SAID, ForwardedAs::Both), nobody);
        assert_eq!(stranger.caller(&HeaderMap::new()).ends(), None);

        let proxy = client("unix", &["10.0.0.0/8", "unix"]);
        assert_eq!(
            written(&proxy, &SAID, ForwardedAs::Both),
            [
                "forwarded: for=192.0.2.7;proto=https;host=shop.example.org, for=10.1.1.1, \
                 for=unknown;proto=http;host=www.example.org",
                "x-forwarded-for: 192.0.2.7, 10.1.1.1",
                "x-forwarded-host: shop.example.org",
                "x-forwarded-proto: https",
            ]
        );
        assert_eq!(written(&proxy, &[("host", "www.example.org")], ForwardedAs::Both), nobody);
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, "192.0.2.7".parse().unwrap());
        let ends = proxy.caller(&headers).ends().unwrap();
        assert_eq!((ends.client.to_string(), ends.at.to_string()), ("192.0.2.7:0".to_owned(), "0.0.0.0:0".to_owned()));
        let prints = crate::health::Fingerprints::default();
        let direct = client("192.0.2.7:5", &[]);
        let same = direct.caller(&HeaderMap::new()).fingerprint(&prints);
        assert_eq!(proxy.caller(&headers).fingerprint(&prints), same);
        assert_ne!(proxy.caller(&HeaderMap::new()).fingerprint(&prints), same);
    }

    #[test]
    fn what_is_no_token_is_quoted() {
        let client = client("[2001:db8::7]:4711", &[]);
        for (host, said) in
            [("www.example.org:81", "\"www.example.org:81\""), ("[::1]", "\"[::1]\""), ("", "\"\""), ("a-b.c", "a-b.c")]
        {
            let lines = written(&client, &[("host", host)], ForwardedAs::Rfc7239);
            assert_eq!(lines, [format!("forwarded: for=\"[2001:db8::7]\";proto=http;host={said}")]);
        }
    }

    #[test]
    fn the_address_is_the_same_wherever_it_is_used() {
        let prints = crate::health::Fingerprints::default();
        let (proxy, direct) = (client("10.9.9.9:4711", &["10.0.0.0/8"]), client("192.0.2.7:5", &[]));
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, "192.0.2.7".parse().unwrap());
        let (behind, directly) = (proxy.caller(&headers), direct.caller(&HeaderMap::new()));
        assert_eq!(behind.fingerprint(&prints), directly.fingerprint(&prints));
        assert_eq!(behind.ends().unwrap().client.ip(), directly.ends().unwrap().client.ip());
        let own = proxy.caller(&HeaderMap::new());
        assert_ne!(own.fingerprint(&prints), directly.fingerprint(&prints));
        assert_eq!(own.ends().unwrap().client, "10.9.9.9:4711".parse().unwrap());
    }
}
