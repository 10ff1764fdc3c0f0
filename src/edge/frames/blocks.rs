//! Blocks of fields (HEADERS and CONTINUATION), walked as they pass: a pseudo-field in trailers makes a request malformed (RFC 9113,
//! section 8.1), and h2 drops it without a word.
//!
//! Only how fields are represented is read (RFC 7541, sections 5 and 6), and of a literal name its first octet. A name may also be one
//! that the client has put into its table before, so heads are walked for what they put there: a bit for each name. What was evicted
//! need not be known, since h2 ends a connection that refers to it. Strings are stepped over, and nothing is allocated.
//!
//! Not here: what fields mean, and blocks that are no HPACK or do not end; h2 decodes all of them, and ends the connection.

const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// Entries of RFC 7541, appendix A. The first of them are all of its pseudo-fields.
const STATIC: u32 = 61;
const STATIC_PSEUDO: u32 = 14;

/// Of an integer's octets behind the first h2 takes this many at most.
const LAST_SHIFT: u32 = 3 * 7;

/// How far a client's blocks have been looked at.
#[derive(Debug)]
pub struct Blocks {
    /// Which of the names that it has put into its table, the newest lowest, are pseudo-fields': a table of 4,096 bytes, as we leave it,
    /// has room for 128 entries at most.
    table: u128,
    section: Section,
    padding: Padding,
    /// Bytes before the fragment that this frame still has: its padding's length, a priority.
    lead: usize,
    /// Bytes of the fragment that are still to come. Padding follows.
    left: usize,
    at: At,
}

/// What a block is of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Head,
    Trailers,
}

/// There was a pseudo-field in trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[derive(Clone, Copy, Debug)]
enum Padding {
    None,
    /// The frame's next byte says how much.
    Unread,
}

/// What the next byte of a block is.
#[derive(Clone, Copy, Debug)]
enum At {
    Field,
    Integer { of: Of, value: u32, shift: u32 },
    Length(Text),
    Name { coding: Coding, entry: Entry, length: u32 },
    Rest { text: Text, left: u32 },
}

/// What an integer says.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// The index of a whole field.
    Field,
    /// The index of a literal's name, or that one follows.
    Name(Entry),
    TableSize,
    Length(Text, Coding),
}

#[derive(Clone, Copy, Debug)]
enum Text {
    Name(Entry),
    Value,
}

/// Whether a literal goes into the client's table.
#[derive(Clone, Copy, Debug)]
enum Entry {
    New,
    None,
}

#[derive(Clone, Copy, Debug)]
enum Coding {
    Plain,
    Huffman,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Pseudo,
    Regular,
}

impl Blocks {
    pub fn new() -> Blocks {
        let (section, padding) = (Section::Head, Padding::None);
        Blocks { table: 0, section, padding, lead: 0, left: 0, at: At::Field }
    }

    /// A HEADERS frame begins, with these flags and a payload of this length.
    pub fn begin(&mut self, section: Section, flags: u8, length: usize) {
        let (padding, padded) = if flags & PADDED == 0 { (Padding::None, 0) } else { (Padding::Unread, 1) };
        let priority = if flags & PRIORITY == 0 { 0 } else { 5 };
        self.lead = padded + priority;
        self.left = length.saturating_sub(self.lead);
        (self.section, self.padding, self.at) = (section, padding, At::Field);
    }

    /// Its block goes on in a CONTINUATION frame of this length.
    pub fn go_on(&mut self, length: usize) {
        (self.padding, self.lead, self.left) = (Padding::None, 0, length);
    }

