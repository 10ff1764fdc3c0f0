//! Reading TOML by hand, so that everything wrong with a file is found in one go: a reader takes the keys it knows from
//! a [`Table`], each [`Value`] says what it should be, and what nobody took is unknown. Whatever fails is noted in the
//! [`Report`] and answered with `None`; reading goes on. (serde stops at the first value that does not fit.)
//!
//! The rule for readers: take every key first, use `?` only afterwards. A key that was not yet taken would be reported
//! as unknown.

use super::problem::{Form, Found, Key, Place, Report, What};
use super::schema::{Shape, Step};
use super::units::{self, Bytes, Span};
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A value that was read, and where it stands: the whole `key = value`. `None`: it was left out, this is the default.
#[derive(Clone, Debug)]
pub(super) struct Field<T> {
    pub(super) value: T,
    pub(super) at: Option<Place>,
}

/// A table that is being read.
pub(super) struct Table<'a> {
    report: &'a Report,
    /// Where its file's bytes begin among those of all files.
    start: usize,
    entries: &'a DeTable<'a>,
    /// What messages call it: `[[backend]]`, `probe`.
    shown: String,
    /// What its keys' names begin with in messages: empty, or `probe.`.
    prefix: String,
    /// Its header or its braces; `None` for a file itself, and for a table that was left out.
    at: Option<Place>,
    known: Vec<&'static str>,
}

/// A value that is being read.
pub(super) struct Value<'a> {
    report: &'a Report,
    start: usize,
    inner: &'a Spanned<DeValue<'a>>,
    key: Key,
    at: Place,
}

/// Where a whole `key = value` stands, in a file whose bytes begin at `start`.
fn span(start: usize, name: &Spanned<DeString<'_>>, inner: &Spanned<DeValue<'_>>) -> Place {
    let within = match inner.get_ref() {
        DeValue::Table(_) => inner.span(), // its header: a table's keys may stand anywhere
        _ => name.span().start..inner.span().end.max(name.span().end),
    };
    shifted(start, &within)
}

fn shifted(start: usize, within: &Place) -> Place {
    start + within.start..start + within.end
}

impl<'a> Table<'a> {
    /// The whole of a file whose bytes begin at `start`.
    pub(super) fn of_file(
        report: &'a Report,
        start: usize,
        entries: &'a DeTable<'a>,
        shown: &'static str,
    ) -> Table<'a> {
        Table { report, start, entries, shown: shown.to_owned(), prefix: String::new(), at: None, known: Vec::new() }
    }

    /// What `read` makes of it, once every key that it did not take is noted.
    fn read<T>(mut self, read: impl FnOnce(&mut Table<'_>) -> Option<T>) -> Option<T> {
        let result = read(&mut self);
        self.note_unknown(&[]);
        result
    }

    /// Notes every key that nobody took; those `of_others` belong into another file.
    pub(super) fn note_unknown(&self, of_others: &[&'static str]) {
        let mut unknown = self.entries.keys().filter(|key| !self.known.contains(&key.get_ref().as_ref())).peekable();
        if unknown.peek().is_none() {
            return;
        }
        let known: Arc<[_]> = self.known.as_slice().into();
        for name in unknown {
            let key = name.get_ref().to_string();
            let what = match of_others.contains(&key.as_str()) {
                true => What::NotHere { key },
                false => What::UnknownKey { key, table: self.shown.clone(), known: Arc::clone(&known) },
            };
            self.report.add(Some(shifted(self.start, &name.span())), what);
        }
    }

    /// The keys that were asked for.
    pub(super) fn known(&self) -> &[&'static str] {
        &self.known
    }

    fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        self.report.recorder().inspect(|recorder| recorder.key(key));
        let (name, inner) = self.entries.get_key_value(key)?;
        let key = Key { path: format!("{}{key}", self.prefix), item: false };
        Some(Value { report: self.report, start: self.start, inner, key, at: span(self.start, name, inner) })
    }

    /// A key that must be there. `example` is a line that would do.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<Field<T>> {
        self.report.recorder().inspect(|recorder| recorder.required(key));
        let Some(value) = self.value(key) else {
            self.note(What::Missing { key, table: self.shown.clone(), example });
            return None;
        };
        self.report.below(Step::Key(key), || read(&value)).map(|read| Field { value: read, at: Some(value.at) })
    }

    /// A key that may be left out.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<Field<T>> {
        match self.value(key) {
            None => Some(Field { value: default, at: None }),
            Some(value) => {
                self.report.below(Step::Key(key), || read(&value)).map(|read| Field { value: read, at: Some(value.at) })
            }
        }
    }

    /// A key that may be left out and has no default.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<Field<Option<T>>> {
        self.or(key, None, |value| read(value).map(Some))
    }

    /// A table that may be left out: then an empty one is read, so that defaults stand in one place.
    pub(super) fn nested<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Table<'_>) -> Option<T>) -> Option<T> {
        match self.value(key) {
            Some(value) => self.report.below(Step::Key(key), || value.table(read)),
            None => {
                let prefix = format!("{}{key}.", self.prefix);
                let (report, start, shown) = (self.report, self.start, format!("`{key}`"));
                let empty = DeTable::new();
                let table = Table { report, start, entries: &empty, shown, prefix, at: None, known: Vec::new() };
                report.below(Step::Key(key), || table.read(read))
            }
        }
    }

    /// The tables `[[key]]`, one result for each; none where there is none. `None`: that is no list of tables.
    pub(super) fn each<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        read: impl FnMut(&mut Table<'_>) -> Option<T>,
    ) -> Option<Vec<Option<T>>> {
        match self.value(key) {
            Some(value) => self.report.below(Step::Key(key), || value.tables(&format!("[[{key}]]"), "", example, read)),
            None => Some(Vec::new()),
        }
    }

    /// Notes a problem with the table as a whole.
    pub(super) fn note(&self, what: What) {
        self.report.add(self.at.clone(), what);
    }

    /// Notes a problem with a field of it, or with the whole if that was left out.
    pub(super) fn note_at<T>(&self, field: &Field<T>, what: What) {
        self.note_place(&field.at, what);
    }

    /// Notes a problem with what stands there, or with the whole if that was left out.
    pub(super) fn note_place(&self, at: &Option<Place>, what: What) {
        self.report.add(at.clone().or(self.at.clone()), what);
    }
}

