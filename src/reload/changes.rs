//! What is different between two configs: for people, and for whoever watches what follows from it.
//!
//! Everything is known by its name: what was renamed was removed and added.
//!
//! Not here: whether a change is a good one (`guard`).

use crate::admin::reloads::{Changed, How};
use crate::config::certificate::Certificate;
use crate::config::sites::Site;
use crate::config::{Backend, Config, Endpoint, Listener, Pool};
use crate::domain::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Changes {
    /// Kind by kind: settings, listeners, certificates, backends with their pools and endpoints, sites.
    pub all: Vec<Changed>,
    /// Of the new config's sites, in their order: whether the site, or its backend, is another than before.
    pub sites: Vec<bool>,
}

/// Two of one name.
type Pair<'a, T> = (Option<&'a T>, Option<&'a T>);

impl Changes {
    pub fn between(before: &Config, after: &Config) -> Changes {
        let mut found = Found(Vec::new());
        found.settings(before, after);
        found.each("listener", listeners(before), listeners(after), same_listener);
        found.certificates(before, after);
        let backends = found.backends(before, after);
        found.each("site", sites(before), sites(after), |one, other| same_site(before, one, after, other));
        let earlier = sites(before);
        let is_other = |site: &Arc<Site>| {
            let backend = &after.backends[site.backend].name;
            let same = |earlier: &&Site| same_site(before, earlier, after, site);
            backends.contains(backend) || !earlier.get(&site.name()).is_some_and(same)
        };
        Changes { sites: after.sites.all().iter().map(is_other).collect(), all: found.0 }
    }
}

struct Found(Vec<Changed>);

impl Found {
    fn add(&mut self, how: How, what: &'static str, name: String) {
        self.0.push(Changed { how, what: what.into(), name });
    }

