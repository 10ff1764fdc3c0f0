//! Which site a request is for: by host (exact, then the longest wildcard, then `*`), then by the longest path prefix.

use std::collections::HashMap;
use std::sync::Arc;

/// One `[[site]]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Site {
    /// As written: exact names, `*.example.org`, or `*`.
    pub hosts: Vec<Box<str>>,
    /// A prefix of the path, in whole segments, that begins with `/`; `/` is every path.
    pub path: Box<str>,
    /// Its place in `Config::backends`.
    pub backend: usize,
    /// The largest request body in bytes; `None`: unlimited. Past it: 413.
    pub max_body: Option<u64>,
}

/// The compiled table.
#[derive(Debug, Default)]
pub struct Sites {
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
    /// The site for a host (lower case, without port or trailing dot) and a normalised path.
    pub fn find(&self, host: &str, path: &str) -> Found<'_> {
        let _ = (host, path, &self.exact, &self.wildcard, &self.any);
        todo!()
    }
}
