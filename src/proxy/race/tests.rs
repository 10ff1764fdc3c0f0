//! Attempts side by side, at endpoints that do as they are told.

use super::*;
use crate::config::{Timeouts, Way};
use crate::domain::{Class, EndpointId, Fingerprint};
use crate::health::{Asking, EndpointView, Tally};
use crate::proxy::attempt::{By, Hold, Making, Reach, Timed};
use crate::proxy::exchange::{InFlight, Running};
use crate::proxy::held::Extent;
use crate::proxy::interim::For;
use crate::proxy::local::Worker;
use crate::proxy::local::tests::worker;
use crate::runtime::tasks;
use crate::upstream::client::over;
use crate::upstream::connect::connect;
use crate::upstream::{Upload, UploadState};
use http::Request;
use hyper_util::rt::TokioIo;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Ten times what anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

const SECOND: Duration = Duration::from_secs(1);

/// An attempt at an endpoint with that number, over a kept connection, which writes this and goes on waiting.
async fn attempt(worker: &Rc<Worker>, id: u32, by: By, stood: Stood, writes: &'static str) -> Attempt {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        stream.write_all(writes.as_bytes()).await.unwrap();
        let _closed = stream.read(&mut head).await;
    });
    let place = EndpointView { way: Way::plain(address), tally: Arc::new(Tally::new(EndpointId(id), 1)) };
    let now = worker.clock.now();
    keep_one(worker, &place).await;
    let mut request = Request::new(Upload::Empty);
    request.headers_mut().insert("host", "here".parse().unwrap());
    Attempt::begin(Making {
        worker: worker.clone(),
        request,
        upload: Rc::new(UploadState::whole(now)),
        asking: Asking { class: Class::Safe, client: Fingerprint(1), path: Fingerprint(2) },
        by,
        timed: Timed::ByRace,
        hold: Hold::On,
        introduce: None,
        timeouts: Timeouts {
            connect: PATIENCE,
            head: PATIENCE,
            body_idle: PATIENCE,
            total: None,
            tunnel_idle: PATIENCE,
        },
        in_flight: InFlight::begin(worker.endpoint(&place), Running::Read, &worker.reporter),
        planned: None,
        stood,
        interims: For::Nobody,
    })
}

