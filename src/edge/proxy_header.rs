//! The PROXY header before anything else on a connection from a trusted proxy: HAProxy's PROXY protocol, versions 1 and 2, read
//! exactly, so that no two readers could take it for two clients.
//!
//! Not here: from whom one is taken ([`super::conn`]), writing one (`upstream::proxy_header`).

use super::stream::Wire;
use crate::telemetry::metrics::NotIntroduced;
use crate::upstream::Ends;
use crate::upstream::proxy_header::SIGNATURE;
use bytes::BytesMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use tokio::io::AsyncReadExt;

/// The longest header of version 2 that is read. Addresses take 232 bytes at most, and what senders add of TLS some hundred; the
/// specification would allow 64 KiB.
const MOST: usize = 4_096;

/// The longest line of version 1, with its end: the specification's own number.
const LINE: usize = 107;

/// The beginning of version 1.
const WORD: &[u8] = b"PROXY ";

/// What comes before the addresses in version 2.
const FIXED: usize = 16;

/// The type of the TLV that has the checksum.
const CRC32C: u8 = 0x03;

/// What a connection began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// More of it has to come.
    Part,
    Whole {
        /// `None`: it is the proxy's own, or the proxy has no addresses that we could use.
        ends: Option<Ends>,
        /// Of the header, in bytes.
        length: usize,
    },
}

/// Whose a connection is, by the header that it began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The client left without a byte, as whoever tests a port does.
    Nobodys,
    /// The proxy's own, or the proxy has no addresses that we could use.
    Proxys,
    Clients(Ends),
}

/// Reads one header from the wire; what came after it is read next.
///
/// # Errors
/// Why the connection can't be used.
pub async fn take(wire: &mut Wire) -> Result<Whose, NotIntroduced> {
    let mut bytes = BytesMut::with_capacity(256); // more than nearly all are
    loop {
        match read(&bytes)? {
            Read::Whole { ends, length } => {
                let rest = bytes.split_off(length);
                wire.introduced(rest.freeze());
                return Ok(ends.map_or(Whose::Proxys, Whose::Clients));
            }
            Read::Part => {
                let room = u64::try_from(MOST - bytes.len()).expect("it is small");
                let came = (&mut *wire).take(room).read_buf(&mut bytes).await;
                match came {
                    Ok(1..) => {}
                    Ok(0) | Err(_) if bytes.is_empty() => return Ok(Whose::Nobodys),
                    Ok(0) | Err(_) => return Err(NotIntroduced::Cut),
                }
            }
        }
    }
}

/// What these bytes begin with. Never [`Read::Part`] of more than [`MOST`].
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Read, NotIntroduced> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(one, other)| one == other);
    if begins(WORD) {
        line(bytes)
    } else if begins(&SIGNATURE) {
        binary(bytes)
    } else {
        Err(NotIntroduced::Missing)
    }
}

/// Version 1.
fn line(bytes: &[u8]) -> Result<Read, NotIntroduced> {
    let within = &bytes[..bytes.len().min(LINE)];
    let Some(end) = within.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if within.len() < LINE { Ok(Read::Part) } else { Err(NotIntroduced::TooLong) };
    };
    match &within[end..] {
        [b'\r'] if within.len() < LINE => return Ok(Read::Part),
        [b'\r'] => return Err(NotIntroduced::TooLong),
        [b'\r', b'\n', ..] => {}
        _ => return Err(NotIntroduced::Malformed),
    }
    let ends = words(&within[WORD.len()..end]).ok_or(NotIntroduced::Malformed)?;
    Ok(Read::Whole { ends, length: end + 2 })
}

/// What stands between `PROXY ` and the line's end. After UNKNOWN anything may.
fn words(text: &[u8]) -> Option<Option<Ends>> {
    let mut words = text.split(|byte| *byte == b' ');
    let ends = match words.next()? {
        b"UNKNOWN" => return Some(None),
        b"TCP4" => addresses::<Ipv4Addr>(&mut words)?,
        b"TCP6" => addresses::<Ipv6Addr>(&mut words)?,
        _ => return None,
    };
    words.next().is_none().then_some(Some(ends))
}

fn addresses<'a, A: FromStr + Into<IpAddr>>(words: &mut impl Iterator<Item = &'a [u8]>) -> Option<Ends> {
    let mut address = || std::str::from_utf8(words.next()?).ok()?.parse::<A>().ok();
    let (client, at) = (address()?, address()?);
    let (client_port, port) = (port(words.next()?)?, port(words.next()?)?);
    Some(ends((client.into(), client_port), (at.into(), port)))
}

/// Digits alone, and no 0 before others.
fn port(digits: &[u8]) -> Option<u16> {
    let exact = digits == b"0" || (digits.first() != Some(&b'0') && digits.iter().all(u8::is_ascii_digit));
    exact.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// An IPv4 client is one, however its address is written.
fn ends(client: (IpAddr, u16), at: (IpAddr, u16)) -> Ends {
    let address = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Ends { client: address(client), at: address(at) }
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Read, NotIntroduced> {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Ok(Read::Part) };
    let [.., command, family, high, low] = *fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    // Whose the connection is; LOCAL says that it is the proxy's own, whatever else is in the header.
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(NotIntroduced::Malformed),
    };
    let addresses = match family {
        _ if local => None,
        0x00 => None,
        0x11 => Some(12),
        0x21 => Some(36),
        0x31 => Some(216), // Unix sockets: no address that anything here could use
        _ => return Err(NotIntroduced::Malformed), // no such family, or datagrams
    };
    if length > MOST {
        return Err(NotIntroduced::TooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(Read::Part) };
    let Some(addresses) = addresses else { return Ok(Read::Whole { ends: None, length }) };
    let (block, extensions) = header[FIXED..].split_at_checked(addresses).ok_or(NotIntroduced::Malformed)?;
    if !extensions_are_well(header, extensions) {
        return Err(NotIntroduced::Malformed);
    }
    let number = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let ends = match family {
        0x11 => {
            let ip = |at: usize| IpAddr::from([block[at], block[at + 1], block[at + 2], block[at + 3]]);
            Some(ends((ip(0), number(8)), (ip(4), number(10))))
        }
        0x21 => {
            let ip = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&block[at..at + 16]).expect("16 bytes are"));
            Some(ends((ip(0), number(32)), (ip(16), number(34))))
        }
        _ => None,
    };
    Ok(Read::Whole { ends, length })
}

/// Whether the TLVs fill what is left of the header, and its checksum is right if it has one. Nothing else of them is used.
fn extensions_are_well(header: &[u8], mut rest: &[u8]) -> bool {
    let mut checksum = None;
    while !rest.is_empty() {
        let [kind, high, low, after @ ..] = rest else { return false };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, next)) = after.split_at_checked(length) else { return false };
        if *kind == CRC32C {
            let (Ok(value), None) = (<[u8; 4]>::try_from(value), checksum) else { return false };
            checksum = Some((u32::from_be_bytes(value), header.len() - after.len()));
        }
        rest = next;
    }
    checksum.is_none_or(|(said, at)| said == crc32c(&header[..at], &header[at + 4..]))
}

/// CRC32c of a header whose checksum stands between these parts, where zeros are counted. Bit by bit: few senders make one, and once a
/// connection.
fn crc32c(before: &[u8], after: &[u8]) -> u32 {
    let bytes = before.iter().chain(&[0; 4]).chain(after);
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

#[cfg(test)]
mod tests;
