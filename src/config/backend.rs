//! `[[backend]]` read: pools and endpoints, failback, tally, timeouts. Not here: its `probe`, which has a file of its own.

use super::forms::{self, HostPort};
use super::probe::{self, Probing, Speaks};
use super::problem::{Form, Report, What};
use super::proxies::{self, ForwardedAs};
use super::rescue::{self, Rescue};
use super::rules;
use super::table::{Field, Seen, Table, Value};
use super::trust::{self, PoolTls, Roots, Trust};
use super::units::TIMEOUT;
use super::{Backend, Endpoint, Place, Pool, Surroundings, Timeouts};
use crate::domain::{Name, Percent, Rules};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

const NAME: &str = "name = \"sites\"";
const ENDPOINTS: &str = "endpoints = [\"10.1.0.11:8080\", \"10.1.0.12:8080\"]";
const POOLS: &str = "pools = [{ name = \"new-jersey\", endpoints = [\"10.1.0.11:8080\"] }]";

/// In all pools of all backends: each has counters in every worker and a probe of its own.
const MOST_ENDPOINTS: usize = 65_536;

/// A pool that flaps is held down for at most an hour, an endpoint ejected for at most five minutes: the first time
/// can't be longer.
const HOLD_DOWN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);

/// What `[[backend]]` came to.
pub(super) struct Backends {
    /// Their names in the order of the file; `None` where a name could not be read, so that nobody can say that a
    /// backend does not exist.
    pub(super) names: Option<Vec<Name>>,
    pub(super) all: Option<Vec<Backend>>,
}

/// What is found out once for all backends.
struct Found<'a> {
    resolver: Resolver<'a>,
    roots: Roots<'a>,
    /// So many so far, in all pools of all of them.
    endpoints: usize,
}

/// All backends, and that no two share a name.
pub(super) fn read(report: &Report, surroundings: &Surroundings<'_>, top: &mut Table<'_>) -> Backends {
    let mut names = Seen::new(report);
    let resolver = Resolver { resolve: surroundings.resolve, known: HashMap::new() };
    let mut found = Found { resolver, roots: Roots::new(surroundings), endpoints: 0 };
    let read = top.each("backend", "[[backend]]", |table| {
        let (name, backend) = one(report, table, &mut names, &mut found);
        Some((name, backend)) // either may be missing without the other
    });
    let Some(read) = read else { return Backends { names: None, all: None } };
    if read.is_empty() {
        report.add(None, What::NoBackend);
    }
    if found.endpoints > MOST_ENDPOINTS {
        report.add(None, What::TooManyEndpoints { count: found.endpoints });
    }
    // An item of the list that is no table was said to be wrong; it counts as a backend whose name is not known.
    let (names, all): (Vec<_>, Vec<_>) = read.into_iter().map(Option::unwrap_or_default).unzip();
    Backends { names: names.into_iter().collect(), all: all.into_iter().collect() }
}

fn one(
    report: &Report,
    table: &mut Table<'_>,
    names: &mut Seen<'_, Name>,
    found: &mut Found<'_>,
) -> (Option<Name>, Option<Backend>) {
    let name = table.required("name", NAME, |value| name(value, "backend", names));
    let name = name.map(|name| name.value);
    let probe = table.nested("probe", probe::read);
    let pools = pools(report, table, probe.as_ref(), found);
    let min_up = table.or("min_up", 50, |value| value.percent(1..=100));
    let min_dwell = table.or("min_dwell", Duration::from_secs(5), |value| value.duration(HOLD_DOWN));
    let rescue = rescue::read(table, Rescue::default());
    let proxy_protocol = table.or("proxy_protocol", None, proxies::of_backend);
    let forwarded = table.or("forwarded", ForwardedAs::XForwarded, |value| value.choice(&ForwardedAs::ALL));
    let timeouts = table.nested("timeouts", timeouts);
    let failback = table.nested("failback", |table| rules::failback(table, probe.as_ref()));
    let tally = table.nested("tally", rules::tally);
    let max_lag = table.optional("max_lag", |value| value.duration(rules::LAG));
    let own_writes = table.or("own_writes", Duration::from_secs(10), |value| value.duration(rules::WAIT));
    let write_wait = table.or("write_wait", Duration::from_secs(2), |value| value.duration(rules::WAIT));
    let write_drain = table.or("write_drain", Rules::default().write_drain, |value| value.duration(rules::WAIT));
    if let (Some(wait), Some(drain)) = (&write_wait, &write_drain)
        && drain.value >= wait.value
    {
        let at = if drain.at.is_some() { drain } else { wait };
        table.note_at(at, What::WriteDrain { drain: drain.value, wait: wait.value });
    }
    let backend = || {
        let (probe, failback, tally) = (probe?, failback?, tally?);
        Some(Backend {
            name: name.clone()?,
            pools: pools?,
            probe: probe.probe,
            rules: Rules {
                fall: probe.fall,
                rise: probe.rise,
                trip: tally.trip,
                consecutive: tally.consecutive,
                confirm: tally.confirm,
                ejection_time: tally.ejection_time,
                intermittent: tally.intermittent,
                on_intermittent: tally.on_intermittent,
                min_up: Percent(min_up?.value),
                max_lag: max_lag?.value,
                min_dwell: min_dwell?.value,
                failback: failback.mode,
                stable_for: failback.stable_for,
                after_writes: failback.after_writes,
                ramp: failback.ramp,
                write_drain: write_drain?.value,
            },
            own_writes: own_writes?.value,
            write_wait: write_wait?.value,
            timeouts: timeouts?,
            rescue: rescue?,
            proxy_protocol: proxy_protocol?.value,
            forwarded: forwarded?.value,
        })
    };
    let backend = backend();
    (name, backend)
}

