//! One request through the proxy, from a client's bytes to a client's bytes, with pipes in memory for sockets: hyper at both ends, and
//! between them `proxy::service::handle`.

use crate::scene::Scene;
use hotspare::config::{self, Config};
use hotspare::health::supervisor::steps::Steps;
use hotspare::health::{Reporter, Signals};
use hotspare::proxy::{Client, Worker, service};
use hotspare::runtime::clock::Clock;
use hotspare::runtime::tasks;
use hotspare::telemetry::cells::WorkerIndex;
use hotspare::telemetry::metrics::Workers;
use hotspare::upstream::client::over;
use hotspare::upstream::{ClientBody, Ends, Memory};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// As a browser asks.
const REQUEST: &[u8] =
    b"GET /2011/02/a-post HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; \
rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nReferer: https://www.example.org/\r\n\
Cookie: session=0123456789abcdef0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\nPriority: u=0, i\r\n\r\n";

const BODY: usize = 1_024;

/// A GET of a page of 1 KB, over kept connections on both sides.
pub struct OneGet {
    client: DuplexStream,
    reply: Vec<u8>,
    runtime: LocalRuntime,
    /// The view in force is its own.
    _steps: Steps,
}

impl OneGet {
    /// `keys`: of the backend.
    pub fn new(keys: &str) -> OneGet {
        let steps = Steps::new(config(keys), 1).expect("the system gives a poller");
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.expect("the system gives a poller");
        let client = runtime.block_on(connected(&steps));
        let mut scene = OneGet { client, reply: vec![0; 4_096], runtime, _steps: steps };
        scene.run(&mut ());
        let text = String::from_utf8_lossy(&scene.reply);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        scene
    }
}

impl Scene for OneGet {
    type Ready = ();

    fn prepare(&mut self) {}

    fn run(&mut self, (): &mut ()) {
        let OneGet { client, reply, runtime, .. } = self;
        runtime.block_on(async {
            client.write_all(REQUEST).await.expect("a pipe takes it");
            let mut read = 0;
            loop {
                read += client.read(&mut reply[read..]).await.expect("a pipe gives it");
                let head = reply[..read].windows(4).position(|end| end == b"\r\n\r\n");
                if head.is_some_and(|head| read == head + 4 + BODY) {
                    return;
                }
            }
        });
    }
}

fn config(keys: &str) -> Arc<Config> {
    let text = format!(
        "[[listener]]\naddress = '127.0.0.1:8080'\n[[backend]]\nname = 'sites'\n{keys}\n\
         primary = {{ name = 'new-jersey', endpoints = ['10.1.0.11:80'] }}\n\
         secondary = {{ name = 'oregon', endpoints = ['10.2.0.11:80'] }}\n"
    );
    let config = config::parse("core.toml", &text, &|_| Err(ErrorKind::NotFound.into()));
    Arc::new(config.unwrap_or_else(|problems| panic!("{problems}")))
}

/// A client's end of a connection to a worker that has a kept connection to the endpoint.
async fn connected(steps: &Steps) -> DuplexStream {
    let (index, cells) = (WorkerIndex(0), Arc::new(Workers::new(1)));
    let (signals, notes) = Signals::new(1);
    let clock = Clock::start();
    let reporter = Reporter::new(index, Arc::new(signals));
    let worker = Rc::new(Worker::new(index, clock, steps.published(), reporter, cells, &Memory::new(1 << 20), 1));

    let (endpoint, theirs) = duplex(64 * 1024);
    tasks::spawn(answer(theirs));
    let lease = over(TokioIo::new(endpoint)).await.expect("there is memory");
    let view = steps.view();
    let place = &view.backends[0].pools[0].endpoints[0];
    worker.endpoint(place).kept.give_back(lease, clock.now());

    let (client, ours) = duplex(64 * 1024);
    let ends = Ends { client: ([127, 0, 0, 1], 5_000).into(), at: ([127, 0, 0, 1], 80).into() };
    let about = Rc::new(Client::new(Some(ends), view.config.listeners[0].clone(), None));
    let handler = hyper::service::service_fn(move |request: http::Request<_>| {
        let (worker, about, request) = (worker.clone(), about.clone(), request.map(ClientBody::Http1));
        async move { Ok::<_, Infallible>(service::handle(&worker, &about, request).await) }
    });
    tasks::spawn(async move {
        let _notes = notes; // nobody reads them
        let served = http1::Builder::new().serve_connection(TokioIo::new(ours), handler).await;
        served.expect("the client goes last");
    });
    client
}

/// An endpoint: a page for each request.
async fn answer(mut pipe: DuplexStream) {
    let mut request = vec![0; 4_096];
    let page = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Wed, 25 Nov 2026 00:00:00 GMT\r\nContent-Type: text/html\r\n\
         Content-Length: {BODY}\r\nLast-Modified: Tue, 24 Nov 2026 00:00:00 GMT\r\nETag: \"6745a1b0-400\"\r\n\
         Accept-Ranges: bytes\r\n\r\n{}",
        "x".repeat(BODY)
    );
    let mut read = 0;
    loop {
        match pipe.read(&mut request[read..]).await {
            Ok(0) | Err(_) => return,
            Ok(more) => read += more,
        }
        if request[..read].ends_with(b"\r\n\r\n") {
            read = 0;
            if pipe.write_all(page.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
