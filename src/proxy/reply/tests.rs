//! Replies one by one: what each says, to whom and in which form. Over real sockets: tests/it/replies.rs.

use super::*;
use crate::config::{Page, Pages};
use crate::proxy::route::Refusal;
use crate::upstream::{Connection, Sent};
use http::Request;
use rustls::AlertDescription;
use std::sync::Arc;

fn asker(method: &str, fields: &[(&str, &str)]) -> Asker {
    let mut request = Request::builder().method(method);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Asker::of(&request.body(()).unwrap())
}

fn connect(kind: io::ErrorKind) -> Option<Failure> {
    Some(Failure::Connect { error: kind.into() })
}

fn tls(error: rustls::Error) -> Option<Failure> {
    Some(Failure::Tls { error, sent: Sent::Nothing })
}

/// Each failure, with what is said of it in RFC 9209's words.
fn failures() -> Vec<(Option<Failure>, u16, &'static str)> {
    let malformed = |what| Some(Failure::Malformed { what });
    vec![
        (None, 503, "destination_unavailable"),
        (Some(Failure::Withdrawn), 503, "destination_unavailable"),
        (connect(io::ErrorKind::TimedOut), 504, "connection_timeout"),
        (connect(io::ErrorKind::ConnectionRefused), 502, "connection_refused"),
        (connect(io::ErrorKind::NotFound), 502, "connection_refused"),
        (connect(io::ErrorKind::UnexpectedEof), 502, "connection_terminated"),
        (tls(rustls::CertificateError::Expired.into()), 502, "tls_certificate_error"),
        (tls(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)), 502, "tls_alert_received"),
        (tls(rustls::Error::DecryptError), 502, "tls_protocol_error"),
        (connect(io::ErrorKind::ConnectionReset), 502, "connection_terminated"),
        (connect(io::ErrorKind::HostUnreachable), 502, "destination_ip_unroutable"),
        (connect(io::ErrorKind::NetworkUnreachable), 502, "destination_ip_unroutable"),
        (connect(io::ErrorKind::PermissionDenied), 502, "destination_unavailable"),
        (Some(Failure::Reset { sent: Sent::Perhaps, connection: Connection::Fresh }), 502, "connection_terminated"),
        (Some(Failure::NoHead), 504, "http_response_timeout"),
        (Some(Failure::Stalled { received: 1 }), 504, "http_response_timeout"),
        (Some(Failure::Cut { received: 1 }), 502, "http_response_incomplete"),
        (malformed(Malformed::Head), 502, "http_protocol_error"),
        (malformed(Malformed::UnaskedUpgrade), 502, "http_protocol_error"),
        (malformed(Malformed::TooLarge), 502, "http_response_header_section_size"),
        (malformed(Malformed::Coding), 502, "http_response_transfer_coding"),
        (Some(Failure::Ours(Shortage::Descriptors)), 503, "proxy_internal_error"),
        (Some(Failure::ClientBody), 400, "http_request_error"),
    ]
}

fn all() -> Vec<Reply> {
    let refusals = [
        Refusal::BadHost,
        Refusal::BadTarget,
        Refusal::BadTransferEncoding,
        Refusal::MethodRefused,
        Refusal::UnknownHost,
        Refusal::UnknownPath,
        Refusal::Misdirected,
        Refusal::TargetTooLong,
        Refusal::TooManyFields,
        Refusal::TooLarge,
        Refusal::TooSlow,
    ];
    let failures = failures().into_iter().map(|(failure, _, _)| to_failure(failure.as_ref()));
    let others = [to_redirect(), to_wait_in_vain(), to_read_only(), to_total_timeout()];
    refusals.into_iter().map(to_refusal).chain(failures).chain(others).collect()
}

fn text(response: Response<Body>) -> String {
    match response.into_body() {
        Body::Full { bytes } => String::from_utf8(bytes.unwrap().to_vec()).unwrap(),
        Body::Empty => String::new(),
        Body::Held { .. } | Body::Passing { .. } => panic!("not ours"),
    }
}

#[test]
fn each_failure_has_its_status_and_its_name() {
    for (failure, status, error) in failures() {
        let response = to_failure(failure.as_ref()).response(&asker("GET", &[]), None);
        assert_eq!(response.status(), status, "{failure:?}");
        assert_eq!(response.headers()[PROXY_STATUS], format!("hotspare; error={error}"), "{failure:?}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers().contains_key("retry-after"), status >= 500, "{failure:?}");
    }
}

/// What it says goes into HTML, JSON and a header field that is percent-encoded, each as it stands.
#[test]
fn what_a_reply_says_needs_no_escape_anywhere() {
    for reply in all() {
        assert!(
            reply.says.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"<>&%\"\\".contains(&byte)),
            "{reply:?}"
        );
    }
}

#[test]
fn every_5xx_is_unavailable_to_grpc() {
    let grpc = asker("POST", &[("content-type", "application/grpc"), ("accept", "application/json")]);
    for reply in all().into_iter().filter(|reply| reply.status.is_server_error()) {
        let response = reply.response(&grpc, None);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(response.headers()["grpc-status"], "14", "{reply:?}");
        assert_eq!(response.headers()["grpc-message"], reply.says);
        assert!(matches!(response.body(), Body::Empty), "trailers only");
    }
}

#[test]
fn json_names_the_status_as_http_does() {
    let response = to_read_only().response(&asker("PUT", &[("accept", "application/json")]), None);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = serde_json::from_str(&text(response)).unwrap();
    assert_eq!((&problem["title"], &problem["status"]), (&"Service Unavailable".into(), &503.into()));
    assert!(problem["detail"].as_str().unwrap().contains("read-only"));
}

#[test]
fn a_sites_own_pages_go_with_the_replies_they_are_for_and_with_no_other() {
    let page = |text: &str| Some(Arc::new(Page::of("page.html", text.into()).unwrap()));
    let both = Pages { error: page("sorry: {status}"), read_only: page("just reading: {status}") };
    let (error_alone, read_only_alone) =
        (Pages { read_only: None, ..both.clone() }, Pages { error: None, ..both.clone() });
    let get = asker("GET", &[]);
    for reply in all() {
        let said = |pages: &Pages| text(reply.response(&get, Some(pages)));
        let (own, status) = (text(reply.response(&get, None)), reply.status.as_u16());
        let (with_error, with_read_only) = match (reply.kind, status) {
            (ReplyKind::ReadOnly, _) => (own.clone(), format!("just reading: {status}")),
            (_, 502..=504) => (format!("sorry: {status}"), own.clone()),
            (_, _) => (own.clone(), own.clone()),
        };
        assert_eq!(said(&error_alone), with_error, "{reply:?}");
        assert_eq!(said(&read_only_alone), with_read_only, "{reply:?}");
        assert_eq!(said(&Pages::default()), own);
    }
    assert!(text(to_read_only().response(&get, Some(&error_alone))).contains("read-only"));
    let head = to_read_only().response(&asker("HEAD", &[]), Some(&both));
    assert_eq!(head.headers()["content-length"], "just reading: 503".len().to_string());
    assert_eq!(text(head), "");
}
