//! How whoever asks wants to be answered by us: in HTML, in JSON, or in gRPC's own way.
//!
//! Every request has an asker, few get a reply of ours. So what a client says of itself is kept as it came, which costs next to
//! nothing, and read only for a reply.

use http::{HeaderMap, HeaderValue, Method, Request, header};

/// What of a request decides how it is replied to.
#[derive(Clone, Debug)]
pub struct Asker {
    pub(super) asks_for: AsksFor,
    /// The Accept fields.
    accept: Option<HeaderValue>,
    more_accept: Vec<HeaderValue>,
    content_type: Option<HeaderValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AsksFor {
    Page,
    /// HEAD: hyper leaves the body out over HTTP/1.1 only.
    Head,
}

/// How a client wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tongue {
    Html,
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// 200 with `grpc-status`, trailers only (gRPC over HTTP/2, "Responses"), of this content type.
    Grpc(&'static str),
}

impl Asker {
    pub fn of<B>(request: &Request<B>) -> Asker {
        let asks_for = if *request.method() == Method::HEAD { AsksFor::Head } else { AsksFor::Page };
        Asker::with(request.headers(), asks_for)
    }

    /// Nobody knows who asks.
    pub(super) fn unknown(asks_for: AsksFor) -> Asker {
        Asker { asks_for, accept: None, more_accept: Vec::new(), content_type: None }
    }

    fn with(headers: &HeaderMap, asks_for: AsksFor) -> Asker {
        let mut accept = headers.get_all(header::ACCEPT).iter().cloned();
        Asker {
            asks_for,
            accept: accept.next(),
            more_accept: accept.collect(), // almost always empty: nothing is allocated
            content_type: headers.get(header::CONTENT_TYPE).cloned(),
        }
    }

    /// Whether it is a call of gRPC.
    pub fn speaks_grpc(&self) -> bool {
        self.content_type.as_ref().is_some_and(|kind| grpc(kind) == Some("application/grpc"))
    }

    pub(super) fn tongue(&self) -> Tongue {
        if let Some(content_type) = self.content_type.as_ref().and_then(grpc) {
            return Tongue::Grpc(content_type);
        }
        let fields = self.accept.iter().chain(&self.more_accept);
        let (mut html, mut json) = (Wish::default(), Wish::default());
        for range in fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(',')) {
            let Some((media, quality)) = range_of(range) else { continue };
            match Range::of(media) {
                Some(Range::Html) => html.note(Precision::Named, quality),
                Some(Range::Json) => json.note(Precision::Named, quality),
                Some(Range::AnyText) => html.note(Precision::Kind, quality),
                Some(Range::AnyApplication) => json.note(Precision::Kind, quality),
                Some(Range::Anything) => {
                    html.note(Precision::Anything, quality);
                    json.note(Precision::Anything, quality);
                }
                None => (),
            }
        }
        if json.is_preferred_to(html) { Tongue::Problem } else { Tongue::Html }
    }
}

/// The content type for an answer to a request of that one, if it is gRPC's or one of gRPC-Web's.
fn grpc(content_type: &HeaderValue) -> Option<&'static str> {
    const KINDS: [&str; 3] = ["application/grpc", "application/grpc-web", "application/grpc-web-text"];
    let said = content_type.to_str().ok()?.split([';', '+']).next()?.trim();
    KINDS.into_iter().find(|kind| kind.eq_ignore_ascii_case(said))
}

/// Those media ranges that say something about what we can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    Html,
    /// Whoever takes any JSON is taken to take `application/problem+json`.
    Json,
    AnyText,
    AnyApplication,
    Anything,
}

impl Range {
    fn of(media: &str) -> Option<Range> {
        let is = |name: &str| media.eq_ignore_ascii_case(name);
        let (kind, what) = media.split_once('/')?;
        let application = kind.eq_ignore_ascii_case("application");
        // `json`, and what is built on it (RFC 6839, section 3.1): `problem+json`, `vnd.api+json`.
        let tail = what.len().checked_sub(5).and_then(|at| what.get(at..));
        let json = what.eq_ignore_ascii_case("json") || tail.is_some_and(|tail| tail.eq_ignore_ascii_case("+json"));
        match () {
            () if is("text/html") => Some(Range::Html),
            () if application && json => Some(Range::Json),
            () if is("text/*") => Some(Range::AnyText),
            () if is("application/*") => Some(Range::AnyApplication),
            () if is("*/*") => Some(Range::Anything),
            () => None,
        }
    }
}

/// How much a client wants one form (RFC 9110, section 12.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wish {
    precision: Precision,
    /// In thousandths; 0: not at all.
    quality: u16,
}

/// How precisely the range names it: the most precise one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    #[default]
    Unsaid,
    Anything,
    Kind,
    Named,
}

impl Wish {
    fn note(&mut self, precision: Precision, quality: u16) {
        if precision > self.precision {
            *self = Wish { precision, quality };
        } else if precision == self.precision {
            self.quality = self.quality.max(quality);
        }
    }

