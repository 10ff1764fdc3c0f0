//! What deciding may cost at most, counted in instructions: those of the same program are the same every time, on a busy
//! machine too. Time is measured by benches/core.
//!
//! The decision core and its scene are compiled by themselves, as optimised as the binary is but for linking: that takes
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
    let counted = count(&compile("ten_quiet", "scene::counted(&mut tallies::TenQuiet::among(1));")) / RUNS;
    assert!(counted > 1_000, "{counted}: too few for ten tallies; was the right thing counted?");
    assert!(counted <= TEN_QUIET, "{counted} instructions, where {TEN_QUIET} are enough: `make bench-core` says more");
}

/// A program of the decision core, the scenes, and that `main`.
fn compile(name: &str, main: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let part =
        |file: &str, name: &str| format!("#[path = \"{}/{file}\"]\npub mod {name};\n", env!("CARGO_MANIFEST_DIR"));
    let parts = [
        part("src/domain/mod.rs", "domain"),
        part("benches/core/scene.rs", "scene"),
        part("benches/core/tallies.rs", "tallies"),
    ];
    let (source, program) = (directory.join(format!("{name}.rs")), directory.join(name));
    fs::write(&source, format!("{}fn main() {{ {main} }}\n", parts.concat()))
        .expect("cargo gives a directory to write to");
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "bin", "-C", "opt-level=3", "--cap-lints", "allow", "-o"])
        .args([&program, &source])
        .output()
        .expect("rustc is there where cargo is");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// Instructions in `scene::measured`.
fn count(program: &Path) -> u64 {
    let counts = program.with_extension("callgrind");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*measured*"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(program)
        .output()
        .expect("valgrind is there: tests/tools.sh installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts = fs::read_to_string(counts).expect("callgrind has written it");
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")).expect("callgrind's format");
    total.trim().parse().expect("callgrind's format")
}
