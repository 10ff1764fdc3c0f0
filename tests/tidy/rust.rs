//! Rules for Rust files: how they begin, how long they are, what may not stay in them, and that each is compiled.

use crate::Finding;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};

/// The file's tokens: no comments, and a string is one token, whatever is in it. Doc comments become `#[doc = "…"]`.
pub fn tokens(file: &str, text: &str) -> TokenStream {
    text.parse().unwrap_or_else(|error| panic!("{file} is not Rust: {error}"))
}

/// Calls `see` with every token, those in groups included; a group comes before what is in it.
pub fn each_token(stream: TokenStream, see: &mut impl FnMut(&TokenTree)) {
    for tree in stream {
        see(&tree);
        if let TokenTree::Group(group) = tree {
            each_token(group.stream(), see);
        }
    }
}

pub fn is_punct(tree: Option<&TokenTree>, expected: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == expected)
}

/// Each file opens with `//!`: what lives here, and what does not.
pub fn header(file: &str, text: &str) -> Vec<Finding> {
    if text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Finding::new(file, 1, "a file opens with `//! ` and says what lives in it")]
}

/// At 600 lines a file has two jobs.
const LONGEST: usize = 600;

pub fn length(file: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    if lines <= LONGEST {
        return Vec::new();
    }
    vec![Finding::new(file, LONGEST + 1, format!("{lines} lines: past {LONGEST} a file has two jobs"))]
}

/// What a half-done change leaves behind.
const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

pub fn unfinished(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut last = None;
    each_token(tokens(file, text), &mut |token| {
        if let (Some((name, line)), true) = (last.take(), is_punct(Some(token), '!')) {
            findings.push(Finding::new(file, line, format!("`{name}!` is for unfinished work")));
        }
        if let TokenTree::Ident(ident) = token
            && UNFINISHED.iter().any(|name| ident == name)
        {
            last = Some((ident.to_string(), ident.span().start().line));
        }
    });
    findings
}

/// A test runs or is deleted: `#[ignore]`, and the same behind `cfg_attr`, is neither.
pub fn ignored(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut after_hash = false;
    each_token(tokens(file, text), &mut |token| {
        if after_hash
            && let TokenTree::Group(group) = token
            && group.delimiter() == Delimiter::Bracket
        {
            let mut names = Vec::new();
            each_token(group.stream(), &mut |inner| {
                if let TokenTree::Ident(ident) = inner {
                    names.push(ident.to_string());
                }
            });
            let skips = match names.first().map(String::as_str) {
                Some("ignore") => true,
                Some("cfg_attr") => names.iter().any(|name| name == "ignore"),
                _ => false,
            };
            if skips {
                findings.push(Finding::new(
                    file,
                    group.span().start().line,
                    "a test runs or is deleted: no `#[ignore]`",
                ));
            }
        }
        after_hash = is_punct(Some(token), '#');
    });
    findings
}

/// Files that no `mod` and no target of Cargo.toml leads to: nobody compiles them, so nobody would see them rot.
pub fn orphans(manifest: &str, files: &BTreeMap<&str, &str>) -> Vec<Finding> {
    let mut open: Vec<String> = roots(manifest);
    let mut reached = BTreeSet::new();
    while let Some(path) = open.pop() {
        if let Some(text) = files.get(path.as_str())
            && reached.insert(path.clone())
        {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let is_root = name == "mod.rs" || roots(manifest).contains(&path);
            let below = if is_root { directory.to_owned() } else { path.trim_end_matches(".rs").to_owned() };
            children(tokens(&path, text), directory, &below, &mut open);
        }
    }
    let rule = "no `mod` and no target of Cargo.toml leads to this file: it is not compiled";
    files.keys().filter(|path| !reached.contains(**path)).map(|path| Finding::new(path, 1, rule)).collect()
}

