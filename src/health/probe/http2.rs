//! One request over HTTP/2, with prior knowledge of it where there is no TLS.
//!
//! Not here: what is asked and what the answer must be (`http`, `grpc`).

use super::not_answered;
use crate::domain::ProbeFailure;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::pin::pin;
use std::rc::{Rc, Weak};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

/// Sends the request and has the answer judged, driving the connection meanwhile.
///
/// # Errors
/// Those of the judge; or there was no answer.
pub async fn exchange<S, T>(
    stream: S,
    request: Request<Full<Bytes>>,
    judge: impl AsyncFnOnce(Response<Incoming>) -> Result<T, ProbeFailure>,
) -> Result<T, ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let tasks = Rc::new(RefCell::new(JoinSet::new()));
    let (mut sender, connection) = http2::Builder::new(Within(Rc::downgrade(&tasks)))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| not_answered(&error))?;
    let mut answer = pin!(async move {
        let response = sender.send_request(request).await.map_err(|error| not_answered(&error))?;
        judge(response).await
    });
    tokio::select! {
        biased;
        answered = &mut answer => answered,
        // It ended before the answer was taken from it; what it had of one waits there.
        _ended = connection => answer.await,
    }
}

/// Runs hyper's own tasks for as long as the probe: one that is given up leaves no connection behind.
#[derive(Clone)]
struct Within(Weak<RefCell<JoinSet<()>>>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Within {
    fn execute(&self, task: F) {
        if let Some(tasks) = self.0.upgrade() {
            tasks.borrow_mut().spawn_local(task);
        }
    }
}
