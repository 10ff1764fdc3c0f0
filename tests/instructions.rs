//! What deciding may cost at most, counted in instructions: those of the same program are the same every time, on a busy
//! machine too. Time is measured by benches/core.
//!
//! The decision core and its scene, and the table of sites, are compiled by themselves, as optimised as the binary is but for linking: that takes
//! some seconds, where the whole crate would take minutes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Runs that are counted, as benches/core/scene.rs has it.
const RUNS: u64 = 20;

/// For the tallies of ten endpoints that are well, which nearly all are: what docs/performance.md promises. They take 2,687 with
/// rustc 1.95.
const TEN_QUIET: u64 = 3_000;

#[test]
fn ten_quiet_tallies_cost_no_more_instructions_than_was_promised() {
    let counted = count(&compile("ten_quiet", "scene::counted(&mut tallies::TenQuiet::among(1));"), &[]) / RUNS;
    assert!(counted > 1_000, "{counted}: too few for ten tallies; was the right thing counted?");
    assert!(counted <= TEN_QUIET, "{counted} instructions, where {TEN_QUIET} are enough: `make bench-core` says more");
}

/// Look-ups that are counted: a third by exact name, a third by wildcard, a third for whom nobody has a site of their own.
const LOOK_UPS: u64 = 999;

/// For a look-up of one of those: 748 with 10 sites and 775 with 10,000, with rustc 1.95.
const LOOK_UP: u64 = 1_000;

/// A table of so many sites, and who looks them up. Of the config only this file is compiled: what a site's answers are like is no matter.
const SITES: &str = r#"
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages;
pub mod pages { pub use crate::Pages; }
pub mod rescue { pub use crate::Pages as Rescue; }

#[inline(never)]
fn measured(sites: &sites::Sites, asked: &[String]) -> usize {
    let found = asked.iter().filter(|host| matches!(sites.find(host, "/photos/1"), sites::Found::Site(_)));
    found.count()
}

fn main() {
    let count: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let of = |hosts: Vec<Box<str>>| sites::Site {
        place: 0, hosts, path: "/".into(), backend: 0, max_body: None, max_requests: None, upgrades: Default::default(),
        rescue: Pages, pages: Pages,
    };
    let named = |n: usize| of(vec![format!("www.site{n}.example.org").into(), format!("*.site{n}.example.org").into()]);
    let table = sites::Sites::new((0..count).map(named).chain([of(vec!["*".into()])]));
    let asked: Vec<String> = (0..999).map(|n| match (n % 3, n * 7919 % count) {
        (0, n) => format!("www.site{n}.example.org"),
        (1, n) => format!("shop.site{n}.example.org"),
        (_, n) => format!("shop.none{n}.example.org"),
    }).collect();
    assert_eq!(measured(&table, &asked), 999);
}
"#;

#[test]
fn a_look_up_among_ten_thousand_sites_costs_what_one_among_ten_does() {
    let program = build("look_up", &format!("{}{SITES}", part("src/config/sites.rs", "sites")));
    let [few, many] = ["10", "10000"].map(|sites| count(&program, &[sites]) / LOOK_UPS);
    assert!(few > 50, "{few}: too few for a look-up; was the right thing counted?");
    assert!(many <= few + few / 4, "{many} instructions among 10,000 sites, {few} among 10");
    assert!(many <= LOOK_UP, "{many} instructions, where {LOOK_UP} are enough");
}

/// A file of ours as a module.
fn part(file: &str, name: &str) -> String {
    format!("#[path = \"{}/{file}\"]\npub mod {name};\n", env!("CARGO_MANIFEST_DIR"))
}

/// A program of the decision core, the scenes, and that `main`.
fn compile(name: &str, main: &str) -> PathBuf {
    let parts = [
        part("src/domain/mod.rs", "domain"),
        part("benches/core/scene.rs", "scene"),
        part("benches/core/tallies.rs", "tallies"),
    ];
    build(name, &format!("{}fn main() {{ {main} }}\n", parts.concat()))
}

/// A program of that text.
fn build(name: &str, text: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, program) = (directory.join(format!("{name}.rs")), directory.join(name));
    fs::write(&source, text).expect("cargo gives a directory to write to");
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "bin", "-C", "opt-level=3", "--cap-lints", "allow", "-o"])
        .args([&program, &source])
        .output()
        .expect("rustc is there where cargo is");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Instructions in whatever is called `measured`.
fn count(program: &Path, arguments: &[&str]) -> u64 {
    let counts = program.with_extension(format!("{}callgrind", arguments.concat()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*measured*"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(program)
        .args(arguments)
        .output()
        .expect("valgrind is there: tests/tools.sh installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts = fs::read_to_string(counts).expect("callgrind has written it");
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")).expect("callgrind's format");
    total.trim().parse().expect("callgrind's format")
}
