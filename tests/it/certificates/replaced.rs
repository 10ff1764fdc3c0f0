//! Files that are replaced while the front door runs: by themselves, and by a reload.

use super::house::{House, Kind, Made, Taker, ask, of};
use crate::harness::eventually;
use std::fs;
use std::time::{Duration, SystemTime};

const TLS: &str = "tls = [{ cert = 'a.pem', key = 'a.key' }]";

#[tokio::test(flavor = "local")]
async fn a_replaced_pair_is_shown_from_the_next_handshake_on_and_what_is_open_goes_on() {
    let (old, new) = (Made::new(Kind::Ecdsa, "a.example"), Made::new(Kind::Rsa, "b.example"));
    let house = House::builder(TLS).pair("a", &old).start().await;
    let client = house.client(Taker::All);
    let mut open = client.connect("a.example").await.unwrap();
    assert_eq!((of(&open), ask(&mut open, "a.example").await.as_deref()), (old.der.clone(), Ok("200")));

    house.write("a.pem", &new.cert);
    house.write("a.key", &new.key);
    let config = house.config();
    let tls = config.listeners[0].tls.clone().unwrap();
    eventually("the new one is in use", || tls.shown(Some("b.example")).covers("b.example")).await;
    assert_eq!(client.shown("b.example").await.unwrap(), new.der);
    assert_eq!(ask(&mut open, "a.example").await.as_deref(), Ok("200"), "the connection from before");
    assert_eq!(house.hotspare.published().load().generation.0, 1, "nothing else of the config was read");
    house.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_pair_that_is_half_replaced_keeps_the_old_one_is_told_of_and_heals() {
    let (old, new) = (Made::new(Kind::Ecdsa, "a.example"), Made::new(Kind::Ecdsa, "a.example"));
    let house = House::builder(TLS).pair("a", &old).start().await;
    let client = house.client(Taker::All);
    house.write("a.pem", &new.cert);
    eventually("it is told", || house.refused().is_some()).await;
    assert_eq!(
        house.refused().unwrap(),
        "the key in a.key is not the one of the certificate in a.pem: every handshake with them would fail"
    );
    assert_eq!(client.shown("a.example").await.unwrap(), old.der);
    house.write("a.key", &new.key);
    eventually("it heals", || house.refused().is_none()).await;
    assert_eq!(client.shown("a.example").await.unwrap(), new.der);
    house.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_reload_keeps_what_was_good_where_the_files_are_worse_and_takes_what_is_good_elsewhere() {
    let [old, new] = [(); 2].map(|()| Made::new(Kind::Ecdsa, "a.example"));
    let expired = Made::expired("a.example");
    let tls = "tls = [{ cert = 'a.pem', key = 'a.key' }, { cert = 'b.pem', key = 'b.key' }]";
    let mut house = House::builder(tls).pair("a", &old).pair("b", &Made::new(Kind::Ecdsa, "b.example")).start().await;
    let client = house.client(Taker::All);
    let other = Made::new(Kind::Ecdsa, "b.example");
    house.write("b.pem", &other.cert);
    house.write("b.key", &other.key);
    for (cert, key, said) in [
        (Some(&expired), Some(&expired), "the certificate in a.pem expired at 2020-01-01T00:00:00Z"),
        (Some(&new), Some(&old), "the key in a.key is not the one of the certificate in a.pem"),
        (None, Some(&old), "can't read a.pem: No such file or directory"),
    ] {
        match cert {
            Some(made) => house.write("a.pem", &made.cert),
            None => fs::remove_file(house.path("a.pem")).unwrap(),
        }
        if let Some(made) = key {
            house.write("a.key", &made.key);
        }
        house.reload().await.unwrap();
        assert!(house.refused().unwrap().starts_with(said), "{:?}", house.refused());
        assert_eq!(client.shown("a.example").await.unwrap(), old.der, "{said}");
        assert_eq!(client.shown("b.example").await.unwrap(), other.der, "{said}");
    }
    let problems = hotspare::config::load(&house.path("hotspare.toml")).unwrap_err().to_string();
    assert!(problems.contains("can't read a.pem"), "who knows of nothing in force says all: {problems}");
    house.write("a.pem", &new.cert);
    house.write("a.key", &new.key);
    house.reload().await.unwrap();
    assert_eq!((client.shown("a.example").await.unwrap(), house.refused()), (new.der, None));
    house.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_reload_with_a_pair_that_was_never_good_is_rejected() {
    let (old, new) = (Made::new(Kind::Ecdsa, "a.example"), Made::new(Kind::Ecdsa, "b.example"));
    let mut house = House::builder(TLS).pair("a", &old).start().await;
    let text = fs::read_to_string(house.path("hotspare.toml")).unwrap();
    let more = "{ cert = 'b.pem', key = 'b.key' }]";
    house.write("hotspare.toml", &text.replace(" }]\n[[backend]]", &format!(" }}, {more}\n[[backend]]")));
    house.write("b.pem", &new.cert);
    let problems = house.reload().await.unwrap_err().to_string();
    assert!(problems.contains("can't read b.key"), "{problems}");
    house.write("b.key", &new.key);
    house.reload().await.unwrap();
    assert_eq!(house.client(Taker::All).shown("b.example").await.unwrap(), new.der);
    house.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_certificate_that_has_expired_serves_where_there_was_none_before() {
    let expired = Made::expired("a.example");
    let house = House::builder(TLS).pair("a", &expired).start().await;
    assert_eq!(house.client(Taker::All).shown("a.example").await.unwrap(), expired.der);
    let ended = house.config().certificates.all()[0].certificate().not_after;
    assert!(ended < SystemTime::now() - Duration::from_secs(86_400));
    house.stop().await;
}
