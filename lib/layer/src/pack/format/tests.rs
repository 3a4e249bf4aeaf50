//! The bytes of entries, against the reader of the room.

use super::*;
use crate::archive::{Archive, Entry, EntryKind};

fn head<'a>(path: &'a [u8], kind: Type) -> Head<'a> {
    Head {
        path,
        kind,
        link: b"",
        mode: 0o644,
        uid: 1,
        gid: 2,
        mtime: Time { seconds: 1_000_000_000, nanoseconds: 0 },
        size: 0,
        extents: None,
        xattrs: &[],
    }
}

fn bytes(head: &Head<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    head.write(&mut out).unwrap();
    out
}

fn read(head: &Head<'_>) -> Entry {
    let all = [bytes(head), END.to_vec()].concat();
    Archive::new(&all[..]).next().unwrap().unwrap()
}

#[test]
fn a_plain_entry_is_one_block_of_ustar() {
    let block = bytes(&head(b"etc/conf", Type::File));
    assert_eq!(block.len(), BLOCK_BYTES);
    assert_eq!(&block[100..148], b"0000644\x000000001\x000000002\x0000000000000\x0007346545000\0");
    assert!(block[148..154].iter().all(u8::is_ascii_digit) && block[154..156] == *b"\0 ");
    assert_eq!(&block[257..265], b"ustar\x0000");
    assert_eq!(&block[329..345], b"0000000\x000000000\0");
    assert!(block[265..329].iter().all(|&b| b == 0), "no names of owners");
    assert_eq!(read(&head(b"", Type::Directory)).path, b"./");
    assert_eq!(read(&head(b"a", Type::Directory)).path, b"a/");
}

#[test]
fn what_ustar_cannot_say_is_in_records_in_order() {
    let long = [&b"d/".repeat(80)[..], &b"n".repeat(120)].concat();
    let xattrs = [(b"user.a".to_vec(), b"1\n\0".to_vec()), (b"user.b".to_vec(), Vec::new())];
    let full = Head {
        link: &long,
        uid: 3_000_000,
        gid: u32::MAX - 1,
        mtime: Time { seconds: -2, nanoseconds: 500_000_000 },
        xattrs: &xattrs,
        ..head(&long, Type::Symlink)
    };
    let all = bytes(&full);
    let text = String::from_utf8_lossy(&all[512..1536]).into_owned();
    let keys: Vec<usize> =
        ["SCHILY.xattr.user.a=", "SCHILY.xattr.user.b=", " gid=", " linkpath=", " mtime=-1.5\n", " path=", " uid="]
            .iter()
            .map(|key| text.find(key).unwrap_or_else(|| panic!("no {key} in {text}")))
            .collect();
    assert!(keys.is_sorted(), "{keys:?}");
    let entry = read(&full);
    assert_eq!((entry.path, entry.link, entry.kind), (long.clone(), long.clone(), EntryKind::Symlink));
    assert_eq!((entry.uid, entry.gid, entry.mtime), (3_000_000, 4_294_967_294, full.mtime));
    assert_eq!(entry.xattrs, xattrs);
}

#[test]
fn long_names_are_split_where_ustar_can() {
    let path = [&b"p".repeat(155)[..], b"/", &b"n".repeat(100)].concat();
    assert_eq!(bytes(&head(&path, Type::File)).len(), BLOCK_BYTES);
    assert_eq!(read(&head(&path, Type::File)).path, path);
    let dir = [&b"p".repeat(60)[..], b"/", &b"n".repeat(60)].concat();
    assert_eq!(bytes(&head(&dir, Type::Directory)).len(), BLOCK_BYTES);
    assert_eq!(read(&head(&dir, Type::Directory)).path, [&dir[..], b"/"].concat());
    for path in [b"n".repeat(101), [&b"p".repeat(156)[..], b"/n"].concat(), [b"/".to_vec(), b"n".repeat(100)].concat()]
    {
        assert_eq!(bytes(&head(&path, Type::File)).len(), 3 * BLOCK_BYTES);
        assert_eq!(read(&head(&path, Type::File)).path, path);
    }
}

#[test]
fn a_record_counts_its_own_digits() {
    for length in 0..2000 {
        let mut pax = Pax(Vec::new());
        pax.add(b"path", &vec![b'x'; length]);
        let blank = pax.0.iter().position(|&b| b == b' ').unwrap();
        assert_eq!(std::str::from_utf8(&pax.0[..blank]).unwrap(), pax.0.len().to_string());
    }
}

#[test]
fn large_files_and_their_holes_have_records() {
    let large = Head { size: 9 << 30, ..head(b"big", Type::File) };
    assert_eq!(read_head(&large).size, 9 << 30);
    let extents = [(65536, 65536), (1 << 40, 10)];
    let holes = Head { size: (1 << 40) + 4096, extents: Some(&extents), ..head(b"d/big", Type::File) };
    let mut out = Vec::new();
    assert_eq!(holes.write(&mut out).unwrap(), 512 + 65546);
    assert!(String::from_utf8_lossy(&out).contains("3\n65536\n65536\n1099511627776\n10\n1099511631872\n0\n"));
    assert!(out.windows(24).any(|w| w == b"d/GNUSparseFile.0/big\0\0\0"));
    assert_eq!(out.len() % BLOCK_BYTES, 0);
}

/// Where the data does not follow, the reader is not asked for more than the head.
fn read_head(head: &Head<'_>) -> Entry {
    Archive::new(&bytes(head)[..]).next().unwrap().unwrap()
}

#[test]
fn what_no_reader_takes_is_refused_by_name() {
    let key = [(b"user.a=b".to_vec(), Vec::new())];
    let fault = Head { xattrs: &key, ..head(b"f", Type::File) }.write(&mut Vec::new()).unwrap_err();
    assert!(fault.in_layer("l").to_string().starts_with("layer l: f: the name of its xattr user.a=b has a = in it"));
    let many: Vec<_> = (0..20).map(|n| (format!("user.{n}").into_bytes(), vec![0; 60_000])).collect();
    let fault = Head { xattrs: &many, ..head(b"f", Type::File) }.write(&mut Vec::new()).unwrap_err();
    assert!(fault.in_layer("l").to_string().contains("more than readers of tar accept"));
}
