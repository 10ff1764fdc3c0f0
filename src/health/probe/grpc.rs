//! grpc.health.v1.Health/Check, by hand: one request over HTTP/2, whose message has one field, and whose answer has one.
//!
//! Not here: any other call of gRPC.

use super::{cut, http2};
use crate::domain::ProbeFailure;
use crate::upstream::Download;
use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite};

/// The answer is two bytes in a frame of seven.
const LARGEST_ANSWER: usize = 4 * 1024;
/// A frame is a flag and a length before its message (gRPC over HTTP/2, "Length-Prefixed-Message").
const FRAME_HEAD: usize = 5;
/// Field 1 of HealthCheckRequest, a string; and of HealthCheckResponse, an enum (protobuf wire format: number << 3 | type).
const SERVICE: u8 = 1 << 3 | 2;
const STATUS: u64 = 1 << 3;
/// HealthCheckResponse.ServingStatus.
const SERVING: u64 = 1;

/// Asks whether `service` serves (empty: the endpoint as a whole), driving the connection meanwhile.
///
/// # Errors
/// It does not, or there was no such answer.
pub async fn exchange<S>(stream: S, service: &str, host: &str, scheme: Scheme) -> Result<(), ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    http2::exchange(stream, request(service, host, scheme), judge).await
}

fn request(service: &str, host: &str, scheme: Scheme) -> Request<Bytes> {
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query("/grpc.health.v1.Health/Check").build();
    Request::post(uri.expect("the config has checked that the host can stand in a URL"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, super::USER_AGENT)
        .body(message(service))
        .expect("all of it is fixed, but for the URL")
}

/// HealthCheckRequest in its frame. An empty string is the default, and left out.
fn message(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(SERVICE);
        put_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).expect("the config allows a name of 255 bytes");
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}

/// A trailer, or where nothing else follows a header, says how the call went; then its message counts.
async fn judge(response: Response<Download>) -> Result<(), ProbeFailure> {
    if response.status() != StatusCode::OK {
        return Err(ProbeFailure::Status(response.status().as_u16()));
    }
    let (head, mut body) = response.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE).map_or(&[][..], |kind| kind.as_bytes());
    if !kind.starts_with(b"application/grpc") {
        return Err(ProbeFailure::Malformed);
    }
    let (mut message, mut trailers) = (Vec::new(), head.headers);
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| cut(&error))?.into_data() {
            Ok(data) if message.len() + data.len() > LARGEST_ANSWER => return Err(ProbeFailure::Malformed),
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    went_well(&trailers)?;
    match serving_status(&message) {
        None => Err(ProbeFailure::Malformed),
        Some(SERVING) => Ok(()),
        Some(_) => Err(ProbeFailure::NotServing),
    }
}

/// Whatever the call failed by (no such service, no health service at all, not now), nobody said that it serves.
fn went_well(trailers: &HeaderMap) -> Result<(), ProbeFailure> {
    match trailers.get("grpc-status").map(|status| status.as_bytes()) {
        Some(b"0") => Ok(()),
        Some(_) => Err(ProbeFailure::NotServing),
        None => Err(ProbeFailure::Malformed),
    }
}

/// The status in a frame with a HealthCheckResponse; 0 (unknown) where it is left out. `None`: this is no such frame.
fn serving_status(frame: &[u8]) -> Option<u64> {
    let (head, mut message) = frame.split_at_checked(FRAME_HEAD)?;
    let (compressed, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if *compressed != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match key & 7 {
            0 if key == STATUS => status = take_varint(&mut message)?,
            // Fields that later versions may have.
            0 => drop(take_varint(&mut message)?),
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None, // a number from outside: groups, which nobody sends any more, or nothing
        }
    }
    Some(status)
}

/// Seven bits a byte, the lowest first, the highest bit set in all but the last.
fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(0x80 | low_bits(value));
        value >>= 7;
    }
    out.push(low_bits(value));
}

