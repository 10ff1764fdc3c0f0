//! No message means two things: what a client sends in raw bytes, and what the endpoint then gets to see of it.

use crate::harness::{Door, Endpoint};

/// What must come of a request.
enum Must {
    /// Refused, and the endpoint sees nothing.
    Refuse(u16),
    /// Passed on, with these in the head that the endpoint sees and those not in it.
    Pass { with: &'static [&'static str], without: &'static [&'static str] },
    /// Passed on or not; never more than one request at the endpoint, and the connection closes.
    OneAtMost,
}
use Must::{OneAtMost, Pass, Refuse};

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test(flavor = "local")]
async fn one_message_means_one_thing() {
    let cases: &[(&str, &[u8], Must)] = &[
        ("RFC 9112 6.1: both lengths", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", OneAtMost),
        ("RFC 9112 6.1: both lengths, the other way round", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 60\r\n\r\n0\r\n\r\n", OneAtMost),
        ("RFC 9112 6.3: the same length twice", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", Pass { with: &["content-length: 3"], without: &["3, 3"] }),
        ("RFC 9112 6.3: lengths that differ", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", Refuse(400)),
        ("RFC 9112 6.3: a list of lengths", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3, 3\r\n\r\nabc", Refuse(400)),
        ("RFC 9112 6.3: a signed length", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +3\r\n\r\nabc", Refuse(400)),
        ("RFC 9112 6.1: unknown coding", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Refuse(400)),
        ("RFC 9112 6.1: chunked is not last", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", Refuse(400)),
        ("RFC 9112 6.1: vertical tab before chunked", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refuse(400)),
        ("RFC 9112 6.1: Transfer-Encoding in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refuse(400)),
        ("RFC 9112 6.1: another coding before chunked", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refuse(400)),
        ("RFC 9112 6.1: chunked twice", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refuse(400)),
        ("RFC 9112 5.1: space before the colon", b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", Refuse(400)),
        ("RFC 9112 5.2: a folded line", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\n\r\n", Refuse(400)),
        ("RFC 9110 5.5: a bare CR in a value", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b\rc\r\n\r\n", Refuse(400)),
        ("RFC 9110 5.5: a NUL in a value", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b\0c\r\n\r\n", Refuse(400)),
        ("RFC 9112 2.2: bare LF line ends are made CRLF", b"GET / HTTP/1.1\nHost: localhost\n\n", Pass { with: &["get / http/1.1\r\n", "host: localhost\r\n"], without: &[] }),
        ("RFC 9112 3.2: no Host", b"GET / HTTP/1.1\r\n\r\n", Refuse(400)),
        ("RFC 9112 3.2: two Hosts", b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", Refuse(400)),
        ("RFC 9112 3.2.2: an absolute target wins over Host", b"GET http://localhost/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", Pass { with: &["get /x http/1.1", "host: localhost\r\n"], without: &["evil"] }),
        ("RFC 9112 3.2.3: a host in the target's place", b"GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", Refuse(400)),
        ("RFC 9112 7.1.1: a chunk size in hexadecimal notation", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", OneAtMost),
        ("RFC 9112 7.1: chunk lines that end in LF", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", OneAtMost),
        ("RFC 9112 7.1: a chunk longer than it says", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n", OneAtMost),
        ("RFC 9110 6.5.1: a length among the trailers", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n", Pass { with: &[], without: &["content-length: 9"] }),
        ("RFC 9110 7.6.1: Connection names the length", b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\nabc", Pass { with: &["content-length: 3"], without: &[] }),
        ("RFC 9110 9.3.1: a body of GET in chunks", b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Pass { with: &["transfer-encoding: chunked"], without: &[] }),
        ("RFC 3986 2.1: bytes past ASCII in the target", b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n", Pass { with: &["get /caf%c3%a9 http"], without: &[] }),
        ("RFC 9112 3.2.1: a fragment in the target", b"GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n", Pass { with: &["get /a http"], without: &["#"] }),
        ("a field that CGI reads as Content-Length", b"GET / HTTP/1.1\r\nHost: localhost\r\nContent_Length: 9\r\n\r\n", Pass { with: &[], without: &["content_length"] }),
        ("CVE-2016-5385: Proxy", b"GET / HTTP/1.1\r\nHost: localhost\r\nProxy: http://evil\r\n\r\n", Pass { with: &[], without: &["evil"] }),
        ("RFC 9110 9.3.6: CONNECT", b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", Refuse(405)),
        ("RFC 9110 9.3.8: TRACE", b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", Refuse(405)),
        ("RFC 9110 4.2.4: user information in the authority", b"GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n", Refuse(400)),
    ];
    let primary = Endpoint::start("main").await;
    let door = Door::builder().primary(&primary).start().await;
    for (name, bytes, must) in cases {
        let before = primary.seen().len();
        let mut raw = door.client().raw().await;
        raw.write(bytes).await;
        // A request of its own behind it: whoever reads the first one as shorter or longer than we do would see another.
        let _closed = tokio::io::AsyncWriteExt::write_all(
            &mut raw.0,
            HIDDEN.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await;
        let answer = raw.read_to_end().await;
        let seen = primary.seen()[before..].to_vec();
        let own: Vec<_> = seen.iter().filter(|seen| !seen.line().contains("/hidden")).collect();
        match must {
            Refuse(status) => {
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer:?}");
                assert!(own.is_empty(), "{name}: the endpoint saw {own:?}");
            }
            Pass { with, without } => {
                assert!(answer.starts_with("HTTP/1.1 200 "), "{name}: {answer:?}");
                assert_eq!(own.len(), 1, "{name}: the endpoint saw {seen:?}");
                with.iter()
                    .for_each(|text| assert!(own[0].head.contains(text), "{name}: no {text:?} in {:?}", own[0].head));
                without
                    .iter()
                    .for_each(|text| assert!(!own[0].head.contains(text), "{name}: {text:?} in {:?}", own[0].head));
            }
            OneAtMost => {
                assert!(seen.len() <= 1, "{name}: the endpoint saw {seen:?}");
                for seen in &own {
                    let lengths = seen.field("content-length").len() + seen.field("transfer-encoding").len();
                    assert_eq!(lengths, 1, "{name}: the endpoint saw {seen:?}");
                }
            }
        }
    }
    door.stop().await;
}
