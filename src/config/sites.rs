//! Which site a request is for: by host (exact, then the longest wildcard, then `*`), then by the longest path prefix.

use super::pages::Pages;
use super::rescue::Rescue;
use std::collections::HashMap;
use std::sync::Arc;

/// No host of a site is longer, nor is any DNS name (RFC 1035, section 2.3.4).
const LONGEST_HOST: usize = 253;

/// One `[[site]]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Site {
    /// Its place in [`Sites::all`].
    pub place: usize,
    /// As written, in lower case: exact names, `*.example.org`, or `*`.
    pub hosts: Vec<Box<str>>,
    /// A prefix of the path, in whole segments, that begins with `/`; `/` is every path. No other ends with `/`.
    pub path: Box<str>,
    /// Its place in `Config::backends`.
    pub backend: usize,
    /// The largest request body in bytes; `None`: unlimited. Past it: 413.
    pub max_body: Option<u64>,
    /// Requests that may run at once, in all workers together; `None`: unlimited. Past it: 503.
    pub max_requests: Option<usize>,
    pub upgrades: Upgrades,
    pub rescue: Rescue,
    pub pages: Pages,
}

impl Site {
    /// What it is called in metrics, and known by over a reload: its first host, and its path where that is not `/`. No two have one name.
    pub fn name(&self) -> String {
        let host = self.hosts.first().map_or("", |host| &**host);
        if &*self.path == "/" { host.to_owned() } else { format!("{host}{}", self.path) }
    }
}

/// What clients do over connections that stop being HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrades {
    /// Nobody knows what they write: asking for one is a write.
    #[default]
    Write,
    /// They listen, and change nothing: asking for one is a read.
    Read,
}

/// The compiled table.
#[derive(Debug, Default)]
pub struct Sites {
    /// In the order of the file.
    all: Vec<Arc<Site>>,
    exact: HashMap<Box<str>, Paths>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Paths>,
    any: Paths,
}

/// The sites of one host, longest path first.
type Paths = Vec<Arc<Site>>;

/// What the table says of a host and a path.
#[derive(Debug)]
pub enum Found<'a> {
    Site(&'a Arc<Site>),
    /// The host is known, but no site of it covers the path.
    UnknownPath,
    UnknownHost,
}

impl Sites {
    /// Compiles the table. Of two sites with the same host and path the first is found; `parse` lets none through.
    pub fn new(sites: impl IntoIterator<Item = Site>) -> Sites {
        let mut table = Sites::default();
        for (place, site) in sites.into_iter().enumerate() {
            let site = Arc::new(Site { place, ..site });
            for host in &site.hosts {
                let paths = match (host.strip_prefix("*."), host.as_ref()) {
                    (Some(above), _) => table.wildcard.entry(above.into()).or_default(),
                    (None, "*") => &mut table.any,
                    (None, exact) => table.exact.entry(exact.into()).or_default(),
                };
                paths.push(Arc::clone(&site));
            }
            table.all.push(site);
        }
        let Sites { all: _, exact, wildcard, any } = &mut table;
        for paths in exact.values_mut().chain(wildcard.values_mut()).chain([any]) {
            paths.sort_by_key(|site| std::cmp::Reverse(site.path.len())); // stable: the first stays first
        }
        table
    }

    /// Every site, in the order of the file.
    pub fn all(&self) -> &[Arc<Site>] {
        &self.all
    }

    /// The site for a host (lower case, without port or trailing dot) and a normalised path. Does not allocate.
    ///
    /// The host decides first, as in nginx: a host that has sites of its own is not served from a wildcard's, even
    /// where none of its paths fits.
    pub fn find(&self, host: &str, path: &str) -> Found<'_> {
        let Some(paths) = self.paths(host) else { return Found::UnknownHost };
        match paths.iter().find(|site| covers(&site.path, path)) {
            Some(site) => Found::Site(site),
            None => Found::UnknownPath,
        }
    }

    fn paths(&self, host: &str) -> Option<&Paths> {
        // The bound comes first: looking up what follows each dot costs the square of the host's length.
        let named = (host.len() <= LONGEST_HOST).then(|| self.exact.get(host).or_else(|| self.below(host))).flatten();
        named.or((!self.any.is_empty()).then_some(&self.any))
    }

    /// The longest wildcard that a host falls under: any number of labels may stand for the `*`, at least one.
    fn below(&self, host: &str) -> Option<&Paths> {
        let mut above = host;
        while let Some((_, rest)) = above.split_once('.') {
            if let Some(paths) = self.wildcard.get(rest) {
                return Some(paths);
            }
            above = rest;
        }
        None
    }
}

