//! SIGKILL at random moments.

use crate::child::{self, Part};
use crate::story::{self, Told, journal, memory, remembered, told};
use hotspare::health::StateFile;
use hotspare::health::state_file::OnDisk;
use hotspare::telemetry::files::Files;
use hotspare::telemetry::journal::{Bounds, Journal};
use std::path::Path;
use std::time::{Duration, SystemTime};

const KILLS: u32 = 60;
/// Rotations are among what is interrupted.
const BOUNDS: Bounds = Bounds { file_size: 20_000, kept: 4 };

#[test]
fn whenever_it_is_killed_the_state_is_one_that_was_saved_and_the_journal_has_whole_lines_but_perhaps_the_last() {
    if let Some(directory) = child::directory() {
        return write_until_killed(&directory);
    }
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut on_disk, mut lines, mut torn) = (None, 0, 0);
    for kill in 0..KILLS {
        let mut part = Part::start(
            "killed::whenever_it_is_killed_the_state_is_one_that_was_saved_and_the_journal_has_whole_lines_but_perhaps_the_last",
            directory.path(),
        );
        assert!(part.next().is_some(), "it never began");
        std::thread::sleep(Duration::from_micros(random.u64(0..30_000))); // not waiting for anything: any moment will do
        part.kill();
        while let Some(said) = part.next() {
            on_disk = Some(said.parse().unwrap());
        }

        let found = remembered(directory.path());
        assert!(found >= on_disk, "kill {kill}: {found:?} is remembered, and {on_disk:?} had been on disk");
        let text = journal(directory.path());
        let all: Vec<Told> = text.lines().map(told).collect();
        let in_the_middle = all.iter().rev().skip(1).filter(|told| **told == Told::Torn).count();
        assert!(in_the_middle <= torn, "kill {kill}: {in_the_middle} lines are torn, after {torn} had been");
        torn += usize::from(all.last() == Some(&Told::Torn));
        lines = lines.max(all.len());
        assert!(text.len() < 5 * 21_000, "it grows past its bound");
        for (before, after) in all.iter().zip(all.iter().skip(1)) {
            if let (Told::Line(before), Told::Line(after)) = (before, after) {
                assert!(*after == before + 1 || *after == 0, "kill {kill}: {after} follows {before}");
            }
        }
    }
    assert!(on_disk.is_some_and(|number| number > KILLS), "the children hardly wrote anything: {on_disk:?}");
    assert!(lines > 200, "the journal hardly has anything: {lines} lines");
}

/// Goes on where the one before it was killed, and says what is on disk.
fn write_until_killed(directory: &Path) {
    let files = Files::new();
    let journal = Journal::start(Some(directory), BOUNDS, &files).unwrap();
    let state = StateFile::start(Some(directory), &files).unwrap();
    let begin = remembered(directory).map_or(0, |number| number + 1);
    child::say(&begin.saturating_sub(1).to_string());
    for number in begin.. {
        let lines = (number - begin) * 3;
        (lines..lines + 3).for_each(|line| journal.write(story::line(line)));
        state.save(memory(number), SystemTime::UNIX_EPOCH);
        if number.is_multiple_of(4) {
            // In between it is overtaken now and then.
            assert_eq!(state.settle(child::PATIENCE), OnDisk::Yes);
            child::say(&number.to_string());
        }
    }
}
