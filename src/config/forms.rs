//! How names, addresses, hosts and paths are written: text to value, `None` where it has not the form. What the forms
//! are called and how messages describe them is `problem::Form`.

use super::{Address, Redirect};
use http::{HeaderName, HeaderValue};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;

/// A backend's or pool's name: a DNS label, so that it can be a metric's label, a file's name and part of a URL as it
/// is.
pub(super) fn name(text: &str) -> Option<&str> {
    let good = text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.is_empty();
    good.then_some(text)
}

/// Where the admin listener is bound. Not port 0: nobody could know where that listens.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|address: &SocketAddr| address.port() != 0)
}

/// What a listener is bound to: an address, or `unix:/path`. Listeners are known by it.
pub(super) fn listener(text: &str) -> Option<Address> {
    match text.strip_prefix("unix:") {
        Some(path) => unix_path(path).map(|path| Address::Unix(path.into())),
        None => address(text).map(Address::Tcp),
    }
}

/// The permissions of a file, in octal digits as chmod has them.
pub(super) fn mode(text: &str) -> Option<u32> {
    let good = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    good.then(|| u32::from_str_radix(text, 8).ok())?.filter(|mode| *mode <= 0o777)
}

/// An endpoint in its parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HostPort<'a> {
    Address(SocketAddr),
    /// To be resolved.
    Name(&'a str, u16),
    Unix(&'a Path),
    /// A host without a port.
    NoPort,
}

/// `host:port`, `[v6]:port` or `unix:/path`.
pub(super) fn endpoint(text: &str) -> Option<HostPort<'_>> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(path).map(HostPort::Unix);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() != 0).then_some(HostPort::Address(address));
    }
    if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) || bracketed_v6(text) || host_name(text) {
        return Some(HostPort::NoPort);
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())?.filter(|port| *port != 0)?;
    host_name(host).then_some(HostPort::Name(host, port))
}

/// The longest path that the kernel takes for a socket: `sun_path` less the byte that ends it.
const LONGEST_SOCKET: usize = 107;

/// A socket's path, written in one way alone, so that equal sockets have equal names.
pub(super) fn unix_path(path: &str) -> Option<&Path> {
    let good = path.len() <= LONGEST_SOCKET
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
    good.then(|| Path::new(path))
}

/// What a site is for, in lower case: an exact host, `*.` and the name above, or `*`.
pub(super) fn host_pattern(text: &str) -> Option<Box<str>> {
    let exact = text.strip_prefix("*.").unwrap_or(text);
    let good = text == "*" || host_name(exact) || (exact == text && bracketed_v6(text));
    good.then(|| text.to_ascii_lowercase().into_boxed_str())
}

/// The Host that probes send: a name or an address, with a port or without.
pub(super) fn probe_host(text: &str) -> Option<&str> {
    [text, without_port(text)].into_iter().any(|host| host_name(host) || bracketed_v6(host)).then_some(text)
}

/// The host of `host:port` or `[v6]:port`; a host without a port as it is.
pub(super) fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => text,
    }
}

/// Which paths a site is for: whole segments as they stand in a URL, without the last slash. What a normalised path
/// never has (empty and dot segments) would never match.
pub(super) fn path_prefix(text: &str) -> Option<&str> {
    let prefix = text.strip_suffix('/').unwrap_or(text);
    let good = text.starts_with('/')
        && url_characters(text)
        && !text.contains(['?', '#', '*'])
        && prefix.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."));
    good.then_some(if prefix.is_empty() { "/" } else { prefix })
}

/// What probes ask for.
pub(super) fn probe_path(text: &str) -> Option<&str> {
    (text.starts_with('/') && url_characters(text) && !text.contains('#')).then_some(text)
}

/// A status, or the first and the last of a range of them. Those below 200 end no request.
pub(super) fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok())?.filter(|status| (200..=599).contains(status))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some(first..=last)
}

/// The name of a field (RFC 9110, section 5.1).
pub(super) fn header_name(text: &str) -> Option<HeaderName> {
    (text.len() <= 256).then(|| HeaderName::from_bytes(text.as_bytes()).ok())?
}

/// A field's value. It may be a secret, so it is never shown.
pub(super) fn header_value(text: &str) -> Option<HeaderValue> {
    let good = text.len() <= 4_096 && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    let mut value = good.then(|| HeaderValue::from_str(text).ok())??;
    value.set_sensitive(true);
    Some(value)
}

/// What is looked for in a body.
pub(super) fn body_text(text: &str) -> Option<&str> {
    (1..=1_024).contains(&text.len()).then_some(text)
}

