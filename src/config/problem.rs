//! What can be wrong with a config: facts, each with its place. All of them together are [`Problems`].
//!
//! Not here: how they are put to people (`message`, `render`), how they are found (`table`, `parse`, `certificate`).

use super::render;
use super::schema::{Recorder, Step};
use crate::domain::Name;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{error, fmt};

/// A range of bytes in the config's files, laid end to end: each file's begin at its [`Source::start`].
pub type Place = Range<usize>;

/// Everything that is wrong with a config, in the order of its files and within them. Never empty.
#[derive(Debug)]
pub struct Problems {
    /// The main file, then those it includes, by their starts.
    pub(super) sources: Vec<Source>,
    pub(super) all: Vec<Problem>,
    /// Problems past [`KEPT`], of which only the number is known.
    pub(super) more: usize,
}

/// How many problems are kept: the rest of a config that has more will be seen when these are mended.
const KEPT: usize = 10_000;

/// One file of a config.
#[derive(Debug)]
pub(super) struct Source {
    /// What it is called in problems.
    pub(super) name: String,
    /// Empty where it could not be read.
    pub(super) text: String,
    /// Where its bytes begin among those of all files.
    pub(super) start: usize,
}

impl Source {
    pub(super) fn main(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), text: text.to_owned(), start: 0 }
    }

    /// Where the next file's bytes begin: no place is in both.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len() + 1
    }

    /// The file as a whole.
    pub(super) fn whole(&self) -> Place {
        self.start..self.start
    }

    /// The same place as bytes of its text.
    pub(super) fn within(&self, place: &Place) -> Place {
        place.start - self.start..place.end - self.start
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    pub what: What,
    /// `None`: it concerns the config as a whole.
    pub at: Option<Place>,
}

/// Whether text may carry terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    Plain,
    Styled,
}

/// The fact, with what was expected beside what was found. The words for each are in `message`.
#[derive(Clone, Debug)]
pub enum What {
    /// A file of the config itself can't be read, or is no text.
    File(FileTrouble),
    /// Files that are to be included and can't be.
    Include {
        pattern: String,
        trouble: IncludeTrouble,
    },
    /// A key in an included file that only the main one may have.
    NotHere {
        key: String,
    },
    /// Not TOML; the parser's own words.
    Syntax {
        message: String,
    },

