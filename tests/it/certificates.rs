//! Certificates as clients meet them: which one they are shown, what they must show, and files that are replaced meanwhile.

mod by_the_thousand;
mod house;
mod known_clients;
mod replaced;

use house::{House, Kind, Made, Taker};
use rustls::version::{TLS12, TLS13};

#[tokio::test(flavor = "local")]
async fn each_client_is_shown_a_certificate_that_it_takes_ecdsa_before_rsa() {
    let (rsa, ecdsa) = (Made::new(Kind::Rsa, "www.example.org"), Made::new(Kind::Ecdsa, "www.example.org"));
    let tls = "tls = [{ cert = 'rsa.pem', key = 'rsa.key' }, { cert = 'ecdsa.pem', key = 'ecdsa.key' }]";
    let house = House::builder(tls).pair("rsa", &rsa).pair("ecdsa", &ecdsa).start().await;
    for version in [&TLS12, &TLS13] {
        for (takes, shown) in [(Taker::All, &ecdsa), (Taker::Rsa, &rsa)] {
            let client = house.client(takes).version(version);
            assert_eq!(client.shown("www.example.org").await.unwrap(), shown.der, "{takes:?} {version:?}");
            assert_eq!(
                client.shown("else.example.org").await.unwrap(),
                shown.der,
                "the default: {takes:?} {version:?}"
            );
        }
    }
    house.stop().await;
}

#[tokio::test(flavor = "local")]
async fn the_modern_profile_speaks_tls_1_3_alone() {
    let made = Made::new(Kind::Ecdsa, "www.example.org");
    let tls = "tls = [{ cert = 'a.pem', key = 'a.key' }]\ntls_profile = 'modern'";
    let house = House::builder(tls).pair("a", &made).start().await;
    let refused = house.client(Taker::All).version(&TLS12).shown("www.example.org").await.unwrap_err();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    assert_eq!(house.client(Taker::All).version(&TLS13).shown("www.example.org").await.unwrap(), made.der);
    house.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_directory_of_pairs_serves_the_names_in_its_certificates_and_the_list_before_it_the_default() {
    let [listed, shop, both, other] = ["default.example", "shop.example", "*.both.example", "unused.example"]
        .map(|name| Made::new(Kind::Ecdsa, name));
    let tls = "tls = [{ cert = 'listed.pem', key = 'listed.key' }]\ntls_dir = 'certs'";
    let house = House::builder(tls)
        .pair("listed", &listed)
        .pair("certs/shop", &shop)
        .file("certs/both.crt", &format!("{}{}", both.cert, both.key)) // as for HAProxy: both in one
        .file("certs/waits.key", &other.key) // its certificate is still to come
        .file("certs/README", "hands off")
        .start()
        .await;
    for (sni, made) in [
        ("shop.example", &shop),
        ("www.both.example", &both),
        ("unused.example", &listed),
        ("default.example", &listed),
    ] {
        assert_eq!(house.client(Taker::All).shown(sni).await.unwrap(), made.der, "{sni}");
    }
    assert_eq!(house.config().certificates.all().len(), 3);
    house.stop().await;
}