/// The name of a gRPC service; empty for the server as a whole.
pub(super) fn grpc_service(text: &str) -> Option<&str> {
    (text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

/// `https` or `https:port`.
pub(super) fn redirect(text: &str) -> Option<Redirect> {
    let port = match text.strip_prefix("https")? {
        "" => 443,
        port => port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0)?,
    };
    Some(Redirect { port })
}

/// Visible ASCII that can stand in a request line (RFC 3986, section 3.3, a little wider).
fn url_characters(text: &str) -> bool {
    text.bytes().all(|byte| {
        byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
    })
}

/// A DNS name or an IPv4 address, as far as its characters go; underscores occur in real ones.
fn host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn bracketed_v6(text: &str) -> bool {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).is_some_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for text in ["sites", "new-jersey", "2", "a".repeat(63).as_str()] {
            assert_eq!(name(text), Some(text));
        }
        for text in ["", "-a", "a-", "New-Jersey", "a_b", "a.b", "a b", "é", "a".repeat(64).as_str()] {
            assert_eq!(name(text), None, "{text}");
        }
    }

    #[test]
    fn endpoints_have_a_host_and_a_port() {
        assert_eq!(endpoint("10.1.0.11:80"), Some(HostPort::Address(([10, 1, 0, 11], 80).into())));
        assert_eq!(endpoint("[::1]:80"), Some(HostPort::Address((Ipv6Addr::LOCALHOST, 80).into())));
        assert_eq!(endpoint("web_1.internal:8080"), Some(HostPort::Name("web_1.internal", 8080)));
        assert_eq!(endpoint("unix:/run/web.sock"), Some(HostPort::Unix(Path::new("/run/web.sock"))));
        let longest = format!("/{}", "x".repeat(LONGEST_SOCKET - 1));
        assert_eq!(unix_path(&longest), Some(Path::new(&longest)));
        assert_eq!(unix_path(&format!("{longest}x")), None);
        for text in ["web1", "10.1.0.11", "[::1]"] {
            assert_eq!(endpoint(text), Some(HostPort::NoPort), "{text}");
        }
        for text in [
            "",
            ":80",
            "web1:",
            "web1:0",
            "web1:65536",
            "web1:+80",
            "::1:80",
            "unix:run/web",
            "unix:/",
            "unix:/run/",
            "unix:/run/../web",
            "unix:/a b",
            "unix:@web",
            "http://web1:80",
            "a b:80",
        ] {
            assert_eq!(endpoint(text), None, "{text}");
        }
    }

    #[test]
    fn listeners_have_an_address_or_a_path() {
        assert_eq!(listener("[::]:443"), Some(Address::Tcp((Ipv6Addr::UNSPECIFIED, 443).into())));
        assert_eq!(listener("unix:/run/web.sock"), Some(Address::Unix(Path::new("/run/web.sock").into())));
        for text in ["", "[::]:0", "443", "unix:", "unix:web.sock", "/run/web.sock", "unix:@web"] {
            assert_eq!(listener(text), None, "{text}");
        }
        for (text, bits) in [("0660", 0o660), ("660", 0o660), ("0000", 0), ("777", 0o777)] {
            assert_eq!(mode(text), Some(bits));
        }
        for text in ["", "66", "0o660", "1777", "00660", "668", "-660", "+660", "rw-rw----"] {
            assert_eq!(mode(text), None, "{text}");
        }
    }

    #[test]
    fn hosts_are_exact_or_wildcards_of_whole_labels_in_lower_case() {
        for text in ["www.example.org", "*.example.org", "*", "10.0.0.1", "[::1]", "localhost", "WWW.example.ORG"] {
            assert_eq!(host_pattern(text).as_deref(), Some(text.to_ascii_lowercase().as_str()));
        }
        for text in
            ["", "*.", "a*.example.org", "*.*.org", "www.example.org:443", "example.org.", "a/b", "*.[::1]", "ü.de"]
        {
            assert_eq!(host_pattern(text), None, "{text}");
        }
        for text in ["www.example.org", "www.example.org:8080", "10.0.0.1:80", "[::1]", "[::1]:80"] {
            assert_eq!(probe_host(text), Some(text));
        }
        for text in ["", "a b", "a\r\nb", "*", "http://x"] {
            assert_eq!(probe_host(text), None, "{text}");
        }
    }

    #[test]
    fn path_prefixes_are_whole_segments_without_the_last_slash() {
        for (text, prefix) in [("/", "/"), ("/photos", "/photos"), ("/photos/", "/photos"), ("/a/b%20c", "/a/b%20c")] {
            assert_eq!(path_prefix(text), Some(prefix));
        }
        for text in ["", "photos", "//", "/a//b", "/a/../b", "/./", "/a?b", "/a#b", "/a b", "/é", "/a*"] {
            assert_eq!(path_prefix(text), None, "{text}");
        }
        assert_eq!(probe_path("/health?full=1"), Some("/health?full=1"));
        assert_eq!(probe_path("/a#b"), None);
    }

    #[test]
    fn redirects_lead_to_https() {
        assert_eq!(redirect("https"), Some(Redirect { port: 443 }));
        assert_eq!(redirect("https:8443"), Some(Redirect { port: 8443 }));
        for text in ["", "http", "https:", "https:0", "https:x", "https://example.org", "https8443"] {
            assert_eq!(redirect(text), None, "{text}");
        }
    }

    #[test]
    fn expected_statuses_are_one_or_a_range_of_final_ones() {
        for (text, range) in [("200", 200..=200), ("200-399", 200..=399), ("599", 599..=599), ("404-404", 404..=404)] {
            assert_eq!(statuses(text), Some(range));
        }
        for text in [
            "",
            "20",
            "0200",
            "100",
            "101",
            "600",
            "399-200",
            "200-",
            "-200",
            "200 - 299",
            "2xx",
            "+200",
            "200-300-400",
        ] {
            assert_eq!(statuses(text), None, "{text}");
        }
    }

    #[test]
    fn headers_of_probes_can_stand_in_a_head_and_are_not_shown() {
        assert_eq!(header_name("X-Check").unwrap(), "x-check");
        for text in ["", "a b", "a:b", "é", "a\r\nb", "a".repeat(257).as_str()] {
            assert_eq!(header_name(text), None, "{text}");
        }
        assert_eq!(header_value("Basic YTpi").unwrap(), "Basic YTpi");
        assert!(!format!("{:?}", header_value("secret")).contains("secret"));
        for text in ["a\r\nb", "a\tb", "é", "\0", "a".repeat(4_097).as_str()] {
            assert_eq!(header_value(text), None, "{text}");
        }
    }
}
