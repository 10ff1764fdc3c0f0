//! How much of a response is kept, and how it is passed on.

use super::*;
use http_body_util::{Empty, Full, StreamBody};

fn of(fields: &[(&'static str, &str)], body: impl http_body::Body<Data = Bytes>) -> Keep {
    let mut response = Response::new(body);
    for (name, value) in fields {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    Keep::of(&response)
}

fn unknown() -> impl http_body::Body<Data = Bytes> {
    StreamBody::new(futures_util::stream::empty::<Result<Frame<Bytes>, std::convert::Infallible>>())
}

fn full(length: usize) -> Full<Bytes> {
    Full::new(vec![0; length].into())
}

#[test]
fn a_body_of_known_length_is_kept_whole_up_to_64_kib() {
    for (length, keep) in
        [(1, Keep::Whole { length: 1 }), (64 * 1024, Keep::Whole { length: 64 * 1024 }), (64 * 1024 + 1, Keep::Nothing)]
    {
        assert_eq!(of(&[], full(length)), keep);
    }
    let events = [("content-type", "text/event-stream")];
    assert_eq!(of(&events, full(5)), Keep::Whole { length: 5 }, "it ends, and its length is known");
}

#[test]
fn what_counts_is_the_body_and_not_what_the_head_says_of_it() {
    for length in ["1000", "100000"] {
        // A response to HEAD, or a 304.
        assert_eq!(of(&[("content-length", length)], Empty::new()), Keep::Whole { length: 0 });
    }
}

#[test]
fn of_a_body_of_unknown_length_the_beginning_is_kept_unless_it_must_not_wait() {
    for (name, value, keep) in [
        ("content-type", "text/html", Keep::Beginning),
        ("content-type", "text/event-stream", Keep::Nothing),
        ("content-type", "Text/Event-Stream; charset=utf-8", Keep::Nothing),
        ("content-type", "application/grpc+proto", Keep::Nothing),
        ("content-type", "text/event", Keep::Beginning),
        ("x-accel-buffering", "no", Keep::Nothing),
        ("x-accel-buffering", "No", Keep::Nothing),
        ("x-accel-buffering", "yes", Keep::Beginning),
    ] {
        assert_eq!(of(&[(name, value)], unknown()), keep, "{name}: {value}");
    }
    assert_eq!(of(&[], unknown()), Keep::Beginning);
}

fn data(bytes: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(bytes.as_bytes()))
}

#[test]
fn pieces_are_passed_on_in_order_and_leave_their_room() {
    let rooms = crate::upstream::Rooms::alone(100);
    let mut pieces = Pieces { room: rooms.take(50), ..Pieces::default() };
    for piece in ["", "one", ", two", "", ", three"] {
        pieces.add(data(piece));
    }
    assert_eq!((pieces.bytes(), pieces.size_hint().exact()), (15, Some(15)));
    assert_eq!(pieces.take_next().unwrap().into_data().unwrap(), "one");
    assert_eq!((pieces.bytes(), pieces.size_hint().exact(), rooms.taken()), (12, Some(12), 50));
    assert_eq!(pieces.take_next().unwrap().into_data().unwrap(), ", two, three");
    assert!(pieces.is_empty() && pieces.take_next().is_none());
    assert_eq!(rooms.taken(), 0);
}

#[test]
fn with_trailers_no_length_is_told() {
    let mut pieces = Pieces::default();
    pieces.add(data("page"));
    pieces.add(Frame::trailers(HeaderMap::from_iter([(header::ETAG, "\"x\"".parse().unwrap())])));
    assert_eq!((pieces.bytes(), pieces.size_hint().exact()), (4, None));
    assert_eq!(pieces.take_next().unwrap().into_data().unwrap(), "page");
    assert!(!pieces.is_empty(), "the trailers are to come");
    assert!(pieces.take_next().unwrap().is_trailers() && pieces.is_empty());
}

#[test]
fn nothing_kept_is_an_empty_body() {
    let pieces = Pieces::default();
    assert!(pieces.is_empty());
    assert_eq!(pieces.size_hint().exact(), Some(0));
}
