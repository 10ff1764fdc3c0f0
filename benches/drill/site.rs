//! The user site that both data centres serve: a hundred pages, equal byte for byte, and twenty guest books that take writes.
//! Endpoints answer with it, visitors know from it what the right answer is.

use bytes::Bytes;
use fastrand::Rng;

/// What probes ask for.
pub const CHECK: &str = "/health";
pub const PAGES: usize = 100;
/// Several, because a fault at a single path proves less.
pub const GUEST_BOOKS: usize = 20;
/// The field that carries a write's id.
pub const ID: &str = "visit-id";
/// The field that says how many milliseconds a request takes.
pub const TAKES: &str = "visit-takes";
/// The field of an answer that names its place.
pub const PLACE: &str = "x-place";

/// Above this a page is large: 10 of the 100.
const SMALL: usize = 64 << 10;
const LARGEST: usize = 512 << 10;

/// All pages.
#[derive(Debug)]
pub struct Site {
    pages: Vec<Page>,
}

#[derive(Debug)]
pub struct Page {
    pub bytes: Bytes,
    /// Strong: equal tags mean equal bytes, at both places.
    pub etag: String,
}

impl Page {
    pub fn is_large(&self) -> bool {
        self.bytes.len() > SMALL
    }
}

impl Site {
    /// The same one in every process.
    pub fn make() -> Site {
        let mut dice = Rng::with_seed(2011);
        let pages = (0..PAGES).map(|number| {
            let length = if number % 10 == 0 { dice.usize(SMALL + 1..=LARGEST) } else { dice.usize(500..=SMALL) };
            let letters: Vec<u8> = (0..length).map(|_| dice.alphanumeric() as u8).collect();
            Page { bytes: letters.into(), etag: format!("\"page-{number}-1\"") }
        });
        Site { pages: pages.collect() }
    }

    pub fn page(&self, number: usize) -> &Page {
        &self.pages[number]
    }

    /// The number of the page at that path.
    pub fn find(&self, path: &str) -> Option<usize> {
        path.strip_prefix("/page/")?.parse().ok().filter(|number| *number < PAGES)
    }
}

pub fn page_path(number: usize) -> String {
    format!("/page/{number}")
}

pub fn guest_book_path(number: usize) -> String {
    format!("/guest-book/{}", number % GUEST_BOOKS)
}

/// What a write that was taken is answered.
pub fn taken(id: u64) -> Bytes {
    format!("taken {id}\n").into()
}

/// The pages with an error of their own: in the fault that is about them they fail wherever they are asked for.
pub fn is_broken_everywhere(page: usize) -> bool {
    page % 20 == 7
}
