//! Parsers of HTTP/1.1 written for judging alone: one by the letter of RFC 9112, and one for each way in which programs are known to
//! read more than that. Slow and plain, and nothing of hyper's or ours in them.
//!
//! Not here: what they are given (`craft`, `answers`), what must be the same for all of them (the front page).

/// How a program reads what the letter leaves no room for.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    pub name: &'static str,
    /// What ends a line of a head.
    pub lines: Lines,
    /// What ends a line of a chunked body.
    pub chunk_lines: Lines,
    /// A line that begins with white space goes on with the field before it.
    pub folds: Allowed,
    /// White space before a colon, control characters in values, names that are no tokens.
    pub loose_fields: Allowed,
    pub lengths: Lengths,
    pub both: Both,
    pub codings: Codings,
    pub sizes: Sizes,
    pub trailers: Trailers,
    /// Empty lines before a status line.
    pub early_lines: Allowed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    Crlf,
    /// LF, with a CR before it or not.
    Lf,
    /// CR, LF, or both.
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    No,
    Yes,
}

/// Which Content-Length counts where there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    One,
    /// Several that are the same are one, in a list too.
    Same,
    First,
    Last,
}

/// Content-Length and Transfer-Encoding at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Both {
    Refused,
    /// The chunks count, and the connection ends with the message.
    ChunksThenClose,
    Chunks,
    Length,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codings {
    /// One field, `chunked` and nothing else.
    Exact,
    /// `chunked` anywhere in any of them, also in a longer word, also where the name has `_`.
    Anywhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    Exact,
    /// White space after the digits.
    Spaced,
    /// The digits that there are, after white space, `+` and `0x`; whatever follows is an extension, and what should follow the data
    /// may be missing.
    Loose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailers {
    /// Lines like those of a head.
    Lines,
    /// Whatever there is up to CRLF twice.
    UpToEmptyLine,
}

/// RFC 9112, to the letter.
pub const STRICT: Dialect = Dialect {
    name: "strict",
    lines: Lines::Crlf,
    chunk_lines: Lines::Crlf,
    folds: Allowed::No,
    loose_fields: Allowed::No,
    lengths: Lengths::One,
    both: Both::Refused,
    codings: Codings::Exact,
    sizes: Sizes::Exact,
    trailers: Trailers::Lines,
    early_lines: Allowed::No,
};

/// What of that the front door gives way in: what RFC 9112 lets a reader do, and docs/http.md says that it does. LF ends a line of the
/// head (2.2), the same length twice is one (6.3), chunks win over a length and are the last message (6.1), white space after a chunk's
/// size (as before an extension, 7.1.1). Trailers end with CRLF twice and nothing else, which is the longest that they can be read as.
pub const DOOR: Dialect = Dialect {
    name: "the front door's",
    lines: Lines::Lf,
    lengths: Lengths::Same,
    both: Both::ChunksThenClose,
    sizes: Sizes::Spaced,
    trailers: Trailers::UpToEmptyLine,
    ..STRICT
};

/// What it takes from endpoints: likewise, but a connection goes on after both lengths (it is not kept), and an empty line before a
/// status is skipped.
pub const FROM_ENDPOINTS: Dialect =
    Dialect { name: "the front door's, of answers", both: Both::Chunks, early_lines: Allowed::Yes, ..DOOR };

/// Readers that there are, each with its own mistake.
pub const LENIENT: [Dialect; 7] = [
    Dialect { name: "LF ends lines", lines: Lines::Lf, chunk_lines: Lines::Lf, loose_fields: Allowed::Yes, ..STRICT },
    Dialect { name: "CR ends lines", lines: Lines::Any, chunk_lines: Lines::Any, loose_fields: Allowed::Yes, ..STRICT },
    Dialect { name: "lines fold", folds: Allowed::Yes, loose_fields: Allowed::Yes, ..STRICT },
    Dialect {
        name: "the first length counts",
        loose_fields: Allowed::Yes,
        lengths: Lengths::First,
        both: Both::Length,
        ..STRICT
    },
    Dialect {
        name: "the last length counts",
        loose_fields: Allowed::Yes,
        lengths: Lengths::Last,
        both: Both::Length,
        ..STRICT
    },
    Dialect {
        name: "chunked anywhere",
        loose_fields: Allowed::Yes,
        lengths: Lengths::First,
        both: Both::Chunks,
        codings: Codings::Anywhere,
        ..STRICT
    },
    Dialect {
        name: "loose in everything",
        lines: Lines::Lf,
        chunk_lines: Lines::Lf,
        folds: Allowed::Yes,
        loose_fields: Allowed::Yes,
        lengths: Lengths::First,
        both: Both::Chunks,
        codings: Codings::Anywhere,
        sizes: Sizes::Loose,
        early_lines: Allowed::Yes,
        ..STRICT
    },
];

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Of the first line, in its order: method, target and version, or version, status and reason.
    pub start: [String; 3],
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn target(&self) -> &str {
        &self.start[1]
    }

    pub fn status(&self) -> u16 {
        self.start[1].parse().unwrap_or(0)
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// How a stream of messages ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With its last message.
    Clean,
    /// Within a message.
    Part,
    /// With what is none.
    Bad(&'static str),
}

/// A stream of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub messages: Vec<Message>,
    pub end: End,
    /// How many bytes they took.
    pub length: usize,
}

/// Why there is no message.
enum No {
    Part,
    Bad(&'static str),
}

type Or<T> = Result<T, No>;

/// What ends a message that has neither length nor chunks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind<'a> {
    Request,
    /// To a request with this method; whether the connection has ended after these bytes.
    Response {
        method: &'a str,
        ended: Allowed,
    },
}

/// The requests on a connection.
pub fn requests(bytes: &[u8], dialect: &Dialect) -> Read {
    read(bytes, dialect, |_| Some(Kind::Request))
}

/// The responses on a connection to requests with these methods; `ended`: the other side has closed it in order. What follows the
/// last of them is no message: nobody asked for it.
pub fn responses(bytes: &[u8], dialect: &Dialect, methods: &[&str], ended: Allowed) -> Read {
    let mut finals = 0;
    let mut read = read(bytes, dialect, |before: &[Message]| {
        finals = before.iter().filter(|message| message.status() >= 200).count();
        Some(Kind::Response { method: methods.get(finals).copied()?, ended })
    });
    if read.end == End::Clean && read.length < bytes.len() {
        read.end = End::Bad("more than was asked for");
    }
    read
}

fn read<'a>(bytes: &[u8], dialect: &Dialect, mut kind: impl FnMut(&[Message]) -> Option<Kind<'a>>) -> Read {
    let (mut messages, mut at) = (Vec::new(), 0);
    let end = loop {
        let mut reader = Reader { bytes, at, dialect };
        let kind = kind(&messages);
        if kind == Some(Kind::Request) || (kind.is_some() && dialect.early_lines == Allowed::Yes) {
            reader.skip_empty_lines();
        }
        if reader.at == bytes.len() {
            break End::Clean;
        }
        let Some(kind) = kind else { break End::Clean };
        match reader.message(kind) {
            Ok((message, last)) => {
                messages.push(message);
                at = reader.at;
                if last == Last::Yes {
                    break End::Clean;
                }
            }
            Err(No::Part) => break End::Part,
            Err(No::Bad(why)) => break End::Bad(why),
        }
    };
    Read { messages, end, length: at }
}

