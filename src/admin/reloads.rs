//! `POST /reload` and `POST /confirm`: an operator has the configuration read again, or says that it is to stay. It changes nothing itself:
//! it asks, over a [`ReloadLine`], and whoever runs this Hotspare answers.
//!
//! Bounds: a body of 8 KiB; [`WAITING`] in line; an answer is waited for [`PATIENCE`] long, and the reload goes on when nobody waits.
//!
//! Not here: who may (`guard`), how a reload is done (`reload`).

use super::State;
use super::answer::Rejection;
use super::guard::Operator;
use crate::config::{Span, duration};
use crate::domain::Force;
use axum::extract::{self, Request};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// People and scripts are few; reloads are done one after the other.
const WAITING: usize = 16;
/// Names are resolved, files read, endpoints probed: that takes what it takes. Less than a connection lives.
pub const PATIENCE: Duration = Duration::from_secs(55);
/// What waits for a confirmation for longer was forgotten.
const BY_HAND: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadOrder {
    Reload(Wanted),
    Confirm,
}

/// How the configuration is to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Even if users would be left with new endpoints that failed, or the file was taken back before.
    pub force: Force,
    /// It is taken back unless somebody confirms it within that time.
    pub by_hand: Option<Duration>,
}

impl Wanted {
    /// What a signal asks for.
    pub const PLAIN: Wanted = Wanted { force: Force::No, by_hand: None };
}

/// One that waits for its answer. Dropped without one: nobody is there to give one.
#[derive(Debug)]
pub struct AskedReload {
    pub order: ReloadOrder,
    pub answer: oneshot::Sender<Result<Reloaded, NotReloaded>>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The number of the configuration that is in force.
    pub generation: u64,
    /// What is different from the one before; at most [`Reloaded::TOLD`].
    pub changes: Vec<Changed>,
    /// So many more are.
    pub more: usize,
    /// What follows, for people.
    pub words: String,
}

impl Reloaded {
    /// Changes that are told.
    pub const TOLD: usize = 1_000;
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReloaded {
    /// A word that scripts rely on: `invalid`, `stranded`, `taken_back`, `cannot`, `nothing_to_confirm`.
    pub reason: &'static str,
    /// All that is wrong, in lines.
    pub error: String,
}

/// One thing that is not as before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    pub how: How,
    /// `setting`, `listener`, `certificate`, `backend`, `pool`, `endpoint` or `site`.
    pub what: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Added,
    Removed,
    Changed,
}

/// As people read it in a diff: `+ site www.example.org`.
impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.how {
            How::Added => '+',
            How::Removed => '-',
            How::Changed => '~',
        };
        write!(f, "{sign} {} {}", self.what, self.name)
    }
}

/// The way to whoever answers.
#[derive(Clone, Debug)]
pub struct ReloadLine(mpsc::Sender<AskedReload>);

/// A line, and its other end.
pub fn reload_line() -> (ReloadLine, mpsc::Receiver<AskedReload>) {
    let (asking, asked) = mpsc::channel(WAITING);
    (ReloadLine(asking), asked)
}

impl ReloadLine {
    async fn ask(&self, order: ReloadOrder) -> Result<Reloaded, Rejection> {
        let asking = async {
            let (answer, answered) = oneshot::channel();
            self.0.send(AskedReload { order, answer }).await.map_err(|_| Rejection::NoReloads)?;
            answered.await.map_err(|_| Rejection::NoReloads)?.map_err(Rejection::NotReloaded)
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(Rejection::LateReload))
    }
}

pub fn router(state: State) -> Router {
    Router::new()
        .route("/reload", post(reload).fallback(async || Rejection::NotPost))
        .route("/confirm", post(confirm).fallback(async || Rejection::NotPost))
        .with_state(state)
}

/// The body of `POST /reload`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Body {
    force: bool,
    confirm: Option<String>,
}

async fn reload(
    extract::State(state): extract::State<State>,
    operator: Operator,
    request: Request,
) -> Result<Json<Reloaded>, Rejection> {
    let Body { force, confirm } = read(request).await?;
    let by_hand = match confirm.as_deref() {
        None => None,
        Some(text) => match duration(text).filter(|span| BY_HAND.contains(span)) {
            Some(span) => Some(span),
            None => return Err(Rejection::BadConfirm),
        },
    };
    let force = if force { Force::Yes } else { Force::No };
    let told =
        by_hand.map(|span| format!(" --confirm {}", Span(span).to_string().replace(' ', ""))).unwrap_or_default();
    tracing::info!("commanded by {operator}: reload{}{told}", if force == Force::Yes { " --force" } else { "" });
    state.reloads.ask(ReloadOrder::Reload(Wanted { force, by_hand })).await.map(Json)
}

async fn confirm(
    extract::State(state): extract::State<State>,
    operator: Operator,
    request: Request,
) -> Result<Json<Reloaded>, Rejection> {
    let Nothing {} = read(request).await?;
    tracing::info!("commanded by {operator}: confirm");
    state.reloads.ask(ReloadOrder::Confirm).await.map(Json)
}

async fn read<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, Rejection> {
    serde_json::from_slice(&super::commands::json(request).await?).map_err(Rejection::NotTheBody)
}

/// The body of `POST /confirm`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}
