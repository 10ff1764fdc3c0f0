//! The story of one request.

use super::body::Body;
use super::{Client, Worker};
use http::{Request, Response};
use hyper::body::Incoming;

/// One request's life. Always answers; a client that goes away drops it, which cancels what runs for it.
pub async fn handle(worker: &Worker, client: &Client, request: Request<Incoming>) -> Response<Body> {
    let _ = (worker, client, request);
    todo!()
}
