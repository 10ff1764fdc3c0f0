//! Which site a request is for, and whether it is one that can be passed on without its meaning being in doubt.
//!
//! What is refused here never reaches an endpoint, and no tally hears of it: it is the client's fault.

use super::Client;
use super::headers::Upgrading;
use super::judge;
use super::websocket;
use crate::config::Clients;
use crate::config::sites::{Found, Site};
use crate::domain::Class;
use crate::health::View;
use crate::upstream::client::is_chunked_or_none;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Where a request belongs.
#[derive(Debug)]
pub struct Route<'a> {
    pub site: &'a Arc<Site>,
    /// The Host to send on, where that is not the field the client sent: `:authority`, or an absolute target's.
    pub host: Option<HeaderValue>,
    /// Whether the client asks to leave HTTP (RFC 9110, section 7.8).
    pub upgrading: Upgrading,
}

impl Route<'_> {
    /// The class of a request of that method.
    pub fn class(&self, method: &Method) -> Class {
        judge::class_of(method, self.upgrading, self.site.upgrades)
    }
}

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// To another protocol, from an endpoint whose connections are shared.
    NoUpgrade,
    /// No Host, more than one, not a host, or unlike `:authority` (RFC 9112, section 3.2).
    BadHost,
    /// A target in a form that the method does not go with (RFC 9112, section 3.2), or in HTTP/2 no scheme or no path
    /// (RFC 9113, section 8.3.1).
    BadTarget,
    /// A Transfer-Encoding that is not exactly one `chunked` (RFC 9112, section 6.1): endpoints differ in how they read it. In HTTP/2,
    /// lengths that are not one number (RFC 9113, section 8.1.1).
    BadTransferEncoding,
    /// CONNECT, TRACE: not for a reverse proxy.
    MethodRefused,
    /// CONNECT for another protocol than WebSocket (RFC 8441, section 4).
    UnknownProtocol,
    UnknownHost,
    /// The host is known, no site of it covers the path.
    UnknownPath,
    /// The connection was made for another host (RFC 9110, section 15.5.20).
    Misdirected,
    /// The target is longer than the listener takes.
    TargetTooLong,
    /// More fields than the listener takes.
    TooManyFields,
    /// The body is larger than the site takes.
    TooLarge,
    /// The head or the body came too slowly.
    TooSlow,
}

/// The site for a request.
pub fn find<'a, B>(view: &'a View, client: &Client, request: &Request<B>) -> Result<Route<'a>, Refusal> {
    if websocket::asks_for_another(request.method(), request.extensions()) {
        return Err(Refusal::UnknownProtocol);
    }
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodRefused);
    }
    check_target(request)?;
    // hyper has refused lengths that differ or make no sense, and dropped Content-Length where there is Transfer-Encoding.
    if !is_chunked_or_none(request.headers()) {
        return Err(Refusal::BadTransferEncoding);
    }
    if request.version() == Version::HTTP_2 && !has_one_length_at_most(request.headers()) {
        return Err(Refusal::BadTransferEncoding);
    }
    let authority = Authority::of(request)?;
    let name = HostName::parse(authority.text())?;
    if !is_asked_under_its_name(client, name.as_str()) {
        return Err(Refusal::Misdirected);
    }
    let path = normal_path(request.uri().path());
    let site = match view.config.sites.find(name.as_str(), &path) {
        Found::Site(site) => site,
        Found::UnknownPath => return Err(Refusal::UnknownPath),
        Found::UnknownHost if other_sni(client, name.as_str()) => return Err(Refusal::Misdirected),
        Found::UnknownHost => return Err(Refusal::UnknownHost),
    };
    if other_sni(client, name.as_str()) && !shown_certificate_covers(client, name.as_str()) {
        return Err(Refusal::Misdirected);
    }
    if site.max_body.is_some_and(|most| content_length(request.headers()).is_some_and(|length| length > most)) {
        return Err(Refusal::TooLarge);
    }
    Ok(Route { site, host: authority.to_send()?, upgrading: asks_for_upgrade(request) })
}

/// `host:port` alone is for CONNECT, and `*` for OPTIONS; HTTP/2 has a scheme and a path.
fn check_target<B>(request: &Request<B>) -> Result<(), Refusal> {
    let uri = request.uri();
    // h2 takes an empty `:scheme`; where `:authority` is missing, too, it keeps none.
    let no_scheme = uri.authority().is_some() && uri.scheme_str().is_none_or(str::is_empty);
    let no_path = request.version() == Version::HTTP_2 && origin_form(uri).is_none();
    match no_scheme || no_path || (uri.path() == "*" && request.method() != Method::OPTIONS) {
        true => Err(Refusal::BadTarget),
        false => Ok(()),
    }
}

/// Whether it asks no further than the first proxy (RFC 9110, section 7.6.2).
pub fn asks_only_us<B>(request: &Request<B>) -> bool {
    *request.method() == Method::OPTIONS && request.headers().get(header::MAX_FORWARDS).is_some_and(|left| left == "0")
}

