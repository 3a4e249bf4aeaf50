use super::*;
use crate::compression::chunk::Reader;
use crate::compression::pieces::Own;
use crate::compression::samples::{Random, texture};
use ::zstd::stream::write::Encoder;
use std::io::{Read, Write};

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    Reader::new(Frames::new(Own::new(packed))?).read_to_end(&mut all).map(|_| all)
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
    let mut random = Random(0x5eed_0021);
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
    let bytes = texture(&mut Random(0x5eed_0022), 500);
    let good = packed(&bytes, 3, true);
    assert_eq!(unpack(&good).unwrap(), bytes);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            // One bit has no meaning, and what is said of the window may change nothing.
            if let Ok(all) = unpack(&bad) {
                assert!((at == 5 || at == 4 && bit == 4) && all == bytes, "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn cut_anywhere_but_between_frames_it_says_so() {
    let bytes = texture(&mut Random(0x5eed_0023), 700);
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
