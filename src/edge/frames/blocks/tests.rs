//! Which blocks have a pseudo-field, in each way to write one, wherever they are cut.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// An integer behind a prefix of so many bits; `first`: what stands before it in its first byte.
fn integer(value: u32, bits: u32, first: u8) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if value < most {
        return vec![first | u8::try_from(value).unwrap()];
    }
    let (mut bytes, mut rest) = (vec![first | u8::try_from(most).unwrap()], value - most);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn string(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let first = match coding {
        Coding::Plain => 0,
        Coding::Huffman => 0x80,
    };
    [integer(u32::try_from(bytes.len()).unwrap(), 7, first), bytes.to_vec()].concat()
}

fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], string(Coding::Plain, name), string(Coding::Plain, value)].concat()
}

/// A name that goes into the table.
fn entry(name: &[u8]) -> Vec<u8> {
    [vec![0x40], string(Coding::Plain, name), string(Coding::Plain, b"v")].concat()
}

/// A block in one frame, which passes in pieces of this size.
fn pass(blocks: &mut Blocks, section: Section, block: &[u8], size: usize) -> Result<(), Malformed> {
    blocks.begin(section, 0, block.len());
    block.chunks(size).try_for_each(|piece| blocks.pass(piece))
}

/// What is said of it as trailers, however it comes.
fn judged(block: &[u8]) -> Result<(), Malformed> {
    let whole = pass(&mut Blocks::new(), Section::Trailers, block, block.len().max(1));
    for size in 1..block.len() {
        let mut blocks = Blocks::new();
        assert_eq!(pass(&mut blocks, Section::Trailers, block, size), whole, "in pieces of {size}");
        blocks = Blocks::new();
        blocks.begin(Section::Trailers, 0, size);
        let cut = blocks.pass(&block[..size]).and_then(|()| {
            blocks.go_on(block.len() - size);
            blocks.pass(&block[size..])
        });
        assert_eq!(cut, whole, "cut at {size} by CONTINUATION");
    }
    whole
}

fn spellings() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for index in 1..=14 {
        all.push(integer(index, 7, 0x80));
        for (bits, first) in [(6, 0x40), (4, 0x00), (4, 0x10)] {
            all.push([integer(index, bits, first), string(Coding::Plain, b"value")].concat());
        }
    }
    for first in [0x40, 0x00, 0x10] {
        all.push([vec![first], string(Coding::Plain, b":path"), string(Coding::Plain, b"/")].concat());
        // ":path" and ":method" by Huffman's code: the colon's last bit is followed by a letter's first.
        for name in [&[0xb9, 0x58, 0xd3, 0x3f][..], &[0xb9, 0x49, 0x53, 0x39, 0xe4]] {
            all.push([vec![first], string(Coding::Huffman, name), string(Coding::Plain, b"/")].concat());
        }
        all.push([vec![first], string(Coding::Huffman, &[0xb8, 0x3f]), string(Coding::Plain, b"/")].concat());
    }
    all
}

#[test]
fn a_pseudo_field_is_found_however_it_is_written() {
    for field in spellings() {
        assert_eq!(judged(&field), Err(Malformed), "{field:x?}");
        let behind = [literal(b"x-sum", &[b'6'; 200]), vec![0x20], integer(100, 5, 0x20), field].concat();
        assert_eq!(judged(&behind), Err(Malformed), "{behind:x?}");
    }
}

#[test]
fn a_head_may_have_them() {
    for field in spellings() {
        assert_eq!(pass(&mut Blocks::new(), Section::Head, &field, 1), Ok(()));
    }
}

#[test]
fn the_clients_table_is_known_from_every_block_before() {
    let head = [entry(b":path"), entry(b"x-a"), literal(b"x-b", b""), vec![0x84], entry(b":x"), entry(b"x-c")].concat();
    for (index, expected) in [(62, Ok(())), (63, Err(Malformed)), (64, Ok(())), (65, Err(Malformed)), (66, Ok(()))] {
        for named in [integer(index, 7, 0x80), [integer(index, 4, 0), string(Coding::Plain, b"v")].concat()] {
            let mut blocks = Blocks::new();
            pass(&mut blocks, Section::Head, &head, 3).unwrap();
            assert_eq!(pass(&mut blocks, Section::Trailers, &named, 1), expected, "{index}");
        }
    }
}

