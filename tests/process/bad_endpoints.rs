//! Endpoints that are broken in their own ways, beside good ones: users see nothing of it.

use crate::harness::door::Door;
use crate::harness::fakes::{Fault, endpoint};
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;

/// Probes that only connect, so that traffic must find out.
const LYING_CHECK: &str = r#"{ kind = "tcp", interval = "500ms", timeout = "500ms" }"#;
const IMPATIENT: &str = r#"timeouts = { head = "300ms" }"#;

async fn costs_nobody_anything(fault: Fault, probe: Option<&'static str>) {
    let site = Site::make();
    let good = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[endpoint(fault).await, good.address], &[oregon.address]);
    if let Some(probe) = probe {
        setup.probe = probe;
        setup.backend = IMPATIENT;
    }
    let door = Door::start(&setup).await;
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    load.goes_on(300).await;
    load.stop().await.assert_all_good();
    door.is_idle().await;
    let down = [("pool", "new-jersey"), ("state", "down")];
    assert_eq!(door.metrics().await.sum("hotspare_endpoint_health", &down), 1.0, "{fault:?} was not noticed");
    door.stop().await;
}

#[tokio::test]
async fn one_that_never_answers_costs_nobody_anything() {
    costs_nobody_anything(Fault::NeverAnswers, None).await;
    costs_nobody_anything(Fault::NeverAnswers, Some(LYING_CHECK)).await;
}

#[tokio::test]
async fn one_that_speaks_garbage_costs_nobody_anything() {
    costs_nobody_anything(Fault::Garbage, None).await;
    costs_nobody_anything(Fault::Garbage, Some(LYING_CHECK)).await;
}

#[tokio::test]
async fn one_that_closes_at_once_costs_nobody_anything() {
    costs_nobody_anything(Fault::ClosesAtOnce, None).await;
    costs_nobody_anything(Fault::ClosesAtOnce, Some(LYING_CHECK)).await;
}

#[tokio::test]
async fn a_primary_of_nothing_but_broken_endpoints_moves_its_users_to_the_secondary() {
    let site = Site::make();
    let oregon = Nginx::start("oregon", &site).await;
    let mut primary = Vec::new();
    for fault in [Fault::NeverAnswers, Fault::Garbage, Fault::ClosesAtOnce] {
        primary.push(endpoint(fault).await);
    }
    let mut setup = Setup::new(&primary, &[oregon.address]);
    setup.probe = LYING_CHECK;
    setup.backend = IMPATIENT;
    let door = Door::start(&setup).await;
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    door.serves_from("oregon").await;
    load.goes_on(200).await;
    load.stop().await.assert_all_good();
    door.stop().await;
}
