//! gRPC through the front door: a client and a server that others wrote, at either end.

mod service;

use crate::harness::client::Version;
use crate::harness::door::Builder;
use crate::harness::ports::free_address;
use crate::harness::{Client, Door, PATIENCE, eventually};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hotspare::domain::FailureKind;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use service::{Raw, Server};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Code, Request, Response, Status};
use tower::Service;

/// One connection for calls.
#[derive(Clone)]
struct Line(SendRequest<Body>);

impl Service<http::Request<Body>> for Line {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Grpc<Line> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Grpc::with_origin(Line(sender), http::Uri::from_static("https://localhost"))
}

async fn calls(client: &Client) -> Grpc<Line> {
    over(client.connect("localhost", Version::H2).await).await
}

/// A door before it that probes by grpc.health.v1.
fn before(server: &Server) -> Builder {
    let door = Door::builder().primary_at(server.address).without_probe_path();
    door.backend("scheme = \"h2c\"").probe_keys("kind = \"grpc\"")
}

fn path(method: &'static str) -> http::uri::PathAndQuery {
    format!("/test.Calls/{method}").parse().unwrap()
}

async fn unary(calls: &mut Grpc<Line>, method: &'static str, message: &str) -> Result<Response<Bytes>, Status> {
    calls.ready().await.unwrap();
    let message = Request::new(Bytes::copy_from_slice(message.as_bytes()));
    let called = calls.unary(message, path(method), Raw);
    tokio::time::timeout(PATIENCE, called).await.expect("in time")
}

