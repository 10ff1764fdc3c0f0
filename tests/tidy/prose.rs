//! Rules for what people read: one word for one thing, pointers that lead somewhere, nothing of the machine it was made on.

use crate::Finding;
use crate::rust::{each_token, tokens};
use proc_macro2::TokenTree;

/// Words that are never used, with the word that is. Whole words, whatever their case; what stands in backticks is another
/// program's name for its own thing and may be quoted.
const WORDS: &[(&str, &str)] = &[
    ("breaker", "ejection"),
    ("upstream server", "endpoint"),
    ("upstream servers", "endpoints"),
    ("upstream server group", "pool"),
    ("origin server", "endpoint"),
    ("origin servers", "endpoints"),
    ("cluster", "pool or backend"),
    ("clusters", "pools or backends"),
    ("node", "endpoint"),
    ("nodes", "endpoints"),
    ("LB", "Hotspare"),
];

/// Documents, the reference configuration, and code, whose strings and doc comments reach users.
pub fn is_read_by_users(path: &str) -> bool {
    path.ends_with(".md")
        || (path.starts_with("config/") && path.ends_with(".toml"))
        || (path.starts_with("src/") && path.ends_with(".rs"))
}

/// No word is used that the glossary in ARCHITECTURE.md replaces.
pub fn words(file: &str, text: &str) -> Vec<Finding> {
    let prose = if file.ends_with(".rs") { literals(file, text) } else { without_code(text) };
    let mut findings = Vec::new();
    for (line, said) in prose {
        for (never, instead) in WORDS.iter().filter(|(never, _)| has_word(&said, never)) {
            findings.push(Finding::new(file, line, format!("say {instead}, never \"{never}\"")));
        }
    }
    findings
}

fn has_word(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let is_inside = |edge: Option<char>| edge.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    text.match_indices(&word).any(|(start, _)| {
        !is_inside(text[..start].chars().next_back()) && !is_inside(text[start + word.len()..].chars().next())
    })
}

/// Every string and doc comment of a Rust file, without code spans, with its line.
fn literals(file: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    each_token(tokens(file, text), &mut |token| {
        if let TokenTree::Literal(literal) = token {
            let line = literal.span().start().line;
            found.extend(without_code(&literal.to_string()).into_iter().map(|(at, said)| (line + at - 1, said)));
        }
    });
    found
}

/// Lines of Markdown with their numbers, without fenced blocks and code spans.
fn without_code(text: &str) -> Vec<(usize, String)> {
    split_code(text).into_iter().map(|(line, prose, _)| (line, prose)).collect()
}

/// Each line of Markdown outside fenced blocks: its number, its prose, and its code spans. A span may go on over a line's
/// end, but not over a paragraph's.
fn split_code(text: &str) -> Vec<(usize, String, Vec<&str>)> {
    let mut in_span = false;
    let mut lines = Vec::new();
    for (line, said) in outside_fences(text) {
        in_span &= !said.trim().is_empty();
        let (mut prose, mut spans) = (String::new(), Vec::new());
        for (at, part) in said.split('`').enumerate() {
            in_span ^= at > 0;
            if in_span {
                spans.push(part);
                prose.push_str("``");
            } else {
                prose.push_str(part);
            }
        }
        lines.push((line, prose, spans));
    }
    lines
}

fn outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        (!is_fence && !fenced).then_some((at + 1, line))
    })
}

/// Relative links lead to a file, their anchors to a heading in it, and a path of the project in a code span exists.
pub fn pointers<'a>(
    file: &str,
    text: &'a str,
    is_there: impl Fn(&str) -> bool,
    find: impl Fn(&str) -> Option<&'a str>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, said) in without_code(text) {
        for link in said.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { file.to_owned() } else { beside(file, path) };
            let headings = if path.is_empty() { Some(text) } else { find(&target) };
            if !is_there(&target) {
                findings.push(Finding::new(file, line, format!("`{link}` leads nowhere: there is no {target}")));
            } else if !anchor.is_empty() && headings.is_some_and(|headings| !has_heading(headings, anchor)) {
                findings.push(Finding::new(file, line, format!("`{link}` leads nowhere: no such heading in {target}")));
            }
        }
    }
    for (line, _, spans) in split_code(text) {
        for span in spans.into_iter().filter(|span| is_project_path(span) && !is_there(span)) {
            findings.push(Finding::new(file, line, format!("`{span}` is named, but not there")));
        }
    }
    findings
}

