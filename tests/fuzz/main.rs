//! Every input that was ever worth keeping, and small changes of each, through every fuzz target. The long search is `make fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../it/smuggled/dialect.rs"]
#[expect(dead_code, reason = "it is the test `it`'s own, which has more parsers than targets need")]
mod dialect;
mod targets;

use fastrand::Rng;
use std::path::{Path, PathBuf};
use std::{env, fs, thread};
use targets::Target;

/// Changes of one input: enough that a slip in a target shows.
const CHANGES: u64 = 50;

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target.name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut all: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    all.sort();
    assert!(!all.is_empty(), "{} has no inputs", directory.display());
    all
}

/// Says which input it was, if it panics.
struct Running<'a>(&'a str, &'a [u8]);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the input was {}: \"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

fn run(name: &str) {
    let target = targets::ALL.iter().find(|target| target.name == name).unwrap();
    let inputs = corpus(target);
    for (path, input) in &inputs {
        let _running = Running(path.to_str().unwrap(), input);
        (target.run)(input);
    }
    let mut rng = Rng::with_seed(2011);
    for (path, input) in &inputs {
        for change in 0..CHANGES {
            let other = &inputs[rng.usize(..inputs.len())].1;
            let input = changed(input, other, &mut rng);
            let name = format!("change {change} of {}", path.display());
            let _running = Running(&name, &input);
            (target.run)(&input);
        }
    }
}

/// A bit, a byte, a piece less, a piece twice, or the beginning of one and the end of another.
fn changed(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(1..16)).min(bytes.len());
        match (rng.u8(..6), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << rng.u32(..8),
            (1, Some(byte)) => *byte = rng.u8(..),
            (2, _) => drop(bytes.drain(at..end)),
            (3, _) => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            (4, _) => bytes.insert(at, b"\r\n\0 :;,\"{}[]=\xff0"[rng.usize(..15)]),
            _ => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[rng.usize(..=other.len())..]);
            }
        }
    }
    bytes
}

#[test]
fn request_heads() {
    run("request_head");
}

#[test]
fn response_heads() {
    run("response_head");
}

#[test]
fn configs() {
    run("config");
}

#[test]
fn proxy_headers() {
    run("proxy_header");
}

#[test]
fn probe_replies() {
    run("probe_reply");
}

#[test]
fn client_hellos() {
    run("client_hello");
}

#[test]
fn state_files() {
    run("state_file");
}

#[test]
fn journals() {
    run("journal");
}

#[test]
fn commands() {
    run("command");
}
