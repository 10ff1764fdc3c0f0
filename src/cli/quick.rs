//! `hotspare run --primary … --secondary …`: a config without a file, and a certificate where there is none.

use super::Run;
use crate::reload::Source;
use anyhow::Context;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const SELF_SIGNED: &str = "certs/self-signed.pem";
const SELF_SIGNED_KEY: &str = "certs/self-signed.key";

/// The config that the options stand for.
pub fn source(options: &Run) -> anyhow::Result<Source> {
    let (cert, key) = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        _ => self_signed()?,
    };
    let pool = |name: &str, endpoints: &[String]| {
        let endpoints: Vec<String> = endpoints.iter().map(|endpoint| quoted(endpoint)).collect();
        format!("{{ name = \"{name}\", endpoints = [{}] }}", endpoints.join(", "))
    };
    let mut text = format!(
        "[admin]\naddress = {}\n[[listener]]\naddress = {}\ntls = [{{ cert = {}, key = {} }}]\n\
         [[backend]]\nname = \"sites\"\nprimary = {}\n",
        quoted(&options.admin.to_string()),
        quoted(&options.listen.to_string()),
        quoted(&cert.display().to_string()),
        quoted(&key.display().to_string()),
        pool("primary", &options.primary),
    );
    if !options.secondary.is_empty() {
        text.push_str(&format!("secondary = {}\n", pool("secondary", &options.secondary)));
    }
    Ok(Source::Text { name: "command line".to_owned(), text })
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// The self-signed certificate under certs/: the one that is there, or a new one.
fn self_signed() -> anyhow::Result<(PathBuf, PathBuf)> {
    let (cert, key) = (PathBuf::from(SELF_SIGNED), PathBuf::from(SELF_SIGNED_KEY));
    if cert.exists() && key.exists() {
        tracing::warn!(
            "using the self-signed certificate {SELF_SIGNED}: browsers will warn; --cert and --key name a real one"
        );
        return Ok((cert, key));
    }
    let made = rcgen::generate_simple_self_signed(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let made = made.context("cannot make a self-signed certificate")?;
    fs::create_dir_all("certs").context("cannot make the directory certs/ for a self-signed certificate")?;
    let _ = fs::remove_file(&cert); // that of a key that is gone; both are there, or they are made anew
    write(&key, &made.signing_key.serialize_pem(), 0o600)?;
    write(&cert, &made.cert.pem(), 0o644)?;
    tracing::warn!(
        "made a self-signed certificate for localhost, {SELF_SIGNED}: browsers will warn; --cert and --key name a real one"
    );
    Ok((cert, key))
}

/// All of it or nothing: half a file would be taken for the whole one at the next start.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&part);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes())).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        let _ = fs::remove_file(&part); // what made writing fail may keep it there, too
    }
    written.with_context(|| {
        format!("cannot write {}; run where certs/ can be written, or name --cert and --key", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_can_not_be_written_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("self-signed.key");
        write(&path, "key", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "key");
        let taken = directory.path().join("taken.key");
        fs::create_dir(&taken).unwrap(); // so that the last step fails
        let error = write(&taken, "key", 0o600).unwrap_err();
        assert!(format!("{error:#}").contains("taken.key; run where certs/ can be written"), "{error:#}");
        assert!(!taken.with_extension("part").exists());
    }
}
