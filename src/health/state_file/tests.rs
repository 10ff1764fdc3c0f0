//! The slot and the thread behind it, with real files.

use super::fixtures::failed_over;
use super::*;
use crate::domain::PoolMemory;
use std::fs;

const PATIENCE: Duration = Duration::from_secs(30);

/// A memory that is known by its number.
fn numbered(number: u32) -> Memory {
    let mut memory = failed_over();
    memory.backends[0].pools[0] = PoolMemory { failovers: number, ..memory.backends[0].pools[0].clone() };
    memory
}

fn save(state: &StateFile, number: u32) {
    state.save(numbered(number), SystemTime::UNIX_EPOCH);
}

#[track_caller]
fn on_disk(directory: &Path) -> u32 {
    match read(directory, SystemTime::UNIX_EPOCH) {
        Remembered::Memory(memory) => memory.backends[0].pools[0].failovers,
        found @ (Remembered::Nothing | Remembered::Lost(_)) => panic!("{found:?}"),
    }
}

fn eventually(what: &str, so: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never came true: {what}");
}

#[test]
fn the_newest_of_many_is_what_stays() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateFile::start(Some(directory.path()), &Files::new()).unwrap();
    assert_eq!(state.settle(Duration::ZERO), OnDisk::Yes, "there is nothing to write");
    (1..=10_000).for_each(|number| save(&state, number));
    assert_eq!(state.settle(PATIENCE), OnDisk::Yes);
    assert_eq!(on_disk(directory.path()), 10_000);
    save(&state, 10_001);
    assert_eq!(state.finish(PATIENCE), OnDisk::Yes);
    assert_eq!(on_disk(directory.path()), 10_001);
}

#[test]
fn without_a_directory_nothing_is_kept_and_nobody_minds() {
    let state = StateFile::start(None, &Files::new()).unwrap();
    save(&state, 1);
    assert_eq!(state.finish(Duration::ZERO), OnDisk::Yes);
}

#[test]
fn a_disk_that_refuses_gets_the_newest_once_it_no_longer_does() {
    let files = Files::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    fs::write(&path, "in the way").unwrap();
    let state = StateFile::start(Some(&path), &files).unwrap();
    save(&state, 1);
    eventually("it is tried again", || files.state.errors() >= 2);
    assert_eq!(state.settle(Duration::ZERO), OnDisk::No);
    for number in 2..=1_000 {
        save(&state, number); // returns, or this test hangs
        std::thread::sleep(Duration::from_micros(300));
    }
    assert!(files.state.errors() < 30, "once a second, not once a decision");

    fs::remove_file(&path).unwrap();
    assert_eq!(state.settle(PATIENCE), OnDisk::Yes);
    assert_eq!(on_disk(&path), 1_000);
}

#[test]
fn a_disk_that_refuses_does_not_hold_up_the_end() {
    let files = Files::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    fs::write(&path, "in the way").unwrap();
    let state = StateFile::start(Some(&path), &files).unwrap();
    save(&state, 1);
    assert_eq!(state.finish(PATIENCE), OnDisk::No);
    assert_eq!(state.0.as_ref().unwrap().0.slot().phase, Phase::Ended, "by itself, not for want of patience");
    save(&state, 2);
    assert_eq!(state.settle(PATIENCE), OnDisk::No, "and nobody waits for a thread that is gone");
}

#[test]
fn the_last_holder_that_goes_has_the_newest_written() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateFile::start(Some(directory.path()), &Files::new()).unwrap();
    save(&state, 7);
    let shared = Arc::downgrade(&state.0.as_ref().unwrap().0);
    drop(state);
    eventually("the thread has ended", || shared.strong_count() == 0);
    assert_eq!(on_disk(directory.path()), 7);
}

#[test]
fn what_could_not_be_written_does_not_come_back_over_what_is_newer() {
    let saved = |number| Saved { memory: numbered(number), at: SystemTime::UNIX_EPOCH };
    let shared = |newest| {
        let slot = Mutex::new(Slot { newest, phase: Phase::Ending });
        Shared { slot, changed: Condvar::new() }
    };
    let left = |shared: &Shared| shared.slot().newest.as_ref().unwrap().memory.backends[0].pools[0].failovers;
    for (newest, expected) in [(None, 1), (Some(saved(2)), 2)] {
        let shared = shared(newest);
        assert_eq!(shared.refused(saved(1)), Phase::Ending);
        assert_eq!(left(&shared), expected);
    }
}