/// Whether `path` is `prefix` or below it.
fn covers(prefix: &str, path: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    prefix == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn site(hosts: &[&str], path: &str, backend: usize) -> Site {
        let hosts = hosts.iter().map(|host| (*host).into()).collect();
        let (upgrades, rescue, pages) = Default::default();
        let (max_body, max_requests) = (None, None);
        Site { place: 0, hosts, path: path.into(), backend, max_body, max_requests, upgrades, rescue, pages }
    }

    fn backend(sites: &Sites, host: &str, path: &str) -> Result<usize, &'static str> {
        match sites.find(host, path) {
            Found::Site(site) => Ok(site.backend),
            Found::UnknownPath => Err("path"),
            Found::UnknownHost => Err("host"),
        }
    }

    #[test]
    fn an_exact_host_wins_over_wildcards_the_longest_wildcard_over_shorter_ones_and_any_comes_last() {
        let sites = Sites::new([
            site(&["*"], "/", 0),
            site(&["*.org"], "/", 1),
            site(&["*.example.org"], "/", 2),
            site(&["www.example.org"], "/", 3),
        ]);
        for (host, expected) in [
            ("www.example.org", 3),
            ("a.example.org", 2),
            ("a.b.example.org", 2),
            (".example.org", 2),
            ("example.org", 1),
            ("org", 0),
            ("", 0),
            ("..", 0),
            ("example.com", 0),
        ] {
            assert_eq!(backend(&sites, host, "/"), Ok(expected), "{host}");
        }
    }

    #[test]
    fn the_longest_path_in_whole_segments_wins() {
        let sites = Sites::new([site(&["a"], "/", 0), site(&["a"], "/photos/new", 2), site(&["a"], "/photos", 1)]);
        for (path, expected) in [
            ("/", 0),
            ("/photo", 0),
            ("/photosets", 0),
            ("/photos", 1),
            ("/photos/", 1),
            ("/photos/newer", 1),
            ("/photos/new/1", 2),
            ("*", 0),
        ] {
            assert_eq!(backend(&sites, "a", path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn the_host_decides_before_the_path() {
        let sites = Sites::new([site(&["*"], "/", 0), site(&["a", "*.b"], "/photos", 1)]);
        assert_eq!(backend(&sites, "a", "/other"), Err("path"));
        assert_eq!(backend(&sites, "x.b", "/other"), Err("path"));
        assert_eq!(backend(&sites, "c", "/other"), Ok(0));
        assert_eq!(backend(&Sites::new([site(&["a"], "/", 0)]), "c", "/"), Err("host"));
    }

    #[test]
    fn a_host_made_to_cost_much_is_not_looked_up() {
        let sites = Sites::new([site(&["*.example.org"], "/", 0)]);
        assert_eq!(backend(&sites, &format!("{}example.org", ".".repeat(1_000_000)), "/"), Err("host"));
    }

    proptest! {
        #[test]
        fn look_up_agrees_with_the_rule_said_plainly(
            table in proptest::collection::vec(("(\\*|(\\*\\.)?[ab](\\.[ab]){0,2})", "(/|(/[ab]){1,3})"), 1..8),
            host in "[ab](\\.[ab]){0,3}",
            path in "/|(/[ab]{1,2}){1,4}",
        ) {
            let sites = Sites::new(table.iter().enumerate().map(|(place, (host, path))| site(&[host], path, place)));
            // How well a host pattern fits: exact best, then the longer wildcard, then `*`.
            let fit = |pattern: &str| match pattern.strip_prefix('*') {
                None => (pattern == host).then_some(usize::MAX),
                Some("") => Some(0),
                Some(tail) => (host.len() > tail.len() && host.ends_with(tail)).then_some(tail.len()),
            };
            let best = table.iter().filter_map(|(pattern, _)| fit(pattern)).max();
            let expected = best.map_or(Err("host"), |best| {
                let of_host = table.iter().enumerate().filter(|(_, (pattern, _))| fit(pattern) == Some(best));
                of_host
                    .filter(|(_, (_, prefix))| *prefix == "/" || format!("{path}/").starts_with(&format!("{prefix}/")))
                    .max_by_key(|(place, (_, prefix))| (prefix.len(), std::cmp::Reverse(*place)))
                    .map_or(Err("path"), |(place, _)| Ok(place))
            });
            prop_assert_eq!(backend(&sites, &host, &path), expected);
        }
    }
}
