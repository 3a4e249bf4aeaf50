//! The decoder beside zlib-rs: every encoder, every cut, rubbish, starts in the middle (RFC 1951).

use super::*;
use crate::compression::samples::{deflated, texture};
use std::io::Read;
use testkit::dice::Dice;

/// Unpacks `packed`, given in parts of `part` new bytes, through a window of `room`; what came before an error too.
fn unpack(packed: &[u8], part: usize, room: usize) -> (Vec<u8>, Result<usize, Broken>) {
    let mut out = vec![0_u8; WINDOW + room + SLACK];
    let (mut at, mut floor, mut all) = (WINDOW, WINDOW, Vec::new());
    let (mut end, mut position) = (part.min(packed.len()), 0);
    let mut deflate = Deflate::new();
    loop {
        let from = at;
        // Only what a piece holds: a lead and the part.
        let start = end.saturating_sub(part + LEAD_BYTES);
        let input = Input { bytes: &packed[start..end], last: end == packed.len() };
        let mut inside = position - start * 8;
        let stop = deflate.run(input, &mut inside, &mut out, &mut at, floor);
        position = start * 8 + inside;
        all.extend_from_slice(&out[from..at]);
        match stop {
            Ok(Stop::Block) => {}
            Ok(Stop::End) => return (all, Ok(position)),
            Ok(Stop::Input) => {
                assert!(end < packed.len(), "asks for more than there is");
                end = (end + part).min(packed.len());
            }
            Ok(Stop::Full) => {
                out.copy_within(at - WINDOW..at, 0);
                floor = floor.saturating_sub(at - WINDOW);
                at = WINDOW;
            }
            Err(broken) => return (all, Err(broken)),
        }
    }
}

fn zlib(packed: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut reader = flate2::bufread::DeflateDecoder::new(packed);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).ok()?;
    Some((all, reader.total_in() as usize))
}

#[test]
fn gives_what_was_packed_in_any_parts() {
    let mut random = Dice::new(0x5eed_0001);
    for round in 0..60 {
        let length = [0, 1, 500, 70_000, 400_000][round % 5];
        let bytes = texture(&mut random, length);
        let packed = deflated(&mut random, &bytes, (round / 5 % 10) as u32, round % 2 == 1);
        for (part, room) in [(usize::MAX / 4, 1 << 20), (700, 1 << 12), (50_000, 300)] {
            let (all, end) = unpack(&packed, part, room);
            assert_eq!(end.map(|p| p.div_ceil(8)), Ok(packed.len()), "round {round}, part {part}");
            assert!(all == bytes, "round {round}, part {part}");
        }
    }
}

#[test]
fn takes_and_refuses_what_zlib_does() {
    let mut random = Dice::new(0x5eed_0002);
    let mut taken = 0;
    for round in 0..3_000 {
        let bytes = texture(&mut random, 600);
        let flushes = round % 3 == 0;
        let mut packed = deflated(&mut random, &bytes, (round % 10) as u32, flushes);
        for _ in 0..1 + random.below(3) {
            // Most of it at the start, where the codes are.
            let end = if round % 2 == 0 { 40 } else { packed.len() };
            let at = random.below(end.min(packed.len()));
            packed[at] ^= 1 << random.below(8);
        }
        let ours = unpack(&packed, usize::MAX / 4, 5_000);
        match zlib(&packed) {
            Some((all, end)) => {
                taken += 1;
                assert_eq!(ours.1.map(|p| p.div_ceil(8)), Ok(end), "round {round}");
                assert!(ours.0 == all, "round {round}");
            }
            None => assert!(ours.1.is_err(), "round {round}: zlib refuses it"),
        }
    }
    assert!(taken > 100, "{taken}");
}

#[test]
fn rubbish_is_judged_as_zlib_judges_it() {
    let mut random = Dice::new(0x5eed_0003);
    for round in 0..20_000 {
        let mut packed: Vec<u8> = (0..200).map(|_| random.any() as u8).collect();
        // A last block with codes of its own, or with the fixed ones.
        packed[0] = packed[0] & !7 | [5, 3][round % 2];
        let ours = unpack(&packed, usize::MAX / 4, 5_000);
        match zlib(&packed) {
            Some((all, _)) => assert!(ours.1.is_ok() && ours.0 == all, "round {round}: {:?}", ours.1),
            None => assert!(ours.1.is_err(), "round {round}: zlib refuses it"),
        }
    }
}

#[test]
fn cut_anywhere_it_says_so_and_gives_what_came_before() {
    let mut random = Dice::new(0x5eed_0004);
    for level in [0, 1, 6, 9] {
        let bytes = texture(&mut random, 3_000);
        let packed = deflated(&mut random, &bytes, level, true);
        for end in 0..packed.len() {
            let (all, broken) = unpack(&packed[..end], usize::MAX / 4, 5_000);
            assert_eq!(broken, Err(Broken::Cut), "level {level}, {end} of {}", packed.len());
            assert!(bytes.starts_with(&all), "level {level}, {end}");
        }
    }
}

#[test]
fn from_the_middle_unknown_bytes_are_markers() {
    let mut random = Dice::new(0x5eed_0005);
    let bytes = texture(&mut random, 400_000);
    let packed = deflated(&mut random, &bytes, 6, true);
    let input = Input { bytes: &packed, last: true };
    let (mut deflate, mut position) = (Deflate::new(), 0);
    let mut out = vec![0_u8; WINDOW + bytes.len() + SLACK + 1];
    let mut at = WINDOW;
    let mut starts = 0;
    while deflate.run(input, &mut position, &mut out, &mut at, WINDOW) == Ok(Stop::Block) {
        let (mut other, mut behind) = (Deflate::new(), position);
        let mut symbols = vec![0_u16; 2 * WINDOW + SLACK];
        for (n, symbol) in symbols[..WINDOW].iter_mut().enumerate() {
            *symbol = MARKER + n as u16;
        }
        let (start, mut end) = (at, WINDOW);
        while other.run(input, &mut behind, &mut symbols, &mut end, 0) == Ok(Stop::Block) {}
        for (n, &symbol) in symbols[WINDOW..end].iter().enumerate() {
            let byte = bytes[start - WINDOW + n];
            if symbol < MARKER {
                assert_eq!(symbol, u16::from(byte));
            } else if let Some(known) = (start + usize::from(symbol - MARKER)).checked_sub(2 * WINDOW) {
                assert_eq!(bytes[known], byte);
            } else {
                panic!("refers to what is before the start");
            }
        }
        starts += 1;
    }
    assert!(starts > 5 && out[WINDOW..at] == bytes[..], "{starts}");
}

#[test]
fn says_what_is_wrong() {
    for (packed, why) in [
        (&[7_u8, 0][..], "invalid block type"),
        (&[1, 5, 0, 0, 0, 0], "invalid stored block lengths"),
        // One literal, then a match reaching before it, in the fixed codes.
        (&[0x4b, 0x04, 0x62, 0x00, 0x00, 0x00], "invalid distance too far back"),
        (&[0xfd, 0xff, 0xff, 0xff, 0xff], "too many length or distance symbols"),
    ] {
        assert_eq!(unpack(packed, usize::MAX / 4, 5_000).1, Err(Broken::Invalid(why)), "{packed:x?}");
    }
}