/// Of a request over HTTP/2 h2 has refused lengths that differ, but not one that is said twice.
fn has_one_length_at_most(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let first_is_well = lengths.next().is_none_or(|first| !first.is_empty() && first.iter().all(u8::is_ascii_digit));
    first_is_well && lengths.next().is_none()
}

/// Whether it is a host, with a port or without.
pub fn is_host(text: &str) -> bool {
    !text.is_empty() && HostName::parse(text).is_ok()
}

/// Where the request says it wants to go (RFC 9112, section 3.2.2; RFC 9113, section 8.3.1).
enum Authority<'a> {
    Field(&'a str),
    /// Stands in the target, and Host is made from it.
    Target(&'a str),
    /// HTTP/1.0 without Host.
    None,
}

impl<'a> Authority<'a> {
    fn of<B>(request: &'a Request<B>) -> Result<Authority<'a>, Refusal> {
        let mut fields = request.headers().get_all(header::HOST).iter();
        let (field, another) = (fields.next(), fields.next());
        if another.is_some() {
            return Err(Refusal::BadHost);
        }
        let field = field.map(|value| value.to_str().map_err(|_| Refusal::BadHost)).transpose()?;
        let target = request.uri().authority().map(http::uri::Authority::as_str);
        match (target, field, request.version()) {
            // In HTTP/2 both may be there, and must then agree; in HTTP/1.1 the target wins and Host must still be there.
            (Some(target), Some(field), Version::HTTP_2) if !target.eq_ignore_ascii_case(field) => {
                Err(Refusal::BadHost)
            }
            (Some(_), None, Version::HTTP_11) => Err(Refusal::BadHost),
            (Some(target), _, _) => Ok(Authority::Target(target)),
            (None, Some(field), _) => Ok(Authority::Field(field)),
            (None, None, Version::HTTP_10) => Ok(Authority::None),
            (None, None, _) => Err(Refusal::BadHost),
        }
    }

    fn text(&self) -> &'a str {
        match self {
            Authority::Field(text) | Authority::Target(text) => text,
            Authority::None => "",
        }
    }

    fn to_send(&self) -> Result<Option<HeaderValue>, Refusal> {
        match self {
            Authority::Target(text) => HeaderValue::from_str(text).map(Some).map_err(|_| Refusal::BadHost),
            Authority::Field(_) | Authority::None => Ok(None),
        }
    }
}

/// A host name in lower case, without port and final dot.
struct HostName {
    bytes: [u8; HostName::MAX],
    length: usize,
}

impl HostName {
    /// The longest DNS name (RFC 1035, section 2.3.4).
    const MAX: usize = 255;

    fn parse(authority: &str) -> Result<HostName, Refusal> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (v6, port) = rest.split_once(']').ok_or(Refusal::BadHost)?;
                if v6.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(Refusal::BadHost);
                }
                (&authority[..v6.len() + 2], port)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port_is_well = match port.strip_prefix(':') {
            Some(digits) => digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()),
            None => port.is_empty(),
        };
        // What a name can have and no URI, header or log could read as something else.
        let name_is_well = host.starts_with('[')
            || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'));
        let host = host.strip_suffix('.').unwrap_or(host);
        if !port_is_well || !name_is_well || host.len() > Self::MAX {
            return Err(Refusal::BadHost);
        }
        let mut bytes = [0; Self::MAX];
        bytes[..host.len()].copy_from_slice(host.as_bytes());
        bytes[..host.len()].make_ascii_lowercase();
        Ok(HostName { bytes, length: host.len() })
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("a checked host name is ASCII")
    }
}

/// Whether the client asked TLS for another host than this. Without SNI it asked for none; without Host (HTTP/1.0) it asks for none now.
fn other_sni(client: &Client, host: &str) -> bool {
    let sni = client.secure.as_ref().and_then(|secure| secure.sni.as_deref());
    !host.is_empty() && sni.is_some_and(|sni| !sni.eq_ignore_ascii_case(host))
}

fn shown_certificate_covers(client: &Client, host: &str) -> bool {
    client.secure.as_ref().is_some_and(|secure| secure.tls.covers(secure.sni.as_deref(), host))
}

