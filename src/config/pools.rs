//! The pools of a `[[backend]]` read: their endpoints, and how these are reached.
//!
//! Not here: whom we believe over TLS (`trust`), how endpoints are probed (`probe`).

use super::forms::{self, HostPort};
use super::pair_files::Pairs;
use super::pairs::Pair;
use super::probe::{Probing, Speaks};
use super::problem::{Form, Report, What};
use super::rules;
use super::table::{Field, Seen, Table, Value};
use super::trust::{self, Roots, Trust};
use super::{Address, Endpoint, Peer, Place, Pool, Scheme, Way};
use crate::domain::Name;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const ENDPOINTS: &str = "endpoints = [\"10.1.0.11:8080\", \"10.1.0.12:8080\"]";
const POOLS: &str = "pools = [{ name = \"new-jersey\", endpoints = [\"10.1.0.11:8080\"] }]";

/// What is found out once for all backends.
pub(super) struct Found<'a> {
    pairs: &'a Pairs<'a>,
    resolver: Resolver<'a>,
    roots: Roots<'a>,
    /// So many so far, in all pools of all of them.
    pub(super) endpoints: usize,
}

impl<'a> Found<'a> {
    pub(super) fn new(pairs: &'a Pairs<'a>) -> Found<'a> {
        let surroundings = pairs.surroundings;
        let resolver = Resolver { resolve: surroundings.resolve, known: HashMap::new() };
        Found { pairs, resolver, roots: Roots::new(surroundings), endpoints: 0 }
    }
}

/// What holds for all pools of a backend; `None` where it could not be read.
#[derive(Clone, Copy)]
struct Common<'p> {
    scheme: Option<Scheme>,
    probing: Option<&'p Probing>,
}

/// A name that is there only once among `names`.
pub(super) fn name(value: &Value<'_>, thing: &'static str, names: &mut Seen<'_, Name>) -> Option<Name> {
    let name = Name::from(value.text(Form::Name, forms::name)?);
    let text = name.to_string();
    names.check(Name::clone(&name), value.at(), |first| What::Duplicate { thing, name: text, first });
    Some(name)
}

/// `primary` and `secondary`, or `pools`, by rank. `scheme` is that of pools which have none of their own.
pub(super) fn read(
    report: &Report,
    table: &mut Table<'_>,
    scheme: Option<Scheme>,
    probing: Option<&Probing>,
    found: &mut Found<'_>,
) -> Option<Vec<Pool>> {
    let mut names = Seen::new(report);
    let mut endpoints = Endpoints { taken: HashMap::new(), pools: 0, resolver: &mut found.resolver };
    let common = Common { scheme, probing };
    let mut keys = Keys { pairs: found.pairs, roots: &mut found.roots };
    let mut pool = |table: &mut Table<'_>| pool(table, common, &mut names, &mut endpoints, &mut keys);
    let primary = table.optional("primary", |value| value.table(&mut pool));
    let secondary = table.optional("secondary", |value| value.table(&mut pool));
    let listed = table.optional("pools", |value| {
        value.tables("`pools`", "pools.", POOLS, &mut pool)?.into_iter().collect::<Option<Vec<_>>>()
    });
    found.endpoints += endpoints.taken.len();
    let (primary, secondary, listed) = (primary?, secondary?, listed?);
    match (primary.value, secondary.value, listed.value) {
        (Some(primary), secondary, None) => Some([primary].into_iter().chain(secondary).collect()),
        (None, None, Some(listed)) => Some(listed),
        (None, None, None) => {
            table.note(What::NoPool);
            None
        }
        (None, Some(_), None) => {
            report.add(secondary.at, What::SecondaryAlone);
            None
        }
        (_, _, Some(_)) => {
            report.add(listed.at, What::PoolsTwice);
            None
        }
    }
}

/// What a pool's keys for TLS lead to.
struct Keys<'k, 'a> {
    pairs: &'a Pairs<'a>,
    roots: &'k mut Roots<'a>,
}

