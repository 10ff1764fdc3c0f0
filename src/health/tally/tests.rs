//! What a worker counts at an endpoint, as the supervisor reads it.

use super::*;
use crate::domain::{Askers, Elsewhere, FailedRequest, Pending, TallyDelta, Weight};
use crate::health::notes::Note;
use crate::telemetry::cells::WorkerIndex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire};
use tokio::sync::mpsc;

const A: WorkerIndex = WorkerIndex(0);
const B: WorkerIndex = WorkerIndex(1);

fn tally() -> (Arc<Tally>, TallyReader) {
    let tally = Arc::new(Tally::new(EndpointId(1), 2));
    (tally.clone(), TallyReader::new(tally))
}

fn millis(millis: u64) -> Moment {
    Moment::at(Duration::from_millis(millis))
}

fn asking(class: Class, client: u64, path: u64) -> Asking {
    Asking { class, client: Fingerprint(client), path: Fingerprint(path) }
}

const READ: Asking = Asking { class: Class::Safe, client: Fingerprint(1), path: Fingerprint(1) };

fn good(tally: &Tally, worker: WorkerIndex, at: u64) {
    tally.cells.of(worker).note_good(READ, millis(at), millis(at));
}

fn note(kind: FailureKind, class: Class, at: Moment) -> Note {
    let (client, path) = (Fingerprint(1), Fingerprint(1));
    let failed = FailedRequest { kind, class, weight: Weight::Full, client, path, elsewhere: Elsewhere::Unknown };
    Note { endpoint: EndpointId(1), at, failed }
}

fn fail(reader: &mut TallyReader, at: u64) {
    reader.add(note(FailureKind::Status, Class::Safe, millis(at)));
}

fn trailing(delta: &TallyDelta) -> u32 {
    delta.trailing[Class::Safe]
}

#[test]
fn each_look_tells_only_what_is_new() {
    let (tally, mut reader) = tally();
    assert_eq!(reader.news(), None);
    good(&tally, A, 1);
    tally.cells.of(B).note_good(asking(Class::Unsafe, 1, 1), millis(1), millis(1));
    reader.add(note(FailureKind::Reset, Class::Safe, millis(1)));
    reader.add(note(FailureKind::Cut, Class::Unsafe, millis(1)));
    let delta = reader.news().unwrap();
    assert_eq!(delta.good, PerClass::new(1, 1));
    let kinds: Vec<_> = delta.failed.iter().map(|failed| failed.kind).collect();
    assert_eq!(kinds, [FailureKind::Reset, FailureKind::Cut]);
    assert_eq!(reader.news(), None);
}

#[test]
fn without_a_good_answer_every_failure_is_trailing() {
    let (tally, mut reader) = tally();
    good(&tally, A, 1);
    reader.news();
    fail(&mut reader, 2);
    fail(&mut reader, 3);
    assert_eq!(trailing(&reader.news().unwrap()), 2);
}

#[test]
fn only_what_failed_after_the_last_good_answer_of_any_worker_is_trailing() {
    let (tally, mut reader) = tally();
    good(&tally, A, 5);
    good(&tally, B, 3);
    for at in [6, 4, 5, 7] {
        fail(&mut reader, at);
    }
    reader.add(note(FailureKind::Reset, Class::Unsafe, millis(1)));
    let delta = reader.news().unwrap();
    assert_eq!((delta.trailing, delta.failed.len()), (PerClass::new(2, 1), 5), "each class has a run of its own");
}

#[test]
fn a_failure_that_is_told_late_does_not_lengthen_a_run_that_began_after_it() {
    let (tally, mut reader) = tally();
    good(&tally, A, 5);
    reader.news();
    reader.add(note(FailureKind::Timeout, Class::Safe, millis(6)));
    fail(&mut reader, 4); // it waited for what its request would meet elsewhere
    let delta = reader.news().unwrap();
    assert_eq!(trailing(&delta), 1);
    assert_eq!(delta.failed[1].kind, FailureKind::Timeout, "the run stands last");
}

