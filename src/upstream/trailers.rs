//! What may follow a body, in either direction.

use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http_body::Frame;

/// A piece of a body as it is passed on.
pub fn passed_on<D>(frame: Frame<D>) -> Frame<D> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(without_forbidden(trailers)),
        Err(data) => data,
    }
}

/// Trailers less the fields that would change what the message means (RFC 9110, section 6.5.1).
fn without_forbidden(mut trailers: HeaderMap) -> HeaderMap {
    for name in [
        AUTHORIZATION,
        CONNECTION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        COOKIE,
        HOST,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        trailers.remove(name);
    }
    trailers
}
