//! SIGHUP: all of a valid file, or nothing.

use crate::harness::client::{Version, request};
use crate::harness::door::Door;
use crate::harness::eventually;
use crate::harness::free_address;
use crate::harness::load::{Load, Visitors};
use crate::harness::nginx::Nginx;
use crate::harness::setup::Setup;
use crate::harness::site::Site;
use bytes::Bytes;
use http_body_util::BodyExt;
use rustix::process::Signal;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn twenty_reloads_under_load_every_fifth_of_a_broken_file_cost_nobody_anything() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let annex = Nginx::start("annex", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    let mut door = Door::start(&setup).await;
    let begin = door.generation().await;
    let second_listener = format!("[[listener]]\naddress = \"{}\"\n", free_address());
    let load = Load::start(door.client(), &site, 200, Visitors::Downloaders);

    let (mut accepted, mut rejected) = (0.0, 0.0);
    for round in 1..=20 {
        load.goes_on(40).await;
        // A listener comes and goes, and so does an endpoint of the serving pool.
        setup.primary = if round % 2 == 0 { vec![new_jersey.address] } else { vec![new_jersey.address, annex.address] };
        let text = if round % 3 == 0 { setup.text() + &second_listener } else { setup.text() };
        if round % 5 == 0 {
            door.rewrite_config(&text.replace("primary", "primery"));
            door.signal(Signal::HUP);
            rejected += 1.0;
            door.reloads("rejected", rejected).await;
        } else {
            door.rewrite_config(&text);
            door.signal(Signal::HUP);
            accepted += 1.0;
            door.reloads("accepted", accepted).await;
        }
    }
    load.goes_on(40).await;
    let report = load.stop().await;
    report.assert_all_good();
    assert!(report.answered_by("annex") > 0, "what the reloads changed was never used");

    assert_eq!(door.generation().await, begin + 16.0);
    let metrics = door.metrics().await;
    assert_eq!(metrics.sum("hotspare_reloads_total", &[("result", "accepted")]), 16.0);
    assert_eq!(metrics.sum("hotspare_reloads_total", &[("result", "rejected")]), 4.0);
    assert_eq!(metrics.sum("hotspare_failovers_total", &[]), 0.0);
    door.says("did you mean `primary`?").await;
    door.is_idle().await;
    door.stop().await;
}

/// A reload that can't be: `break_it` is told where the door is and what its config was.
async fn changes_nothing(break_it: impl FnOnce(&Door, &Setup), said: &[&str]) {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let setup = Setup::new(&[new_jersey.address], &[free_address()]);
    let mut door = Door::start(&setup).await;
    let before = door.generation().await;

    break_it(&door, &setup);
    door.signal(Signal::HUP);
    door.reloads("rejected", 1.0).await;

    assert_eq!(door.generation().await, before);
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    load.goes_on(100).await;
    load.stop().await.assert_all_good();
    for part in said {
        door.says(part).await;
    }
    door.says(&format!("Generation {before} stays in force; nothing was changed.")).await;
    door.stop().await;
}

#[tokio::test]
async fn a_reload_into_a_port_in_use_changes_nothing_and_says_whose_port_it_is() {
    let other = TcpListener::bind(free_address()).unwrap();
    let taken = other.local_addr().unwrap();
    let free = free_address();
    let listen = |door: &Door, setup: &Setup| {
        let more = format!("[[listener]]\naddress = \"{free}\"\n[[listener]]\naddress = \"{taken}\"\n");
        door.rewrite_config(&(setup.text() + &more));
    };
    changes_nothing(listen, &[&taken.to_string(), "something else listens there"]).await;
    assert!(TcpStream::connect(free).await.is_err(), "the other new listener was kept");
}

#[tokio::test]
async fn a_reload_with_a_certificate_that_was_never_there_changes_nothing_and_names_the_file() {
    let rename = |door: &Door, setup: &Setup| door.rewrite_config(&setup.text().replace("site.pem", "none.pem"));
    changes_nothing(rename, &["none.pem", "hotspare.toml:"]).await;
}

#[tokio::test]
async fn a_reload_without_its_certificate_keeps_the_one_from_before_does_the_rest_and_says_so() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[free_address()]);
    let mut door = Door::start(&setup).await;

    fs::remove_file(door.certificate_file()).unwrap();
    setup.primary = vec![oregon.address];
    door.rewrite_config(&setup.text());
    door.signal(Signal::HUP);
    door.reloads("accepted", 1.0).await;

    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    load.goes_on(100).await;
    let report = load.stop().await;
    report.assert_all_good();
    assert_eq!(report.answered_by("oregon"), report.len());
    door.says("the one from before stays in use").await;
    assert_eq!(door.metrics().await.sum("hotspare_certificate_refused", &[]), 1.0);
    door.stop().await;
}

