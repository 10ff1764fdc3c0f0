//! Problems put into words: for each a title (what), a label under the place (why), and the way out. Each text is
//! pinned in `tests/golden`. Not here: how they are drawn (`render`).
//!
//! Text from the file is cut short and its control characters are escaped before it is repeated: an error message must
//! not be able to drive a terminal.

use super::near::nearest;
use super::problem::{FileTrouble, Form, Found, Instead, Key, PageTrouble, Place, TokenTrouble, What};
use super::units::{Bytes, Span};
use std::fmt;

/// One problem in words. `also` labels a second place.
pub(super) struct Text {
    pub(super) title: String,
    pub(super) label: String,
    pub(super) also: Option<(Place, &'static str)>,
    pub(super) help: String,
}

impl Text {
    fn and_at(self, place: &Place, label: &'static str) -> Text {
        Text { also: Some((place.clone(), label)), ..self }
    }
}

fn say(title: impl Into<String>, label: impl Into<String>, help: impl Into<String>) -> Text {
    Text { title: title.into(), label: label.into(), also: None, help: help.into() }
}

/// The words for each fact.
pub(super) fn text(what: &What) -> Text {
    use What as W;
    match what {
        W::File(trouble) => file(trouble),
        W::Syntax { message } => {
            let (title, label) = message.split_once(", expected ").unwrap_or((message, ""));
            let label = if label.is_empty() { "here".to_owned() } else { format!("expected {label}") };
            let help = match title.contains("must be quoted") || title.starts_with("invalid") {
                true => "values are \"text\", 4, true, [a, list] or { key = value }",
                false => "",
            };
            say(format!("not TOML: {}", shown(title)), shown(&label), help)
        }

        W::UnknownKey { key, table, known } => {
            let label = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{table} has no such key"),
            };
            let mut known = known.to_vec();
            known.sort_unstable();
            say(format!("unknown key `{}`", shown(key)), label, format!("{table} may have: {}", known.join(", ")))
        }
        W::Missing { key, table, example } => {
            say(format!("`{key}` is missing"), format!("this {table} has none"), format!("add {example}"))
        }
        W::WrongType { key, expected, found } => {
            let title = format!("{key} must be {}, not {}", expected.name(), found.type_name);
            say(title, format!("this is {}", found.type_name), remedy(key, *expected, found))
        }
        W::Malformed { key: _, expected, text } => say(
            format!("\"{}\" is not {}", shown(text), expected.name()),
            hint(*expected, text),
            format!("{} is {}", expected.name(), expected.rule()),
        ),
        W::OutOfRange { key, least, most } => {
            say(format!("{key} is out of range"), "out of range", format!("it may be {least} to {most}"))
        }
        W::NotOneOf { key, text, choices } => {
            let label = match nearest(text, choices.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "no such choice".to_owned(),
            };
            say(format!("{key} can't be \"{}\"", shown(text)), label, format!("it may be {}", quoted(choices)))
        }
        W::Empty { key, example } => {
            say(format!("{key} is empty"), "at least one is needed", format!("write {example}"))
        }

        W::Duplicate { thing, name, first } => say(
            format!("{thing} `{}` is there twice", shown(name)),
            "the second",
            "change one of them, or leave it out",
        )
        .and_at(first, "the first is here"),
        W::UnknownBackend { name, known } => {
            let label = match nearest(name, known.iter().map(AsRef::as_ref)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "no [[backend]] has that name".to_owned(),
            };
            let names = known.iter().take(10).map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            let more = if known.len() > 10 { ", …" } else { "" };
            say(format!("there is no backend `{}`", shown(name)), label, format!("there is {names}{more}"))
        }
        W::EndpointInTwoPools { endpoint, first } => say(
            format!("endpoint `{}` is in two pools of one backend", shown(endpoint)),
            "when it fails, both pools fail",
            "give each pool endpoints of its own",
        )
        .and_at(first, "it is in this pool already"),
        W::NoPort { text } => say(
            format!("endpoint `{}` has no port", shown(text)),
            "which port does it listen on?",
            format!("write \"{}:8080\", with the port that the server there listens on", shown(text)),
        ),
        W::Unresolved { host, error } => say(
            format!("no address found for `{}`", shown(host)),
            shown(error),
            "check the name and this machine's resolver (/etc/hosts, /etc/resolv.conf), or write \
             the IP address",
        ),
        W::TooManyEndpoints { count } => say(
            format!("{count} endpoints are too many"),
            "",
            "at most 65536 in all pools together: split the sites over several instances",
        ),

        W::NoListener => say(
            "there is no [[listener]]",
            "",
            "add the address to accept clients on:\n\
             [[listener]]\n\
             address = \"[::]:443\"\n\
             tls = [{ cert = \"site.pem\", key = \"site.key\" }]",
        ),
        W::NoBackend => say(
            "there is no [[backend]]",
            "",
            "add where sites are served from:\n\
             [[backend]]\n\
             name = \"sites\"\n\
             primary = { name = \"here\", endpoints = [\"10.1.0.11:8080\"] }",
        ),
        W::NoSite { backends } => say(
            format!("there are {backends} backends, and no [[site]] says which of them serves what"),
            "",
            "add for each backend:\n[[site]]\nhosts = [\"www.example.org\"]\nbackend = \"its name\"",
        ),
        W::NoPool => say(
            "this backend has no pool",
            "nothing could answer its requests",
            "add primary = { name = \"here\", endpoints = [\"10.1.0.11:8080\"] }, and a secondary \
             to fail over to",
        ),
        W::PoolsTwice => say(
            "this backend has `pools`, and `primary` or `secondary` too",
            "which of them would be first?",
            "keep `primary` and `secondary`, or list all pools in `pools`, the first choice first",
        ),
        W::SecondaryAlone => say(
            "this backend has a `secondary` and no `primary`",
            "secondary to what?",
            "call it `primary` if it is the only pool",
        ),
        W::RedirectWithTls => say(
            "a listener that redirects has no `tls`",
            "clients come here without TLS, to be sent where there is some",
            "leave out `tls` here and give it to the listener that the redirect leads to, or \
             leave out `redirect`",
        ),
        W::NobodyTrusted => say(
            "a PROXY header is required, and no proxy is trusted",
            "nobody could connect: only proxies in `trusted_proxies` may say whose connection it is",
            "list their networks at the top of the file: trusted_proxies = [\"10.0.0.0/8\"]",
        ),
        W::TooManyNetworks { count, most } => say(
            format!("{count} networks are too many"),
            "",
            format!("at most {most} are compared with each connection"),
        ),

        W::AdminAddress { address } => say(
            format!("{address} is the admin listener's address too"),
            "both can't be served there",
            "give one of them another; [admin] address is \"127.0.0.1:9900\" where none is set",
        ),

        W::ProbeTimeout { timeout, interval } => say(
            "probe.timeout is longer than probe.interval",
            "probes would pile up at an endpoint that hangs",
            format!("set timeout to at most \"{}\", or interval to at least \"{}\"", Span(*interval), Span(*timeout)),
        ),
        W::FastInterval { fast, interval } => say(
            "probe.fast_interval is longer than probe.interval",
            "it is there to reach a verdict sooner",
            format!(
                "set fast_interval to at most \"{}\", or interval to at least \"{}\"",
                Span(*interval),
                Span(*fast)
            ),
        ),
        W::NotForKind { key, kind, kinds } => say(
            format!("`probe.{key}` is not for probes of kind \"{kind}\""),
            match *kind {
                "tcp" => "all they do is to connect",
                "grpc" => "they call grpc.health.v1.Health/Check, and look at what it says",
                _ => "they ask for a page",
            },
            format!("leave it out, or set kind to {}", quoted(kinds)),
        ),
        W::ProbeMethod { method } => say(
            format!("`probe.method` can't be \"{}\"", shown(method)),
            "a probe must not change anything",
            "it may be \"GET\" or \"HEAD\" or \"OPTIONS\"",
        ),
        W::BodyOfHead => say(
            "`probe.expect_body` is not for method \"HEAD\"",
            "answers to HEAD have no body",
            "leave it out, or set method to \"GET\"",
        ),
        W::HeaderOfOurs { name } => say(
            format!("`{}` can't be among probe.headers", shown(name)),
            "probes set it themselves",
            match name.eq_ignore_ascii_case("host") {
                true => "set probe.host instead",
                false => "leave it out: a probe is a request without a body, on a connection of its own",
            },
        ),
        W::HeaderTwice { name } => say(
            format!("`{}` is there twice", shown(name)),
            "capital and small letters are the same in it",
            "leave one of them out",
        ),
        W::TooManyHeaders { count, most } => {
            say(format!("{count} headers are too many"), "", format!("at most {most} can be sent with a probe"))
        }
        W::NotATlsName { name } => say(
            format!("no certificate can be for `{}`", shown(name)),
            "over TLS, `probe.host` is also whom the endpoint's certificate must be for",
            "write a DNS name or an IP address, or leave it out and set the pool's tls_name",
        ),
        W::NoTlsThere { key } => say(
            format!("`{key}` is of no use to this pool"),
            "nothing is sent to its endpoints over TLS",
            "leave it out, or set probe.kind to \"https\"",
        ),
        W::NoRoots => say(
            "this machine has no certificates of authorities, and this pool has no `ca_file`",
            "which certificates could be believed there?",
            "add ca_file = \"certs/ca.pem\", or install the system's (ca-certificates)",
        ),
        W::StableFor { stable_for, fall, interval } => say(
            "failback.stable_for is shorter than it takes to see a pool go down",
            format!("{fall} probes {} apart take longer than {}", Span(*interval), Span(*stable_for)),
            format!("set it to at least \"{}\" (probe.fall × probe.interval)", Span(interval.saturating_mul(*fall))),
        ),
        W::WriteDrain { drain, wait } => say(
            "write_drain is not shorter than write_wait",
            "writes that wait for a planned move would be refused before it lets them go on",
            format!(
                "set write_drain to less than \"{}\", or write_wait to more than \"{}\"",
                Span(*wait),
                Span(*drain)
            ),
        ),
        W::InSyncWithoutLag => say(
            "failback.after_writes is \"in-sync\", and no probe says how far a pool is behind",
            "it would never be in sync, and failback would wait for ever",
            "set probe.lag_header to the response header that has the lag in seconds, or after_writes = \"manual\""
                .to_owned(),
        ),
        W::WritesAfterRefuse => say(
            "writes_after is set at a pool that refuses writes",
            "it never takes any, so there is no moment after which it does",
            "leave out writes_after, or set writes = \"allow\"".to_owned(),
        ),
        W::TotalTimeout { total, connect } => say(
            "timeouts.total is shorter than timeouts.connect",
            "a request would be given up before its connection could fail",
            format!("set total to at least \"{}\", or connect to at most \"{}\"", Span(*connect), Span(*total)),
        ),

        W::Unreadable { file, error } => say(
            format!("can't read {}", shown(file)),
            shown(error),
            "paths are relative to the directory of this file; the user that hotspare runs as must be able to read it",
        ),
        W::NoCertificate { file, instead } => say(
            format!("no certificate in {}", shown(file)),
            match instead {
                Instead::Nothing => "the file is empty",
                Instead::TheOther => "it holds a private key: are `cert` and `key` swapped?",
                Instead::SomethingElse => "it has no \"-----BEGIN CERTIFICATE-----\"",
            },
            "it must hold the certificate in PEM form, then those between it and the root",
        ),
        W::NoAuthority { file, instead } => say(
            format!("no certificate in {}", shown(file)),
            match instead {
                Instead::Nothing => "the file is empty",
                Instead::TheOther => "it holds a private key",
                Instead::SomethingElse => "it has no \"-----BEGIN CERTIFICATE-----\"",
            },
            "it must hold, in PEM form, the certificates of the authorities that issue those of the pool's endpoints",
        ),
        W::BadCertificate { file, error } => say(
            format!("{} holds a certificate that can't be used", shown(file)),
            shown(error),
            "look at it with: openssl x509 -text -noout -in FILE",
        ),
        W::NoKey { file, instead } => say(
            format!("no private key in {}", shown(file)),
            match instead {
                Instead::Nothing => "the file is empty",
                Instead::TheOther => "it holds a certificate: are `cert` and `key` swapped?",
                Instead::SomethingElse => "it has no \"-----BEGIN PRIVATE KEY-----\" or the like",
            },
            "it must hold the certificate's private key in PEM form (PKCS #8, PKCS #1 or SEC 1)",
        ),
        W::EncryptedKey { file } => say(
            format!("the key in {} is encrypted", shown(file)),
            "nobody is there to type a passphrase when it is needed",
            "decrypt it with: openssl pkey -in FILE -out NEW; and let only hotspare's user read it",
        ),
        W::BadKey { file, error } => say(
            format!("{} holds a key that can't be used", shown(file)),
            shown(error),
            "RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) and Ed25519 keys are supported",
        ),
        W::Token { file, trouble } => token(file, *trouble),
        W::Page { file, trouble } => page(file, *trouble),
        W::KeyMismatch { cert, key } => say(
            format!("the key in {} is not the one of the certificate in {}", shown(key), shown(cert)),
            "clients would refuse every handshake",
            "compare: openssl x509 -pubkey -noout -in CERT; openssl pkey -pubout -in KEY. The server's own certificate \
             comes first in its file",
        ),
    }
}

