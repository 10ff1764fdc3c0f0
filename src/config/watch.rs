//! A look at the files of all pairs in use, each minute: what was replaced is put to use, and nothing else of the config is read.
//!
//! Two files are seldom replaced in one moment, and some programs write a file in pieces. So what is refused at one look is doubted, and
//! told only when the next finds nothing better: a pair that is half replaced heals by itself, and nobody was woken up. A file whose
//! mark is that of the last look is not opened.
//!
//! Pairs that are new in a directory are none of these: which there are is what a reload finds out.
//!
//! Not here: who looks, and who is told (`app`); what is refused (`pairs`).

use super::Config;
use super::folder::{Folder, Mark};
use super::pairs::{Digest, InUse, Pair, PairName, Refusal, judge};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// What is remembered from one look to the next.
#[derive(Debug)]
pub struct Watch {
    folder: Folder,
    known: HashMap<PairName, Known>,
}

/// Of one pair.
#[derive(Debug)]
struct Known {
    /// What is in use is what its files held when they had these marks.
    same: Option<(Digest, [Mark; 2])>,
    doubt: Doubt,
}

/// Whether the last look found something to refuse that nobody was told of yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    Once,
}

/// What changed for one pair; `file` is its certificate's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// What is in its files is in use from now on.
    Replaced { file: Box<str>, not_after: SystemTime },
    /// What is in its files is not put to use; the certificate that ends at `not_after` stays.
    Refused { file: Box<str>, why: Refusal, not_after: SystemTime },
    /// What is in use is in its files again.
    Restored { file: Box<str> },
}

impl Watch {
    /// Files are named from `folder`. Nothing is known yet, so the first look reads all of them.
    pub fn new(folder: Folder) -> Watch {
        Watch { folder, known: HashMap::new() }
    }

