//! HPACK (RFC 7541) by hand: fields written as plain literals, and anything read.

/// One field, by no table and without Huffman (section 6.2.2): whatever bytes it has.
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut block = vec![0];
    string(name, &mut block);
    string(value, &mut block);
    block
}

/// A block of literals.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect()
}

fn string(text: &[u8], block: &mut Vec<u8>) {
    integer(text.len(), 7, 0, block);
    block.extend_from_slice(text);
}

/// An integer behind a prefix of `bits` (section 5.1); `first`: what stands before it in its first byte.
pub fn integer(value: usize, bits: u32, first: u8, block: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if value < most {
        block.push(first | u8::try_from(value).unwrap());
        return;
    }
    block.push(first | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

pub type Fields = Vec<(String, Vec<u8>)>;

/// What one direction of a connection has agreed on.
#[derive(Debug)]
pub struct Decoder {
    /// The newest first.
    table: Vec<(Vec<u8>, Vec<u8>)>,
    most: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { table: Vec::new(), most: 4096 }
    }
}

impl Decoder {
    /// All fields of a block; `None`: it is not HPACK.
    pub fn read(&mut self, block: &[u8]) -> Option<Fields> {
        let mut rest = block;
        let mut fields = Vec::new();
        while let Some(first) = rest.first().copied() {
            let field = match first {
                0x80.. => self.entry(take_integer(&mut rest, 7)?)?,
                0x40.. => {
                    let field = self.take_literal(&mut rest, 6)?;
                    self.table.insert(0, field.clone());
                    self.shrink();
                    field
                }
                0x20.. => {
                    self.most = take_integer(&mut rest, 5).filter(|most| *most <= 4096)?;
                    self.shrink();
                    continue;
                }
                _ => self.take_literal(&mut rest, 4)?,
            };
            fields.push((String::from_utf8_lossy(&field.0).into_owned(), field.1));
        }
        Some(fields)
    }

    fn take_literal(&self, rest: &mut &[u8], bits: u32) -> Option<(Vec<u8>, Vec<u8>)> {
        let name = match take_integer(rest, bits)? {
            0 => take_string(rest)?,
            index => self.entry(index)?.0,
        };
        Some((name, take_string(rest)?))
    }

    fn entry(&self, index: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        match index.checked_sub(1)? {
            fixed if fixed < STATIC.len() => {
                Some((STATIC[fixed].0.as_bytes().to_vec(), STATIC[fixed].1.as_bytes().to_vec()))
            }
            own => self.table.get(own - STATIC.len()).cloned(),
        }
    }

    fn shrink(&mut self) {
        let size = |table: &[(Vec<u8>, Vec<u8>)]| -> usize {
            table.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
        };
        while size(&self.table) > self.most {
            self.table.pop();
        }
    }
}

fn take_integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let most = (1 << bits) - 1;
    let mut value = usize::from(take_byte(rest)?) & most;
    if value < most {
        return Some(value);
    }
    for shift in (0..35).step_by(7) {
        let byte = take_byte(rest)?;
        value += usize::from(byte & 0x7f) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(*first)
}

fn take_string(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let huffman = rest.first()? & 0x80 != 0;
    let length = take_integer(rest, 7)?;
    let (text, others) = rest.split_at_checked(length)?;
    *rest = others;
    if huffman { unhuffman(text) } else { Some(text.to_vec()) }
}

/// The code is canonical: codes of one length follow each other in the order of their symbols, and a longer code begins where
/// the shorter ones end. So the lengths are all there is to know.
fn unhuffman(text: &[u8]) -> Option<Vec<u8>> {
    let mut symbols: Vec<u8> = (0..=255).collect();
    symbols.sort_by_key(|symbol| LENGTHS[usize::from(*symbol)]);
    let (mut out, mut code, mut length, mut first, mut before) = (Vec::new(), 0_u32, 0_u8, 0_u32, 0_usize);
    for bit in text.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        (code, length, first) = (code << 1 | u32::from(bit), length + 1, first << 1);
        let of_this = LENGTHS.iter().filter(|other| **other == length).count();
        let at = usize::try_from(code - first).ok()?;
        if at < of_this {
            out.push(symbols[before + at]);
            (code, length, first, before) = (0, 0, 0, 0);
        } else {
            first += u32::try_from(of_this).ok()?;
            before += of_this;
        }
        if length > 30 {
            return None;
        }
    }
    // What is left is padding: less than a byte of ones (section 5.2).
    (length < 8 && code == (1 << length) - 1).then_some(out)
}

/// Lengths of the codes of all bytes (RFC 7541, appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// RFC 7541, appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_7541_are_read() {
        // Appendix C.4.1 and C.4.2, on one connection.
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
        let mut decoder = Decoder::default();
        let fields = decoder.read(first).unwrap();
        assert_eq!(fields[3], (":authority".to_owned(), b"www.example.com".to_vec()));
        let fields = decoder.read(second).unwrap();
        assert_eq!(fields[3], (":authority".to_owned(), b"www.example.com".to_vec()));
        assert_eq!(fields[4], ("cache-control".to_owned(), b"no-cache".to_vec()));
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "x".repeat(5000);
        let fields = Decoder::default().read(&block(&[("a", "b"), ("long", &long)])).unwrap();
        assert_eq!(fields, [("a".to_owned(), b"b".to_vec()), ("long".to_owned(), long.into_bytes())]);
    }
}
