//! Which site a request is for: by host, path and the certificate shown.

use crate::harness::client::{Version, request};
use crate::harness::endpoint::ok;
use crate::harness::{Client, Door, Endpoint, Raw};

const SITES: &str = r#"
    [[site]]
    hosts = ["localhost", "a.example.org"]
    backend = "sites"
    [[site]]
    hosts = ["localhost"]
    path = "/shop"
    backend = "shop"
    [[site]]
    hosts = ["*.example.org"]
    backend = "shop"
    [[site]]
    hosts = ["other.example"]
    backend = "shop"
"#;

async fn two_backends() -> (Endpoint, Endpoint, Door) {
    let (main, shop) = (Endpoint::start("main").await, Endpoint::start("shop").await);
    let backend = format!(
        "[[backend]]\nname = \"shop\"\nprimary = {{ name = \"here\", endpoints = [\"{}\"] }}\nprobe = {{ path = \"/probe\" }}\n",
        shop.address
    );
    let door = Door::builder().primary(&main).rest(&backend).rest(SITES).start().await;
    (main, shop, door)
}

async fn answer(client: &Client, sni: &str, host: &str, path: &str) -> String {
    let mut raw = Raw(client.connect(sni, Version::Http1).await);
    raw.write(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
    let answer = raw.read_to_end().await;
    let status = answer.split(' ').nth(1).unwrap_or("none");
    let body = answer.rsplit("\r\n\r\n").next().unwrap_or("");
    if status == "200" { body.to_owned() } else { status.to_owned() }
}

#[tokio::test(flavor = "local")]
async fn host_and_path_name_the_site() {
    let (_main, _shop, door) = two_backends().await;
    let client = door.client();
    for (host, path, site) in [
        ("localhost", "/", "main"),
        ("LOCALHOST:8443", "/", "main"),
        ("localhost.", "/shopping", "main"),
        ("localhost", "/shop", "shop"),
        ("localhost", "/shop/cart?x=/", "shop"),
        ("localhost", "/x/../shop/", "shop"),
        ("localhost", "/shop/%2e%2e/", "main"),
        ("localhost", "//shop", "shop"),
    ] {
        assert_eq!(answer(&client, "localhost", host, path).await, site, "{host}{path}");
    }
    for (host, site) in [("a.example.org", "main"), ("b.example.org", "shop")] {
        assert_eq!(answer(&client, host, host, "/").await, site, "{host}");
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_connection_serves_the_hosts_its_certificate_covers_and_no_other() {
    let (_main, _shop, door) = two_backends().await;
    let client = door.client();
    // The certificate covers localhost and *.example.org.
    assert_eq!(answer(&client, "localhost", "b.example.org", "/").await, "shop");
    assert_eq!(answer(&client, "localhost", "other.example", "/").await, "421");
    assert_eq!(answer(&client, "localhost", "unknown.example", "/").await, "421");
    assert_eq!(answer(&client, "c.example.org", "c.example.org", "/").await, "shop");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_unknown_host_is_404_where_the_client_asked_tls_for_it() {
    let primary = Endpoint::start("main").await;
    let site = "[[site]]\nhosts = [\"a.example.org\"]\nbackend = \"sites\"\n";
    let door = Door::builder().primary(&primary).rest(site).start().await;
    assert_eq!(answer(&door.client(), "b.example.org", "b.example.org", "/").await, "404");
    assert_eq!(answer(&door.client(), "a.example.org", "a.example.org", "/").await, "main");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_reply_of_ours_speaks_the_clients_language() {
    let primary = Endpoint::start("main").await.on("/", ok(""));
    let site = "[[site]]\nhosts = [\"a.example.org\"]\nbackend = \"sites\"\n";
    let door = Door::builder().primary(&primary).rest(site).start().await;
    let mut asked = request("GET", "/", "");
    let html = door.client().send(asked.clone()).await.unwrap();
    assert!(html.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert_eq!(html.headers()["cache-control"], "no-store");
    assert_eq!(html.headers()["proxy-status"], "hotspare; error=http_request_error");
    asked.headers_mut().insert("accept", "application/json".parse().unwrap());
    let problem = door.client().send(asked).await.unwrap();
    assert_eq!(problem.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = serde_json::from_slice(problem.body()).unwrap();
    assert_eq!(problem["status"], 404);
    door.stop().await;
}
