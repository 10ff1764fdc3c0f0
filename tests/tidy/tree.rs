//! The project's own files, read once a test: what is in its known places, and not what a build or a user left beside them.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// Directories that belong to the project; files beside them at the top belong to it too.
const PLACES: &[&str] = &[".ci", "benches", "certs", "config", "deploy", "docs", "fuzz", "src", "tests"];
/// Endings of files in those places that are no text of ours: keys and certificates that were made there.
const NOT_OURS: &[&str] = &[".pem", ".key", ".crt", ".lock"];

/// Paths, relative to the root and with `/`, and texts. Files that are not UTF-8 are left out.
pub struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads all of it.
    pub fn read() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = BTreeMap::new();
        for entry in root.read_dir().expect("the root can be listed") {
            let entry = entry.expect("the root can be listed");
            let name = entry.file_name().into_string().expect("names here are UTF-8");
            let is_file = entry.file_type().expect("it has a type").is_file();
            // In a worktree `.git` is a file, and git's, not ours.
            if PLACES.contains(&name.as_str()) || (is_file && name != ".git") {
                gather(&entry.path(), name, &mut files).expect("the project's files can be read");
            }
        }
        Tree(files)
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().filter(|(path, _)| path.ends_with(".rs"))
    }

    pub fn find(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    pub fn text(&self, path: &str) -> &str {
        self.find(path).unwrap_or_else(|| panic!("{path} is part of the project"))
    }
}

fn gather(path: &Path, name: String, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    if path.is_dir() {
        for entry in path.read_dir()? {
            let entry = entry?;
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            gather(&entry.path(), name, files)?;
        }
    } else if !NOT_OURS.iter().any(|ending| name.ends_with(ending))
        && let Ok(text) = String::from_utf8(fs::read(path)?)
    {
        files.insert(name, text);
    }
    Ok(())
}
