//! The guest book: what visitors wrote, bounded, and its form. Not here: how entries travel between places (`mirror`).

use crate::domain::{Moment, Name};
use std::collections::VecDeque;
use std::fmt::Write;

/// The largest form that is read, in bytes.
pub const MAX_FORM: usize = 8 * 1024;
/// In characters; longer ones are refused, as the page's form does.
const MAX_NAME: usize = 60;
const MAX_MESSAGE: usize = 500;
/// The oldest entry makes room.
const MAX_ENTRIES: usize = 100;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it was written, and its number there: together its identity.
    pub place: Name,
    pub number: u64,
    pub written: Moment,
    pub name: String,
    pub message: String,
}

/// One data centre's book, oldest entry first.
#[derive(Debug)]
pub struct GuestBook {
    place: Name,
    signed: u64,
    entries: VecDeque<Entry>,
}

impl GuestBook {
    pub fn new(place: Name) -> GuestBook {
        GuestBook { place, signed: 0, entries: VecDeque::new() }
    }

    /// Adds an entry that was written here.
    pub fn sign(&mut self, now: Moment, form: Form) {
        self.signed += 1;
        let place = self.place.clone();
        self.add(Entry { place, number: self.signed, written: now, name: form.name, message: form.message });
    }

    /// Adds an entry at its place in time: one written elsewhere comes late.
    pub fn add(&mut self, entry: Entry) {
        let place = self.entries.partition_point(|earlier| earlier.written <= entry.written);
        self.entries.insert(place, entry);
        if self.entries.len() > MAX_ENTRIES {
            self.entries.pop_front();
        }
    }

    /// What was written here after entry `number`, up to the moment `until`, oldest first.
    pub fn written_here(&self, number: u64, until: Moment) -> impl Iterator<Item = &Entry> {
        let here = |entry: &&Entry| entry.place == self.place;
        self.entries.iter().filter(here).filter(move |entry| entry.number > number && entry.written <= until)
    }

    /// All entries as HTML, newest first.
    pub fn html(&self) -> String {
        let mut html = String::new();
        for Entry { place, name, message, .. } in self.entries.iter().rev() {
            let (name, message) = (escaped(name), escaped(message));
            writeln!(
                html,
                "<article><strong>{name}</strong><p>{message}</p><small>written in {place}</small></article>"
            )
            .expect("a String takes everything");
        }
        html
    }
}

/// A guest book form, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    pub name: String,
    pub message: String,
    /// Our own visitors number what they post, so that one which runs twice is noticed.
    pub id: Option<u64>,
}

/// What is wrong with a form, in words for whoever filled it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    #[error("Please give a name of at most 60 characters.")]
    Name,
    #[error("Please write a message of at most 500 characters.")]
    Message,
    #[error("That is not a form.")]
    Encoding,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`; fields it does not know are ignored.
    pub fn parse(text: &[u8]) -> Result<Form, BadForm> {
        let (mut name, mut message, mut id) = (String::new(), String::new(), None);
        for pair in text.split(|byte| *byte == b'&') {
            let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let value = decoded(value).ok_or(BadForm::Encoding)?;
            match key {
                b"name" => name = value.trim().to_owned(),
                b"message" => message = value.trim().to_owned(),
                b"id" => id = value.parse().ok(),
                _ => {}
            }
        }
        if !(1..=MAX_NAME).contains(&name.chars().count()) {
            return Err(BadForm::Name);
        }
        if !(1..=MAX_MESSAGE).contains(&message.chars().count()) {
            return Err(BadForm::Message);
        }
        Ok(Form { name, message, id })
    }
}

/// Undoes `+` and `%41`; `None` where that is not UTF-8, or not an encoding.
fn decoded(value: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Text as HTML that says the same.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn form(name: &str, message: &str) -> Form {
        Form { name: name.into(), message: message.into(), id: None }
    }

    fn at(second: u64) -> Moment {
        Moment::at(Duration::from_secs(second))
    }

    #[test]
    fn what_a_visitor_writes_is_text_never_markup() {
        let mut book = GuestBook::new("new-jersey".into());
        book.sign(at(1), form("<b>\"Bo\" & 'Co'", "<script>alert(1)</script>"));
        let html = book.html();
        assert!(html.contains("&lt;b&gt;&quot;Bo&quot; &amp; &#39;Co&#39;"), "{html}");
        assert!(html.contains("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"), "{html}");
        assert!(!html.contains("<script>"));
    }

    #[test]
    fn the_newest_entry_comes_first_and_the_oldest_makes_room() {
        let mut book = GuestBook::new("new-jersey".into());
        for second in 0..150 {
            book.sign(at(second), form("Ada", &format!("entry {second}.")));
        }
        let html = book.html();
        assert!(html.find("entry 149.") < html.find("entry 148."));
        assert_eq!(html.matches("<article>").count(), MAX_ENTRIES);
        assert!(html.contains("entry 50.") && !html.contains("entry 49."));
    }

    #[test]
    fn an_entry_from_elsewhere_takes_its_place_in_time() {
        let mut book = GuestBook::new("oregon".into());
        book.sign(at(1), form("Ada", "first"));
        book.sign(at(5), form("Ada", "third"));
        let (name, message) = ("Bo".into(), "second".into());
        book.add(Entry { place: "new-jersey".into(), number: 1, written: at(3), name, message });
        let order: Vec<_> = book.entries.iter().map(|entry| entry.message.as_str()).collect();
        assert_eq!(order, ["first", "second", "third"]);
        assert_eq!(book.written_here(0, at(9)).count(), 2, "its own entries only");
    }

    #[test]
    fn a_form_is_decoded() {
        let parsed = Form::parse(b"name=Ada+L%C3%B8v&message=a%26b%3Dc%0D%0A+&id=17&more=x&flag").unwrap();
        assert_eq!(parsed, Form { name: "Ada Løv".into(), message: "a&b=c".into(), id: Some(17) });
    }

    #[test]
    fn a_form_past_its_limits_is_refused() {
        let long = |count: usize| "é".repeat(count);
        let parse = |name: &str, message: &str| Form::parse(format!("name={name}&message={message}").as_bytes());
        assert!(parse(&long(60), &long(500)).is_ok());
        assert_eq!(parse(&long(61), "hello"), Err(BadForm::Name));
        assert_eq!(parse("Ada", &long(501)), Err(BadForm::Message));
        assert_eq!(parse("++", "hello"), Err(BadForm::Name));
        assert_eq!(Form::parse(b""), Err(BadForm::Name));
        for not_a_form in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(parse("Ada", not_a_form), Err(BadForm::Encoding), "{not_a_form}");
        }
    }
}
