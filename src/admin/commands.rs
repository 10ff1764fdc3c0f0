//! `POST /commands`: an operator's command, from the request to the answer. It changes nothing itself: it asks, over a [`Line`],
//! and `app` has the supervisor answer.
//!
//! Bounds: a body of 8 KiB; [`WAITING`] commands in line, and whoever comes later waits, all of it for at most [`PATIENCE`].
//! What nobody waits for any more is not begun.
//!
//! Not here: who may (`guard`), what a body may say (`request`), how answers look (`answer`), what follows (`domain`).

use super::State;
use super::answer::{Done, Follows, Rejection};
use super::guard::Operator;
use super::request;
use crate::config::Span;
use crate::domain::{Force, Order};
use crate::health::{Act, Answer};
use crate::telemetry::words;
use axum::body::{Body, to_bytes};
use axum::extract::{self, Request};
use axum::http::{HeaderMap, header};
use axum::routing::post;
use axum::{Json, Router};
use http_body_util::LengthLimitError;
use std::error::Error;
use std::fmt::Write;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A command has some hundred bytes.
const LARGEST: usize = 8 << 10;
/// People and scripts are few; the supervisor takes one at a time.
const WAITING: usize = 16;
/// The supervisor answers within a millisecond, or something is very wrong.
const PATIENCE: Duration = Duration::from_secs(3);

/// An order that waits for its answer.
#[derive(Debug)]
pub struct Asked {
    pub order: Order,
    pub act: Act,
    /// Dropped without an answer: nobody is there to give one. Closed: nobody waits for one, so it need not be carried out.
    pub answer: oneshot::Sender<Answer>,
}

/// The way to whoever answers.
#[derive(Clone, Debug)]
pub struct Line(mpsc::Sender<Asked>);

/// A line, and its other end.
pub fn line() -> (Line, mpsc::Receiver<Asked>) {
    let (asking, asked) = mpsc::channel(WAITING);
    (Line(asking), asked)
}

impl Line {
    async fn ask(&self, order: Order, act: Act) -> Result<Answer, Rejection> {
        let asking = async {
            let (answer, answered) = oneshot::channel();
            self.0.send(Asked { order, act, answer }).await.map_err(|_| Rejection::Gone)?;
            answered.await.map_err(|_| Rejection::Gone)
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(Rejection::Late))
    }
}

pub fn router(state: State) -> Router {
    Router::new().route("/commands", post(command).fallback(async || Rejection::NotPost)).with_state(state)
}

async fn command(
    extract::State(state): extract::State<State>,
    operator: Operator,
    request: Request,
) -> Result<Json<Done>, Rejection> {
    let (order, act) = request::parse(&json(request).await?).map_err(Rejection::Malformed)?;
    let command = order.command.clone();
    let told = written(&order);
    match (state.line.ask(order, act).await?, act) {
        (Ok(consequences), act) => {
            if act == Act::CarryOut {
                tracing::warn!("commanded by {operator}: {told}");
            }
            let follows = consequences.iter().map(|consequence| Follows::new(&command, consequence));
            Ok(Json(Done { dry_run: act == Act::Consider, consequences: follows.collect(), command: told }))
        }
        (Err(refusal), act) => {
            if act == Act::CarryOut {
                let why = words::refusal(&command, &refusal);
                tracing::warn!("refused to {operator}: {told}: {why}");
            }
            Err(Rejection::refused(&command, refusal, &state.published.load().config))
        }
    }
}

/// As it would be written on the command line.
fn written(order: &Order) -> String {
    let mut told = order.command.to_string();
    if let Some(lasts) = order.lasts {
        write!(told, " --for {}", Span(lasts).to_string().replace(' ', ""))
            .expect("a String takes all that is written to it");
    }
    if order.force == Force::Yes {
        told.push_str(" --force");
    }
    told
}

/// The body of a request that says it is JSON, at most [`LARGEST`] bytes.
pub(super) async fn json(request: Request) -> Result<axum::body::Bytes, Rejection> {
    match is_json(request.headers()) {
        true => whole(request.into_body()).await,
        false => Err(Rejection::NotJson),
    }
}

/// A form that a page of another site sends by itself can't have this type.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

async fn whole(body: Body) -> Result<axum::body::Bytes, Rejection> {
    to_bytes(body, LARGEST).await.map_err(|error| {
        let too_large = error.source().is_some_and(|source| source.is::<LengthLimitError>());
        if too_large { Rejection::TooLarge { limit: LARGEST } } else { Rejection::BrokenOff }
    })
}

#[cfg(test)]
mod tests;
