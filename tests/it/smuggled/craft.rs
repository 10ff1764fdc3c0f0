//! Requests as an attacker would write them: well-formed ones, of which some pieces are then misspelt, repeated, moved or cut.
//!
//! Every target names its case, so that whoever is sent one knows whose it was; what stands in a body is a request for `/hidden`.

use fastrand::Rng;

/// What a client sends over HTTP/1.1, in the order of its writes, and whether it then closes its side at once.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub writes: Vec<Vec<u8>>,
    pub then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Waits for what comes.
    Listen,
    /// Sends no more, and says so.
    Close,
}

impl Conversation {
    pub fn bytes(&self) -> Vec<u8> {
        self.writes.concat()
    }
}

/// The last request of a conversation. Its answer is the last that comes.
pub const LAST: &str = "/last";

pub fn conversation(case: u64, rng: &mut Rng) -> Conversation {
    let mut bytes = Vec::new();
    for place in 0..rng.usize(1..4) {
        bytes.extend(request(case, place, rng));
    }
    for _ in 0..rng.usize(0..3).saturating_sub(1) {
        scratch(&mut bytes, rng);
    }
    bytes.extend(format!("GET {LAST} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes());
    let then = if rng.u8(..) < 30 {
        bytes.truncate(rng.usize(1..bytes.len()));
        Then::Close
    } else {
        Then::Listen
    };
    let mut writes = Vec::new();
    for _ in 0..rng.usize(0..3) {
        let rest = bytes.split_off(rng.usize(..bytes.len()));
        writes.insert(0, rest);
        if bytes.is_empty() {
            break;
        }
    }
    writes.insert(0, bytes);
    Conversation { writes, then }
}

fn pick<'a, T: ?Sized>(rng: &mut Rng, from: &[&'a T]) -> &'a T {
    from[rng.usize(..from.len())]
}

/// Once in so many.
fn once_in(rng: &mut Rng, many: u32) -> bool {
    rng.u32(..many) == 0
}

fn request(case: u64, place: usize, rng: &mut Rng) -> Vec<u8> {
    let path = format!("/c{case}-{place}");
    let method = if once_in(rng, 8) { pick(rng, METHODS) } else { pick(rng, &["GET", "POST", "PUT", "HEAD"]) };
    let target = if once_in(rng, 8) { pick(rng, TARGETS).replace('@', &path) } else { path };
    let version = if once_in(rng, 12) { pick(rng, VERSIONS) } else { "HTTP/1.1" };
    let mut fields: Vec<String> = vec!["Host: localhost".to_owned()];
    let mut body = Vec::new();
    if method != "GET" && method != "HEAD" || once_in(rng, 6) {
        let content = content(case, place, rng);
        if rng.bool() {
            fields.push(format!("Content-Length: {}", content.len()));
            body = content;
        } else {
            fields.push("Transfer-Encoding: chunked".to_owned());
            body = chunked(&content, rng);
        }
    }
    // At most some mistakes: a message with many is refused for the first of them, and shows nothing of the others.
    for _ in 0..[0, 0, 0, 1, 1, 2][rng.usize(..6)] {
        mistake(&mut fields, body.len(), rng);
    }
    let end = if once_in(rng, 10) { pick(rng, ENDS) } else { "\r\n" };
    let mut lines = vec![format!("{method} {target} {version}")];
    lines.extend(fields);
    let mut head = lines.join(end).into_bytes();
    // A place in the text stands for the byte that Rust would not let stand there.
    head.iter_mut().filter(|byte| **byte == b'\x1a').for_each(|byte| *byte = 0xe9);
    head.extend_from_slice(end.as_bytes());
    head.extend_from_slice(if once_in(rng, 20) { pick(rng, ENDS).as_bytes() } else { end.as_bytes() });
    head.extend(body);
    head
}

const METHODS: &[&str] = &[
    "OPTIONS", "DELETE", "PATCH", "get", "G\tET", " GET", "GET\r\n", "\0GET", "CONNECT", "TRACE", "PRI", "\"GET\"",
    "X", "GET GET", "\x1aGET",
];

