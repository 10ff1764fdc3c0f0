//! Problems drawn for people: title, file, line and column, the source line with the place underlined, the way out. The
//! drawing is annotate-snippets', the words are `message`'s.

use super::message::{Text, text};
use super::problem::{Color, Place, Problem, Problems, Source, What};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// How many problems are shown; of the rest only the number is told.
const SHOWN: usize = 50;

/// Lines longer than this are not shown, only named.
const LONGEST_LINE: usize = 2_000;

pub(super) fn render(problems: &Problems, color: Color) -> String {
    let renderer = match color {
        Color::Plain => Renderer::plain(),
        Color::Styled => Renderer::styled(),
    };
    let mut out = String::new();
    for problem in problems.all.iter().take(SHOWN) {
        out.push_str(&renderer.render(&[group(problems, problem)]));
        out.push('\n');
    }
    match problems.len().saturating_sub(SHOWN) {
        0 => {}
        1 => out.push_str("and 1 more\n"),
        more => out.push_str(&format!("and {more} more\n")),
    }
    // The renderer shows control characters as pictures, but for those past ASCII, which terminals obey as well.
    out.replace(|c| matches!(c, '\u{80}'..='\u{9f}'), "\u{fffd}")
}

/// One problem as annotate-snippets has it: only the lines it is about are handed over, so that a long file costs
/// nothing.
fn group<'a>(problems: &'a Problems, problem: &Problem) -> Group<'a> {
    let Text { title, label, also, help } = text(&problem.what);
    let title = Level::ERROR.primary_title(title);
    let source = problems.source(problem.at.as_ref());
    let also = also.map(|(place, label)| (problems.source(Some(&place)), place, label));
    let (beside, elsewhere) = match also {
        Some((other, place, label)) if other.start == source.start => (Some((source.within(&place), label)), None),
        Some(other) => (None, Some(other)),
        None => (None, None),
    };
    let shown = problem.at.as_ref().filter(|_| !matches!(problem.what, What::File(_))); // of that there is no line to show
    let at = shown.map(|at| source.within(at));
    let lines = at.map(|at| lines_around(&source.text, &at, beside.as_ref().map(|(place, _)| place)));
    let group = match lines {
        None => title.element(Origin::path(&source.name)),
        Some(Lines { long: true, number, .. }) => title.element(Origin::path(&source.name).line(number)),
        Some(Lines { start, end, number, at, also: second, .. }) => {
            let snippet = Snippet::source(&source.text[start..end])
                .path(&source.name)
                .line_start(number)
                .annotation(AnnotationKind::Primary.span(at).label(label));
            title.element(match (second, beside) {
                (Some(place), Some((_, label))) => snippet.annotation(AnnotationKind::Context.span(place).label(label)),
                (None, _) | (_, None) => snippet,
            })
        }
    };
    let group = match elsewhere {
        Some((other, place, label)) => group.element(line_of(other, &place, label)),
        None => group,
    };
    if help.is_empty() { group } else { group.element(Level::HELP.message(help)) }
}

/// The line of a second place that is in another file.
fn line_of<'a>(source: &'a Source, place: &Place, label: &'a str) -> Snippet<'a, Annotation<'a>> {
    let Lines { start, end, number, at, long, .. } = lines_around(&source.text, &source.within(place), None);
    let shown = if long { start..start } else { start..end };
    let snippet = Snippet::source(&source.text[shown]).path(&source.name).line_start(number);
    if long { snippet } else { snippet.annotation(AnnotationKind::Context.span(at).label(label)) }
}

/// The lines from the first to the last place, and the places within them.
struct Lines {
    start: usize,
    end: usize,
    /// Of the first line, from 1; of the line that `at` begins in if that is too long to show.
    number: usize,
    at: Place,
    also: Option<Place>,
    long: bool,
}

fn lines_around(source: &str, at: &Place, also: Option<&Place>) -> Lines {
    let at = first_line(source, at);
    let also = also.map(|place| first_line(source, place));
    let first = also.as_ref().map_or(at.start, |also| also.start.min(at.start));
    let last = also.as_ref().map_or(at.end, |also| also.end.max(at.end));
    let start = source[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let end = source[last..].find('\n').map_or(source.len(), |newline| last + newline);
    let number_of = |offset: usize| source[..offset].matches('\n').count() + 1;
    let long = source[start..end].lines().any(|line| line.len() > LONGEST_LINE);
    Lines {
        start,
        end,
        number: number_of(if long { at.start } else { start }),
        at: at.start - start..at.end - start,
        also: also.map(|also| also.start - start..also.end - start),
        long,
    }
}

/// The part of a place that is on its first line, on character boundaries and within the source.
fn first_line(source: &str, place: &Place) -> Place {
    let start = source.floor_char_boundary(place.start.min(source.len()));
    let end = source.ceil_char_boundary(place.end.clamp(start, source.len()));
    let line = source[start..end].lines().next().map_or(0, |line| line.trim_end().len());
    start..start + line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_cut_to_their_first_line_and_to_the_file() {
        assert_eq!(first_line("a = [\n1,\n]", &(0..10)), 0..5);
        assert_eq!(first_line("ä", &(1..9)), 0..2);
        assert_eq!(first_line("", &(7..9)), 0..0);
    }
}
