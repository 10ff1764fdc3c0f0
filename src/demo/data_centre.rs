//! One data centre: an endpoint server on its own thread and its own loopback port, which fails as it is told to.
//!
//! Not here: what it answers, and most of its faults (`answer`); this file is where it dies and comes back.

use super::answer::{Place, Receipts, Shared, answer};
use super::fault::{Fault, Faults, Role};
use super::local_thread::LocalThread;
use super::port::Port;
use crate::domain::Name;
use crate::runtime::clock::Clock;
use crate::runtime::thread::Died;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

const MAX_CONNECTIONS: usize = 1_024;

/// A running data centre; dropping it asks it to end.
#[derive(Debug)]
pub struct DataCentre {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: LocalThread,
}

impl DataCentre {
    /// Starts one that feels what of `faults` reaches its `role`; it accepts when this returns. `seed` decides which
    /// requests a fault hits.
    pub fn start(
        name: &str,
        role: Role,
        faults: watch::Receiver<Faults>,
        seed: u64,
        clock: Clock,
    ) -> io::Result<DataCentre> {
        let name = Name::from(name);
        let port = Port::reserve()?;
        let address = port.address();
        let listener = port.listen()?;
        let shared = Arc::new(Shared::new(&name));
        let place_shared = shared.clone();
        let thread = LocalThread::start(&format!("demo-{name}"), move |mut stop| async move {
            let place = Rc::new(Place::new(name, role, faults, seed, clock, place_shared));
            tokio::select! {
                () = stop.asked() => {}
                () = live(listener, port, place) => {}
            }
        })?;
        Ok(DataCentre { address, shared, thread })
    }

    /// Stays the same when it is killed and comes back.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its guest book and its receipts.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends it, and says what it had received.
    pub async fn stop(self) -> Result<Receipts, Died> {
        self.thread.stop().await?;
        Ok(self.shared.receipts().clone())
    }
}

/// Serves, is killed, comes back on the same port, and so on.
async fn live(first: TcpListener, port: Port, place: Rc<Place>) {
    let mut listener = Some(first);
    loop {
        place.until(|faults| !faults.has(Fault::Kill)).await;
        match listener.take().map_or_else(|| port.listen(), Ok).and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => serve(listener, &place).await,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await, // no descriptors: they come back
        }
    }
}

/// Accepts until killed. From then on connections are refused, and those that are open are reset.
async fn serve(listener: tokio::net::TcpListener, place: &Rc<Place>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = place.until(|faults| faults.has(Fault::Kill)) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => { connections.spawn_local(converse(place.clone(), stream)); }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {} // each hears of the kill by itself
}

