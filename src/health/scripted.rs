//! Endpoints for this floor's tests: real sockets on loopback, each doing one thing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What an endpoint does with each connection.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// Reads the request; a head that promises that much of a body, then that much of one; close.
    Answer { status: u16, promised: usize, sent: usize },
    /// Accepts and never answers.
    Silent,
    /// Reads the request and closes.
    Close,
    /// Reads the request and says this instead of an answer.
    Say(&'static str),
    /// Says this before it was asked.
    Greet(&'static str),
}

/// A running endpoint; stops listening, and joins its thread, when dropped.
#[derive(Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    pub fn start(script: Script) -> Endpoint {
        Endpoint::start_at("127.0.0.1:0".parse().unwrap(), script)
    }

    /// At an address that another one had before.
    pub fn start_at(address: SocketAddr, script: Script) -> Endpoint {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (heads, stopped) = (heads.clone(), stopped.clone());
            move || {
                let mut held = Vec::new();
                for stream in listener.incoming() {
                    if stopped.load(SeqCst) {
                        return;
                    }
                    held.extend(stream.ok().and_then(|stream| play(script, stream, &heads)));
                }
            }
        });
        Endpoint { address, heads, stopped, thread: Some(thread) }
    }

    /// The request heads it has read.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        let _wake = TcpStream::connect(self.address);
        self.thread.take().map(JoinHandle::join);
    }
}

/// An address where nobody listens.
pub fn refusing_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The stream, if it is to stay open.
fn play(script: Script, mut stream: TcpStream, heads: &Mutex<Vec<String>>) -> Option<TcpStream> {
    let read_head = |stream: &TcpStream| {
        let head: Vec<String> =
            BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        heads.lock().unwrap().push(head.join("\n"));
    };
    match script {
        Script::Silent => return Some(stream),
        Script::Answer { status, promised, sent } => {
            read_head(&stream);
            // The peer may have had enough before the end: its right.
            let _ = write!(stream, "HTTP/1.1 {status} Scripted\r\nContent-Length: {promised}\r\n\r\n");
            let _ = stream.write_all(&vec![b'x'; sent]);
        }
        Script::Close => read_head(&stream),
        Script::Say(text) => {
            read_head(&stream);
            let _ = stream.write_all(text.as_bytes());
        }
        Script::Greet(text) => {
            let _ = stream.write_all(text.as_bytes());
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new()); // what it has still to say would turn our close into a reset
    None
}
