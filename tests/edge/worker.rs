//! The worker beside its connections: views, lag, and a listener that is on its way out.

use crate::harness::{Edge, SHORT, listener, view};
use std::sync::Arc;

#[test]
fn an_idle_worker_lets_go_of_the_old_view() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.get("/");
    client.response();
    let old = Arc::downgrade(&edge.published.load());
    edge.published.store(view(Vec::new()));
    edge.eventually("let go", |_| old.strong_count() == 0);
}

#[test]
fn a_worker_measures_how_late_it_is() {
    let edge = Edge::start(listener());
    let mut client = edge.connect();
    client.get("/block");
    let half = i64::try_from(SHORT.as_micros()).unwrap() / 2;
    edge.eventually("late", |cells| cells.loop_lag_micros.get() > half);
    edge.eventually("in time again", |cells| cells.loop_lag_micros.get() < half);
}

#[test]
fn a_listener_that_the_view_no_longer_has_serves_until_it_is_told_to_stop() {
    let edge = Edge::start(listener());
    edge.say("GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
    edge.published.store(view(Vec::new()));
    let mut client = edge.connect();
    client.get("/");
    assert!(client.response().ends_with("hello"));
}
