//! What may be appended to what.

use super::*;

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

const TAG: (&str, &str) = ("etag", "\"v1\"");

#[test]
fn only_all_of_something_with_a_strong_tag_can_go_on() {
    let of = |status: u16, given: &[(&'static str, &str)]| {
        Same::of(StatusCode::from_u16(status).unwrap(), &fields(given), 1_000).is_some()
    };
    assert!(of(200, &[TAG]) && of(200, &[TAG, ("accept-ranges", "bytes")]) && of(200, &[("etag", "\"\"")]));
    for tag in ["W/\"v1\"", "v1", "\"v1", "v1\"", "\"", ""] {
        assert!(!of(200, &[("etag", tag)]), "{tag}");
    }
    assert!(!of(200, &[]) && !of(200, &[TAG, ("accept-ranges", "none")]));
    for status in [201, 203, 206, 304, 404, 500] {
        assert!(!of(status, &[TAG]), "{status}");
    }
}

#[test]
fn only_the_rest_of_the_very_same_is_appended() {
    let (date, kind, coding) = (("last-modified", "then"), ("content-type", "a/b"), ("content-encoding", "gzip"));
    let same = Same::of(StatusCode::OK, &fields(&[TAG, date, kind, coding]), 1_000).unwrap();
    let has = |status: u16, range: &str, length: Option<u64>, others: &[(&'static str, &str)]| {
        let mut given = fields(others);
        given.insert("content-range", range.parse().unwrap());
        same.has_rest(StatusCode::from_u16(status).unwrap(), &given, length, 400)
    };
    let all = [TAG, date, kind, coding];
    let (range, length) = ("bytes 400-999/1000", Some(600));
    assert!(has(206, range, length, &all));
    for status in [200, 203, 304, 416, 500] {
        assert!(!has(status, range, length, &all), "{status}");
    }
    for other in [
        "bytes 399-999/1000",
        "bytes 401-999/1000",
        "bytes 400-998/1000",
        "bytes 400-999/1001",
        "bytes 400-999/*",
        "bytes */1000",
        "pages 400-999/1000",
        "400-999/1000",
        "bytes 400-999/1000, 0-1/1000",
        "",
    ] {
        assert!(!has(206, other, length, &all), "{other}");
    }
    for other in [None, Some(0), Some(599), Some(601), Some(1_000)] {
        assert!(!has(206, range, other, &all), "{other:?}");
    }
    for at in 0..all.len() {
        let mut less = all.to_vec();
        let (name, _) = less.remove(at);
        assert!(!has(206, range, length, &less), "without {name}");
        less.push((name, "\"another\""));
        assert!(!has(206, range, length, &less), "another {name}");
    }
    assert!(!same.has_rest(StatusCode::PARTIAL_CONTENT, &fields(&all), length, 400), "no range");
}

#[test]
fn what_was_not_said_of_the_whole_may_not_be_said_of_the_rest() {
    let same = Same::of(StatusCode::OK, &fields(&[TAG]), 10).unwrap();
    let has = |more: &[(&'static str, &str)]| {
        let mut given = fields(more);
        given.extend(fields(&[TAG, ("content-range", "bytes 4-9/10")]));
        same.has_rest(StatusCode::PARTIAL_CONTENT, &given, Some(6), 4)
    };
    assert!(has(&[]) && has(&[("date", "now")]));
    assert!(
        !has(&[("content-encoding", "gzip")]) && !has(&[("last-modified", "now")]) && !has(&[("content-type", "a/b")])
    );
}