#[tokio::test(flavor = "local")]
async fn each_kind_of_call_is_answered() {
    let server = Server::start().await;
    let plain = free_address();
    let listener = format!("[[listener]]\naddress = \"{plain}\"\nprotocols = [\"h2\"]");
    let door = before(&server).rest(&listener).start().await;
    let by_tls = calls(&door.client()).await;
    let without = over(tokio::net::TcpStream::connect(plain).await.unwrap()).await;
    for mut calls in [by_tls, without] {
        let mut message = Request::new(Bytes::from_static(b"hello"));
        message.metadata_mut().insert("x-said", "this".parse().unwrap());
        calls.ready().await.unwrap();
        let echo = calls.unary(message, path("Echo"), Raw).await.unwrap();
        assert_eq!(
            (&echo.get_ref()[..], echo.metadata().get("x-heard").unwrap().to_str().unwrap()),
            (&b"hello"[..], "this")
        );

        let messages = stream::iter((0..1_000).map(|_| Bytes::from(vec![b'x'; 1_000])));
        calls.ready().await.unwrap();
        let count = calls.client_streaming(Request::new(messages), path("Count"), Raw).await.unwrap();
        assert_eq!(&count.into_inner()[..], b"1000 1000000");

        calls.ready().await.unwrap();
        let list = calls.server_streaming(Request::new(Bytes::from_static(b"100")), path("List"), Raw).await.unwrap();
        let list: Vec<Bytes> = list.into_inner().map(Result::unwrap).collect().await;
        assert_eq!(list, (0..100).map(|number| Bytes::from(number.to_string())).collect::<Vec<_>>());

        // Each message waits for the answer to the one before: nothing may be kept back on the way.
        let (send, messages) = mpsc::channel(1);
        let messages = stream::unfold(messages, |mut from| async { from.recv().await.map(|message| (message, from)) });
        send.send(Bytes::from_static(b"0")).await.unwrap();
        calls.ready().await.unwrap();
        let mut chat = calls.streaming(Request::new(messages), path("Chat"), Raw).await.unwrap().into_inner();
        for turn in 1..20 {
            assert_eq!(chat.message().await.unwrap().unwrap(), (turn - 1).to_string());
            send.send(turn.to_string().into()).await.unwrap();
        }
        drop(send);
        assert_eq!(chat.message().await.unwrap().unwrap(), "19");
        assert!(chat.message().await.unwrap().is_none(), "and it ends well");
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn ten_thousand_messages_of_one_stream_come_in_their_order_both_ways() {
    const MANY: usize = 10_000;
    let server = Server::start().await;
    let door = before(&server).start().await;
    let mut calls = calls(&door.client()).await;
    let messages = stream::iter((0..MANY).map(|number| Bytes::from(number.to_string())));
    calls.ready().await.unwrap();
    let chat = calls.streaming(Request::new(messages), path("Chat"), Raw).await.unwrap().into_inner();
    let back: Vec<Bytes> = tokio::time::timeout(PATIENCE, chat.map(Result::unwrap).collect()).await.expect("in time");
    assert!(back.into_iter().eq((0..MANY).map(|number| number.to_string())));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_status_passes_with_all_that_belongs_to_it() {
    let server = Server::start().await;
    let door = before(&server).start().await;
    let mut calls = calls(&door.client()).await;
    let failed = unary(&mut calls, "Fail", "").await.unwrap_err();
    assert_eq!(
        (failed.code(), failed.message(), failed.details()),
        (Code::FailedPrecondition, "not now: 100 %", &b"\x08\x01"[..])
    );
    assert_eq!(failed.metadata().get("x-more").unwrap(), "to know");
    let unknown = unary(&mut calls, "Nothing", "").await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
    calls.ready().await.unwrap();
    let broken = calls.server_streaming(Request::new(Bytes::new()), path("Break"), Raw).await.unwrap();
    let mut messages = broken.into_inner();
    assert_eq!(messages.message().await.unwrap().unwrap(), "one");
    let ended = messages.message().await.unwrap_err();
    assert_eq!((ended.code(), ended.message()), (Code::Aborted, "that was all"), "the server's end reaches the client");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_deadline_reaches_the_server_as_it_was_said_and_ours_is_said_as_a_status() {
    let server = Server::start().await;
    let door = before(&server).backend("timeouts = { head = \"300ms\" }").start().await;
    let mut calls = calls(&door.client()).await;
    let mut message = Request::new(Bytes::new());
    message.metadata_mut().insert("grpc-timeout", "4321m".parse().unwrap());
    calls.ready().await.unwrap();
    calls.unary(message, path("Echo"), Raw).await.unwrap();
    assert_eq!(server.timeouts(), [Some("4321m".parse().unwrap())]);
    let late = unary(&mut calls, "Wait", "").await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable, "{late}");
    eventually("the server is told that nobody waits", || server.left() == 1).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_client_that_gives_up_ends_its_call_at_the_server_and_no_other() {
    let server = Server::start().await;
    let door = before(&server).workers(1).start().await;
    let mut calls = calls(&door.client()).await;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    // hyper, below our client, tells nobody that a call was dropped for as long as it may still speak; this one has said all.
    let said = Request::new(stream::iter([Bytes::new()]));
    let until = Request::new(stream::once(async { Bytes::from(format!("{:?}", ended.await)) }));
    calls.ready().await.unwrap();
    let mut leaving = calls.streaming(said, path("Watch"), Raw).await.unwrap().into_inner();
    calls.ready().await.unwrap();
    let mut staying = calls.streaming(until, path("Watch"), Raw).await.unwrap().into_inner();
    assert_eq!(leaving.message().await.unwrap().unwrap(), "begun");
    assert_eq!(staying.message().await.unwrap().unwrap(), "begun");
    drop(leaving);
    eventually("its call has ended", || server.left() == 1).await;
    calls.ready().await.unwrap();
    let waiting = calls.unary(Request::new(Bytes::new()), path("Wait"), Raw);
    assert!(tokio::time::timeout(Duration::from_millis(200), waiting).await.is_err());
    eventually("so has one that had no answer yet", || server.left() == 2).await;
    unary(&mut calls, "Echo", "well").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), staying.message()).await.is_err(), "it goes on");
    assert_eq!(server.left(), 2);
    drop((calls, staying, end));
    eventually("the other too", || server.left() == 3).await;
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_call_that_its_client_ends_before_the_first_message_is_no_evidence_unless_it_had_a_deadline() {
    const LONG: Duration = Duration::from_millis(8_500); // eight times the second that is usual where nothing is known
    let server = Server::start().await;
    let door = before(&server).workers(1).start().await;
    let calls = calls(&door.client()).await;
    let wait = |deadline: Option<&'static str>| {
        let mut calls = calls.clone();
        async move {
            let mut message = Request::new(Bytes::new());
            if let Some(deadline) = deadline {
                message.metadata_mut().insert("grpc-timeout", deadline.parse().unwrap());
            }
            calls.ready().await.unwrap();
            let watching = calls.unary(message, path("Wait"), Raw);
            assert!(tokio::time::timeout(LONG, watching).await.is_err());
        }
    };
    tokio::join!(wait(None), wait(None), wait(Some("1M")));
    eventually("all have left", || door.in_flight() == 0).await;
    assert_eq!(door.failures(FailureKind::Timeout), 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_stream_on_which_nobody_speaks_outlives_what_uploads_are_given() {
    let server = Server::start().await;
    let door = before(&server).listener("limits = { body_idle_timeout = \"100ms\" }").start().await;
    let mut calls = calls(&door.client()).await;
    let (send, messages) = mpsc::channel(1);
    let messages = stream::unfold(messages, |mut from| async { from.recv().await.map(|message| (message, from)) });
    send.send(Bytes::from_static(b"before")).await.unwrap();
    calls.ready().await.unwrap();
    let mut chat = calls.streaming(Request::new(messages), path("Chat"), Raw).await.unwrap().into_inner();
    assert_eq!(chat.message().await.unwrap().unwrap(), "before");
    let silence = tokio::time::timeout(Duration::from_secs(1), chat.message()).await;
    assert!(silence.is_err(), "it goes on, ten times as long: {silence:?}");
    send.send(Bytes::from_static(b"after")).await.unwrap();
    assert_eq!(chat.message().await.unwrap().unwrap(), "after");
    door.stop().await;
}