/// `path` as seen from the directory of `file`.
fn beside(file: &str, path: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn is_project_path(span: &str) -> bool {
    let place =
        ["src/", "tests/", "docs/", "benches/", "config/", "deploy/"].iter().any(|place| span.starts_with(place));
    place && span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
}

/// Whether a heading's anchor, made as GitHub makes it, is `anchor`.
fn has_heading(text: &str, anchor: &str) -> bool {
    outside_fences(text).filter(|(_, line)| line.starts_with('#')).any(|(_, heading)| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).eq(anchor.chars())
    })
}

/// Where programs are built and homes of superusers; put together here, so that this file does not hold them.
const MACHINE: &[&str] = &[concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/"), concat!("/", "Users/")];

/// No absolute path of somebody's machine.
pub fn machine_paths(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for path in MACHINE {
            let begins = |start: usize| !line[..start].ends_with(|c: char| c.is_alphanumeric() || ".}-_$*".contains(c));
            if line.match_indices(path).any(|(start, _)| begins(start)) {
                findings.push(Finding::new(file, at + 1, format!("`{path}…` is a path of one machine")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: Vec<Finding>) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn another_word_for_a_thing_of_ours_is_found_in_documents() {
        assert_eq!(lines(words("a.md", "# A Cluster\n\nof two nodes, an LB\n")), [1, 3, 3]);
        assert_eq!(lines(words("a.md", "the circuit breaker\nan origin server")), [1, 2]);
    }

    #[test]
    fn http_and_other_programs_keep_their_own_words() {
        let text = "The Origin field; `cluster`; inode; node_exporter; upstream\n```\nnode LB\n```\nan albatross\n";
        assert_eq!(lines(words("a.md", text)), []);
        assert_eq!(lines(words("a.md", "run `a\nnode` then\na node `b")), [3]);
        assert_eq!(lines(words("a.md", "an open ` here\n\na node")), [3]);
    }

    #[test]
    fn strings_and_doc_comments_are_read_and_plain_comments_are_not() {
        let text = "/// A node.\nfn f() {\n    print(\"no such cluster\"); // node\n    let node = 1;\n}";
        assert_eq!(lines(words("src/a.rs", text)), [1, 3]);
        assert_eq!(lines(words("src/a.rs", "const A: &str = \"one\n  two\n  LB\";")), [3]);
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let is_there = |path: &str| ["docs/a.md", "docs/b.md", "src/lib.rs"].contains(&path);
        let find = |path: &str| (path == "docs/b.md").then_some("# B\n\n## The two walks, *drawn*\n");
        let check = |text: &'static str| lines(pointers("docs/a.md", text, is_there, find));
        assert_eq!(check("[b](b.md) [b](./b.md#the-two-walks-drawn) [l](../src/lib.rs) [w](https://x.org/y)"), []);
        assert_eq!(check("[b](b.md)\n[c](c.md)\n[b](b.md#nothing)\n[d](../docs/c.md)"), [2, 3, 4]);
        assert_eq!(check("## Here\n[h](#here)\n[t](#there)"), [3]);
        assert_eq!(check("`[c](c.md)`\n```\n[c](c.md)\n```"), []);
    }

    #[test]
    fn a_path_in_a_document_that_is_gone_is_found() {
        let is_there = |path: &str| path == "src/lib.rs";
        let check = |text| lines(pointers("README.md", text, is_there, |_| None));
        assert_eq!(check("`src/lib.rs`, `src/*.rs`, `src/lib.rs --help`"), []);
        assert_eq!(check("see\n`src/gone.rs`"), [2]);
    }

    #[test]
    fn a_path_of_one_machine_is_found_and_a_site_path_is_not() {
        let mine = concat!("/", "root/x");
        assert_eq!(lines(machine_paths("Makefile", &format!("all:\n\tcp {mine} .\n"))), [2]);
        assert_eq!(lines(machine_paths("a.md", &format!("\"{mine}\""))), [1]);
        assert_eq!(lines(machine_paths("a.md", &format!("https://example.org{mine} $dir{mine}"))), []);
    }
}