/// A name that is there only once among `names`.
fn name(value: &Value<'_>, thing: &'static str, names: &mut Seen<'_, Name>) -> Option<Name> {
    let name = Name::from(value.text(Form::Name, forms::name)?);
    let text = name.to_string();
    names.check(Name::clone(&name), value.at(), |first| What::Duplicate { thing, name: text, first });
    Some(name)
}

/// `primary` and `secondary`, or `pools`, by rank.
fn pools(
    report: &Report,
    table: &mut Table<'_>,
    probing: Option<&Probing>,
    found: &mut Found<'_>,
) -> Option<Vec<Pool>> {
    let mut names = Seen::new(report);
    let mut endpoints = Endpoints { taken: HashMap::new(), pools: 0, resolver: &mut found.resolver };
    let speaks = probing.map(|probing| &probing.speaks);
    let mut pool = |table: &mut Table<'_>| pool(table, speaks, &mut names, &mut endpoints, &mut found.roots);
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

/// What is remembered of a backend's endpoints while its pools are read.
struct Endpoints<'a, 'r> {
    /// Where each address was first, and in which pool.
    taken: HashMap<String, (usize, Place)>,
    pools: usize,
    resolver: &'a mut Resolver<'r>,
}

fn pool(
    table: &mut Table<'_>,
    speaks: Option<&Speaks>,
    names: &mut Seen<'_, Name>,
    endpoints: &mut Endpoints<'_, '_>,
    roots: &mut Roots<'_>,
) -> Option<Pool> {
    endpoints.pools += 1;
    let name = table.required("name", "name = \"new-jersey\"", |value| name(value, "pool", names));
    let listed = table.required("endpoints", ENDPOINTS, |value| {
        let listed = value.list(ENDPOINTS, |item| endpoint(item, endpoints))?;
        listed.into_iter().collect::<Option<Vec<_>>>()
    });
    let writes = rules::writes(table);
    let tls = tls(table, speaks, roots);
    Some(Pool { name: name?.value, endpoints: listed?.value, writes: writes?, tls: tls? })
}

/// A pool's keys for TLS. `speaks` is `None` where the probe could not be read.
fn tls(table: &mut Table<'_>, speaks: Option<&Speaks>, roots: &mut Roots<'_>) -> Option<Option<PoolTls>> {
    let name = table.optional("tls_name", |value| value.text(Form::TlsName, trust::server_name));
    let file: Option<Field<Option<Trust>>> = table.optional("ca_file", |value| roots.of_file(value));
    let (name, file) = (name?, file?);
    match speaks? {
        Speaks::Plain => {
            let set = [("tls_name", &name.at), ("ca_file", &file.at)];
            for (key, at) in set.into_iter().filter(|(_, at)| at.is_some()) {
                table.note_place(at, What::NoTlsThere { key });
            }
            Some(None)
        }
        Speaks::Tls(host) => {
            let trust = match file.value {
                Some(trust) => trust,
                None => roots.of_system(table)?,
            };
            Some(Some(PoolTls { trust, name: host.clone().or(name.value) }))
        }
    }
}

fn endpoint(value: &Value<'_>, endpoints: &mut Endpoints<'_, '_>) -> Option<Endpoint> {
    let text = value.string(Form::Endpoint)?;
    let parts = value.text(Form::Endpoint, forms::endpoint)?;
    let (written, address) = match parts {
        HostPort::Address(address) => (address.to_string(), Ok(address)),
        HostPort::Name(host, port) => {
            let host = host.to_ascii_lowercase();
            (format!("{host}:{port}"), endpoints.resolver.find(&host, port).map_err(|error| (host, error)))
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
        Ok(address) => Some(Endpoint { name: text.into(), address }),
        Err((host, error)) => {
            value.note(What::Unresolved { host, error });
            None
        }
    }
}

/// Asks for each host once, however many endpoints it has.
struct Resolver<'a> {
    resolve: &'a dyn Fn(&str) -> io::Result<std::net::IpAddr>,
    known: HashMap<String, Result<std::net::IpAddr, String>>,
}

impl Resolver<'_> {
    fn find(&mut self, host: &str, port: u16) -> Result<SocketAddr, String> {
        let known = self.known.entry(host.to_owned());
        let found = known.or_insert_with(|| (self.resolve)(host).map_err(|error| error.to_string()));
        found.clone().map(|ip| SocketAddr::new(ip, port))
    }
}

fn timeouts(table: &mut Table<'_>) -> Option<Timeouts> {
    let connect = table.or("connect", Duration::from_secs(1), |value| value.duration(TIMEOUT));
    let head = table.or("head", Duration::from_secs(60), |value| value.duration(TIMEOUT));
    let body_idle = table.or("body_idle", Duration::from_secs(60), |value| value.duration(TIMEOUT));
    let total = table.optional("total", |value| value.duration(TIMEOUT));
    if let (Some(connect), Some(total)) = (&connect, &total)
        && let Some(limit) = total.value.filter(|limit| *limit < connect.value)
    {
        table.note_at(total, What::TotalTimeout { total: limit, connect: connect.value });
    }
    Some(Timeouts { connect: connect?.value, head: head?.value, body_idle: body_idle?.value, total: total?.value })
}