/// Gives that endpoint a kept connection that is ready.
async fn keep_one(worker: &Rc<Worker>, place: &EndpointView) {
    let stream = connect(&place.way.address, None, PATIENCE).await.unwrap();
    let lease = over(TokioIo::new(stream)).await.unwrap();
    let local = worker.endpoint(place);
    local.kept.give_back(lease, worker.clock.now());
    let nothing = UploadState::whole(worker.clock.now());
    loop {
        if let Some(taken) = local.kept.take(worker.clock.now(), PATIENCE, &nothing) {
            return local.kept.give_back(taken.lease, worker.clock.now());
        }
        tokio::task::yield_now().await; // its task has not run yet
    }
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole";
const BEGUN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegun";
const UNKNOWN: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\nno";

fn id(attempt: &Attempt) -> u32 {
    attempt.endpoint().id().0
}

/// When so much time has passed.
fn within(worker: &Worker, time: Duration) -> Option<Instant> {
    Some(worker.clock.instant(worker.clock.now().after(time)))
}

/// Polls until so many responses are being kept.
async fn keeps(worker: &Worker, race: &mut Race, many: usize) {
    let deadline = worker.clock.now().after(PATIENCE);
    while race.iter().filter(|attempt| attempt.holding_since().is_some()).count() < many {
        assert!(worker.clock.now() < deadline, "never came");
        assert!(race.next(within(worker, Duration::from_millis(5)), None).await.is_none());
    }
}

#[tokio::test(flavor = "local")]
async fn the_first_that_ends_is_told_and_the_others_run_on() {
    let (worker, _notes) = worker();
    let mut race = Race::default();
    assert!(race.is_idle());
    race.add(attempt(&worker, 1, By::First, Stood::Up, "").await);
    race.add(attempt(&worker, 2, By::Hedge(Reach::Home), Stood::Up, WHOLE).await);
    assert_eq!((race.running(), race.newest().map(id)), (2, Some(2)));
    let (ended, end) = race.next(within(&worker, PATIENCE), None).await.unwrap();
    assert_eq!((id(&ended), end.unwrap().extent), (2, Extent::Whole));
    assert_eq!(race.iter().map(id).collect::<Vec<_>>(), [1]);
    assert!(race.next(within(&worker, Duration::ZERO), None).await.is_none(), "it is time to look");
    assert_eq!(race.take().map(|attempt| id(&attempt)).collect::<Vec<_>>(), [1]);
    assert!(race.is_idle());
}

#[tokio::test(flavor = "local")]
async fn news_end_the_wait_and_a_sender_that_is_gone_does_not() {
    let (worker, _notes) = worker();
    let mut race = Race::default();
    race.add(attempt(&worker, 1, By::First, Stood::Up, "").await);
    let (sender, mut news) = watch::channel(());
    sender.send(()).unwrap();
    let waited = tokio::time::timeout(PATIENCE, race.next(None, Some(&mut news))).await;
    assert!(waited.expect("there is news").is_none());
    drop(sender);
    race.add(attempt(&worker, 2, By::Retry, Stood::Up, WHOLE).await);
    let ended = race.next(within(&worker, PATIENCE), Some(&mut news)).await;
    assert_eq!(ended.map(|(attempt, _)| id(&attempt)), Some(2));
}

#[tokio::test(flavor = "local")]
async fn a_request_leaves_once_and_only_when_nothing_it_waits_for_is_in_service() {
    let (worker, _notes) = worker();
    let mut race = Race::default();
    assert!(!race.leave(|_| true), "nothing runs");
    race.add(attempt(&worker, 1, By::First, Stood::Up, "").await);
    race.add(attempt(&worker, 2, By::Hedge(Reach::Home), Stood::Up, "").await);
    assert!(!race.leave(|_| false));
    assert!(!race.leave(|attempt| id(attempt) == 1), "one is still up");
    assert!(race.leave(|_| true));
    assert!(race.iter().all(|attempt| attempt.stood == Stood::Left));
    assert!(!race.leave(|_| true), "it has been sent elsewhere for that");
    race.add(attempt(&worker, 3, By::Retry, Stood::Up, "").await);
    assert!(!race.leave(|attempt| id(attempt) != 3));
    assert!(race.leave(|_| true), "that one went down too");
    let _others = race.take();
}

#[tokio::test(flavor = "local")]
async fn what_was_chosen_though_it_was_not_up_is_not_left() {
    let (worker, _notes) = worker();
    let mut race = Race::default();
    race.add(attempt(&worker, 1, By::First, Stood::Otherwise, "").await);
    assert!(!race.leave(|_| true));
}

#[tokio::test(flavor = "local")]
async fn what_is_kept_is_let_go_as_far_as_it_came() {
    let (worker, _notes) = worker();
    let mut race = Race::default();
    race.add(attempt(&worker, 1, By::First, Stood::Up, "").await);
    assert!(race.holding_since().is_none() && race.release().is_none());
    race.add(attempt(&worker, 2, By::Hedge(Reach::Home), Stood::Up, BEGUN).await);
    keeps(&worker, &mut race, 1).await;
    let (released, got) = race.release().unwrap();
    assert_eq!((id(&released), got.extent), (2, Extent::Begun));
    assert!(got.pieces.bytes() <= 5);
    assert_eq!(race.running(), 1);
}

#[tokio::test(flavor = "local")]
async fn of_two_the_one_that_may_go_to_the_client_is_let_go() {
    let (worker, _notes) = worker();
    let mut race = Race::default();
    race.add(attempt(&worker, 1, By::Hedge(Reach::Away), Stood::Up, UNKNOWN).await);
    keeps(&worker, &mut race, 1).await;
    assert!(race.holding_since().is_some(), "alone it is the best there is");
    race.add(attempt(&worker, 2, By::First, Stood::Up, BEGUN).await);
    assert!(race.holding_since().is_none() && race.release().is_none(), "a better one may come");
    keeps(&worker, &mut race, 2).await;
    assert_eq!(race.release().map(|(attempt, _)| id(&attempt)), Some(2), "though it came later");
    assert_eq!(race.release().map(|(attempt, _)| id(&attempt)), Some(1));
}

#[test]
fn a_hedge_waits_three_times_what_is_usual_within_bounds() {
    let millis = Duration::from_millis;
    for (usual, delay) in [
        (None, SECOND),
        (Some(millis(0)), millis(50)),
        (Some(millis(16)), millis(50)),
        (Some(millis(20)), millis(60)),
        (Some(millis(334)), SECOND),
        (Some(Duration::MAX), SECOND),
    ] {
        assert_eq!(hedge_delay(usual), delay, "{usual:?}");
    }
}

#[tokio::test(flavor = "local")]
async fn one_whose_head_is_not_there_in_time_is_taken_out_and_one_whose_head_is_stays() {
    let (worker, _notes) = worker();
    let mut race = Race::default();
    race.add(attempt(&worker, 1, By::First, Stood::Up, "").await);
    race.add(attempt(&worker, 2, By::Hedge(Reach::Home), Stood::Up, BEGUN).await);
    keeps(&worker, &mut race, 1).await;
    let due = race.iter().filter_map(Attempt::head_due).max().unwrap();
    assert_eq!(due, race.iter().next().unwrap().began.after(PATIENCE));
    assert!(race.take_late(worker.clock.now()).is_none());
    let (late, end) = race.take_late(due).unwrap();
    assert_eq!(id(&late), 1);
    assert!(matches!(end, Err(Failed { failure: Failure::NoHead, unsent: None })));
    assert!(race.take_late(due).is_none());
    assert_eq!(race.running(), 1);
}
