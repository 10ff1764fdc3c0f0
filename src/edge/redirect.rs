//! A redirect listener's answer: the same address with https.

use crate::config::Redirect;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, header};

/// Where the client is sent. `None`: the request does not say which host it means, or not in a way that can be repeated
/// (RFC 9112, section 3.2: exactly one valid Host), or has no path.
pub fn location<B>(request: &Request<B>, redirect: Redirect) -> Option<HeaderValue> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(), // HTTP/2, or the absolute form, which wins over Host
        None => {
            let mut hosts = request.headers().get_all(header::HOST).iter();
            let host = hosts.next().filter(|_| hosts.next().is_none())?;
            Authority::try_from(host.as_bytes()).ok()?
        }
    };
    let host = authority.host();
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    if host.is_empty() || authority.as_str().contains('@') || !path.starts_with('/') {
        return None;
    }
    let location = match redirect.port {
        443 => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    };
    HeaderValue::try_from(location).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_to(uri: &str, hosts: &[&str], port: u16) -> Option<String> {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let location = location(&request.body(()).unwrap(), Redirect { port })?;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_address_keeps_host_path_and_query_and_changes_scheme_and_port() {
        for (uri, host, port, expected) in [
            ("/a/b?c=d", "example.org", 443, "https://example.org/a/b?c=d"),
            ("/", "example.org:8080", 443, "https://example.org/"),
            ("/", "example.org:8080", 8443, "https://example.org:8443/"),
            ("/", "[::1]:80", 8443, "https://[::1]:8443/"),
            ("http://absolute.example/x", "other.example", 443, "https://absolute.example/x"),
        ] {
            assert_eq!(sent_to(uri, &[host], port).as_deref(), Some(expected), "{uri} {host}");
        }
    }

    #[test]
    fn a_host_that_is_missing_doubled_or_no_host_gets_no_address() {
        let cases: [(&str, &[&str]); 7] = [
            ("/", &[]),
            ("/", &["one.example", "two.example"]),
            ("/", &[""]),
            ("/", &["user@example.org"]),
            ("/", &["exa mple.org"]),
            ("/", &["example.org/path"]),
            ("*", &["example.org"]),
        ];
        for (uri, hosts) in cases {
            assert_eq!(sent_to(uri, hosts, 443), None, "{uri} {hosts:?}");
        }
    }
}
