//! The file's text to a [`Config`]: the top level, `[[site]]`, and what must fit together across tables. One table
//! each: `listener`, `backend`. How a table is read: `table`.

use super::backend::{self, Backends};
use super::include::{self, Extent, Included, Top};
use super::pages::{PageFiles, Pages};
use super::pair_files::Pairs;
use super::pairs::InForce;
use super::problem::{Form, IncludeTrouble, Problems, Report, Source, What};
use super::rescue::{self, Rescue};
use super::sites::{Site, Sites, Upgrades};
use super::table::{Field, Seen, Table};
use super::token::{self, SecretFile};
use super::{Admin, Backend, Config, Digest, forms, listener, proxies, trust, units};
use crate::domain::Name;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeTable;

/// Of larger texts that are not TOML only the first syntax error is told. What is no config at all can be an error a
/// byte, at some hundred bytes of memory each, and the reload of a wrong file must not cost the process that serves
/// users.
const RECOVERED: usize = 1 << 20;

/// The default of `max_buffered`: 4,096 bodies of the largest size that is kept, on a machine of 1 GiB too.
const MAX_BUFFERED: usize = 256 << 20;

/// The most of `confirm`: by then nobody remembers what was changed.
const CONFIRM_MAX: Duration = Duration::from_secs(3_600);

/// What a config depends on besides its text. Handed in, so that a test can hand in its own.
#[allow(missing_debug_implementations, reason = "closures have nothing to show")]
pub struct Surroundings<'a> {
    /// Reads a file that the config includes, a certificate, a key or a page, named as in the config.
    pub files: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// The names of what is in a directory, likewise.
    pub directories: &'a dyn Fn(&Path) -> io::Result<Vec<String>>,
    /// The certificates in force, which stay where what should take their place is worse; `None`: nothing is in force.
    pub in_force: Option<InForce<'a>>,
    /// Reads a file that only its owner should have, likewise.
    pub secrets: &'a dyn Fn(&Path) -> io::Result<SecretFile>,
    /// The files of a pattern of `include`, named likewise, in their order.
    pub include: &'a dyn Fn(&str) -> Result<Vec<PathBuf>, IncludeTrouble>,
    /// The default of `state_dir`.
    pub state_dir: Option<&'a Path>,
    /// The address of a host name.
    pub resolve: &'a dyn Fn(&str) -> io::Result<IpAddr>,
    /// The certificates of authorities that this machine believes. Asked for only where they are needed.
    pub roots: &'a dyn Fn() -> Vec<CertificateDer<'static>>,
    /// How many cores there are: the default of `workers`.
    pub cores: NonZeroUsize,
    /// How many descriptors this process may have: what `max_connections` follows from.
    pub descriptors: u64,
}

