//! zstd frames with helpers and without, skippable ones, windows that are refused (RFC 8878).

use super::*;
use crate::compression::chunk::{Chunk, Reader};
use crate::compression::crew::Helpers;
use crate::compression::pieces::Own;
use crate::compression::samples::texture;
use ::zstd::stream::write::Encoder;
use std::io::{Read, Write};
use testkit::dice::Dice;

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    Reader::new(Frames::new(Own::new(packed), Helpers::None)?).read_to_end(&mut all).map(|_| all)
}

fn packed(bytes: &[u8], level: i32, checksum: bool) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), level).unwrap();
    encoder.include_checksum(checksum).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn skippable(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x50 | kind, 0x2a, 0x4d, 0x18];
    frame.extend((bytes.len() as u32).to_le_bytes());
    frame.extend(bytes);
    frame
}

#[test]
fn frames_of_every_size_with_skippable_ones_between() {
    let mut random = Dice::new(0x5eed_0021);
    let (mut all, mut bytes) = (Vec::new(), Vec::new());
    for round in 0..40 {
        let part = texture(&mut random, [0, 1, 3_000, 500_000][round % 4]);
        if round % 3 == 0 {
            all.extend(skippable((round % 16) as u8, &vec![7; [0, 5, 700_000][round / 3 % 3]]));
        }
        all.extend(match round % 5 {
            0 => ::zstd::bulk::compress(&part, 3).unwrap(),
            n => packed(&part, n as i32, round % 2 == 0),
        });
        bytes.extend(part);
    }
    // The seek table of the seekable format, at the end.
    all.extend(skippable(0xe, b"\0\0\0\0\0\0\0\0\0\xb1\xea\x92\x8f"));
    assert!(unpack(&all).unwrap() == bytes);
}

#[test]
fn a_window_beyond_the_cap_is_refused_by_name() {
    for (log, name) in [(28, "256 MiB"), (31, "2 GiB"), (41, "2048 GiB")] {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 1, 0, 0];
        let error = unpack(&frame).unwrap_err();
        assert_eq!(error.to_string(), format!("it needs a window of {name}, and at most 128 MiB are given"));
        assert!(Refused::of(&error).unwrap().hint.contains("--long=27"));
    }
    // One that is its own window.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 1, 0, 0];
    assert!(unpack(&frame).unwrap_err().to_string().contains("a window of 1 GiB"));
    // The cap itself is given.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 1, 0, 0];
    assert_eq!(unpack(&frame).unwrap(), b"");
    // A dictionary is refused too.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 1, 0, 9, 1, 0, 0];
    assert_eq!(unpack(&frame).unwrap_err().to_string(), "it needs the dictionary 9");
}

#[test]
fn a_flipped_bit_is_found_by_the_frame_s_checksum() {
    let bytes = texture(&mut Dice::new(0x5eed_0022), 500);
    let good = packed(&bytes, 3, true);
    assert_eq!(unpack(&good).unwrap(), bytes);
    let mut without_effect = 0;
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            if let Ok(all) = unpack(&bad) {
                assert_eq!(all, bytes, "byte {at}, bit {bit}");
                without_effect += 1;
            }
        }
    }
    // One bit has no meaning, what is said of the window may change nothing, and a code of the tables may never be used.
    assert!(without_effect < 20, "{without_effect} of {}", 8 * good.len());
}

#[test]
fn cut_anywhere_but_between_frames_it_says_so() {
    let bytes = texture(&mut Dice::new(0x5eed_0023), 700);
    let mut all = skippable(1, b"12345");
    all.extend(packed(&bytes, 3, true));
    let first = all.len();
    all.extend(packed(&bytes, 1, false));
    for end in 1..all.len() {
        match unpack(&all[..end]) {
            Ok(got) => assert!(end == first && got == bytes || end == 13 && got.is_empty(), "{end}"),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof, "{end}: {e}"),
        }
    }
    all.extend(b"more");
    assert_eq!(unpack(&all).unwrap_err().to_string(), "no zstd frame where one should begin");
}

/// Unpacks with helpers; how many groups were theirs.
fn unpack_ahead(packed: &[u8], count: usize, range_bytes: u64) -> (Vec<u8>, io::Result<()>, u64) {
    let mut frames = Frames::new(Own::new(packed), Helpers::Always { count, range_bytes }).unwrap();
    let (mut all, mut chunk) = (Vec::new(), Chunk::none());
    loop {
        let filled = frames.fill(&mut chunk);
        all.extend_from_slice(chunk.bytes());
        if filled.is_err() || chunk.bytes().is_empty() {
            return (all, filled, frames.taken_over_count());
        }
    }
}

/// Frames of every size, those that say their size and those that do not, with and without checksums.
fn anything(random: &mut Dice) -> (Vec<u8>, Vec<u8>) {
    let (mut all, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..1 + random.below(40) {
        let length = [10, 3_000, 90_000, 400_000][random.below(4)];
        let part = texture(random, length);
        match random.below(6) {
            0 => all.extend(skippable(3, &vec![1; [0, 40, 400_000][random.below(3)]])),
            1 => {
                all.extend(packed(&part, 1, true));
                bytes.extend(part);
            }
            _ => {
                all.extend(::zstd::bulk::compress(&part, 1).unwrap());
                bytes.extend(part);
            }
        }
    }
    (all, bytes)
}

#[test]
fn with_helpers_it_gives_and_judges_the_same() {
    let mut random = Dice::new(0x5eed_0024);
    let mut theirs = 0;
    for round in 0..60 {
        let (mut packed, bytes) = anything(&mut random);
        let at = random.below(packed.len());
        match round % 3 {
            1 => packed.truncate(at),
            2 => packed[at] ^= 1 << random.below(8),
            _ => {}
        }
        let mut alone = Reader::new(Frames::new(Own::new(&packed[..]), Helpers::None).unwrap());
        let mut expected = Vec::new();
        let judged = alone.read_to_end(&mut expected).map(drop);
        let (all, filled, taken_over) = unpack_ahead(&packed, 1 + round % 4, [1_000, 50_000][round % 2]);
        let words = |result: io::Result<()>| result.map_err(|e| e.to_string());
        assert_eq!(words(filled), words(judged), "round {round}");
        assert!(all == expected && (round % 3 > 0 || all == bytes), "round {round}");
        theirs += taken_over;
    }
    assert!(theirs > 100, "{theirs}");
}
