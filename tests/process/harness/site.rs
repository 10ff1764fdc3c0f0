//! A user site as files: some three hundred, of all sizes, each with bytes that no other has.

use bytes::Bytes;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The site, in memory too, so that whatever a visitor gets can be compared with what is right.
#[derive(Debug)]
pub struct Site {
    pub files: Vec<File>,
}

#[derive(Debug)]
pub struct File {
    /// As in a URL.
    pub path: String,
    pub bytes: Bytes,
}

/// How many files are large.
const DOWNLOADS: usize = 10;

/// Pages, style sheets, images and a few downloads: how many, and how large from and to.
const KINDS: [(&str, &str, usize, usize, usize); 4] = [
    ("pages/page", "html", 200, 500, 9_000),
    ("styles/style", "css", 40, 2_000, 40_000),
    ("images/image", "bin", 50, 10_000, 60_000),
    ("downloads/download", "bin", DOWNLOADS, 400_000, 1_200_000),
];

impl Site {
    pub fn make() -> Arc<Site> {
        // The front page: what probes ask for where nothing else is configured.
        let mut files = vec![File { path: "/index.html".to_owned(), bytes: text("/", 3_000).into() }];
        for (name, extension, count, from, to) in KINDS {
            for index in 0..count {
                let length = from + (to - from) * index / count;
                let path = format!("/{name}-{index}.{extension}");
                let bytes = if extension == "bin" { binary(&path, length) } else { text(&path, length) };
                files.push(File { path, bytes: bytes.into() });
            }
        }
        Arc::new(Site { files })
    }

    /// As a mirror has them: files are as old as they were where they came from.
    pub fn write_to(&self, directory: &Path) {
        let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_300_000_000);
        for file in &self.files {
            let path = directory.join(&file.path[1..]);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &file.bytes).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(made).unwrap();
        }
    }

    /// Everything but the downloads.
    pub fn pages(&self) -> &[File] {
        &self.files[..self.files.len() - DOWNLOADS]
    }

    /// What reader number `n` asks for. All pages have their turn.
    pub fn page(&self, n: usize) -> &File {
        // A stride without a common divisor, so that neighbours in time are not neighbours on disk.
        &self.pages()[n * 37 % self.pages().len()]
    }

    /// One of the large files.
    pub fn download(&self, n: usize) -> &File {
        &self.files[self.files.len() - DOWNLOADS..][n % DOWNLOADS]
    }

    pub fn largest(&self) -> &File {
        self.files.iter().max_by_key(|file| file.bytes.len()).unwrap()
    }
}

fn text(path: &str, length: usize) -> Vec<u8> {
    let line = format!("<p>This stands in {path}, and nowhere else.</p>\n");
    line.bytes().cycle().take(length).collect()
}

/// Bytes that look like an image's: none of them text for long, all different from file to file.
fn binary(path: &str, length: usize) -> Vec<u8> {
    let seed = path.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}
