//! `probe` of a `[[backend]]`: what it is once it is read, and how it is read.
//!
//! Not here: how a probe is made and when (`health`), whom it believes over TLS (`trust`).

use super::forms;
use super::problem::{Form, What};
use super::table::{Field, Table, Value};
use super::trust;
use crate::domain::Name;
use http::{HeaderName, HeaderValue, header};
use rustls::pki_types::ServerName;
use std::collections::HashSet;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

const STATUSES: &str = "expect_status = [\"200-399\"]";

/// Shorter, and probes are a load of their own.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3_600);
const RUN: RangeInclusive<u32> = 1..=1_000;
/// A request that is sent every second need not be larger.
const MOST_HEADERS: usize = 16;

/// How endpoints of a backend are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub kind: ProbeKind,
    /// Another port of the endpoint's host than the endpoint's own.
    pub port: Option<NonZeroU16>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Between the end of a probe and the next while a verdict is near; never more than `interval`.
    pub fast_interval: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// The connect is all.
    Tcp,
    /// A page, over what traffic goes over: with TLS where the pool's scheme says so.
    Page(Arc<HttpProbe>),
    Http(Arc<HttpProbe>),
    /// The same over TLS: each endpoint has its `probed`.
    Https(Arc<HttpProbe>),
    /// grpc.health.v1.Health/Check, over HTTP/2: with TLS where the pool's scheme is `h2`, without elsewhere.
    Grpc(Arc<GrpcProbe>),
}

type Headers = Box<[(HeaderName, HeaderValue)]>;

/// What is asked for over HTTP, and what is expected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    pub method: ProbeMethod,
    pub path: Name,
    /// `probe.host`, else the first exact host of the backend's first site, else none, and each endpoint's own address is
    /// sent.
    pub host: Option<Name>,
    /// Besides those that every probe has; none of them is about the connection or the message's framing.
    pub headers: Headers,
    /// At least one.
    pub expect_status: Box<[RangeInclusive<u16>]>,
    /// Text that must occur near the beginning of the body.
    pub expect_body: Option<Name>,
    /// Where the response tells how many seconds the pool is behind.
    pub lag_header: Option<HeaderName>,
}

/// Requests that change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeMethod {
    Get,
    Head,
    Options,
}

/// Whose health is asked for over gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrpcProbe {
    /// Empty: the endpoint as a whole.
    pub service: Name,
    /// As [`HttpProbe::host`].
    pub host: Option<Name>,
}

impl Default for HttpProbe {
    fn default() -> HttpProbe {
        HttpProbe {
            method: ProbeMethod::Get,
            path: "/".into(),
            host: None,
            headers: Box::default(),
            expect_status: Box::new([200..=399]),
            expect_body: None,
            lag_header: None,
        }
    }
}

impl Probe {
    /// Where a response tells how far its pool is behind.
    pub fn lag_header(&self) -> Option<&HeaderName> {
        match &self.kind {
            ProbeKind::Tcp | ProbeKind::Grpc(_) => None,
            ProbeKind::Page(http) | ProbeKind::Http(http) | ProbeKind::Https(http) => http.lag_header.as_ref(),
        }
    }

    /// A probe that was told no host asks for `host`.
    pub(super) fn default_host(&mut self, host: Option<Name>) {
        let own = match &mut self.kind {
            ProbeKind::Tcp => return,
            ProbeKind::Page(http) | ProbeKind::Http(http) | ProbeKind::Https(http) => &mut Arc::make_mut(http).host,
            ProbeKind::Grpc(grpc) => &mut Arc::make_mut(grpc).host,
        };
        if own.is_none() {
            *own = host;
        }
    }
}

/// `probe`, with the part of it that the core decides by.
pub(super) struct Probing {
    pub(super) probe: Probe,
    pub(super) interval: Field<Duration>,
    pub(super) fall: u32,
    pub(super) rise: u32,
    pub(super) speaks: Speaks,
}

