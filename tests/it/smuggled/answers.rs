//! Responses as a broken or hostile endpoint would write them. What a target is answered depends on the target alone, so whoever asks
//! again gets the same.
//!
//! Each names the target that it was made for, in X-For; one that nobody asked for says X-Hidden besides.

use super::recorder::{Said, Then, rng};
use fastrand::Rng;

pub fn answer(target: &str, method: &str) -> Said {
    let mut rng = rng(target);
    let rng = &mut rng;
    let mut bytes = Vec::new();
    for _ in 0..rng.usize(0..5).saturating_sub(3) {
        bytes.extend(pick(rng, INTERIM).replace('@', target).into_bytes());
    }
    let content = content(target, rng);
    let mut fields = vec![format!("X-For: {target}"), "Content-Type: text/plain".to_owned()];
    let mut body = content.clone();
    match rng.u8(..4) {
        0 | 1 => fields.push(format!("Content-Length: {}", content.len())),
        2 => {
            fields.push("Transfer-Encoding: chunked".to_owned());
            body = chunked(&content, rng);
        }
        _ => {} // up to the connection's end
    }
    for _ in 0..rng.usize(0..5).saturating_sub(1) {
        let place = rng.usize(..=fields.len());
        fields.insert(place, pick(rng, FIELDS).replace('@', &content.len().to_string()));
    }
    let end = if rng.u8(..12) == 0 { pick(rng, ENDS) } else { "\r\n" };
    let status = if rng.u8(..5) == 0 { pick(rng, STATUS) } else { "HTTP/1.1 200 OK" };
    let head = [&[status.to_owned()][..], &fields].concat().join(end);
    bytes.extend(head.into_bytes());
    bytes.extend_from_slice(end.as_bytes());
    bytes.extend_from_slice(end.as_bytes());
    if method != "HEAD" || rng.u8(..6) == 0 {
        bytes.extend(body);
    }
    if rng.u8(..6) == 0 {
        bytes.extend(hidden(target).into_bytes());
    }
    let mut then = [Then::Keep, Then::Keep, Then::Close, Then::Reset][rng.usize(..4)];
    if rng.u8(..5) == 0 {
        bytes.truncate(rng.usize(1..=bytes.len()));
        then = if rng.bool() { Then::Close } else { Then::Reset };
    }
    if rng.u8(..12) == 0 {
        let at = rng.usize(..bytes.len());
        let whole = bytes.clone();
        bytes[at] = b"\r\n\0 :\xff0"[rng.usize(..7)];
        if names(&bytes, target) != names(&whole, target) {
            bytes = whole; // whose it is must stay readable
        }
    }
    // What waits for more than is sent would wait for as long as a timeout is.
    if then == Then::Keep && rng.bool() {
        then = Then::Close;
    }
    Said { bytes, then }
}

/// How often it says for whom it is, each time with the byte after that.
fn names(bytes: &[u8], target: &str) -> Vec<u8> {
    let name = format!("X-For: {target}");
    let windows = bytes.windows(name.len() + 1).filter(|window| window.starts_with(name.as_bytes()));
    windows.map(|window| window[name.len()]).collect()
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

fn hidden(target: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nX-For: {target}\r\nX-Hidden: yes\r\nContent-Length: 6\r\n\r\nhidden")
}

fn content(target: &str, rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..4) {
        0 => Vec::new(),
        1 => b"a page".to_vec(),
        2 => hidden(target).into_bytes(),
        _ => format!("0\r\n\r\n{}", hidden(target)).into_bytes(),
    }
}

