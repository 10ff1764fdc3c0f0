//! What a reload removes: what was begun there goes on, requests and tunnels for their own time each, and nothing for longer.

use crate::harness::client::{Client, Version, request};
use crate::harness::endpoint::{Gate, behind, ok, response, then};
use crate::harness::ports::free_address;
use crate::harness::{Act, Door, Endpoint, Raw, eventually};
use crate::http2::endpoint as http2;
use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use hotspare::runtime::tasks;
use hotspare::telemetry::metrics::{DrainCut, Rescued};
use http::{Method, Request};
use std::net::SocketAddr;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// Requests are cut soon, tunnels never.
const REQUESTS_SOON: &str = "drain_timeout = \"300ms\"\ndrain_streams = \"1h\"";

/// Tunnels are cut soon, requests never.
const TUNNELS_SOON: &str = "drain_timeout = \"1h\"\ndrain_streams = \"300ms\"";

/// Nothing is cut while the test lasts.
const NEVER: &str = "drain_timeout = \"1h\"\ndrain_streams = \"1h\"";

fn cuts(door: &Door, what: DrainCut) -> u64 {
    door.count_at_workers(|cells| cells.drain_cuts[what as usize].get())
}

/// So that it ends soon whatever a test that failed has left, and its own drain.
async fn stop(mut door: Door) {
    door.reload(|built| built.set_top("drain_timeout = \"0s\"")).await;
    door.stop().await;
}

fn listener(address: SocketAddr) -> String {
    format!("[[listener]]\naddress = \"{address}\"\ntls = [{{ cert = \"cert.pem\", key = \"cert.key\" }}]\n")
}

/// At /chat an echo, at /silence nothing, at /slow an answer once the gate is open.
async fn endpoint(name: &str, gate: &Gate) -> Endpoint {
    let agrees = Act::Agrees(Box::new(Act::Echo(Vec::new())));
    let endpoint = Endpoint::start(name).await.on("/chat", agrees).on("/silence", Act::Silence);
    endpoint.on("/slow", behind(gate, ok("slow")))
}

/// A connection for bytes on which that was asked for.
async fn ask(client: &Client, path: &str) -> Raw {
    let mut raw = client.raw().await;
    raw.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    raw
}

async fn chat(client: &Client) -> Raw {
    let mut raw = client.raw().await;
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    raw.write(format!(
        "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n"
    ))
    .await;
    let head = raw.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    raw
}

async fn echoes(raw: &mut Raw, words: &str) {
    raw.write(words).await;
    assert_eq!(raw.read_until(words).await, words);
}

/// A connection of HTTP/2 with a tunnel in it.
struct Streams {
    streams: h2::client::SendRequest<Bytes>,
    to: SendStream<Bytes>,
    from: RecvStream,
}

impl Streams {
    async fn start(client: &Client) -> Streams {
        let stream = client.connect("localhost", Version::H2).await;
        let (streams, connection) = h2::client::handshake(stream).await.unwrap();
        tasks::spawn(async { drop(connection.await) });
        eventually("it may ask for tunnels", || streams.is_extended_connect_protocol_enabled()).await;
        let chat = Request::builder().method(Method::CONNECT).uri("https://localhost/chat");
        let chat = chat.header("sec-websocket-version", "13").extension(Protocol::from_static("websocket"));
        let mut ready = streams.clone().ready().await.unwrap();
        let (response, to) = ready.send_request(chat.body(()).unwrap(), false).unwrap();
        let response = tokio::time::timeout(DEADLINE, response).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        Streams { streams, to, from: response.into_body() }
    }

    async fn echoes(&mut self, words: &'static str) {
        self.to.send_data(Bytes::from_static(words.as_bytes()), false).unwrap();
        let piece = tokio::time::timeout(DEADLINE, self.from.data()).await.unwrap().expect("it goes on").unwrap();
        self.from.flow_control().release_capacity(piece.len()).unwrap();
        assert_eq!(&piece[..], words.as_bytes());
    }

    async fn ends(mut self) {
        let ended = tokio::time::timeout(DEADLINE, self.from.data()).await.expect("it ends");
        assert!(ended.is_none_or(|piece| piece.is_err()));
    }

    async fn get(&self, path: &str) -> h2::client::ResponseFuture {
        let get = Request::get(format!("https://localhost{path}")).body(()).unwrap();
        self.streams.clone().ready().await.unwrap().send_request(get, true).unwrap().0
    }
}

/// A door with a second listener, clients of that, and what they run there.
async fn with_second_listener(top: &str, primary: &Endpoint) -> (Door, Client) {
    let address = free_address();
    let door = Door::builder().primary(primary).top(top).rest(&listener(address)).start().await;
    let client = Client { address, ..door.client() };
    (door, client)
}