fn file(trouble: &FileTrouble) -> Text {
    match trouble {
        FileTrouble::NotThere => {
            say("there is no such file", "", "check the path; where none is given it is /etc/hotspare/hotspare.toml")
        }
        FileTrouble::Directory => say("this is a directory, not a file", "", "name the file in it"),
        FileTrouble::NoPermission => {
            say("no permission to read this file", "", "let the user that hotspare runs as read it")
        }
        FileTrouble::TooLarge { limit } => {
            say(format!("this file is larger than {}", Bytes(*limit)), "", "is it really a config file?")
        }
        FileTrouble::NotUtf8 { line } => {
            let help = "save it as UTF-8; keys and host names are ASCII anyway";
            say(format!("line {line} is not UTF-8 text"), "", help)
        }
        FileTrouble::Other(error) => say(format!("can't read this file: {}", shown(error)), "", ""),
    }
}

fn token(file: &str, trouble: TokenTrouble) -> Text {
    let make = "make one with: (umask 077; head -c 24 /dev/urandom | base64 > FILE)";
    match trouble {
        TokenTrouble::OpenToOthers { mode } => say(
            format!("others than its owner may read or change {}", shown(file)),
            format!("its mode is {mode:04o}: who has the token commands this hotspare"),
            "only the user that hotspare runs as needs it: chmod 600 FILE; if others may have seen it, make a new one",
        ),
        TokenTrouble::Short { length: 0, .. } => say(format!("no token in {}", shown(file)), "the file is empty", make),
        TokenTrouble::Short { length, least } => say(
            format!("the token in {} is too short", shown(file)),
            format!("{length} characters could be guessed; at least {least} are needed"),
            make,
        ),
        TokenTrouble::Long { length, most } => say(
            format!("the token in {} is too long", shown(file)),
            format!("{length} characters; at most {most} are taken. Is it another file?"),
            make,
        ),
        TokenTrouble::NotOneWord => say(
            format!("what is in {} is not a token", shown(file)),
            "a token is one word of printable ASCII characters, without blanks in it",
            make,
        ),
    }
}

