//! WebSocket over HTTP/2 (RFC 8441): a client's CONNECT with `:protocol = websocket` becomes the upgrade of HTTP/1.1 that endpoints know
//! (RFC 6455, section 4), and its key is ours.
//!
//! Not here: the tunnel's bytes (`edge::http2`, `upgrade`), the 200 in place of 101 (`edge::http2`).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use h2::ext::Protocol;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// What goes into a proof beside the key (RFC 6455, section 1.3).
const SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks for another protocol in its stream, and no endpoint's kind of WebSocket.
pub fn asks_for_another(method: &Method, extensions: &http::Extensions) -> bool {
    *method == Method::CONNECT && extensions.get::<Protocol>().is_some()
}

/// Makes such a request the upgrade that it stands for. Whether it was one.
pub fn translate(head: &mut Parts) -> bool {
    let protocol = head.extensions.get::<Protocol>();
    let asks = head.method == Method::CONNECT
        && protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"));
    if asks {
        head.method = Method::GET;
        // Its body is the tunnel's: were there a length, an endpoint would take the tunnel's first bytes for one.
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let nonce: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let key = HeaderValue::try_from(base64(&nonce)).expect("base64 is a value");
        head.headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
    asks
}

/// Whether an endpoint has agreed to the key that we sent it.
pub fn agrees(key: &HeaderValue, status: StatusCode, fields: &HeaderMap) -> bool {
    let named = fields.get(header::UPGRADE).is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let accepted = fields.get(header::SEC_WEBSOCKET_ACCEPT).is_some_and(|proven| proven == &proof(key));
    status == StatusCode::SWITCHING_PROTOCOLS && named && accepted
}

/// What shows that an endpoint has read the key.
pub fn proof(key: &HeaderValue) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), SALT].concat()).as_ref())
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let all = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or(0)));
        let all = all[0] << 16 | all[1] << 8 | all[2];
        for digit in 0..4 {
            let index = (all >> (18 - 6 * digit)) & 63;
            text.push(if digit > three.len() { '=' } else { char::from(DIGITS[index as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(method: Method, protocol: Option<&'static str>) -> Parts {
        let mut request = Request::builder().method(method).uri("https://localhost/chat").header("content-length", "3");
        if let Some(protocol) = protocol {
            request = request.extension(Protocol::from_static(protocol));
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_connect_for_websocket_becomes_an_upgrade() {
        let mut asked = head(Method::CONNECT, Some("websocket"));
        assert!(translate(&mut asked));
        assert_eq!(asked.method, Method::GET);
        assert!(!asked.headers.contains_key("content-length"));
        assert_eq!(
            (&asked.headers["connection"], &asked.headers["upgrade"]),
            (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
        let key = asked.headers["sec-websocket-key"].clone();
        let mut again = head(Method::CONNECT, Some("websocket"));
        assert!(translate(&mut again) && again.headers["sec-websocket-key"] != key, "each has a key of its own");
        for (method, protocol) in [(Method::CONNECT, None), (Method::CONNECT, Some("connect-udp")), (Method::GET, None)]
        {
            let mut other = head(method.clone(), protocol);
            assert!(!translate(&mut other), "{method} {protocol:?}");
            assert_eq!(other.method, method);
            assert_eq!(asks_for_another(&other.method, &other.extensions), protocol.is_some());
        }
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn an_endpoint_agrees_by_its_proof_alone() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let mut fields = HeaderMap::new();
        fields.insert("upgrade", HeaderValue::from_static("WebSocket"));
        assert!(!agrees(&key, StatusCode::SWITCHING_PROTOCOLS, &fields));
        fields.insert("sec-websocket-accept", HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(agrees(&key, StatusCode::SWITCHING_PROTOCOLS, &fields));
        assert!(!agrees(&HeaderValue::from_static("another"), StatusCode::SWITCHING_PROTOCOLS, &fields));
        assert!(!agrees(&key, StatusCode::OK, &fields));
        fields.remove("upgrade");
        assert!(!agrees(&key, StatusCode::SWITCHING_PROTOCOLS, &fields));
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