/// What is remembered of a backend's endpoints while its pools are read.
struct Endpoints<'a, 'r> {
    /// Where each address was first, and in which pool.
    taken: HashMap<String, (usize, Place)>,
    pools: usize,
    resolver: &'a mut Resolver<'r>,
}

fn pool(
    table: &mut Table<'_>,
    common: Common<'_>,
    names: &mut Seen<'_, Name>,
    endpoints: &mut Endpoints<'_, '_>,
    keys: &mut Keys<'_, '_>,
) -> Option<Pool> {
    endpoints.pools += 1;
    let name = table.required("name", "name = \"new-jersey\"", |value| name(value, "pool", names));
    let listed = table.required("endpoints", ENDPOINTS, |value| {
        let listed = value.list(ENDPOINTS, |item| endpoint(item, endpoints, common.probing))?;
        listed.into_iter().collect::<Option<Vec<_>>>()
    });
    let writes = rules::writes(table);
    let scheme = table.optional("scheme", |value| value.choice(&Scheme::ALL));
    let scheme = scheme.and_then(|scheme| scheme.value.or(common.scheme));
    let tls = tls(table, scheme, common.probing, keys);
    let (listed, scheme, tls) = (listed?, scheme?, tls?);
    let reached: Vec<_> = listed.value.into_iter().map(|listed| reached(table, listed, scheme, &tls)).collect();
    let endpoints = reached.into_iter().collect::<Option<Vec<_>>>()?; // only now, so that all of them are looked at
    Some(Pool { name: name?.value, endpoints, writes: writes?, scheme })
}

