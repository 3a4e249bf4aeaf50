//! gzip with helpers and without: the same bytes, the same verdict, the same words (RFC 1952).

use super::*;
use crate::compression::chunk::{Chunk, Reader, Unpack};
use crate::compression::crew::Helpers;
use crate::compression::pieces::Own;
use crate::compression::samples::{deflated, member, texture};
use std::io::{self, Read};
use testkit::dice::Dice;

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    Reader::new(Unpacked::new(Own::new(packed), Helpers::None)).read_to_end(&mut all).map(|_| all)
}

/// A member whose header has the fields that `flags` says.
fn with_header(flags: u8, bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 2, 255];
    if flags & 4 != 0 {
        packed.extend([6, 0, b'S', b'G', 2, 0, 9, 9]);
    }
    for (flag, text) in [(8, "a name"), (16, "a comment")] {
        if flags & flag != 0 {
            packed.extend(text.as_bytes());
            packed.push(0);
        }
    }
    if flags & 2 != 0 {
        let mut crc = flate2::Crc::new();
        crc.update(&packed);
        packed.extend((crc.sum() as u16).to_le_bytes());
    }
    let plain = member(&mut Dice::new(1), bytes, 6, false);
    packed.extend(&plain[10..]);
    packed
}

#[test]
fn members_of_every_size_and_header() {
    let mut random = Dice::new(0x5eed_0011);
    let (mut packed, mut bytes) = (Vec::new(), Vec::new());
    for flags in 0..32 {
        let part = texture(&mut random, [0, 10, 5_000, 300_000][usize::from(flags % 4)]);
        packed.extend(with_header(flags, &part));
        bytes.extend(part);
        assert!(unpack(&packed).unwrap() == bytes, "{flags}");
    }
    packed.extend([0; 1000]);
    assert!(unpack(&packed).unwrap() == bytes);
    // No field at all of its 65,535 bytes, and a name longer than a piece.
    let mut long = vec![0x1f, 0x8b, 8, 12, 0, 0, 0, 0, 0, 3, 0xff, 0xff];
    long.extend(vec![1; 65_535]);
    long.extend(vec![b'n'; 600_000]);
    long.push(0);
    long.extend(&member(&mut random, b"x", 1, false)[10..]);
    assert_eq!(unpack(&long).unwrap(), b"x");
}

#[test]
fn a_window_does_not_reach_into_the_member_before() {
    let mut random = Dice::new(0x5eed_0012);
    let whole = deflated(&mut random, &[b'a'; 1000], 6, false);
    // Its first literal cut off: the same match, at the start of a second member, would refer to the first.
    let mut second = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x03 | 0x02, 0x62, 0, 0];
    second.extend([0; 8]);
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    packed.extend(whole);
    let plain = member(&mut random, &[b'a'; 1000], 6, false);
    packed.extend(&plain[plain.len() - 8..]);
    assert_eq!(unpack(&packed).unwrap(), [b'a'; 1000]);
    packed.extend(second);
    assert_eq!(unpack(&packed).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn every_flipped_bit_is_found() {
    let mut random = Dice::new(0x5eed_0013);
    let bytes = texture(&mut random, 400);
    let mut packed = with_header(31, &bytes);
    packed.extend(member(&mut random, &bytes, 0, false));
    let twice = [&bytes[..], &bytes[..]].concat();
    let mut without_meaning = 0;
    for at in 0..packed.len() {
        for bit in 0..8 {
            let mut bad = packed.clone();
            bad[at] ^= 1 << bit;
            match unpack(&bad) {
                Err(_) => {}
                Ok(all) => {
                    assert!(all == twice, "byte {at}, bit {bit}");
                    without_meaning += 1;
                }
            }
        }
    }
    // Time, level, system and "is text" of the header without a checksum, and what fills a byte up.
    assert!((48..70).contains(&without_meaning), "{without_meaning}");
}

#[test]
fn cut_anywhere_but_between_members_it_says_so() {
    let mut random = Dice::new(0x5eed_0014);
    let bytes = texture(&mut random, 700);
    let mut packed = with_header(31, &bytes);
    let first = packed.len();
    packed.extend(member(&mut random, &bytes, 9, true));
    for end in 0..packed.len() {
        match unpack(&packed[..end]) {
            Ok(all) => assert!(end == first && all == bytes, "{end}"),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof, "{end}: {e}"),
        }
    }
}

