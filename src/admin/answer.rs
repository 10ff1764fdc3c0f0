//! What `POST /commands` answers: the schema for both ends, and which status each refusal has.
//!
//! Fields may be added; kinds and reasons are words that scripts rely on.
//!
//! Not here: how a body is read (`request`), the sentences themselves (`telemetry::words`), how people see it (`cli::order`).

use super::reloads::NotReloaded;
use super::request::Malformed;
use crate::config::{Config, nearest};
use crate::domain::{Command, Consequence, NothingToDo, PlaceName, Refusal};
use crate::telemetry::words;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// What was done, or would be.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// As on the command line: `failover sites --to oregon`.
    pub command: String,
    /// Nothing was changed: it was only asked what would follow.
    pub dry_run: bool,
    /// What follows at once, in the order in which it does.
    pub consequences: Vec<Follows>,
}

/// One consequence. Fields that its kind has not are left out.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Follows {
    /// `moves`, `ramps`, `diverges`, `gives_up_writes`, `refuses_writes`, `takes_writes_again`, `no_usable_pool`, `drains`,
    /// `rules_decide` or `stays`.
    pub kind: String,
    pub backend: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_seconds: Option<f64>,
    /// It can't be undone, or users see it: people are asked first.
    pub needs_consent: bool,
    /// The same in a sentence.
    pub words: String,
}

/// Why nothing was done.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// A sentence.
    pub error: String,
    /// One word, of a fixed list.
    pub reason: String,
    /// The known name nearest to one that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

/// Why a request to change something was turned away.
#[derive(Debug)]
pub enum Rejection {
    /// The same, word for word, whatever was asked for: it must tell a stranger nothing.
    Unauthorised,
    /// A page of another site had a browser send it.
    CrossSite,
    /// It was sent to a name that may be anybody's.
    ForeignHost,
    NotPost,
    NotJson,
    TooLarge {
        limit: usize,
    },
    /// The body ended early.
    BrokenOff,
    Malformed(Malformed),
    Refused {
        why: Refusal,
        words: String,
        nearest: Option<String>,
    },
    /// The supervisor is gone.
    Gone,
    /// It did not answer in time.
    Late,
    /// A body that is no JSON, or not what is asked for here.
    NotTheBody(serde_json::Error),
    /// `confirm` is no span that makes sense.
    BadConfirm,
    NotReloaded(NotReloaded),
    /// This one can't read its configuration again.
    NoReloads,
    LateReload,
}

impl Follows {
    pub fn new(command: &Command, consequence: &Consequence) -> Follows {
        use Consequence as C;
        let told = |kind: &str, backend: &str| Follows {
            kind: kind.to_owned(),
            backend: backend.to_owned(),
            from: None,
            to: None,
            pool: None,
            endpoint: None,
            over_seconds: None,
            needs_consent: false,
            words: words::consequence(command, consequence),
        };
        let some = |name: &str| Some(name.to_owned());
        match consequence {
            C::Moves { backend, from, to } => Follows { from: some(from), to: some(to), ..told("moves", backend) },
            C::Ramps { backend, from, to, over } => Follows {
                from: some(from),
                to: some(to),
                over_seconds: Some(over.as_secs_f64()),
                ..told("ramps", backend)
            },
            C::Diverges { backend, pool } => {
                Follows { pool: some(pool), needs_consent: true, ..told("diverges", backend) }
            }
            C::GivesUpWrites { backend, pool } => {
                Follows { pool: some(pool), needs_consent: true, ..told("gives_up_writes", backend) }
            }
            C::RefusesWrites { backend } => Follows { needs_consent: true, ..told("refuses_writes", backend) },
            C::TakesWritesAgain { backend, pool } => {
                Follows { pool: some(pool), ..told("takes_writes_again", backend) }
            }
            C::NoUsablePool { backend } => Follows { needs_consent: true, ..told("no_usable_pool", backend) },
            C::Drains { backend, pool, endpoint } => {
                let endpoint = endpoint.as_ref().map(ToString::to_string);
                Follows { pool: some(pool), endpoint, ..told("drains", backend) }
            }
            C::RulesDecide { backend } => told("rules_decide", backend),
            C::Stays { backend, pool } => Follows { pool: some(pool), ..told("stays", backend) },
        }
    }
}

impl Rejection {
    /// The supervisor's refusal, with the name that may have been meant.
    pub fn refused(command: &Command, why: Refusal, config: &Config) -> Rejection {
        let pools = || config.backends.iter().flat_map(|backend| &backend.pools);
        let nearest = match &why {
            Refusal::NoSuchBackend { name } => nearest(name, config.backends.iter().map(|backend| &*backend.name)),
            Refusal::NoSuchPool { backend: of, name } => {
                let its = config.backends.iter().filter(|backend| backend.name == *of);
                nearest(name, its.flat_map(|backend| &backend.pools).map(|pool| &*pool.name))
            }
            Refusal::NoSuchPlace { place: PlaceName::Pool(name) } => nearest(name, pools().map(|pool| &*pool.name)),
            Refusal::NoSuchPlace { place: PlaceName::Endpoint(name) } => {
                nearest(name, pools().flat_map(|pool| &pool.endpoints).map(|endpoint| &*endpoint.name))
            }
            Refusal::NoUsablePool { .. }
            | Refusal::NotUsable { .. }
            | Refusal::NothingToDo { .. }
            | Refusal::NoOtherPool { .. }
            | Refusal::Held { .. }
            | Refusal::TooMany { .. } => None,
        };
        let nearest = nearest.map(str::to_owned);
        Rejection::Refused { words: words::refusal(command, &why), why, nearest }
    }