    /// Looks at the files of all pairs that the config names. It blocks, for the disk; the config must be the one in force, and two looks
    /// must not run at once.
    pub fn look(&mut self, config: &Config, now: SystemTime) -> Vec<News> {
        let pairs = &config.certificates;
        self.known.retain(|name, _| pairs.get(name).is_some());
        let news = pairs.all().iter().filter_map(|pair| self.look_at(pair, now)).collect();
        for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
            tls.refresh();
        }
        news
    }

    fn look_at(&mut self, pair: &Arc<Pair>, now: SystemTime) -> Option<News> {
        let (name, before) = (pair.name(), pair.in_use());
        // Before they are read: what is written meanwhile has another mark.
        let marks = self.folder.mark(&name.cert, now).zip(self.folder.mark(&name.key, now)).map(<[Mark; 2]>::from);
        let known = self.known.entry(name.clone()).or_insert(Known { same: None, doubt: Doubt::None });
        let same = marks.map(|marks| (before.digest, marks));
        if same.is_some() && known.same == same && before.refused.is_none() {
            return None;
        }
        let folder = &self.folder;
        let found = judge(name, &|file| folder.read(file), Some((&before, now)));
        let Ok(found) = found else { return None }; // never: there is one in use
        known.same = marks.filter(|_| found.refused.is_none()).map(|marks| (found.digest, marks));
        let file = name.cert.clone();
        let not_after = found.certificate.not_after;
        let doubt = std::mem::replace(&mut known.doubt, Doubt::None);
        let news = match (&before.refused, &found.refused) {
            (None, None) if found.digest == before.digest => return None,
            (Some(_), None) if found.digest == before.digest => News::Restored { file },
            (None | Some(_), None) => News::Replaced { file, not_after },
            (Some(told), Some(why)) if told == why => return None,
            (None, Some(_)) if doubt == Doubt::None => {
                known.doubt = Doubt::Once;
                return None;
            }
            (None | Some(_), Some(why)) => News::Refused { file, why: why.clone(), not_after },
        };
        pair.put_to_use(InUse::clone(&found));
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::super::pairs::tests::{made, now};
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    /// A config with the pair a.pem, a.key, in a directory of its own.
    struct House {
        directory: tempfile::TempDir,
        config: Config,
        watch: Watch,
        written: u64,
    }

    impl House {
        fn new(pair: &(String, String)) -> House {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("hotspare.toml");
            let text = "[[listener]]\naddress = '[::]:443'\ntls = [{ cert = 'a.pem', key = 'a.key' }]\n\
                [[backend]]\nname = 'sites'\nprimary = { name = 'here', endpoints = ['10.1.0.11:8080'] }\n";
            fs::write(&file, text).unwrap();
            fs::write(directory.path().join("a.pem"), &pair.0).unwrap();
            fs::write(directory.path().join("a.key"), &pair.1).unwrap();
            let config = load(&file).unwrap();
            House { directory, config, watch: Watch::new(Folder::of(&file)), written: 0 }
        }

        fn path(&self, file: &str) -> PathBuf {
            self.directory.path().join(file)
        }

        /// Time stands still for the test, but each file that is written has a mark of its own.
        fn write(&mut self, file: &str, text: &str) {
            fs::write(self.path(file), text).unwrap();
            self.written += 1;
            let modified = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(self.written);
            fs::File::options().write(true).open(self.path(file)).unwrap().set_modified(modified).unwrap();
        }

        /// In words: `replaced`, `refused: …`, `restored`, or nothing.
        fn look(&mut self) -> String {
            let news = self.watch.look(&self.config, now());
            let said = news.iter().map(|news| match news {
                News::Replaced { .. } => "replaced".to_owned(),
                News::Refused { why, .. } => format!("refused: {why}"),
                News::Restored { .. } => "restored".to_owned(),
            });
            said.collect::<Vec<_>>().join(", ")
        }
    }

    const MISMATCH: &str =
        "refused: the key in a.key is not the one of the certificate in a.pem: every handshake with them would fail";

    #[test]
    fn what_is_refused_is_told_once_at_the_second_look_and_what_heals_before_never() {
        let (old, new, expired) = (made("a", -1, 9), made("a", -1, 90), made("a", -9, -1));
        let mut house = House::new(&old);
        assert_eq!(house.look(), "");
        house.write("a.pem", &new.0);
        assert_eq!(house.look(), "", "half of it may be on its way");
        house.write("a.key", &new.1);
        assert_eq!(house.look(), "replaced");
        assert_eq!(house.look(), "");

        house.write("a.pem", &expired.0);
        let said = [house.look(), house.look(), house.look()];
        assert_eq!(said, ["", MISMATCH, ""]);
        house.write("a.key", &expired.1);
        assert_eq!(house.look(), "refused: the certificate in a.pem expired at 2027-01-14T08:00:00Z");
        house.write("a.pem", &new.0);
        house.write("a.key", &new.1);
        assert_eq!([house.look(), house.look()], ["restored", ""]);
        fs::remove_file(house.path("a.key")).unwrap();
        let said = [house.look(), house.look()];
        assert_eq!(said, ["", "refused: can't read a.key: No such file or directory (os error 2)"]);
        let in_use = house.config.certificates.all()[0].in_use();
        assert_eq!(in_use.certificate.not_after, now() + std::time::Duration::from_secs(90 * 86_400));
    }

    #[test]
    fn what_is_not_valid_yet_is_taken_when_its_time_comes() {
        let (old, early) = (made("a", -1, 9), made("a", 1, 90));
        let mut house = House::new(&old);
        house.write("a.pem", &early.0);
        house.write("a.key", &early.1);
        let said = [house.look(), house.look()];
        assert_eq!(said, ["", "refused: the certificate in a.pem is not valid before 2027-01-16T08:00:00Z"]);
        let tomorrow = now() + std::time::Duration::from_secs(86_400);
        let news = house.watch.look(&house.config, tomorrow);
        assert!(matches!(news[..], [News::Replaced { .. }]), "{news:?}");
        let tls = house.config.listeners[0].tls.as_ref().unwrap();
        assert!(Arc::ptr_eq(&tls.shown(None), &house.config.certificates.all()[0].certificate()), "and shown");
    }

    #[test]
    fn a_file_whose_mark_is_the_same_is_not_read_and_what_a_reload_put_in_use_is_compared_anew() {
        let (old, new) = (made("a", -1, 9), made("a", -1, 90));
        let mut house = House::new(&old);
        assert_eq!(house.look(), "");
        let known = house.watch.known.values().next().unwrap();
        assert!(known.same.is_some(), "now is long after the files were written");
        // As if a reload had read these before they were replaced by what is in the files.
        let before = House::new(&new);
        house.config.certificates.all()[0].put_to_use(InUse::clone(&before.config.certificates.all()[0].in_use()));
        assert_eq!(house.look(), "replaced");
    }
}
