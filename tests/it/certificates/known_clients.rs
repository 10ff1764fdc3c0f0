//! `client_ca_file`: who must show a certificate, and for which host it counts.

use super::house::{House, Kind, Made, Taker};
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

#[tokio::test(flavor = "local")]
async fn clients_that_show_no_certificate_or_another_ones_are_not_answered_over_either_version() {
    let (site, known) = (Made::new(Kind::Ecdsa, "www.example.org"), Arc::new(Made::new(Kind::Ecdsa, "jane")));
    let stranger = Arc::new(Made::new(Kind::Ecdsa, "jane"));
    let tls = "tls = [{ cert = 'a.pem', key = 'a.key' }]\nclient_ca_file = 'clients.pem'";
    let house = House::builder(tls).pair("a", &site).file("clients.pem", &known.cert).start().await;
    for version in [&TLS12, &TLS13] {
        let client = house.client(Taker::All).version(version);
        let asked =
            |client: super::house::Looker| async move { client.status("www.example.org", "www.example.org").await };
        assert_eq!(asked(client.clone().showing(&known)).await.as_deref(), Ok("200"), "{version:?}");
        asked(client.clone()).await.expect_err("it showed none");
        asked(client.showing(&stranger)).await.expect_err("it showed one of its own making");
    }
    house.stop().await;
}

#[tokio::test(flavor = "local")]
async fn of_known_clients_each_request_is_for_the_host_that_tls_was_asked_for() {
    let (site, known) = (Made::new(Kind::Ecdsa, "*.example.org"), Arc::new(Made::new(Kind::Ecdsa, "jane")));
    let keys = "tls = [{ cert = 'a.pem', key = 'a.key' }]";
    let tls = format!("{keys}\nclient_ca_file = 'clients.pem'");
    let house = House::builder(&tls).pair("a", &site).file("clients.pem", &known.cert).start().await;
    let client = house.client(Taker::All).showing(&known);
    for (sni, host, status) in [
        ("www.example.org", "www.example.org:443", "200"),
        ("www.example.org", "shop.example.org", "421"), // which the certificate covers
        ("127.0.0.1", "127.0.0.1", "200"),              // of an address TLS is not told
        ("127.0.0.1", "www.example.org", "421"),
    ] {
        assert_eq!(client.status(sni, host).await.as_deref(), Ok(status), "{sni} {host}");
    }
    house.stop().await;

    let house = House::builder(keys).pair("a", &site).start().await;
    let status = house.client(Taker::All).status("www.example.org", "shop.example.org").await;
    assert_eq!(status.as_deref(), Ok("200"), "where anyone is let in, what the certificate covers is served");
    house.stop().await;
}
