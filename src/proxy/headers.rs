//! Fields that end with a connection, and what else is not passed on as it came (RFC 9110, section 7.6).
//!
//! Not here: the fields that say whose a request is (`forwarded`).

use super::caller::Caller;
use super::forwarded;
use crate::config::ForwardedAs;
use crate::upstream::fields::{is_ambiguous, is_for_proxies, is_hop_by_hop};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Whether a request stays HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrading {
    No,
    Yes,
}

/// Makes a client's fields those of the request to the endpoint. `host`: to be sent instead of the client's Host.
pub fn request(
    headers: &mut HeaderMap,
    caller: &Caller<'_>,
    form: ForwardedAs,
    host: Option<HeaderValue>,
    upgrading: Upgrading,
) {
    let protocol = match upgrading {
        Upgrading::Yes => headers.get(header::UPGRADE).cloned(),
        Upgrading::No => None,
    };
    drop_hop_by_hop(headers, |name| match *name {
        // hyper answers Expect itself, by asking for the body when the endpoint takes it.
        header::EXPECT | header::PROXY_AUTHORIZATION => true,
        _ if is_ambiguous(name) => true,
        // What a client says about itself is not evidence.
        _ => caller.told.is_none() && is_for_proxies(name),
    });
    join_cookies(headers);
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
    count_forward(headers);
    forwarded::write(headers, caller, form);
    name_upgrade(headers, protocol);
}

/// One proxy fewer that may follow (RFC 9110, section 7.6.2). A number that is none means nothing, and goes no further; at 0 the request
/// would not have come here, but for methods that do not count.
fn count_forward(headers: &mut HeaderMap) {
    let Some(left) = headers.get(header::MAX_FORWARDS) else { return };
    match left.to_str().ok().and_then(|digits| digits.parse::<u32>().ok()) {
        Some(left) => drop(headers.insert(header::MAX_FORWARDS, left.saturating_sub(1).into())),
        None => drop(headers.remove(header::MAX_FORWARDS)),
    }
}

/// Makes an endpoint's fields those of the response to the client.
pub fn response(headers: &mut HeaderMap, status: StatusCode, upgrading: Upgrading) {
    let protocol = match upgrading {
        Upgrading::Yes => headers.get(header::UPGRADE).cloned(),
        Upgrading::No => None,
    };
    // With both lengths the chunks count (RFC 9112, section 6.3), and the other one must not reach the client.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH); // RFC 9110, section 8.6
    }
    keep_one_length(headers);
    drop_hop_by_hop(headers, |_| false);
    name_upgrade(headers, protocol);
}

/// Nobody has read the length of a response that has no body (to HEAD, 304): it goes to the client if it is one number, however often.
fn keep_one_length(headers: &mut HeaderMap) {
    let fields = headers.get_all(header::CONTENT_LENGTH);
    let all = fields.iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    let mut lengths = all.map(<[u8]>::trim_ascii);
    let Some(first) = lengths.next() else { return };
    let digits = std::str::from_utf8(first).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    let mut others = 0;
    let same = lengths.inspect(|_| others += 1).all(|other| other == first);
    match number {
        Some(_) if others == 0 => {}
        Some(number) if same => drop(headers.insert(header::CONTENT_LENGTH, number.into())),
        Some(_) | None => drop(headers.remove(header::CONTENT_LENGTH)),
    }
}

/// Whether whoever sent these takes trailers (RFC 9110, section 10.1.4). Over HTTP/1.1 it is said of the connection, and of no more.
pub fn takes_trailers(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|value| value.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Whether a Connection field has this option.
pub fn connection_names(headers: &HeaderMap, option: &str) -> bool {
    options(headers).any(|named| named.eq_ignore_ascii_case(option))
}

fn options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// HTTP/2 may send a cookie in pieces; outside it they must be one again (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(header::COOKIE).iter();
    if let (Some(first), Some(second)) = (pieces.next(), pieces.next()) {
        let mut joined = first.as_bytes().to_vec();
        for piece in std::iter::once(second).chain(pieces) {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(piece.as_bytes());
        }
        let joined = HeaderValue::try_from(joined).expect("field values joined by a semicolon are a field value");
        headers.insert(header::COOKIE, joined);
    }
}

