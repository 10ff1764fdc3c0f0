//! Failures on their way from the workers to the supervisor: few enough to be told one by one, with whose they were and what
//! the same request met elsewhere.
//!
//! Not here: when a failure is ready to be told (`proxy::pairing`), what it weighs (`domain`).

use crate::domain::{EndpointId, FailedRequest, Moment};
use tokio::sync::mpsc;

/// One failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub endpoint: EndpointId,
    /// When it failed, which may be a little before it is told.
    pub at: Moment,
    pub failed: FailedRequest,
}

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The supervisor will read it.
    Passed,
    /// Too many wait to be read. Where so many fail within 50 ms, the rest of them say the same.
    Lost,
}

/// Notes that wait to be read.
pub(super) const WAITING: usize = 4_096;

/// The workers' end; clones are of the same channel.
pub(super) type Sender = mpsc::Sender<Note>;
/// The supervisor's end.
pub type Notes = mpsc::Receiver<Note>;
