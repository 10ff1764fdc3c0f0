//! HTTP/2 by hand: what no library would send.

use fastrand::Rng;
use std::collections::BTreeSet;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// One stream's request as it is sent.
#[derive(Clone, Debug)]
pub struct Stream {
    pub number: u32,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Stream {
    /// The first value of a field. (Where a field of `:method` and its like is there twice, and a frame's border lies between the two, the
    /// library that reads them for us takes the first; elsewhere it refuses both.)
    fn first(&self, name: &str) -> Option<String> {
        let (_, value) = self.fields.iter().find(|(field, _)| field == name.as_bytes())?;
        Some(value.iter().copied().map(char::from).collect())
    }

    /// Method, target and body, if they are beyond doubt.
    pub fn means(&self) -> Option<(String, String, Vec<u8>)> {
        let lengths = self.fields.iter().filter(|(name, _)| name == b"content-length");
        let right = lengths.clone().all(|(_, value)| *value == self.body.len().to_string().into_bytes());
        right.then(|| Some((self.first(":method")?, self.first(":path")?, self.body.clone())))?
    }
}

pub fn streams(case: u64, rng: &mut Rng) -> Vec<Stream> {
    (0..rng.u32(1..4)).map(|place| stream(case, place, rng)).collect()
}

fn stream(case: u64, place: u32, rng: &mut Rng) -> Stream {
    let path = format!("/c{case}-{place}");
    let hidden = format!("GET /hidden{case} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let body = match rng.u8(..4) {
        0 | 1 => Vec::new(),
        2 => format!("0\r\n\r\n{hidden}").into_bytes(),
        _ => hidden.clone().into_bytes(),
    };
    let method = if body.is_empty() { "GET" } else { "POST" };
    let mut fields =
        vec![(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path.as_str())];
    let (length, more) = (body.len().to_string(), (body.len() + 7).to_string());
    let split = format!("a\r\n\r\n{hidden}");
    let odd_path = [
        format!("{path} HTTP/1.1\r\nX: y"),
        format!("{path}\r\n\r\n{hidden}"),
        format!("{path} "),
        format!("{path}#f"),
        "*".to_owned(),
        format!("http://localhost{path}"),
        format!("{path}\0"),
        String::new(),
        format!("{path}\u{e9}"),
        format!("x{path}"),
        format!("{path}\t"),
    ];
    let odd = [
        ("content-length", length.as_str()),
        ("content-length", &more),
        ("content-length", "0"),
        ("content-length", "+1"),
        ("content-length", ""),
        ("content-length", "1, 1"),
        ("transfer-encoding", "chunked"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding", "gzip, chunked"),
        ("te", "chunked"),
        ("te", "trailers"),
        ("connection", "transfer-encoding"),
        ("connection", "close"),
        ("upgrade", "h2c"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("x", &split),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x", " a "),
        ("x: y\r\nz", "1"),
        ("x\n", "1"),
        ("x y", "1"),
        ("x:", "1"),
        ("", "1"),
        (":x", "1"),
        ("X", "1"),
        ("host", "localhost"),
        ("host", "other"),
        (":method", "POST"),
        (":path", "/hidden"),
        (":authority", "other"),
        (":authority", "localhost:80@x"),
        (":scheme", "http://x/"),
        (":status", "200"),
        (":protocol", "websocket"),
        ("cookie", "a=1"),
        ("cookie", "b=2\r\nx: y"),
        ("content_length", "1"),
        ("transfer_encoding", "chunked"),
        ("expect", "100-continue"),
        ("x-forwarded-for", "127.9.9.9"),
        ("trailer", "content-length"),
    ];
    for _ in 0..rng.usize(0..4) {
        match rng.u8(..10) {
            0 => {
                fields[0].1 =
                    ["GET /hidden HTTP/1.1\r\nX: ", "CONNECT", "get", "P T", "", "OPTIONS", "HEAD"][rng.usize(..7)]
            }
            1 => {
                fields[2].1 =
                    ["localhost\r\nX: y", "other", "a@localhost", "", "localhost:80", "localhost "][rng.usize(..6)]
            }
            2 => fields[3].1 = &odd_path[rng.usize(..odd_path.len())],
            3 => drop(fields.remove(rng.usize(..4))),
            4 => rng.shuffle(&mut fields),
            _ => fields.insert(rng.usize(..=fields.len()), odd[rng.usize(..odd.len())]),
        }
        if fields.len() < 4 {
            break;
        }
    }
    let fields =
        fields.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    Stream { number: 1 + 2 * place, fields, body }
}

/// A whole connection's worth.
pub fn bytes(streams: &[Stream], rng: &mut Rng) -> Vec<u8> {
    let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut all, 4, 0, 0, &[]);
    for stream in streams {
        let mut block = Vec::new();
        for (name, value) in &stream.fields {
            block.push(0); // a literal that is not indexed, with a new name (RFC 7541, section 6.2.2)
            string(&mut block, name);
            string(&mut block, value);
        }
        let ends = u8::from(stream.body.is_empty() && rng.bool());
        let cut = rng.usize(..=block.len());
        if rng.u8(..5) == 0 {
            frame(&mut all, 1, ends, stream.number, &block[..cut]);
            frame(&mut all, 9, 4, stream.number, &block[cut..]);
        } else {
            frame(&mut all, 1, 4 | ends, stream.number, &block);
        }
        if ends == 0 {
            let cut = rng.usize(..=stream.body.len());
            frame(&mut all, 0, 0, stream.number, &stream.body[..cut]);
            frame(&mut all, 0, 1, stream.number, &stream.body[cut..]);
        }
    }
    all
}

fn frame(all: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    all.extend_from_slice(&length[1..]);
    all.extend_from_slice(&[kind, flags]);
    all.extend_from_slice(&stream.to_be_bytes());
    all.extend_from_slice(payload);
}

/// RFC 7541, section 5.2, without Huffman's code.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()) {
        Ok(short @ ..127) => block.push(short),
        _ => {
            let mut rest = text.len() - 127;
            block.push(127);
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap());
        }
    }
    block.extend_from_slice(text);
}

/// Reads until each of `streams` has ended, or the connection has.
pub async fn read_to_their_end(socket: &mut TcpStream, streams: &[Stream]) {
    let mut open: BTreeSet<u32> = streams.iter().map(|stream| stream.number).collect();
    while !open.is_empty() {
        let mut head = [0; 9];
        if socket.read_exact(&mut head).await.is_err() {
            return;
        }
        let [a, b, c, kind, flags, number @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        if socket.read_exact(&mut payload).await.is_err() || kind == 7 {
            return;
        }
        if kind == 3 || (kind <= 1 && flags & 1 == 1) {
            open.remove(&u32::from_be_bytes(number));
        }
    }
}
