//! The body of `POST /commands`: a JSON object to an [`Order`] and an [`Act`], or the first thing that is wrong with it.
//!
//! Strict, for a slip here moves users: no field that the command has not, none twice, none of another type. Read by hand, so
//! that each error can say which field, and the nearest one there is.
//!
//! Not here: whether there is a backend or pool of that name (the supervisor says so), who may ask (`guard`).

use crate::config::{Span, duration, nearest};
use crate::domain::{Command, Force, Name, Order, PlaceName, Scope};
use crate::health::Act;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long a command may stand: what ends sooner is a slip, and who wants it for longer leaves `for` out.
const LASTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
/// No name of a configuration is longer than a host name with its port.
const LONGEST_NAME: usize = 300;

/// Every field, and each command with those that it has besides `command` and `dry_run`.
const FIELDS: [&str; 9] = ["command", "backend", "all", "pool", "endpoint", "to", "for", "force", "dry_run"];
const COMMANDS: [(&str, &[&str]); 8] = [
    ("failover", &["backend", "to", "for", "force"]),
    ("failback", &["backend"]),
    ("hold", &["backend", "all", "for"]),
    ("release", &["backend", "all"]),
    ("drain", &["pool", "endpoint", "for", "force"]),
    ("undrain", &["pool", "endpoint"]),
    ("readonly", &["backend", "for"]),
    ("ack", &["backend"]),
];

/// What is wrong with a body; the words tell whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("this is not a JSON object with a command: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("there is no field `{field}`; there are: {}", FIELDS.join(", "))]
    UnknownField { field: String, nearest: Option<&'static str> },
    #[error("there is no command `{name}`; there are: {}", COMMANDS.map(|(name, _)| name).join(", "))]
    UnknownCommand { name: String, nearest: Option<&'static str> },
    #[error("{command} has no field `{field}`; it has: {}", has.join(", "))]
    NotItsField { command: &'static str, field: String, has: &'static [&'static str] },
    #[error("`{field}` must be {expected}")]
    WrongType { field: &'static str, expected: &'static str },
    #[error("{command} needs {what}")]
    Missing { command: &'static str, what: &'static str },
    #[error("`{one}` and `{other}` can't both be given: which is it?")]
    Both { one: &'static str, other: &'static str },
    #[error("`{field}` is no name: one has 1 to {LONGEST_NAME} characters, none of them a control character")]
    NotAName { field: &'static str },
    #[error("`for` must be a duration, whole numbers with h, m, s or ms, as in \"10m\" or \"1h 30m\"")]
    NotADuration,
    #[error("`for` may be {} to {}; leave it out for a command that stands until it is ended", Span(*LASTS.start()), Span(*LASTS.end()))]
    OutOfRange,
}

impl Malformed {
    /// The known word nearest to one that is not known.
    pub const fn nearest(&self) -> Option<&'static str> {
        match self {
            Malformed::UnknownField { nearest, .. } | Malformed::UnknownCommand { nearest, .. } => *nearest,
            Malformed::NotJson(_)
            | Malformed::NotItsField { .. }
            | Malformed::WrongType { .. }
            | Malformed::Missing { .. }
            | Malformed::Both { .. }
            | Malformed::NotAName { .. }
            | Malformed::NotADuration
            | Malformed::OutOfRange => None,
        }
    }
}

/// What a body asks for.
pub fn parse(body: &[u8]) -> Result<(Order, Act), Malformed> {
    let Object(fields) = serde_json::from_slice(body)?;
    if let Some((field, _)) = fields.iter().find(|(field, _)| !FIELDS.contains(&field.as_str())) {
        let nearest = nearest(field, FIELDS.into_iter());
        return Err(Malformed::UnknownField { field: shown(field), nearest });
    }
    let fields = Fields(fields);
    let name = fields.text("command")?.ok_or(Malformed::Missing { command: "a body", what: "`command`" })?;
    let Some((command, has)) = COMMANDS.into_iter().find(|(command, _)| *command == name) else {
        let nearest = nearest(name, COMMANDS.iter().map(|(command, _)| *command));
        return Err(Malformed::UnknownCommand { name: shown(name), nearest });
    };
    let foreign = |field: &str| field != "command" && field != "dry_run" && !has.contains(&field);
    if let Some((field, _)) = fields.0.iter().find(|(field, _)| foreign(field)) {
        return Err(Malformed::NotItsField { command, field: shown(field), has });
    }
    let order = Order {
        command: fields.command(command)?,
        lasts: fields.lasts()?,
        force: if fields.flag("force")? == Flag::Set { Force::Yes } else { Force::No },
    };
    let act = if fields.flag("dry_run")? == Flag::Set { Act::Consider } else { Act::CarryOut };
    Ok((order, act))
}

/// The fields of a body, all of them known.
struct Fields(Vec<(String, Value)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Set,
    Unset,
}

impl Fields {
    fn command(&self, command: &'static str) -> Result<Command, Malformed> {
        let backend = || self.name("backend")?.ok_or(Malformed::Missing { command, what: "`backend`" });
        Ok(match command {
            "failover" => Command::Failover { backend: backend()?, to: self.name("to")? },
            "failback" => Command::Failback { backend: backend()? },
            "hold" => Command::Hold { scope: self.scope(command)? },
            "release" => Command::Release { scope: self.scope(command)? },
            "drain" => Command::Drain { place: self.place(command)? },
            "undrain" => Command::Undrain { place: self.place(command)? },
            "readonly" => Command::ReadOnly { backend: backend()? },
            _ => Command::Ack { backend: backend()? }, // the last of `COMMANDS`
        })
    }

    fn scope(&self, command: &'static str) -> Result<Scope, Malformed> {
        match (self.name("backend")?, self.flag("all")?) {
            (Some(backend), Flag::Unset) => Ok(Scope::Backend(backend)),
            (None, Flag::Set) => Ok(Scope::All),
            (Some(_), Flag::Set) => Err(Malformed::Both { one: "backend", other: "all" }),
            (None, Flag::Unset) => Err(Malformed::Missing { command, what: "`backend`, or `all` to be true" }),
        }
    }

    fn place(&self, command: &'static str) -> Result<PlaceName, Malformed> {
        match (self.name("pool")?, self.name("endpoint")?) {
            (Some(pool), None) => Ok(PlaceName::Pool(pool)),
            (None, Some(endpoint)) => Ok(PlaceName::Endpoint(endpoint)),
            (Some(_), Some(_)) => Err(Malformed::Both { one: "pool", other: "endpoint" }),
            (None, None) => Err(Malformed::Missing { command, what: "`pool` or `endpoint`" }),
        }
    }

    fn lasts(&self) -> Result<Option<Duration>, Malformed> {
        let Some(text) = self.text("for")? else { return Ok(None) };
        match duration(text) {
            None => Err(Malformed::NotADuration),
            Some(lasts) if LASTS.contains(&lasts) => Ok(Some(lasts)),
            Some(_) => Err(Malformed::OutOfRange),
        }
    }

    fn name(&self, field: &'static str) -> Result<Option<Name>, Malformed> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let good = !text.is_empty() && text.len() <= LONGEST_NAME && !text.contains(char::is_control);
        if good { Ok(Some(text.into())) } else { Err(Malformed::NotAName { field }) }
    }

    fn text(&self, field: &'static str) -> Result<Option<&str>, Malformed> {
        match self.get(field) {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Malformed::WrongType { field, expected: "a string" }),
            None => Ok(None),
        }
    }

    fn flag(&self, field: &'static str) -> Result<Flag, Malformed> {
        match self.get(field) {
            Some(Value::Bool(true)) => Ok(Flag::Set),
            Some(Value::Bool(false)) | None => Ok(Flag::Unset),
            Some(_) => Err(Malformed::WrongType { field, expected: "true or false" }),
        }
    }

    fn get(&self, field: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, value)| value)
    }
}

