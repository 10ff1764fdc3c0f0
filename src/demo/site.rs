//! The user site that both data centres serve: a few pages, images and a style sheet, all inside the binary.
//!
//! Not here: HTTP and faults (`data_centre`), what visitors write (`guest_book`).

use super::guest_book::{BadForm, GuestBook};
use bytes::Bytes;
use std::fmt::Write;

/// One answer to a GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub content_type: &'static str,
    pub body: Bytes,
}

/// Every path of the site, for those who want to visit it all.
pub const PATHS: [&str; 9] =
    ["/", "/boats", "/tides", "/harbour", "/guestbook", "/style.css", "/lantern.svg", "/boat.svg", "/harbour.svg"];

/// What is at `path`, as served by the data centre in `place`; `None`: nothing.
pub fn page(path: &str, place: &str, book: &GuestBook) -> Option<Page> {
    Some(match path {
        "/" => html(place, "Home", include_str!("site/index.html")),
        "/boats" => html(place, "Boats", include_str!("site/boats.html")),
        "/tides" => html(place, "Tides", include_str!("site/tides.html")),
        "/harbour" => html(place, "Harbour", include_str!("site/harbour.html")),
        "/guestbook" => html(place, "Guest book", &format!("{}{}", include_str!("site/guestbook.html"), book.html())),
        "/style.css" => file("text/css", include_str!("site/style.css")),
        "/lantern.svg" => file("image/svg+xml", include_str!("site/lantern.svg")),
        "/boat.svg" => file("image/svg+xml", include_str!("site/boat.svg")),
        "/harbour.svg" => Page { content_type: "image/svg+xml", body: harbour().into() },
        _ => return None,
    })
}

/// Nothing is at that path.
pub fn missing(place: &str) -> Page {
    html(place, "Not found", "<h1>Not here</h1><p>There is nothing at this address.</p>")
}

/// The guest book could not take that.
pub fn refused(place: &str, why: BadForm) -> Page {
    html(place, "Guest book", &format!("<h1>Not signed</h1><p>{why} <a href=\"/guestbook\">Back</a></p>"))
}

/// The data centre's own error page.
pub fn broken(place: &str) -> Page {
    html(place, "Error", "<h1>Something is broken here</h1><p>Please try again later.</p>")
}

fn file(content_type: &'static str, text: &'static str) -> Page {
    Page { content_type, body: Bytes::from_static(text.as_bytes()) }
}

fn html(place: &str, title: &str, content: &str) -> Page {
    // The content comes last: what visitors wrote in it is never looked at for marks.
    let text = include_str!("site/layout.html")
        .replace("{{title}}", title)
        .replace("{{place}}", place)
        .replace("{{content}}", content);
    Page { content_type: "text/html; charset=utf-8", body: text.into() }
}

/// The harbour at night: drawn, not stored, and large enough (some 30 KB) to break off in the middle.
fn harbour() -> String {
    let mut dice = fastrand::Rng::with_seed(1887); // the same picture in every place, every time
    let mut svg = String::from(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360"><path fill="#0e2238" d="M0 0h640v240H0z"/><path fill="#14324a" d="M0 240h640v120H0z"/>"##,
    );
    let mut draw = |shape: std::fmt::Arguments<'_>| svg.write_fmt(shape).expect("a String takes everything");
    for _ in 0..160 {
        let (x, y, r) = (dice.u32(0..640), dice.u32(0..130), dice.u32(4..14));
        draw(format_args!(r##"<circle cx="{x}" cy="{y}" r="0.{r:02}" fill="#fff4d6"/>"##));
    }
    for house in 0..16 {
        let (left, height) = (house * 40, dice.u32(50..110));
        draw(format_args!(r##"<path fill="#081624" d="M{left} 240v-{height}l20-16 20 16v{height}z"/>"##));
        for window in 0..(height / 18) * 3 {
            let (x, y) = (left + 6 + window % 3 * 10, 240 - height + 8 + window / 3 * 18);
            let light = if dice.u32(0..3) == 0 { "#1b3550" } else { "#f2b33d" };
            draw(format_args!(r##"<path fill="{light}" d="M{x} {y}h6v9h-6z"/>"##));
            draw(format_args!(r##"<path fill="{light}" opacity=".18" d="M{x} {}h6v5h-6z"/>"##, 480 - y));
        }
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::super::guest_book::Form;
    use super::*;
    use crate::domain::Moment;

    fn text(page: Page) -> String {
        String::from_utf8(page.body.to_vec()).unwrap()
    }

    #[test]
    fn every_path_has_something_and_every_page_says_who_served_it() {
        let book = GuestBook::new("new-jersey".into());
        for path in PATHS {
            let page = page(path, "new-jersey", &book).unwrap_or_else(|| panic!("{path} is missing"));
            assert!(!page.body.is_empty());
            if page.content_type.starts_with("text/html") {
                let text = text(page);
                assert!(text.contains("data centre in <strong>new-jersey</strong>"), "{path}");
                assert!(!text.contains("{{"), "{path}");
            }
        }
        assert_eq!(page("/nowhere", "new-jersey", &book), None);
        assert!(text(missing("oregon")).contains("oregon"));
    }

    #[test]
    fn every_link_and_image_leads_somewhere() {
        let book = GuestBook::new("new-jersey".into());
        for path in PATHS {
            let text = text(page(path, "new-jersey", &book).unwrap());
            let links = text.split("href=\"").skip(1).chain(text.split("src=\"").skip(1));
            for link in links.map(|rest| rest.split('"').next().unwrap()) {
                assert!(PATHS.contains(&link), "{path} links to {link}");
            }
        }
    }

    #[test]
    fn marks_in_an_entry_stay_what_they_are() {
        let mut book = GuestBook::new("new-jersey".into());
        book.sign(Moment::ZERO, Form { name: "{{place}}".into(), message: "{{content}}".into(), id: None });
        let text = text(page("/guestbook", "new-jersey", &book).unwrap());
        assert!(text.contains("<strong>{{place}}</strong><p>{{content}}</p>"), "{text}");
    }

    #[test]
    fn the_picture_is_the_same_each_time_and_large_enough_to_be_cut() {
        assert_eq!(harbour(), harbour());
        assert!((20_000..60_000).contains(&harbour().len()), "{}", harbour().len());
    }
}
