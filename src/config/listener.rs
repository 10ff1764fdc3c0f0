//! `[[listener]]` read: address, TLS, protocols, redirect, limits.

use super::client_ca::ClientCa;
use super::include::{Extent, Top};
use super::pair_files::Pairs;
use super::problem::{Form, Report, What};
use super::proxies::{self, Proxies, ProxyProtocol};
use super::table::{Seen, Table, Value};
use super::tls::{Profile, Tls};
use super::units::TIMEOUT;
use super::{Address, Limits, Listener, Protocols, forms};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Hotspare's user and its group may connect to a Unix socket.
const MODE: u32 = 0o660;

const EXAMPLE: &str = "address = \"[::]:443\"";
const TLS_EXAMPLE: &str = "tls = [{ cert = \"certs/site.pem\", key = \"certs/site.key\" }]";

/// All listeners, and that no two share an address with each other or with `admin`.
pub(super) fn read(
    report: &Report,
    pairs: &Pairs<'_>,
    top: &mut Top<'_>,
    admin: Option<SocketAddr>,
    trusted: Option<&Proxies>,
) -> Option<Vec<Arc<Listener>>> {
    let mut addresses = Seen::new(report);
    let read = top.each("listener", "[[listener]]", |table| one(pairs, table, &mut addresses, admin, trusted))?;
    if read.is_empty() && top.extent == Extent::Whole {
        report.add(None, What::NoListener);
    }
    let listeners: Vec<Listener> = read.into_iter().collect::<Option<_>>()?;
    /// The port, if it is that of every address of the family.
    fn any(listener: &Listener, unspecified: impl Into<IpAddr>) -> Option<u16> {
        let Address::Tcp(address) = listener.address else { return None };
        (address.ip() == unspecified.into()).then_some(address.port())
    }
    let v4: Vec<u16> = listeners.iter().filter_map(|listener| any(listener, Ipv4Addr::UNSPECIFIED)).collect();
    let both = |listener: Listener| {
        let only_v6 = any(&listener, Ipv6Addr::UNSPECIFIED).is_some_and(|port| v4.contains(&port));
        Arc::new(Listener { only_v6, ..listener })
    };
    Some(listeners.into_iter().map(both).collect())
}

