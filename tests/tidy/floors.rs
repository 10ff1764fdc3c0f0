//! The floors of ARCHITECTURE.md: which module may know which, and what the decision core may not reach for.

use crate::Finding;
use crate::rust::{is_punct, tokens};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Which modules' names a module may write down.
#[derive(Clone, Copy)]
enum May {
    /// These, each with all that is below it.
    Know(&'static [&'static str]),
    KnowAll,
}

/// Module, floor, and what it may know besides itself. A sibling is named only where the table says so: nowhere.
const FLOORS: &[(&str, u8, May)] = &[
    ("domain", 0, May::Know(&[])),
    ("config", 1, May::Know(&["domain"])),
    // The clock says the domain's `Moment`; nothing else of the domain is its business.
    ("runtime", 1, May::Know(&["domain::Moment"])),
    ("telemetry", 1, May::Know(&["domain"])),
    ("upstream", 2, May::Know(&["domain", "config", "runtime", "telemetry"])),
    ("health", 3, May::Know(&["domain", "config", "runtime", "telemetry", "upstream"])),
    ("proxy", 4, May::Know(&["domain", "config", "runtime", "telemetry", "upstream", "health"])),
    ("edge", 5, May::Know(&["domain", "config", "runtime", "telemetry", "upstream", "health", "proxy"])),
    ("admin", 5, May::Know(&["domain", "config", "runtime", "telemetry", "upstream", "health"])),
    ("app", 6, May::KnowAll),
    ("reload", 6, May::KnowAll),
    ("demo", 6, May::KnowAll),
    ("cli", 6, May::KnowAll),
    ("main", 6, May::KnowAll),
    // The list of floors itself.
    ("lib", 6, May::KnowAll),
];

/// No module names one that it may not know.
pub fn known(file: &str, text: &str) -> Vec<Finding> {
    let module = module_of(file);
    let floor = module.first().map_or("lib", String::as_str);
    let Some((_, number, may)) = FLOORS.iter().find(|(name, ..)| *name == floor) else {
        return vec![Finding::new(
            file,
            1,
            format!("`{floor}` is on no floor: add it to the table and ARCHITECTURE.md"),
        )];
    };
    let May::Know(allowed) = *may else { return Vec::new() };
    let mut findings = Vec::new();
    for path in paths(tokens(file, text), &module) {
        let written = path.absolute.join("::");
        let inside = path.absolute.first().is_some_and(|first| first == floor);
        let rule = if path.root == "std" {
            continue;
        } else if floor == "domain" && (path.root == "crate" || !inside) {
            format!("`{written}`: domain compiles alone, so it knows only self, super and std")
        } else if inside || allowed.iter().any(|name| is_or_below(&written, name)) {
            continue;
        } else {
            let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
            format!("`crate::{written}`: `{floor}` (floor {number}) may know {allowed}")
        };
        findings.push(Finding::new(file, path.line, rule));
    }
    findings
}

fn is_or_below(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What of std the decision core leaves to others.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// The decision core is handed time and facts; it fetches none, and waits for nothing.
pub fn pure(file: &str, text: &str) -> Vec<Finding> {
    let stream = tokens(file, text);
    let mut findings = Vec::new();
    for path in paths(stream.clone(), &module_of(file)) {
        let written = path.absolute.join("::");
        if IMPURE.iter().any(|name| is_or_below(&written, name)) {
            findings.push(Finding::new(file, path.line, format!("`{written}`: domain is handed time and facts")));
        }
    }
    crate::rust::each_token(stream, &mut |token| {
        if let TokenTree::Ident(ident) = token
            && (ident == "async" || ident == "await")
        {
            findings.push(Finding::new(file, ident.span().start().line, "domain waits for nothing: no async"));
        }
    });
    findings
}

/// `src/a/b.rs` is `["a", "b"]`, `src/a/mod.rs` is `["a"]`, `src/lib.rs` is `[]`.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") || inner == "lib" {
        module.pop();
    }
    module
}

/// One path in a file, as seen from the crate's root.
struct Written {
    /// `crate`, `self`, `super` or `std`.
    root: String,
    absolute: Vec<String>,
    line: usize,
}

