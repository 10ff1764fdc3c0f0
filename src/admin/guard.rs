//! Who may change something: whoever has the token, or is hotspare's own user or root on this machine; and nobody whose browser
//! was talked into it by another site.
//!
//! Reading (GET, HEAD) is open to whoever can reach the listener. Everything else, on every path, must
//! - not come from another site: a browser says where a request comes from in `Origin` and `Sec-Fetch-Site`;
//! - be sent to an address: a name could be made to lead here by whoever owns it (DNS rebinding), and then the browser
//!   would take the other site's page for ours. (`[admin] address` is an IP address too, so that is no third case.)
//!
//! Not here: what is asked for (`request`), who set the token (`config::token`).

use super::State;
use super::answer::Rejection;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Who is at the other end of a connection; each request carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(SocketAddr),
    /// A process on this machine, by the kernel's word.
    Socket {
        uid: u32,
    },
}

/// Somebody who may give commands. That there is one is the proof.
#[derive(Clone, Copy, Debug)]
pub struct Operator(Peer);

impl FromRequestParts<State> for Operator {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Operator, Rejection> {
        let peer = *parts.extensions.get::<Peer>().ok_or(Rejection::Unauthorised)?;
        let trusted = match peer {
            Peer::Socket { uid } => uid == 0 || uid == rustix::process::geteuid().as_raw(),
            Peer::Tcp(_) => false,
        };
        if trusted || shows_token(&parts.headers, state) {
            return Ok(Operator(peer));
        }
        tracing::warn!("a command from {peer} was turned away: it came without the token");
        Err(Rejection::Unauthorised)
    }
}

/// Whether there is a token, and it is shown. That of the config in force: a reload changes it.
fn shows_token(headers: &HeaderMap, state: &State) -> bool {
    let config = &state.published.load().config;
    let shown = only(headers, header::AUTHORIZATION).and_then(bearer);
    matches!((&config.admin.token, shown), (Some(token), Some(shown)) if token.is(shown.as_bytes()))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The layer before every path: lets through what reads, and what no other site can have sent.
pub async fn same_site(request: Request, next: Next) -> Response {
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        let checked = from_here(request.headers()).and_then(|()| sent_to_an_address(request.headers()));
        if let Err(rejection) = checked {
            return rejection.into_response();
        }
    }
    next.run(request).await
}

/// Without both headers it was no browser of the last years.
fn from_here(headers: &HeaderMap) -> Result<(), Rejection> {
    let says_so = |name: HeaderName, good: &dyn Fn(&str) -> bool| match headers.contains_key(&name) {
        true => only(headers, name).is_some_and(good),
        false => true,
    };
    let host = only(headers, header::HOST).unwrap_or_default();
    let own = |origin: &str| {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    // "none": somebody typed it into the browser.
    let site = |site: &str| site == "same-origin" || site == "none";
    match says_so(header::ORIGIN, &own) && says_so(HeaderName::from_static("sec-fetch-site"), &site) {
        true => Ok(()),
        false => Err(Rejection::CrossSite),
    }
}

fn sent_to_an_address(headers: &HeaderMap) -> Result<(), Rejection> {
    match only(headers, header::HOST).is_some_and(is_an_address) {
        true => Ok(()),
        false => Err(Rejection::ForeignHost),
    }
}

/// An IP address or localhost, with a port or without.
fn is_an_address(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        Some(_) | None => (host, ""),
    };
    let v6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let address = match v6 {
        Some(name) => name.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) || name.eq_ignore_ascii_case("localhost"),
    };
    address && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// The value of a header that is there once; two would be read differently by two readers.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (Some(_) | None, _) => None,
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Socket { uid } => write!(f, "user {uid} of this machine"),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_localhost() {
        for host in ["127.0.0.1", "127.0.0.1:9900", "[::1]", "[::1]:9900", "localhost", "LocalHost:9900", "10.0.0.1:"] {
            assert!(is_an_address(host), "{host}");
        }
        for host in [
            "",
            ":9900",
            "evil.example",
            "evil.example:9900",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:9900@evil",
            "[::1",
            "::1",
            "[::1]evil",
            "[127.0.0.1]",
            "[localhost]",
        ] {
            assert!(!is_an_address(host), "{host}");
        }
    }
}