fn name_upgrade(headers: &mut HeaderMap, protocol: Option<HeaderValue>) {
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// Drops what concerns one connection only, what Connection names, and what `too` says.
fn drop_hop_by_hop(headers: &mut HeaderMap, too: impl Fn(&HeaderName) -> bool) {
    // One pass over what is there; nearly always there is little to drop, and a Vec that stays empty allocates nothing.
    let mut drops: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name) || too(name)).cloned().collect();
    if headers.contains_key(header::CONNECTION) {
        let named = options(headers).filter_map(|option| HeaderName::try_from(option).ok());
        drops.extend(named.filter(|name| !is_protected(name)));
    }
    for name in drops {
        headers.remove(name);
    }
}

/// Fields that Connection can't talk us out of: a client could otherwise strip what frames, routes or authenticates.
fn is_protected(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST
            | header::CONTENT_LENGTH
            | header::CONTENT_TYPE
            | header::CONTENT_ENCODING
            | header::CONTENT_RANGE
            | header::AUTHORIZATION
            | header::COOKIE
            | header::SET_COOKIE
            | header::CACHE_CONTROL
            | header::RANGE
    ) || name.as_str().starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::forwarded::tests::client;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    fn sent(pairs: &[(&'static str, &'static str)], upgrading: Upgrading) -> HeaderMap {
        let mut headers = fields(pairs);
        let client = client("192.0.2.7:4711", &[]);
        let caller = client.caller(&headers);
        request(&mut headers, &caller, ForwardedAs::XForwarded, None, upgrading);
        headers
    }

    #[test]
    fn hop_by_hop_fields_and_those_that_connection_names_stop_here() {
        let headers = sent(
            &[
                ("host", "example.org"),
                ("connection", "keep-alive, X-Secret"),
                ("connection", "x-other"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("te", "trailers"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("x-secret", "1"),
                ("x-other", "2"),
                ("x-kept", "3"),
            ],
            Upgrading::No,
        );
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-kept"]);
    }

    #[test]
    fn connection_cannot_strip_what_frames_routes_or_authenticates() {
        let headers = sent(
            &[
                ("host", "a"),
                ("connection", "host, content-length, authorization, x-forwarded-for"),
                ("content-length", "3"),
                ("authorization", "x"),
            ],
            Upgrading::No,
        );
        for name in ["host", "content-length", "authorization", "x-forwarded-for"] {
            assert!(headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn fields_that_endpoints_could_mistake_are_dropped() {
        let headers = sent(&[("host", "a"), ("content_length", "3"), ("proxy", "http://evil")], Upgrading::No);
        assert!(!headers.contains_key("content_length") && !headers.contains_key("proxy"));
    }

    #[test]
    fn an_upgrade_keeps_its_two_fields_and_nothing_else_of_the_connection() {
        let headers = sent(
            &[("host", "a"), ("connection", "Upgrade, keep-alive"), ("upgrade", "websocket"), ("keep-alive", "x")],
            Upgrading::Yes,
        );
        assert_eq!(headers["connection"], "upgrade");
        assert_eq!(headers["upgrade"], "websocket");
        assert!(!headers.contains_key("keep-alive"));
    }

    #[test]
    fn a_length_that_nobody_read_is_one_number_or_gone() {
        for (lengths, expected) in [
            (&["7"][..], Some("7")),
            (&["7", "7"], Some("7")),
            (&["7, 7"], Some("7")),
            (&["7", "8"], None),
            (&[""], None),
            (&["+7"], None),
            (&["7,"], None),
            (&["18446744073709551616"], None),
        ] {
            let pairs: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
            let mut headers = fields(&pairs);
            response(&mut headers, StatusCode::OK, Upgrading::No);
            let left: Vec<_> =
                headers.get_all("content-length").iter().map(|length| length.to_str().unwrap()).collect();
            assert_eq!(left, expected.into_iter().collect::<Vec<_>>(), "{lengths:?}");
        }
    }

    #[test]
    fn a_response_with_both_lengths_goes_by_its_chunks() {
        let mut headers = fields(&[("content-length", "3"), ("transfer-encoding", "chunked"), ("etag", "x")]);
        response(&mut headers, StatusCode::OK, Upgrading::No);
        assert_eq!(headers.len(), 1, "{headers:?}");
    }
}