/// Where TLS is spoken in a pool, and whom to believe there. `None` as the name: each endpoint's own.
enum PoolTls {
    Nowhere,
    /// `probe.host`, else `tls_name`.
    ByProbes(Trust, Option<ServerName<'static>>),
    /// `tls_name`, for probes too: one that looked for another name than traffic does would prove nothing.
    ByAll(Trust, Option<ServerName<'static>>),
}

/// A pool's keys for TLS.
fn tls(
    table: &mut Table<'_>,
    scheme: Option<Scheme>,
    probing: Option<&Probing>,
    keys: &mut Keys<'_, '_>,
) -> Option<PoolTls> {
    let name = table.optional("tls_name", |value| value.text(Form::TlsName, trust::server_name));
    let file: Option<Field<Option<Trust>>> = table.optional("ca_file", |value| keys.roots.of_file(value));
    let own: Option<Field<Option<Arc<Pair>>>> =
        table.optional("client_cert", |value| value.table(|table| keys.pairs.of_table(table)));
    let (name, file, own) = (name?, file?, own?);
    let probing = probing?;
    let all = |trust| PoolTls::ByAll(trust, name.value.clone());
    let make: &dyn Fn(Trust) -> PoolTls = match (scheme?, &probing.speaks) {
        (Scheme::Https | Scheme::H2, Speaks::AsTraffic | Speaks::Tls(_) | Speaks::Nothing) => &all,
        (Scheme::H2, Speaks::Grpc) => &all,
        (Scheme::Https | Scheme::H2, Speaks::Plain | Speaks::Grpc) if probing.probe.port.is_some() => &all,
        (Scheme::Https, Speaks::Plain | Speaks::Grpc) | (Scheme::H2, Speaks::Plain) => {
            let kind = if matches!(probing.speaks, Speaks::Grpc) { "grpc" } else { "http" };
            table.note(What::PlainProbe { kind });
            return None;
        }
        (Scheme::Http | Scheme::H2c, Speaks::Tls(host)) => {
            &|trust| PoolTls::ByProbes(trust, host.clone().or(name.value.clone()))
        }
        (Scheme::Http | Scheme::H2c, Speaks::AsTraffic | Speaks::Plain | Speaks::Grpc | Speaks::Nothing) => {
            let set = [("tls_name", &name.at), ("ca_file", &file.at), ("client_cert", &own.at)];
            for (key, at) in set.into_iter().filter(|(_, at)| at.is_some()) {
                table.note_place(at, What::NoTlsThere { key });
            }
            return Some(PoolTls::Nowhere);
        }
    };
    let trust = match file.value {
        Some(trust) => trust,
        None => keys.roots.of_system(table)?,
    };
    Some(make(match &own.value {
        Some(own) => trust.showing(own),
        None => trust,
    }))
}

/// An endpoint by itself.
struct Listed {
    at: Place,
    name: Name,
    address: Address,
}

fn endpoint(value: &Value<'_>, endpoints: &mut Endpoints<'_, '_>, probing: Option<&Probing>) -> Option<Listed> {
    let text = value.string(Form::Endpoint)?;
    let parts = value.text(Form::Endpoint, forms::endpoint)?;
    let (written, address) = match parts {
        HostPort::Address(address) => (address.to_string(), Ok(Address::Tcp(address))),
        HostPort::Name(host, port) => {
            let host = host.to_ascii_lowercase();
            let found = endpoints.resolver.find(&host, port);
            (format!("{host}:{port}"), found.map(Address::Tcp).map_err(|error| (host, error)))
        }
        HostPort::Unix(path) => {
            if probing.is_some_and(|probing| probing.probe.port.is_some()) {
                value.note(What::PortOfUnix { endpoint: text.to_owned() });
            }
            (text.to_owned(), Ok(Address::Unix(path.into())))
        }
        HostPort::NoPort => {
            value.note(What::NoPort { text: text.to_owned() });
            return None;
        }
    };
    let pool = endpoints.pools;
    match endpoints.taken.get(&written) {
        None => drop(endpoints.taken.insert(written, (pool, value.at()))),
        Some((there, first)) if *there == pool => {
            value.note(What::Duplicate { thing: "endpoint", name: text.to_owned(), first: first.clone() });
        }
        Some((_, first)) => {
            value.note(What::EndpointInTwoPools { endpoint: text.to_owned(), first: first.clone() });
        }
    }
    match address {
        Ok(address) => Some(Listed { at: value.at(), name: text.into(), address }),
        Err((host, error)) => {
            value.note(What::Unresolved { host, error });
            None
        }
    }
}

/// The endpoint with all that leads there.
fn reached(table: &Table<'_>, listed: Listed, scheme: Scheme, tls: &PoolTls) -> Option<Endpoint> {
    let Listed { at, name, address } = listed;
    let peer = |trust: &Trust, set: &Option<ServerName<'static>>| {
        let found = set.clone().or_else(|| own_name(&name, &address));
        if found.is_none() {
            table.note_place(&Some(at), What::NamelessUnix { endpoint: name.to_string() });
        }
        Some(Peer { trust: trust.clone(), name: found? })
    };
    let (tls, probed) = match tls {
        PoolTls::Nowhere => (None, None),
        PoolTls::ByProbes(trust, name) => (None, Some(peer(trust, name)?)),
        PoolTls::ByAll(trust, name) => {
            let peer = peer(trust, name)?;
            (Some(peer.clone()), Some(peer))
        }
    };
    Some(Endpoint { name, way: Arc::new(Way { address, tls, version: scheme.version() }), probed })
}

/// Whom its certificate must be for where nothing else is set: its host, or its address where that is no name. A Unix socket has neither.
fn own_name(name: &str, address: &Address) -> Option<ServerName<'static>> {
    match address {
        Address::Tcp(address) => {
            let named = trust::server_name(forms::without_port(name));
            Some(named.unwrap_or_else(|| ServerName::IpAddress(address.ip().into())))
        }
        Address::Unix(_) => None,
    }
}

/// Asks for each host once, however many endpoints it has.
struct Resolver<'a> {
    resolve: &'a dyn Fn(&str) -> io::Result<IpAddr>,
    known: HashMap<String, Result<IpAddr, String>>,
}

impl Resolver<'_> {
    fn find(&mut self, host: &str, port: u16) -> Result<SocketAddr, String> {
        let known = self.known.entry(host.to_owned());
        let found = known.or_insert_with(|| (self.resolve)(host).map_err(|error| error.to_string()));
        found.clone().map(|ip| SocketAddr::new(ip, port))
    }
}
