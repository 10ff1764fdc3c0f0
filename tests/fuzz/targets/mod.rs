//! What is fuzzed: one function for each kind of bytes that come from outside. Each checks what must hold for any bytes at all, not
//! only that nothing panics.
//!
//! Two programs use them: the test `fuzz` (each input of tests/fuzz/corpus, and some random changes of it), and libFuzzer (fuzz/), which
//! goes by what code an input reaches.

mod edge;
mod files;
mod http;
mod probe;
mod text;

/// One of them.
pub struct Target {
    /// And the directory of its inputs in tests/fuzz/corpus.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

pub const ALL: [Target; 9] = [
    Target { name: "request_head", run: http::request_head },
    Target { name: "response_head", run: http::response_head },
    Target { name: "config", run: text::config },
    Target { name: "proxy_header", run: edge::proxy_header },
    Target { name: "probe_reply", run: probe::reply },
    Target { name: "client_hello", run: edge::client_hello },
    Target { name: "state_file", run: files::state },
    Target { name: "journal", run: files::journal },
    Target { name: "command", run: text::command },
];

/// Runs it on a thread of its own kind, as a worker's is, and with it what it starts.
fn alone<F: Future<Output = ()>>(what: F) {
    use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
    thread_local! {
        static RUNTIME: LocalRuntime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("the system gives a poller");
    }
    RUNTIME.with(|runtime| runtime.block_on(what));
    assert_eq!(hotspare::runtime::tasks::panics(), 0, "a task has panicked");
}

/// As on a terminal.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