    /// A key that no table of that kind has.
    UnknownKey {
        key: String,
        table: String,
        known: Arc<[&'static str]>,
    },
    /// A key that must be there is not; `example` is a line that would do.
    Missing {
        key: &'static str,
        table: String,
        example: &'static str,
    },
    /// Another type of value.
    WrongType {
        key: Key,
        expected: Form,
        found: Found,
    },
    /// The right type, but not of the expected form.
    Malformed {
        key: Key,
        expected: Form,
        text: String,
    },
    /// Understood, but too small or too large.
    OutOfRange {
        key: Key,
        least: String,
        most: String,
    },
    /// Not among a few fixed words.
    NotOneOf {
        key: Key,
        text: String,
        choices: Vec<&'static str>,
    },
    /// A list with nothing in it.
    Empty {
        key: Key,
        example: &'static str,
    },

    /// Two of a kind with one name. `first` is where the other one is.
    Duplicate {
        thing: &'static str,
        name: String,
        first: Place,
    },
    /// A site names a backend that is not there.
    UnknownBackend {
        name: String,
        known: Arc<[Name]>,
    },
    /// One endpoint in two pools of a backend: when it fails, both fail.
    EndpointInTwoPools {
        endpoint: String,
        first: Place,
    },
    /// A host without a port.
    NoPort {
        text: String,
    },
    /// The system's resolver has no address for the host.
    Unresolved {
        host: String,
        error: String,
    },
    TooManyEndpoints {
        count: usize,
    },

    NoListener,
    NoBackend,
    /// Several backends, and nothing says which of them is for whom.
    NoSite {
        backends: usize,
    },
    /// A backend with neither `primary` nor `pools`.
    NoPool,
    /// A backend with `pools` and `primary` or `secondary`.
    PoolsTwice,
    SecondaryAlone,
    RedirectWithTls,
    /// A listener's key for TLS where there is none.
    NoTlsHere {
        key: &'static str,
    },
    /// A listener that requires PROXY headers, and no proxy is trusted.
    NobodyTrusted,
    /// The same on a Unix socket.
    UnixUntrusted,
    /// `mode` of a listener that has no file.
    ModeOfTcp,
    TooManyNetworks {
        count: usize,
        most: usize,
    },
    /// A listener where metrics and status are served.
    AdminAddress {
        address: String,
    },

    ProbeTimeout {
        timeout: Duration,
        interval: Duration,
    },
    FastInterval {
        fast: Duration,
        interval: Duration,
    },
    /// A key of `probe` that means nothing to probes of that kind.
    NotForKind {
        key: &'static str,
        kind: &'static str,
        kinds: Vec<&'static str>,
    },
    /// A method that may change something.
    ProbeMethod {
        method: String,
    },
    /// A response to HEAD has no body to look into.
    BodyOfHead,
    /// A header that the probe sends itself.
    HeaderOfOurs {
        name: String,
    },
    /// Two headers whose names differ in capital letters alone.
    HeaderTwice {
        name: String,
    },
    TooManyHeaders {
        count: usize,
        most: usize,
    },
    /// `probe.host`, where it is also the name that a certificate must be for.
    NotATlsName {
        name: String,
    },
    /// A pool's key for TLS where nothing is sent over TLS.
    NoTlsThere {
        key: &'static str,
    },
    /// Probes that speak without TLS to the port that traffic reaches over TLS.
    PlainProbe {
        kind: &'static str,
    },
    /// A PROXY header before connections of HTTP/2.
    IntroducedHttp2 {
        pool: String,
    },
    /// `probe.port`, and an endpoint that has no ports.
    PortOfUnix {
        endpoint: String,
    },
    /// A Unix socket over TLS: nothing says whom its certificate must be for.
    NamelessUnix {
        endpoint: String,
    },
    /// This machine has no roots, and the pool has no `ca_file`.
    NoRoots,
    StableFor {
        stable_for: Duration,
        fall: u32,
        interval: Duration,
    },
    /// A planned move could wait for running writes for longer than new ones are made to wait.
    WriteDrain {
        drain: Duration,
        wait: Duration,
    },
    /// `after_writes = "in-sync"`, and nobody says how far a pool is behind.
    InSyncWithoutLag,
    /// `writes_after` at a pool that refuses writes.
    WritesAfterRefuse,
    TotalTimeout {
        total: Duration,
        connect: Duration,
    },

    /// The file of a certificate, a key, a token or a page can't be read.
    Unreadable {
        file: String,
        error: String,
    },
    /// No certificate in the file that should hold one.
    NoCertificate {
        file: String,
        instead: Instead,
    },
    /// No certificate in a file of authorities.
    NoAuthority {
        file: String,
        instead: Instead,
    },
    BadCertificate {
        file: String,
        error: String,
    },
    /// No key in the file that should hold one.
    NoKey {
        file: String,
        instead: Instead,
    },
    /// A certificate in a directory of pairs, and its key is not there.
    NoKeyBeside {
        cert: String,
        key: String,
    },
    /// No certificate in a directory of pairs.
    NoPair {
        directory: String,
    },
    TooManyPairs {
        directory: String,
        count: usize,
        most: usize,
    },
    EncryptedKey {
        file: String,
    },
    BadKey {
        file: String,
        error: String,
    },
    /// A token's file holds none that would do.
    Token {
        file: String,
        trouble: TokenTrouble,
    },
    /// The key is another certificate's.
    KeyMismatch {
        cert: String,
        key: String,
    },
    /// What is in a page's file can't be sent as one.
    Page {
        file: String,
        trouble: PageTrouble,
    },
}

/// Why the file itself can't be had.
#[derive(Clone, Debug)]
pub enum FileTrouble {
    NotThere,
    Directory,
    NoPermission,
    TooLarge {
        limit: u64,
    },
    NotUtf8 {
        line: usize,
    },
    /// Anything else; the system's own words.
    Other(String),
}

/// Why the files of an `include` can't be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncludeTrouble {
    /// No file of that very name.
    NotThere,
    /// Not even the directory that they should be in.
    NoDirectory {
        directory: String,
    },
    /// Not how a pattern is written; the reason in another's words.
    BadPattern {
        error: String,
    },
    /// A directory can't be looked through.
    Unreadable {
        error: String,
    },
    TooMany {
        most: usize,
    },
    /// All files together.
    TooLarge {
        most: usize,
    },
}

