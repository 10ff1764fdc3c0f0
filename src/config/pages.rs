//! `[[site]] error_page`, `read_only_page`: pages in a site's own words, read whole and made ready, so that a reply only has to
//! hand them out.
//!
//! Not here: which reply gets which page (`proxy::reply`).

use super::Surroundings;
use super::problem::{Form, PageTrouble, What};
use super::table::Value;
use bytes::Bytes;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, str};

/// What is larger is no page that says sorry: it would go out whole to everyone, just when much is wrong already.
const LARGEST: usize = 256 * 1024;
/// What stands in a page for the status. Nothing else is replaced: what could say more of a failure is for logs, not for users.
const STATUS: &str = "{status}";
/// The statuses of those replies that a page may be sent with.
const STATUSES: [u16; 3] = [502, 503, 504];

/// The pages of one site; where it has none, Hotspare's own stand in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// For 502, 503 and 504.
    pub error: Option<Arc<Page>>,
    /// For the 503 that unsafe requests get while the site is read-only.
    pub read_only: Option<Arc<Page>>,
}

/// A page, written out for each status.
#[derive(PartialEq, Eq)]
pub struct Page {
    /// As named in the config.
    file: Box<str>,
    /// By place in [`STATUSES`]; one and the same where the page does not say its status.
    written: [Bytes; STATUSES.len()],
}

impl Page {
    /// A page of those bytes, read from that file.
    ///
    /// # Errors
    /// See [`PageTrouble`].
    pub fn of(file: &str, bytes: Vec<u8>) -> Result<Page, PageTrouble> {
        if bytes.len() > LARGEST {
            return Err(PageTrouble::TooLarge { most: LARGEST });
        }
        let text = str::from_utf8(&bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            PageTrouble::NotUtf8 { line: before.iter().filter(|byte| **byte == b'\n').count() + 1 }
        })?;
        if text.trim().is_empty() {
            return Err(PageTrouble::Empty);
        }
        let written = match text.contains(STATUS) {
            true => STATUSES.map(|status| Bytes::from(text.replace(STATUS, &status.to_string()))),
            false => {
                let whole = Bytes::from(bytes);
                STATUSES.map(|_| whole.clone())
            }
        };
        Ok(Page { file: file.into(), written })
    }

    /// The page for that status, shared; `None` for a status that no page is sent with.
    pub fn with(&self, status: u16) -> Option<Bytes> {
        let place = STATUSES.iter().position(|known| *known == status)?;
        Some(self.written[place].clone())
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({:?})", self.file) // configs are printed when tests fail
    }
}

/// Reads each file once, however many sites name it.
pub(super) struct PageFiles<'a> {
    surroundings: &'a Surroundings<'a>,
    read: HashMap<String, Result<Arc<Page>, What>>,
}

impl<'a> PageFiles<'a> {
    pub(super) fn new(surroundings: &'a Surroundings<'a>) -> PageFiles<'a> {
        PageFiles { surroundings, read: HashMap::new() }
    }

    /// The page in the file that `value` names.
    pub(super) fn page(&mut self, value: &Value<'_>) -> Option<Arc<Page>> {
        let file = value.text(Form::FileName, |text| (!text.is_empty()).then_some(text))?;
        let files = self.surroundings.files;
        let page = self.read.entry(file.to_owned()).or_insert_with(|| load(files, file).map(Arc::new));
        match page {
            Ok(page) => Some(Arc::clone(page)),
            Err(what) => {
                value.note(what.clone());
                None
            }
        }
    }
}

fn load(files: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>, file: &str) -> Result<Page, What> {
    let trouble = |trouble| What::Page { file: file.to_owned(), trouble };
    let bytes = files(Path::new(file)).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => trouble(PageTrouble::TooLarge { most: LARGEST }),
        _ => What::Unreadable { file: file.to_owned(), error: error.to_string() }, // std's enum
    })?;
    Page::of(file, bytes).map_err(trouble)
}

