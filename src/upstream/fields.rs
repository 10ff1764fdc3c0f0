//! Kinds of fields that must be known wherever fields go from one side to the other, in heads and in trailers.
//!
//! Not here: what is done about them (`proxy::headers`, `edge::http2`, [`super::trailers`]).

use http::header::{self, HeaderName};

/// Whether a field is about one connection alone (RFC 9110, section 7.6.1). HTTP/2 has no place for it (RFC 9113, section 8.2.2).
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(*name, header::CONNECTION | header::TE | header::TRANSFER_ENCODING | header::UPGRADE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Whether only a proxy of ours may send it: a field that says who a client is, by any of the names that endpoints may go by. Forwarded
/// is not among them: it is written anew, or passed on, as it is configured.
pub fn is_for_proxies(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.starts_with("x-forwarded-") || text == "x-real-ip"
}

/// Whether endpoints may take it for another: Proxy becomes `HTTP_PROXY` in a CGI's environment; `a_b` and `a-b` are the same to many.
pub fn is_ambiguous(name: &HeaderName) -> bool {
    let text = name.as_str();
    text == "proxy" || text.contains('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_names() {
        let kinds = |name: &'static str| {
            let name = HeaderName::from_static(name);
            (is_hop_by_hop(&name), is_for_proxies(&name), is_ambiguous(&name))
        };
        for name in ["connection", "te", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"] {
            assert_eq!(kinds(name), (true, false, false), "{name}");
        }
        for name in ["x-forwarded-for", "x-forwarded-port", "x-forwarded-anything", "x-real-ip"] {
            assert_eq!(kinds(name), (false, true, false), "{name}");
        }
        assert_eq!(kinds("x-forwarded_for"), (false, false, true));
        assert_eq!(kinds("proxy"), (false, false, true));
        for name in ["host", "etag", "forwarded", "x-forwarded", "x-request-id", "proxy-authorization"] {
            assert_eq!(kinds(name), (false, false, false), "{name}");
        }
    }
}