fn one(
    pairs: &Pairs<'_>,
    table: &mut Table<'_>,
    addresses: &mut Seen<'_, Address>,
    admin: Option<SocketAddr>,
    trusted: Option<&Proxies>,
) -> Option<Listener> {
    let address = table.required("address", EXAMPLE, |value| {
        let address = value.text(Form::Listener, forms::listener)?;
        let name = address.to_string();
        if admin.map(Address::Tcp).as_ref() == Some(&address) {
            value.note(What::AdminAddress { address: name });
        } else {
            addresses.check(address.clone(), value.at(), |first| What::Duplicate { thing: "listener", name, first });
        }
        Some(address)
    });
    let mode = table.or("mode", MODE, |value| value.text(Form::Mode, forms::mode));
    let protocols = table.or("protocols", Protocols { http1: true, h2: true }, protocols);
    let listed = table.optional("tls", |value| {
        let read = value.tables("`tls`", "tls.", TLS_EXAMPLE, |table| pairs.of_table(table));
        read?.into_iter().collect::<Option<Vec<_>>>()
    });
    let directory = table.optional("tls_dir", |value| pairs.of_directory(value));
    let profile = table.or("tls_profile", Profile::Intermediate, |value| value.choice(&Profile::ALL));
    let client_ca = table.optional("client_ca_file", |value| ClientCa::read(pairs.surroundings, value));
    let redirect = table.optional("redirect", |value| value.text(Form::Redirect, forms::redirect));
    let proxy_protocol = table.or("proxy_protocol", ProxyProtocol::Off, proxies::of_listener);
    let limits = table.nested("limits", limits);

    if let (Some(listed), Some(directory)) = (&listed, &directory) {
        let given = [&listed.at, &directory.at].into_iter().find(|at| at.is_some());
        if let (Some(redirect), Some(at)) = (&redirect, given)
            && redirect.value.is_some()
        {
            table.note_place(at, What::RedirectWithTls);
        }
        let profile = profile.as_ref().map(|profile| ("tls_profile", &profile.at));
        let client_ca = client_ca.as_ref().map(|client_ca| ("client_ca_file", &client_ca.at));
        for (key, at) in [profile, client_ca].into_iter().flatten().filter(|(_, at)| at.is_some() && given.is_none()) {
            table.note_place(at, What::NoTlsHere { key });
        }
    }
    let is_unix = address.as_ref().map(|address| matches!(address.value, Address::Unix(_)));
    if let (Some(proxy_protocol), Some(trusted), Some(is_unix)) = (&proxy_protocol, trusted, is_unix)
        && proxy_protocol.value == ProxyProtocol::Require
    {
        match is_unix {
            false if !trusted.has_networks() => table.note_at(proxy_protocol, What::NobodyTrusted),
            true if !trusted.trust(None) => table.note_at(proxy_protocol, What::UnixUntrusted),
            true | false => {}
        }
    }
    if let Some(mode) = &mode
        && mode.at.is_some()
        && is_unix == Some(false)
    {
        table.note_at(mode, What::ModeOfTcp);
    }
    let protocols = protocols?.value;
    let certificates = [listed?.value, directory?.value].into_iter().flatten().flatten().collect();
    let (profile, client_ca) = (profile?.value, client_ca?.value);
    let tls = Tls::new(certificates, protocols, profile, client_ca.as_ref()).map(Arc::new);
    Some(Listener {
        address: address?.value,
        mode: mode?.value,
        only_v6: false,
        tls,
        protocols,
        redirect: redirect?.value,
        proxy_protocol: proxy_protocol?.value,
        trusted: trusted?.clone(),
        limits: limits?,
    })
}

fn protocols(value: &Value<'_>) -> Option<Protocols> {
    #[derive(Clone, Copy, PartialEq)]
    enum Protocol {
        H2,
        Http1,
    }
    let choices = [("h2", Protocol::H2), ("http/1.1", Protocol::Http1)];
    let listed = value.list("protocols = [\"h2\", \"http/1.1\"]", |item| item.choice(&choices))?;
    let listed: Vec<Protocol> = listed.into_iter().collect::<Option<_>>()?;
    Some(Protocols { http1: listed.contains(&Protocol::Http1), h2: listed.contains(&Protocol::H2) })
}

fn limits(table: &mut Table<'_>) -> Option<Limits> {
    let default = Limits::default();
    let mut timeout = |key, default| table.or(key, default, |value| value.duration(TIMEOUT));
    let handshake_timeout = timeout("handshake_timeout", default.handshake_timeout);
    let header_timeout = timeout("header_timeout", default.header_timeout);
    let body_idle_timeout = timeout("body_idle_timeout", default.body_idle_timeout);
    let idle_timeout = timeout("idle_timeout", default.idle_timeout);
    let send_timeout = timeout("send_timeout", default.send_timeout);
    let min_rate = table.or("min_rate", default.min_rate, |value| value.size(0..=1 << 30));
    let max_header_size = table.or("max_header_size", default.max_header_size, |value| {
        Some(usize::try_from(value.size(1 << 10..=1 << 20)?).expect("at most 1 MiB"))
    });
    let max_headers = table.or("max_headers", default.max_headers, |value| value.count(1..=1_000));
    let max_streams = table.or("max_streams", default.max_streams, |value| value.count(1..=10_000));
    Some(Limits {
        handshake_timeout: handshake_timeout?.value,
        header_timeout: header_timeout?.value,
        body_idle_timeout: body_idle_timeout?.value,
        idle_timeout: idle_timeout?.value,
        send_timeout: send_timeout?.value,
        min_rate: min_rate?.value,
        max_header_size: max_header_size?.value,
        max_headers: max_headers?.value,
        max_streams: max_streams?.value,
    })
}
