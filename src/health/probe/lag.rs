//! How far a response says that its pool is behind: seconds, in the header that `lag_header` names.
//!
//! Not here: what follows from a lag (`domain`).

use crate::domain::Lag;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// What stood in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing, or nothing was looked for.
    Nothing,
    Behind(Duration),
    /// What can't be read, fit to be shown.
    Garbage(String),
}

impl Reading {
    pub fn lag(&self) -> Lag {
        match self {
            Reading::Behind(lag) => Lag::Behind(*lag),
            Reading::Nothing | Reading::Garbage(_) => Lag::Unknown,
        }
    }
}

/// What was said of an endpoint's garbage: the log has a line when it begins, and not one a second from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Said {
    #[default]
    Nothing,
    Garbage,
}

impl Said {
    /// The garbage that is to be told: the first, and the first after a value that could be read.
    pub fn hear<'a>(&mut self, reading: &'a Reading) -> Option<&'a str> {
        match (*self, reading) {
            (Said::Nothing, Reading::Garbage(text)) => {
                *self = Said::Garbage;
                Some(text)
            }
            (Said::Nothing | Said::Garbage, Reading::Behind(_)) => {
                *self = Said::Nothing;
                None
            }
            (Said::Garbage, Reading::Garbage(_)) | (Said::Nothing | Said::Garbage, Reading::Nothing) => None,
        }
    }
}

/// Reads the one value there should be; of two nobody knows which to believe.
pub(super) fn read(headers: &HeaderMap, name: &HeaderName) -> Reading {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Reading::Nothing,
        (Some(value), None) => seconds(value).map_or_else(|| Reading::Garbage(shown(value)), Reading::Behind),
        (Some(_), Some(_)) => Reading::Garbage("several values".to_owned()),
    }
}

/// Digits, with a decimal point among them or not: no sign, no exponent, no `NaN`, no `inf`.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim_matches([' ', '\t']);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: f64 = (digits(whole) && digits(fraction)).then(|| text.parse().ok())??;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Bytes from outside, cut short and without what could drive a terminal.
fn shown(value: &HeaderValue) -> String {
    const LONGEST: usize = 40;
    let text = String::from_utf8_lossy(value.as_bytes());
    let more = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    let start: String = text.chars().take(LONGEST).collect();
    format!("\"{}{more}\"", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-lag");

    fn reading(values: &[&[u8]]) -> Reading {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value).unwrap());
        }
        read(&headers, &NAME)
    }

    #[test]
    fn a_lag_is_a_number_of_seconds_with_decimals_or_without() {
        for (text, millis) in
            [("0", 0), ("0.5", 500), ("12", 12_000), (" 3.25 ", 3_250), ("007", 7_000), ("86400.0", 86_400_000)]
        {
            assert_eq!(reading(&[text.as_bytes()]), Reading::Behind(Duration::from_millis(millis)), "{text:?}");
        }
        assert_eq!(reading(&[b"0.5"]).lag(), Lag::Behind(Duration::from_millis(500)));
    }

    #[test]
    fn a_lag_that_is_missing_or_garbage_is_unknown() {
        assert_eq!((reading(&[]), reading(&[]).lag()), (Reading::Nothing, Lag::Unknown));
        for text in [
            "",
            " ",
            "-1",
            "+1",
            "-0",
            "NaN",
            "nan",
            "inf",
            "infinity",
            "NULL",
            "null",
            "1e3",
            "0x10",
            "1,5",
            "1.",
            ".5",
            ".",
            "1.5.2",
            "1s",
            "500ms",
            "1 2",
            "1_000",
            "unknown",
            "99999999999999999999999",
            "١",
        ] {
            let garbage = reading(&[text.as_bytes()]);
            assert!(matches!(garbage, Reading::Garbage(_)), "{text:?}: {garbage:?}");
            assert_eq!(garbage.lag(), Lag::Unknown);
        }
        assert!(matches!(reading(&[&[0xff, 0xfe]]), Reading::Garbage(_)));
        assert!(matches!(reading(&[b"1", b"1"]), Reading::Garbage(_)), "which of two?");
        assert!(matches!(reading(&["9".repeat(400).as_bytes()]), Reading::Garbage(_)));
    }

    #[test]
    fn garbage_is_shown_cut_and_escaped() {
        assert_eq!(reading(&[b"a\tb\"c"]), Reading::Garbage("\"a\\tb\\\"c\"".to_owned()));
        let Reading::Garbage(long) = reading(&["x".repeat(1_000).as_bytes()]) else { panic!() };
        assert_eq!(long.chars().count(), 43);
    }

    #[test]
    fn garbage_is_said_when_it_begins_and_again_only_after_a_good_value() {
        let (garbage, good) = (Reading::Garbage("\"NULL\"".to_owned()), Reading::Behind(Duration::ZERO));
        let mut said = Said::default();
        let heard = [&garbage, &garbage, &Reading::Nothing, &garbage, &good, &good, &garbage, &garbage];
        let told: Vec<bool> = heard.into_iter().map(|reading| said.hear(reading).is_some()).collect();
        assert_eq!(told, [true, false, false, false, false, false, true, false]);
    }
}
