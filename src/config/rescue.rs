//! What may be done for a request that meets trouble: `retry`, `hedge`, `held`, `resume`, `replay`. A backend says so for all its
//! sites, and each site may say otherwise.
//!
//! Not here: what these do (`proxy`, docs/failover.md).

use super::table::{Table, Value};

/// For the requests of one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescue {
    pub retry: Retry,
    /// A safe request that takes its time is sent elsewhere too.
    pub hedge: bool,
    /// Small responses are kept until they are whole.
    pub held: bool,
    pub resume: ResumeFrom,
    /// Small request bodies are kept for as long as they may be needed once more.
    pub replay: bool,
}

/// Which requests are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Only what has provably not begun.
    Off,
    /// GET, HEAD and OPTIONS.
    Safe,
    /// PUT, DELETE and any with an Idempotency-Key too, within their pool.
    Idempotent,
}

/// Where the rest of a response that broke off may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeFrom {
    Nowhere,
    /// Its own pool.
    Pool,
    /// Other pools too: equal tags mean equal bytes there.
    Anywhere,
}

impl Default for Rescue {
    fn default() -> Rescue {
        Rescue { retry: Retry::Safe, hedge: true, held: true, resume: ResumeFrom::Pool, replay: true }
    }
}

/// The keys of a table; what it does not say is as in `otherwise`.
pub(super) fn read(table: &mut Table<'_>, otherwise: Rescue) -> Option<Rescue> {
    const FROM: [(&str, ResumeFrom); 3] =
        [("off", ResumeFrom::Nowhere), ("pool", ResumeFrom::Pool), ("anywhere", ResumeFrom::Anywhere)];
    let retry = table.or("retry", otherwise.retry, retry);
    let hedge = table.or("hedge", otherwise.hedge, Value::flag);
    let held = table.or("held", otherwise.held, Value::flag);
    let resume = table.or("resume", otherwise.resume, |value| value.choice(&FROM));
    let replay = table.or("replay", otherwise.replay, Value::flag);
    Some(Rescue {
        retry: retry?.value,
        hedge: hedge?.value,
        held: held?.value,
        resume: resume?.value,
        replay: replay?.value,
    })
}

/// `true`, `false`, or `{ idempotent = true }`.
fn retry(value: &Value<'_>) -> Option<Retry> {
    if value.is_table() {
        let idempotent = value.table(|table| table.or("idempotent", false, Value::flag))?;
        return Some(if idempotent.value { Retry::Idempotent } else { Retry::Safe });
    }
    value.flag().map(|on| if on { Retry::Safe } else { Retry::Off })
}

#[cfg(test)]
mod tests {
    use super::super::sites::Found;
    use super::super::{Config, parse};
    use super::*;
    use std::io::ErrorKind;

    fn config(text: &str) -> Config {
        let listener = "[[listener]]\naddress = '[::]:80'\n";
        parse("test.toml", &format!("{listener}{text}"), &|_| Err(ErrorKind::NotFound.into()))
            .unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn backend(name: &str, keys: &str) -> String {
        format!("[[backend]]\nname = '{name}'\nprimary = {{ name = 'p', endpoints = ['10.1.0.1:80'] }}\n{keys}\n")
    }

    fn site(host: &str, backend: &str, keys: &str) -> String {
        format!("[[site]]\nhosts = ['{host}']\nbackend = '{backend}'\n{keys}\n")
    }

    fn of(config: &Config, host: &str) -> Rescue {
        match config.sites.find(host, "/") {
            Found::Site(site) => site.rescue,
            Found::UnknownHost | Found::UnknownPath => panic!("{host}"),
        }
    }

    const OFF: &str = "retry = false\nhedge = false\nheld = false\nresume = 'off'\nreplay = false";
    const ALL_OFF: Rescue =
        Rescue { retry: Retry::Off, hedge: false, held: false, resume: ResumeFrom::Nowhere, replay: false };

    #[test]
    fn a_site_has_what_its_backend_says_where_it_says_nothing() {
        let config = config(
            &[backend("off", OFF), backend("on", ""), site("a", "off", ""), site("b", "on", "")].concat(), // in this order
        );
        assert_eq!((of(&config, "a"), config.backends[0].rescue), (ALL_OFF, ALL_OFF));
        assert_eq!((of(&config, "b"), config.backends[1].rescue), (Rescue::default(), Rescue::default()));
    }

    #[test]
    fn without_a_site_every_host_has_what_the_backend_says() {
        assert_eq!(of(&config(&backend("off", OFF)), "anything"), ALL_OFF);
    }

    #[test]
    fn each_key_of_a_site_overrules_that_one_of_its_backend_and_no_other() {
        for (key, expected) in [
            ("retry = true", Rescue { retry: Retry::Safe, ..ALL_OFF }),
            ("retry = {}", Rescue { retry: Retry::Safe, ..ALL_OFF }),
            ("retry = { idempotent = true }", Rescue { retry: Retry::Idempotent, ..ALL_OFF }),
            ("hedge = true", Rescue { hedge: true, ..ALL_OFF }),
            ("held = true", Rescue { held: true, ..ALL_OFF }),
            ("resume = 'pool'", Rescue { resume: ResumeFrom::Pool, ..ALL_OFF }),
            ("resume = 'anywhere'", Rescue { resume: ResumeFrom::Anywhere, ..ALL_OFF }),
            ("replay = true", Rescue { replay: true, ..ALL_OFF }),
        ] {
            let config = config(&[backend("off", OFF), site("a", "off", key), site("b", "off", "")].concat());
            assert_eq!(of(&config, "a"), expected, "{key}");
            assert_eq!((of(&config, "b"), config.backends[0].rescue), (ALL_OFF, ALL_OFF), "{key}: nobody else's");
        }
        let config = config(&[backend("on", "retry = { idempotent = true }"), site("a", "on", OFF)].concat());
        assert_eq!(of(&config, "a"), ALL_OFF);
    }
}