#[tokio::test]
async fn an_endpoint_taken_out_by_a_reload_finishes_what_it_serves() {
    let site = Site::make();
    let new_jersey = Nginx::start("new-jersey", &site).await;
    let oregon = Nginx::start("oregon", &site).await;
    let mut setup = Setup::new(&[new_jersey.address], &[oregon.address]);
    let mut door = Door::start(&setup).await;
    let download = crate::drain::slow_download(&door, &site).await;

    setup.primary = vec![oregon.address];
    setup.secondary = vec![free_address()];
    door.rewrite_config(&setup.text());
    door.signal(Signal::HUP);
    door.reloads("accepted", 1.0).await;
    let load = Load::start(door.client(), &site, 100, Visitors::Readers);
    load.goes_on(100).await;
    let report = load.stop().await;
    report.assert_all_good();
    assert_eq!(report.answered_by("oregon"), report.len());
    assert_eq!(download.await.unwrap().unwrap(), site.largest().bytes.len(), "the download was cut");
    eventually("nothing is left of the endpoint", async || {
        door.metrics().await.sum("hotspare_endpoint_in_flight", &[]) == 0.0
    })
    .await;
    door.stop().await;
}

/// An endpoint that is well, says `ok` to whatever is asked and, once it has agreed to another protocol, says what it hears.
async fn echo() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut piece, mut upgraded) = ([0; 4096], false);
                while let Ok(length @ 1..) = stream.read(&mut piece).await {
                    let agrees = !upgraded && piece[..length].starts_with(b"GET /chat ");
                    let answer = match upgraded {
                        true => &piece[..length],
                        false if agrees => {
                            b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                        }
                        false => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                    };
                    stream.write_all(answer).await.unwrap();
                    upgraded |= agrees;
                }
            });
        }
    });
    address
}

/// An upgraded connection over plain HTTP.
async fn upgraded(listener: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(listener).await.unwrap();
    let ask = b"GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

async fn echoes(stream: &mut TcpStream, words: &[u8]) {
    stream.write_all(words).await.unwrap();
    let mut heard = vec![0; words.len()];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, words);
}

#[tokio::test]
async fn a_reload_that_removes_a_listener_leaves_what_runs_at_another_and_closes_its_tunnels_in_their_time() {
    let (here, there, other) = (echo().await, echo().await, echo().await);
    let (stays, goes) = (free_address(), free_address());
    let mut setup = Setup::new(&[here], &[there]);
    setup.top = "drain_timeout = \"1s\"\ndrain_streams = \"3s\"";
    let plain = |address: SocketAddr| format!("[[listener]]\naddress = \"{address}\"\n");
    let with = |more: SocketAddr, rest: &str| {
        let backends = format!(
            "[[site]]\nhosts = [\"*\"]\nbackend = \"sites\"\n[[backend]]\nname = \"more\"\n\
             primary = {{ name = \"annex\", endpoints = [\"{more}\"] }}\nprobe = {{ path = \"/\" }}\n\
             [[site]]\nhosts = [\"more.example\"]\nbackend = \"more\"\n"
        );
        setup.text() + &backends + &plain(stays) + rest
    };
    let mut door = Door::start_with_text(&setup, &with(there, &plain(goes))).await;
    let (mut tunnel, mut removed) = (upgraded(stays).await, upgraded(goes).await);
    let mut kept =
        [door.client().connect(Version::Http1).await.unwrap(), door.client().connect(Version::H2).await.unwrap()];
    let get = || request("GET", "/", Bytes::new());
    for connection in &mut kept {
        assert_eq!(connection.send(get()).await.unwrap().into_body().collect().await.unwrap().to_bytes(), "ok");
    }

    door.rewrite_config(&with(other, ""));
    door.signal(Signal::HUP);
    door.reloads("accepted", 1.0).await;
    eventually("nobody listens there", async || TcpStream::connect(goes).await.is_err()).await;
    echoes(&mut removed, b"still here").await;
    for connection in &mut kept {
        let response = connection.send(get()).await.unwrap();
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    }
    // It says something all the time, until it is closed.
    eventually("the other's tunnel is closed", async || {
        let mut heard = [0; 1];
        removed.write_all(b"x").await.is_err() || !matches!(removed.read(&mut heard).await, Ok(1))
    })
    .await;
    assert_eq!(door.metrics().await.sum("hotspare_drain_cuts_total", &[("what", "tunnel")]), 1.0);
    echoes(&mut tunnel, b"hello").await;
    for connection in &mut kept {
        assert!(connection.usable().await && connection.send(get()).await.unwrap().status() == 200);
    }
    drop((tunnel, kept));
    door.stop().await;
}
