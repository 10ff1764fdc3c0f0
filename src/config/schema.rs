//! The JSON schema of config files, for editors. It is not written by hand: the parser reads texts that have every key, and whatever it
//! asks for is written down ([`Recorder`]). What a key is for is told by the comments of config/hotspare.toml.
//!
//! Not here: what must fit together across keys. Editors help to write; `hotspare check` judges.

use super::Surroundings;
use super::message::rule;
use super::parse::{no_directories, read};
use super::problem::{Form, Report};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::rc::Rc;

/// Every key, and what each is for.
const REFERENCE: &str = include_str!("../../config/hotspare.toml");

/// What the reference says in a comment alone, and what may be written in more than one way.
const BESIDES: &str = r#"
[[site]]
hosts = ["a"]
backend = "b"
retry = { idempotent = true }
hedge = true
held = true
resume = "off"
replay = true
[[site]]
retry = false
[[listener]]
mode = "0660"
[[backend]]
retry = { idempotent = true }
primary = { writes = "allow", writes_after = "5m", scheme = "h2", tls_name = "a", ca_file = "a", client_cert = { cert = "a", key = "a" } }
secondary = { writes = "allow", writes_after = "5m", scheme = "h2", tls_name = "a", ca_file = "a", client_cert = { cert = "a", key = "a" } }
"#;

/// A step down into a config.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Key(&'static str),
    /// Any item of a list.
    Item,
    /// Any key of a table whose keys are the file's own choice.
    AnyKey,
}

/// What may stand somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text(Form),
    Choice(Vec<&'static str>),
    Count {
        least: String,
        most: String,
    },
    Flag,
    List,
    Table,
    /// A table with keys of the file's own choice.
    Entries,
}

/// What a parser asked for so far.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    root: RefCell<Node>,
    /// Where it is now.
    path: RefCell<Vec<Step>>,
}

#[derive(Debug, Default)]
struct Node {
    shapes: Vec<Shape>,
    required: Vec<&'static str>,
    keys: BTreeMap<&'static str, Node>,
    /// Of each item, or of each key's value where these are free.
    each: Option<Box<Node>>,
}

impl Recorder {
    pub(super) fn enter(&self, step: Step) {
        self.path.borrow_mut().push(step);
    }

    pub(super) fn leave(&self) {
        self.path.borrow_mut().pop();
    }

    pub(super) fn shape(&self, shape: Shape) {
        self.here(|node| {
            if !node.shapes.contains(&shape) {
                node.shapes.push(shape);
            }
        });
    }

    pub(super) fn key(&self, key: &'static str) {
        self.here(|node| {
            node.keys.entry(key).or_default();
        });
    }

    pub(super) fn required(&self, key: &'static str) {
        self.here(|node| {
            if !node.required.contains(&key) {
                node.required.push(key);
            }
        });
    }

    fn here(&self, note: impl FnOnce(&mut Node)) {
        let mut root = self.root.borrow_mut();
        let mut node = &mut *root;
        for step in self.path.borrow().iter() {
            node = match step {
                Step::Key(key) => node.keys.entry(key).or_default(),
                Step::Item | Step::AnyKey => node.each.get_or_insert_default(),
            };
        }
        note(node);
    }
}

/// The schema, as editors take it (draft 7). It fits included files too, for no key of the top level must be there.
pub fn schema() -> Value {
    let recorder = recorded();
    let mut schema = recorder.root.borrow().schema("", &comments(REFERENCE));
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("Hotspare");
    schema
}

/// All that the parser may ask for.
fn recorded() -> Rc<Recorder> {
    let recorder = Rc::new(Recorder::default());
    let nothing = |_: &Path| Err(ErrorKind::NotFound.into());
    let surroundings = Surroundings {
        directories: &no_directories,
        in_force: None,
        files: &nothing,
        secrets: &|_| Err(ErrorKind::NotFound.into()),
        include: &|_| Ok(Vec::new()),
        state_dir: None,
        resolve: &|_| Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        roots: &Vec::new,
        cores: NonZeroUsize::MIN,
        descriptors: 1_024,
    };
    for text in [with_every_key(REFERENCE), BESIDES.to_owned()] {
        let _ = read(Report::recorded(&recorder), "", &text, &surroundings); // files that it names are not there
    }
    recorder.shape(Shape::Table);
    recorder
}

