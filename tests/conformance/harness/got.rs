//! What was seen of one case at both ends, and which checks hold for it.

use super::case::{Case, Check, Outcome};
use super::frames;
use super::hpack::Fields;
use super::message::{Head, shown};
use std::collections::BTreeMap;

/// A request at the endpoint.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: Head,
    /// As its framing has it; as far as it came.
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
    pub whole: bool,
}

/// A final response at the client.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    /// Interim responses before it: status and fields.
    pub interim: Vec<(u16, Fields)>,
    /// The names are as they came over HTTP/2, in lower case over HTTP/1.1.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
    pub whole: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The marker was answered.
    Marked,
    /// By the proxy.
    Closed,
    /// Nothing came any more.
    #[default]
    Waits,
    /// The client left.
    Left,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Got {
    pub seen: Vec<Seen>,
    /// HTTP/1.1: in their order. HTTP/2: by stream. Without the marker's.
    pub responses: Vec<Response>,
    pub end: End,
    /// Whether TLS was ended well.
    pub close_notify: bool,
    pub goaway: Option<u32>,
    pub resets: BTreeMap<u32, u32>,
    /// HTTP/2: type, flags, stream and length of each frame that came.
    pub frames: Vec<(u8, u8, u32, usize)>,
    /// SETTINGS of the proxy.
    pub settings: BTreeMap<u16, u32>,
    /// What was wrong at the client's side, whatever the case is about.
    pub faults: Vec<String>,
    /// HTTP/1.1: all bytes that came.
    pub raw: Vec<u8>,
}

impl Got {
    /// Why none of the outcomes fits; empty: one does, and nothing else is wrong.
    pub fn judge(&self, case: &Case) -> Vec<String> {
        let mut wrong: Vec<String> = self.faults.iter().map(|fault| format!("at the client: {fault}")).collect();
        for seen in &self.seen {
            wrong.extend(seen.head.faults.iter().map(|fault| format!("at the endpoint: {fault}")));
        }
        let misses: Vec<Vec<String>> = case.outcomes.iter().map(|outcome| self.misses(outcome)).collect();
        if !misses.iter().any(Vec::is_empty) {
            wrong.extend(misses.into_iter().map(|misses| format!("not: {}", misses.join("; "))));
        }
        wrong
    }

    fn misses(&self, outcome: &Outcome) -> Vec<String> {
        let (free, plain): (Vec<_>, Vec<_>) = outcome.checks.iter().partition(|check| matches!(check, Check::That(..)));
        let missed = |checks: Vec<&Check>| -> Vec<String> {
            checks.into_iter().filter(|check| !self.holds(check)).map(told).collect()
        };
        // A check of a case's own may rely on all others.
        let misses = missed(plain);
        if misses.is_empty() { missed(free) } else { misses }
    }

    fn holds(&self, check: &Check) -> bool {
        let response = self.responses.first();
        let request = self.seen.first();
        let is_closed = self.end == End::Closed || self.goaway.is_some_and(|code| code != frames::NO_ERROR);
        let one = |fields: &[(String, Vec<u8>)], name: &str, value: &[u8]| {
            let mut values = fields.iter().filter(|(field, _)| field == name);
            values.next().is_some_and(|(_, only)| only == value) && values.next().is_none()
        };
        let has = |fields: &[(String, Vec<u8>)], name: &str| fields.iter().any(|(field, _)| field == name);
        match check {
            Check::Status(statuses) => response.is_some_and(|response| statuses.contains(&response.status)),
            Check::NoAnswer => self.responses.iter().all(|response| response.status == 0),
            Check::Interim(statuses) => {
                let interim = response.map(|response| &response.interim[..]).unwrap_or_default();
                interim.iter().map(|(status, _)| *status).eq(statuses.iter().copied())
            }
            Check::Closed => is_closed,
            Check::Lives => self.end == End::Marked,
            Check::Waits => self.end == End::Waits,
            Check::Requests(count) => self.seen.len() == *count,
            Check::AtMost(count) => self.seen.len() <= *count,
            Check::NoneWhole => self.seen.iter().all(|seen| !seen.whole),
            Check::Line(line) => request.is_some_and(|request| request.head.first == line.as_bytes()),
            Check::Sees(name, value) => request.is_some_and(|request| one(&request.head.fields, name, value)),
            Check::SeesNo(name) => request.is_some_and(|request| !has(&request.head.fields, name)),
            Check::Body(body) => request.is_some_and(|request| request.whole && request.body == *body),
            Check::Trailer(name, value) => {
                request.is_some_and(|request| one(&request.trailers, name, value.as_bytes()))
            }
            Check::NoTrailer(name) => request.is_some_and(|request| !has(&request.trailers, name)),
            Check::Field(name, value) => response.is_some_and(|response| one(&response.fields, name, value)),
            Check::NoField(name) => response.is_some_and(|response| !has(&response.fields, name)),
            Check::Content(body) => response.is_some_and(|response| response.whole && response.body == *body),
            Check::BrokenOff => response.is_some_and(|response| !response.whole),
            Check::ResponseTrailer(name, value) => {
                response.is_some_and(|response| one(&response.trailers, name, value.as_bytes()))
            }
            Check::NoResponseTrailer(name) => response.is_some_and(|response| !has(&response.trailers, name)),
            Check::Reset(stream, codes) => self.resets.get(stream).is_some_and(|code| fits(*code, codes)),
            Check::Ended(codes) => match self.goaway {
                Some(code) => fits(code, codes),
                None => self.end == End::Closed,
            },
            Check::That(_, holds) => holds(self),
        }
    }

