//! What each kind of value is called, how it is written, and what is amiss with one that is not written so.

use super::super::problem::{Form, Found, Key};
use super::shown;
use std::fmt;

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
    pub(super) fn name(self) -> &'static str {
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
            Form::Address | Form::Listener => "an address to listen on",
            Form::Mode => "a mode",
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
            Form::Pattern => "a file name, or a pattern of them",
        }
    }

    /// How it is written.
    pub(super) fn rule(self) -> &'static str {
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
            Form::Listener => {
                "an IP address and a port: \"[::]:443\" (every address of this machine), \"0.0.0.0:443\" (IPv4 only); or \"unix:/path\" \
                 of at most 107 characters"
            }
            Form::Mode => {
                "the permissions of a file in octal digits: \"0660\" (its owner and group), \"0666\" (everyone)"
            }
            Form::Network => {
                "an address, or the first one of a network and its length, not 0: \"10.0.0.0/8\", \"2001:db8::/32\"; or \"unix\", whoever \
                 comes over a Unix socket"
            }
            Form::Endpoint => {
                "\"host:port\" or \"[IPv6]:port\", the host an IP address or a name that resolves to one, or \"unix:/path\" of at \
                 most 107 characters"
            }
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
            Form::Pattern => "relative to the directory of this file, or absolute: \"sites.d/*.toml\"",
            Form::Directory => "absolute, or relative to the directory of this file: \"/var/lib/hotspare\"",
        }
    }
}

/// What is wrong with a text that is not of the form, where that is easy to tell.
pub(super) fn hint(form: Form, text: &str) -> String {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hint = match form {
        _ if text.is_empty() => "it is empty",
        Form::Duration | Form::Size | Form::Percent if digits => "it needs a unit",
        Form::Size if text.to_ascii_lowercase().ends_with('k') || text.to_ascii_lowercase().ends_with("kb") => {
            "KiB is meant?"
        }
        Form::Name if text.bytes().any(|byte| byte.is_ascii_uppercase()) => "capital letters can't be in it",
        Form::Name if text.len() > 63 => "it is too long",
        Form::Address | Form::Listener if digits => "an IP address goes before the port",
        Form::Address | Form::Listener if text.ends_with(":0") => "port 0 is none: which one is it?",
        Form::Listener if text.starts_with('/') => "unix: goes before a socket's path",
        Form::Network if text.starts_with("unix:") => "\"unix\" alone: it is for all of them",
        Form::Network if text.ends_with("/0") => "then anyone could say that they are anyone",
        Form::Endpoint | Form::Listener if text.starts_with("unix:") && text.len() > 112 => "it is too long",
        Form::Endpoint | Form::Listener if text.starts_with("unix:") && !text.starts_with("unix:/") => {
            "the path must be absolute"
        }
        Form::Endpoint | Form::Listener if text.starts_with("unix:") => "this is not how a socket's path is written",
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
        Form::Address | Form::Listener | Form::Endpoint if text.contains("::") && !text.contains('[') => {
            "IPv6 goes in brackets: [::1]:8080"
        }
        Form::Address | Form::Listener if text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains('[') => {
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
        | Form::Listener
        | Form::Mode
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
        | Form::Pattern
        | Form::Directory => return format!("this is not {}", form.name()),
    };
    hint.to_owned()
}

/// How to write a value of the wrong type: as it stands there, with what it lacks, where that is a fair guess.
pub(super) fn remedy(key: &Key, expected: Form, found: &Found) -> String {
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
