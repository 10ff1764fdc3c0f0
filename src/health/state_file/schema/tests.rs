//! Memories written and read back, and what is not one.

use super::super::fixtures::{failed_over, memories};
use super::*;
use proptest::prelude::*;

const SAVED: SystemTime = SystemTime::UNIX_EPOCH;

fn later(seconds: u64) -> SystemTime {
    SAVED + Duration::from_secs(seconds)
}

/// `content` as the inside of an object, with its checksum.
fn sealed(content: &str) -> Vec<u8> {
    let content = format!("{{{content}");
    (content.clone() + &checksum_field(crc32(content.as_bytes()))).into_bytes()
}

fn refused(bytes: &[u8]) -> String {
    decode(bytes, SAVED).unwrap_err().to_string()
}

#[test]
fn a_memory_is_spelt_so_that_an_operator_can_read_it() {
    let text = String::from_utf8(encode(&failed_over(), SAVED)).unwrap();
    let begin = r#"{"version":1,"saved":"1970-01-01T00:00:00Z","backends":[{"name":"sites","serving":"oregon","writes":"as_usual","pools":[{"name":"new-jersey","diverged":false,"failovers":2,"writes_failed":false},{"name":"oregon","diverged":true,"failovers":0,"writes_failed":false}]}],"commands":[{"command":"hold","backend":"sites","left":{"secs":600,"nanos":0}},{"command":"drain","endpoint":"10.1.0.11:8080"}]"#;
    assert!(text.starts_with(begin), "{text}");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "one JSON object, with its checksum: {text}");
}

proptest! {
    #[test]
    fn every_memory_comes_back_as_it_was(memory in memories()) {
        prop_assert_eq!(decode(&encode(&memory, SAVED), SAVED).unwrap(), memory);
    }

    #[test]
    fn what_is_cut_off_or_flipped_is_noticed(
        memory in memories(),
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 1..4),
    ) {
        let whole = encode(&memory, SAVED);
        prop_assert!(decode(&whole[..cut.index(whole.len())], SAVED).is_err());
        let mut flipped = whole.clone();
        for (at, bit) in flips {
            flipped[at.index(whole.len())] ^= 1 << bit;
        }
        if flipped != whole {
            prop_assert!(decode(&flipped, SAVED).is_err(), "{}", String::from_utf8_lossy(&flipped));
        }
    }

    #[test]
    fn garbage_is_refused_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in any::<String>()) {
        prop_assert!(decode(&bytes, SAVED).is_err());
        let sealed = sealed(&format!("\"version\":1,{text}"));
        prop_assert!(decode(&sealed, SAVED).is_err());
    }
}

#[test]
fn the_checksum_is_the_one_that_everyone_calls_crc_32() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
}

#[test]
fn time_that_passed_is_taken_off_what_is_left_and_never_added() {
    let bytes = encode(&failed_over(), later(1_000));
    let left = |now| decode(&bytes, now).unwrap().commands.into_iter().map(|(_, left)| left).collect::<Vec<_>>();
    let seconds = |seconds| [Some(Duration::from_secs(seconds)), None];
    assert_eq!(left(later(1_000)), seconds(600));
    assert_eq!(left(later(1_100)), seconds(500));
    assert_eq!(left(later(1_600)), seconds(0));
    assert_eq!(left(later(90_000)), seconds(0), "it does not begin anew");
    assert_eq!(left(later(0)), seconds(600), "a clock that went backwards");
}

#[test]
fn what_a_later_release_adds_is_ignored() {
    let bytes = sealed(
        r#""version":1,"saved":"1970-01-01T00:00:00Z","weather":{"rain":[1]},"backends":[{"name":"sites","serving":"oregon","writes":"until_ack","colour":"red","pools":[]}],"commands":[{"command":"hold","by":"anna"}]"#,
    );
    let memory = decode(&bytes, SAVED).unwrap();
    assert_eq!(memory.backends[0].writes, WritesMemory::UntilAck);
    assert_eq!(memory.commands, [(Command::Hold { scope: Scope::All }, None)]);
}

#[test]
fn each_damage_has_its_own_words() {
    let rest = r#""saved":"1970-01-01T00:00:00Z","backends":[],"commands":[]"#;
    assert!(decode(&sealed(&format!(r#""version":1,{rest}"#)), SAVED).is_ok());
    assert!(refused(b"").starts_with("it is not JSON (EOF"), "{}", refused(b""));
    assert!(refused(b"[]").starts_with("it does not say what it should (invalid"), "{}", refused(b"[]"));
    assert!(refused(b"{}").contains("missing field `version`"));
    assert_eq!(refused(&sealed(&format!(r#""version":2,{rest}"#))), "its version is 2, and this release reads 1");
    assert_eq!(refused(format!(r#"{{"version":1,{rest}}}"#).as_bytes()), "its checksum is missing");
    let mut changed = encode(&failed_over(), SAVED);
    let at = changed.windows(6).position(|part| part == b"oregon").unwrap();
    changed[at] = b'0';
    assert_eq!(refused(&changed), "its checksum is wrong");
    let wrong_type = sealed(&format!(r#""version":1,{}"#, rest.replace("[]", "7")));
    assert!(refused(&wrong_type).starts_with("it does not say what it should (invalid type: integer `7`"));
    let no_time = sealed(&format!(r#""version":1,{}"#, rest.replace("1970-01-01", "yesterday")));
    assert!(refused(&no_time).starts_with("`saved` is not a time: "), "{}", refused(&no_time));
    let nowhere = rest.replace(r#""commands":[]"#, r#""commands":[{"command":"drain"}]"#);
    assert_eq!(refused(&sealed(&format!(r#""version":1,{nowhere}"#))), "the command drain lacks what it is about");
}