/// Parses and checks a config that is no file of its own: `state_dir` has no default. `name` is what it is called in problems;
/// `files` reads certificates, keys, pages and a token, named as in the config; who may read them is the caller's business. Host names
/// are resolved by the system; this may block.
///
/// # Errors
/// All problems at once; of text that is not TOML, all of its syntax errors. It has no directories.
pub fn parse(name: &str, text: &str, files: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Config, Problems> {
    parse_over(name, text, files, None)
}

/// The same where something is in force, whose certificates stay where those in the files are worse.
///
/// # Errors
/// As [`parse`].
pub fn parse_over(
    name: &str,
    text: &str,
    files: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    in_force: Option<InForce<'_>>,
) -> Result<Config, Problems> {
    let secrets = |path: &Path| Ok(SecretFile { bytes: files(path)?, mode: 0o600 });
    let roots = &trust::system;
    let (cores, descriptors) = (cores(), descriptors());
    let resolve = &resolve;
    let directories = &no_directories;
    let (secrets, state_dir) = (&secrets, None);
    parse_in(
        name,
        text,
        &Surroundings {
            files,
            directories,
            in_force,
            secrets,
            include: &|pattern| include::list(Path::new(""), pattern),
            state_dir,
            resolve,
            roots,
            cores,
            descriptors,
        },
    )
}

/// A config that is no file has files handed in, one by one.
pub(super) fn no_directories(_: &Path) -> io::Result<Vec<String>> {
    Err(io::Error::other("only a config file can name a directory"))
}

/// As [`parse`], with all that it depends on handed in.
///
/// # Errors
/// As [`parse`].
pub fn parse_in(name: &str, text: &str, surroundings: &Surroundings<'_>) -> Result<Config, Problems> {
    read(Report::default(), name, text, surroundings)
}

/// The same, with the report that it is noted in.
pub(super) fn read(
    report: Report,
    name: &str,
    text: &str,
    surroundings: &Surroundings<'_>,
) -> Result<Config, Problems> {
    let mut recovered = RECOVERED;
    let main = Source::main(name, text);
    let Some(main_document) = document(&report, &main, &mut recovered) else {
        return Err(report.into_problems(vec![main]).expect("why it is no document was noted"));
    };
    let mut top = Table::of_file(&report, main.start, &main_document, "the top level");
    let Included { sources, mut extent } = include::read(&report, surroundings, &main, &mut top);
    let documents: Vec<_> = sources.iter().map(|source| document(&report, source, &mut recovered)).collect();
    if documents.iter().any(Option::is_none) {
        extent = Extent::Part;
    }
    let tables = sources.iter().zip(&documents).filter_map(|(source, document)| {
        Some(Table::of_file(&report, source.start, document.as_ref()?, "an included file"))
    });
    let mut top = Top { main: top, others: tables.collect(), extent };
    let config = config(&report, surroundings, &mut top, digest([&main].into_iter().chain(&sources)));
    top.note_unknown();
    drop(top);
    drop((documents, main_document)); // they borrow from the texts, which problems are shown with
    match (report.into_problems([main].into_iter().chain(sources).collect()), config) {
        (Some(problems), _) => Err(problems),
        (None, config) => Ok(config.expect("a reader answers None only when it has noted a problem")),
    }
}

/// The file as TOML; where it is none, its syntax errors are noted. Of a broken file the rest is not checked: what the parser guessed
/// would be wrong in ways that nobody wrote. `recovered` is of how many bytes it may still guess at all.
fn document<'s>(report: &Report, source: &'s Source, recovered: &mut usize) -> Option<DeTable<'s>> {
    let text = source.text.as_str();
    let (document, syntax) = match text.len() <= *recovered {
        true => DeTable::parse_recoverable(text),
        false => match DeTable::parse(text) {
            Ok(document) => (document, Vec::new()),
            Err(first) => (Spanned::new(0..0, DeTable::new()), vec![first]),
        },
    };
    if syntax.is_empty() {
        return Some(document.into_inner());
    }
    *recovered = recovered.saturating_sub(text.len());
    for error in syntax.chunk_by(|one, next| same_line(text, one, next)).filter_map(|same| same.first()) {
        let at = error.span().map_or(source.whole(), |span| source.start + span.start..source.start + span.end);
        report.add(Some(at), What::Syntax { message: error.message().to_owned() });
    }
    None
}

fn digest<'s>(sources: impl Iterator<Item = &'s Source>) -> Digest {
    let mut hasher = DefaultHasher::new();
    sources.for_each(|source| (&source.name, &source.text).hash(&mut hasher));
    Digest(hasher.finish())
}

/// Whether two syntax errors are in one line: then the second follows from the first.
fn same_line(text: &str, one: &toml::de::Error, next: &toml::de::Error) -> bool {
    let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start.min(text.len()));
    let (one, next) = (start(one), start(next));
    !text.as_bytes()[one.min(next)..one.max(next)].contains(&b'\n')
}

/// How many cores this machine has.
pub(super) fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// How many descriptors this process may have.
pub(super) fn descriptors() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// As many clients as there are descriptors for: each takes one, and its request another at an endpoint. What is left is for listeners,
/// probes, files and scrapers.
fn most_connections(descriptors: u64) -> usize {
    const OURS: u64 = 256;
    const MOST: u64 = 100_000;
    usize::try_from((descriptors.saturating_sub(OURS) / 2).clamp(64, MOST)).expect("it is at most 100,000")
}

