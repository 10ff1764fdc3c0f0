//! Listening sockets: bound once for all workers, accepted from by each.
//!
//! Of an address every worker has a socket and an accept queue of its own (`SO_REUSEPORT`), so no thread wakes for another's connection.
//! The price: what waits in a queue is lost when its last descriptor closes. So [`Bound`] stays with its owner for as long as
//! the listener is wanted, and a worker that stops takes what is in its queue first. A Unix socket knows no such thing: it has one
//! queue, and all workers wake for each connection; it is for the few connections of a proxy on this machine.
//!
//! Not here: what becomes of a connection ([`super::conn`]).

use super::gate::Gate;
use super::pulse::Pulse;
use super::roster::{Roster, What};
use super::socket::{Accepted, Listening, Ready};
use super::{Handler, conn};
use crate::config::{Address, Listener};
use crate::runtime::tasks::Tasks;
use crate::runtime::unix_socket::{NoSocket, UnixSocket};
use crate::telemetry::cells::WorkerIndex;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Connections that the kernel keeps for one worker until it accepts them, or of a Unix socket for all; past that it lets clients try
/// again.
const BACKLOG: u16 = 4096;

/// Connections accepted in one turn of the worker's loop: each takes some 50 µs, and whoever is served already waits meanwhile.
const AT_A_STRETCH: usize = 16;

/// After an accept that failed for want of something: long enough not to spin, short enough not to be noticed.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A listener's sockets.
#[derive(Debug)]
pub struct Bound {
    address: Address,
    sockets: Sockets,
}

#[derive(Debug)]
enum Sockets {
    /// One a worker.
    Tcp(Vec<TcpListener>),
    /// Its file goes with it.
    Unix(UnixSocket),
}

impl Bound {
    /// Where it listens: as configured, with the port that the kernel chose if that was 0.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Another descriptor of that worker's socket.
    pub fn socket(&self, worker: WorkerIndex) -> io::Result<Listening> {
        match &self.sockets {
            Sockets::Tcp(sockets) => sockets[worker.0].try_clone().map(Listening::Tcp),
            Sockets::Unix(socket) => socket.listener().map(Listening::Unix),
        }
    }

    /// Lets in whom the mode says from now on, if that is for a file to say.
    ///
    /// # Errors
    /// As the file system's.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        match &self.sockets {
            Sockets::Tcp(_) => Ok(()),
            Sockets::Unix(socket) => socket.set_mode(mode),
        }
    }
}

/// Binds and listens, for that many workers.
///
/// # Errors
/// As the kernel's, of the same kind, with the address in the text: [`io::ErrorKind::AddrInUse`] if anything else listens
/// there, a second Hotspare too; [`io::ErrorKind::PermissionDenied`] for a port below 1024 without the right to it, or a directory that
/// one may not write to.
pub fn bind(listener: &Listener, workers: usize) -> io::Result<Bound> {
    let bound = match &listener.address {
        Address::Tcp(address) => bind_all(listener, *address, workers),
        Address::Unix(path) => bind_unix(listener, path),
    };
    bound.map_err(|error| explain(&listener.address, &error))
}

