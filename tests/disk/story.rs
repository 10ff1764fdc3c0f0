//! What the children write: memories and lines that are known by their number, each part of them.

use hotspare::domain::{
    BackendMemory, Cause, Change, Command, Diverged, Evidence, Memory, Moment, PoolMemory, Scope, Transition,
    WritesMemory,
};
use hotspare::health::state_file::{Remembered, read};
use hotspare::telemetry::journal::{Entry, Line};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The memory of that number: half of it and half of another would show.
pub fn memory(number: u32) -> Memory {
    let pool = |rank: u32| PoolMemory {
        name: format!("pool-{rank}-of-{number}").into(),
        diverged: if (number + rank).is_multiple_of(2) { Diverged::Yes } else { Diverged::No },
        failovers: number,
        writes_failed: number.is_multiple_of(3),
    };
    let backend = |rank: u32| BackendMemory {
        name: format!("backend-{rank}-of-{number}").into(),
        serving: format!("pool-{}-of-{number}", number % 3).into(),
        writes: WritesMemory::AsUsual,
        pools: (0..3).map(pool).collect(),
    };
    // Of many lengths, so that an older and longer one would stick out behind a newer one.
    let backends = (0..1 + number * 7 % 40).map(backend).collect();
    let hold = Command::Hold { scope: Scope::Backend(format!("backend-0-of-{number}").into()) };
    Memory { backends, commands: vec![(hold, None)] }
}

/// The number of the memory that is on disk, which must be one of those, whole.
#[track_caller]
pub fn remembered(directory: &Path) -> Option<u32> {
    match read(directory, SystemTime::UNIX_EPOCH) {
        Remembered::Nothing => None,
        Remembered::Memory(found) => {
            let number = found.backends[0].pools[0].failovers;
            assert_eq!(found, memory(number));
            Some(number)
        }
        Remembered::Lost(lost) => panic!("{lost}"),
    }
}

pub fn line(number: u32) -> Line {
    let moment = Moment::at(Duration::from_millis(number.into()));
    let transition = Transition {
        at: moment,
        backend: Some(format!("backend-{number}").into()),
        change: Change::Serving { from: format!("pool-{number}").into(), to: "oregon".into() },
        cause: Cause::PoolUnusable,
        evidence: Evidence::Endpoints { up: 0, of: 2, needed: 1 },
        first_evidence: None,
    };
    Line { at: SystemTime::UNIX_EPOCH, moment, entry: Entry::Transition { transition, meanwhile: None } }
}

pub fn last() -> Line {
    Line { at: SystemTime::UNIX_EPOCH, moment: Moment::ZERO, entry: Entry::Stopped }
}

/// The whole text of the journal's files, oldest first.
pub fn journal(directory: &Path) -> String {
    let older = (1..10).rev().map(|age| directory.join(format!("journal.{age}.jsonl")));
    older.chain([directory.join("journal.jsonl")]).filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// What a line of it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Line(u32),
    Lost(u64),
    Stopped,
    /// No JSON: the beginning of a line.
    Torn,
}

pub fn told(line: &str) -> Told {
    let Ok(row) = serde_json::from_str::<serde_json::Value>(line) else { return Told::Torn };
    match row["kind"].as_str().unwrap() {
        "stop" => Told::Stopped,
        "lost" => Told::Lost(row["lines"].as_u64().unwrap()),
        _ => {
            let number = row["backend"].as_str().unwrap().strip_prefix("backend-").unwrap();
            assert_eq!(row["from"].as_str().unwrap(), format!("pool-{number}"));
            Told::Line(number.parse().unwrap())
        }
    }
}