/// `@` is the path that names the case.
const TARGETS: &[&str] = &[
    "@?a=b",
    "http://localhost@",
    "https://localhost:443@",
    "http://localhost",
    "http://other.example@",
    "*",
    "@#f",
    "@\x1a",
    "@\t",
    "@ /hidden",
    "@ HTTP/1.1\r\nX: y",
    "/@",
    "localhost:80",
    "@\x0b",
    "@\\x",
    "@/../x",
    "@%0d%0aX: y",
    "?@",
    "@\0",
    "",
    "http://user@localhost@",
    "http:/@",
    "//localhost@",
];

const VERSIONS: &[&str] = &[
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.2",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP/1.10",
    "HTTP/ 1.1",
    "",
    "HTTP/1.1\t",
    "HTTP/11",
    " HTTP/1.1",
];

const ENDS: &[&str] = &["\n", "\n", "\r", "\r\r\n", "\n\r", "\r\n ", "\r\n\t", "\x0b\r\n", "\r\n\r\n", "\0\r\n"];

/// Fields that there may be one of, or one more of. `@` is the length of the body.
const FIELDS: &[&str] = &[
    "Content-Length: @",
    "Content-Length: @",
    "content-length:@",
    "Content-Length: 0",
    "Content-Length: 0@",
    "Content-Length: +@",
    "Content-Length: -@",
    "Content-Length: @, @",
    "Content-Length: @,0",
    "Content-Length: @ 0",
    "Content-Length: 0x10",
    "Content-Length: @\x0b",
    "Content-Length:\t@",
    "Content-Length : @",
    "Content-Length\t: @",
    "Content_Length: @",
    " Content-Length: @",
    "Content-Length:\r\n @",
    "Content-Length: @\r\n ",
    "Content-Length: ",
    "Content-Length: 99",
    "Content-Length: 18446744073709551617",
    "X: y\rContent-Length: @",
    "X: y\nContent-Length: @",
    "X: y\0\nContent-Length: 5",
    "Content-Length\0: @",
    "Content\u{2011}Length: @",
    "Content-Length: @;q=1",
    "Content-Length: \"@\"",
    "Content-Length: @.0",
    "Transfer-Encoding: chunked",
    "transfer-encoding: CHUNKED",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: x-chunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: chunked\t",
    "Transfer-Encoding : chunked",
    "Transfer_Encoding: chunked",
    " Transfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: ",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding: c\u{212a}hunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "Transfer-Encoding\0: chunked",
    "TE: chunked",
    "TE: trailers",
    "Trailer: Content-Length",
    "Host: localhost",
    "Host: other.example",
    "Host : localhost",
    "Host: local\0host",
    "Host: localhost, other",
    "host:",
    "Connection: content-length",
    "Connection: transfer-encoding, host",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
    "Connection: upgrade, http2-settings\r\nUpgrade: h2c",
    "Upgrade: TLS/1.0, HTTP/1.1\r\nConnection: Upgrade",
    "Expect: 100-continue",
    "Expect: 100-continue, x",
    ":method: POST",
    ":path: /hidden",
    ":authority: other.example",
    "X: a\r\n b",
    "X: a\r\n\tContent-Length: 3",
    "X:",
    ": x",
    "X",
    "X : y",
    "X: \x1a",
    "X: \x07",
    "X: a\r\r\n",
    "X: \x7f",
    "(x): y",
    "X-Forwarded-For: 127.9.9.9",
    "X-HTTP-Method-Override: PUT",
    "Content-Encoding: chunked",
    "Proxy-Connection: keep-alive",
    "Keep-Alive: 99",
    "Max-Forwards: 0",
    "Range: bytes=0-1",
    "Cookie: a\r\nCookie: b",
];

