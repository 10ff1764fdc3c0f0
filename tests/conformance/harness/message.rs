//! HTTP/1.1 messages as bytes: read strictly, with every fault named. Both the endpoint and the client read by it, so whatever
//! leaves the proxy is judged in every case, also in those about something else.
//!
//! Not here: who sends what ([`super::case`]).

/// A head as it came, its fields apart, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub raw: Vec<u8>,
    /// The request line, or the status line.
    pub first: Vec<u8>,
    /// Names in lower case.
    pub fields: Vec<(String, Vec<u8>)>,
    pub faults: Vec<String>,
}

/// How a body's end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    Close,
}

/// A body so far.
#[derive(Debug)]
pub enum Body {
    More,
    /// Its framing makes no sense.
    Bad(String),
    Whole {
        body: Vec<u8>,
        trailers: Vec<(String, Vec<u8>)>,
        used: usize,
    },
}

/// Text for people: what is not printable is escaped.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 1500;
    let cut = &bytes[..bytes.len().min(MOST)];
    let more = if bytes.len() > MOST { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("{}{more}", cut.escape_ascii())
}

/// The end of the head that `bytes` begin with.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

impl Head {
    /// `raw` ends in the empty line.
    pub fn read(raw: &[u8]) -> Head {
        let mut head = Head { raw: raw.to_vec(), ..Head::default() };
        let mut lines = split_lines(&raw[..raw.len().saturating_sub(4)]).into_iter();
        head.first = lines.next().unwrap_or_default().to_vec();
        if raw.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || raw[at - 1] != b'\r')) {
            head.faults.push("a bare LF in the head".to_owned());
        }
        if raw.iter().enumerate().any(|(at, byte)| *byte == b'\r' && raw.get(at + 1) != Some(&b'\n')) {
            head.faults.push("a bare CR in the head".to_owned());
        }
        if head.first.iter().any(|byte| byte.is_ascii_control()) {
            head.faults.push("a control byte in the first line".to_owned());
        }
        for line in lines {
            match read_field(line) {
                Ok(field) => head.fields.push(field),
                Err(fault) => head.faults.push(fault),
            }
        }
        head
    }

    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_slice()).collect()
    }

    /// The items of a list field, in lower case.
    pub fn list(&self, name: &str) -> Vec<String> {
        let values = self.all(name);
        let joined: Vec<String> = values.iter().map(|value| String::from_utf8_lossy(value).to_lowercase()).collect();
        joined.join(",").split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    }

    /// What frames the body, by the fields alone. Faults of it are noted.
    fn framing(&mut self) -> Option<Framing> {
        let lengths: Vec<Vec<u8>> = self.all("content-length").iter().map(|value| value.to_vec()).collect();
        let codings: Vec<Vec<u8>> = self.all("transfer-encoding").iter().map(|value| value.to_vec()).collect();
        if !lengths.is_empty() && !codings.is_empty() {
            self.faults.push("both Content-Length and Transfer-Encoding".to_owned());
        }
        if lengths.len() > 1 {
            self.faults.push("more than one Content-Length".to_owned());
        }
        match codings.as_slice() {
            [] => {}
            [only] if only.eq_ignore_ascii_case(b"chunked") => return Some(Framing::Chunked),
            _ => self.faults.push("a Transfer-Encoding that is not one `chunked`".to_owned()),
        }
        let length = lengths.first()?;
        let digits = length.iter().all(u8::is_ascii_digit) && !length.is_empty();
        match std::str::from_utf8(length).ok().and_then(|length| length.parse().ok()) {
            Some(length) if digits => Some(Framing::Length(length)),
            _ => {
                self.faults.push(format!("a Content-Length that is no number: {}", shown(length)));
                None
            }
        }
    }

    /// As a request: how its body is framed.
    pub fn request_framing(&mut self) -> Framing {
        let parts: Vec<Vec<u8>> = self.first.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
        match parts.as_slice() {
            [method, target, version] => {
                if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
                    self.faults.push(format!("no method: {}", shown(method)));
                }
                if target.first() != Some(&b'/') && target != b"*" {
                    self.faults.push(format!("a target that is neither a path nor *: {}", shown(target)));
                }
                if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
                    self.faults.push(format!("no version: {}", shown(version)));
                }
                if version == b"HTTP/1.0" && !self.all("transfer-encoding").is_empty() {
                    self.faults.push("Transfer-Encoding in HTTP/1.0".to_owned());
                }
                if version == b"HTTP/1.1" && self.all("host").len() != 1 {
                    self.faults.push(format!("{} Host fields", self.all("host").len()));
                }
            }
            _ => self.faults.push(format!("no request line: {}", shown(&self.first))),
        }
        self.framing().unwrap_or(Framing::None)
    }

    /// As a response: its status, and how its body is framed.
    pub fn response_framing(&mut self, to_head: bool, to_old: bool) -> (u16, Framing) {
        let line = self.first.clone();
        let status = match line.as_slice() {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', code @ .., _] if code.len() >= 3 => {
                std::str::from_utf8(&line[9..12]).ok().and_then(|code| code.parse().ok()).filter(|_| line[12] == b' ')
            }
            _ => None,
        };
        let Some(status) = status else {
            self.faults.push(format!("no status line: {}", shown(&line)));
            return (0, Framing::Close);
        };
        let framing = self.framing();
        if status < 200 || status == 204 {
            if !self.all("content-length").is_empty() || !self.all("transfer-encoding").is_empty() {
                self.faults.push(format!("{status} with a length (RFC 9110 8.6, RFC 9112 6.1)"));
            }
            return (status, Framing::None);
        }
        if to_old && framing == Some(Framing::Chunked) {
            self.faults.push("chunks for an HTTP/1.0 client (RFC 9112 6.1)".to_owned());
        }
        if to_head || status == 304 {
            return (status, Framing::None);
        }
        (status, framing.unwrap_or(Framing::Close))
    }
}