fn page(file: &str, trouble: PageTrouble) -> Text {
    match trouble {
        PageTrouble::Empty => say(
            format!("no page in {}", shown(file)),
            "the file is empty",
            "write it, in HTML; or leave the key out, and Hotspare's own page is sent",
        ),
        PageTrouble::TooLarge { most } => say(
            format!("{} is larger than {}", shown(file), Bytes(most as u64)),
            "it is sent whole to everyone, just when much is wrong already",
            "take out what is large: pictures and fonts that stand in it may be served from elsewhere",
        ),
        PageTrouble::NotUtf8 { line } => say(
            format!("{} is not UTF-8 text", shown(file)),
            format!("its line {line} is not; pages are sent as \"text/html; charset=utf-8\""),
            "save it as UTF-8, or write what is not ASCII in HTML: &eacute;",
        ),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.item {
            f.write_str("an item of ")?;
        }
        write!(f, "`{}`", self.path)
    }
}

impl Form {
    /// What it is called.
    fn name(self) -> &'static str {
        match self {
            Form::Text => "a string",
            Form::Count => "a whole number",
            Form::Flag => "true or false",
            Form::List => "a list",
            Form::Table => "a table",
            Form::Tables => "a list of tables",
            Form::Duration => "a duration",
            Form::Size => "a size",
            Form::Percent => "a percentage",
            Form::Name => "a name",
            Form::Address => "an address to listen on",
            Form::Network => "a network of proxies",
            Form::Endpoint => "an endpoint",
            Form::HostPattern => "a host name",
            Form::PathPrefix => "a path prefix",
            Form::ProbePath => "a path",
            Form::ProbeHost => "a host",
            Form::Statuses => "a status or a range of them",
            Form::HeaderName => "the name of a header",
            Form::HeaderValue => "the value of a header",
            Form::BodyText => "a text to look for",
            Form::GrpcService => "the name of a gRPC service",
            Form::TlsName => "a name for certificates",
            Form::Redirect => "a place to redirect to",
            Form::FileName => "a file name",
            Form::Directory => "a directory",
        }
    }

    /// How it is written.
    fn rule(self) -> &'static str {
        match self {
            Form::Text => "in quotes: \"…\"",
            Form::Count => "written without quotes: 4",
            Form::Flag => "written without quotes: true",
            Form::List => "in square brackets: [\"…\", \"…\"]",
            Form::Table => "in braces: { key = value, … }",
            Form::Tables => "in both: [{ key = value, … }]",
            Form::Duration => "whole numbers with h, m, s or ms: \"500ms\", \"30s\", \"1m 30s\"",
            Form::Size => "a whole number with B, KiB, MiB or GiB (1KiB = 1024B): \"64KiB\"",
            Form::Percent => "a whole number with %: \"50%\"",
            Form::Name => "1 to 63 of a-z, 0-9 and -, with no - first or last: \"new-jersey\"",
            Form::Address => {
                "an IP address and a port: \"[::]:443\" (every address of this machine), \"0.0.0.0:443\" (IPv4 only)"
            }
            Form::Network => {
                "an address, or the first one of a network and its length, not 0: \"10.0.0.0/8\", \"2001:db8::/32\""
            }
            Form::Endpoint => "\"host:port\" or \"[IPv6]:port\", the host an IP address or a name that resolves to one",
            Form::HostPattern => "\"www.example.org\", \"*.example.org\" (every name below it) or \"*\" (every host)",
            Form::PathPrefix => "the beginning of a URL's path in whole segments: \"/\", \"/photos\"",
            Form::ProbePath => "a URL's path, with its query if any: \"/health?full=1\"",
            Form::ProbeHost => "a name or IP address, with a port if need be: \"www.example.org\"",
            Form::Statuses => "three digits, or two times three, from 200 to 599: \"200\", \"200-299\"",
            Form::HeaderName => "letters, digits and -, at most 256 of them: \"X-Check\"",
            Form::HeaderValue => "ASCII without line breaks and tabs, at most 4096 characters",
            Form::BodyText => "1 to 1024 bytes that the page always has when all is well",
            Form::GrpcService => "what the server calls it, at most 255 characters: \"shop.v1.Cart\"",
            Form::TlsName => "a DNS name or an IP address, without a port: \"www.example.org\"",
            Form::Redirect => "\"https\", or \"https:8443\" where it is another port than 443",
            Form::FileName => "relative to the directory of this file, or absolute: \"certs/site.pem\"",
            Form::Directory => "absolute, or relative to the directory of this file: \"/var/lib/hotspare\"",
        }
    }
}