/// Every path that begins with `crate`, `self`, `super` or `std`: in `use`, with all members of nested groups, and in code.
fn paths(stream: TokenStream, module: &[String]) -> Vec<Written> {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < trees.len() {
        match &trees[at] {
            TokenTree::Ident(ident) if ident == "mod" => {
                if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                    (trees.get(at + 1), trees.get(at + 2))
                {
                    let inner = [module, &[name.to_string()]].concat();
                    found.extend(paths(body.stream(), &inner));
                    at += 2;
                }
            }
            TokenTree::Ident(ident) => {
                let root = ident.to_string();
                let start = match root.as_str() {
                    "crate" => Some(Vec::new()),
                    "self" | "super" => Some(module.to_vec()),
                    "std" => Some(Vec::new()),
                    _ => None,
                };
                // `use crate as c` would hide all that is behind `c::`.
                let renamed =
                    root == "crate" && matches!(trees.get(at + 1), Some(TokenTree::Ident(next)) if next == "as");
                if let Some(start) = start
                    && (renamed || follows_colons(&trees, at + 1))
                {
                    let mut ends = Vec::new();
                    at = follow(&trees, at, start, &mut ends);
                    let ends = ends.into_iter().map(|(absolute, line)| Written { root: root.clone(), absolute, line });
                    found.extend(ends);
                    continue;
                }
            }
            TokenTree::Group(group) => found.extend(paths(group.stream(), module)),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
    found
}

fn follows_colons(trees: &[TokenTree], at: usize) -> bool {
    is_punct(trees.get(at), ':') && is_punct(trees.get(at + 1), ':')
}

/// Follows one path from the name at `at`; gives the place after it.
fn follow(trees: &[TokenTree], mut at: usize, mut path: Vec<String>, ends: &mut Vec<(Vec<String>, usize)>) -> usize {
    loop {
        let line = trees[at].span().start().line;
        match &trees[at] {
            TokenTree::Ident(name) if name == "super" => {
                path.pop();
            }
            TokenTree::Ident(name) if name == "self" || name == "crate" => {}
            TokenTree::Ident(name) => path.push(name.to_string()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let members: Vec<TokenTree> = group.stream().into_iter().collect();
                for member in members.split(|tree| is_punct(Some(tree), ',')).filter(|member| !member.is_empty()) {
                    follow(member, 0, path.clone(), ends);
                }
                return at + 1;
            }
            TokenTree::Punct(star) if star.as_char() == '*' => path.push("*".to_owned()),
            // A turbofish: what is in it is a path of its own.
            TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {
                ends.push((path, line));
                return at;
            }
        }
        if !follows_colons(trees, at + 1) || at + 3 >= trees.len() {
            ends.push((path, line));
            return at + 1;
        }
        at += 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines on which `text`, as that file, breaks the floors.
    fn breaches(file: &str, text: &str) -> Vec<usize> {
        known(file, text).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_floor_above_or_beside_is_found_with_file_line_and_rule() {
        let findings = known("src/upstream/kept.rs", "//! x\nuse crate::proxy::Worker;\n");
        let said = findings.iter().map(Finding::to_string).collect::<Vec<_>>();
        let rule = "`crate::proxy::Worker`: `upstream` (floor 2) may know domain, config, runtime, telemetry";
        assert_eq!(said, [format!("src/upstream/kept.rs:2: {rule}")]);
        assert_eq!(breaches("src/telemetry/names.rs", "use crate::config::Config;"), [1]);
        assert_eq!(breaches("src/admin/mod.rs", "use crate::edge::Limits;"), [1]);
        assert_eq!(breaches("src/admin/mod.rs", "use crate::proxy::Worker;"), [1]);
        assert_eq!(breaches("src/edge/mod.rs", "use crate::reload;"), [1]);
    }

    #[test]
    fn what_the_table_allows_is_left_alone() {
        assert_eq!(breaches("src/config/mod.rs", "use crate::domain::{Name, Rules};"), []);
        assert_eq!(breaches("src/upstream/mod.rs", "use crate::{config, domain::Name, upstream::kept};"), []);
        assert_eq!(breaches("src/edge/conn.rs", "use crate::proxy::{self, service::handle};"), []);
        assert_eq!(breaches("src/app.rs", "use crate::{admin, edge, demo};"), []);
        assert_eq!(breaches("src/main.rs", "fn main() { hotspare::cli::main() }"), []);
    }

    #[test]
    fn groups_are_searched_to_their_last_member() {
        let text = "use crate::{\n    domain::Name,\n    health::{view::View, Tally as T},\n    proxy::*,\n};";
        assert_eq!(breaches("src/upstream/mod.rs", text), [3, 3, 4]);
        assert_eq!(breaches("src/upstream/mod.rs", "use {crate::domain::Name, crate::edge::tls};"), [1]);
    }

    #[test]
    fn paths_in_code_count_like_imports() {
        let text = "fn f() -> crate::edge::Tls {\n    vec![crate::proxy::Body::<crate::admin::Page>::new()]\n}";
        assert_eq!(breaches("src/health/mod.rs", text), [1, 2, 2]);
        assert_eq!(breaches("src/health/mod.rs", "macro_rules! m { () => { $crate::app::run() } }"), [1]);
    }

    #[test]
    fn climbing_out_by_super_is_found_and_climbing_inside_is_not() {
        assert_eq!(breaches("src/config/sites.rs", "use super::super::edge::Tls;"), [1]);
        assert_eq!(breaches("src/config/mod.rs", "use super::edge::Tls;"), [1]);
        assert_eq!(breaches("src/config/sites.rs", "use super::super::domain::Name;"), []);
        assert_eq!(breaches("src/config/sites.rs", "use super::{Config, check::{self, Problem}};"), []);
        let nested = "mod tests {\n    use super::*;\n    use super::super::Config;\n    use super::super::super::proxy::Worker;\n}";
        assert_eq!(breaches("src/config/sites.rs", nested), [4]);
    }

    #[test]
    fn the_whole_crate_cannot_be_had_under_another_name() {
        assert_eq!(breaches("src/config/mod.rs", "use crate as all;"), [1]);
        assert_eq!(breaches("src/config/mod.rs", "use crate::{self as all};"), [1]);
        assert_eq!(breaches("src/config/mod.rs", "use crate::*;"), [1]);
        assert_eq!(breaches("src/config/mod.rs", "pub(crate) fn f() {} pub(super) fn g() {}"), []);
    }

    #[test]
    fn comments_and_strings_name_nothing() {
        let text =
            "//! [`crate::proxy`]\n/* use crate::edge; /* nested */ */\nconst S: &str = r#\"use \"crate::edge\"\"#;";
        assert_eq!(breaches("src/config/mod.rs", text), []);
    }

    #[test]
    fn domain_names_not_even_itself_through_the_crate() {
        assert_eq!(breaches("src/domain/pool.rs", "use crate::domain::Name;"), [1]);
        assert_eq!(breaches("src/domain/pool.rs", "use super::super::config::Config;"), [1]);
        assert_eq!(breaches("src/domain/pool.rs", "use super::endpoint::Health;\nuse std::sync::Arc;"), []);
    }

    #[test]
    fn runtime_may_know_what_time_is_and_no_more() {
        assert_eq!(breaches("src/runtime/clock.rs", "use crate::domain::Moment;"), []);
        assert_eq!(breaches("src/runtime/clock.rs", "use crate::domain::{Moment, Health};"), [1]);
    }

    #[test]
    fn a_module_that_is_on_no_floor_is_found() {
        assert_eq!(breaches("src/util/mod.rs", ""), [1]);
        assert_eq!(breaches("src/health/mod.rs", "use crate::util::twice;"), [1]);
    }

    #[test]
    fn the_table_itself_lets_nobody_look_up_or_aside() {
        let floor_of = |name: &str| FLOORS.iter().find(|(module, ..)| *module == name).map(|(_, floor, _)| *floor);
        for (module, floor, may) in FLOORS {
            let May::Know(allowed) = may else { continue };
            for name in *allowed {
                let known = name.split("::").next().and_then(floor_of);
                assert!(known.is_some_and(|known| known < *floor), "{module} may know {name}");
            }
        }
    }

    #[test]
    fn a_core_that_reads_a_clock_or_waits_is_found() {
        let lines = |text: &str| pure("src/domain/x.rs", text).iter().map(|finding| finding.line).collect::<Vec<_>>();
        assert_eq!(lines("use std::{fmt,\n time::{Duration, Instant}};"), [2]);
        assert_eq!(lines("fn f() { std::thread::yield_now() }"), [1]);
        assert_eq!(lines("async fn f() {}"), [1]);
        assert_eq!(lines("use std::{collections::BTreeMap, time::Duration}; // an async Instant"), []);
    }
}
