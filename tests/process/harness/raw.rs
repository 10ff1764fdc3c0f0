//! What no library of HTTP would do: connections from many addresses, HTTP/2 frame by frame.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The preface, and SETTINGS that say nothing.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;

pub const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// How many addresses clients come from: one alone has neither ports nor connections for all of them.
const ADDRESSES: usize = 32;

/// A connection of client number `n`. `window`: what its kernel takes unread.
pub async fn connect(n: usize, to: SocketAddr, window: Option<u32>) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(2 + n % ADDRESSES).expect("there are fewer addresses");
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    if let Some(window) = window {
        socket.set_recv_buffer_size(window)?;
    }
    socket.connect(to).await
}

pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS of a GET for localhost, whole.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("a short text")], text.as_bytes()].concat();
    // GET and https from the static table; path and authority as literals with their names from there.
    let block = [&[0x82, 0x87, 0x04][..], &text(path), &[0x01], &text("localhost")].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

pub async fn read_frame(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, rest @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    io.read_exact(&mut payload).await?;
    Ok(Frame { kind, flags, stream: u32::from_be_bytes(rest) & 0x7fff_ffff, payload })
}

/// One GET over HTTP/2 on a connection whose preface is sent: the status line's HPACK, and everything else answered as it must
/// be, until the stream has ended.
pub async fn get_over_h2(io: &mut (impl AsyncRead + AsyncWrite + Unpin), stream: u32, path: &str) -> io::Result<u8> {
    io.write_all(&get(stream, path)).await?;
    io.flush().await?;
    let mut status = 0;
    loop {
        let frame = read_frame(io).await?;
        if (frame.kind == SETTINGS || frame.kind == PING) && frame.flags & ACK == 0 {
            let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
            io.write_all(&self::frame(frame.kind, ACK, 0, payload)).await?;
            io.flush().await?;
        } else if frame.kind == GOAWAY || frame.kind == RST_STREAM {
            return Err(io::Error::other(format!("frame {} came instead: {:?}", frame.kind, frame.payload)));
        } else if frame.stream == stream {
            if frame.kind == HEADERS {
                // Past a change of the table's size, which is no field.
                status = frame.payload.iter().copied().find(|byte| byte & 0xe0 != 0x20).unwrap_or(0);
            }
            if frame.flags & END_STREAM != 0 && frame.kind <= HEADERS {
                return Ok(status);
            }
        }
    }
}

/// `:status 200` of the static table.
pub const STATUS_200: u8 = 0x88;