async fn converse(place: Rc<Place>, stream: TcpStream) {
    let _ = stream.set_nodelay(true); // slower without, but no reason not to serve
    let service = service_fn(|request| answer(place.clone(), request));
    let mut connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = &mut connection => {}
        () = place.until(|faults| faults.has(Fault::Kill)) => {
            let _ = connection.into_parts().io.into_inner().set_zero_linger(); // closing it now sends RST
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::{CHECK, SERVED_BY};
    use super::*;
    use http::StatusCode;
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;

    /// A data centre and the switch of its faults.
    fn centre(role: Role) -> (DataCentre, watch::Sender<Faults>) {
        let (faults, felt) = watch::channel(Faults::NONE);
        (DataCentre::start("new-jersey", role, felt, 7, Clock::start()).unwrap(), faults)
    }

    fn connect(centre: &DataCentre) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(centre.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(stream)
    }

    /// Sends `request` on a connection of its own and reads to the end: the status, and everything that came.
    fn exchange(centre: &DataCentre, request: &str) -> io::Result<(StatusCode, String)> {
        let mut stream = connect(centre)?;
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let status = text.get(9..12).and_then(|code| code.parse().ok()).ok_or(ErrorKind::UnexpectedEof)?;
        Ok((status, text))
    }

    fn get(centre: &DataCentre, path: &str) -> io::Result<(StatusCode, String)> {
        exchange(centre, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    }

    fn post(centre: &DataCentre, form: &str) -> io::Result<(StatusCode, String)> {
        let length = form.len();
        let head =
            format!("POST /guestbook HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        exchange(centre, &(head + form))
    }

    /// Whether it is so within five seconds.
    fn soon(so: impl Fn() -> bool) -> bool {
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            so()
        })
    }

    /// How many of 60 requests for a page were answered 500.
    fn broken(centre: &DataCentre) -> usize {
        (0..60).filter(|_| get(centre, "/boats").unwrap().0 == StatusCode::INTERNAL_SERVER_ERROR).count()
    }

    #[test]
    fn a_well_one_serves_its_site_and_says_where() {
        let (centre, _faults) = centre(Role::Primary);
        let (status, text) = get(&centre, "/").unwrap();
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains(&format!("{SERVED_BY}: new-jersey")) && text.contains("content-length: "), "{text}");
        assert_eq!(get(&centre, "/nowhere").unwrap().0, StatusCode::NOT_FOUND);
        assert_eq!(exchange(&centre, "PUT / HTTP/1.0\r\n\r\n").unwrap().0, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(exchange(&centre, "HEAD / HTTP/1.0\r\n\r\n").unwrap().0, StatusCode::OK);
    }

    #[test]
    fn the_guest_book_shows_what_was_posted_and_refuses_too_much() {
        let (centre, _faults) = centre(Role::Primary);
        assert_eq!(post(&centre, "name=Ada&message=%3Ci%3Ehello").unwrap().0, StatusCode::SEE_OTHER);
        assert!(get(&centre, "/guestbook").unwrap().1.contains("&lt;i&gt;hello"));
        assert_eq!(post(&centre, "name=&message=x").unwrap().0, StatusCode::BAD_REQUEST);
        let (status, _) = post(&centre, &format!("name=Ada&message={}", "x".repeat(9_000))).unwrap();
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn a_post_is_on_account_once_each_time_it_came() {
        let (centre, faults) = centre(Role::Primary);
        post(&centre, "name=Ada&message=a&id=7").unwrap();
        post(&centre, "name=Ada&message=b").unwrap();
        faults.send_replace(Faults::just(Fault::LyingCheck));
        assert_eq!(post(&centre, "name=Ada&message=c&id=8").unwrap().0, StatusCode::INTERNAL_SERVER_ERROR);
        post(&centre, "name=Ada&message=c&id=8").unwrap();
        get(&centre, "/").unwrap();
        get(&centre, CHECK).unwrap();
        assert_eq!(*centre.shared().receipts(), Receipts { gets: 1, posts: 4, post_ids: [7, 8, 8].into() });
    }

    #[test]
    fn killed_resets_refuses_and_comes_back_on_its_port() {
        let (centre, faults) = centre(Role::Secondary);
        let mut open = connect(&centre).unwrap();
        open.write_all(b"GET / HT").unwrap();
        get(&centre, "/").unwrap(); // accepted after `open`: that one is being served
        faults.send_replace(Faults::just(Fault::Both));
        assert_eq!(open.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let refused = || connect(&centre).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        assert!(soon(refused));
        faults.send_replace(Faults::NONE);
        assert!(soon(|| get(&centre, "/").is_ok()));
    }

    #[test]
    fn frozen_accepts_and_answers_nothing_until_it_thaws() {
        let (centre, faults) = centre(Role::Primary);
        faults.send_replace(Faults::just(Fault::Freeze));
        for path in ["/", CHECK] {
            let mut stream = connect(&centre).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
            assert_eq!(stream.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock, "{path}");
            if path == CHECK {
                faults.send_replace(Faults::NONE);
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                assert!(stream.read(&mut [0; 9]).unwrap() > 0);
            }
        }
    }

    #[test]
    fn a_bad_disk_fails_one_page_in_three_and_no_check() {
        let (centre, faults) = centre(Role::Primary);
        faults.send_replace(Faults::just(Fault::Disk));
        assert!((10..=30).contains(&broken(&centre)));
        assert!((0..60).all(|_| get(&centre, CHECK).unwrap().0 == StatusCode::OK));
        let posts = (0..60).map(|_| post(&centre, "name=Ada&message=x").unwrap().0);
        assert!((10..=30).contains(&posts.filter(StatusCode::is_server_error).count()));
    }

    #[test]
    fn a_lying_check_is_well_while_no_page_is() {
        let (centre, faults) = centre(Role::Primary);
        faults.send_replace(Faults::just(Fault::LyingCheck));
        assert_eq!(broken(&centre), 60);
        assert_eq!(get(&centre, CHECK).unwrap().0, StatusCode::OK);
    }

    #[test]
    fn a_cut_page_promises_more_than_comes() {
        let (centre, faults) = centre(Role::Primary);
        let whole = get(&centre, "/harbour.svg").unwrap().1;
        let promised =
            |text: &str| text.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap().to_owned();
        faults.send_replace(Faults::just(Fault::Cut));
        let answers: Vec<_> = (0..40).map(|_| get(&centre, "/harbour.svg").unwrap().1).collect();
        assert!(answers.iter().all(|answer| promised(answer) == promised(&whole)));
        let cut = answers.iter().filter(|answer| answer.len() < whole.len());
        assert!(cut.clone().all(|answer| answer.len() > whole.len() / 3), "the half that comes does come");
        assert!((10..=30).contains(&cut.count()));
    }

    #[test]
    fn a_slow_one_keeps_some_pages_for_seconds_and_no_check() {
        let (centre, faults) = centre(Role::Primary);
        faults.send_replace(Faults::just(Fault::Slow));
        let mut streams: Vec<_> = (0..20).map(|_| connect(&centre).unwrap()).collect();
        for stream in &mut streams {
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        }
        assert_eq!(get(&centre, CHECK).unwrap().0, StatusCode::OK);
        let slow = streams.iter_mut().find_map(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            stream.read(&mut [0; 9]).is_err().then_some(stream)
        });
        let slow = slow.expect("one of twenty");
        slow.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert!(slow.read(&mut [0; 9]).unwrap() > 0, "slow, but it comes");
    }
}
