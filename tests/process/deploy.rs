//! A reload as a deploy: it answers whoever asks, refuses what would leave users with nobody, and comes back when it breaks something.

use crate::harness::child::{Finished, finish};
use crate::harness::door::{Door, hotspare};
use crate::harness::fakes::{Fault, endpoint};
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use crate::harness::{eventually, free_address};
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

/// Half of the site is a backend of its own.
fn half(address: SocketAddr) -> String {
    format!(
        r#"
[[backend]]
name = "pages"
primary = {{ name = "annex", endpoints = ["{address}"] }}
probe = {{ path = "/health", interval = "500ms", timeout = "500ms" }}
[[site]]
hosts = ["*"]
backend = "sites"
[[site]]
hosts = ["*"]
path = "/pages"
backend = "pages"
"#
    )
}

struct Scene {
    site: Arc<Site>,
    new_jersey: Nginx,
    setup: Setup,
    door: Door,
}

impl Scene {
    /// A whole site on one nginx, with what else the config says; `{}` in it is where that is.
    async fn start(confirm: &'static str, more: impl Fn(SocketAddr) -> String) -> Scene {
        let site = Site::make();
        let new_jersey = Nginx::start("new-jersey", &site).await;
        let mut setup = Setup::new(&[new_jersey.address], &[free_address()]);
        setup.top = confirm;
        let door = Door::start_with_text(&setup, &(setup.text() + &more(new_jersey.address))).await;
        Scene { site, new_jersey, setup, door }
    }

    fn rewrite(&self, more: &str) {
        self.door.rewrite_config(&(self.setup.text() + more));
    }

    async fn ask(&self, arguments: &[&str]) -> Finished {
        let socket = self.door.directory().join("state/admin.sock");
        let mut command = hotspare();
        command.args(arguments).arg("--socket").arg(socket).env_remove("HOTSPARE_TOKEN_FILE");
        finish(command).await
    }

    async fn metric(&self, name: &str) -> f64 {
        self.door.metrics().await.sum(name, &[])
    }

    /// Whoever comes now gets every page.
    async fn serves_all(&self) {
        let load = Load::start(self.door.client(), &self.site, 100, Visitors::Readers);
        load.goes_on(100).await;
        load.stop().await.assert_all_good();
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.door.directory().join("state/journal.jsonl")).unwrap()
    }
}

fn nothing(_: SocketAddr) -> String {
    String::new()
}