fn mistake(fields: &mut Vec<String>, length: usize, rng: &mut Rng) {
    let place = rng.usize(..=fields.len());
    match rng.u8(..12) {
        0..8 => fields.insert(place, pick(rng, FIELDS).replace('@', &length.to_string())),
        8 => drop(fields.pop()),
        9 => {
            let again = fields.get(place).cloned();
            fields.extend(again);
        }
        10 => fields.iter_mut().for_each(|field| *field = field.to_ascii_uppercase()),
        _ => rng.shuffle(fields),
    }
}

/// What a body says: nothing, text, or a request of its own.
fn content(case: u64, place: usize, rng: &mut Rng) -> Vec<u8> {
    let hidden = format!("GET /hidden{case}-{place} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    match rng.u8(..5) {
        0 => Vec::new(),
        1 => b"abc".to_vec(),
        2 => format!("0\r\n\r\n{hidden}").into_bytes(),
        3 => format!("\r\n{hidden}{hidden}").into_bytes(),
        _ => hidden.into_bytes(),
    }
}

/// In chunks, some of them misspelt.
fn chunked(content: &[u8], rng: &mut Rng) -> Vec<u8> {
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let odd = [
        "0x@",
        "+@",
        "-@",
        " @",
        "@ ",
        "@\t",
        "@;",
        "@;a=b",
        "@ ;a=\"b\"",
        "@;\n",
        "@;a\r",
        "00000000@",
        "000000000000000000@",
        "@\0",
        "@h",
        "@;\"\r\n\"",
        "1@",
        "@\x0b",
        "",
        "@,@",
        "@.0",
        "@\x1a",
    ];
    let mut all = Vec::new();
    let mut rest = content;
    loop {
        let size = if rest.is_empty() { 0 } else { rng.usize(1..=rest.len()) };
        let (piece, after) = rest.split_at(size);
        let written = if rng.bool() { format!("{size:x}") } else { format!("{size:X}") };
        let line = if once_in(rng, 12) { pick(rng, &odd).replace('@', &written) } else { written };
        all.extend_from_slice(line.as_bytes());
        all.extend_from_slice(if once_in(rng, 25) { pick(rng, ENDS).as_bytes() } else { b"\r\n" });
        if size == 0 {
            if once_in(rng, 5) {
                all.extend_from_slice(pick(rng, TRAILERS).as_bytes());
            }
            all.extend_from_slice(if once_in(rng, 15) { pick(rng, ENDS).as_bytes() } else { b"\r\n" });
            return all;
        }
        all.extend_from_slice(piece);
        match rng.u32(..40) {
            0 => all.extend_from_slice(pick(rng, ENDS).as_bytes()),
            1 => {}
            2 => all.extend_from_slice(b"xx"),
            3 => all.extend_from_slice(hidden.as_bytes()),
            _ => all.extend_from_slice(b"\r\n"),
        }
        rest = after;
    }
}

const TRAILERS: &[&str] = &[
    "X-T: 1\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: other.example\r\n",
    "X-T: 1\n",
    "X-T : 1\r\n",
    " X-T: 1\r\n",
    "X-T: a\r\n b\r\n",
    "X-T\r\n",
    "X-T: \0\r\n",
    "GET /hidden HTTP/1.1\r\n",
    "X: y\rZ: z\r\n",
    "\r",
    "X-T: 1\r\nX-T: 2\r\n",
];

/// Bytes changed without a thought for what they are.
fn scratch(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..bytes.len());
    let special = b"\r\n\0 \t:;,\x0b\x1f\x7f\xff/0aA";
    match rng.u8(..6) {
        0 => bytes[at] ^= 1 << rng.u32(..8),
        1 => bytes[at] = special[rng.usize(..special.len())],
        2 => bytes.insert(at, special[rng.usize(..special.len())]),
        3 => drop(bytes.remove(at)),
        4 => {
            let piece = bytes[at..bytes.len().min(at + rng.usize(1..20))].to_vec();
            let to = rng.usize(..bytes.len());
            bytes.splice(to..to, piece);
        }
        _ => drop(bytes.drain(at..bytes.len().min(at + rng.usize(1..8)))),
    }
}
