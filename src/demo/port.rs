//! Ports on the loopback interface: one that a data centre keeps while nobody listens on it, and ones that are asked for.

use anyhow::anyhow;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// A port of 127.0.0.1 that is ours whether or not somebody listens on it: a bound socket that never listens keeps the
/// kernel from giving it to others while a killed data centre refuses connections on it.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _reserved: Socket,
}

impl Port {
    pub fn reserve() -> io::Result<Port> {
        let reserved = bound((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = reserved.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Port { address, _reserved: reserved })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until the listener is dropped.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = bound(self.address)?;
        socket.listen(128)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }
}

/// Two sockets may share an address while neither listens, if both set SO_REUSEADDR.
fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The loopback addresses to serve `port` on: 127.0.0.1, and \[::1\] where the machine has it. Port 0: any that is free.
/// `option` is what the user may change when the port can't be had.
pub fn loopback(port: u16, option: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let free = |ip: IpAddr, port: u16| TcpListener::bind((ip, port)).and_then(|listener| listener.local_addr());
    let first = free(Ipv4Addr::LOCALHOST.into(), port).map_err(|error| unavailable(port, option, &error))?;
    match free(Ipv6Addr::LOCALHOST.into(), first.port()) {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(unavailable(first.port(), option, &error)),
        Err(_) => Ok(vec![first]), // no IPv6 here
    }
}

fn unavailable(port: u16, option: &str, error: &io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::AddrInUse {
        anyhow!("port {port} is in use: end what uses it, or choose another port with `{option} PORT`")
    } else {
        anyhow!("port {port} can't be listened on ({error}): choose another port with `{option} PORT`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_the_option_that_changes_it() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let error = format!("{:#}", loopback(port, "--port").unwrap_err());
        assert!(error.contains(&format!("port {port} is in use")) && error.contains("`--port PORT`"), "{error}");
    }

    #[test]
    fn a_reserved_port_refuses_then_listens_then_refuses_again() {
        let port = Port::reserve().unwrap();
        let connect = || std::net::TcpStream::connect(port.address());
        assert_eq!(connect().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        for _ in 0..3 {
            let listener = port.listen().unwrap();
            drop(connect().unwrap());
            drop(listener);
            assert_eq!(connect().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
    }
}