/// An object as it stands there. (serde_json's own map would keep the last of two fields of one name, and say nothing.)
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some((field, value)) = map.next_entry::<String, Value>()? {
            // A body has room for some hundreds of fields, and most bodies have five: no set is needed.
            if fields.iter().any(|(known, _)| *known == field) {
                return Err(A::Error::custom(format_args!("field `{}` is there twice", shown(&field))));
            }
            fields.push((field, value));
        }
        Ok(Object(fields))
    }
}

/// Text from outside, short enough to be repeated, and fit for a terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(body: &str) -> (Order, Act) {
        parse(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    fn error(body: &str) -> String {
        parse(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn each_command_is_understood_with_all_of_its_fields() {
        let (sites, oregon) = (Name::from("sites"), Name::from("oregon"));
        let backend = sites.clone();
        let scope = Scope::Backend(sites.clone());
        let pool = PlaceName::Pool(oregon.clone());
        let endpoint = PlaceName::Endpoint("10.1.0.11:8080".into());
        for (body, command) in [
            (r#""failover", "backend": "sites""#, Command::Failover { backend: backend.clone(), to: None }),
            (
                r#""failover", "backend": "sites", "to": "oregon""#,
                Command::Failover { backend: backend.clone(), to: Some(oregon) },
            ),
            (r#""failback", "backend": "sites""#, Command::Failback { backend: backend.clone() }),
            (r#""hold", "backend": "sites""#, Command::Hold { scope: scope.clone() }),
            (r#""hold", "all": true"#, Command::Hold { scope: Scope::All }),
            (r#""release", "backend": "sites", "all": false"#, Command::Release { scope }),
            (r#""drain", "pool": "oregon""#, Command::Drain { place: pool.clone() }),
            (r#""drain", "endpoint": "10.1.0.11:8080""#, Command::Drain { place: endpoint.clone() }),
            (r#""undrain", "endpoint": "10.1.0.11:8080""#, Command::Undrain { place: endpoint }),
            (r#""undrain", "pool": "oregon""#, Command::Undrain { place: pool }),
            (r#""readonly", "backend": "sites""#, Command::ReadOnly { backend: backend.clone() }),
            (r#""ack", "backend": "sites""#, Command::Ack { backend }),
        ] {
            let (read, act) = order(&format!(r#"{{"command": {body}}}"#));
            assert_eq!(read, Order { command, lasts: None, force: Force::No });
            assert_eq!(act, Act::CarryOut);
        }
        let (read, act) = order(
            r#"{"dry_run": true, "force": true, "for": "1h 30m", "backend": "sites", "to": "oregon", "command": "failover"}"#,
        );
        assert_eq!((read.lasts, read.force, act), (Some(Duration::from_secs(5_400)), Force::Yes, Act::Consider));
    }

    #[test]
    fn every_command_of_the_core_can_be_asked_for() {
        for (name, has) in COMMANDS {
            let rest = match has[0] {
                "pool" => r#""pool": "oregon""#,
                _ => r#""backend": "sites""#,
            };
            let (read, _) = order(&format!(r#"{{"command": "{name}", {rest}}}"#));
            assert_eq!(read.command.name(), name);
            assert!(has.iter().all(|field| FIELDS.contains(field)));
        }
    }

    #[test]
    fn what_is_not_quite_a_command_is_none() {
        for (body, said) in [
            ("", "not a JSON object with a command"),
            ("[]", "invalid type: sequence, expected an object"),
            (r#"{"command": "ack", "backend": "sites"} {}"#, "trailing characters"),
            (r#"{"command": "ack", "backend": "sites", "command": "hold"}"#, "field `command` is there twice"),
            (r#"{"dry_run": true, "command": "ack", "backend": "a", "dry_run": false}"#, "`dry_run` is there twice"),
            ("{}", "a body needs `command`"),
            (r#"{"command": 1}"#, "`command` must be a string"),
            (r#"{"command": "reboot"}"#, "no command `reboot`; there are: failover,"),
            (r#"{"command": "ack"}"#, "ack needs `backend`"),
            (r#"{"command": "hold", "all": false}"#, "hold needs `backend`, or `all`"),
            (r#"{"command": "hold", "all": true, "backend": "a"}"#, "`backend` and `all` can't both"),
            (r#"{"command": "drain"}"#, "drain needs `pool` or `endpoint`"),
            (r#"{"command": "drain", "pool": "a", "endpoint": "b:1"}"#, "`pool` and `endpoint` can't both"),
            (r#"{"command": "ack", "backend": "sites", "force": false}"#, "ack has no field `force`; it has: backend"),
            (r#"{"command": "failback", "backend": "a", "for": "10m"}"#, "failback has no field `for`"),
            (r#"{"command": "failover", "backend": "a", "force": "yes"}"#, "`force` must be true or false"),
            (r#"{"command": "failover", "backend": "a", "to": null}"#, "`to` must be a string"),
            (r#"{"command": "hold", "all": true, "for": 10}"#, "`for` must be a string"),
            (r#"{"command": "hold", "all": true, "for": "10"}"#, "`for` must be a duration"),
            (r#"{"command": "hold", "all": true, "for": "999ms"}"#, "`for` may be 1s to 720h"),
            (r#"{"command": "hold", "all": true, "for": "721h"}"#, "`for` may be 1s to 720h"),
            (r#"{"command": "ack", "backend": ""}"#, "`backend` is no name"),
            (r#"{"command": "ack", "backend": "a\nb"}"#, "`backend` is no name"),
        ] {
            assert!(error(body).contains(said), "{body}: {}", error(body));
        }
    }

    #[test]
    fn a_slip_is_told_with_what_was_meant() {
        let nearest = |body: &str| parse(body.as_bytes()).unwrap_err().nearest();
        assert_eq!(nearest(r#"{"command": "failovr"}"#), Some("failover"));
        assert_eq!(nearest(r#"{"command": "ack", "bakend": "sites"}"#), Some("backend"));
        assert_eq!(nearest(r#"{"command": "ack", "dry-run": true}"#), Some("dry_run"));
        assert_eq!(nearest(r#"{"command": "ack", "colour": 1}"#), None);
    }

    proptest::proptest! {
        #[test]
        fn no_body_is_too_strange(body: Vec<u8>) {
            let _ = parse(&body);
        }
    }
}