/// The first address that the system's resolver gives.
pub(super) fn resolve(host: &str) -> io::Result<IpAddr> {
    let first = (host, 0).to_socket_addrs()?.next();
    first.map(|address| address.ip()).ok_or_else(|| io::Error::other("the name has no address"))
}

fn config(report: &Report, surroundings: &Surroundings<'_>, all: &mut Top<'_>, digest: Digest) -> Option<Config> {
    let top = &mut all.main;
    let workers = top.or("workers", surroundings.cores.get(), |value| value.count(1..=1_024));
    let max_connections =
        top.or("max_connections", most_connections(surroundings.descriptors), |value| value.count(1..=10_000_000));
    let half = max_connections.as_ref().map_or(1, |most| most.value.div_ceil(2));
    let max_connections_per_client = top.or("max_connections_per_client", half, |value| value.count(1..=10_000_000));
    let max_buffered = top.or("max_buffered", MAX_BUFFERED, |value| {
        Some(usize::try_from(value.size(0..=1 << 40)?).unwrap_or(usize::MAX))
    });
    let drain_timeout = top.or("drain_timeout", Duration::from_secs(30), |value| {
        value.duration(Duration::ZERO..=*units::TIMEOUT.end()) // zero: what still runs is cut at once
    });
    let confirm = top.or("confirm", Duration::from_secs(30), |value| {
        value.duration(Duration::ZERO..=CONFIRM_MAX) // zero: nothing is watched
    });
    let drain_streams = top.or("drain_streams", Duration::from_secs(600), |value| {
        value.duration(Duration::ZERO..=*units::TIMEOUT.end()) // zero: they are cut at once
    });
    let state_dir = top.or("state_dir", surroundings.state_dir.map(Path::to_owned), |value| {
        let path = value.text(Form::Directory, |text| (!text.is_empty()).then_some(text))?;
        Some(Some(PathBuf::from(path)))
    });
    let admin = top.nested("admin", |table| {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 9900));
        let address = table.or("address", local, |value| value.text(Form::Address, forms::address));
        let token = table.optional("token_file", |value| token::read(surroundings, value));
        Some((address?, token?.value))
    });
    let admin_address = admin.as_ref().map(|(address, _)| address.value);
    let trusted = proxies::read(top);
    let pairs = Pairs::new(surroundings);
    let listeners = listener::read(report, &pairs, all, admin_address, trusted.as_ref());
    let backends = backend::read(report, &pairs, all);
    let sites = sites(report, surroundings, all, &backends);

    let (sites, (admin_address, token)) = (sites?, admin?);
    Some(Config {
        digest,
        workers: NonZeroUsize::new(workers?.value).expect("at least 1"),
        max_connections: max_connections?.value,
        max_connections_per_client: max_connections_per_client?.value,
        max_buffered: max_buffered?.value,
        drain_timeout: drain_timeout?.value,
        confirm: confirm?.value,
        drain_streams: drain_streams?.value,
        state_dir: state_dir?.value,
        admin: Admin { address: admin_address.value, token },
        listeners: listeners?,
        certificates: pairs.into_certificates(),
        backends: probe_hosts(backends.all?, &sites),
        sites: Sites::new(sites),
    })
}

/// The words for what is done over upgraded connections.
const UPGRADES: [(&str, Upgrades); 2] = [("write", Upgrades::Write), ("read", Upgrades::Read)];