fn chunked(content: &[u8], rng: &mut Rng) -> Vec<u8> {
    let odd = ["0x@", "+@", " @", "@ ", "@;", "@;a=b", "@;\n", "@;a\r", "00000@", "@\0", "@h", "1@", "", "@,@"];
    let (mut all, mut rest) = (Vec::new(), content);
    loop {
        let size = if rest.is_empty() { 0 } else { rng.usize(1..=rest.len()) };
        let (piece, after) = rest.split_at(size);
        let written = format!("{size:x}");
        let line = if rng.u8(..15) == 0 { pick(rng, &odd).replace('@', &written) } else { written };
        all.extend_from_slice(line.as_bytes());
        all.extend_from_slice(if rng.u8(..25) == 0 { pick(rng, ENDS).as_bytes() } else { b"\r\n" });
        all.extend_from_slice(piece);
        if size == 0 && rng.u8(..6) == 0 {
            all.extend_from_slice(pick(rng, TRAILERS).as_bytes());
        }
        all.extend_from_slice(if rng.u8(..25) == 0 { pick(rng, ENDS).as_bytes() } else { b"\r\n" });
        if size == 0 {
            return all;
        }
        rest = after;
    }
}

const ENDS: &[&str] = &["\n", "\r", "\r\r\n", "\n\r", "\r\n ", "\x0b\r\n", "\r\n\r\n", "\0\r\n", ""];

const TRAILERS: &[&str] = &[
    "X-T: 1\r\n",
    "Content-Length: 5\r\n",
    "X-T : 1\r\n",
    "X-T\r\n",
    "X-T: \0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "Set-Cookie: a=b\r\n",
];

const INTERIM: &[&str] = &[
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
    "HTTP/1.1 102 X\r\n\r\n",
    "HTTP/1.1 100 Continue\r\nContent-Length: 6\r\n\r\nhidden",
    "HTTP/1.1 199 X\r\nX-For: @\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "HTTP/1.1 100\r\n\r\n",
    "\r\n",
];

const STATUS: &[&str] = &[
    "HTTP/1.0 200 OK",
    "HTTP/1.1 200",
    "HTTP/1.1 200 ",
    "HTTP/1.1  200 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/2 200 OK",
    "http/1.1 200 OK",
    "HTTP/1.1 099 X",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 205 Reset",
    "HTTP/1.1 404 X",
    "HTTP/1.1 206 Partial",
    "HTTP/1.1 500 X",
    "HTTP/1.1 999 X",
    "HTTP/1.1 200 O\rK",
    "HTTP/1.1 200 \u{e9}",
    "HTTP/1.1 200 \0",
    "200 OK",
    "HTTP/1.1 302 Found\r\nLocation: /a\r\nX: y",
    "ICY 200 OK",
    "HTTP/1.1 +200 OK",
    "HTTP/1.1 200 OK\r\n X: folded",
    "",
];

/// `@` is the length of the body.
const FIELDS: &[&str] = &[
    "Content-Length: @",
    "Content-Length: @",
    "Content-Length: 0",
    "Content-Length: 2",
    "Content-Length: 999",
    "Content-Length: +@",
    "Content-Length: @, @",
    "Content-Length: @,0",
    "Content-Length : @",
    "Content-Length\t: @",
    "Content_Length: 1",
    " Content-Length: 1",
    "Content-Length:\r\n @",
    "Content-Length: -1",
    "Content-Length: ",
    "Content-Length: 0x4",
    "Content-Length: 18446744073709551617",
    "X: y\rContent-Length: 1",
    "X: y\nContent-Length: 1",
    "Content-Length: @.0",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding : chunked",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding:\tchunked\t",
    "Transfer-Encoding: ",
    "Transfer-Encoding: CHUNKED",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: content-length, transfer-encoding",
    "Connection: upgrade\r\nUpgrade: websocket",
    "Upgrade: h2c",
    "Keep-Alive: timeout=9",
    "Trailer: Content-Length",
    "X: a\r\n b",
    "X: a\r\r\n",
    "X",
    ": x",
    "X : y",
    "X: \0",
    "X: \x07",
    "X: \u{e9}",
    "Set-Cookie: a=b",
    "Content-Encoding: gzip",
    "Date: never",
    "Content-Range: bytes 0-1/2",
    "Accept-Ranges: bytes\r\nETag: \"1\"",
    "Proxy-Status: hotspare; error=x",
];
