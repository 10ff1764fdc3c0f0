//! Pairs of certificate and key as a config names them: one by one, or all in a directory. Each is loaded once, however often it is named.
//!
//! Not here: which certificate of a pair is used when its files have become worse (`pairs`).

use super::Surroundings;
use super::pairs::{Certificates, InForce, Pair, PairName, judge};
use super::problem::{Form, What};
use super::table::{Table, Value};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Of one directory. With their chains and names that many take some 150 MiB.
const MOST: usize = 20_000;

/// The pairs that a config names, as far as it has been read.
pub(super) struct Pairs<'a> {
    pub(super) surroundings: &'a Surroundings<'a>,
    loaded: RefCell<HashMap<PairName, Loaded>>,
}

/// A pair, or all that is wrong with its files.
type Loaded = Result<Arc<Pair>, Vec<What>>;

impl<'a> Pairs<'a> {
    pub(super) fn new(surroundings: &'a Surroundings<'a>) -> Pairs<'a> {
        Pairs { surroundings, loaded: RefCell::default() }
    }

    /// Those that could be loaded.
    pub(super) fn into_certificates(self) -> Certificates {
        Certificates::new(self.loaded.into_inner().into_values().flatten().collect())
    }

    /// The pair of `cert` and `key` of a table.
    pub(super) fn of_table(&self, table: &mut Table<'_>) -> Option<Arc<Pair>> {
        let name =
            |value: &Value<'_>| value.text(Form::FileName, |text| (!text.is_empty()).then(|| Box::<str>::from(text)));
        let cert = table.required("cert", "cert = \"certs/site.pem\"", name);
        let key = table.required("key", "key = \"certs/site.key\"", name);
        let (cert, key) = (cert?, key?);
        let name = PairName { cert: cert.value.clone(), key: key.value.clone() };
        self.load(&name)
            .map_err(|wrong| {
                for what in wrong {
                    let at = if name.is_about_the_key(&what) { &key } else { &cert };
                    table.note_at(at, what);
                }
            })
            .ok()
    }

    /// All pairs in the directory that `value` names, by their names: `NAME.pem` or `NAME.crt` with `NAME.key`, or with the key in
    /// the same file. Nothing else in it is looked at.
    pub(super) fn of_directory(&self, value: &Value<'_>) -> Option<Vec<Arc<Pair>>> {
        let directory = value.text(Form::Directory, |text| (!text.is_empty()).then_some(text))?;
        let files: BTreeSet<String> = match (self.surroundings.directories)(Path::new(directory)) {
            Ok(files) => files.into_iter().collect(),
            Err(error) => {
                value.note(What::Unreadable { file: directory.to_owned(), error: error.to_string() });
                return None;
            }
        };
        let certificates: Vec<_> = files.iter().filter_map(|file| Some((&**file, stem(file)?))).collect();
        if certificates.is_empty() || certificates.len() > MOST {
            let (directory, count) = (directory.to_owned(), certificates.len());
            value.note(match count {
                0 => What::NoPair { directory },
                count => What::TooManyPairs { directory, count, most: MOST },
            });
            return None;
        }
        let path = |file: &str| format!("{}/{file}", directory.trim_end_matches('/')).into_boxed_str();
        let pairs = certificates.into_iter().map(|(cert, stem)| {
            let key = format!("{stem}.key");
            let name = PairName { cert: path(cert), key: path(&key) };
            // One that was there before and has gone since is missed like any other file.
            let loaded = match files.contains(&key)
                || self.in_force().is_some_and(|now| now.certificates.get(&name).is_some())
            {
                true => self.load(&name),
                false => self.load(&PairName { key: name.cert.clone(), ..name.clone() }).map_err(|wrong| {
                    let beside = |what| match what {
                        What::NoKey { .. } => {
                            What::NoKeyBeside { cert: name.cert.to_string(), key: name.key.to_string() }
                        }
                        other => other, // as it is: it is about the file
                    };
                    wrong.into_iter().map(beside).collect()
                }),
            };
            loaded.map_err(|wrong| wrong.into_iter().for_each(|what| value.note(what))).ok()
        });
        let pairs: Vec<_> = pairs.collect(); // all of them, so that all problems are found
        pairs.into_iter().collect()
    }

    fn in_force(&self) -> Option<InForce<'a>> {
        self.surroundings.in_force
    }

    fn load(&self, name: &PairName) -> Loaded {
        if let Some(known) = self.loaded.borrow().get(name) {
            return known.clone();
        }
        let before = self.in_force().and_then(|now| Some((now.certificates.get(name)?.in_use(), now.now)));
        let before = before.as_ref().map(|(in_use, now)| (&**in_use, *now));
        let judged = judge(name, &|file| (self.surroundings.files)(Path::new(file)), before);
        let loaded = judged.map(|in_use| Pair::new(name.clone(), in_use));
        self.loaded.borrow_mut().insert(name.clone(), loaded.clone());
        loaded
    }
}

/// The name of a file that holds a certificate, without its ending.
fn stem(file: &str) -> Option<&str> {
    let stem = file.strip_suffix(".pem").or_else(|| file.strip_suffix(".crt"))?;
    (!stem.is_empty() && !file.starts_with('.')).then_some(stem)
}