/// Whether no other message can follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    dialect: &'a Dialect,
}

impl<'a> Reader<'a> {
    /// RFC 9112, section 2.2.
    fn skip_empty_lines(&mut self) {
        loop {
            let before = self.at;
            match self.line(self.dialect.lines) {
                Ok(b"") => {}
                _ => {
                    self.at = before;
                    return;
                }
            }
        }
    }

    fn line(&mut self, ends: Lines) -> Or<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let ends_line = |byte: &u8| *byte == b'\n' || (*byte == b'\r' && ends != Lines::Lf);
        let end = rest.iter().position(ends_line).ok_or(No::Part)?;
        let (line, length) = match (ends, &rest[end..]) {
            (Lines::Lf, _) => (rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]), end + 1),
            (_, [b'\r', b'\n', ..]) => (&rest[..end], end + 2),
            (_, [b'\r']) => return Err(No::Part),
            (Lines::Any, _) => (&rest[..end], end + 1),
            (Lines::Crlf, [b'\r', ..]) => return Err(No::Bad("a CR alone")),
            (Lines::Crlf, _) => return Err(No::Bad("an LF alone")),
        };
        self.at += length;
        Ok(line)
    }

    fn take(&mut self, length: usize) -> Or<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..length).ok_or(No::Part)?;
        self.at += length;
        Ok(taken)
    }

    fn message(&mut self, kind: Kind<'_>) -> Or<(Message, Last)> {
        let start = match kind {
            Kind::Request => request_line(self.line(self.dialect.lines)?, self.dialect)?,
            Kind::Response { .. } => status_line(self.line(self.dialect.lines)?, self.dialect)?,
        };
        let fields = self.fields(self.dialect.lines)?;
        let mut message = Message { start, fields, body: Vec::new() };
        let framing = framing(&message, self.dialect);
        let (bodiless, closes) = match kind {
            Kind::Request => (false, false),
            Kind::Response { method, .. } => {
                let status = message.status();
                (method == "HEAD" || status < 200 || status == 204 || status == 304, status == 101)
            }
        };
        let mut last = if closes { Last::Yes } else { Last::No };
        match (framing, kind) {
            // To the letter even what frames nothing must be right.
            (Err(why), _) if !bodiless || self.dialect.both == Both::Refused => return Err(why),
            _ if bodiless => {}
            (Ok(Framing::Chunks { last: after }), _) => {
                message.body = self.chunks()?;
                last = after;
            }
            (Ok(Framing::Length(length)), _) => message.body = self.take(length)?.to_vec(),
            (Ok(Framing::Nothing), Kind::Request) => {}
            (Ok(Framing::Nothing), Kind::Response { ended: Allowed::Yes, .. }) => {
                message.body = self.take(self.bytes.len() - self.at)?.to_vec();
                last = Last::Yes;
            }
            (Ok(Framing::Nothing), Kind::Response { ended: Allowed::No, .. }) => return Err(No::Part),
            (Err(why), _) => return Err(why),
        }
        Ok((message, last))
    }

    fn fields(&mut self, ends: Lines) -> Or<Vec<(String, String)>> {
        let mut fields: Vec<(String, String)> = Vec::new();
        loop {
            let line = self.line(ends)?;
            if line.is_empty() {
                return Ok(fields);
            }
            if matches!(line[0], b' ' | b'\t') {
                match (self.dialect.folds, fields.last_mut()) {
                    (Allowed::Yes, Some((_, value))) => {
                        value.push(' ');
                        value.push_str(text(line).trim());
                        continue;
                    }
                    _ => return Err(No::Bad("a folded line")),
                }
            }
            let colon = line.iter().position(|byte| *byte == b':').ok_or(No::Bad("a field without a colon"))?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            if self.dialect.loose_fields == Allowed::No {
                if name.is_empty() || !name.iter().copied().all(is_token) {
                    return Err(No::Bad("a name that is none"));
                }
                if value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
                    return Err(No::Bad("a control character in a value"));
                }
            }
            let trim = |part: &[u8]| text(part).trim_matches([' ', '\t']).to_owned();
            fields.push((trim(name).to_ascii_lowercase(), trim(value)));
        }
    }

    fn trailers(&mut self) -> Or<()> {
        let rest = &self.bytes[self.at..];
        match self.dialect.trailers {
            Trailers::Lines => self.fields(self.dialect.chunk_lines).map(drop),
            Trailers::UpToEmptyLine if rest.starts_with(b"\r\n") => self.take(2).map(drop),
            Trailers::UpToEmptyLine => {
                let end = rest.windows(4).position(|window| window == b"\r\n\r\n").ok_or(No::Part)?;
                self.take(end + 4).map(drop)
            }
        }
    }

    fn chunks(&mut self) -> Or<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = chunk_size(self.line(self.dialect.chunk_lines)?, self.dialect.sizes)?;
            if size == 0 {
                self.trailers()?;
                return Ok(body);
            }
            body.extend_from_slice(self.take(size)?);
            let before = self.at;
            match (self.line(self.dialect.chunk_lines), self.dialect.sizes) {
                (Ok(b""), _) => {}
                (Err(No::Part), _) => return Err(No::Part),
                (_, Sizes::Loose) => self.at = before,
                (_, Sizes::Exact | Sizes::Spaced) => return Err(No::Bad("a chunk that is longer than it says")),
            }
        }
    }
}

