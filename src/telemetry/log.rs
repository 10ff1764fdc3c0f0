//! The log: what the control side has to say, on standard error. Set up once, by whoever runs the process.
//!
//! Not here: a log of requests; at a proxy's rates that is not tracing's job.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::util::TryInitError;
use tracing_subscriber::{Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt};

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
    #[error("RUST_LOG is not a filter: {0}; try RUST_LOG=info, or RUST_LOG=hotspare=debug")]
    Filter(#[from] ParseError),
    #[error("RUST_LOG is not UTF-8; try RUST_LOG=info")]
    NotUtf8,
    #[error("the log was set up before: {0}")]
    Twice(#[from] TryInitError),
}

/// Sets up the process's log: to standard error, at the level of `RUST_LOG` [info].
pub fn start(format: Format) -> Result<(), LogError> {
    let wanted = match std::env::var("RUST_LOG") {
        Ok(wanted) => wanted,
        Err(std::env::VarError::NotPresent) => String::new(),
        Err(std::env::VarError::NotUnicode(_)) => return Err(LogError::NotUtf8),
    };
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Human => lines.with_target(false).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter(&wanted)?)).try_init()?;
    Ok(())
}

/// An empty filter is `info`; one that names modules alone keeps `info` for all others.
fn filter(wanted: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(wanted)
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
        let error = LogError::from(filter("hotspare=loud").unwrap_err()).to_string();
        assert!(error.contains("RUST_LOG=info"), "{error}");
    }
}
