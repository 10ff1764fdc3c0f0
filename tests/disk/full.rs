//! A full disk: the kernel lets no file of the child grow past a limit (`ulimit -f`), as on a disk with no room left.

use crate::child::{self, PATIENCE, Part};
use crate::story::{Told, journal, last, line, memory, remembered, told};
use hotspare::health::StateFile;
use hotspare::health::state_file::OnDisk;
use hotspare::runtime::signals::Signals;
use hotspare::telemetry::files::Files;
use hotspare::telemetry::journal::{Bounds, Journal};
use hotspare::telemetry::log::{self, Format};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;
use std::time::Duration;

/// Enough for small memories and some lines; not a multiple of a line, so that one is cut off in its middle.
const ROOM: u64 = 3_000;

#[test]
fn decisions_go_on_loudly_on_a_full_disk_and_nothing_is_missing_once_there_is_room() {
    if let Some(directory) = child::directory() {
        return on_a_full_disk(&directory);
    }
    let directory = tempfile::tempdir().unwrap();
    let mut part = Part::start(
        "full::decisions_go_on_loudly_on_a_full_disk_and_nothing_is_missing_once_there_is_room",
        directory.path(),
    );
    part.says("full");
    assert_eq!(remembered(directory.path()), Some(1), "the old state is whole while the new one does not fit");
    let text = journal(directory.path());
    assert_eq!(text.len(), usize::try_from(ROOM).unwrap(), "up to its last byte: {text}");
    part.tell("room");
    let log = part.end();

    assert_eq!(remembered(directory.path()), Some(39));
    let all: Vec<Told> = journal(directory.path()).lines().map(told).collect();
    let torn = all.iter().filter(|told| **told == Told::Torn).count();
    let whole: Vec<Told> = all.iter().copied().filter(|told| *told != Told::Torn).collect();
    let expected: Vec<Told> = (0..200).map(Told::Line).chain([Told::Stopped]).collect();
    assert_eq!(whole, expected);
    assert_eq!(torn, 1, "the line that was cut off stands alone, and was written again whole");
    for (said, times) in [
        ("the journal can't be written: cannot write ", 1),
        ("the state can't be written: cannot write ", 1),
        ("File too large (os error 27)", 2),
        ("the journal is written again; ", 1),
        ("the state is written again, the newest is on disk; ", 1),
    ] {
        assert_eq!(log.matches(said).count(), times, "{said}\n{log}");
    }
}

fn on_a_full_disk(directory: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    let _signals = runtime.block_on(async { Signals::listen() }).unwrap(); // one of them would end the process
    let _log = log::start(Format::Human).unwrap();
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(ROOM), maximum: limit.maximum }).unwrap();

    let files = Files::new();
    let journal = Journal::start(Some(directory), Bounds::default(), &files).unwrap();
    let state = StateFile::start(Some(directory), &files).unwrap();
    state.save(memory(0), std::time::SystemTime::UNIX_EPOCH);
    state.save(memory(1), std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(state.settle(PATIENCE), OnDisk::Yes);
    for number in 0..200 {
        journal.write(line(number)); // a decision: it returns whatever the disk does
        state.save(memory(if number < 100 { 39 * 7 } else { 39 }), std::time::SystemTime::UNIX_EPOCH);
    }
    while files.journal.errors() < 2 || files.state.errors() < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    child::say("full");
    assert_eq!(child::listen(), "room");
    setrlimit(Resource::Fsize, limit).unwrap();
    assert_eq!(state.settle(PATIENCE), OnDisk::Yes);
    journal.finish(last(), PATIENCE);
    assert_eq!(state.finish(PATIENCE), OnDisk::Yes);
}