/// Every byte a character, so that none is lost.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn request_line(line: &[u8], dialect: &Dialect) -> Or<[String; 3]> {
    let line = text(line);
    let words: Vec<&str> = match dialect.loose_fields {
        Allowed::No => line.split(' ').collect(),
        Allowed::Yes => line.split_whitespace().collect(),
    };
    match words[..] {
        [method, target, version @ ("HTTP/1.1" | "HTTP/1.0")] if !method.is_empty() && !target.is_empty() => {
            if dialect.loose_fields == Allowed::No && !method.bytes().all(is_token) {
                return Err(No::Bad("a method that is none"));
            }
            // What is past ASCII is no URI either; the front door encodes it, which is all that tells it from one here.
            if dialect.loose_fields == Allowed::No && target.chars().any(|c| c.is_ascii_control()) {
                return Err(No::Bad("a target that is none"));
            }
            Ok([method, target, version].map(str::to_owned))
        }
        _ => Err(No::Bad("a request line that is none")),
    }
}

fn status_line(line: &[u8], dialect: &Dialect) -> Or<[String; 3]> {
    let line = text(line);
    let mut words = line.splitn(3, ' ');
    let (version, status, reason) = (words.next(), words.next(), words.next());
    let reason = match (reason, dialect.loose_fields) {
        (Some(reason), _) => reason,
        (None, _) if dialect.name != STRICT.name => "", // the space after the status is often left out
        (None, _) => return Err(No::Bad("a status line that is none")),
    };
    match (version, status) {
        (Some(version @ ("HTTP/1.1" | "HTTP/1.0")), Some(status))
            if status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit()) && !status.starts_with('0') =>
        {
            Ok([version, status, reason].map(str::to_owned))
        }
        _ => Err(No::Bad("a status line that is none")),
    }
}