    /// Of two that are wanted as much, the one that was named: `application/json, text/plain, */*` is a script. HTML where nothing
    /// tells them apart, or neither is wanted: a person may be looking.
    fn is_preferred_to(self, html: Wish) -> bool {
        match self.quality.cmp(&html.quality) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => self.quality > 0 && self.precision > html.precision,
            std::cmp::Ordering::Less => false,
        }
    }
}

/// One item of Accept: the media range, and its weight in thousandths. One whose weight makes no sense weighs as if it had none.
fn range_of(item: &str) -> Option<(&str, u16)> {
    let mut parts = item.split(';').map(str::trim);
    let media = parts.next().filter(|media| !media.is_empty())?;
    let weight = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("q")));
    Some((media, weight.and_then(|(_, weight)| thousandths(weight)).unwrap_or(1_000)))
}

/// A `qvalue` (RFC 9110, section 12.4.2): 0 to 1, with up to three decimals.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let part: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| digits)?;
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1_000),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tongue(fields: &[(&'static str, &str)]) -> Tongue {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Asker::with(&headers, AsksFor::Page).tongue()
    }

    #[test]
    fn scripts_get_json_and_people_get_html() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
        for (accept, expected) in [
            ("application/json", Tongue::Problem),
            ("application/problem+json", Tongue::Problem),
            ("Application/JSON; charset=utf-8", Tongue::Problem),
            ("application/vnd.api+json", Tongue::Problem),
            ("application/*", Tongue::Problem),
            ("application/json, text/plain, */*", Tongue::Problem), // axios
            ("application/json, */*;q=0.5", Tongue::Problem),       // httpie
            ("application/json, text/html;q=0.9", Tongue::Problem),
            ("text/html;q=0.2, application/json;q=0.30", Tongue::Problem),
            ("text/html;q=0, */*", Tongue::Problem),
            ("*/*;q=0.1, application/json;q=0.2, text/html;q=0.199", Tongue::Problem),
            ("application/json;q=high", Tongue::Problem),
            ("*/*", Tongue::Html),
            (browser, Tongue::Html),
            ("application/json;q=0.1, text/html", Tongue::Html),
            ("application/json;q=0.1,text/html;level=1;q=0.5", Tongue::Html),
            ("text/html, application/json", Tongue::Html),
            ("application/json, text/html", Tongue::Html), // the order says nothing
            ("application/json;q=0", Tongue::Html),
            ("application/json;q=0, */*", Tongue::Html),
            ("application/json; q=0.8, */*", Tongue::Html),
            ("text/*, application/*;q=0.9", Tongue::Html),
            ("text/plain", Tongue::Html),
            ("image/png", Tongue::Html),
            ("text/json-ish, jsonapplication/json, application/json5", Tongue::Html),
            (", ;q=1,json", Tongue::Html),
            ("", Tongue::Html),
        ] {
            assert_eq!(tongue(&[("accept", accept)]), expected, "{accept}");
        }
        assert_eq!(tongue(&[]), Tongue::Html);
    }

    #[test]
    fn several_accept_fields_are_one_list() {
        assert_eq!(tongue(&[("accept", "text/html;q=0.5"), ("accept", "application/json")]), Tongue::Problem);
        assert_eq!(tongue(&[("accept", "application/json;q=0.5"), ("accept", "text/html")]), Tongue::Html);
        assert_eq!(tongue(&[("accept", "caf\u{e9}"), ("accept", "application/json")]), Tongue::Problem);
    }

    #[test]
    fn a_weight_has_up_to_three_decimals_and_is_at_most_one() {
        for (weight, read) in
            [("0", 0), ("0.", 0), ("0.5", 500), ("0.05", 50), ("0.123", 123), ("1", 1_000), ("1.000", 1_000)]
        {
            assert_eq!(thousandths(weight), Some(read), "{weight}");
        }
        for weight in ["", ".5", "1.1", "2", "-1", "0.1234", "0,5", "0.+5", "+0.5", "1e3", "0.5 "] {
            assert_eq!(thousandths(weight), None, "{weight}");
        }
    }

    #[test]
    fn grpc_is_told_by_what_it_sends() {
        let sending = |kind: &str| tongue(&[("content-type", kind), ("accept", "application/json")]);
        for (kind, answer) in [
            ("application/grpc", "application/grpc"),
            ("application/grpc+proto", "application/grpc"),
            ("Application/gRPC; charset=utf-8", "application/grpc"),
            ("application/grpc-web+proto", "application/grpc-web"),
            ("application/grpc-web-text", "application/grpc-web-text"),
        ] {
            assert_eq!(sending(kind), Tongue::Grpc(answer), "{kind}");
        }
        for kind in ["application/grpcfoo", "application/json", "text/html; x=application/grpc"] {
            assert_eq!(sending(kind), Tongue::Problem, "{kind}");
        }
    }
}