/// In the reference `#key` is a key that is off, `# word` a comment.
fn with_every_key(text: &str) -> String {
    text.lines().map(|line| on(line).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// A line that is off, turned on.
fn on(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The comment before each key of the reference, and before each table, by its path.
fn comments(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let (mut table, mut said) = (String::new(), Vec::new());
    for line in text.lines() {
        let line = on(line).unwrap_or(line);
        if let Some(comment) = line.strip_prefix('#') {
            said.push(comment.trim());
            continue;
        }
        let path = match (line.starts_with('['), line.split_once(" =")) {
            (true, _) => {
                table = line.trim_matches(['[', ']']).to_owned();
                Some(table.clone())
            }
            (false, Some((key, _))) if table.is_empty() => Some(key.trim().to_owned()),
            (false, Some((key, _))) => Some(format!("{table}.{}", key.trim())),
            (false, None) => None,
        };
        if let Some(path) = path.filter(|_| !said.is_empty()) {
            found.entry(path).or_insert_with(|| said.join(" "));
        }
        said.clear();
    }
    found
}

impl Node {
    fn schema(&self, path: &str, words: &HashMap<String, String>) -> Value {
        let mut schema = self.bare(path, words);
        if let Some(words) = words.get(path) {
            schema["description"] = json!(words);
        }
        schema
    }

    /// Without what it is for.
    fn bare(&self, path: &str, words: &HashMap<String, String>) -> Value {
        let mut shapes: Vec<Value> = self.shapes.iter().map(|shape| self.shaped(shape, path, words)).collect();
        match shapes.len() {
            1 => shapes.remove(0),
            _ => json!({ "anyOf": shapes }),
        }
    }

    fn shaped(&self, shape: &Shape, path: &str, words: &HashMap<String, String>) -> Value {
        let each = || self.each.as_ref().map_or(json!(true), |each| each.bare(path, words));
        match shape {
            Shape::Text(form) => text(*form),
            Shape::Choice(choices) => json!({ "enum": choices }),
            Shape::Count { least, most } => {
                let number = |text: &str| text.parse::<u64>().ok();
                json!({ "type": "integer", "minimum": number(least), "maximum": number(most) })
            }
            Shape::Flag => json!({ "type": "boolean" }),
            Shape::List => json!({ "type": "array", "items": each(), "minItems": 1 }),
            Shape::Entries => json!({ "type": "object", "additionalProperties": each() }),
            Shape::Table => {
                let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                let keys = self.keys.iter().map(|(key, node)| ((*key).to_owned(), node.schema(&below(key), words)));
                let mut table = json!({ "type": "object", "additionalProperties": false });
                table["properties"] = Value::Object(keys.collect::<Map<_, _>>());
                if !self.required.is_empty() {
                    table["required"] = json!(self.required);
                }
                table
            }
        }
    }

    /// The paths of keys of which nobody showed what they are.
    #[cfg(test)]
    fn unshown(&self, path: &str) -> Vec<String> {
        let here = self.shapes.is_empty().then(|| path.to_owned());
        let keys = self.keys.iter().flat_map(|(key, node)| node.unshown(&format!("{path}.{key}")));
        let each = self.each.iter().flat_map(|each| each.unshown(&format!("{path}[]")));
        here.into_iter().chain(keys).chain(each).collect()
    }
}

/// A string of that form. Patterns let nothing wrong through that is easy to see, and refuse nothing right.
fn text(form: Form) -> Value {
    let mut schema = json!({ "type": "string", "description": rule(form) });
    let pattern = match form {
        Form::Duration => "^\\s*([0-9]+\\s*(h|m|s|ms)\\s*)+$",
        Form::Size => "^\\s*[0-9]+\\s*(B|KiB|MiB|GiB)\\s*$",
        Form::Percent => "^\\s*[0-9]+\\s*%\\s*$",
        Form::Name => "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        Form::PathPrefix | Form::ProbePath => "^/",
        Form::Redirect => "^https(:[0-9]+)?$",
        Form::Address => ":[0-9]+$",
        Form::Listener => "^(unix:/|.*:[0-9]+$)",
        Form::Statuses => "^[2-5][0-9][0-9](-[2-5][0-9][0-9])?$",
        Form::FileName | Form::Directory | Form::Pattern => ".",
        Form::Text
        | Form::Count
        | Form::Flag
        | Form::List
        | Form::Table
        | Form::Tables
        | Form::Mode
        | Form::Network
        | Form::Endpoint
        | Form::HostPattern
        | Form::ProbeHost
        | Form::HeaderName
        | Form::HeaderValue
        | Form::BodyText
        | Form::GrpcService
        | Form::TlsName => return schema,
    };
    schema["pattern"] = json!(pattern);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_key_that_the_parser_knows_the_schema_says_what_it_is() {
        let recorder = recorded();
        assert_eq!(recorder.root.borrow().unshown(""), [""; 0], "neither the reference nor BESIDES shows these");
    }

    #[test]
    fn what_a_key_is_for_is_what_the_reference_says() {
        let schema = schema();
        let said = |path: &str| schema.pointer(path).unwrap()["description"].as_str().unwrap().to_owned();
        assert!(said("/properties/workers").starts_with("Worker threads. Left out: one for each core"));
        let probe = "/properties/backend/items/properties/probe/properties";
        assert!(said(&format!("{probe}/interval")).starts_with("From one probe to the next."));
        assert!(said(&format!("{probe}/rise")).starts_with("So many good answers"));
    }

    /// `UPDATE_GOLDEN=1 cargo test --lib schema` writes it anew: read the diff.
    #[test]
    fn the_file_in_the_repository_is_what_the_parser_reads() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/schema.json");
        let schema = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(file, &schema).unwrap();
        }
        assert_eq!(std::fs::read_to_string(file).unwrap_or_default(), schema, "UPDATE_GOLDEN=1 writes it anew");
    }
}
