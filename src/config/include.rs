//! `include`: further files of the config, found by pattern and read; and all files of a config as one to read from.
//!
//! Not here: how they are parsed (`parse`), what may be in them (whoever calls [`Top::each`]).

use super::Surroundings;
use super::load;
use super::problem::{Form, IncludeTrouble, Report, Source, What};
use super::table::{Table, Value};
use glob::{MatchOptions, Pattern};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const EXAMPLE: &str = "include = [\"sites.d/*.toml\"]";

/// Each is opened and read, at every reload.
const MOST_FILES: usize = 10_000;

/// All of them together. While they are read, some ten times as much memory is taken.
const LARGEST_IN_ALL: usize = 64 << 20;

/// As a shell has it, and as editors rely on for their own files.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Whether all files that belong to a config were read. Where some were not, nobody can say that a thing is nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    Part,
}

/// The files that a main file includes, in the order of its patterns, and for each by their names.
pub(super) struct Included {
    pub(super) sources: Vec<Source>,
    pub(super) extent: Extent,
}

/// The top level of all files.
pub(super) struct Top<'a> {
    pub(super) main: Table<'a>,
    pub(super) others: Vec<Table<'a>>,
    pub(super) extent: Extent,
}

impl Top<'_> {
    /// The tables `[[key]]` of all files, the main one's first; as [`Table::each`].
    pub(super) fn each<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        mut read: impl FnMut(&mut Table<'_>) -> Option<T>,
    ) -> Option<Vec<Option<T>>> {
        let mut all = self.main.each(key, example, &mut read);
        for other in &mut self.others {
            let more = other.each(key, example, &mut read);
            all = all.zip(more).map(|(mut all, more)| {
                all.extend(more);
                all
            });
        }
        all
    }

    /// Notes every key that nobody took.
    pub(super) fn note_unknown(&self) {
        self.main.note_unknown(&[]);
        self.others.iter().for_each(|other| other.note_unknown(self.main.known()));
    }
}

/// Reads the key, and the files that it names.
pub(super) fn read(
    report: &Report,
    surroundings: &Surroundings<'_>,
    source: &Source,
    main: &mut Table<'_>,
) -> Included {
    let mut found =
        Finding { surroundings, directory: directory(&source.name), names: HashSet::new(), paths: Vec::new() };
    found.names.insert(source.name.clone()); // a pattern that fits the main file too is about the others
    let listed = main.optional("include", |value| {
        let listed = value.list(EXAMPLE, |item| found.all(item))?;
        listed.into_iter().collect::<Option<Vec<()>>>()
    });
    let mut included = Included { sources: Vec::new(), extent: Extent::Part };
    let Some(listed) = listed else { return included };
    included.extent = Extent::Whole;
    let too_large = |trouble| report.add(listed.at.clone(), What::Include { pattern: String::new(), trouble });
    if found.paths.len() > MOST_FILES {
        too_large(IncludeTrouble::TooMany { most: MOST_FILES });
        return Included { extent: Extent::Part, ..included };
    }
    let mut start = source.end();
    for (name, path) in found.paths {
        let text = (surroundings.files)(&path).map_err(|error| load::trouble(&error)).and_then(load::text_of);
        let (text, trouble) = match text {
            Ok(text) => (text, None),
            Err(trouble) => (String::new(), Some(trouble)),
        };
        let source = Source { name, text, start };
        if let Some(trouble) = trouble {
            included.extent = Extent::Part;
            report.add(Some(source.whole()), What::File(trouble));
        }
        start = source.end();
        included.sources.push(source);
        if start > LARGEST_IN_ALL {
            too_large(IncludeTrouble::TooLarge { most: LARGEST_IN_ALL });
            return Included { sources: Vec::new(), extent: Extent::Part };
        }
    }
    included
}

/// Where a file is: what it names is relative to that.
fn directory(file: &str) -> &Path {
    Path::new(file).parent().unwrap_or(Path::new(""))
}

/// The files so far: as problems name them, and as they are read.
struct Finding<'a> {
    surroundings: &'a Surroundings<'a>,
    directory: &'a Path,
    names: HashSet<String>,
    paths: Vec<(String, PathBuf)>,
}

