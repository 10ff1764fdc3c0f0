//! What is a PROXY header and what is not, by the specification's own words, and by arbitrary bytes.

use super::*;
use crate::config::ProxyVersion;
use crate::upstream::ProxyHeader;
use NotIntroduced::{Malformed, Missing, TooLong};
use proptest::prelude::*;

fn pair(client: &str, at: &str) -> Ends {
    Ends { client: client.parse().unwrap(), at: at.parse().unwrap() }
}

/// A header of version 2 with these two bytes, and this after the fixed part.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

const FOUR: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 1, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn a_line_names_both_ends() {
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n", pair("192.0.2.7:56324", "192.0.2.1:443")),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", pair("255.255.255.255:65535", "0.0.0.0:0")),
        ("PROXY TCP6 2001:db8::7 ::1 1 2\r\n", pair("[2001:db8::7]:1", "[::1]:2")),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", pair("192.0.2.7:1", "[::1]:2")),
    ] {
        let whole = Read::Whole { ends: Some(expected), length: line.len() };
        assert_eq!(read(line.as_bytes()), Ok(whole), "{line}");
        assert_eq!(read(format!("{line}GET / HTTP/1.1\r\n").as_bytes()), Ok(whole), "{line}");
    }
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 anything at all \0\r\n", "PROXY UNKNOWN \r\n"] {
        assert_eq!(read(line.as_bytes()), Ok(Read::Whole { ends: None, length: line.len() }), "{line}");
    }
}

#[test]
fn a_line_that_is_not_exact_is_refused() {
    for line in [
        "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\rX",
        "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443 1\r\n",
        "PROXY TCP4  192.0.2.7 192.0.2.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 56324\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 +56324 443\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 056324 443\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 00 443\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1  443\r\n",
        "PROXY TCP4 192.0.2.07 192.0.2.1 1 443\r\n",
        "PROXY TCP4 192.0.2 192.0.2.1 1 443\r\n",
        "PROXY TCP4 ::1 ::1 1 443\r\n",
        "PROXY TCP6 192.0.2.7 192.0.2.1 1 443\r\n",
        "PROXY TCP6 fe80::1%1 ::1 1 443\r\n",
        "PROXY tcp4 192.0.2.7 192.0.2.1 1 443\r\n",
        "PROXY UDP4 192.0.2.7 192.0.2.1 1 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(read(line.as_bytes()), Err(Malformed), "{line:?}");
    }
    for other in
        ["GET / HTTP/1.1\r\n", "PROXY\tTCP4", "PROXY\r\n", "proxy TCP4 ", "\x16\x03\x01", "\r\n\r\nGET", "PRI * H"]
    {
        assert_eq!(read(other.as_bytes()), Err(Missing), "{other:?}");
    }
    let longest = format!("PROXY UNKNOWN{}\r\n", " ".repeat(LINE - 15));
    assert_eq!(read(longest.as_bytes()), Ok(Read::Whole { ends: None, length: LINE }));
    assert_eq!(read(longest.replace(" \r", "  \r").as_bytes()), Err(TooLong));
    assert_eq!(read(&[b"PROXY UNKNOWN", &[b' '; 94][..]].concat()), Err(TooLong), "that no end can come to any more");
}

#[test]
fn a_binary_header_names_both_ends_and_what_else_it_has_is_skipped() {
    let expected = Some(pair("192.0.2.7:56324", "192.0.2.1:443"));
    let plain = v2(0x21, 0x11, &FOUR);
    assert_eq!(read(&plain), Ok(Read::Whole { ends: expected, length: 28 }));
    let more =
        v2(0x21, 0x11, &[&FOUR[..], &tlv(0x02, b"www.example.org"), &tlv(0x04, &[0; 200]), &tlv(0xe5, b"")].concat());
    let followed = [&more[..], b"\x16\x03\x01"].concat();
    assert_eq!(read(&followed), Ok(Read::Whole { ends: expected, length: more.len() }));
    let mapped = [&[0; 10][..], &[0xff; 2], &[192, 0, 2, 7], &[0; 15], &[1, 0, 5, 0, 6]].concat();
    let ends = Some(pair("192.0.2.7:5", "[::1]:6"));
    assert_eq!(read(&v2(0x21, 0x21, &mapped)), Ok(Read::Whole { ends, length: 52 }));
}

#[test]
fn a_connection_of_the_proxys_own_and_one_without_addresses_are_taken() {
    for header in [
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, &FOUR),
        v2(0x20, 0x77, b"a family that nobody knows"),
        v2(0x21, 0x00, b"anything"),
        v2(0x21, 0x31, &[0; 216]),
    ] {
        assert_eq!(read(&header), Ok(Read::Whole { ends: None, length: header.len() }), "{header:x?}");
    }
}

