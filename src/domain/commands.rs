//! What operators ask for, kept apart from what was measured; and why that may be refused.
//!
//! Not here: what follows from a command (`orders`, `serving`), who may give one (`admin`).

use super::units::Name;
use std::fmt;
use std::time::Duration;

/// What an operator asks for. Stands until it is released, or `--for` ends, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// Prefer that pool (`None`: the next usable one by rank); suspended while it is not usable and another is.
    Failover { backend: Name, to: Option<Name> },
    /// Go back to the first pool: skips the hold-down and `after_writes`. Done once, does not stand.
    Failback { backend: Name },
    /// Nothing moves, whatever health says.
    Hold { scope: Scope },
    /// Nothing new there.
    Drain { place: PlaceName },
    /// Unsafe requests get the read-only page.
    ReadOnly { backend: Name },
    /// The fence is confirmed; writes that a diverged spare took are given up or copied. Does not stand.
    Ack { backend: Name },
    /// Ends a failover, a hold and a read-only of the scope.
    Release { scope: Scope },
    /// Ends a drain.
    Undrain { place: PlaceName },
}

/// One backend, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Backend(Name),
    All,
}

/// A pool (wherever a backend has one of that name), or one endpoint wherever it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlaceName {
    Pool(Name),
    Endpoint(Name),
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    Backend(&'a Name),
    AllBackends,
    Place(&'a PlaceName),
}

/// Whether a command is carried out although it costs users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

/// A command as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub command: Command,
    /// Ends by itself after so long; only for commands that stand.
    pub lasts: Option<Duration>,
    pub force: Force,
}

/// Why a command was not taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoSuchBackend {
        name: Name,
    },
    NoSuchPool {
        backend: Name,
        name: Name,
    },
    NoSuchPlace {
        place: PlaceName,
    },
    /// It would leave that backend without a usable pool.
    NoUsablePool {
        backend: Name,
    },
    /// The pool it would move to is not usable.
    NotUsable {
        backend: Name,
        pool: Name,
    },
    /// There is nothing to do: it serves from there already, or nothing of the kind stands.
    NothingToDo {
        what: NothingToDo,
    },
    /// The backend has one pool only.
    NoOtherPool {
        backend: Name,
    },
    /// A standing hold keeps the backend where it is.
    Held {
        backend: Name,
    },
    /// Too many commands stand.
    TooMany {
        limit: usize,
    },
}

/// Why there is nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NothingToDo {
    Serves { backend: Name, pool: Name },
    NothingStands,
    NothingToAcknowledge { backend: Name },
}

/// What will follow from a command at once, as things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Requests move. `reads` and `writes`: from where to where.
    Moves {
        backend: Name,
        from: Name,
        to: Name,
    },
    /// They move gradually first.
    Ramps {
        backend: Name,
        from: Name,
        to: Name,
        over: Duration,
    },
    /// Writes may go to a pool that the earlier ones do not hear of: the one-way door.
    Diverges {
        backend: Name,
        pool: Name,
    },
    /// Writes that this pool took and the earlier ones lack are given up, unless they were copied by other means.
    GivesUpWrites {
        backend: Name,
        pool: Name,
    },
    /// Unsafe requests get the read-only page.
    RefusesWrites {
        backend: Name,
    },
    TakesWritesAgain {
        backend: Name,
        pool: Name,
    },
    /// The backend has no usable pool then (`--force`).
    NoUsablePool {
        backend: Name,
    },
    /// New requests no longer go there.
    Drains {
        backend: Name,
        pool: Name,
        endpoint: Option<Name>,
    },
    /// Health and failback rules decide again.
    RulesDecide {
        backend: Name,
    },
    /// Nothing moves for now.
    Stays {
        backend: Name,
        pool: Name,
    },
}

impl Command {
    /// The word for it in metrics, status, logs and on the command line.
    pub const fn name(&self) -> &'static str {
        match self {
            Command::Failover { .. } => "failover",
            Command::Failback { .. } => "failback",
            Command::Hold { .. } => "hold",
            Command::Drain { .. } => "drain",
            Command::ReadOnly { .. } => "readonly",
            Command::Ack { .. } => "ack",
            Command::Release { .. } => "release",
            Command::Undrain { .. } => "undrain",
        }
    }

    pub(super) const fn subject(&self) -> Subject<'_> {
        match self {
            Command::Failover { backend, .. }
            | Command::Failback { backend }
            | Command::ReadOnly { backend }
            | Command::Ack { backend }
            | Command::Hold { scope: Scope::Backend(backend) }
            | Command::Release { scope: Scope::Backend(backend) } => Subject::Backend(backend),
            Command::Hold { scope: Scope::All } | Command::Release { scope: Scope::All } => Subject::AllBackends,
            Command::Drain { place } | Command::Undrain { place } => Subject::Place(place),
        }
    }

    /// The command that ends it, of several the narrowest; `None` for one that is done once and does not stand.
    pub fn undo(&self) -> Option<Command> {
        match self {
            Command::Failover { backend, .. } | Command::ReadOnly { backend } => {
                Some(Command::Release { scope: Scope::Backend(backend.clone()) })
            }
            Command::Hold { scope } => Some(Command::Release { scope: scope.clone() }),
            Command::Drain { place } => Some(Command::Undrain { place: place.clone() }),
            Command::Failback { .. } | Command::Ack { .. } | Command::Release { .. } | Command::Undrain { .. } => None,
        }
    }

    /// Whether it stands until something ends it.
    pub(super) fn stands(&self) -> bool {
        self.undo().is_some()
    }
}

impl PlaceName {
    pub const fn name(&self) -> &Name {
        match self {
            PlaceName::Pool(name) | PlaceName::Endpoint(name) => name,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = |scope: &Scope| match scope {
            Scope::Backend(name) => name.to_string(),
            Scope::All => "--all".to_owned(),
        };
        let word = self.name();
        match self {
            Command::Failover { backend, to: None }
            | Command::Failback { backend }
            | Command::ReadOnly { backend }
            | Command::Ack { backend } => write!(f, "{word} {backend}"),
            Command::Failover { backend, to: Some(to) } => write!(f, "{word} {backend} --to {to}"),
            Command::Hold { scope: of } | Command::Release { scope: of } => write!(f, "{word} {}", scope(of)),
            Command::Drain { place } | Command::Undrain { place } => write!(f, "{word} {}", place.name()),
        }
    }
}
