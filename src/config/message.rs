//! Problems put into words: for each a title (what), a label under the place (why), and the way out. Each text is
//! pinned in `tests/golden`. Not here: how they are drawn (`render`), what values and files are called (`forms`, `files`).
//!
//! Text from the file is cut short and its control characters are escaped before it is repeated: an error message must
//! not be able to drive a terminal.

mod files;
mod forms;

use super::near::nearest;
use super::problem::{Form, Instead, Place, What};
use super::units::Span;
use files::{file, include, no_key_beside, no_pair, page, token, too_many_pairs};
use forms::{hint, remedy};

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

/// How a value of that form is written.
pub(super) fn rule(form: Form) -> &'static str {
    form.rule()
}

fn say(title: impl Into<String>, label: impl Into<String>, help: impl Into<String>) -> Text {
    Text { title: title.into(), label: label.into(), also: None, help: help.into() }
}

/// The words for each fact.
pub(super) fn text(what: &What) -> Text {
    use What as W;
    match what {
        W::File(trouble) => file(trouble),
        W::Include { pattern, trouble } => include(pattern, trouble),
        W::NotHere { key } => say(
            format!("`{}` is in an included file", shown(key)),
            "this is for all of hotspare",
            "put it into the main file; others may have [[site]], [[backend]] and [[listener]]",
        ),
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
        W::NoTlsHere { key } => say(
            format!("`{key}` is of no use to this listener"),
            "clients come here without TLS: it has neither `tls` nor `tls_dir`",
            "leave it out, or name a certificate",
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
        W::UnixUntrusted => say(
            "a PROXY header is required, and whoever comes over a Unix socket is not trusted",
            "nobody could connect: only proxies in `trusted_proxies` may say whose connection it is",
            "add \"unix\" to the list at the top of the file: trusted_proxies = [\"unix\"]",
        ),
        W::ModeOfTcp => say(
            "`mode` is for Unix sockets",
            "this address has no file",
            "leave it out; who may connect to an address is for a firewall to say",
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
            "leave it out, or set scheme to \"https\" or \"h2\"",
        ),
        W::PlainProbe { kind } => say(
            format!("probes of kind \"{kind}\" speak without TLS, and this pool's endpoints with it"),
            "each probe would fail",
            "leave `probe.kind` out, and probes do as traffic does; or set probe.port to one without TLS",
        ),
        W::IntroducedHttp2 { pool } => say(
            format!("connections to pool `{}` can't begin with a PROXY header", shown(pool)),
            "it names one client, and over HTTP/2 the requests of many share a connection",
            "leave it out: `forwarded` tells endpoints whose a request is; or set the pool's scheme to \"http\" or \"https\"",
        ),
        W::PortOfUnix { endpoint } => say(
            format!("`{}` has no ports, and there is a `probe.port`", shown(endpoint)),
            "where would it be probed?",
            "leave `probe.port` out: a Unix socket is probed where traffic goes",
        ),
        W::NamelessUnix { endpoint } => say(
            format!("nothing says whom the certificate at `{}` must be for", shown(endpoint)),
            "a path is no name",
            "set the pool's tls_name",
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
            "it must hold, in PEM form, the certificates of the authorities to believe",
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
        W::NoKeyBeside { cert, key } => no_key_beside(cert, key),
        W::NoPair { directory } => no_pair(directory),
        W::TooManyPairs { directory, count, most } => too_many_pairs(directory, *count, *most),
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
            "every handshake with them would fail",
            "compare: openssl x509 -pubkey -noout -in CERT; openssl pkey -pubout -in KEY. The server's own certificate \
             comes first in its file",
        ),
    }
}

/// The fact in one sentence, for the log.
pub(super) fn sentence(what: &What) -> String {
    let Text { title, label, .. } = text(what);
    if label.is_empty() { title } else { format!("{title}: {label}") }
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
