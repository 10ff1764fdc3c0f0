//! Nobody is talked into two messages where we saw one: made-up requests go through the front door to an endpoint that keeps every
//! byte, made-up responses to a client that does; then parsers that make every known mistake read those bytes, and all must find the
//! same messages, which are the ones that were sent.
//!
//! A case is a number: `SEED=n cargo test --test it smuggled` is that case alone. `SMUGGLED=n` is how many there are.

mod answers;
mod craft;
mod dialect;
mod frames;
mod recorder;

use crate::harness::client::request;
use crate::harness::ports::free_address;
use crate::harness::{Door, PATIENCE};
use craft::Conversation;
use dialect::{Allowed, DOOR, End, FROM_ENDPOINTS, LENIENT, Message, STRICT, sent_on};
use futures_util::StreamExt;
use recorder::{Recorder, Says};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// How many at once: most of them wait for something.
const AT_ONCE: usize = 32;

/// Once so many others, each of whom came after the one before had its answer, were served while it heard nothing, a client goes away: what
/// a message that never ends is waiting for, nobody knows, and a busy machine is slower for all alike.
const OTHERS: usize = 4;

/// The numbers of the cases, of which `many` are run unless it is said otherwise.
fn cases(many: u64) -> std::ops::Range<u64> {
    let said = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().expect("it is a number"));
    match (said("SEED"), said("SMUGGLED")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(many)) => 0..many,
        (None, None) => 0..many,
    }
}

/// `make test` runs more of them.
const fn share(many: u64) -> u64 {
    if cfg!(feature = "real") { many } else { many / 5 }
}

/// A front door before that endpoint, and its listener without TLS.
async fn door(recorder: &Recorder) -> (Door, SocketAddr) {
    let plain = free_address();
    let listener = format!("[[listener]]\naddress = \"{plain}\"\n");
    let built = Door::builder().primary_at(recorder.address).rest(&listener);
    (built.backend("tally = { trip = 1000, consecutive = 1000 }").start().await, plain)
}

/// Each case has an address of its own, by which its requests are known.
fn address(case: u64) -> Ipv4Addr {
    let [.., a, b, c] = case.to_be_bytes();
    Ipv4Addr::new(127, 64 | (a & 63), b, c)
}

async fn connect(to: SocketAddr, case: u64) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address(case), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    InOrder,
    /// Reset, or left by us.
    Otherwise,
}

/// [`OTHERS`] come and go.
async fn others(plain: SocketAddr) {
    for _ in 0..OTHERS {
        let served = async {
            let mut socket = TcpStream::connect(plain).await.unwrap();
            socket.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
            socket.read_to_end(&mut Vec::new()).await
        };
        let _ended = tokio::time::timeout(PATIENCE, served).await.expect("the front door answers others");
    }
}

/// What comes until the connection ends, `enough` has come, or nothing comes any more.
async fn listen(socket: &mut TcpStream, plain: SocketAddr, enough: impl Fn(&[u8]) -> bool) -> (Vec<u8>, Ended) {
    let mut all = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    while !enough(&all) {
        tokio::select! {
            read = socket.read(&mut piece) => match read {
                Ok(0) => return (all, Ended::InOrder),
                Ok(length) => all.extend_from_slice(&piece[..length]),
                Err(_) => break,
            },
            () = others(plain) => break,
        }
    }
    (all, Ended::Otherwise)
}