/// An error of the same kind that says where, what, and what to do.
pub fn explain(address: &Address, error: &io::Error) -> io::Error {
    let why = match address {
        Address::Tcp(address) => explain_tcp(*address, error),
        Address::Unix(path) => explain_unix(path, error),
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {why}"))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "std's enum")]
fn explain_tcp(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "something else listens there already; find it with `ss -ltnp 'sport = :{}'`, or choose another port",
            address.port()
        ),
        io::ErrorKind::PermissionDenied => "permission denied; a port below 1024 needs root or CAP_NET_BIND_SERVICE \
             (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
            .to_owned(),
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address".to_owned(),
        _ => error.to_string(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "std's enum")]
fn explain_unix(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "something else listens there already; find it with `ss -lxp src {}`, or choose another path",
            path.display()
        ),
        io::ErrorKind::PermissionDenied => {
            "permission denied; the user that hotspare runs as must be allowed to write to the \
             directory (systemd: RuntimeDirectory=hotspare makes /run/hotspare for it)"
                .to_owned()
        }
        io::ErrorKind::NotFound => {
            "its directory is not there; make it first (systemd: RuntimeDirectory=hotspare makes /run/hotspare)"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

fn bind_unix(listener: &Listener, path: &Path) -> io::Result<Bound> {
    match UnixSocket::bind(path, listener.mode, BACKLOG.into()) {
        Ok(socket) => Ok(Bound { address: listener.address.clone(), sockets: Sockets::Unix(socket) }),
        Err(NoSocket::InUse) => Err(io::ErrorKind::AddrInUse.into()),
        Err(NoSocket::Io(error)) => Err(error),
    }
}

fn bind_all(listener: &Listener, address: SocketAddr, workers: usize) -> io::Result<Bound> {
    // With SO_REUSEPORT the kernel would let a second Hotspare of the same user share the port, and half the requests
    // with it. So first one socket without, which finds whoever is there.
    let alone = socket(listener, address)?;
    alone.bind(&address.into())?;
    let address = alone.local_addr()?.as_socket().unwrap_or(address);
    drop(alone);
    let each = || {
        let socket = socket(listener, address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG.into())?;
        Ok(TcpListener::from(socket))
    };
    let sockets = (0..workers).map(|_| each()).collect::<io::Result<_>>()?;
    Ok(Bound { address: Address::Tcp(address), sockets: Sockets::Tcp(sockets) })
}

fn socket(listener: &Listener, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(listener.only_v6)?;
    }
    socket.set_reuse_address(true)?; // connections of the last run that linger do not hold the port
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A worker's end of one listener.
pub(super) struct Acceptor<H> {
    pub handler: Rc<H>,
    pub gate: Arc<Gate>,
    pub tasks: Tasks,
    pub address: Address,
    pub roster: Rc<Roster>,
    /// The listener as last seen in a view: connections that come while it is being removed are still served.
    pub listener: Option<Arc<Listener>>,
}

impl<H: Handler> Acceptor<H> {
    /// Accepts until told to stop, or until whoever would tell is gone; then takes what is in the queue, and ends.
    pub(super) async fn run(mut self, socket: Ready, mut stop: oneshot::Receiver<()>) {
        for n in 1_usize.. {
            let is_full = self.is_full();
            let accepted = tokio::select! {
                biased;
                _ = &mut stop => break,
                () = tokio::time::sleep(BACK_OFF), if is_full => continue,
                accepted = socket.accept(), if !is_full => accepted,
            };
            match accepted {
                Ok(accepted) => self.begin(accepted),
                Err(error) => self.wait_out(error).await,
            }
            if n.is_multiple_of(AT_A_STRETCH) {
                tokio::task::yield_now().await;
            }
        }
        if let Err(error) = self.take_queue(socket).await {
            tracing::warn!(address = %self.address, %error, "connections may be lost: the queue could not be emptied");
        }
    }

    /// Whether there is no room for more: then clients wait in the kernel's queue until others have gone.
    fn is_full(&self) -> bool {
        self.gate.is_full(self.handler.views().view().config.max_connections)
    }

    async fn wait_out(&self, error: io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return; // that client's own affair
        }
        self.handler.cells().accept_errors.add(1);
        tracing::debug!(address = %self.address, %error, "accept failed");
        tokio::time::sleep(BACK_OFF).await;
    }

    /// Asks the kernel itself: tokio's idea of the socket's readiness may be older than the last connection.
    async fn take_queue(&mut self, socket: Ready) -> io::Result<()> {
        let socket = socket.into_listening()?;
        let mut taken = 0;
        // What is behind as many as the queue can hold came when nobody accepted there any more.
        while taken < usize::from(BACKLOG) {
            if self.is_full() {
                // Not for ever: where clients keep coming there may never be room for the last of them.
                if self.roster.is_over(What::Requests) {
                    return Ok(());
                }
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
            match socket.take() {
                Ok(accepted) => {
                    self.begin(accepted);
                    taken += 1;
                    if taken.is_multiple_of(AT_A_STRETCH) {
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn begin(&mut self, accepted: Accepted) {
        self.handler.cells().connections_accepted.add(1);
        let view = self.handler.views().view();
        if let Some(listener) = view.config.listener(&self.address) {
            self.listener = Some(listener.clone());
        }
        let Some(listener) = self.listener.clone() else { return };
        let pulse = Rc::new(Pulse::new(self.handler.clock()));
        let (pass, roster) = (self.gate.enter(), self.roster.clone());
        let connection = conn::run(self.handler.clone(), pass, accepted, listener, roster, pulse.clone());
        self.tasks.spawn(self.roster.enrol(pulse, connection));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, Protocols};

    fn listener(address: impl ToString) -> Listener {
        Listener {
            address: Address::Tcp(address.to_string().parse().unwrap()),
            mode: 0o660,
            only_v6: false,
            tls: None,
            protocols: Protocols { http1: true, h2: true },
            redirect: None,
            proxy_protocol: crate::config::ProxyProtocol::Off,
            trusted: crate::config::Proxies::default(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn all_workers_of_one_hotspare_share_a_port_and_nobody_else_does() {
        let first = bind(&listener("127.0.0.1:0"), 3).unwrap();
        let address = first.address().clone();
        assert_ne!(address, listener("127.0.0.1:0").address);
        for worker in 0..3 {
            let Listening::Tcp(socket) = first.socket(WorkerIndex(worker)).unwrap() else { panic!() };
            assert_eq!(Address::Tcp(socket.local_addr().unwrap()), address);
        }
        let error = bind(&listener(&address), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let said = error.to_string();
        assert!(
            said.starts_with(&format!("cannot listen on {address}: something else listens there already;")),
            "{said}"
        );
        drop(first);
        bind(&listener(&address), 1).expect("a port is free again when its owner is gone");
    }

    #[test]
    fn a_port_that_another_program_has_is_in_use_even_if_it_would_share_it() {
        let other = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        other.set_reuse_port(true).unwrap();
        other.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        other.listen(1).unwrap();
        let address = other.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(bind(&listener(address), 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_address_that_is_not_ours_is_an_error_that_names_it() {
        let error = bind(&listener("192.0.2.1:80"), 1).unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on 192.0.2.1:80: "), "{error}");
    }

    #[test]
    fn a_unix_socket_that_can_not_be_had_is_an_error_that_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let on = |name: &str| Listener { address: Address::Unix(at(name).into()), ..listener("127.0.0.1:0") };
        let _held = bind(&on("a.sock"), 2).unwrap();
        std::fs::write(at("file"), "").unwrap();
        for (name, kind, said) in [
            ("a.sock", io::ErrorKind::AddrInUse, "something else listens there already; find it with `ss -lxp src "),
            ("no/a.sock", io::ErrorKind::NotFound, "its directory is not there; make it first"),
            ("file", io::ErrorKind::AlreadyExists, &format!("{} is no socket", at("file").display())),
        ] {
            let error = bind(&on(name), 2).unwrap_err();
            assert_eq!(error.kind(), kind);
            let expected = format!("cannot listen on unix:{}: {said}", at(name).display());
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }
}