#[test]
fn whoever_was_answered_last_is_known_over_all_workers() {
    let (tally, mut reader) = tally();
    for (worker, client, at) in [(A, 1, 1), (A, 2, 2), (A, 1, 3), (B, 3, 4), (B, 1, 5)] {
        tally.cells.of(worker).note_good(asking(Class::Safe, client, 9), millis(at), millis(at));
    }
    assert_eq!(reader.news().unwrap().answered, PerClass::default(), "nobody asks while nothing fails");
    fail(&mut reader, 6);
    let answered = reader.news().unwrap().answered[Class::Safe];
    let named = |who, at| Some((Fingerprint(who), millis(at)));
    assert_eq!(answered.clients, [named(1, 5), named(3, 4)]);
    assert_eq!(answered.paths, [named(9, 5), None]);
}

#[test]
fn who_waits_for_a_head_is_told_until_nobody_does() {
    let (tally, mut reader) = tally();
    let first = tally.cells.of(A).begin_waiting(asking(Class::Safe, 1, 1), millis(7));
    let pending = |count, from| Some(Pending { count, oldest: millis(7), from });
    assert_eq!(reader.news().unwrap().pending, pending(1, Askers::One));
    let second = tally.cells.of(B).begin_waiting(asking(Class::Safe, 1, 1), millis(8));
    assert_eq!(reader.news().unwrap().pending, pending(2, Askers::One), "one who asks twice is one");
    let third = tally.cells.of(B).begin_waiting(asking(Class::Safe, 1, 2), millis(9));
    assert!(reader.is_busy());
    assert_eq!(reader.news().unwrap().pending, pending(3, Askers::Several));
    for (worker, place) in [(A, first), (B, second), (B, third)] {
        tally.cells.of(worker).end_waiting(place);
    }
    tally.cells.of(A).note_head(millis(10));
    let delta = reader.news().unwrap();
    assert_eq!((delta.pending, delta.last_head), (None, Some(millis(10))));
    assert_eq!(reader.news(), None, "it was told that nobody waits any more");
}

#[test]
fn more_than_can_be_told_apart_are_counted() {
    let (tally, mut reader) = tally();
    let cell = tally.cells.of(A);
    let places: Vec<_> = (0..20).map(|n| cell.begin_waiting(asking(Class::Safe, n, 1), millis(n))).collect();
    assert_eq!(reader.look().pending.unwrap().count, 20);
    places.into_iter().for_each(|place| cell.end_waiting(place));
    assert_eq!(reader.look().pending, None);
}

#[test]
fn heads_are_told_by_how_long_they_took() {
    let (tally, mut reader) = tally();
    let mut heads = HeadTimes::default();
    for took in [Duration::from_micros(900), Duration::from_millis(30), Duration::from_secs(3_600)] {
        tally.cells.of(A).note_head_time(Class::Safe, took);
        heads.add(took, 1);
    }
    assert_eq!(reader.look().heads, heads);
    assert_eq!(reader.look().heads, HeadTimes::default());
}

#[test]
fn answers_to_what_was_asked_after_a_probe_are_counted() {
    let (tally, _) = tally();
    for at in 1..=9 {
        tally.cells.of(A).note_good(READ, millis(at), millis(20));
    }
    tally.cells.of(B).note_good(READ, millis(3), millis(20));
    assert_eq!([2, 3, 7, 9].map(|began| tally.answered_since(millis(began))), [5, 4, 2, 0]);
}

