//! How a memory is spelt: one JSON object, whose last field is the CRC-32 of all before it. A rename can't tear a file, but a
//! disk may still give back other bytes than it was given, and one wrong letter in a name would be another pool.
//!
//! The rows are flat and have no enum with data in it, so that what an operator reads with `jq` is plain. Fields that a later
//! release adds are ignored; a version that it raises means that ignoring them would be wrong.
//!
//! Not here: what is done about a damaged file (`disk`).

use crate::domain::{BackendMemory, Command, Diverged, Memory, PlaceName, PoolMemory, Scope, WritesMemory};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// What this release writes, and the only one that it reads.
const VERSION: u64 = 1;

/// No file that we write is larger, and none that is gets read: a configuration has at most 16 MiB, and a memory is shorter
/// than the configuration that it is about.
pub(super) const LARGEST: usize = 16 << 20;

/// Why a file is not a memory.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("it is not JSON ({0})")]
    NotJson(serde_json::Error),
    #[error("its version is {0}, and this release reads {VERSION}")]
    Version(u64),
    #[error("its checksum is missing")]
    NoChecksum,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it does not say what it should ({0})")]
    Content(serde_json::Error),
    #[error("`saved` is not a time: {0}")]
    Time(jiff::Error),
    #[error("the command {0} lacks what it is about")]
    Command(&'static str),
}

/// The version alone, which every release finds in the same place.
#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u64,
    saved: String,
    backends: Vec<BackendRow>,
    commands: Vec<CommandRow>,
}

