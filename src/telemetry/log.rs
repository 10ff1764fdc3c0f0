//! The log: what the control side has to say, on standard error. Set up once, by whoever runs the process.
//!
//! Nobody who logs waits for whoever reads it: a terminal that is paused or a collector that hangs would hold up a failover
//! otherwise. Lines go through a queue to a thread that writes them; past its end new ones are dropped, counted, and told of.
//!
//! Not here: a log of requests; at a proxy's rates that is not tracing's job.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::util::TryInitError;
use tracing_subscriber::{Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Lines that wait to be written, of some 200 bytes each: what a bad minute says.
const WAITING: usize = 1_024;

/// How long the process's end waits for the last lines to be read.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log is one for the process, and so is this.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("RUST_LOG is not a filter ({0}); try RUST_LOG=info, or RUST_LOG=hotspare=debug")]
    Filter(ParseError),
    #[error("RUST_LOG is not UTF-8; try RUST_LOG=info")]
    NotUtf8,
    #[error("the log was set up before: {0}")]
    Twice(TryInitError),
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
}

/// The log in use. Dropped, it waits a moment for what was said to be written.
#[derive(Debug)]
pub struct Log(Queue);

/// Sets up the process's log: to standard error, at the level of `RUST_LOG` [info].
pub fn start(format: Format) -> Result<Log, LogError> {
    let wanted = match std::env::var("RUST_LOG") {
        Ok(wanted) => wanted,
        Err(std::env::VarError::NotPresent) => String::new(),
        Err(std::env::VarError::NotUnicode(_)) => return Err(LogError::NotUtf8),
    };
    let filter = filter(&wanted).map_err(LogError::Filter)?;
    let queue = Queue::start(io::stderr(), &DROPPED).map_err(LogError::Thread)?;
    let writer = queue.clone();
    let lines = fmt::layer().with_writer(move || writer.clone()).with_ansi(io::stderr().is_terminal());
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Human => lines.with_target(false).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().map_err(LogError::Twice)?;
    Ok(Log(queue))
}

/// Lines that were dropped so far because nobody took them.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.wait(LAST_LINES);
    }
}

/// An empty filter is `info`; one that names modules alone keeps `info` for all others.
fn filter(wanted: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(wanted)
}

/// The way to the thread that writes. One `write` is one line, as tracing's formatter makes them.
#[derive(Clone, Debug)]
struct Queue {
    lines: SyncSender<Line>,
    dropped: &'static AtomicU64,
}

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    /// Tells whoever waits that all before it is written.
    Mark(SyncSender<()>),
}

impl Queue {
    fn start(out: impl Write + Send + 'static, dropped: &'static AtomicU64) -> io::Result<Queue> {
        let (lines, waiting) = sync_channel(WAITING);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&waiting, out, dropped))?;
        Ok(Queue { lines, dropped })
    }

    /// Waits until all that was said is written, but no longer than that.
    fn wait(&self, at_most: Duration) {
        let (mark, written) = sync_channel(1);
        if self.lines.try_send(Line::Mark(mark)).is_ok() {
            // Late: whoever reads hangs, and must not hold up the end of the process.
            let _ = written.recv_timeout(at_most);
        }
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Line::Text(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(waiting: &Receiver<Line>, mut out: impl Write, dropped: &AtomicU64) {
    let mut told = 0;
    for line in waiting {
        match line {
            // Where standard error is closed or full there is nobody left to be told.
            Line::Text(text) => drop(out.write_all(&text)),
            Line::Mark(mark) => drop(mark.try_send(())),
        }
        let lost = dropped.load(Ordering::Relaxed) - told;
        if lost > 0 {
            told += lost;
            tracing::warn!("{lost} lines of the log were dropped: whoever reads it is too slow, or hung");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_filter_means_info() {
        assert_eq!(filter("").unwrap().to_string(), "info");
    }

    #[test]
    fn a_wrong_filter_is_an_error_that_says_what_to_write() {
        let error = LogError::Filter(filter("hotspare=loud").unwrap_err()).to_string();
        assert!(error.contains("RUST_LOG=info"), "{error}");
    }

    /// Takes nothing until the test lets it.
    struct Stuck(Receiver<()>, SyncSender<Vec<u8>>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_hangs_and_what_it_missed_is_counted() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        let (go, wait) = sync_channel(0);
        let (written, read) = sync_channel(WAITING + 1);
        let mut queue = Queue::start(Stuck(wait, written), &LOST).unwrap();
        for number in 0..WAITING + 100 {
            queue.write_all(format!("{number}\n").as_bytes()).unwrap(); // returns, or this test hangs
        }
        let lost = LOST.load(Ordering::Relaxed);
        assert!((99..=100).contains(&lost), "{lost}: one line may be with the thread, the others wait");
        go.send(()).unwrap();
        assert_eq!(read.recv().unwrap(), b"0\n", "what was said first is kept");
    }

    #[test]
    fn the_end_waits_for_the_last_line() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        let (written, read) = sync_channel(1);
        let (go, wait) = sync_channel(1);
        go.send(()).unwrap();
        let mut queue = Queue::start(Stuck(wait, written), &LOST).unwrap();
        queue.write_all(b"drained\n").unwrap();
        queue.wait(Duration::from_secs(20));
        assert_eq!(read.try_recv().unwrap(), b"drained\n");
    }
}