#[test]
fn says_what_is_wrong_and_goes_on_saying_so() {
    let good = member(&mut Dice::new(1), b"some bytes", 6, false);
    let end = good.len();
    for (at, to, why) in [
        (2, 7, "unknown compression method"),
        (3, 0x20, "unknown header flags"),
        (end - 8, !good[end - 8], "checksum mismatch"),
        (end - 1, 1, "length mismatch"),
    ] {
        let mut bad = good.clone();
        bad[at] = to;
        assert_eq!(unpack(&bad).unwrap_err().to_string(), why);
    }
    let mut bad = good.clone();
    bad[end - 8] ^= 1;
    let mut reader = Reader::new(Unpacked::new(Own::new(&bad[..]), Helpers::None));
    let mut all = Vec::new();
    assert!(reader.read_to_end(&mut all).is_err());
    assert_eq!(all, b"some bytes");
    assert!(reader.read(&mut [0; 10]).is_err());
    for tail in [&b"x"[..], b"\0\0x", b"\0\x1f\x8b"] {
        let mut bad = good.clone();
        bad.extend(tail);
        assert_eq!(unpack(&bad).unwrap_err().to_string(), "bytes behind the gzip stream");
    }
}

/// Unpacks with helpers who guess at small ranges; how many guesses were right.
fn unpack_ahead(packed: &[u8], count: usize, range_bytes: u64) -> (Vec<u8>, io::Result<()>, u64) {
    let mut unpacked = Unpacked::new(Own::new(packed), Helpers::Always { count, range_bytes });
    let (mut all, mut chunk) = (Vec::new(), Chunk::none());
    loop {
        let filled = unpacked.fill(&mut chunk);
        all.extend_from_slice(chunk.bytes());
        if filled.is_err() || chunk.bytes().is_empty() {
            return (all, filled, unpacked.taken_over_count());
        }
    }
}

/// A gzip of several members in every way, and what is in it.
fn anything(random: &mut Dice, round: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut packed, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..[1, 1, 3, 40][round % 4] {
        let length = random.below([1_500_000, 600_000, 400_000, 40_000][round % 4]);
        let part = texture(random, length);
        let (level, flushes) = (random.below(10) as u32, random.below(2) == 0);
        packed.extend(member(random, &part, level, flushes));
        bytes.extend(part);
    }
    (packed, bytes)
}

#[test]
fn with_helpers_it_gives_the_same() {
    let mut random = Dice::new(0x5eed_0015);
    let mut right = 0;
    for round in 0..48 {
        let (packed, bytes) = anything(&mut random, round);
        let (count, range_bytes) = (1 + round % 4, [3_000, 20_000, 90_000][round % 3]);
        let (all, filled, taken_over) = unpack_ahead(&packed, count, range_bytes);
        filled.unwrap();
        assert!(all == bytes, "round {round}");
        right += taken_over;
    }
    assert!(right > 100, "{right}");
}

#[test]
fn with_helpers_it_judges_the_same() {
    let mut random = Dice::new(0x5eed_0016);
    for round in 0..120 {
        let (mut packed, bytes) = anything(&mut random, round);
        let at = random.below(packed.len());
        match round % 3 {
            0 => packed.truncate(at),
            1 => packed[at] ^= 1 << random.below(8),
            _ => {
                let noise = random.any().to_le_bytes();
                let end = packed.len().min(at + 8);
                packed[at..end].copy_from_slice(&noise[..end - at]);
            }
        }
        let mut alone = Reader::new(Unpacked::new(Own::new(&packed[..]), Helpers::None));
        let mut expected = Vec::new();
        let judged = alone.read_to_end(&mut expected).map(drop);
        let (all, filled, _) = unpack_ahead(&packed, 1 + round % 3, [4_000, 30_000][round % 2]);
        let words = |result: io::Result<()>| result.map_err(|e| e.to_string());
        assert_eq!(words(filled), words(judged), "round {round}");
        assert!(all == expected && (bytes.starts_with(&all) || round % 3 > 0), "round {round}");
    }
}

#[test]
fn a_bomb_takes_no_memory_of_helpers() {
    let mut random = Dice::new(0x5eed_0017);
    let mut bytes = texture(&mut random, 300_000);
    bytes.extend(vec![0; 60 << 20]);
    bytes.extend(texture(&mut random, 300_000));
    let packed = member(&mut random, &bytes, 9, false);
    let (all, filled, taken_over) = unpack_ahead(&packed, 2, 20_000);
    filled.unwrap();
    assert!(all == bytes && taken_over > 0, "{taken_over}");
}

#[test]
fn whoever_lets_go_in_the_middle_ends_the_helpers() {
    let mut random = Dice::new(0x5eed_0018);
    let bytes = texture(&mut random, 3_000_000);
    let packed = member(&mut random, &bytes, 6, false);
    for chunks in 0..6 {
        let mut unpacked = Unpacked::new(Own::new(&packed[..]), Helpers::Always { count: 3, range_bytes: 50_000 });
        let mut chunk = Chunk::none();
        for _ in 0..chunks {
            unpacked.fill(&mut chunk).unwrap();
        }
        // It waits for them.
        drop(unpacked);
    }
}