enum Framing {
    Nothing,
    Length(usize),
    Chunks { last: Last },
}

/// RFC 9112, section 6.3.
fn framing(message: &Message, dialect: &Dialect) -> Or<Framing> {
    let loose = dialect.codings == Codings::Anywhere;
    let named = |name: &str| -> Vec<&str> {
        // Programs that see fields as variables of an environment can't tell the two; they serve, no client does.
        let serves = message.start[2].starts_with("HTTP/");
        let same = |field: &str| field == name || (loose && serves && field.replace('_', "-") == name);
        message.fields.iter().filter(|(field, _)| same(field)).map(|(_, value)| value.as_str()).collect()
    };
    let (codings, lengths) = (named("transfer-encoding"), named("content-length"));
    let chunked = match (&codings[..], dialect.codings) {
        ([], _) => false,
        ([only], Codings::Exact) if only.eq_ignore_ascii_case("chunked") => true,
        (_, Codings::Exact) => return Err(No::Bad("a coding that is not chunked alone")),
        (all, Codings::Anywhere) => all.iter().any(|coding| coding.to_ascii_lowercase().contains("chunked")),
    };
    let old = message.start.iter().any(|word| word == "HTTP/1.0");
    if chunked && old && !loose {
        return Err(No::Bad("chunks in HTTP/1.0"));
    }
    if chunked && matches!(dialect.both, Both::Chunks | Both::ChunksThenClose) && !lengths.is_empty() {
        // What a length says that does not count is nothing to anybody.
        return Ok(Framing::Chunks { last: if dialect.both == Both::Chunks { Last::No } else { Last::Yes } });
    }
    let lengths: Vec<&str> = match dialect.lengths {
        Lengths::Same => lengths.iter().flat_map(|list| list.split(',')).map(str::trim).collect(),
        Lengths::One | Lengths::First | Lengths::Last => lengths,
    };
    let length = match (&lengths[..], dialect.lengths) {
        ([], _) => None,
        ([only], Lengths::One) => Some(only),
        (_, Lengths::One) => return Err(No::Bad("several lengths")),
        ([first, rest @ ..], Lengths::Same)
            if rest.iter().all(|other| other.trim_start_matches('0') == first.trim_start_matches('0')) =>
        {
            Some(first)
        }
        (_, Lengths::Same) => return Err(No::Bad("lengths that differ")),
        ([first, ..], Lengths::First) => Some(first),
        ([.., last], Lengths::Last) => Some(last),
    };
    let length = length.map(|text| number(text, dialect.lengths)).transpose()?;
    Ok(match (chunked, length, dialect.both) {
        (false, None, _) => Framing::Nothing,
        (false, Some(length), _) | (true, Some(length), Both::Length) => Framing::Length(length),
        (true, None, _) => Framing::Chunks { last: Last::No },
        (true, Some(_), Both::Refused | Both::Chunks | Both::ChunksThenClose) => return Err(No::Bad("both lengths")),
    })
}

fn number(text: &str, lengths: Lengths) -> Or<usize> {
    let text = match lengths {
        Lengths::One | Lengths::Same => text,
        Lengths::First => text.split(',').next().unwrap_or("").trim().trim_start_matches('+'),
        Lengths::Last => text.split(',').next_back().unwrap_or("").trim().trim_start_matches('+'),
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or(No::Bad("a length that is none"))
}

fn chunk_size(line: &[u8], sizes: Sizes) -> Or<usize> {
    let line = text(line);
    let line = match sizes {
        Sizes::Exact | Sizes::Spaced => line.as_str(),
        Sizes::Loose => line.trim_start().trim_start_matches('+').trim_start_matches("0x"),
    };
    let digits = line.bytes().take_while(u8::is_ascii_hexdigit).count();
    let rest = match sizes {
        Sizes::Exact if line[digits..].contains(';') => line[digits..].trim_start_matches([' ', '\t']),
        Sizes::Exact => &line[digits..],
        Sizes::Spaced => line[digits..].trim_start_matches([' ', '\t']),
        Sizes::Loose => "",
    };
    if digits == 0 || !(rest.is_empty() || rest.starts_with(';')) {
        return Err(No::Bad("a chunk size that is none"));
    }
    usize::from_str_radix(&line[..digits], 16).map_err(|_| No::Bad("a chunk size that no number holds"))
}

/// A target as the front door sends it on: origin form, no fragment, ASCII.
pub fn sent_on(target: &str) -> String {
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find(['/', '?']).map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let path = path.split('#').next().unwrap_or("");
    let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
    path.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("%{:02X}", u32::from(c)) }).collect()
}