/// All sites, and that no two are for the same hosts and path.
fn sites(
    report: &Report,
    surroundings: &Surroundings<'_>,
    top: &mut Top<'_>,
    backends: &Backends,
) -> Option<Vec<Site>> {
    let Backends { names, all } = backends;
    let known: Arc<[Name]> = names.as_deref().unwrap_or_default().into();
    let mut places = HashMap::with_capacity(known.len());
    for (place, name) in known.iter().enumerate() {
        places.entry(name.clone()).or_insert(place);
    }
    // Of a backend that could not be read nobody will ask.
    let rescue = |place: usize| all.as_ref().map_or_else(Rescue::default, |all| all[place].rescue);
    let mut routes = Seen::new(report);
    let mut files = PageFiles::new(surroundings);
    let read = top.each("site", "[[site]]", |table| {
        let path = table.or("path", "/", |value| value.text(Form::PathPrefix, forms::path_prefix));
        let hosts = table.required("hosts", "hosts = [\"www.example.org\"]", |value| {
            let hosts = value.list("hosts = [\"www.example.org\"]", |item| {
                let host = item.text(Form::HostPattern, forms::host_pattern)?;
                if let Some(Field { value: path, .. }) = &path {
                    let name = if *path == "/" { host.to_string() } else { format!("{host}{path}") };
                    let what = |first| What::Duplicate { thing: "site", name, first };
                    routes.check((host.clone(), path.to_string()), item.at(), what);
                }
                Some(host)
            });
            hosts?.into_iter().collect::<Option<Vec<_>>>()
        });
        let backend = table.required("backend", "backend = \"sites\", the name of a [[backend]]", |value| {
            let name = value.string(Form::Text)?;
            let place = places.get(name).copied();
            if place.is_none() && names.as_ref().is_some_and(|names| !names.is_empty()) {
                value.note(What::UnknownBackend { name: name.to_owned(), known: Arc::clone(&known) });
            }
            place
        });
        let max_body = table.optional("max_body", |value| value.size(0..=u64::MAX));
        let max_requests = table.optional("max_requests", |value| value.count(1..=10_000_000));
        let upgrades = table.or("upgrades", Upgrades::default(), |value| value.choice(&UPGRADES));
        let otherwise = backend.as_ref().map_or_else(Rescue::default, |backend| rescue(backend.value));
        let rescue = rescue::read(table, otherwise);
        let error_page = table.optional("error_page", |value| files.page(value));
        let read_only_page = table.optional("read_only_page", |value| files.page(value));
        Some(Site {
            place: 0,
            hosts: hosts?.value,
            path: path?.value.into(),
            backend: backend?.value,
            max_body: max_body?.value,
            max_requests: max_requests?.value,
            upgrades: upgrades?.value,
            rescue: rescue?,
            pages: Pages { error: error_page?.value, read_only: read_only_page?.value },
        })
    })?;
    if !read.is_empty() {
        return read.into_iter().collect();
    }
    if known.len() > 1 && top.extent == Extent::Whole {
        report.add(None, What::NoSite { backends: known.len() });
    }
    let rescue = if known.is_empty() { Rescue::default() } else { rescue(0) };
    let (hosts, upgrades, pages) = (vec!["*".into()], Upgrades::default(), Pages::default());
    let (max_body, max_requests) = (None, None);
    let path = "/".into();
    Some(vec![Site { place: 0, hosts, path, backend: 0, max_body, max_requests, upgrades, rescue, pages }])
}