#[test]
fn what_is_usual_is_known_after_a_hundred_answers() {
    let (tally, _) = tally();
    let cell = tally.cells.of(A);
    (0..99).for_each(|_| cell.note_head_time(Class::Safe, Duration::from_millis(3)));
    assert_eq!(tally.usual(Class::Safe), None);
    cell.note_head_time(Class::Safe, Duration::from_secs(2));
    assert_eq!(tally.usual(Class::Safe), Some(Duration::from_millis(5)));
    (0..9).for_each(|_| cell.note_head_time(Class::Safe, Duration::from_secs(2)));
    assert_eq!(tally.usual(Class::Safe), Some(Duration::from_millis(2_500)));
    assert_eq!(tally.usual(Class::Unsafe), None, "of writes nothing is known");
}

#[test]
fn an_endpoint_is_tried_once_a_second_at_most_and_once_in_five_at_least() {
    let (tally, _) = tally();
    assert!(tally.take_turn(millis(0), || false), "it was never tried");
    assert!(!tally.take_turn(millis(999), || true));
    assert!(!tally.take_turn(millis(4_999), || false));
    assert!(tally.take_turn(millis(5_000), || false));
    assert!(tally.take_turn(millis(6_000), || true));
}

/// Each worker repeats: one good answer, then two failures. Whatever the reader catches of it, no count is lost or told
/// twice.
#[test]
fn a_reader_beside_busy_writers_loses_nothing() {
    const ROUNDS: u32 = 50_000;
    let (tally, mut reader) = tally();
    let (send, mut notes) = mpsc::channel(4_096);
    let done = AtomicBool::new(false);
    let clock = AtomicU64::new(0);
    let (mut well, mut badly) = (0, 0);
    let mut look = |notes: &mut mpsc::Receiver<Note>| {
        while let Ok(note) = notes.try_recv() {
            reader.add(note);
        }
        let delta = reader.look();
        assert!(trailing(&delta) <= u32::try_from(delta.failed.len()).unwrap());
        well += delta.good[Class::Safe];
        badly += delta.failed.len();
    };
    std::thread::scope(|scope| {
        let writers = [A, B].map(|worker| {
            let (tally, send, clock) = (&tally, send.clone(), &clock);
            scope.spawn(move || {
                let cell = tally.cells.of(worker);
                let now = || Moment::at(Duration::from_nanos(clock.fetch_add(1, Release)));
                for _ in 0..ROUNDS {
                    let place = cell.begin_waiting(READ, now());
                    cell.note_good(READ, now(), now());
                    cell.end_waiting(place);
                    for _ in 0..2 {
                        send.blocking_send(note(FailureKind::Status, Class::Safe, now())).unwrap();
                    }
                }
            })
        });
        scope.spawn(|| {
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Release);
        });
        while !done.load(Acquire) {
            look(&mut notes);
        }
    });
    look(&mut notes);
    assert_eq!((well, badly), (2 * ROUNDS, 4 * ROUNDS as usize));
}

/// A run of failures that good answers interrupt is never told as longer than it was, whenever the looks fall.
#[test]
fn a_run_is_never_told_longer_than_it_was() {
    let tally = Arc::new(Tally::new(EndpointId(1), 1));
    let mut reader = TallyReader::new(tally.clone());
    let (send, mut notes) = mpsc::channel(4_096);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || {
            let mut nanos = 0;
            let mut now = || {
                nanos += 1;
                Moment::at(Duration::from_nanos(nanos))
            };
            for round in 0..200_000_u32 {
                tally.cells.of(A).note_good(READ, now(), now());
                for _ in 0..2 {
                    send.blocking_send(note(FailureKind::Status, Class::Safe, now())).unwrap();
                }
                (0..round % 64).for_each(|_| std::hint::spin_loop()); // so that looks fall between and within
            }
            done.store(true, Release);
        });
        let mut run = 0;
        while !done.load(Acquire) {
            while let Ok(note) = notes.try_recv() {
                reader.add(note);
            }
            let delta = reader.look();
            // What the score makes of it: a good answer ends the run, and what trails goes on with it.
            run = if delta.good[Class::Safe] == 0 { run + trailing(&delta) } else { trailing(&delta) };
            assert!(run <= 2, "{run} in a row after {delta:?}");
        }
    });
}