    /// For people.
    pub fn story(&self) -> String {
        let mut lines = Vec::new();
        for seen in &self.seen {
            let whole = if seen.whole { "" } else { ", not whole" };
            lines.push(format!("endpoint: {}", shown(&seen.head.raw)));
            lines.push(format!("          body {}{whole}{}", shown(&seen.body), fields(&seen.trailers)));
        }
        if self.seen.is_empty() {
            lines.push("endpoint: saw nothing".to_owned());
        }
        if self.raw.is_empty() {
            for response in &self.responses {
                let whole = if response.whole { "" } else { ", not whole" };
                let interim: Vec<u16> = response.interim.iter().map(|(status, _)| *status).collect();
                lines.push(format!(
                    "client: {interim:?} {}{} body {}{whole}{}",
                    response.status,
                    fields(&response.fields),
                    shown(&response.body),
                    fields(&response.trailers)
                ));
            }
            lines.push(format!("client: goaway {:?}, resets {:?}, {:?}", self.goaway, self.resets, self.end));
        } else {
            lines.push(format!("client: {}", shown(&self.raw)));
            lines.push(format!("client: {:?}", self.end));
        }
        lines.join("\n    ")
    }

    /// In one line, for a table.
    pub fn in_short(&self) -> String {
        let requests: Vec<String> = self.seen.iter().map(|seen| shown(&seen.head.first)).collect();
        let statuses: Vec<String> = self
            .responses
            .iter()
            .map(|response| format!("{}{}", response.status, if response.whole { "" } else { " cut" }))
            .collect();
        let mut said =
            vec![format!("endpoint saw {}", if requests.is_empty() { "nothing".into() } else { requests.join(", ") })];
        said.push(format!("client saw {}", if statuses.is_empty() { "no answer".into() } else { statuses.join(", ") }));
        said.extend(self.resets.iter().map(|(stream, code)| format!("RST {stream}: {code}")));
        said.extend(self.goaway.map(|code| format!("GOAWAY {code}")));
        let end = match self.end {
            End::Marked => "the connection goes on",
            End::Closed => "closed",
            End::Waits => "then nothing",
            End::Left => "the client left",
        };
        said.push(end.to_owned());
        said.join("; ")
    }
}

fn fields(fields: &[(String, Vec<u8>)]) -> String {
    fields.iter().map(|(name, value)| format!(" [{name}: {}]", shown(value))).collect()
}

/// A generic code may always stand for a specific one (RFC 9113, section 5.4).
fn fits(code: u32, codes: &[u32]) -> bool {
    codes.contains(&code) || code == frames::PROTOCOL_ERROR || code == frames::INTERNAL_ERROR
}

fn told(check: &Check) -> String {
    match check {
        Check::That(what, _) => (*what).to_owned(),
        Check::Sees(name, value) => format!("endpoint sees {name}: {}", shown(value)),
        Check::Body(body) => format!("endpoint's body is {}", shown(body)),
        Check::Field(name, value) => format!("client sees {name}: {}", shown(value)),
        Check::Content(body) => format!("client's body is {}", shown(body)),
        other => format!("{other:?}"),
    }
}