fn has(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What every reader must agree about in what the endpoint was sent, whoever's requests they are.
fn readers_agree(recorder: &Recorder) {
    for bytes in &recorder.came.lock().unwrap().connections {
        let strict = dialect::requests(bytes, &STRICT);
        let shown = || String::from_utf8_lossy(bytes).into_owned();
        assert!(!matches!(strict.end, End::Bad(_)), "to the letter this is {:?}: {:?}", strict.end, shown());
        for lenient in &LENIENT {
            let read = dialect::requests(bytes, lenient);
            assert_eq!(read.messages, strict.messages, "where {}: {:?}", lenient.name, shown());
        }
    }
}

/// The requests that came from that case's address.
fn came_from(recorder: &Recorder, case: u64) -> Vec<(String, String, Vec<u8>)> {
    let address = address(case).to_string();
    let came = recorder.came.lock().unwrap();
    let own = came.requests.iter().filter(|message| message.field("x-forwarded-for") == Some(&address));
    own.map(|Message { start: [method, target, _], body, .. }| (method.clone(), target.clone(), body.clone())).collect()
}

async fn whole_run<F: Future<Output = bool>>(
    says: Says,
    many: u64,
    case: impl Fn(u64, SocketAddr) -> F,
) -> (Recorder, usize) {
    let recorder = Recorder::start(says).await;
    let (door, plain) = door(&recorder).await;
    let run = futures_util::stream::iter(cases(many)).map(|number| case(number, plain)).buffer_unordered(AT_ONCE);
    let passed = run.filter(|passed| std::future::ready(*passed)).count().await;
    door.stop().await;
    (recorder, passed)
}

#[tokio::test(flavor = "local")]
async fn readers_of_every_kind_find_the_requests_that_a_client_sent_over_http_1() {
    let many = share(1_500);
    let talks = std::cell::RefCell::new(Vec::new());
    let (recorder, passed) = whole_run(recorder::echo(), many, |case, plain| {
        let talks = &talks;
        async move {
            let said = craft::conversation(case, &mut fastrand::Rng::with_seed(case));
            let heard = talk(&said, plain, case).await;
            let passed = has(&heard, "x-seen: /c");
            talks.borrow_mut().push((case, said, heard));
            passed
        }
    })
    .await;
    readers_agree(&recorder);
    for (case, said, heard) in talks.take() {
        one_talk(&recorder, case, &said, &heard);
    }
    let cases = cases(many);
    assert!(
        cases.end - cases.start == 1 || passed * 20 > usize::try_from(cases.end).unwrap(),
        "only {passed} came through"
    );
}

/// Says it all and hears what comes.
async fn talk(said: &Conversation, plain: SocketAddr, case: u64) -> Vec<u8> {
    let mut socket = connect(plain, case).await;
    for piece in &said.writes {
        if socket.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    if said.then == craft::Then::Close {
        let _gone = socket.shutdown().await;
    }
    listen(&mut socket, plain, |heard| has(heard, craft::LAST)).await.0
}

/// What the endpoint saw of a client is what the client sent, in its order; what the client heard belongs to what it asked.
fn one_talk(recorder: &Recorder, case: u64, said: &Conversation, heard: &[u8]) {
    let context = || format!("SEED={case}: {:?}; heard {:?}", text(&said.bytes()), text(heard));
    let asked: Vec<_> = dialect::requests(&said.bytes(), &DOOR).messages;
    let mut left = asked.iter();
    for seen in came_from(recorder, case) {
        let same = |Message { start: [method, target, _], body, .. }: &Message| {
            (method, sent_on(target), body) == (&seen.0, seen.1.clone(), &seen.2)
        };
        assert!(left.any(same), "{seen:?} was never asked for; {}", context());
    }
    let methods: Vec<&str> = asked.iter().map(|message| message.start[0].as_str()).chain(["GET"]).collect();
    let answers = dialect::responses(heard, &STRICT, &methods, Allowed::No);
    assert!(!matches!(answers.end, End::Bad(_)), "the client heard what is {:?}; {}", answers.end, context());
    let finals = answers.messages.iter().filter(|message| message.status() >= 200);
    for (answer, asked) in finals.zip(asked.iter().map(Some).chain([None])) {
        if let Some(seen) = answer.field("x-seen") {
            let target = asked.map(|asked| sent_on(asked.target()));
            assert_eq!(Some(seen), target.as_deref(), "an answer to another request; {}", context());
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "local")]
async fn readers_of_every_kind_find_the_requests_that_a_client_sent_over_http_2() {
    let many = share(500);
    let (recorder, _) = whole_run(recorder::echo(), many, |case, plain| async move {
        let mut rng = fastrand::Rng::with_seed(case);
        let streams = frames::streams(case, &mut rng);
        let mut socket = connect(plain, case).await;
        let _written = socket.write_all(&frames::bytes(&streams, &mut rng)).await;
        tokio::select! {
            () = frames::read_to_their_end(&mut socket, &streams) => true,
            () = others(plain) => false,
        }
    })
    .await;
    readers_agree(&recorder);
    let mut passed = 0;
    for case in cases(many) {
        let streams = frames::streams(case, &mut fastrand::Rng::with_seed(case));
        let mut meant: Vec<_> = streams.iter().filter_map(frames::Stream::means).collect();
        for seen in came_from(&recorder, case) {
            let same = |(method, path, body): &(String, String, Vec<u8>)| {
                (method, sent_on(path), body) == (&seen.0, seen.1.clone(), &seen.2)
            };
            let place = meant.iter().position(same);
            let shown = || format!("SEED={case}: {seen:?} was never asked for in {streams:?}");
            meant.remove(place.unwrap_or_else(|| panic!("{}", shown())));
            passed += 1;
        }
    }
    let cases = cases(many);
    assert!(cases.end - cases.start == 1 || passed * 5 > cases.end, "only {passed} came through");
}

#[tokio::test(flavor = "local")]
async fn readers_of_every_kind_find_the_responses_that_an_endpoint_sent_and_no_cut_is_an_end() {
    let many = share(800);
    let (_recorder, passed) = whole_run(recorder::made_up(), many, |case, plain| async move {
        let targets: Vec<String> = (0..3).map(|place| format!("/a{case}-{place}")).collect();
        let methods = if case % 5 == 0 { ["GET", "HEAD", "GET"] } else { ["GET", "GET", "GET"] };
        let mut socket = connect(plain, case).await;
        let last = targets.len() - 1;
        for (place, (target, method)) in targets.iter().zip(methods).enumerate() {
            let close = if place == last { "Connection: close\r\n" } else { "" };
            let _sent = socket
                .write_all(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n").as_bytes())
                .await;
        }
        let (heard, ended) = listen(&mut socket, plain, |_| false).await;
        let ended = if ended == Ended::InOrder { Allowed::Yes } else { Allowed::No };
        let context = || {
            let sent = targets.iter().zip(methods).map(|(target, method)| text(&answers::answer(target, method).bytes));
            format!("SEED={case}: heard {:?} of {:#?}", text(&heard), sent.collect::<Vec<_>>())
        };
        let strict = dialect::responses(&heard, &STRICT, &methods, ended);
        assert!(!matches!(strict.end, End::Bad(_)), "to the letter that is {:?}; {}", strict.end, context());
        for lenient in &LENIENT {
            let read = dialect::responses(&heard, lenient, &methods, ended);
            assert_eq!(read.messages, strict.messages, "where {}; {}", lenient.name, context());
        }
        let finals = strict.messages.iter().filter(|message| message.status() >= 200);
        let mut own = false;
        for (answer, (target, method)) in finals.zip(targets.iter().zip(methods)) {
            let Some(whose) = answer.field("x-for") else { continue };
            own = true;
            assert_eq!(whose, target, "an answer to another request; {}", context());
            assert_eq!(
                Some((answer.status(), &answer.body)),
                whole(target, method).as_ref().map(|(s, b)| (*s, b)),
                "{}",
                context()
            );
        }
        own
    })
    .await;
    let cases = cases(many);
    assert!(
        cases.end - cases.start == 1 || passed * 20 > usize::try_from(cases.end).unwrap(),
        "only {passed} came through"
    );
}

/// Status and body of what the endpoint says to that target, if it is a whole response.
fn whole(target: &str, method: &str) -> Option<(u16, Vec<u8>)> {
    let said = answers::answer(target, method);
    let ended = if said.then == recorder::Then::Close { Allowed::Yes } else { Allowed::No };
    let read = dialect::responses(&said.bytes, &FROM_ENDPOINTS, &[method], ended);
    read.messages.into_iter().find(|message| message.status() >= 200).map(|message| (message.status(), message.body))
}

#[tokio::test(flavor = "local")]
async fn no_cut_of_an_endpoint_is_an_end_over_http_2() {
    let many = share(300);
    let recorder = Recorder::start(recorder::made_up()).await;
    let (door, plain) = door(&recorder).await;
    let client = door.client().many().await;
    let run = futures_util::stream::iter(cases(many)).map(|case| {
        let target = format!("/b{case}");
        let sent = client.send(request("GET", &target, ""));
        async move {
            let answer = tokio::select! {
                sent = sent => sent.ok(),
                () = others(plain) => None,
            };
            let Some(answer) = answer else { return false };
            let Some(whose) = answer.headers().get("x-for") else { return false };
            assert_eq!(whose, target.as_str(), "SEED={case}");
            let heard = Some((answer.status().as_u16(), answer.body().to_vec()));
            assert_eq!(heard, whole(&target, "GET"), "SEED={case}: {:?}", text(&answers::answer(&target, "GET").bytes));
            true
        }
    });
    let passed = run.buffer_unordered(AT_ONCE).filter(|passed| std::future::ready(*passed)).count().await;
    door.stop().await;
    let cases = cases(many);
    assert!(
        cases.end - cases.start == 1 || passed * 20 > usize::try_from(cases.end).unwrap(),
        "only {passed} came through"
    );
}
