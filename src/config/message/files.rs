//! What can be wrong with a file, the configuration's own or one that it names, in words.

use super::super::problem::{FileTrouble, IncludeTrouble, PageTrouble, TokenTrouble};
use super::super::units::Bytes;
use super::{Text, say, shown};

pub(super) fn file(trouble: &FileTrouble) -> Text {
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

pub(super) fn include(pattern: &str, trouble: &IncludeTrouble) -> Text {
    let relative = "patterns are relative to the directory of this file: include = [\"sites.d/*.toml\"]";
    match trouble {
        IncludeTrouble::NotThere => {
            say(format!("there is no file {}", shown(pattern)), "not found, or not readable", relative)
        }
        IncludeTrouble::NoDirectory { directory } => say(
            format!("there is no directory {}", shown(directory)),
            "nothing can be included from there",
            format!("{relative}. One that is there may be empty"),
        ),
        IncludeTrouble::BadPattern { error } => say(
            format!("\"{}\" is not a pattern", shown(pattern)),
            shown(error),
            "in it * stands for any characters but /, ? for one, and [ab] for a or b",
        ),
        IncludeTrouble::Unreadable { error } => say(
            format!("can't look for {}", shown(pattern)),
            shown(error),
            "let the user that hotspare runs as read that directory",
        ),
        IncludeTrouble::TooMany { most } => {
            say("too many files are included", format!("more than {most}"), "put several sites into one file")
        }
        IncludeTrouble::TooLarge { most } => say(
            "the included files are too large",
            format!("more than {} in all", Bytes(*most as u64)),
            "are they really config files?",
        ),
    }
}

pub(super) fn token(file: &str, trouble: TokenTrouble) -> Text {
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

pub(super) fn no_key_beside(cert: &str, key: &str) -> Text {
    say(
        format!("the key of {} is missing", shown(cert)),
        format!("it is neither in {} nor in the certificate's own file", shown(key)),
        "put it there; or move the certificate out of the directory: each .pem and .crt in it must be a pair",
    )
}

pub(super) fn no_pair(directory: &str) -> Text {
    say(
        format!("no certificate in {}", shown(directory)),
        "no file in it ends in .pem or .crt",
        "put pairs there, NAME.pem (or .crt) with NAME.key; directories in it are not searched",
    )
}

pub(super) fn too_many_pairs(directory: &str, count: usize, most: usize) -> Text {
    say(
        format!("{count} certificates in {}", shown(directory)),
        format!("at most {most} are taken from one directory"),
        "put names together in fewer certificates, or move what is no longer used elsewhere",
    )
}

pub(super) fn page(file: &str, trouble: PageTrouble) -> Text {
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