#[test]
fn a_binary_header_that_is_not_exact_is_refused() {
    for (header, why) in [
        (v2(0x11, 0x11, &FOUR), "another version"),
        (v2(0x22, 0x11, &FOUR), "another command"),
        (v2(0x21, 0x12, &FOUR), "datagrams"),
        (v2(0x21, 0x10, &FOUR), "neither stream nor datagrams"),
        (v2(0x21, 0x41, &FOUR), "another family"),
        (v2(0x21, 0x11, &FOUR[1..]), "too short for its addresses"),
        (v2(0x21, 0x21, &FOUR), "too short for its addresses"),
        (v2(0x21, 0x31, &[0; 215]), "too short for its addresses"),
        (v2(0x21, 0x11, &[&FOUR[..], &[4, 0]].concat()), "a TLV without a length"),
        (v2(0x21, 0x11, &[&FOUR[..], &[4, 0, 2, 0]].concat()), "a TLV longer than the header"),
        (v2(0x21, 0x11, &[&FOUR[..], &tlv(CRC32C, &[0; 4])].concat()), "a wrong checksum"),
        (v2(0x21, 0x11, &[&FOUR[..], &tlv(CRC32C, &[0; 3])].concat()), "a checksum that is none"),
    ] {
        assert_eq!(read(&header), Err(Malformed), "{why}");
    }
    assert_eq!(read(&v2(0x20, 0, &vec![0; MOST - FIXED])), Ok(Read::Whole { ends: None, length: MOST }));
    assert_eq!(read(&v2(0x20, 0, &vec![0; MOST - FIXED + 1])[..FIXED]), Err(TooLong), "before any of it is read");
}

#[test]
fn a_checksum_must_be_right_and_there_only_once() {
    assert_eq!(crc32c(b"", b""), 0x4867_4bc7, "four zeros");
    let with = |value: u32| [&FOUR[..], &tlv(CRC32C, &value.to_be_bytes()), &tlv(0x05, b"id")].concat();
    let zeroed = v2(0x21, 0x11, &with(0));
    let at = FIXED + FOUR.len() + 3;
    let right = crc32c(&zeroed[..at], &zeroed[at + 4..]);
    assert!(matches!(read(&v2(0x21, 0x11, &with(right))), Ok(Read::Whole { ends: Some(_), .. })));
    for bit in 0..32 {
        assert_eq!(read(&v2(0x21, 0x11, &with(right ^ (1 << bit)))), Err(Malformed));
    }
    let twice = [&with(right)[..], &tlv(CRC32C, &right.to_be_bytes())].concat();
    assert_eq!(read(&v2(0x21, 0x11, &twice)), Err(Malformed));
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port)));
    prop_oneof![v4, any::<([u16; 8], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port)))]
}

/// Bytes that come near a header: arbitrary ones seldom get past the first.
fn near() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        Just(b"PROXY TCP4 ".to_vec()),
        Just(b"PROXY TCP6 ".to_vec()),
        Just(SIGNATURE.to_vec()),
        Just(Vec::new())
    ];
    (start, prop::collection::vec(any::<u8>(), 0..600)).prop_map(|(start, rest)| [start, rest].concat())
}

proptest! {
    #[test]
    fn what_we_write_is_read_and_means_the_same(client in addresses(), at in addresses(), rest in any::<Vec<u8>>()) {
        let said = ends((client.ip(), client.port()), (at.ip(), at.port()));
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let header = ProxyHeader { version, ends: Some(Ends { client, at }) }.bytes();
            let whole = Read::Whole { ends: Some(said), length: header.len() };
            prop_assert_eq!(read(&[&header[..], &rest].concat()), Ok(whole));
            for part in 0..header.len() {
                prop_assert_eq!(read(&header[..part]), Ok(Read::Part));
            }
        }
    }

    #[test]
    fn no_bytes_are_too_odd_and_none_past_the_header_are_looked_at(bytes in near()) {
        match read(&bytes) {
            Ok(Read::Part) => prop_assert!(bytes.len() < MOST),
            Ok(Read::Whole { length, .. }) => {
                prop_assert!(length <= bytes.len());
                prop_assert_eq!(read(&bytes[..length]), read(&bytes));
                for part in 0..length {
                    prop_assert_eq!(read(&bytes[..part]), Ok(Read::Part));
                }
            }
            // Whatever comes, it stays wrong.
            Err(why) => prop_assert_eq!(read(&[&bytes[..], b"\r\n"].concat()), Err(why)),
        }
    }
}
