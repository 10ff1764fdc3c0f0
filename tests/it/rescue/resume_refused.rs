//! What is not certainly the rest of the very same thing is not appended: the client's body is cut too, which it can see.

use super::resume::{LENGTH, by_range, cut, get, is_whole, part, rest, rest_fields};
use super::{PATIENT, calm, endpoints, is_cut};
use crate::harness::client::request;
use crate::harness::{Act, Door, Endpoint};

/// Where it breaks off.
const AT: usize = 30_000;

/// The whole with these fields, cut; and a rest.
async fn comes_to(door: &Door, a: &Endpoint, first: &str, second: Act) -> Result<(), usize> {
    let fields = format!("content-length: {LENGTH}\r\n{first}");
    a.set("/file", by_range(Act::WriteAndClose(part(200, &fields, 0, AT)), second));
    let before = a.count("get /file");
    let got = get(door).await;
    let asked = a.count("get /file") - before;
    if is_cut(&got) {
        return Err(asked);
    }
    is_whole(&got);
    Ok(())
}

const DATE: &str = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
const LATER: &str = "last-modified: Sun, 06 Nov 1994 08:49:38 GMT\r\n";

#[tokio::test(flavor = "local")]
async fn a_rest_of_something_else_is_refused() {
    let [a] = endpoints(["a"]).await;
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    let tag = "etag: \"v1\"\r\n";
    let with = |first: &str, second: &str| {
        let rest = part(206, &format!("{}{second}", rest_fields(AT)), AT, LENGTH);
        (format!("{tag}{first}"), Act::Write(rest))
    };
    let range = |range: &str, length: usize| {
        let fields = format!("content-length: {length}\r\n{range}{tag}");
        (tag.to_owned(), Act::Write(part(206, &fields, LENGTH - length, LENGTH)))
    };
    let length = LENGTH - AT;
    let tagged = |second: &str| {
        let fields = format!("content-length: {length}\r\ncontent-range: bytes 30000-99999/100000\r\n{second}");
        (tag.to_owned(), Act::Write(part(206, &fields, AT, LENGTH)))
    };
    let kind = ("content-type: text/plain\r\n", "content-type: text/html\r\n");
    let coding = ("content-encoding: gzip\r\n", "content-encoding: br\r\n");
    for (first, second) in [
        with("", ""),
        with(DATE, DATE),
        with(kind.0, kind.0),
        with(coding.0, coding.0),
        range("content-range: bytes 30000-99999/100000\r\n", length),
    ] {
        assert_eq!(comes_to(&door, &a, &first, second.clone()).await, Ok(()), "{first}");
    }
    let whole = format!("content-length: {LENGTH}\r\n{tag}");
    let chunked = "transfer-encoding: chunked\r\ncontent-range: bytes 30000-99999/100000\r\netag: \"v1\"\r\n";
    for (what, (first, second)) in [
        ("another tag", tagged("etag: \"v2\"\r\n")),
        ("a weak tag", tagged("etag: W/\"v1\"\r\n")),
        ("no tag", tagged("")),
        ("another date", with(DATE, LATER)),
        ("no date any more", with(DATE, "")),
        ("a date now", with("", DATE)),
        ("another type", with(kind.0, kind.1)),
        ("no type any more", with(kind.0, "")),
        ("another coding", with(coding.0, coding.1)),
        ("a coding now", with("", coding.0)),
        ("another total length", range("content-range: bytes 30000-99999/100001\r\n", length)),
        ("an unknown total length", range("content-range: bytes 30000-99999/*\r\n", length)),
        ("a range that begins earlier", range("content-range: bytes 29999-99999/100000\r\n", length + 1)),
        ("a range that begins later", range("content-range: bytes 30001-99999/100000\r\n", length - 1)),
        ("a range that ends earlier", range("content-range: bytes 30000-99998/100000\r\n", length)),
        ("a length that is not the range's", range("content-range: bytes 30000-99999/100000\r\n", length - 1)),
        ("no range", range("", length)),
        ("no length", (tag.to_owned(), Act::WriteAndClose(part(206, chunked, AT, AT)))),
        ("the whole anew", (tag.to_owned(), Act::Write(part(200, &whole, 0, LENGTH)))),
        ("a rest that is said to be the whole", (tag.to_owned(), Act::Write(part(200, &rest_fields(AT), AT, LENGTH)))),
        ("nothing of it", (tag.to_owned(), Act::Write(part(416, "content-length: 0\r\n", 0, 0)))),
    ] {
        assert_eq!(comes_to(&door, &a, &first, second).await, Err(2), "{what}");
    }
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn what_cannot_go_on_is_not_asked_for() {
    let [a] = endpoints(["a"]).await;
    let door = calm(&[&a], &[]).backend(PATIENT).start().await;
    for (what, first) in [
        ("a weak tag", "etag: W/\"v1\"\r\n"),
        ("no tag", ""),
        ("no quotes", "etag: v1\r\n"),
        ("no ranges", "etag: \"v1\"\r\naccept-ranges: none\r\n"),
    ] {
        assert_eq!(comes_to(&door, &a, first, rest(AT)).await, Err(1), "{what}");
    }
    // A part of it, as the client asked for; and something that is not a page that was found.
    for status in [206, 404] {
        let fields = format!("content-length: {LENGTH}\r\netag: \"v1\"\r\n");
        a.set("/file", Act::WriteAndClose(part(status, &fields, 0, AT)));
        let before = a.count("get /file");
        let mut asks = request("GET", "/file", "");
        asks.headers_mut().insert("range", "bytes=0-".parse().unwrap());
        assert!(is_cut(&door.client().send(asks).await), "{status}");
        assert_eq!(a.count("get /file"), before + 1, "{status}");
    }
    // Whoever posts gets no rest.
    a.set("/file", by_range(cut(AT), rest(AT)));
    assert!(is_cut(&door.client().send(request("POST", "/file", "x")).await));
    assert_eq!(a.count("post /file"), 1);
    door.stop().await;
}

#[tokio::test(flavor = "local")]
async fn with_resume_off_nothing_goes_on() {
    let [a, b] = endpoints(["a", "b"]).await;
    let door = calm(&[&a], &[&b]).backend(PATIENT).backend("resume = \"off\"").start().await;
    assert_eq!(comes_to(&door, &a, "etag: \"v1\"\r\n", rest(AT)).await, Err(1));
    assert_eq!(b.seen().len(), 0);
    door.stop().await;
}