impl<'a> Value<'a> {
    /// Where `key = value` stands; for an item of a list, the item.
    pub(super) fn at(&self) -> Place {
        self.at.clone()
    }

    pub(super) fn note(&self, what: What) {
        self.report.add(Some(self.at()), what);
    }

    /// Says what should stand here, whatever does.
    fn expects(&self, shape: impl FnOnce() -> Shape) {
        self.report.recorder().inspect(|recorder| recorder.shape(shape()));
    }

    fn wrong_type<T>(&self, expected: Form) -> Option<T> {
        let (type_name, literal) = match self.inner.get_ref() {
            DeValue::String(text) => ("a string", text.to_string()),
            DeValue::Integer(number) => ("a bare number", number.to_string()),
            DeValue::Float(number) => ("a bare number", number.to_string()),
            DeValue::Boolean(flag) => ("true or false", flag.to_string()),
            DeValue::Datetime(date) => ("a date or time", date.to_string()),
            DeValue::Array(_) => ("a list", String::new()),
            DeValue::Table(_) => ("a table", String::new()),
        };
        self.note(What::WrongType { key: self.key.clone(), expected, found: Found { type_name, literal } });
        None
    }

    fn out_of_range<T>(&self, least: String, most: String) -> Option<T> {
        self.note(What::OutOfRange { key: self.key.clone(), least, most });
        None
    }

    /// A string of some form: what `read` makes of it; `None` from it means that it has not that form.
    pub(super) fn text<T>(&self, form: Form, read: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        self.expects(|| Shape::Text(form));
        let DeValue::String(text) = self.inner.get_ref() else { return self.wrong_type(form) };
        read(text).or_else(|| self.malformed(form, text))
    }

    /// Notes that `text` has not that form.
    pub(super) fn malformed<T>(&self, expected: Form, text: &str) -> Option<T> {
        self.note(What::Malformed { key: self.key.clone(), expected, text: text.to_owned() });
        None
    }