#[test]
fn a_name_that_is_taken_from_the_table_is_put_there_again() {
    let mut blocks = Blocks::new();
    let again = [integer(62, 6, 0x40), string(Coding::Plain, b"other")].concat();
    pass(&mut blocks, Section::Head, &[entry(b":path"), again, entry(b"x-a")].concat(), 1).unwrap();
    assert_eq!(blocks.table, 0b110);
    assert_eq!(pass(&mut blocks, Section::Trailers, &[0xbf], 1), Err(Malformed));
}

#[test]
fn the_oldest_that_the_table_has_room_for_is_known_and_none_is_past_it() {
    let mut blocks = Blocks::new();
    pass(&mut blocks, Section::Head, &[entry(b":path"), entry(b"x").repeat(127)].concat(), 7).unwrap();
    assert_eq!(pass(&mut blocks, Section::Trailers, &integer(190, 7, 0x80), 1), Ok(()));
    assert_eq!(pass(&mut blocks, Section::Trailers, &integer(189, 7, 0x80), 1), Err(Malformed));
}

#[test]
fn padding_and_a_priority_are_no_fields() {
    let regular = literal(b"x-sum", b"6");
    let pseudo = [0x84];
    for (flags, before) in [(0x08, &[3][..]), (0x20, &[0x84; 5]), (0x28, &[3, 0x84, 0x84, 0x84, 0x84, 0x84])] {
        let padding = &[0x84; 3][..if flags == 0x20 { 0 } else { 3 }];
        for (block, expected) in [(&regular[..], Ok(())), (&pseudo[..], Err(Malformed))] {
            let payload = [before, block, padding].concat();
            for size in 1..=payload.len() {
                let mut blocks = Blocks::new();
                blocks.begin(Section::Trailers, flags, payload.len());
                let judged = payload.chunks(size).try_for_each(|piece| blocks.pass(piece));
                assert_eq!(judged, expected, "flags {flags:x} in pieces of {size}");
            }
        }
    }
}

/// Any field that is none, as no client in its right mind would write it.
fn regular() -> impl Strategy<Value = Vec<u8>> {
    let value = || {
        let text = vec(any::<u8>(), 0..300);
        prop_oneof![
            text.clone().prop_map(|text| string(Coding::Plain, &text)),
            text.prop_map(|text| string(Coding::Huffman, &text))
        ]
    };
    let name = (any::<bool>(), vec(any::<u8>(), 1..300))
        .prop_filter("a colon", |(huffman, name)| !matches!((huffman, name[0]), (false, b':') | (true, 0xb8 | 0xb9)))
        .prop_map(|(huffman, name)| string(if huffman { Coding::Huffman } else { Coding::Plain }, &name));
    let kind = prop_oneof![Just((6, 0x40)), Just((4, 0x00)), Just((4, 0x10))];
    prop_oneof![
        (15_u32..300).prop_map(|index| integer(index, 7, 0x80)),
        (0_u32..5_000).prop_map(|size| integer(size, 5, 0x20)),
        (kind.clone(), 15_u32..300, value()).prop_map(|((bits, first), index, value)| [
            integer(index, bits, first),
            value
        ]
        .concat()),
        (kind, name, value()).prop_map(|((_, first), name, value)| [vec![first], name, value].concat()),
    ]
}

proptest! {
    #[test]
    fn a_pseudo_field_is_found_among_any_others_and_none_where_none_is(
        before in vec(regular(), 0..8),
        after in vec(regular(), 0..3),
        pseudo in proptest::sample::select(spellings()),
        size in 1_usize..50,
    ) {
        let (before, after) = (before.concat(), after.concat());
        let mut blocks = Blocks::new();
        prop_assert_eq!(pass(&mut blocks, Section::Trailers, &[&before[..], &after].concat(), size), Ok(()));
        let with = [before, pseudo, after].concat();
        prop_assert_eq!(pass(&mut blocks, Section::Trailers, &with, size), Err(Malformed));
    }

    #[test]
    fn whatever_comes_is_read_to_its_end_and_however_it_comes(
        frames in vec((any::<u8>(), vec(any::<u8>(), 0..100)), 1..5),
        size in 1_usize..20,
    ) {
        let read = |size: usize| {
            let mut blocks = Blocks::new();
            frames.iter().map(|(flags, payload)| {
                match flags & 1 {
                    0 => blocks.go_on(payload.len()),
                    _ => blocks.begin(Section::Trailers, *flags, payload.len()),
                }
                payload.chunks(size).try_for_each(|piece| blocks.pass(piece))
            }).collect::<Vec<_>>()
        };
        let whole = read(100);
        let good = whole.iter().take_while(|judged| judged.is_ok()).count();
        prop_assert_eq!(&read(size)[..whole.len().min(good + 1)], &whole[..whole.len().min(good + 1)]);
    }
}
