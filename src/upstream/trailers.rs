//! What may follow a body, in either direction.

use super::fields::{is_ambiguous, is_for_proxies, is_hop_by_hop};
use http::header::{self, HeaderMap, HeaderName};
use http_body::Frame;

/// A piece of a body as it is passed on.
pub fn passed_on<D>(frame: Frame<D>) -> Frame<D> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(without_forbidden(trailers)),
        Err(data) => data,
    }
}

/// Trailers less the fields that would change what the message means, how it is routed or whom it is from (RFC 9110, section 6.5.1).
fn without_forbidden(mut trailers: HeaderMap) -> HeaderMap {
    let forbidden: Vec<HeaderName> = trailers.keys().filter(|name| is_forbidden(name)).cloned().collect();
    for name in forbidden {
        trailers.remove(name);
    }
    trailers
}

fn is_forbidden(name: &HeaderName) -> bool {
    const CONTROLS: [HeaderName; 23] = [
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::EXPECT,
        header::FORWARDED,
        header::HOST,
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_NONE_MATCH,
        header::IF_RANGE,
        header::IF_UNMODIFIED_SINCE,
        header::LOCATION,
        header::MAX_FORWARDS,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::RANGE,
        header::SET_COOKIE,
        header::TRAILER,
        header::WWW_AUTHENTICATE,
    ];
    CONTROLS.contains(name) || is_hop_by_hop(name) || is_for_proxies(name) || is_ambiguous(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_frames_routes_or_names_the_client_stops_here_and_the_rest_goes_on() {
        let mut trailers = HeaderMap::new();
        for name in ["content-length", "x-forwarded-for", "expect", "location", "grpc-status", "etag", "grpc_status"] {
            trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        let left = without_forbidden(trailers);
        let mut left: Vec<&str> = left.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["etag", "grpc-status"]);
    }
}