fn low_bits(value: usize) -> u8 {
    u8::try_from(value & 0x7f).expect("seven bits")
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LONG, failed, page, probed};
    use super::super::{Check, GrpcProbe};
    use super::*;
    use crate::domain::ProbeResult;
    use crate::health::scripted::{Endpoint, Script};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use tonic::service::Routes;
    use tonic::transport::Server;
    use tonic::transport::server::TcpIncoming;
    use tonic_health::ServingStatus;
    use tonic_health::pb::health_server::HealthServer;
    use tonic_health::server::{HealthReporter, HealthService};

    const PASSED: ProbeResult = ProbeResult::Passed;

    /// Somebody else's server, which runs while a probe does.
    struct Judge {
        address: SocketAddr,
        runtime: tokio::runtime::Runtime,
        reporter: HealthReporter,
    }

    impl Judge {
        fn start(routes: impl FnOnce(HealthReporter) -> Routes) -> Judge {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let incoming = {
                let _in = runtime.enter();
                TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap()
            };
            let (address, reporter) = (incoming.local_addr().unwrap(), HealthReporter::new());
            let server = Server::builder().add_routes(routes(reporter.clone())).serve_with_incoming(incoming);
            #[allow(clippy::disallowed_methods, reason = "the server is not ours")]
            runtime.spawn(server);
            Judge { address, runtime, reporter }
        }

        fn with_health() -> Judge {
            Judge::start(|reporter| Routes::new(HealthServer::new(HealthService::from_health_reporter(reporter))))
        }

        fn set(&self, service: &str, status: ServingStatus) {
            self.runtime.block_on(self.reporter.set_service_status(service, status));
        }

        /// What a probe says.
        fn probed(&self, check: Check) -> ProbeResult {
            self.runtime.block_on(probed(self.address, check, LONG)).result
        }
    }

    fn grpc(service: &str) -> Check {
        let asked = Arc::new(GrpcProbe { service: service.into(), host: None });
        Check::Grpc { asked, host: "shop.example.org:50051".into(), peer: None }
    }

    #[test]
    fn a_service_that_serves_passes_and_one_that_does_not_fails() {
        let judge = Judge::with_health();
        assert_eq!(judge.probed(grpc("")), PASSED, "the server as a whole");
        for (status, expected) in [
            (ServingStatus::Serving, PASSED),
            (ServingStatus::NotServing, failed(ProbeFailure::NotServing)),
            (ServingStatus::Unknown, failed(ProbeFailure::NotServing)),
            (ServingStatus::Serving, PASSED),
        ] {
            judge.set("shop.v1.Cart", status);
            assert_eq!(judge.probed(grpc("shop.v1.Cart")), expected, "{status:?}");
        }
        judge.set("", ServingStatus::NotServing);
        assert_eq!(judge.probed(grpc("")), failed(ProbeFailure::NotServing));
    }

    #[test]
    fn a_name_of_any_length_arrives() {
        let judge = Judge::with_health();
        for length in [1, 127, 128, 255] {
            let service = "s".repeat(length);
            assert_eq!(judge.probed(grpc(&service)), failed(ProbeFailure::NotServing), "not known there");
            judge.set(&service, ServingStatus::Serving);
            assert_eq!(judge.probed(grpc(&service)), PASSED, "{length}");
        }
    }

    #[test]
    fn a_server_without_a_health_service_fails() {
        let judge = Judge::start(|_| Routes::default());
        assert_eq!(judge.probed(grpc("")), failed(ProbeFailure::NotServing));
    }

    #[test]
    fn a_server_of_grpc_is_no_page() {
        assert_eq!(Judge::with_health().probed(page()), failed(ProbeFailure::Malformed));
    }

    #[tokio::test]
    async fn what_speaks_http1_or_nothing_known_is_malformed() {
        for said in ["HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n\r\n"] {
            let endpoint = Endpoint::start(Script::Greet(said));
            let malformed = failed(ProbeFailure::Malformed);
            assert_eq!(probed(endpoint.address, grpc(""), LONG).await.result, malformed, "{said}");
        }
    }

    #[test]
    fn the_message_is_as_the_protocol_has_it() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(message(&"s".repeat(200))[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
    }

    #[test]
    fn an_answer_is_read_as_later_versions_may_send_it_and_no_further() {
        let frame = |message: &[u8]| {
            let length = u8::try_from(message.len()).unwrap();
            [&[0, 0, 0, 0, length], message].concat()
        };
        for (message, status) in [
            (&[8, 1][..], Some(1)),
            (&[8, 2], Some(2)),
            (&[], Some(0)),
            (&[8, 2, 8, 1], Some(1)),
            (&[0x12, 2, 8, 9, 8, 1, 0x18, 0xff, 1], Some(1)),
            (&[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0x15, 0, 0, 0, 0, 8, 1], Some(1)),
            (&[8], None),
            (&[8, 0x80], None),
            (&[0x12, 9, 1], None),
            (&[0x11, 1], None),
            (&[0x0b], None),
            (&[8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], None),
        ] {
            assert_eq!(serving_status(&frame(message)), status, "{message:?}");
        }
        for broken in [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 3, 8, 1], &[0, 0, 0, 0, 1, 8, 1]] {
            assert_eq!(serving_status(broken), None, "{broken:?}");
        }
    }
}