    /// A string, whatever is in it.
    pub(super) fn string(&self, form: Form) -> Option<&'a str> {
        self.expects(|| Shape::Text(form));
        self.any_string(form)
    }

    fn any_string(&self, form: Form) -> Option<&'a str> {
        match self.inner.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(form),
        }
    }

    /// One of a few fixed words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        self.expects(|| Shape::Choice(choices.iter().map(|(word, _)| *word).collect()));
        let text = self.any_string(Form::Text)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let choices = choices.iter().map(|(word, _)| *word).collect();
            self.note(What::NotOneOf { key: self.key.clone(), text: text.to_owned(), choices });
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn flag(&self) -> Option<bool> {
        self.expects(|| Shape::Flag);
        match self.inner.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.wrong_type(Form::Flag),
        }
    }

    /// Whether a table stands there, where something else might.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.inner.get_ref(), DeValue::Table(_))
    }

    /// A whole number within `range`.
    pub(super) fn count<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + ToString,
    {
        self.expects(|| Shape::Count { least: range.start().to_string(), most: range.end().to_string() });
        let DeValue::Integer(number) = self.inner.get_ref() else { return self.wrong_type(Form::Count) };
        let value = i64::from_str_radix(number.as_str(), number.radix()).ok().and_then(|value| T::try_from(value).ok());
        match value.filter(|value| range.contains(value)) {
            None => self.out_of_range(range.start().to_string(), range.end().to_string()),
            within => within,
        }
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let value = self.text(Form::Duration, units::duration)?;
        match range.contains(&value) {
            true => Some(value),
            false => self.out_of_range(Span(*range.start()).to_string(), Span(*range.end()).to_string()),
        }
    }

    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.text(Form::Size, units::size)?;
        match range.contains(&value) {
            true => Some(value),
            false => self.out_of_range(Bytes(*range.start()).to_string(), Bytes(*range.end()).to_string()),
        }
    }

    pub(super) fn percent(&self, range: RangeInclusive<u8>) -> Option<u8> {
        let value = self.text(Form::Percent, units::percent)?;
        match u8::try_from(value).ok().filter(|value| range.contains(value)) {
            None => self.out_of_range(format!("{}%", range.start()), format!("{}%", range.end())),
            within => within,
        }
    }

    /// A table: `key = { … }` or `[key]`.
    pub(super) fn table<T>(&self, read: impl FnOnce(&mut Table<'_>) -> Option<T>) -> Option<T> {
        self.expects(|| Shape::Table);
        let DeValue::Table(entries) = self.inner.get_ref() else { return self.wrong_type(Form::Table) };
        let path = &self.key.path;
        self.within(entries, format!("`{path}`"), format!("{path}.")).read(read)
    }

    /// The table that stands there.
    fn within(&self, entries: &'a DeTable<'a>, shown: String, prefix: String) -> Table<'a> {
        let (report, start, at) = (self.report, self.start, Some(self.at()));
        Table { report, start, entries, shown, prefix, at, known: Vec::new() }
    }

    /// A table whose keys are the file's own choice, one result for each.
    pub(super) fn entries<T>(&self, mut read: impl FnMut(&str, &Value<'a>) -> Option<T>) -> Option<Vec<Option<T>>> {
        self.expects(|| Shape::Entries);
        let DeValue::Table(entries) = self.inner.get_ref() else { return self.wrong_type(Form::Table) };
        let each = entries.iter().map(|(name, inner)| {
            let key = Key { path: format!("{}.{}", self.key.path, name.get_ref()), item: false };
            let at = span(self.start, name, inner);
            let value = Value { report: self.report, start: self.start, inner, key, at };
            self.report.below(Step::AnyKey, || read(name.get_ref(), &value))
        });
        Some(each.collect())
    }

    /// A list with at least one item, one result for each. `example` is a line that would do.
    pub(super) fn list<T>(
        &self,
        example: &'static str,
        mut read: impl FnMut(&Value<'a>) -> Option<T>,
    ) -> Option<Vec<Option<T>>> {
        self.expects(|| Shape::List);
        let DeValue::Array(items) = self.inner.get_ref() else { return self.wrong_type(Form::List) };
        if items.is_empty() {
            self.note(What::Empty { key: self.key.clone(), example });
            return None;
        }
        let key = Key { path: self.key.path.clone(), item: true };
        let item = |inner: &'a Spanned<DeValue<'a>>| {
            let at = shifted(self.start, &inner.span());
            Value { report: self.report, start: self.start, inner, key: key.clone(), at }
        };
        Some(items.iter().map(|inner| self.report.below(Step::Item, || read(&item(inner)))).collect())
    }

    /// A list of at least one table, `[[key]]` or `key = [{ … }]`, one result for each.
    pub(super) fn tables<T>(
        &self,
        shown: &str,
        prefix: &str,
        example: &'static str,
        mut read: impl FnMut(&mut Table<'_>) -> Option<T>,
    ) -> Option<Vec<Option<T>>> {
        if !matches!(self.inner.get_ref(), DeValue::Array(_)) {
            return self.wrong_type(Form::Tables);
        }
        self.list(example, |item| {
            item.expects(|| Shape::Table);
            match item.inner.get_ref() {
                DeValue::Table(entries) => item.within(entries, shown.to_owned(), prefix.to_owned()).read(&mut read),
                _ => item.wrong_type(Form::Table),
            }
        })
    }
}

/// Notices the second of a kind.
pub(super) struct Seen<'r, T> {
    report: &'r Report,
    first: HashMap<T, Place>,
}

impl<'r, T: Hash + Eq> Seen<'r, T> {
    pub(super) fn new(report: &'r Report) -> Self {
        Seen { report, first: HashMap::new() }
    }

    /// Notes what `problem` makes of the place of the first one, if `item` is not the first.
    pub(super) fn check(&mut self, item: T, at: Place, problem: impl FnOnce(Place) -> What) {
        match self.first.get(&item) {
            Some(first) => self.report.add(Some(at), problem(first.clone())),
            None => {
                self.first.insert(item, at);
            }
        }
    }
}
