//! `hotspare check [FILE]`: everything that is wrong with a config file, or one line that says what is in it.
//!
//! It reads what `run` would read (certificates, keys, host names) and binds nothing.

use super::Verdict;
use crate::config::{self, Color, Config};
use crate::telemetry::words::count;
use std::io::{self, Write};
use std::path::Path;

/// Checks the file: a summary to `out`, or its problems to `err`.
///
/// # Errors
/// Only those of `out` and `err`.
pub fn run(path: &Path, color: Color, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Verdict> {
    match config::load(path) {
        Ok(config) => {
            writeln!(out, "{}: valid. {}.", path.display(), summary(&config))?;
            Ok(Verdict::Fine)
        }
        Err(problems) => {
            writeln!(err, "{}{}.", problems.render(color), count(problems.len(), "problem"))?;
            Ok(Verdict::Problem)
        }
    }
}

/// What is in a config, in one line.
pub fn summary(config: &Config) -> String {
    let pools = || config.backends.iter().flat_map(|backend| &backend.pools);
    [
        count(config.listeners.len(), "listener"),
        count(config.backends.len(), "backend"),
        count(pools().count(), "pool"),
        count(pools().map(|pool| pool.endpoints.len()).sum::<usize>(), "endpoint"),
        count(config.certificates.all().len(), "certificate"),
    ]
    .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdict, output, error output of a check of a file with that text, beside a certificate.
    fn check(text: &str) -> (Verdict, String, String) {
        let directory = tempfile::tempdir().unwrap();
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        std::fs::create_dir(directory.path().join("certs")).unwrap();
        std::fs::write(directory.path().join("certs/site.pem"), cert.pem()).unwrap();
        std::fs::write(directory.path().join("certs/site.key"), signing_key.serialize_pem()).unwrap();
        let file = directory.path().join("hotspare.toml");
        std::fs::write(&file, text).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let verdict = run(&file, Color::Plain, &mut out, &mut err).unwrap();
        let said = |bytes| String::from_utf8(bytes).unwrap().replace(&file.display().to_string(), "hotspare.toml");
        (verdict, said(out), said(err))
    }

    #[test]
    fn a_valid_file_is_summed_up_in_one_line() {
        let (verdict, out, err) = check(include_str!("../../config/minimal.toml"));
        assert_eq!(verdict, Verdict::Fine);
        assert_eq!(out, "hotspare.toml: valid. 1 listener, 1 backend, 2 pools, 3 endpoints, 1 certificate.\n");
        assert_eq!(err, "");
    }

    #[test]
    fn problems_are_told_and_count() {
        let (verdict, out, err) = check("workers = 0\n");
        assert_eq!(verdict, Verdict::Problem);
        assert_eq!(out, "");
        assert!(err.contains("error: `workers` is out of range\n --> hotspare.toml:1:1\n"), "{err}");
        assert!(err.ends_with("\n3 problems.\n"), "{err}"); // no listener, no backend
        assert!(
            check(include_str!("../../config/minimal.toml").replace("443", "44x").as_str())
                .2
                .ends_with("\n1 problem.\n")
        );
    }
}