/// What is wrong with a text that is not of the form, where that is easy to tell.
fn hint(form: Form, text: &str) -> String {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hint = match form {
        _ if text.is_empty() => "it is empty",
        Form::Duration | Form::Size | Form::Percent if digits => "it needs a unit",
        Form::Size if text.to_ascii_lowercase().ends_with('k') || text.to_ascii_lowercase().ends_with("kb") => {
            "KiB is meant?"
        }
        Form::Name if text.bytes().any(|byte| byte.is_ascii_uppercase()) => "capital letters can't be in it",
        Form::Name if text.len() > 63 => "it is too long",
        Form::Address if digits => "an IP address goes before the port",
        Form::Address if text.ends_with(":0") => "port 0 is none: which one is it?",
        Form::Address if text.contains('/') => "Unix sockets can't be listened on",
        Form::Network if text.ends_with("/0") => "then anyone could say that they are anyone",
        Form::Endpoint if text.starts_with("unix:") => "Unix sockets can't be endpoints",
        Form::Statuses if text.ends_with("xx") => "write it as a range: \"200-299\"",
        Form::BodyText | Form::HeaderName | Form::HeaderValue | Form::GrpcService if text.len() > 255 => {
            "it is too long"
        }
        Form::Endpoint | Form::HostPattern | Form::ProbeHost | Form::TlsName if text.contains("://") => {
            "without a scheme"
        }
        Form::Endpoint | Form::HostPattern if text.contains('/') => "without a path",
        Form::HostPattern if text.contains(':') => "without a port: a site is served on every listener",
        Form::HostPattern if text.contains('*') => "* stands only at the start, for whole labels: *.example.org",
        Form::HostPattern if !text.is_ascii() => "write the ASCII form that browsers send: xn--…",
        Form::PathPrefix | Form::ProbePath if !text.starts_with('/') => "it must begin with /",
        Form::PathPrefix if text.contains('*') => "every prefix covers what is below it; leave out *",
        Form::Address | Form::Endpoint if text.contains("::") && !text.contains('[') => {
            "IPv6 goes in brackets: [::1]:8080"
        }
        Form::Address if text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains('[') => {
            "a name is not an address"
        }
        Form::Text
        | Form::Count
        | Form::Flag
        | Form::List
        | Form::Table
        | Form::Tables
        | Form::Duration
        | Form::Size
        | Form::Percent
        | Form::Name
        | Form::Address
        | Form::Network
        | Form::Endpoint
        | Form::HostPattern
        | Form::PathPrefix
        | Form::ProbePath
        | Form::ProbeHost
        | Form::Statuses
        | Form::HeaderName
        | Form::HeaderValue
        | Form::BodyText
        | Form::GrpcService
        | Form::TlsName
        | Form::Redirect
        | Form::FileName
        | Form::Directory => return format!("this is not {}", form.name()),
    };
    hint.to_owned()
}

