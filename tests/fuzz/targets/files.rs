//! What lies on the disk: the state file, the journal.

use super::shown;
use hotspare::domain::{FailureCounts, Moment};
use hotspare::health::state_file::schema;
use hotspare::telemetry::journal::{Bounds, Entry, EvidenceSum, Line, encode, file::Lines};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is read is, written and read again, the same. The bytes are tried as they are, and with a checksum that is right.
pub fn state(bytes: &[u8]) {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut sealed = bytes.strip_suffix(b"}").unwrap_or(bytes).to_vec();
    sealed.extend(format!(",\"crc32\":\"{:08x}\"}}\n", crc32(&sealed)).into_bytes());
    for bytes in [bytes, &sealed] {
        match schema::decode(bytes, now) {
            Ok(memory) => {
                let again = schema::decode(&schema::encode(&memory, now), now);
                assert_eq!(again.expect("what we wrote can be read"), memory, "{}", shown(bytes));
            }
            Err(damage) => assert!(!damage.to_string().is_empty()),
        }
    }
}

/// As in zip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

const SMALL: Bounds = Bounds { file_size: 400, kept: 2 };

/// What comes before the first NUL lies there already; what comes between two is a name that a line is written for. No line is torn,
/// whatever is there and whatever the name is; each can be read for what it says; and there are no more files, nor larger ones, than there
/// may be.
pub fn journal(bytes: &[u8]) {
    let mut pieces = bytes.split(|byte| *byte == 0);
    let there = pieces.next().unwrap_or_default();
    // In memory where there is such a place: a rotation waits for the disk.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("the disk is well");
    fs::write(directory.path().join("journal.jsonl"), there).expect("the disk is well");
    let mut lines = Lines::new(directory.path(), SMALL);
    let mut written: Vec<Vec<u8>> = Vec::new();
    for name in pieces.take(20) {
        let name = String::from_utf8_lossy(name).into_owned();
        let sum = EvidenceSum {
            backend: name.as_str().into(),
            pool: "p".into(),
            endpoint: "e".into(),
            good: 1,
            failed: FailureCounts::default(),
            score: 0.5,
        };
        let line = Line { at: SystemTime::UNIX_EPOCH, moment: Moment::default(), entry: Entry::Evidence(sum) };
        let line = encode::line(&line);
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "{}", shown(&line));
        let read: serde_json::Value = serde_json::from_slice(&line).expect("a line is JSON");
        assert_eq!(read["backend"], name.as_str());
        lines.append(&line).expect("the disk is well");
        written.push(line);
    }
    if written.is_empty() {
        return;
    }
    let mut all = Vec::new();
    for name in ["journal.2.jsonl", "journal.1.jsonl", "journal.jsonl"] {
        let Ok(file) = fs::read(directory.path().join(name)) else { continue };
        let most = written.iter().map(Vec::len).max().unwrap_or(0).max(there.len());
        assert!(
            file.len() <= usize::try_from(SMALL.file_size).expect("it is small") + most + 1,
            "{name}: {}",
            file.len()
        );
        assert_eq!(file.last(), Some(&b'\n'), "{name} is torn: {}", shown(&file));
        all.extend(file);
    }
    assert!(fs::read_dir(directory.path()).expect("the disk is well").count() <= 3);
    // What there is ends with the newest lines, each whole, none missing between two.
    let mut rest = &all[..];
    for line in written.iter().rev() {
        match rest.strip_suffix(&line[..]) {
            Some(before) => rest = before,
            None => {
                assert!(rest.is_empty(), "something stands between the lines: {}", shown(rest));
                return;
            }
        }
    }
    assert!(rest.is_empty() || [there, b"\n"].concat().starts_with(rest.trim_ascii_end()), "{}", shown(rest));
}
