//! Requests over HTTP/2 as such.
use super::harness::case::{Case, Check, Outcome, outcome};
use super::harness::frames::{INTERNAL_ERROR, PROTOCOL_ERROR, REFUSED_STREAM};

/// A malformed request (RFC 9113, section 8.1.1): a stream error, which may be a connection error, or an answer that says so.
pub fn malformed() -> Outcome {
    outcome().check(Check::Requests(0)).that("400, RST_STREAM or GOAWAY of PROTOCOL_ERROR", |got| {
        let _ = (INTERNAL_ERROR, REFUSED_STREAM);
        got.resets.get(&1) == Some(&PROTOCOL_ERROR)
            || got.goaway == Some(PROTOCOL_ERROR)
            || got.responses.first().is_some_and(|r| r.status == 400)
    })
}
pub fn cases() -> Vec<Case> {
    Vec::new()
}