/// How to write a value of the wrong type: as it stands there, with what it lacks, where that is a fair guess.
fn remedy(key: &Key, expected: Form, found: &Found) -> String {
    let name = key.path.rsplit('.').next().unwrap_or_default();
    let whole_number = !found.literal.is_empty() && found.literal.bytes().all(|byte| byte.is_ascii_digit());
    let literal = shown(&found.literal);
    let value = match (expected, found.type_name) {
        (Form::Duration, _) if whole_number => format!("\"{literal}s\""),
        (Form::Size, _) if whole_number => format!("\"{literal}B\""),
        (Form::Percent, _) if whole_number => format!("\"{literal}%\""),
        (Form::Count, _) if whole_number => literal,
        (Form::Flag, _) if matches!(literal.as_str(), "true" | "false") => literal,
        (Form::Flag, _) if matches!(literal.as_str(), "no" | "off") => "false".to_owned(),
        (Form::Flag, _) if matches!(literal.as_str(), "yes" | "on") => "true".to_owned(),
        (Form::List, "a string") => format!("[\"{literal}\"]"),
        (Form::Tables, "a table") if matches!(name, "listener" | "site" | "backend") => {
            return format!("write [[{name}]], in double brackets: there may be several");
        }
        (Form::Table, "a list") if name == "admin" => {
            return format!("write [{name}], in single brackets: there is only one");
        }
        _ => return format!("{} is {}", expected.name(), expected.rule()),
    };
    if key.item { format!("write {value}") } else { format!("write {name} = {value}") }
}

/// `"a" or "b"`.
fn quoted(choices: &[&str]) -> String {
    choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>().join(" or ")
}

/// Text from outside, fit to be repeated.
fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut out: String = text.chars().take(LONGEST).flat_map(printable).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

fn printable(c: char) -> impl Iterator<Item = char> {
    let escaped =
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let (escape, plain) = if escaped { (Some(c.escape_unicode()), None) } else { (None, Some(c)) };
    escape.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_can_not_drive_a_terminal() {
        assert_eq!(shown("a\u{1b}[31m\nb\u{202e}"), "a\\u{1b}[31m\\u{a}b\\u{202e}");
        assert_eq!(shown(&"x".repeat(300)).chars().count(), 201);
    }
}