/// Why what is in a token's file is not taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTrouble {
    /// Others than its owner may read or change it.
    OpenToOthers {
        mode: u32,
    },
    Short {
        length: usize,
        least: usize,
    },
    Long {
        length: usize,
        most: usize,
    },
    /// Blanks, line ends, or what no header can carry.
    NotOneWord,
}

/// Why what is in a page's file is not sent to anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageTrouble {
    Empty,
    TooLarge { most: usize },
    NotUtf8 { line: usize },
}

/// What a PEM file holds instead of what it should.
#[derive(Clone, Copy, Debug)]
pub enum Instead {
    Nothing,
    /// A certificate where a key should be, or the other way round.
    TheOther,
    /// Something that is not PEM, or neither of the two.
    SomethingElse,
}

/// A key as it is called in messages: `probe.interval`, `workers`.
#[derive(Clone, Debug)]
pub struct Key {
    pub path: String,
    /// Whether it is about one item of the list that stands there.
    pub item: bool,
}

/// What a value should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Count,
    Flag,
    List,
    Table,
    /// A list of tables: `[[listener]]`, or `tls = [{ … }]`.
    Tables,
    Duration,
    Size,
    Percent,
    Name,
    Address,
    Listener,
    Mode,
    Network,
    Endpoint,
    HostPattern,
    PathPrefix,
    ProbePath,
    ProbeHost,
    Statuses,
    HeaderName,
    HeaderValue,
    BodyText,
    GrpcService,
    TlsName,
    Redirect,
    FileName,
    Directory,
    Pattern,
}

/// What stands there in place of the expected type.
#[derive(Clone, Debug)]
pub struct Found {
    pub type_name: &'static str,
    /// As written, without quotes; empty for lists and tables.
    pub literal: String,
}

impl What {
    /// Whether a problem with a certificate and its key is one of the key's file.
    pub(super) fn is_about_the_key(&self) -> bool {
        matches!(self, What::NoKey { .. } | What::EncryptedKey { .. } | What::BadKey { .. } | What::KeyMismatch { .. })
    }
}

impl Problems {
    /// For a file that could not even be read.
    pub(super) fn of_file(name: &str, trouble: FileTrouble) -> Problems {
        let problem = Problem { what: What::File(trouble), at: None };
        Problems { sources: vec![Source::main(name, "")], all: vec![problem], more: 0 }
    }

    /// The file that a place is in; what concerns all of them is told of the main one.
    pub(super) fn source(&self, at: Option<&Place>) -> &Source {
        let start = at.map_or(0, |at| at.start);
        let after = self.sources.partition_point(|source| source.start <= start);
        &self.sources[after.saturating_sub(1)]
    }

    /// How many there are; `render` shows the first fifty.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.all.len() + self.more
    }

    /// The first ten thousand.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.all.iter()
    }

    /// All of them for people: what, where, why and the way out. Ends with a newline.
    pub fn render(&self, color: Color) -> String {
        render::render(self, color)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Color::Plain))
    }
}

impl error::Error for Problems {}

/// Where problems are noted while reading goes on: a reader that finds one says so here and answers `None`.
#[derive(Debug, Default)]
pub(super) struct Report {
    all: RefCell<Vec<Problem>>,
    more: Cell<usize>,
    /// Where what the parser asks for is written down, if anybody wants to know.
    recorder: Option<Rc<Recorder>>,
}

impl Report {
    pub(super) fn recorded(recorder: &Rc<Recorder>) -> Report {
        Report { recorder: Some(recorder.clone()), ..Report::default() }
    }

    pub(super) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_deref()
    }

    /// Reads what stands a step further down.
    pub(super) fn below<T>(&self, step: Step, read: impl FnOnce() -> T) -> T {
        self.recorder().inspect(|recorder| recorder.enter(step));
        let done = read();
        self.recorder().inspect(|recorder| recorder.leave());
        done
    }

    pub(super) fn add(&self, at: Option<Place>, what: What) {
        let mut all = self.all.borrow_mut();
        match all.len() < KEPT {
            true => all.push(Problem { what, at }),
            false => self.more.set(self.more.get() + 1),
        }
    }

    /// Everything noted, in the order of the files, what concerns all of them first; `None` if nothing was.
    pub(super) fn into_problems(self, sources: Vec<Source>) -> Option<Problems> {
        let mut all = self.all.into_inner();
        all.sort_by_key(|problem| problem.at.as_ref().map(|at| at.start));
        (!all.is_empty()).then(|| Problems { sources, all, more: self.more.get() })
    }
}