    /// Bytes of such a frame's payload.
    ///
    /// # Errors
    /// It makes the request malformed.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while self.lead > 0
            && let [first, rest @ ..] = bytes
        {
            match std::mem::replace(&mut self.padding, Padding::None) {
                Padding::Unread => self.left = self.left.saturating_sub(usize::from(*first)),
                Padding::None => {}
            }
            self.lead -= 1;
            bytes = rest;
        }
        let mut fragment = &bytes[..self.left.min(bytes.len())];
        self.left -= fragment.len();
        while let [first, rest @ ..] = fragment {
            fragment = match self.at {
                At::Rest { text, left } => self.step_over(text, left, fragment),
                At::Field | At::Integer { .. } | At::Length(_) | At::Name { .. } => {
                    self.octet(*first)?;
                    rest
                }
            };
        }
        Ok(())
    }

    fn step_over<'a>(&mut self, text: Text, left: u32, fragment: &'a [u8]) -> &'a [u8] {
        let length = u32::try_from(fragment.len()).unwrap_or(u32::MAX).min(left);
        self.at = rest(text, left - length);
        &fragment[length as usize..]
    }

    fn octet(&mut self, octet: u8) -> Result<(), Malformed> {
        match self.at {
            At::Field => match octet {
                0x80.. => self.integer(Of::Field, octet, 7),
                0x40.. => self.integer(Of::Name(Entry::New), octet, 6),
                0x20.. => self.integer(Of::TableSize, octet, 5),
                0x00.. => self.integer(Of::Name(Entry::None), octet, 4),
            },
            At::Length(text) => {
                let coding = if octet & 0x80 == 0 { Coding::Plain } else { Coding::Huffman };
                self.integer(Of::Length(text, coding), octet, 7)
            }
            At::Integer { of, value, shift } => {
                let value = value.saturating_add(u32::from(octet & 0x7f) << shift);
                if octet & 0x80 == 0 {
                    return self.read(of, value);
                }
                self.at = At::Integer { of, value, shift: LAST_SHIFT.min(shift + 7) };
                Ok(())
            }
            At::Name { coding, entry, length } => {
                self.at = rest(Text::Name(entry), length - 1);
                let name = match (coding, octet) {
                    // A colon, which Huffman's code has as 1011100.
                    (Coding::Plain, b':') | (Coding::Huffman, 0xb8 | 0xb9) => Name::Pseudo,
                    (Coding::Plain | Coding::Huffman, _) => Name::Regular,
                };
                self.named(name, entry)
            }
            At::Rest { .. } => Ok(()), // stepped over
        }
    }

    /// An integer begins, with so many bits of its first octet.
    fn integer(&mut self, of: Of, octet: u8, bits: u32) -> Result<(), Malformed> {
        let most = (1 << bits) - 1;
        let value = u32::from(octet) & most;
        if value < most {
            return self.read(of, value);
        }
        self.at = At::Integer { of, value, shift: 0 };
        Ok(())
    }

    fn read(&mut self, of: Of, value: u32) -> Result<(), Malformed> {
        let (at, named) = match (of, value) {
            (Of::Name(entry), 0) => (At::Length(Text::Name(entry)), None),
            (Of::Name(entry), index) => (At::Length(Text::Value), Some((index, entry))),
            (Of::Field, index) => (At::Field, Some((index, Entry::None))),
            (Of::TableSize, _) => (At::Field, None),
            (Of::Length(Text::Name(entry), coding), 1..) => (At::Name { coding, entry, length: value }, None),
            (Of::Length(text, _), _) => (rest(text, value), None),
        };
        self.at = at;
        named.map_or(Ok(()), |(index, entry)| self.named(self.name_of(index), entry))
    }

    fn name_of(&self, index: u32) -> Name {
        let is_pseudo = match index.checked_sub(STATIC + 1) {
            None => (1..=STATIC_PSEUDO).contains(&index),
            Some(place) => self.table.checked_shr(place).unwrap_or(0) & 1 == 1,
        };
        if is_pseudo { Name::Pseudo } else { Name::Regular }
    }

    fn named(&mut self, name: Name, entry: Entry) -> Result<(), Malformed> {
        match entry {
            Entry::New => self.table = self.table << 1 | u128::from(name == Name::Pseudo),
            Entry::None => {}
        }
        match (name, self.section) {
            (Name::Pseudo, Section::Trailers) => Err(Malformed),
            (Name::Pseudo, Section::Head) | (Name::Regular, Section::Head | Section::Trailers) => Ok(()),
        }
    }
}

/// So much of a string is to come.
fn rest(text: Text, left: u32) -> At {
    match (text, left) {
        (text, 1..) => At::Rest { text, left },
        (Text::Name(_), 0) => At::Length(Text::Value),
        (Text::Value, 0) => At::Field,
    }
}

#[cfg(test)]
mod tests;