/// Where clients must show a certificate, what they proved by it they proved to the name that they asked TLS for: each request's host must
/// be that one. A client that asks by an address asks TLS for no name (RFC 6066, section 3).
fn is_asked_under_its_name(client: &Client, host: &str) -> bool {
    let Some(secure) = &client.secure else { return true };
    match (secure.tls.clients, secure.sni.as_deref()) {
        (Clients::Anyone, _) => true,
        (Clients::Known, Some(sni)) => sni.eq_ignore_ascii_case(host),
        (Clients::Known, None) => host.is_empty() || host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok(),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn asks_for_upgrade<B>(request: &Request<B>) -> Upgrading {
    let headers = request.headers();
    // No client of HTTP/2 can send these fields: it is CONNECT for WebSocket that has become one with them.
    let asks = matches!(request.version(), Version::HTTP_11 | Version::HTTP_2)
        && headers.contains_key(header::UPGRADE)
        && super::headers::connection_names(headers, "upgrade")
        && headers.get_all(header::UPGRADE).iter().all(leaves_http);
    if asks { Upgrading::Yes } else { Upgrading::No }
}

/// Whether no protocol that a field offers is HTTP again, or TLS below it: through such a tunnel a client would ask the endpoint for
/// whatever host and path it likes, past the sites and all that is counted. Such an offer is not passed on.
fn leaves_http(offer: &HeaderValue) -> bool {
    let back = |name: &str| ["h2c", "h2", "http", "tls"].iter().any(|http| name.eq_ignore_ascii_case(http));
    offer.to_str().is_ok_and(|offer| {
        let mut protocols = offer.split(',').map(|protocol| protocol.split('/').next().unwrap_or("").trim());
        !protocols.any(back)
    })
}

/// The path as sites are matched by it: `.` and `..` segments resolved, also where the dots are written `%2e`, and slashes
/// merged, so that no spelling of a path reaches another site than the endpoint would serve. The endpoint gets what the client sent.
fn normal_path(path: &str) -> Cow<'_, str> {
    let bytes = path.as_bytes();
    let plain = !bytes.windows(2).any(|pair| matches!(pair, b"//" | b"/.") || pair.eq_ignore_ascii_case(b"%2"));
    if plain {
        return Cow::Borrowed(path);
    }
    let mut segments: Vec<Cow<'_, str>> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.split('/') {
        let segment = if segment.contains('%') { undotted(segment) } else { Cow::Borrowed(segment) };
        ends_in_slash = matches!(&*segment, "" | "." | "..");
        match &*segment {
            "" | "." => (),
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let mut normal = String::with_capacity(path.len());
    for segment in &segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if ends_in_slash || normal.is_empty() {
        normal.push('/');
    }
    Cow::Owned(normal)
}

/// A segment with `%2e` written as `.`.
fn undotted(segment: &str) -> Cow<'_, str> {
    Cow::Owned(segment.replace("%2e", ".").replace("%2E", "."))
}

/// The target to send to an endpoint: origin form, or `*`; bytes past ASCII are percent-encoded (RFC 3986, section 2.1).
pub fn target(uri: &Uri) -> Uri {
    let Some(origin) = origin_form(uri) else { return Uri::from_static("/") };
    let Some(path) = origin.path_and_query().filter(|path| !path.as_str().is_ascii()) else { return origin };
    let mut encoded = String::with_capacity(path.as_str().len() * 2);
    for byte in path.as_str().bytes() {
        if byte.is_ascii() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded.parse().unwrap_or_else(|_| origin.clone())
}

/// Path and query alone; `None` where there are none. (Those of a target that has a scheme look like `/` then, and are written as nothing.)
fn origin_form(uri: &Uri) -> Option<Uri> {
    uri.path_and_query().map(|path| Uri::from(path.clone())).filter(|origin| !origin.path().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(authority: &str) -> Result<String, Refusal> {
        HostName::parse(authority).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn a_host_is_read_without_case_port_and_final_dot() {
        for (written, read) in [
            ("Example.ORG", "example.org"),
            ("example.org:8443", "example.org"),
            ("example.org.", "example.org"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host(written), Ok(read.to_owned()), "{written}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for written in
            ["user@example.org", "a b", "a/b", "example.org:x", "example.org:123456", "[::1", "[x]", "a,b", "a\\b"]
        {
            assert_eq!(host(written), Err(Refusal::BadHost), "{written}");
        }
        assert_eq!(host(&"a".repeat(256)), Err(Refusal::BadHost));
    }

    #[test]
    fn a_request_over_http_2_has_one_length_or_none() {
        for (lengths, well) in [
            (&[][..], true),
            (&["7"], true),
            (&["7", "7"], false),
            (&["7", "+1"], false),
            (&["", "7"], false),
            (&["7, 7"], false),
        ] {
            let mut headers = HeaderMap::new();
            for length in lengths {
                headers.append("content-length", HeaderValue::from_static(length));
            }
            assert_eq!(has_one_length_at_most(&headers), well, "{lengths:?}");
        }
    }

    #[test]
    fn no_spelling_of_a_path_reaches_another_site() {
        for (written, read) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/../../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/", "/a/b/"),
            ("//", "/"),
            ("/a/.hidden", "/a/.hidden"),
            ("/a%20b", "/a%20b"),
            ("*", "*"),
        ] {
            assert_eq!(normal_path(written), read, "{written}");
        }
    }

    #[test]
    fn bytes_past_ascii_are_percent_encoded_on_the_way_out() {
        let uri = Uri::from_maybe_shared("/caf\u{e9}?q=\u{e9}".as_bytes()).expect("hyper takes it like this");
        assert_eq!(target(&uri), "/caf%C3%A9?q=%C3%A9");
        assert_eq!(target(&Uri::from_static("https://example.org/a?b")), "/a?b");
        assert_eq!(target(&Uri::from_static("*")), "*");
        assert_eq!(target(&Uri::from_static("http://example.org")), "/");
        let pathless = Uri::builder().scheme("http").authority("example.org").path_and_query("").build();
        assert_eq!(target(&pathless.expect("it is one")).to_string(), "/", "never nothing");
    }
}