/// Probes that were told no host ask for the first exact host of their backend's first site.
fn probe_hosts(mut backends: Vec<Backend>, sites: &[Site]) -> Vec<Arc<Backend>> {
    let mut first: Vec<Option<&Site>> = vec![None; backends.len()];
    for site in sites {
        if let Some(first) = first.get_mut(site.backend) {
            first.get_or_insert(site);
        }
    }
    for (backend, first) in backends.iter_mut().zip(first) {
        let exact = first.and_then(|site| site.hosts.iter().find(|host| !host.starts_with('*')));
        backend.probe.default_host(exact.map(|host| Name::from(&**host)));
    }
    backends.into_iter().map(Arc::new).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ProbeKind;
    use super::*;
    use std::io::ErrorKind;

    const LISTENER: &str = "[[listener]]\naddress = '[::]:80'\n";
    const BACKEND: &str = "[[backend]]\nname = 'sites'\nprimary = { name = 'here', endpoints = ['10.1.0.11:8080'] }\n";

    fn config(text: &str) -> Config {
        let files = |_: &Path| Err(ErrorKind::NotFound.into());
        let resolve = |_: &str| Ok(IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)));
        let secrets = |_: &Path| Err(ErrorKind::NotFound.into());
        let cores = NonZeroUsize::MIN;
        let surroundings = Surroundings {
            files: &files,
            directories: &no_directories,
            in_force: None,
            secrets: &secrets,
            include: &|_| Ok(Vec::new()),
            state_dir: None,
            resolve: &resolve,
            roots: &Vec::new,
            cores,
            descriptors: 1_024,
        };
        parse_in("test.toml", text, &surroundings).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn probe_host(text: &str) -> Option<String> {
        match &config(&format!("{LISTENER}{BACKEND}{text}")).backends[0].probe.kind {
            ProbeKind::Page(http) | ProbeKind::Http(http) | ProbeKind::Https(http) => {
                http.host.as_ref().map(ToString::to_string)
            }
            ProbeKind::Grpc(grpc) => grpc.host.as_ref().map(ToString::to_string),
            ProbeKind::Tcp => None,
        }
    }

    #[test]
    fn with_one_backend_every_host_goes_there() {
        let config = config(&format!("{LISTENER}{BACKEND}"));
        let super::super::sites::Found::Site(site) = config.sites.find("whatever.example.org", "/a") else { panic!() };
        assert_eq!((site.backend, site.max_body, site.upgrades), (0, None, Upgrades::Write));
    }

    #[test]
    fn what_is_done_over_upgraded_connections_is_each_sites_own() {
        let site = |host, keys| format!("[[site]]\nhosts = ['{host}']\nbackend = 'sites'\n{keys}\n");
        let sites = [site("a", "upgrades = 'read'"), site("b", "upgrades = 'write'"), site("c", "")].concat();
        let config = config(&format!("{LISTENER}{BACKEND}{sites}"));
        for (host, expected) in [("a", Upgrades::Read), ("b", Upgrades::Write), ("c", Upgrades::Write)] {
            let super::super::sites::Found::Site(site) = config.sites.find(host, "/") else { panic!("{host}") };
            assert_eq!(site.upgrades, expected, "{host}");
        }
    }

    #[test]
    fn probes_ask_for_their_host_else_the_first_exact_one_of_the_first_site_else_none() {
        let site = |hosts| format!("[[site]]\nhosts = {hosts}\nbackend = 'sites'\n");
        assert_eq!(probe_host(""), None);
        assert_eq!(
            probe_host(&site("['*.example.org', 'www.example.org', 'example.org']")).unwrap(),
            "www.example.org"
        );
        assert_eq!(probe_host(&(site("['*']") + &site("['example.org']"))), None);
        assert_eq!(probe_host(&("probe.host = 'x:81'\n".to_owned() + &site("['example.org']"))).unwrap(), "x:81");
    }

    #[test]
    fn the_v6_wildcard_takes_v4_too_unless_the_v4_wildcard_is_listed_with_that_port() {
        let only_v6 = |more: &str| config(&format!("{LISTENER}{more}{BACKEND}")).listeners[0].only_v6;
        assert!(!only_v6(""));
        assert!(!only_v6("[[listener]]\naddress = '0.0.0.0:81'\n"));
        assert!(only_v6("[[listener]]\naddress = '0.0.0.0:80'\n"));
    }

    #[test]
    fn host_names_are_resolved_and_keep_their_name() {
        let config = config(&format!("{LISTENER}{}", BACKEND.replace("10.1.0.11", "Web1.internal")));
        let endpoint = &config.backends[0].pools[0].endpoints[0];
        assert_eq!(&*endpoint.name, "Web1.internal:8080");
        assert_eq!(endpoint.way.address.to_string(), "10.9.0.1:8080");
    }

    #[test]
    fn pools_may_be_any_number_in_the_order_of_the_list() {
        let pool = |name, last| format!("{{ name = '{name}', endpoints = ['10.0.0.{last}:80'] }}");
        let pools = format!("pools = [{}, {}, {}]", pool("c", 1), pool("a", 2), pool("b", 3));
        let config = config(&format!("{LISTENER}[[backend]]\nname = 'sites'\n{pools}\n"));
        let names: Vec<_> = config.backends[0].pools.iter().map(|pool| &*pool.name).collect();
        assert_eq!(names, ["c", "a", "b"]);
    }

    #[test]
    fn who_probes_more_often_needs_no_other_key_for_it() {
        let probe = config(&format!("{LISTENER}{BACKEND}probe.interval = '100ms'\n")).backends[0].probe.clone();
        assert_eq!((probe.timeout, probe.fast_interval), (Duration::from_millis(100), Duration::from_millis(100)));
    }
}