#[tokio::test]
async fn whoever_asks_for_a_reload_is_told_what_changed_or_every_problem() {
    let scene = Scene::start("confirm = \"0s\"", nothing).await;
    scene.rewrite(&half(scene.new_jersey.address));
    let done = scene.ask(&["reload"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let address = scene.new_jersey.address;
    let lines: Vec<&str> = done.out.lines().collect();
    let expected = [
        "+ backend pages",
        "+ pool pages/annex",
        &format!("+ endpoint pages/annex/{address}"),
        "+ site */pages",
        "generation 2 is in force",
    ];
    assert_eq!(lines, expected);

    let before = scene.door.generation().await;
    scene.rewrite(&half(address).replace("interval", "intervall").replace("hosts", "host"));
    let refused = scene.ask(&["reload"]).await;
    assert_eq!((refused.code, &*refused.out), (Some(1), ""), "{refused:?}");
    for part in ["did you mean `interval`?", "`hosts`", "problems.", "nothing was changed."] {
        assert!(refused.errors.contains(part), "{part}: {}", refused.errors);
    }
    assert_eq!(scene.door.generation().await, before);
    let none = scene.ask(&["confirm"]).await;
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.errors.contains("nothing waits to be confirmed"), "{}", none.errors);
    scene.door.stop().await;
}

#[tokio::test]
async fn a_reload_that_would_leave_users_with_new_endpoints_that_fail_is_refused_unless_forced() {
    let mut scene = Scene::start("", nothing).await;
    let (nowhere, good) = (free_address(), scene.new_jersey.address);
    scene.setup.primary = vec![nowhere];
    scene.rewrite("");
    let refused = scene.ask(&["reload"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in ["new-jersey", &nowhere.to_string(), "--force", "nothing was changed"] {
        assert!(refused.errors.contains(part), "{part}: {}", refused.errors);
    }
    scene.serves_all().await;

    // Beside one that answers it may come, and nobody is sent there.
    scene.setup.primary = vec![nowhere, good];
    scene.rewrite("");
    let load = Load::start(scene.door.client(), &scene.site, 100, Visitors::Readers);
    let done = scene.ask(&["reload"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    load.goes_on(200).await;
    load.stop().await.assert_all_good();
    let attempts = scene.door.metrics().await.sum("hotspare_attempts_total", &[("endpoint", &nowhere.to_string())]);
    assert_eq!(attempts, 0.0, "a request was sent to one that was known not to answer");

    scene.setup.primary = vec![nowhere];
    scene.rewrite("");
    let forced = scene.ask(&["reload", "--force"]).await;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    scene.door.stop().await;
}

#[tokio::test]
async fn a_reload_that_breaks_half_the_site_comes_back_by_itself_and_its_file_is_refused_until_it_changes() {
    let scene = Scene::start("", half).await;
    let broken = endpoint(Fault::FailingPages).await;
    let load = Load::start(scene.door.client(), &scene.site, 100, Visitors::Readers);
    scene.rewrite(&half(broken));
    let done = scene.ask(&["reload"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("taken back if it breaks what it changed"), "{}", done.out);
    eventually("it is taken back", async || scene.metric("hotspare_config_taken_back").await == 1.0).await;
    assert!(load.stop().await.good() > 0);
    scene.serves_all().await;
    assert_eq!(scene.door.metrics().await.sum("hotspare_reloads_total", &[("result", "taken_back")]), 1.0);
    assert_eq!(scene.door.generation().await, 3.0);
    let status = scene.ask(&["status"]).await;
    assert!(status.out.contains("was taken back") && status.code == Some(1), "{status:?}");
    eventually("the journal says so", async || {
        let journal = scene.journal();
        let line =
            journal.lines().find(|line| line.contains(r#""change":"taken_back""#)).unwrap_or_default().to_owned();
        line.contains(r#""backend":"pages""#) && line.contains(r#""evidence""#) && line.contains("hotspare.toml")
    })
    .await;

    let refused = scene.ask(&["reload"]).await;
    assert!(refused.code == Some(1) && refused.errors.contains("has not changed since"), "{refused:?}");
    scene.rewrite(&(half(broken) + "# another look"));
    let again = scene.ask(&["reload"]).await;
    assert_eq!(again.code, Some(0), "a file that has changed is taken: {again:?}");
    scene.door.stop().await;
}

#[tokio::test]
async fn a_reload_that_removes_a_site_whose_clients_then_get_404_stays() {
    let exact =
        |address: SocketAddr| half(address).replacen(r#"hosts = ["*"]"#, r#"hosts = ["localhost", "gone.example"]"#, 1);
    let scene = Scene::start("confirm = \"2s\"", exact).await;
    let gone = exact(scene.new_jersey.address).replace(r#""localhost", "#, "");
    scene.rewrite(&gone);
    let load = Load::start(scene.door.client(), &scene.site, 100, Visitors::Readers);
    let done = scene.ask(&["reload"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    eventually("it is confirmed", async || {
        scene.door.metrics().await.sum("hotspare_reloads_total", &[("result", "confirmed")]) == 1.0
    })
    .await;
    let report = load.stop().await;
    assert!(report.len() > report.good(), "nobody asked for the site that is gone");
    assert_eq!((scene.metric("hotspare_config_taken_back").await, scene.door.generation().await), (0.0, 2.0));
    scene.door.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_confirmation_comes_back_without_it_and_stays_with_it() {
    let scene = Scene::start("", half).await;
    scene.rewrite(&half(scene.new_jersey.address).replace("/pages", "/styles"));
    let done = scene.ask(&["reload", "--confirm", "1s"]).await;
    assert!(done.code == Some(0) && done.out.contains("hotspare confirm"), "{done:?}");
    eventually("it is taken back", async || scene.metric("hotspare_config_taken_back").await == 1.0).await;
    scene.door.says("nobody confirmed it in time").await;

    let forced = scene.ask(&["reload", "--force", "--confirm", "1h"]).await;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    let plain = scene.ask(&["reload"]).await;
    assert!(plain.out.contains("unless you run `hotspare confirm`"), "another reload confirms nothing: {plain:?}");
    assert_eq!(scene.metric("hotspare_config_unconfirmed").await, 1.0);
    let confirmed = scene.ask(&["confirm"]).await;
    assert!(confirmed.code == Some(0) && confirmed.out.contains("stays"), "{confirmed:?}");
    assert_eq!(scene.metric("hotspare_config_unconfirmed").await, 0.0);
    assert_eq!(scene.metric("hotspare_config_taken_back").await, 0.0);
    scene.door.stop().await;
}
