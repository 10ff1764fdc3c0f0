//! The house rules that a compiler does not know, checked on every file of the project: floors, sizes, words, links.
//!
//! Each rule is a pure function from a path and a text to [`Finding`]s; each has tests beside it that it catches what it is
//! for and leaves alone what it should. Here they meet the real files.
//!
//! Not here: what rustc, rustfmt and clippy check already (Cargo.toml, clippy.toml).

#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/rust.rs"]
mod rust;
#[path = "tidy/tree.rs"]
mod tree;

use std::path::Path;
use std::process::Command;
use std::{env, fmt, fs};
use tree::Tree;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Relative to the project's root.
    pub file: String,
    /// From 1.
    pub line: usize,
    pub rule: String,
}

impl Finding {
    pub fn new(file: &str, line: usize, rule: impl Into<String>) -> Finding {
        Finding { file: file.to_owned(), line, rule: rule.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Fails with every finding at once.
fn expect_none(findings: impl IntoIterator<Item = Finding>) {
    let lines: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(lines.is_empty(), "{} breaches of the house rules:\n{}", lines.len(), lines.join("\n"));
}

/// Runs a rule on every Rust file below one of `places`.
fn each_rust(places: &[&str], rule: impl Fn(&str, &str) -> Vec<Finding>) {
    let tree = Tree::read();
    let files = tree.rust().filter(|(path, _)| places.iter().any(|place| path.starts_with(place)));
    expect_none(files.flat_map(|(path, text)| rule(path, text)));
}

/// Where the project has Rust files.
const RUST: &[&str] = &["src/", "tests/", "benches/", "fuzz/"];

#[test]
fn no_floor_knows_one_above_it_or_beside_it() {
    each_rust(&["src/"], floors::known);
}

#[test]
fn the_decision_core_reaches_for_no_clock_socket_or_thread() {
    each_rust(&["src/domain/"], floors::pure);
}

#[test]
fn the_decision_core_compiles_alone_without_a_warning() {
    compiles_alone("domain", Path::new("src/domain/mod.rs")).unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn a_core_that_needs_a_crate_or_leaves_a_warning_does_not_compile_alone() {
    for (name, text) in
        [("needy", "use tokio as _;"), ("careless", "fn unused() {}"), ("climbing", "use super::config;")]
    {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.rs"));
        fs::write(&file, text).expect("cargo gives tests a directory to write to");
        assert!(compiles_alone(name, &file).is_err(), "{text}");
    }
}

/// Compiles one file, and what it is the root of, with std alone and warnings as errors; else what rustc said.
fn compiles_alone(name: &str, file: &Path) -> Result<(), String> {
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--crate-name", name, "--emit", "metadata"])
        .args(["-D", "warnings", "--out-dir", env!("CARGO_TARGET_TMPDIR")])
        .arg(file)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("rustc is there where cargo is");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn every_file_says_first_what_lives_in_it() {
    each_rust(RUST, rust::header);
}

#[test]
fn no_file_has_two_jobs() {
    each_rust(RUST, rust::length);
}

#[test]
fn nothing_is_left_unfinished() {
    each_rust(RUST, rust::unfinished);
}

#[test]
fn no_test_passes_by_being_skipped() {
    each_rust(RUST, rust::ignored);
}

#[test]
fn every_rust_file_is_compiled() {
    let tree = Tree::read();
    expect_none(rust::orphans(tree.text("Cargo.toml"), &tree.rust().collect()));
}

#[test]
fn one_thing_has_one_word() {
    let tree = Tree::read();
    expect_none(
        tree.all().filter(|(path, _)| prose::is_read_by_users(path)).flat_map(|(path, text)| prose::words(path, text)),
    );
}

#[test]
fn what_the_docs_point_to_is_there() {
    let tree = Tree::read();
    let documents = tree.all().filter(|(path, _)| path.ends_with(".md"));
    let is_there = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists();
    expect_none(documents.flat_map(|(path, text)| prose::pointers(path, text, is_there, |other| tree.find(other))));
}

#[test]
fn no_file_speaks_of_the_machine_it_was_written_on() {
    expect_none(Tree::read().all().flat_map(|(path, text)| prose::machine_paths(path, text)));
}
