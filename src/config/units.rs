//! How durations, sizes and shares are written in the file, and how they are said in messages.
//!
//! A bare number is none of these: `timeout = 30` means seconds to one reader and milliseconds to the next.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// No timeout is shorter than a clock tick, or longer than a day.
pub(super) const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);

/// Milliseconds in each unit of a duration, largest first.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes in each unit of a size, largest first. Only powers of 1,024: "KB" means 1,000 to some and 1,024 to others.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// `500ms`, `30s`, `1m 30s`, `2h`: whole numbers with units, larger units first, spaces as one likes.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut units = DURATION_UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = amount(rest)?;
        let (_, worth) = units.find(|(name, _)| *name == unit)?; // `find` goes on from the last one: no unit twice
        total = total.checked_add(number.checked_mul(*worth)?)?;
        rest = after;
    }
    (!text.trim().is_empty()).then(|| Duration::from_millis(total))
}

/// `0B`, `64KiB`, `1MiB`, `2GiB`: one whole number with its unit, in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit, rest) = amount(text.trim())?;
    let (_, worth) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    rest.is_empty().then(|| number.checked_mul(*worth))?
}

/// `50%`: a whole number; its range is the reader's business.
pub(super) fn percent(text: &str) -> Option<u64> {
    whole(text.trim().strip_suffix('%')?.trim_end())
}

/// The first number of `text`, its unit, and what follows.
fn amount(text: &str) -> Option<(u64, &str, &str)> {
    let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    Some((whole(number)?, unit, rest.trim_start()))
}

/// `u64::from_str` would take a sign.
fn whole(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A duration as the file would have it.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        let mut gap = "";
        for (unit, worth) in DURATION_UNITS {
            if left >= worth {
                write!(f, "{gap}{}{unit}", left / worth)?;
                left %= worth;
                gap = " ";
            }
        }
        Ok(())
    }
}

/// A size as the file would have it, in the largest unit that says it exactly.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS.iter().find(|(_, worth)| self.0 != 0 && self.0.is_multiple_of(*worth));
        let (unit, worth) = exact.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / worth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_whole_numbers_with_units_larger_units_first() {
        let milliseconds = |text| duration(text).map(|duration| duration.as_millis());
        for (text, expected) in
            [("500ms", 500), ("30s", 30_000), ("1m 30s", 90_000), (" 1h1ms ", 3_600_001), ("0s", 0), ("2 m", 120_000)]
        {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
        for text in
            ["", " ", "30", "s", "1.5s", "-1s", "+1s", "30 sec", "1s 1s", "1s 1m", "1s,", "1d", "99999999999999999999s"]
        {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024_and_have_one_unit() {
        for (text, expected) in [("0B", 0), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("2GiB", 2 << 30)] {
            assert_eq!(size(text), Some(expected), "{text}");
        }
        for text in ["", "64", "8KB", "8k", "1MiB 1KiB", "-1B", "17179869184GiB", "1.5MiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn percentages_are_whole_numbers_with_a_sign() {
        assert_eq!(percent("50%"), Some(50));
        assert_eq!(percent("0 %"), Some(0));
        for text in ["50", "%", "0.5%", "-1%", "+1%", "50%%"] {
            assert_eq!(percent(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_said_is_what_would_be_read(millis in 0u64..100_000_000, bytes in any::<u64>()) {
            let spoken = Duration::from_millis(millis);
            prop_assert_eq!(duration(&Span(spoken).to_string()), Some(spoken));
            prop_assert_eq!(size(&Bytes(bytes).to_string()), Some(bytes));
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let _ = (duration(&text), size(&text), percent(&text));
        }
    }
}
