//! A directory of many pairs. `PAIRS=5000 cargo test --test it by_the_thousand -- --nocapture` says what they cost.

use hotspare::config::{self, Folder, InForce, Watch};
use hotspare::runtime::clock::thread_cpu;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[test]
fn a_directory_is_loaded_once_for_all_listeners_and_a_reload_and_a_look_parse_what_changed() {
    let pairs: usize = std::env::var("PAIRS").map_or(200, |count| count.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file);
    fs::create_dir(path("certs")).unwrap();
    let make = |n: usize| {
        let made = rcgen::generate_simple_self_signed([format!("{n}.example"), format!("www.{n}.example")]).unwrap();
        fs::write(path(&format!("certs/{n}.pem")), made.cert.pem()).unwrap();
        fs::write(path(&format!("certs/{n}.key")), made.signing_key.serialize_pem()).unwrap();
    };
    (0..pairs).for_each(make);
    let listener = |port: u16| format!("[[listener]]\naddress = '127.0.0.1:{port}'\ntls_dir = 'certs/'\n");
    let text = format!(
        "{}{}[[backend]]\nname = 'a'\nprimary = {{ name = 'b', endpoints = ['127.0.0.1:1'] }}\n",
        listener(1),
        listener(2)
    );
    let file = path("hotspare.toml");
    fs::write(&file, text).unwrap();

    let mut began = thread_cpu();
    let mut took = |what: &str| {
        let now = thread_cpu();
        println!("{pairs} pairs: {:?} of CPU time for {what}", now - began);
        began = now;
    };
    let first = config::load(&file).unwrap();
    took("a start");
    let certificates: Vec<_> = first.certificates.all().iter().map(|pair| pair.certificate()).collect();
    assert_eq!(certificates.len(), pairs);
    let [one, other] = [0, 1].map(|at| first.listeners[at].tls.as_ref().unwrap().shown(Some("www.7.example")));
    assert!(Arc::ptr_eq(&one, &other) && one.covers("7.example"));

    make(7);
    began = thread_cpu();
    let in_force = Some(InForce { certificates: &first.certificates, now: SystemTime::now() });
    let second = config::load_over(&file, in_force).unwrap();
    println!("{pairs} pairs: {:?} of CPU time for a reload", thread_cpu() - began);
    let known = |config: &config::Config| {
        let pairs = config.certificates.all().iter();
        pairs.filter(|pair| certificates.iter().any(|known| Arc::ptr_eq(known, &pair.certificate()))).count()
    };
    assert_eq!(known(&second), pairs - 1, "all but one are those from before");

    let mut watch = Watch::new(Folder::of(&file));
    for what in ["the first look", "each further look"] {
        began = thread_cpu();
        let news = watch.look(&first, SystemTime::now() + Duration::from_secs(60)); // marks of new files count later
        println!("{pairs} pairs: {:?} of CPU time for {what}", thread_cpu() - began);
        assert_eq!(news.len(), if what == "the first look" { 1 } else { 0 }, "{news:?}");
    }
    assert_eq!(known(&first), pairs - 1);
}
