//! The config read from disk: its text, and the files it includes, certificates, keys and pages it names, relative to its own
//! directory.

use super::Config;
use super::folder::Folder;
use super::include;
use super::pairs::InForce;
use super::parse::{Surroundings, cores, descriptors, parse_in, resolve};
use super::problem::{FileTrouble, Problems};
use super::token::SecretFile;
use super::trust;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A config of 65,536 endpoints and as many sites is smaller by half. What is larger is some other file.
const LARGEST: u64 = 16 << 20;

/// Where the state is when nothing is said.
pub const STATE_DIR: &str = "/var/lib/hotspare";

/// Reads, parses and checks the file. May block, for the disk and for host names.
///
/// # Errors
/// One problem if the file can't be read; else as [`parse_in`].
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_over(path, None)
}

/// The same where something is in force, whose certificates stay where those in the files are worse.
///
/// # Errors
/// As [`load`].
pub fn load_over(path: &Path, in_force: Option<InForce<'_>>) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let text = bytes(path).map_err(|error| trouble(&error)).and_then(text_of);
    let text = text.map_err(|trouble| Problems::of_file(&name, trouble))?;
    let folder = Folder::of(path);
    let surroundings = Surroundings {
        files: &|file| bytes(&folder.path(file)),
        directories: &|directory| folder.names(directory),
        in_force,
        secrets: &|file| secret(&folder.path(file)),
        include: &|pattern| include::list(folder.directory(), pattern),
        state_dir: Some(Path::new(STATE_DIR)),
        resolve: &resolve,
        roots: &trust::system,
        cores: cores(),
        descriptors: descriptors(),
    };
    let config = parse_in(&name, &text, &surroundings)?;
    Ok(Config { state_dir: config.state_dir.map(|state_dir| folder.path(&state_dir)), ..config })
}

/// A config file's text.
pub(super) fn text_of(bytes: Vec<u8>) -> Result<String, FileTrouble> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let lines = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count();
        FileTrouble::NotUtf8 { line: lines + 1 }
    })?;
    // Or each line that is shown with a problem would end in a mark for the carriage return.
    Ok(if text.contains('\r') { text.replace("\r\n", "\n") } else { text })
}

/// Why a config file can't be had.
pub(super) fn trouble(error: &io::Error) -> FileTrouble {
    match error.kind() {
        ErrorKind::NotFound => FileTrouble::NotThere,
        ErrorKind::IsADirectory => FileTrouble::Directory,
        ErrorKind::PermissionDenied => FileTrouble::NoPermission,
        ErrorKind::FileTooLarge => FileTrouble::TooLarge { limit: LARGEST },
        _ => FileTrouble::Other(error.to_string()), // std's enum
    }
}

/// The whole file, and who may have it.
fn secret(path: &Path) -> io::Result<SecretFile> {
    let file = File::open(path)?; // once, so that mode and content are the same file's
    Ok(SecretFile { mode: file.metadata()?.mode(), bytes: whole(file)? })
}

pub(super) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    whole(File::open(path)?)
}

/// The whole file, if it is not absurdly large.
fn whole(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()).is_ok_and(|length| length <= LARGEST) {
        true => Ok(bytes),
        false => Err(io::Error::new(ErrorKind::FileTooLarge, "larger than 16 MiB")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sites::Found;
    use super::*;

    fn problem(path: &Path) -> String {
        let problems = load(path).unwrap_err();
        assert_eq!(problems.len(), 1);
        problems.to_string().replace(&path.display().to_string(), "FILE")
    }

    #[test]
    fn a_file_that_can_not_be_read_is_one_clear_problem() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hotspare.toml");
        let said = |title: &str, help: &str| format!("error: {title}\n--> FILE\n = help: {help}\n");
        assert_eq!(
            problem(&file),
            said("there is no such file", "check the path; where none is given it is /etc/hotspare/hotspare.toml")
        );
        assert_eq!(problem(directory.path()), said("this is a directory, not a file", "name the file in it"));

        std::fs::write(&file, b"# fine\n# caf\xe9\n").unwrap();
        let help = "save it as UTF-8; keys and host names are ASCII anyway";
        assert_eq!(problem(&file), said("line 2 is not UTF-8 text", help));

        File::create(&file).unwrap().set_len(LARGEST + 1).unwrap();
        assert_eq!(problem(&file), said("this file is larger than 16MiB", "is it really a config file?"));
    }

    #[test]
    fn a_file_from_windows_shows_its_problems_as_any_other_does() {
        let directory = tempfile::tempdir().unwrap();
        let said = |text: &str| {
            let file = directory.path().join("hotspare.toml");
            std::fs::write(&file, text).unwrap();
            load(&file).unwrap_err().to_string()
        };
        let text = "workers = 0\ndrain_timeout = \"soon\"\n";
        assert_eq!(said(&text.replace('\n', "\r\n")), said(text));
        assert_eq!(said(&format!("\u{feff}{text}")).lines().count(), said(text).lines().count());
    }

    #[test]
    fn what_the_system_says_of_a_file_is_told() {
        // Not tried with a real file: whoever runs the tests as root may read it.
        let said = |error| Problems::of_file("FILE", trouble(&error)).to_string();
        let help = "let the user that hotspare runs as read it";
        let denied = io::Error::from_raw_os_error(13);
        assert_eq!(said(denied), format!("error: no permission to read this file\n--> FILE\n = help: {help}\n"));
        let broken = io::Error::from_raw_os_error(5);
        assert_eq!(said(broken), "error: can't read this file: Input/output error (os error 5)\n--> FILE\n");
    }

    #[test]
    fn pages_are_looked_for_beside_the_config_file_and_every_load_reads_them_anew() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("errors")).unwrap();
        let file = directory.path().join("hotspare.toml");
        let text = "[[listener]]\naddress = '[::]:80'\n\
            [[backend]]\nname = 'sites'\nprimary = { name = 'here', endpoints = ['10.1.0.11:8080'] }\n\
            [[site]]\nhosts = ['*']\nbackend = 'sites'\nerror_page = 'errors/sorry.html'\n";
        std::fs::write(&file, text).unwrap();
        for said in ["sorry", "back at noon"] {
            std::fs::write(directory.path().join("errors/sorry.html"), said).unwrap();
            let config = load(&file).unwrap();
            let Found::Site(site) = config.sites.find("a", "/") else { panic!() };
            assert_eq!(site.pages.error.as_ref().unwrap().with(502).unwrap(), said);
        }
        let sorry = directory.path().join("errors/sorry.html");
        File::create(&sorry).unwrap().set_len(LARGEST + 1).unwrap();
        let problems = load(&file).unwrap_err().to_string();
        assert!(problems.contains("errors/sorry.html is larger than 256KiB"), "{problems}");
    }

    #[test]
    fn certificates_are_looked_for_beside_the_config_file() {
        let directory = tempfile::tempdir().unwrap();
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        std::fs::create_dir(directory.path().join("certs")).unwrap();
        std::fs::write(directory.path().join("certs/site.pem"), cert.pem()).unwrap();
        std::fs::write(directory.path().join("certs/site.key"), signing_key.serialize_pem()).unwrap();
        let file = directory.path().join("hotspare.toml");
        std::fs::write(&file, include_str!("../../config/minimal.toml")).unwrap();
        let config = load(&file).unwrap();
        assert_eq!(&*config.listeners[0].tls.as_ref().unwrap().shown(None).file, "certs/site.pem");
    }
}