#[tokio::test(flavor = "local")]
async fn at_a_removed_listener_requests_are_cut_after_their_time_and_tunnels_go_on() {
    let primary = endpoint("main", &Gate::default()).await;
    let (mut door, client) = with_second_listener(REQUESTS_SOON, &primary).await;
    let (mut tunnel, mut streams) = (chat(&client).await, Streams::start(&client).await);
    let (mut cut, cut_stream) = (ask(&client, "/silence").await, streams.get("/silence").await);
    eventually("both run", || primary.count("get /silence") == 2).await;
    door.reload(|built| built.set_rest("")).await;
    assert_eq!(cut.read_to_end().await, "");
    assert!(tokio::time::timeout(DEADLINE, cut_stream).await.expect("it is cut").is_err());
    echoes(&mut tunnel, "one").await;
    streams.echoes("one").await;
    echoes(&mut tunnel, "two").await;
    streams.echoes("two").await;
    eventually("only the tunnels are left", || door.in_flight() == 2).await;
    assert_eq!((cuts(&door, DrainCut::ClientConnection), cuts(&door, DrainCut::Tunnel)), (2, 0));
    stop(door).await;
}

#[tokio::test(flavor = "local")]
async fn at_a_removed_listener_tunnels_are_cut_after_their_time_and_requests_go_on() {
    let gate = Gate::default();
    let primary = endpoint("main", &gate).await;
    let (mut door, client) = with_second_listener(TUNNELS_SOON, &primary).await;
    let (mut tunnel, streams) = (chat(&client).await, Streams::start(&client).await);
    let (mut slow, slow_stream) = (ask(&client, "/slow").await, streams.get("/slow").await);
    eventually("both run", || primary.count("get /slow") == 2).await;
    door.reload(|built| built.set_rest("")).await;
    assert_eq!(tunnel.read_to_end().await, "");
    streams.ends().await;
    assert_eq!((cuts(&door, DrainCut::ClientConnection), cuts(&door, DrainCut::Tunnel)), (0, 2));
    (0..2).for_each(|_| gate.open());
    assert_eq!(tokio::time::timeout(DEADLINE, slow_stream).await.unwrap().unwrap().status(), 200);
    let answer = slow.read_to_end().await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("slow"), "{answer}");
    stop(door).await;
}

#[tokio::test(flavor = "local")]
async fn what_runs_at_a_listener_and_an_endpoint_that_stay_goes_on_over_a_reload() {
    let (primary, other) = (endpoint("main", &Gate::default()).await, Endpoint::start("other").await);
    let (mut door, client) = with_second_listener("drain_timeout = \"0s\"\ndrain_streams = \"0s\"", &primary).await;
    let (mut tunnel, mut streams) = (chat(&door.client()).await, Streams::start(&door.client()).await);
    let mut kept = ask(&door.client(), "/").await;
    kept.read_until("main").await;
    let mut removed = chat(&client).await;
    door.reload(|built| {
        built.set_rest("");
        built.set_secondary(&other);
    })
    .await;
    assert_eq!(removed.read_to_end().await, "");
    echoes(&mut tunnel, "hello").await;
    streams.echoes("hello").await;
    kept.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = kept.read_until("main").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("close"), "{answer}");
    let page = streams.get("/").await;
    assert_eq!(tokio::time::timeout(DEADLINE, page).await.unwrap().unwrap().status(), 200);
    stop(door).await;
}

/// Sent at once, so that it runs when something else is done.
fn send(door: &Door, method: &str, path: &str) -> tokio::task::JoinHandle<crate::harness::client::Sent> {
    let (client, request) = (door.client(), request(method, path, ""));
    tokio::task::spawn_local(async move { client.send(request).await })
}

#[tokio::test(flavor = "local")]
async fn at_a_removed_endpoint_requests_are_cut_after_their_time_and_tunnels_go_on() {
    let (gone, stays) = (endpoint("gone", &Gate::default()).await, Endpoint::start("stays").await);
    let spare = Endpoint::start("spare").await;
    let builder = Door::builder().primary(&gone).secondary(&spare).top(REQUESTS_SOON).backend("hedge = false");
    let mut door = builder.start().await;
    let (mut tunnel, mut streams) = (chat(&door.client()).await, Streams::start(&door.client()).await);
    let (safe, not_safe) = (send(&door, "GET", "/silence"), send(&door, "POST", "/silence"));
    eventually("both run", || gone.count("get /silence") + gone.count("post /silence") == 2).await;
    door.reload(|built| built.set_primary(&stays)).await;
    // One is asked elsewhere, of the other nobody knows what it did.
    assert_eq!(&safe.await.unwrap().unwrap().body()[..], b"spare");
    assert_eq!(not_safe.await.unwrap().unwrap().status(), 502);
    for words in ["one", "two"] {
        echoes(&mut tunnel, words).await;
        streams.echoes(words).await;
    }
    assert_eq!((cuts(&door, DrainCut::EndpointConnection), cuts(&door, DrainCut::Tunnel)), (2, 0));
    assert_eq!(&door.client().get("/").await.body()[..], b"stays");
    stop(door).await;
}