    fn status(&self) -> StatusCode {
        match self {
            Rejection::Unauthorised => StatusCode::UNAUTHORIZED,
            Rejection::CrossSite | Rejection::ForeignHost => StatusCode::FORBIDDEN,
            Rejection::NotPost => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Rejection::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::BrokenOff | Rejection::Malformed(_) | Rejection::NotTheBody(_) | Rejection::BadConfirm => {
                StatusCode::BAD_REQUEST
            }
            Rejection::NotReloaded(_) => StatusCode::CONFLICT,
            Rejection::Refused { why, .. } => match why {
                Refusal::NoSuchBackend { .. } | Refusal::NoSuchPool { .. } | Refusal::NoSuchPlace { .. } => {
                    StatusCode::NOT_FOUND
                }
                Refusal::NoUsablePool { .. }
                | Refusal::NotUsable { .. }
                | Refusal::NothingToDo { .. }
                | Refusal::NoOtherPool { .. }
                | Refusal::Held { .. }
                | Refusal::TooMany { .. } => StatusCode::CONFLICT,
            },
            Rejection::Gone | Rejection::Late | Rejection::NoReloads | Rejection::LateReload => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn problem(self) -> Problem {
        let said = |reason: &str, error: String| Problem { error, reason: reason.to_owned(), nearest: None };
        let fixed = |reason: &str, error: &str| said(reason, error.to_owned());
        match self {
            Rejection::Unauthorised => fixed(
                "unauthorised",
                "commands need the token that `[admin] token_file` names, as `Authorization: Bearer TOKEN`, or come over \
                 the socket in state_dir from hotspare's own user or root",
            ),
            Rejection::CrossSite => fixed(
                "cross_site",
                "a browser sent this for a page that is not hotspare's own (its Origin or Sec-Fetch-Site says so)",
            ),
            Rejection::ForeignHost => fixed(
                "foreign_host",
                "what changes something must be sent to an IP address or to localhost, not to a name, which could be \
                 anybody's: Host must say so",
            ),
            Rejection::NotPost => fixed("not_post", "commands are sent with POST"),
            Rejection::NotJson => fixed("not_json", "Content-Type must be application/json"),
            Rejection::TooLarge { limit } => said("too_large", format!("a command has at most {limit} bytes")),
            Rejection::BrokenOff => fixed("broken_off", "the body ended before it was whole"),
            Rejection::Malformed(malformed) => {
                let nearest = malformed.nearest().map(str::to_owned);
                Problem { nearest, ..said("malformed", malformed.to_string()) }
            }
            Rejection::Refused { why, words, nearest } => Problem { nearest, ..said(reason(&why), words) },
            Rejection::Gone => fixed("gone", "nothing is decided any more: the supervisor has ended; restart hotspare"),
            Rejection::NotTheBody(error) => said("malformed", format!("this is not what is taken here: {error}")),
            Rejection::BadConfirm => fixed(
                "malformed",
                "`confirm` must be a duration from 1s to 24h, whole numbers with h, m, s or ms, as in \"5m\"",
            ),
            Rejection::NotReloaded(NotReloaded { reason, error }) => said(reason, error),
            Rejection::NoReloads => {
                fixed("no_reloads", "this hotspare can't read its configuration again: it ends, or is a demo")
            }
            Rejection::LateReload => fixed(
                "late",
                "the reload goes on, and takes longer than can be waited for here; what came of it, `hotspare status` and the log \
                 show",
            ),
            Rejection::Late => fixed(
                "late",
                "the supervisor did not answer in time; whether it was carried out, `hotspare status` shows",
            ),
        }
    }
}

/// The word for a refusal.
const fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoSuchBackend { .. } => "no_such_backend",
        Refusal::NoSuchPool { .. } | Refusal::NoSuchPlace { place: PlaceName::Pool(_) } => "no_such_pool",
        Refusal::NoSuchPlace { place: PlaceName::Endpoint(_) } => "no_such_endpoint",
        Refusal::NoUsablePool { .. } => "no_usable_pool",
        Refusal::NotUsable { .. } => "not_usable",
        Refusal::NothingToDo { what: NothingToDo::Serves { .. } } => "serves_already",
        Refusal::NothingToDo { what: NothingToDo::NothingStands } => "nothing_stands",
        Refusal::NothingToDo { what: NothingToDo::NothingToAcknowledge { .. } } => "nothing_to_acknowledge",
        Refusal::NoOtherPool { .. } => "no_other_pool",
        Refusal::Held { .. } => "held",
        Refusal::TooMany { .. } => "too_many",
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let extra: Option<(HeaderName, HeaderValue)> = match self {
            Rejection::Unauthorised => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Rejection::NotPost => Some((header::ALLOW, HeaderValue::from_static("POST"))),
            Rejection::CrossSite
            | Rejection::ForeignHost
            | Rejection::NotJson
            | Rejection::TooLarge { .. }
            | Rejection::BrokenOff
            | Rejection::Malformed(_)
            | Rejection::Refused { .. }
            | Rejection::Gone
            | Rejection::Late
            | Rejection::NotTheBody(_)
            | Rejection::BadConfirm
            | Rejection::NotReloaded(_)
            | Rejection::NoReloads
            | Rejection::LateReload => None,
        };
        let mut response = (self.status(), axum::Json(self.problem())).into_response();
        response.headers_mut().extend(extra);
        response
    }
}