/// What the probes speak to endpoints.
#[derive(Clone)]
pub(super) enum Speaks {
    /// What the pool's traffic does.
    AsTraffic,
    /// Pages without TLS.
    Plain,
    /// HTTP/2, which goes over TLS where traffic speaks that too.
    Grpc,
    /// They connect, and that is all.
    Nothing,
    /// `probe.host`, if it is set, is whom the certificate must be for where traffic goes without TLS.
    Tls(Option<ServerName<'static>>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Left out.
    Page,
    Http,
    Https,
    Tcp,
    Grpc,
}

impl Kind {
    const ALL: [(&'static str, Kind); 4] =
        [("http", Kind::Http), ("https", Kind::Https), ("tcp", Kind::Tcp), ("grpc", Kind::Grpc)];

    fn word(self) -> &'static str {
        match self {
            Kind::Page | Kind::Http => "http",
            Kind::Https => "https",
            Kind::Tcp => "tcp",
            Kind::Grpc => "grpc",
        }
    }
}

/// Reads the table.
pub(super) fn read(table: &mut Table<'_>) -> Option<Probing> {
    let kind = table.or("kind", Kind::Page, |value| value.choice(&Kind::ALL));
    let port = table.optional("port", |value| value.count(1..=u16::MAX).and_then(NonZeroU16::new));
    let host = table.optional("host", |value| value.text(Form::ProbeHost, forms::probe_host).map(Name::from));
    let service = table.or("service", "", |value| value.text(Form::GrpcService, forms::grpc_service));
    let asked = Asked::read(table);
    let interval = table.or("interval", Duration::from_secs(1), |value| value.duration(INTERVAL));
    // Left out, neither is longer than the interval: who probes more often needs no other key for it.
    let most = interval.as_ref().map_or(Duration::MAX, |interval| interval.value);
    let timeout = table.or("timeout", Duration::from_secs(1).min(most), |value| value.duration(INTERVAL));
    let fast = table.or("fast_interval", Duration::from_millis(250).min(most), |value| value.duration(INTERVAL));
    let fall = table.or("fall", 3, |value| value.count(RUN));
    let rise = table.or("rise", 2, |value| value.count(RUN));

    if let Some(timeout) = timeout.as_ref().filter(|timeout| timeout.value > most) {
        table.note_at(timeout, What::ProbeTimeout { timeout: timeout.value, interval: most });
    }
    if let Some(fast) = fast.as_ref().filter(|fast| fast.value > most) {
        table.note_at(fast, What::FastInterval { fast: fast.value, interval: most });
    }
    if let Some(Field { value: kind, .. }) = kind {
        asked.must_fit(table, kind);
        fits(table, "host", &host, kind, &[Kind::Page, Kind::Http, Kind::Https, Kind::Grpc]);
        fits(table, "service", &service, kind, &[Kind::Grpc]);
    }
    let (kind, host, service, interval) = (kind?.value, host?, service?.value, interval?);
    let speaks = match kind {
        Kind::Https => Speaks::Tls(tls_name(table, &host)?),
        Kind::Page => Speaks::AsTraffic,
        Kind::Http => Speaks::Plain,
        Kind::Grpc => Speaks::Grpc,
        Kind::Tcp => Speaks::Nothing,
    };
    let http = asked.http(host.value.clone())?;
    let kind = match kind {
        Kind::Page => ProbeKind::Page(Arc::new(http)),
        Kind::Http => ProbeKind::Http(Arc::new(http)),
        Kind::Https => ProbeKind::Https(Arc::new(http)),
        Kind::Tcp => ProbeKind::Tcp,
        Kind::Grpc => ProbeKind::Grpc(Arc::new(GrpcProbe { service: service.into(), host: host.value })),
    };
    let probe = Probe {
        kind,
        port: port?.value,
        interval: interval.value,
        timeout: timeout?.value,
        fast_interval: fast?.value,
    };
    Some(Probing { probe, interval, fall: fall?.value, rise: rise?.value, speaks })
}

/// `probe.host` as the name that a certificate is for.
fn tls_name(table: &Table<'_>, host: &Field<Option<Name>>) -> Option<Option<ServerName<'static>>> {
    let Some(host_and_port) = &host.value else { return Some(None) };
    let name = trust::server_name(forms::without_port(host_and_port));
    if name.is_none() {
        table.note_at(host, What::NotATlsName { name: host_and_port.to_string() });
    }
    name.map(Some)
}

/// Notes a key that was set and means nothing to probes of that kind.
fn fits<T>(table: &Table<'_>, key: &'static str, field: &Option<Field<T>>, kind: Kind, kinds: &[Kind]) {
    if let Some(field) = field
        && field.at.is_some()
        && !kinds.contains(&kind)
    {
        let kinds = kinds.iter().filter(|kind| **kind != Kind::Page).map(|kind| kind.word()).collect();
        table.note_at(field, What::NotForKind { key, kind: kind.word(), kinds });
    }
}

/// The keys of `http` and `https`.
struct Asked<'a> {
    method: Option<Field<ProbeMethod>>,
    path: Option<Field<&'a str>>,
    headers: Option<Field<Headers>>,
    expect_status: Option<Field<Box<[RangeInclusive<u16>]>>>,
    expect_body: Option<Field<Option<&'a str>>>,
    lag_header: Option<Field<Option<HeaderName>>>,
}

impl<'a> Asked<'a> {
    fn read(table: &mut Table<'a>) -> Asked<'a> {
        let HttpProbe { expect_status, headers: none, .. } = HttpProbe::default();
        Asked {
            method: table.or("method", ProbeMethod::Get, method),
            path: table.or("path", "/", |value| value.text(Form::ProbePath, forms::probe_path)),
            headers: table.or("headers", none, headers),
            expect_status: table.or("expect_status", expect_status, |value| {
                let ranges = value.list(STATUSES, |item| item.text(Form::Statuses, forms::statuses))?;
                ranges.into_iter().collect()
            }),
            expect_body: table.optional("expect_body", |value| value.text(Form::BodyText, forms::body_text)),
            lag_header: table.optional("lag_header", |value| value.text(Form::HeaderName, forms::header_name)),
        }
    }

    fn must_fit(&self, table: &Table<'_>, kind: Kind) {
        const HTTP: &[Kind] = &[Kind::Page, Kind::Http, Kind::Https];
        fits(table, "method", &self.method, kind, HTTP);
        fits(table, "path", &self.path, kind, HTTP);
        fits(table, "headers", &self.headers, kind, HTTP);
        fits(table, "expect_status", &self.expect_status, kind, HTTP);
        fits(table, "expect_body", &self.expect_body, kind, HTTP);
        fits(table, "lag_header", &self.lag_header, kind, HTTP);
        if let (Some(method), Some(body)) = (&self.method, &self.expect_body)
            && method.value == ProbeMethod::Head
            && body.value.is_some()
        {
            table.note_at(body, What::BodyOfHead);
        }
    }

    fn http(self, host: Option<Name>) -> Option<HttpProbe> {
        Some(HttpProbe {
            method: self.method?.value,
            path: self.path?.value.into(),
            host,
            headers: self.headers?.value,
            expect_status: self.expect_status?.value,
            expect_body: self.expect_body?.value.map(Name::from),
            lag_header: self.lag_header?.value,
        })
    }
}

/// A check must not change anything, whatever the endpoint makes of it.
fn method(value: &Value<'_>) -> Option<ProbeMethod> {
    match value.string(Form::Text)? {
        "GET" => Some(ProbeMethod::Get),
        "HEAD" => Some(ProbeMethod::Head),
        "OPTIONS" => Some(ProbeMethod::Options),
        other => {
            value.note(What::ProbeMethod { method: other.to_owned() });
            None
        }
    }
}

fn headers(value: &Value<'_>) -> Option<Headers> {
    let mut names = HashSet::new();
    let read = value.entries(|written, value| {
        let Some(name) = forms::header_name(written) else { return value.malformed(Form::HeaderName, written) };
        if [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
            value.note(What::HeaderOfOurs { name: written.to_owned() });
            return None;
        }
        if !names.insert(name.clone()) {
            value.note(What::HeaderTwice { name: written.to_owned() });
            return None;
        }
        Some((name, value.text(Form::HeaderValue, forms::header_value)?))
    })?;
    if read.len() > MOST_HEADERS {
        value.note(What::TooManyHeaders { count: read.len(), most: MOST_HEADERS });
    }
    read.into_iter().collect()
}
