//! Switching faults by HTTP: `POST /demo/fault/NAME` on the admin listener.

use super::fault::{Fault, Faults};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use std::fmt::Write;
use tokio::sync::watch;

/// What turns faults on and off; the data centres and the mirror hear of it.
pub type Switches = watch::Sender<Faults>;

/// `POST /demo/fault/NAME` switches that fault on if it was off, and off if it was on.
pub fn routes(switches: Switches) -> Router {
    Router::new().route("/demo/fault/{name}", post(switch)).with_state(switches)
}

async fn switch(State(switches): State<Switches>, Path(name): Path<String>) -> (StatusCode, String) {
    let Some(fault) = Fault::named(&name) else {
        let names: Vec<_> = Fault::ALL.into_iter().map(Fault::name).collect();
        return (StatusCode::NOT_FOUND, format!("There is no such fault. There are: {}.\n", names.join(", ")));
    };
    toggle(&switches, fault);
    (StatusCode::OK, told(*switches.borrow()) + "\n")
}

/// Switches one fault.
pub fn toggle(switches: &Switches, fault: Fault) {
    switches.send_modify(|faults| *faults = faults.toggled(fault));
}

/// What is on, in plain words.
pub fn told(faults: Faults) -> String {
    let mut text = String::from("faults on:");
    let mut between = " ";
    for fault in faults.iter() {
        write!(text, "{between}{} ({})", fault.name(), fault.about()).expect("a String takes everything");
        between = "; ";
    }
    if faults == Faults::NONE {
        text.push_str(" none, both data centres are well");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn ask(router: &Router, method: &str, path: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_post_switches_a_fault_and_says_what_is_on() {
        let switches = Switches::new(Faults::NONE);
        let router = routes(switches.clone());
        let (status, text) = ask(&router, "POST", "/demo/fault/lying-check").await;
        assert_eq!((status, *switches.borrow()), (StatusCode::OK, Faults::just(Fault::LyingCheck)));
        assert!(text.starts_with("faults on: lying-check (every page"), "{text}");
        ask(&router, "POST", "/demo/fault/lying-check").await;
        assert_eq!(*switches.borrow(), Faults::NONE);
    }

    #[tokio::test]
    async fn what_is_no_fault_changes_nothing() {
        let switches = Switches::new(Faults::NONE);
        let router = routes(switches.clone());
        let (status, text) = ask(&router, "POST", "/demo/fault/fire").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(text.contains("disk, freeze, kill, slow, lying-check, cut, both"), "{text}");
        assert_eq!(ask(&router, "GET", "/demo/fault/kill").await.0, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(*switches.borrow(), Faults::NONE);
    }
}
