//! Every message about a config file, word for word: `cases/NAME.toml` is a file with something wrong, `cases/NAME.txt`
//! is what is said about it. `UPDATE_GOLDEN=1 cargo test --test golden` writes the latter anew: read the diff.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod reference;

use glob::Pattern;
use hotspare::config::problem::IncludeTrouble;
use hotspare::config::token::SecretFile;
use hotspare::config::{Color, Config, Problems, STATE_DIR, Surroundings, parse_in};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The files that cases name, certificates and keys among them; made anew each run, so that no real key is in the repository.
struct Files(HashMap<&'static str, String>);

impl Files {
    fn new() -> Files {
        let pair = || {
            let made = rcgen::generate_simple_self_signed(["www.example.org".to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let (cert, key) = pair();
        let (_, other_key) = pair();
        let pem = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        Files(HashMap::from([
            ("other.key", other_key.clone()),
            ("sites/d.pem", format!("{cert}{key}")),
            ("clients.pem", cert.clone()),
            ("pairs/a.pem", cert.clone()),
            ("pairs/b.crt", cert.clone()),
            ("pairs/b.key", other_key.clone()),
            ("pairs/c.key", key.clone()),
            ("pairs/d.pem", format!("{cert}{key}")),
            ("pairs/.hidden.pem", String::new()),
            ("pairs/README", "ask Jane\n".to_owned()),
            ("papers/README", "ask Jane\n".to_owned()),
            ("site.pem", cert),
            ("site.key", key),
            ("empty.pem", String::new()),
            ("notes.txt", "call Jane about the certificate\n".to_owned()),
            ("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n".to_owned()),
            ("cut.key", "-----BEGIN PRIVATE KEY-----\nMIIB\n".to_owned()),
            ("damaged.pem", pem("CERTIFICATE", "AA!A")),
            ("headless.key", "-----BEGIN PRIVATE KEY\nAAAA\n-----END PRIVATE KEY-----\n".to_owned()),
            ("zeros.pem", pem("CERTIFICATE", "AAAAAAAA")),
            ("zeros.key", pem("PRIVATE KEY", "AAAAAAAA")),
            ("encrypted.key", pem("ENCRYPTED PRIVATE KEY", "AAAAAAAA")),
            ("errors/sorry.html", "<h1>{status}</h1>\n".to_owned()),
            ("errors/read-only.html", "<h1>Just reading</h1>\n".to_owned()),
            ("blank.html", " \n".to_owned()),
            ("large.html", "<p>sorry</p>".repeat(22_000)),
            ("admin.token", "correct-horse-battery\n".to_owned()),
            ("open.token", "correct-horse-battery\n".to_owned()),
            ("short.token", "hunter2\n".to_owned()),
            ("long.token", "correct-horse-battery".repeat(25)),
            ("words.token", "correct horse battery\n".to_owned()),
            ("sites.d/shop.toml", "[[site]]\nhosts = [\"shop.example.org\"]\nbackend = \"sites\"\n".to_owned()),
            ("bad.d/10-shop.toml", "[[site]]\nhosts = [\"shop.example.org\"]\nbackend = \"sites\"\nmax_body = 1\n".to_owned()),
            (
                "bad.d/20-blog.toml",
                "workers = 4\ninclude = [\"more.toml\"]\nsites = 3\n\n# The blog\n[[site]]\nhosts = [\"blog.example.org\", \"shop.example.org\", \
                 \"www.example.org\"]\nbackend = \"site\"\n\n[[backend]]\nname = \"sites\"\n"
                    .to_owned(),
            ),
            ("broken.d/10-half.toml", "[[site]]\nhosts = [\"a.example.org\"\n".to_owned()),
            ("broken.d/20-whole.toml", "[[site]]\nhosts = []\nbackend = \"in-the-other-half\"\n".to_owned()),
            ("large.d/10.toml", "# hosts\n".repeat(1 << 23)),
            ("old-encrypted.key", pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA")),
        ]))
    }

    /// No file is there.
    fn none() -> Files {
        Files(HashMap::new())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = path.to_str().unwrap();
        match (name, self.0.get(name)) {
            (_, Some(text)) => Ok(text.clone().into_bytes()),
            ("latin-1.html" | "broken.d/30-latin-1.toml", None) => Ok(b"<html>\n<p>Le caf\xe9 est ferm\xe9\n".to_vec()),
            ("forbidden.key", None) => Err(io::Error::from_raw_os_error(13)),
            (_, None) => Err(io::Error::from_raw_os_error(2)),
        }
    }

    /// The files of that pattern; of `many.d` there are more than enough, and what is in none of these directories is nowhere.
    fn include(&self, pattern: &str) -> Result<Vec<PathBuf>, IncludeTrouble> {
        let fits = match Pattern::new(pattern) {
            Ok(fits) => fits,
            Err(error) => return Err(IncludeTrouble::BadPattern { error: error.msg.to_owned() }),
        };
        let listed = self.0.keys().copied().chain(["broken.d/30-latin-1.toml"]);
        let mut found: Vec<_> = listed.filter(|name| fits.matches(name)).map(PathBuf::from).collect();
        found.sort();
        match pattern.split_once('/') {
            Some(("many.d", _)) => Ok((0..=10_000).map(|number| format!("many.d/{number}.toml").into()).collect()),
            Some(("locked.d", _)) => Err(IncludeTrouble::Unreadable { error: "Permission denied".to_owned() }),
            Some((directory, file)) if found.is_empty() && file.contains('*') => {
                Err(IncludeTrouble::NoDirectory { directory: directory.to_owned() })
            }
            Some(_) | None if found.is_empty() => Err(IncludeTrouble::NotThere),
            Some(_) | None => Ok(found),
        }
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let here = self.0.keys().filter_map(|name| Path::new(name).strip_prefix(directory).ok()?.to_str());
        let names: Vec<String> = here.map(str::to_owned).collect();
        match directory.to_str() {
            Some("dump") => Ok((0..=20_000).map(|n| format!("{n}.pem")).collect()),
            _ if names.is_empty() => Err(io::Error::from_raw_os_error(2)),
            _ => Ok(names),
        }
    }

    /// The config as `hotspare check` would read it on a machine with these files, a resolver that knows one name, and no roots.
    fn parse(&self, text: &str) -> Result<Config, Problems> {
        let resolve = |host: &str| match host {
            "web1.internal" => Ok(IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1))),
            _ => Err(io::Error::other("failed to lookup address information: Name or service not known")),
        };
        let files = |path: &Path| self.read(path);
        let cores = NonZeroUsize::new(4).unwrap();
        let secrets = |path: &Path| {
            let mode = if path == Path::new("open.token") { 0o100_644 } else { 0o100_600 };
            Ok(SecretFile { bytes: self.read(path)?, mode })
        };
        let state_dir = Some(Path::new(STATE_DIR));
        let surroundings = Surroundings {
            files: &files,
            directories: &|directory| self.names(directory),
            in_force: None,
            secrets: &secrets,
            include: &|pattern| self.include(pattern),
            state_dir,
            resolve: &resolve,
            roots: &Vec::new,
            cores,
            descriptors: 1_024,
        };
        parse_in("hotspare.toml", text, &surroundings)
    }
}

/// Name and text of every case.
fn cases() -> Vec<(String, String)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cases");
    let mut cases: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| (path.to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    let endpoints: String =
        (0..=65_536).map(|n| format!("\"10.{}.{}.{}:80\",", n >> 16, n >> 8 & 255, n & 255)).collect();
    let many = include_str!("../../config/minimal.toml").replace("\"10.1.0.11:8080\", \"10.1.0.12:8080\"", &endpoints);
    cases.push((format!("{directory}/too-many-endpoints.toml"), many.replace("certs/", "")));
    cases.sort();
    cases
}

#[test]
fn every_message_reads_as_agreed() {
    let files = Files::new();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for (path, text) in cases() {
        let said = files.parse(&text).expect_err(&path).render(Color::Plain);
        let expected = path.replace(".toml", ".txt");
        if update {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{path}:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 accepts these:\n\n{}", wrong.join("\n"));
}

/// A problem without a case is one whose message nobody has read.
#[test]
fn every_problem_has_a_case() {
    let files = Files::new();
    let first_word = |text: String| text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    let mut seen = BTreeSet::new();
    for (path, text) in cases() {
        let problems = files.parse(&text).expect_err(&path);
        seen.extend(problems.iter().map(|problem| first_word(format!("{:?}", problem.what))));
    }
    let source = include_str!("../../src/config/problem.rs");
    let (_, variants) = source.split_once("pub enum What {\n").unwrap();
    let (variants, _) = variants.split_once("\n}").unwrap();
    let declared: BTreeSet<String> = variants
        .lines()
        .map(|line| first_word(line.trim().to_owned()))
        .filter(|word| word.starts_with(char::is_uppercase))
        .collect();
    assert!(declared.len() > 30, "the variants of `What` were not found: {declared:?}");
    assert_eq!(seen, declared);
}

#[test]
fn a_thousand_problems_are_counted_and_fifty_are_told() {
    let mut text: String = (0..1_000).map(|number| format!("key{number:04} = {number}\n")).collect();
    text.push_str(include_str!("../../config/minimal.toml").replace("certs/", "").as_str());
    let problems = Files::new().parse(&text).unwrap_err();
    assert_eq!(problems.len(), 1_000);
    let said = problems.to_string();
    assert_eq!(said.matches("error: ").count(), 50);
    assert!(said.ends_with("\nand 950 more\n"), "{said}");
}

#[test]
fn colours_come_only_when_asked_for_and_never_from_the_file() {
    let problems = Files::new().parse("\"\\u001b[31mred\" = 1\n# \u{9b}31m").unwrap_err();
    assert!(!problems.render(Color::Plain).contains(['\u{1b}', '\u{9b}']), "{}", problems.render(Color::Plain));
    assert!(problems.render(Color::Styled).contains('\u{1b}'));
}