/// The files of Cargo.toml's targets, and of its members' binaries.
fn roots(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("cargo read it before us");
    let listed = ["test", "bench", "bin", "example"].into_iter().filter_map(|kind| manifest.get(kind)?.as_array());
    let paths = listed.flatten().filter_map(|target| target.get("path")?.as_str().map(str::to_owned));
    let members = manifest.get("workspace").and_then(|workspace| workspace.get("members")?.as_array());
    let members = members.into_iter().flatten().filter_map(|member| Some(format!("{}/src/main.rs", member.as_str()?)));
    paths.chain(members).chain(["src/lib.rs".to_owned(), "src/main.rs".to_owned()]).collect()
}

/// Where the files of `mod name;` may be. `directory` is the file's own, `below` where its child modules live.
fn children(stream: TokenStream, directory: &str, below: &str, open: &mut Vec<String>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut path = None;
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Group(group) if at > 0 && is_punct(trees.get(at - 1), '#') => {
                path = path_attribute(group.stream()).or(path);
            }
            TokenTree::Ident(word) if word == "mod" => {
                let Some(TokenTree::Ident(name)) = trees.get(at + 1) else { continue };
                match (trees.get(at + 2), path.take()) {
                    (Some(TokenTree::Group(body)), _) => {
                        let inner = format!("{below}/{name}");
                        children(body.stream(), &inner, &inner, open);
                    }
                    (_, Some(path)) => open.push(format!("{directory}/{path}")),
                    (_, None) => open.extend([format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")]),
                }
            }
            TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The file that a `path = "…"` attribute names.
fn path_attribute(stream: TokenStream) -> Option<String> {
    let mut trees = stream.into_iter();
    match (trees.next()?, trees.next()?, trees.next()?) {
        (TokenTree::Ident(key), _, TokenTree::Literal(file)) if key == "path" => {
            Some(file.to_string().trim_matches('"').to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: Vec<Finding>) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_found() {
        assert_eq!(lines(header("a.rs", "use std::fmt;\n//! late")), [1]);
        assert_eq!(lines(header("a.rs", "//! What lives here.\n")), []);
    }

    #[test]
    fn line_601_is_one_too_many() {
        assert_eq!(lines(length("a.rs", &"\n".repeat(601))), [601]);
        assert_eq!(lines(length("a.rs", &"\n".repeat(600))), []);
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_not_in_words_about_it() {
        assert_eq!(
            lines(unfinished("a.rs", "fn f() {\n    todo!()\n}\nfn g() { std::unimplemented!(\"x\") }")),
            [2, 4]
        );
        assert_eq!(lines(unfinished("a.rs", "fn f() { g(dbg!(1)) }")), [1]);
        assert_eq!(lines(unfinished("a.rs", "// todo!()\nconst A: &str = \"todo!\"; fn todo() {}")), []);
    }

    #[test]
    fn a_skipped_test_is_found_however_it_is_spelt() {
        assert_eq!(lines(ignored("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}")), [2]);
        assert_eq!(lines(ignored("a.rs", "#[cfg_attr(not(feature = \"real\"), ignore)]\nfn f() {}")), [1]);
        assert_eq!(lines(ignored("a.rs", "#[must_use]\nfn ignore() {} // #[ignore]")), []);
    }

    #[test]
    fn a_file_that_nobody_imports_is_found() {
        let manifest = "[[test]]\nname = \"t\"\npath = \"tests/t.rs\"";
        let files = BTreeMap::from([
            ("src/lib.rs", "mod a;\nmod inline { mod b; }"),
            ("src/main.rs", ""),
            ("src/a/mod.rs", "mod c;"),
            ("src/a/c.rs", "mod d; // mod gone;"),
            ("src/a/c/d.rs", ""),
            ("src/a/gone.rs", ""),
            ("src/inline/b.rs", ""),
            ("tests/t.rs", "#[path = \"t/x.rs\"]\nmod x;"),
            ("tests/t/x.rs", ""),
            ("tests/unlisted.rs", ""),
        ]);
        let found: Vec<String> = orphans(manifest, &files).into_iter().map(|finding| finding.file).collect();
        assert_eq!(found, ["src/a/gone.rs", "tests/unlisted.rs"]);
    }
}