#[derive(Serialize, Deserialize)]
struct BackendRow {
    name: String,
    serving: String,
    writes: WritesRow,
    pools: Vec<PoolRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WritesRow {
    AsUsual,
    UntilAck,
    UntilInSync,
}

#[derive(Serialize, Deserialize)]
struct PoolRow {
    name: String,
    diverged: bool,
    failovers: u32,
    writes_failed: bool,
}

/// A command. Where `backend` is missing from one that has a scope, it is for all backends.
#[derive(Serialize, Deserialize)]
struct CommandRow {
    command: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    /// What was left of it when it was saved; missing: it stands until it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<Duration>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Failover,
    Failback,
    Hold,
    Drain,
    ReadOnly,
    Ack,
    Release,
    Undrain,
}

/// The file's bytes.
pub fn encode(memory: &Memory, saved: SystemTime) -> Vec<u8> {
    // A clock outside the calendar: then no time passes, rather than all of it.
    let saved = jiff::Timestamp::try_from(saved).unwrap_or(jiff::Timestamp::MAX);
    let document = Document {
        version: VERSION,
        saved: saved.to_string(),
        backends: memory.backends.iter().map(backend_row).collect(),
        commands: memory.commands.iter().map(|(command, left)| command_row(command, *left)).collect(),
    };
    let mut bytes = serde_json::to_vec(&document).expect("rows have text keys, and writing to memory does not fail");
    let brace = bytes.pop();
    debug_assert_eq!(brace, Some(b'}'), "a struct is an object");
    let checksum = checksum_field(crc32(&bytes));
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

/// The memory, with what is left of its commands at the wall time `now`. A clock that went backwards counts as no time passed.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn decode(bytes: &[u8], now: SystemTime) -> Result<Memory, Damage> {
    let Head { version } = parse(bytes)?;
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    check(bytes)?;
    let document: Document = parse(bytes)?;
    let saved: jiff::Timestamp = document.saved.parse().map_err(Damage::Time)?;
    let saved = SystemTime::try_from(saved).map_err(Damage::Time)?;
    let passed = now.duration_since(saved).unwrap_or_default();
    let command = |row: CommandRow| {
        let left = row.left.map(|left| left.saturating_sub(passed));
        Ok((command(row)?, left))
    };
    Ok(Memory {
        backends: document.backends.into_iter().map(backend).collect(),
        commands: document.commands.into_iter().map(command).collect::<Result<_, Damage>>()?,
    })
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Damage> {
    serde_json::from_slice(bytes).map_err(|error| match error.is_data() {
        true => Damage::Content(error),
        false => Damage::NotJson(error),
    })
}

fn check(bytes: &[u8]) -> Result<(), Damage> {
    let begin = bytes.len().checked_sub(checksum_field(0).len()).ok_or(Damage::NoChecksum)?;
    let (content, field) = bytes.split_at(begin);
    if !field.starts_with(b",\"crc32\":\"") {
        return Err(Damage::NoChecksum);
    }
    if field == checksum_field(crc32(content)).as_bytes() { Ok(()) } else { Err(Damage::Checksum) }
}

/// The end of the file, from the last comma on: always as long.
fn checksum_field(crc: u32) -> String {
    format!(",\"crc32\":\"{crc:08x}\"}}\n")
}

/// CRC-32 as in zip and Ethernet, bit by bit: a few thousand bytes now and then need no table.
fn crc32(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}

fn backend_row(backend: &BackendMemory) -> BackendRow {
    let BackendMemory { name, serving, writes, pools } = backend;
    let writes = match writes {
        WritesMemory::AsUsual => WritesRow::AsUsual,
        WritesMemory::UntilAck => WritesRow::UntilAck,
        WritesMemory::UntilInSync => WritesRow::UntilInSync,
    };
    BackendRow {
        name: name.to_string(),
        serving: serving.to_string(),
        writes,
        pools: pools.iter().map(pool_row).collect(),
    }
}

fn pool_row(pool: &PoolMemory) -> PoolRow {
    let PoolMemory { name, diverged, failovers, writes_failed } = pool;
    let diverged = match diverged {
        Diverged::No => false,
        Diverged::Yes => true,
    };
    PoolRow { name: name.to_string(), diverged, failovers: *failovers, writes_failed: *writes_failed }
}

fn backend(row: BackendRow) -> BackendMemory {
    let writes = match row.writes {
        WritesRow::AsUsual => WritesMemory::AsUsual,
        WritesRow::UntilAck => WritesMemory::UntilAck,
        WritesRow::UntilInSync => WritesMemory::UntilInSync,
    };
    let pool = |row: PoolRow| {
        let diverged = if row.diverged { Diverged::Yes } else { Diverged::No };
        PoolMemory { name: row.name.into(), diverged, failovers: row.failovers, writes_failed: row.writes_failed }
    };
    BackendMemory {
        name: row.name.into(),
        serving: row.serving.into(),
        writes,
        pools: row.pools.into_iter().map(pool).collect(),
    }
}

fn command_row(command: &Command, left: Option<Duration>) -> CommandRow {
    let row = |word| CommandRow { command: word, backend: None, to: None, pool: None, endpoint: None, left };
    let of = |word, backend: &str| CommandRow { backend: Some(backend.to_owned()), ..row(word) };
    let within = |word, scope: &Scope| match scope {
        Scope::Backend(backend) => of(word, backend),
        Scope::All => row(word),
    };
    let at = |word, place: &PlaceName| match place {
        PlaceName::Pool(pool) => CommandRow { pool: Some(pool.to_string()), ..row(word) },
        PlaceName::Endpoint(endpoint) => CommandRow { endpoint: Some(endpoint.to_string()), ..row(word) },
    };
    match command {
        Command::Failover { backend, to } => {
            CommandRow { to: to.as_ref().map(|to| to.to_string()), ..of(Word::Failover, backend) }
        }
        Command::Failback { backend } => of(Word::Failback, backend),
        Command::Hold { scope } => within(Word::Hold, scope),
        Command::Drain { place } => at(Word::Drain, place),
        Command::ReadOnly { backend } => of(Word::ReadOnly, backend),
        Command::Ack { backend } => of(Word::Ack, backend),
        Command::Release { scope } => within(Word::Release, scope),
        Command::Undrain { place } => at(Word::Undrain, place),
    }
}

fn command(row: CommandRow) -> Result<Command, Damage> {
    let CommandRow { command: word, backend, to, pool, endpoint, left: _ } = row;
    let scope = |backend: Option<String>| backend.map_or(Scope::All, |name| Scope::Backend(name.into()));
    let named = |command, backend: Option<String>| backend.map(Into::into).ok_or(Damage::Command(command));
    let place = |command| match (pool, endpoint) {
        (Some(pool), None) => Ok(PlaceName::Pool(pool.into())),
        (None, Some(endpoint)) => Ok(PlaceName::Endpoint(endpoint.into())),
        (Some(_), Some(_)) | (None, None) => Err(Damage::Command(command)),
    };
    Ok(match word {
        Word::Failover => Command::Failover { backend: named("failover", backend)?, to: to.map(Into::into) },
        Word::Failback => Command::Failback { backend: named("failback", backend)? },
        Word::Hold => Command::Hold { scope: scope(backend) },
        Word::Drain => Command::Drain { place: place("drain")? },
        Word::ReadOnly => Command::ReadOnly { backend: named("readonly", backend)? },
        Word::Ack => Command::Ack { backend: named("ack", backend)? },
        Word::Release => Command::Release { scope: scope(backend) },
        Word::Undrain => Command::Undrain { place: place("undrain")? },
    })
}

#[cfg(test)]
mod tests;
