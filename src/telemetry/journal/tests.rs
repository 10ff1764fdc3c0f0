//! The queue and the thread behind it, with real files.

use super::*;
use std::fs;
use std::path::PathBuf;

const PATIENCE: Duration = Duration::from_secs(30);

fn line(number: u64, entry: Entry) -> Line {
    Line { at: SystemTime::UNIX_EPOCH, moment: Moment::at(Duration::from_secs(number)), entry }
}

fn numbered(number: u64) -> Line {
    line(number, Entry::Started { version: "0.1.0", pid: 1 })
}

fn last() -> Line {
    line(0, Entry::Stopped)
}

/// All lines of the newest file: kind and moment; the number of lines lost in the moment's place.
fn written(directory: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(directory.join("journal.jsonl")).unwrap();
    let read = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
        let number = row["lines"].as_u64().unwrap_or(row["moment"].as_f64().unwrap() as u64);
        (row["kind"].as_str().unwrap().to_owned(), number)
    };
    text.lines().map(read).collect()
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

/// A journal whose directory can't be made: a file stands in its place.
fn blocked(files: &Files) -> (tempfile::TempDir, PathBuf, Journal) {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::write(&state, "in the way").unwrap();
    let journal = Journal::start(Some(&state), Bounds::default(), files).unwrap();
    (directory, state, journal)
}

#[test]
fn lines_are_written_in_their_order_and_the_end_waits_for_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::start(Some(directory.path()), Bounds::default(), &Files::new()).unwrap();
    (0..500).for_each(|number| journal.write(numbered(number)));
    journal.finish(last(), PATIENCE);
    let mut expected: Vec<_> = (0..500).map(|number| ("start".to_owned(), number)).collect();
    expected.push(("stop".to_owned(), 0));
    assert_eq!(written(directory.path()), expected);
}

#[test]
fn without_a_directory_there_is_no_journal_and_nobody_minds() {
    let journal = Journal::start(None, Bounds::default(), &Files::new()).unwrap();
    journal.write(numbered(1));
    journal.finish(last(), Duration::ZERO);
}

#[test]
fn what_waits_while_the_disk_refuses_is_written_afterwards_and_what_does_not_fit_is_told_where_it_belongs() {
    let files = Files::new();
    let (_directory, state, journal) = blocked(&files);
    journal.write(numbered(0));
    eventually("it complains", || files.journal.errors() > 0);
    let waiting = u64::try_from(WAITING).unwrap();
    (1..=waiting + 100).for_each(|number| journal.write(numbered(number))); // returns, or this test hangs
    assert_eq!(files.lines_dropped.get(), 100);

    fs::remove_file(&state).unwrap();
    eventually("it is written", || state.join("journal.jsonl").exists());
    eventually("there is room", || written(&state).len() > 10);
    journal.write(numbered(9_000));
    journal.finish(last(), PATIENCE);
    let written = written(&state);
    assert_eq!(written[..2], [("start".to_owned(), 0), ("start".to_owned(), 1)]);
    let end: Vec<_> = written.iter().rev().take(4).rev().map(|(kind, number)| (kind.as_str(), *number)).collect();
    assert_eq!(end, [("start", waiting), ("lost", 100), ("start", 9_000), ("stop", 0)]);
    assert_eq!(files.lines_dropped.get(), 100);
}

#[test]
fn a_disk_that_refuses_does_not_hold_up_the_end_and_what_is_lost_by_it_is_counted() {
    let files = Files::new();
    let (_directory, _state, journal) = blocked(&files);
    (0..10).for_each(|number| journal.write(numbered(number)));
    eventually("it complains", || files.journal.errors() > 0);
    journal.finish(last(), PATIENCE);
    assert_eq!(files.lines_dropped.get(), 11);
    let Some(queue) = &journal.0 else { panic!("it was started") };
    assert_eq!(*queue.life.phase(), Phase::Ended);
    journal.write(numbered(12));
    assert_eq!(files.lines_dropped.get(), 12, "and what comes later is dropped");
}

#[test]
fn the_end_is_not_missed_whatever_the_writer_is_doing() {
    for number in 0..200 {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::start(Some(directory.path()), Bounds::default(), &Files::new()).unwrap();
        (0..number % 3).for_each(|number| journal.write(numbered(number)));
        journal.finish(last(), PATIENCE);
        assert_eq!(written(directory.path()).last(), Some(&("stop".to_owned(), 0)));
    }
}

#[test]
fn a_writer_that_has_nothing_to_do_hears_of_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::start(Some(directory.path()), Bounds::default(), &Files::new()).unwrap();
    journal.write(numbered(1));
    let path = directory.path().join("journal.jsonl");
    eventually("it is written", || fs::metadata(&path).is_ok_and(|file| file.len() > 0));
    std::thread::sleep(Duration::from_millis(20)); // most likely it waits by now; the promise holds either way
    journal.end(PATIENCE);
    let Some(queue) = &journal.0 else { panic!("it was started") };
    assert_eq!(*queue.life.phase(), Phase::Ended);
}

#[test]
fn a_disk_that_hangs_holds_up_neither_who_writes_nor_the_end() {
    let files = Files::new();
    let directory = tempfile::tempdir().unwrap();
    // A pipe that nobody reads: once it is full, a write does not return.
    let path = directory.path().join("journal.jsonl");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let journal = Journal::start(Some(directory.path()), Bounds::default(), &files).unwrap();
    let mut written = 0;
    while files.lines_dropped.get() < 100 && written < 100_000 {
        journal.write(numbered(written)); // returns, or this test hangs
        written += 1;
    }
    assert!((4_000..100_000).contains(&written), "what there is room for waits, and no more: {written}");
    journal.finish(last(), Duration::from_millis(10));
    let Some(queue) = &journal.0 else { panic!("it was started") };
    assert_eq!(*queue.life.phase(), Phase::Ending, "it was left as it hangs");
}
