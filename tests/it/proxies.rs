//! Proxies before us, and what endpoints learn of who is behind them; PROXY headers in and out.

use crate::deciding::eject;
use crate::harness::client::{Client, Sent, request};
use crate::harness::endpoint::{Gate, Seen, behind, in_turn, ok, response, status};
use crate::harness::{Act, Door, Endpoint, eventually};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

/// 127.0.0.2 and 127.0.0.3 are proxies.
const TRUSTED: &str = "trusted_proxies = [\"127.0.0.2\", \"127.0.0.3\", \"10.0.0.0/8\"]";

fn with(fields: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut request = request("GET", "/", "");
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// What the endpoint got of the last request.
fn got(endpoint: &Endpoint, name: &str) -> Vec<String> {
    endpoint.seen().last().unwrap().field(name).into_iter().map(str::to_owned).collect()
}

fn introduced(client: Client, header: &[u8]) -> Client {
    Client { introduction: header.to_vec(), ..client }
}

#[tokio::test(flavor = "local")]
async fn a_proxy_of_ours_is_believed_and_nobody_else() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder().top(TRUSTED).primary(&primary).start().await;
    let said = [
        ("x-forwarded-for", "203.0.113.9, 192.0.2.7, 10.1.1.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example.org"),
        ("x-forwarded-port", "8080"),
        ("x-real-ip", "192.0.2.7"),
        ("forwarded", "for=203.0.113.9"),
    ];
    door.client_at(2).send(with(&said)).await.unwrap();
    assert_eq!(got(&primary, "x-forwarded-for"), ["192.0.2.7, 10.1.1.1, 127.0.0.2"]);
    assert_eq!(got(&primary, "x-forwarded-proto"), ["http"]);
    assert_eq!(got(&primary, "x-forwarded-host"), ["shop.example.org"]);
    assert_eq!(got(&primary, "x-forwarded-port"), ["8080"]);
    assert_eq!(got(&primary, "x-real-ip"), ["192.0.2.7"]);
    assert_eq!(got(&primary, "forwarded"), [""; 0]);
    door.client_at(1).send(with(&said)).await.unwrap();
    assert_eq!(got(&primary, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(got(&primary, "x-forwarded-proto"), ["https"]);
    assert_eq!(got(&primary, "x-forwarded-host"), ["localhost"]);
    for name in ["x-forwarded-port", "x-real-ip", "forwarded"] {
        assert_eq!(got(&primary, name), [""; 0], "{name}");
    }
    door.client_at(2).send(with(&[("x-forwarded-for", "192.0.2.7, nonsense")])).await.unwrap();
    assert_eq!(got(&primary, "x-forwarded-for"), ["127.0.0.2"], "what is no address says nothing");
    door.client_at(2).send(with(&[("connection", "x-forwarded-for"), said[0]])).await.unwrap();
    assert_eq!(got(&primary, "x-forwarded-for"), ["192.0.2.7, 10.1.1.1, 127.0.0.2"], "and can't be named away");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn endpoints_are_told_in_the_form_they_ask_for() {
    let primary = Endpoint::start("main").await;
    let mut door = Door::builder().top(TRUSTED).primary(&primary).backend("forwarded = \"rfc7239\"").start().await;
    let said = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "http"), ("forwarded", "for=203.0.113.9")];
    door.client_at(1).send(with(&said)).await.unwrap();
    assert_eq!(got(&primary, "forwarded"), ["for=127.0.0.1;proto=https;host=localhost"]);
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
        assert_eq!(got(&primary, name), [""; 0], "{name}");
    }
    door.client_at(2).send(with(&said)).await.unwrap();
    let both = "for=192.0.2.7;proto=http, for=127.0.0.2;proto=https;host=localhost";
    assert_eq!(got(&primary, "forwarded"), [both]);
    door.reload(|built| built.replace_backend("forwarded = \"both\"")).await;
    door.client_at(2).send(with(&said)).await.unwrap();
    assert_eq!(got(&primary, "forwarded"), [both]);
    assert_eq!(got(&primary, "x-forwarded-for"), ["192.0.2.7, 127.0.0.2"]);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn whom_a_proxy_header_names_is_the_client_everywhere() {
    let primary = Endpoint::start("main").await;
    let door = Door::builder()
        .top(TRUSTED)
        .listener("proxy_protocol = \"require\"")
        .primary(&primary)
        .backend("proxy_protocol = \"v1\"\nforwarded = \"both\"")
        .start()
        .await;
    let client = introduced(door.client_at(2), b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n");
    client.send(with(&[("x-forwarded-for", "203.0.113.9")])).await.unwrap();
    assert_eq!(got(&primary, "x-forwarded-for"), ["192.0.2.7"], "the client is no proxy of ours");
    assert_eq!(got(&primary, "forwarded"), ["for=192.0.2.7;proto=https;host=localhost"]);
    assert_eq!(introduction(&primary), "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n");
    // A proxy that takes HTTP, before one that takes connections.
    let proxy = introduced(door.client_at(2), b"PROXY TCP4 10.1.1.1 192.0.2.1 4711 443\r\n");
    proxy.send(with(&[("x-forwarded-for", "203.0.113.9, 198.51.100.4")])).await.unwrap();
    assert_eq!(got(&primary, "x-forwarded-for"), ["198.51.100.4, 10.1.1.1"]);
    assert_eq!(introduction(&primary), "PROXY TCP4 198.51.100.4 192.0.2.1 0 443\r\n");
    door.stop().await;
}

fn introduction(endpoint: &Endpoint) -> String {
    String::from_utf8(endpoint.seen().last().unwrap().introduction.clone()).unwrap()
}

#[tokio::test(flavor = "local")]
async fn a_connection_that_names_a_client_carries_no_other_and_is_not_kept() {
    let primary = Endpoint::start("main").await;
    let mut door = Door::builder().primary(&primary).start().await;
    let many = door.client().many().await;
    let get = || Request::get("https://localhost/").body(Full::default()).unwrap();
    for _ in 0..3 {
        many.send(get()).await.unwrap();
    }
    let kept = primary.connections();
    assert!(kept < 3, "without headers connections are kept");
    door.reload(|built| built.set_backend("proxy_protocol = \"v2\"")).await;
    let others = [many, door.client_at(4).many().await, door.client_at(5).many().await];
    for round in 0..4 {
        let sent: Vec<_> = others.iter().map(|many| many.send(get())).collect();
        for sent in sent {
            assert!(sent.await.is_ok(), "round {round}");
        }
    }
    assert_eq!(primary.connections() - kept, 12, "a connection each, the one that was kept before not among them");
    let seen = primary.seen();
    for seen in &seen[3..] {
        let address: std::net::Ipv4Addr = seen.field("x-forwarded-for")[0].parse().unwrap();
        let header = &seen.introduction;
        assert_eq!(&header[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
        assert_eq!(header[16..20], address.octets());
        assert_eq!(header[20..24], [127, 0, 0, 1]);
        assert_eq!(header[26..], door.address.port().to_be_bytes());
    }
    door.reload(|built| built.replace_backend("")).await;
    door.client().get("/").await;
    assert_eq!(primary.seen().last().unwrap().introduction, b"", "the reload took it back");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn whatever_is_sent_for_a_request_names_its_client() {
    let body = "0123456789".repeat(20_000);
    let half = response(200, &[("etag", "\"a\"")], body.as_bytes());
    let rest = format!("bytes 100000-{}/{}", body.len() - 1, body.len());
    let rest = Act::Write(response(206, &[("etag", "\"a\""), ("content-range", &rest)], &body.as_bytes()[100_000..]));
    let whole = half.len() - body.len() + 100_000;
    let [one, two] = [Endpoint::start("one").await, Endpoint::start("two").await];
    let shared = in_turn([status(500), ok("again")]);
    for endpoint in [&one, &two] {
        endpoint.set("/retried", shared.clone());
        endpoint
            .set("/broken", Act::ByRange(Box::new(Act::WriteAndClose(half[..whole].to_vec())), Box::new(rest.clone())));
    }
    let door = Door::builder()
        .primary(&one)
        .primary(&two)
        .backend("proxy_protocol = \"v1\"")
        .listener("proxy_protocol = \"require\"")
        .top(TRUSTED)
        .start()
        .await;
    let header = "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n";
    let client = introduced(door.client_at(2), header.as_bytes());
    assert_eq!(&client.get("/retried").await.body()[..], b"again");
    assert_eq!(&client.get("/broken").await.body()[..], body.as_bytes(), "resumed");
    let seen: Vec<Seen> = one.seen().into_iter().chain(two.seen()).collect();
    assert!(seen.len() >= 4, "{seen:?}");
    for seen in seen {
        assert_eq!(String::from_utf8_lossy(&seen.introduction), header, "{}", seen.line());
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn probes_are_nobodys_and_a_port_of_their_own_gets_no_header() {
    for (version, header) in [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")] {
        let primary = Endpoint::start("main").await;
        let door = Door::builder().primary(&primary).backend(&format!("proxy_protocol = \"{version}\"")).start().await;
        eventually("probes", || primary.probed_by().len() > 2).await;
        assert!(primary.probed_by().iter().all(|by| by == header), "{:?}", primary.probed_by());
        door.stop().await;
    }
    let [primary, asked] = [Endpoint::start("main").await, Endpoint::start("health").await];
    let port = format!("port = {}", asked.address.port());
    let door = Door::builder().primary(&primary).backend("proxy_protocol = \"v2\"").probe_keys(&port).start().await;
    eventually("probes", || asked.probed_by().len() > 2).await;
    assert!(asked.probed_by().iter().all(Vec::is_empty));
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn an_upgrade_and_a_body_pass_over_a_connection_that_names_a_client() {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".to_vec();
    let gate = Gate::default();
    let primary = Endpoint::start("main").await.on("/up", Act::Echo(switch)).on("/late", behind(&gate, ok("late")));
    let door = Door::builder().primary(&primary).backend("proxy_protocol = \"v2\"").start().await;
    let mut raw = door.client().raw().await;
    raw.write("GET /up HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    raw.read_until("\r\n\r\n").await;
    raw.write("there and back").await;
    raw.read_until("there and back").await;
    drop(raw);
    let large = "x".repeat(1_000_000);
    assert_eq!(door.client().post("/upload", &large).await.status(), 200);
    assert_eq!(primary.seen().last().unwrap().body.len(), large.len());
    let late = tokio::spawn({
        let client = door.client();
        async move { client.send(request("GET", "/late", "")).await }
    });
    eventually("asked", || primary.count("get /late") == 1).await;
    gate.open();
    let sent: Sent = late.await.unwrap();
    assert_eq!(&sent.unwrap().body()[..], b"late");
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn a_copy_of_a_request_names_its_client_too() {
    let [primary, secondary] = [Endpoint::start("main").await, Endpoint::start("spare").await];
    let builder = Door::builder().primary(&primary).secondary(&secondary).failback("mode = \"manual\"");
    let door = builder.backend("tally = { ejection_time = \"100ms\" }\nproxy_protocol = \"v1\"").start().await;
    eject(&door, &primary, 0).await;
    door.serves_from("spare").await;
    let client = door.client_at(7);
    let mut asked = 0;
    while primary.count("get /copied") == 0 {
        client.get("/copied").await;
        asked += 1;
        assert!(asked < 4_000, "none was copied");
    }
    let header = introduction(&primary);
    assert!(header.starts_with("PROXY TCP4 127.0.0.7 127.0.0.1 "), "{header}");
    door.stop().await;
}

/// Has an endpoint fail one read in three, each of whom `failing` says, and others not, until it is left or so many were read.
async fn is_left(failing: impl Fn(usize) -> String) -> bool {
    let [primary, secondary] = [Endpoint::start("main").await, Endpoint::start("spare").await];
    let door = Door::builder().top(TRUSTED).primary(&primary).secondary(&secondary).start().await;
    let mut left = false;
    for asked in 0..150 {
        let (act, said) = match asked % 3 {
            2 => (status(500), failing(asked)),
            _ => (ok("main"), format!("192.0.2.{}", asked % 50 + 100)),
        };
        primary.set_otherwise(act);
        let mut request = with(&[("x-forwarded-for", &said)]);
        *request.uri_mut() = format!("/page-{}", asked % 7).parse().unwrap();
        assert_eq!(door.client_at(2).send(request).await.unwrap().status(), 200);
        left |= door.serving() != "main";
    }
    door.stop().await;
    left
}

#[tokio::test(flavor = "local")]
async fn clients_behind_a_proxy_are_many_in_evidence_and_one_of_them_is_one() {
    assert!(is_left(|asked| format!("192.0.2.{}", asked % 50 + 1)).await, "many see it fail");
    assert!(!is_left(|asked| format!("203.0.113.{asked}, 192.0.2.7")).await, "one does, whatever it says it is");
}