    fn each<T>(
        &mut self,
        what: &'static str,
        before: BTreeMap<String, &T>,
        after: BTreeMap<String, &T>,
        same: impl Fn(&T, &T) -> bool,
    ) {
        for (name, pair) in pairs(&before, &after) {
            match pair {
                (None, Some(_)) => self.add(How::Added, what, name.clone()),
                (Some(_), None) => self.add(How::Removed, what, name.clone()),
                (Some(one), Some(other)) if !same(one, other) => self.add(How::Changed, what, name.clone()),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
    }

    fn settings(&mut self, before: &Config, after: &Config) {
        let Config {
            digest: _,
            workers,
            max_connections,
            max_connections_per_client,
            max_buffered,
            drain_timeout,
            drain_streams,
            confirm,
            state_dir,
            admin,
            listeners: _,
            certificates: _,
            sites: _,
            backends: _,
        } = before;
        for (name, same) in [
            ("workers", *workers == after.workers),
            ("max_connections", *max_connections == after.max_connections),
            ("max_connections_per_client", *max_connections_per_client == after.max_connections_per_client),
            ("max_buffered", *max_buffered == after.max_buffered),
            ("drain_timeout", *drain_timeout == after.drain_timeout),
            ("drain_streams", *drain_streams == after.drain_streams),
            ("confirm", *confirm == after.confirm),
            ("state_dir", *state_dir == after.state_dir),
            ("admin", *admin == after.admin),
        ] {
            if !same {
                self.add(How::Changed, "setting", name.to_owned());
            }
        }
    }

    fn certificates(&mut self, before: &Config, after: &Config) {
        let (before, after) = (certificates(before), certificates(after));
        self.each("certificate", refs(&before), refs(&after), |one, other| one.key.cert == other.key.cert);
    }

    /// The names of those of which anything is another than before.
    fn backends(&mut self, before: &Config, after: &Config) -> BTreeSet<Name> {
        let mut changed = BTreeSet::new();
        let (before, after) = (backends(before), backends(after));
        for (name, pair) in pairs(&before, &after) {
            let told = self.0.len();
            match pair {
                (None, Some(_)) => self.add(How::Added, "backend", name.clone()),
                (Some(_), None) => self.add(How::Removed, "backend", name.clone()),
                (Some(one), Some(other)) if !same_rules(one, other) => {
                    self.add(How::Changed, "backend", name.clone());
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
            let (one, other) = pair;
            self.each("pool", pools(one), pools(other), same_pool);
            self.each("endpoint", endpoints(one), endpoints(other), |one, other| {
                one.way == other.way && one.probed == other.probed
            });
            if let (Some(other), true) = (pair.1, self.0.len() > told) {
                changed.insert(other.name.clone());
            }
        }
        changed
    }
}

/// Who is in either of them, in the order of their names.
fn pairs<'a, 't, T>(
    before: &'a BTreeMap<String, &'t T>,
    after: &'a BTreeMap<String, &'t T>,
) -> impl Iterator<Item = (&'a String, Pair<'t, T>)> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().map(|name| (name, (before.get(name).copied(), after.get(name).copied())))
}

fn listeners(config: &Config) -> BTreeMap<String, &Listener> {
    config.listeners.iter().map(|listener| (listener.address.to_string(), &**listener)).collect()
}

fn refs(certificates: &BTreeMap<String, Arc<Certificate>>) -> BTreeMap<String, &Certificate> {
    certificates.iter().map(|(file, certificate)| (file.clone(), &**certificate)).collect()
}

/// What is in use of each pair.
fn certificates(config: &Config) -> BTreeMap<String, Arc<Certificate>> {
    let all = config.certificates.all().iter().map(|pair| pair.certificate());
    all.map(|certificate| (certificate.file.to_string(), certificate)).collect()
}

fn backends(config: &Config) -> BTreeMap<String, &Backend> {
    config.backends.iter().map(|backend| (backend.name.to_string(), &**backend)).collect()
}

fn pools(backend: Option<&Backend>) -> BTreeMap<String, &Pool> {
    let of = |backend: &Backend, pool: &Pool| format!("{}/{}", backend.name, pool.name);
    let all = backend.into_iter().flat_map(|backend| backend.pools.iter().map(move |pool| (backend, pool)));
    all.map(|(backend, pool)| (of(backend, pool), pool)).collect()
}

fn endpoints(backend: Option<&Backend>) -> BTreeMap<String, &Endpoint> {
    let of = |pool: &str, endpoint: &Endpoint| format!("{pool}/{}", endpoint.name);
    let all = pools(backend).into_iter().flat_map(|(name, pool)| {
        pool.endpoints.iter().map(move |endpoint| (of(&name, endpoint), endpoint)).collect::<Vec<_>>()
    });
    all.collect()
}

fn sites(config: &Config) -> BTreeMap<String, &Site> {
    config.sites.all().iter().map(|site| (site.name(), &**site)).collect()
}

/// Apart from what its certificates hold, which are told of by themselves.
fn same_listener(one: &Listener, other: &Listener) -> bool {
    let same_tls = match (&one.tls, &other.tls) {
        (None, None) => true,
        (Some(one), Some(other)) => one.is_like(other),
        (None, Some(_)) | (Some(_), None) => false,
    };
    let Listener { address: _, mode, only_v6, tls: _, protocols, redirect, proxy_protocol, trusted, limits } = one;
    *mode == other.mode
        && *only_v6 == other.only_v6
        && same_tls
        && *protocols == other.protocols
        && *redirect == other.redirect
        && *proxy_protocol == other.proxy_protocol
        && *trusted == other.trusted
        && *limits == other.limits
}

/// Apart from its pools.
fn same_rules(one: &Backend, other: &Backend) -> bool {
    let Backend {
        name: _,
        pools: _,
        probe,
        rules,
        own_writes,
        write_wait,
        timeouts,
        rescue,
        proxy_protocol,
        forwarded,
    } = one;
    *probe == other.probe
        && *rules == other.rules
        && *own_writes == other.own_writes
        && *write_wait == other.write_wait
        && *timeouts == other.timeouts
        && *rescue == other.rescue
        && *proxy_protocol == other.proxy_protocol
        && *forwarded == other.forwarded
}

/// Apart from its endpoints.
fn same_pool(one: &Pool, other: &Pool) -> bool {
    let Pool { name: _, endpoints: _, writes, scheme } = one;
    *writes == other.writes && *scheme == other.scheme
}

/// Apart from their places, which count nothing.
fn same_site(before: &Config, one: &Site, after: &Config, other: &Site) -> bool {
    let Site { place: _, hosts, path, backend, max_body, max_requests, upgrades, rescue, pages } = one;
    *hosts == other.hosts
        && *path == other.path
        && before.backends[*backend].name == after.backends[other.backend].name
        && *max_body == other.max_body
        && *max_requests == other.max_requests
        && *upgrades == other.upgrades
        && *rescue == other.rescue
        && *pages == other.pages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn config(text: &str) -> Config {
        config::parse("test.toml", text, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
    }

    fn between(before: &str, after: &str) -> (Vec<String>, Vec<bool>) {
        let Changes { all, sites } = Changes::between(&config(before), &config(after));
        (all.iter().map(ToString::to_string).collect(), sites)
    }

    const BEFORE: &str = "drain_timeout = '10s'\n[[listener]]\naddress = '127.0.0.1:80'\n\
        [[backend]]\nname = 'a'\nprimary = { name = 'p', endpoints = ['10.0.0.1:80', '10.0.0.2:80'] }\n\
        [[backend]]\nname = 'b'\nprimary = { name = 'p', endpoints = ['10.0.0.3:80'] }\n\
        [[site]]\nhosts = ['x']\nbackend = 'a'\n[[site]]\nhosts = ['y']\nbackend = 'b'\n";

    #[test]
    fn what_stays_is_not_told_whatever_its_place_in_the_file() {
        assert_eq!(between(BEFORE, BEFORE), (vec![], vec![false, false]));
        let moved = "drain_timeout = '10s'\n[[listener]]\naddress = '127.0.0.1:80'\n\
            [[backend]]\nname = 'b'\nprimary = { name = 'p', endpoints = ['10.0.0.3:80'] }\n\
            [[backend]]\nname = 'a'\nprimary = { name = 'p', endpoints = ['10.0.0.2:80', '10.0.0.1:80'] }\n\
            [[site]]\nhosts = ['y']\nbackend = 'b'\n[[site]]\nhosts = ['x']\nbackend = 'a'\n";
        assert_eq!(between(BEFORE, moved), (vec![], vec![false, false]));
    }

    #[test]
    fn each_change_is_told_by_name_and_concerns_its_own_sites() {
        for (from, to, told, sites) in [
            ("10s", "20s", vec!["~ setting drain_timeout"], [false, false]),
            (":80'\n[", ":81'\n[", vec!["- listener 127.0.0.1:80", "+ listener 127.0.0.1:81"], [false, false]),
            ("10.0.0.2", "10.0.0.9", vec!["- endpoint a/p/10.0.0.2:80", "+ endpoint a/p/10.0.0.9:80"], [true, false]),
            ("name = 'b'\n", "name = 'b'\nprobe = { fall = 9 }\n", vec!["~ backend b"], [false, true]),
            // Probes ask for the first host of their backend's first site.
            ("'y'", "'z'", vec!["~ backend b", "- site y", "+ site z"], [false, true]),
            (
                "hosts = ['x']\nbackend = 'a'",
                "hosts = ['x']\nbackend = 'b'",
                vec!["~ backend a", "~ backend b", "~ site x"],
                [true, true],
            ),
            ("hosts = ['x']", "hosts = ['x', 'w']", vec!["~ site x"], [true, false]),
        ] {
            let after = BEFORE.replacen(from, to, 1);
            assert_ne!(after, BEFORE);
            assert_eq!(
                between(BEFORE, &after),
                (told.iter().map(ToString::to_string).collect(), sites.to_vec()),
                "{to}"
            );
        }
    }
}