/// A body in `bytes`; `ended`: nothing follows any more.
pub fn read_body(bytes: &[u8], framing: Framing, ended: bool) -> Body {
    match framing {
        Framing::None => Body::Whole { body: Vec::new(), trailers: Vec::new(), used: 0 },
        Framing::Length(length) if bytes.len() >= length => {
            Body::Whole { body: bytes[..length].to_vec(), trailers: Vec::new(), used: length }
        }
        Framing::Close if ended => Body::Whole { body: bytes.to_vec(), trailers: Vec::new(), used: bytes.len() },
        Framing::Length(_) | Framing::Close => Body::More,
        Framing::Chunked => read_chunks(bytes),
    }
}

fn read_chunks(bytes: &[u8]) -> Body {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = line_at(bytes, at) else { return Body::More };
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
        let hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size.filter(|size| hex && *size < 1 << 32) else {
            return Body::Bad(format!("no chunk size: {}", shown(line)));
        };
        at += line.len() + 2;
        if size == 0 {
            break;
        }
        if bytes.len() < at + size + 2 {
            return Body::More;
        }
        if &bytes[at + size..at + size + 2] != b"\r\n" {
            return Body::Bad("a chunk longer than its size".to_owned());
        }
        body.extend_from_slice(&bytes[at..at + size]);
        at += size + 2;
    }
    let mut trailers = Vec::new();
    loop {
        let Some(line) = line_at(bytes, at) else { return Body::More };
        at += line.len() + 2;
        if line.is_empty() {
            return Body::Whole { body, trailers, used: at };
        }
        match read_field(line) {
            Ok(field) => trailers.push(field),
            Err(fault) => return Body::Bad(format!("in the trailers: {fault}")),
        }
    }
}

fn line_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    rest.windows(2).position(|pair| pair == b"\r\n").map(|end| &rest[..end])
}

fn split_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut begin) = (Vec::new(), 0);
    while let Some(line) = line_at(bytes, begin) {
        lines.push(line);
        begin += line.len() + 2;
    }
    lines.push(&bytes[begin..]);
    lines
}

fn read_field(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(format!("a line without colon: {}", shown(line)))?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(format!("a name that is no token: {}", shown(name)));
    }
    // Other control bytes are invalid, too, but may be kept (RFC 9110, section 5.5).
    if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return Err(format!("NUL, CR or LF in a value: {}", shown(line)));
    }
    Ok((String::from_utf8_lossy(name).to_lowercase(), value.to_vec()))
}

pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