#[cfg(test)]
mod tests {
    use super::super::sites::Found;
    use super::super::{Config, parse};
    use super::*;
    use std::cell::RefCell;
    use std::io;

    fn page(text: &str) -> Result<Page, PageTrouble> {
        Page::of("sorry.html", text.into())
    }

    #[test]
    fn a_page_says_its_status_and_nothing_else_is_replaced() {
        let page = page("<h1>{status}</h1> {{status}} { status } {host} $status {STATUS} 😿").unwrap();
        for status in [502, 503, 504] {
            let written = format!("<h1>{status}</h1> {{{status}}} {{ status }} {{host}} $status {{STATUS}} 😿");
            assert_eq!(page.with(status).unwrap(), written);
        }
        assert_eq!(page.with(404), None);
    }

    #[test]
    fn its_bytes_are_never_copied() {
        let plain = page("sorry").unwrap();
        let address = |status| plain.with(status).unwrap().as_ptr();
        assert!(address(502) == address(502) && address(502) == address(503) && address(503) == address(504));
        let saying = page("{status}").unwrap();
        assert_eq!(saying.with(502).unwrap().as_ptr(), saying.with(502).unwrap().as_ptr());
    }

    #[test]
    fn what_is_no_page_is_refused() {
        assert!(page(&"x".repeat(LARGEST)).is_ok());
        assert_eq!(page(&"x".repeat(LARGEST + 1)), Err(PageTrouble::TooLarge { most: LARGEST }));
        assert_eq!(page(" \n"), Err(PageTrouble::Empty));
        assert_eq!(Page::of("sorry.html", b"a\nb\ncaf\xe9".to_vec()), Err(PageTrouble::NotUtf8 { line: 3 }));
    }

    const SITES: &str = "[[listener]]\naddress = '[::]:80'\n\
        [[backend]]\nname = 'sites'\nprimary = { name = 'here', endpoints = ['10.1.0.11:8080'] }\n\
        [[site]]\nhosts = ['a']\nbackend = 'sites'\nerror_page = 'sorry.html'\nread_only_page = 'sorry.html'\n\
        [[site]]\nhosts = ['b']\nbackend = 'sites'\nerror_page = 'sorry.html'\n\
        [[site]]\nhosts = ['c']\nbackend = 'sites'\n";

    #[test]
    fn a_file_that_many_sites_name_is_read_once() {
        let asked = RefCell::new(Vec::new());
        let files = |path: &Path| {
            asked.borrow_mut().push(path.to_owned());
            Ok(b"sorry".to_vec())
        };
        let config: Config = parse("test.toml", SITES, &files).unwrap();
        assert_eq!(*asked.borrow(), [Path::new("sorry.html")]);
        let pages = |host| match config.sites.find(host, "/") {
            Found::Site(site) => site.pages.clone(),
            Found::UnknownHost | Found::UnknownPath => panic!("{host}"),
        };
        let (a, b) = (pages("a"), pages("b"));
        assert!(Arc::ptr_eq(a.error.as_ref().unwrap(), b.error.as_ref().unwrap()));
        assert!(a.read_only.is_some() && b.read_only.is_none());
        assert_eq!(pages("c"), Pages::default());
    }

    #[test]
    fn each_place_that_names_a_bad_file_is_told_and_the_file_is_read_once() {
        let asked = RefCell::new(0);
        let files = |_: &Path| {
            *asked.borrow_mut() += 1;
            // As a file of many megabytes is: nobody reads those to their end.
            Err(io::Error::new(ErrorKind::FileTooLarge, "larger than 16 MiB"))
        };
        let problems = parse("test.toml", SITES, &files).unwrap_err();
        assert_eq!((problems.len(), *asked.borrow()), (3, 1));
        assert!(problems.to_string().contains("sorry.html is larger than 256KiB"), "{problems}");
    }
}
