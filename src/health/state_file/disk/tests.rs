//! Real files: written, damaged in every way there is, set aside.

use super::super::fixtures::{failed_over, memories};
use super::*;
use proptest::prelude::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn save(directory: &Path, memory: &Memory) {
    write(directory, &schema::encode(memory, at(0))).unwrap();
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What was said of the memory that is lost.
#[track_caller]
fn lost(directory: &Path, now: SystemTime) -> String {
    match read(directory, now) {
        Remembered::Lost(lost) => lost.to_string(),
        found @ (Remembered::Nothing | Remembered::Memory(_)) => panic!("{found:?}"),
    }
}

#[track_caller]
fn remembered(directory: &Path) -> Memory {
    match read(directory, at(0)) {
        Remembered::Memory(memory) => memory,
        found @ (Remembered::Nothing | Remembered::Lost(_)) => panic!("{found:?}"),
    }
}

#[test]
fn the_newest_memory_is_read_back_and_nobody_else_may_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("not/there/yet");
    assert!(matches!(read(&state, at(0)), Remembered::Nothing));
    save(&state, &Memory::default());
    fs::write(state.join(NEXT), "left by a crash").unwrap();
    save(&state, &failed_over());
    assert_eq!(remembered(&state), failed_over());
    assert_eq!(names(&state), [NAME]);
    assert_eq!(fs::metadata(state.join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_link_that_waits_where_the_next_file_is_written_leads_nobody_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other");
    fs::write(&other, "mine").unwrap();
    symlink(&other, directory.path().join(NEXT)).unwrap();
    save(directory.path(), &failed_over());
    assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
}

#[test]
fn a_damaged_file_is_set_aside_and_said_with_what_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(NAME), "{\"version\":1").unwrap();
    let said = lost(directory.path(), at(1_795_561_200));
    let file = directory.path().join(NAME).display().to_string();
    let begin = format!("{file} is of no use: it is not JSON (");
    assert!(said.starts_with(&begin), "{said}");
    let aside =
        format!("). It was set aside as {file}.damaged-1795561200. Forgotten are: which pools served, commands");
    assert!(said.contains(&aside), "{said}");
    assert_eq!(names(directory.path()), ["state.json.damaged-1795561200"]);
    assert!(matches!(read(directory.path(), at(0)), Remembered::Nothing), "the next start is a fresh one");
}

#[test]
fn what_is_no_file_or_can_not_be_read_is_set_aside_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(NAME);
    fs::create_dir(&file).unwrap();
    assert!(lost(directory.path(), at(1)).contains("it is not a file. It was set aside as"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    assert!(lost(directory.path(), at(2)).contains("it is not a file"), "and nobody waits for its other end");
    symlink("/dev/zero", &file).unwrap();
    assert!(lost(directory.path(), at(3)).contains("it is not a file"));
    symlink(NAME, &file).unwrap();
    assert!(lost(directory.path(), at(4)).contains("it can't be read (Too many levels of symbolic links"));
    let large = File::create(&file).unwrap();
    large.set_len(u64::try_from(LARGEST).unwrap() + 1).unwrap();
    assert!(lost(directory.path(), at(5)).contains("it has more than 16 MiB"));
    assert!(!file.exists());
}

#[test]
fn of_those_set_aside_the_newest_four_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("state.json.damaged-0")).unwrap();
    fs::write(directory.path().join("state.json.damaged-by-whom"), "").unwrap();
    for seconds in [5, 90, 100, 100, 100] {
        fs::write(directory.path().join(NAME), "x").unwrap();
        lost(directory.path(), at(seconds));
    }
    let kept = ["100", "101", "102", "90", "by-whom"].map(|end| format!("state.json.damaged-{end}"));
    assert_eq!(names(directory.path()), kept);
}

#[test]
fn where_nothing_can_be_set_aside_that_is_said_and_it_begins_anew_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::write(&state, "a file in the directory's place").unwrap();
    let said = lost(&state, at(0));
    assert!(
        said.contains("it can't be read (Not a directory (os error 20)). It could not be set aside (cannot rename ")
    );
    let error = write(&state, b"{}").unwrap_err().to_string();
    assert!(error.starts_with("cannot create the directory "), "{error}");
    // The kernel lets nobody create a file there, root included.
    let error = write(Path::new("/proc/self"), b"{}").unwrap_err().to_string();
    assert!(error.starts_with("cannot open /proc/self/state.json.new: "), "{error}");
}

#[test]
fn what_would_not_be_read_back_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    save(directory.path(), &failed_over());
    let error = write(directory.path(), &vec![b' '; LARGEST + 1]).unwrap_err().to_string();
    assert!(error.ends_with("it would have 16777217 bytes, and no more than 16777216 are read"), "{error}");
    assert_eq!(remembered(directory.path()), failed_over());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))] // each is a dozen real files

    #[test]
    fn after_any_damage_it_is_the_memory_that_was_written_or_a_fresh_start_with_the_file_set_aside(
        memory in memories(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 1..4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        save(directory.path(), &memory);
        let whole = fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        for (at, bit) in flips {
            flipped[at.index(whole.len())] ^= 1 << bit;
        }
        let torn = cuts.into_iter().map(|cut| whole[..cut.index(whole.len())].to_vec());
        for bytes in torn.chain([flipped, whole.clone()]) {
            fs::write(&file, &bytes).unwrap();
            match read(directory.path(), at(0)) {
                Remembered::Memory(found) => prop_assert_eq!(&found, &memory),
                Remembered::Lost(_) => {
                    let aside = damaged(directory.path()).pop().unwrap();
                    prop_assert!(!file.exists());
                    prop_assert_eq!(fs::read(aside).unwrap(), bytes);
                }
                Remembered::Nothing => prop_assert!(false, "the file is there"),
            }
        }
        prop_assert_eq!(remembered(directory.path()), memory, "undamaged it is read");
    }
}