#[tokio::test(flavor = "local")]
async fn at_a_removed_endpoint_tunnels_are_cut_after_their_time_and_requests_go_on() {
    let gate = Gate::default();
    let (gone, stays) = (endpoint("gone", &gate).await, Endpoint::start("stays").await);
    let mut door = Door::builder().primary(&gone).top(TUNNELS_SOON).start().await;
    let (mut tunnel, streams) = (chat(&door.client()).await, Streams::start(&door.client()).await);
    let slow = send(&door, "POST", "/slow");
    eventually("it runs", || gone.count("post /slow") == 1).await;
    door.reload(|built| built.set_primary(&stays)).await;
    assert_eq!(tunnel.read_to_end().await, "");
    streams.ends().await;
    assert_eq!((cuts(&door, DrainCut::EndpointConnection), cuts(&door, DrainCut::Tunnel)), (0, 2));
    gate.open();
    assert_eq!(&slow.await.unwrap().unwrap().body()[..], b"slow");
    stop(door).await;
}

#[tokio::test(flavor = "local")]
async fn a_body_that_is_cut_at_a_removed_endpoint_looks_cut_and_goes_on_elsewhere_if_it_can() {
    let file = vec![b'x'; 200_000];
    let tag = [("etag", "\"v1\"")];
    let mut half = response(200, &tag, &file);
    half.truncate(half.len() - 100_000);
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec();
    let gone = Endpoint::start("gone").await;
    gone.set("/file", then(Act::Write(half), Act::Silence));
    gone.set("/chunks", then(Act::Write(chunked), Act::Silence));
    let stays = Endpoint::start("stays").await;
    let range = format!("bytes 100000-{}/{}", file.len() - 1, file.len());
    let rest = response(206, &[tag[0], ("content-range", &range)], &file[100_000..]);
    stays.set("/file", Act::Write(rest));
    let mut door = Door::builder().primary(&gone).top(REQUESTS_SOON).start().await;
    let whole = send(&door, "GET", "/file");
    let mut chunks = ask(&door.client(), "/chunks").await;
    chunks.read_until("hello").await;
    eventually("both run", || gone.count("get /") == 2).await;
    door.reload(|built| built.set_primary(&stays)).await;
    assert_eq!(whole.await.unwrap().unwrap().body().len(), file.len());
    assert_eq!(door.rescued(Rescued::Resume), 1);
    let end = chunks.read_to_end().await;
    assert!(!end.contains("0\r\n\r\n"), "it looks whole: {end:?}");
    stop(door).await;
}

#[tokio::test(flavor = "local")]
async fn over_http_2_too_a_request_at_a_removed_endpoint_has_its_time() {
    let gone = http2::Endpoint::start(|call: http2::Call| async move {
        let mut call = call;
        call.read().await;
        match call.path() {
            "/silence" => call.until_cancelled().await,
            _ => call.answer("gone").await,
        }
    })
    .await;
    let stays = http2::Endpoint::start(|call: http2::Call| async move { call.answer("stays").await }).await;
    let mut door = crate::http2::before(&gone).top(REQUESTS_SOON).backend("hedge = false").start().await;
    let write = send(&door, "POST", "/silence");
    eventually("it runs", || gone.seen().iter().any(|seen| seen.uri().path() == "/silence")).await;
    door.reload(|built| built.set_primary_at(stays.address)).await;
    assert_eq!(write.await.unwrap().unwrap().status(), 502);
    assert_eq!(cuts(&door, DrainCut::EndpointConnection), 1);
    assert_eq!(&door.client().get("/").await.body()[..], b"stays");
    stop(door).await;
}

/// Accepts one connection and answers each request on it; how many are open.
async fn counted() -> (SocketAddr, std::rc::Rc<std::cell::Cell<usize>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = std::rc::Rc::new(std::cell::Cell::new(0));
    let counting = open.clone();
    tasks::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let open = counting.clone();
            tasks::spawn(async move {
                let mut piece = [0; 4096];
                let mut counts = 0;
                while let Ok(length @ 1..) = stream.read(&mut piece).await {
                    let page = String::from_utf8_lossy(&piece[..length]).starts_with("GET /page");
                    if page && counts == 0 {
                        counts = 1;
                        open.set(open.get() + 1);
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
                open.set(open.get() - counts);
            });
        }
    });
    (address, open)
}

#[tokio::test(flavor = "local")]
async fn kept_connections_to_a_removed_endpoint_are_closed_at_once() {
    let (address, open) = counted().await;
    let stays = Endpoint::start("stays").await;
    let mut door = Door::builder().primary_at(address).workers(1).top(NEVER).start().await;
    assert_eq!(door.client().get("/page").await.status(), 200);
    assert_eq!(open.get(), 1, "it is kept");
    door.reload(|built| built.set_primary(&stays)).await;
    eventually("it is closed", || open.get() == 0).await;
    stop(door).await;
}