impl Finding<'_> {
    /// Those of one pattern. A file that several fit is read once.
    fn all(&mut self, item: &Value<'_>) -> Option<()> {
        let pattern = item.text(Form::Pattern, |text| (!text.is_empty()).then_some(text))?;
        match (self.surroundings.include)(pattern) {
            Ok(paths) => {
                for path in paths {
                    let name = self.directory.join(&path).display().to_string();
                    if self.names.insert(name.clone()) {
                        self.paths.push((name, path));
                    }
                }
                Some(())
            }
            Err(trouble) => {
                item.note(What::Include { pattern: pattern.to_owned(), trouble });
                None
            }
        }
    }
}

/// The files of a pattern that is relative to `directory`, and so are they; sorted by name. One that names a file outright must find
/// it, one with wildcards the directory to look in: a slip of the pen would take all sites away.
///
/// # Errors
/// See [`IncludeTrouble`].
pub(super) fn list(directory: &Path, pattern: &str) -> Result<Vec<PathBuf>, IncludeTrouble> {
    let bad = |error: glob::PatternError| IncludeTrouble::BadPattern { error: error.msg.to_owned() };
    Pattern::new(pattern).map_err(bad)?;
    let fixed: PathBuf =
        Path::new(pattern).components().take_while(|part| !is_wild(&part.as_os_str().to_string_lossy())).collect();
    if fixed == Path::new(pattern) {
        return match directory.join(&fixed).exists() {
            true => Ok(vec![fixed]),
            false => Err(IncludeTrouble::NotThere),
        };
    }
    if !directory.join(&fixed).is_dir() && !fixed.as_os_str().is_empty() {
        return Err(IncludeTrouble::NoDirectory { directory: fixed.display().to_string() });
    }
    let whole = match (Path::new(pattern).is_absolute(), directory.as_os_str().is_empty()) {
        (true, _) | (_, true) => pattern.to_owned(),
        (false, false) => format!("{}/{pattern}", Pattern::escape(&directory.to_string_lossy())),
    };
    let mut found = Vec::new();
    for path in glob::glob_with(&whole, OPTIONS).map_err(bad)? {
        let path = path.map_err(|error| IncludeTrouble::Unreadable { error: error.to_string() })?;
        if found.len() > MOST_FILES {
            break; // it is said to be too many
        }
        if !path.is_dir() {
            found.push(path.strip_prefix(directory).unwrap_or(&path).to_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a part of a path stands for several.
fn is_wild(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn directory(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        directory
    }

    #[test]
    fn a_pattern_finds_files_by_name_in_order_and_no_hidden_ones() {
        let files =
            ["sites.d/b.toml", "sites.d/a.toml", "sites.d/.a.toml.swp", "sites.d/.b.toml", "sites.d/c.bak", "x.toml"];
        let directory = directory(&[&files[..], &["sites.d/d.toml/e.toml", "[odd]/a.toml"]].concat());
        let found = |pattern: &str| {
            let paths = list(directory.path(), pattern).unwrap();
            paths.into_iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("sites.d/*.toml"), ["sites.d/a.toml", "sites.d/b.toml"]);
        assert_eq!(found("*/?.toml"), ["[odd]/a.toml", "sites.d/a.toml", "sites.d/b.toml"]);
        assert_eq!(found("x.toml"), ["x.toml"]);
        assert_eq!(found("sites.d/*.none"), [""; 0]);
        assert_eq!(found("*.none"), [""; 0]);
        let absolute = directory.path().join("sites.d/a.toml");
        assert_eq!(found(absolute.to_str().unwrap()), [absolute.to_str().unwrap()]);
        assert_eq!(list(&directory.path().join("[odd]"), "*.toml").unwrap(), [Path::new("a.toml")]);
    }

    #[test]
    fn what_can_not_be_meant_is_told() {
        let directory = directory(&["sites.d/a.toml"]);
        let trouble = |pattern| list(directory.path(), pattern).unwrap_err();
        assert_eq!(trouble("sites.d/b.toml"), IncludeTrouble::NotThere);
        assert_eq!(trouble("site.d/*.toml"), IncludeTrouble::NoDirectory { directory: "site.d".to_owned() });
        assert!(matches!(trouble("sites.d/[.toml"), IncludeTrouble::BadPattern { .. }));
        assert!(matches!(trouble("sites.d/***.toml"), IncludeTrouble::BadPattern { .. }));
    }
}
