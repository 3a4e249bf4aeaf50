//! What each dialect can say, and that it is understood.

use super::{Entry, EntryKind, Fault, Sparse, Time, entries};

/// A header of fields as bytes, and the data behind it.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) block: [u8; 512],
    pub(super) data: Vec<u8>,
}

pub(super) const USTAR: &[u8] = b"ustar\x0000";
pub(super) const GNU: &[u8] = b"ustar  \0";
pub(super) const V7: &[u8] = &[0; 8];

/// Octal digits that fill `width` bytes but one.
pub(super) fn octal(number: u64, width: usize) -> Vec<u8> {
    format!("{number:0w$o}\0", w = width - 1).into_bytes()
}

impl Raw {
    pub(super) fn new(name: &str, kind: u8, magic: &[u8], data: &[u8]) -> Self {
        let mut raw = Self { block: [0; 512], data: data.to_vec() };
        raw = raw.put(0, name.as_bytes()).put(156, &[kind]).put(257, magic);
        for (at, number, width) in
            [(100, 0o644, 8), (108, 0, 8), (116, 0, 8), (124, data.len() as u64, 12), (136, 0, 12)]
        {
            raw = raw.put(at, &octal(number, width));
        }
        raw
    }

    /// A plain file of today.
    pub(super) fn file(name: &str, data: &[u8]) -> Self {
        Self::new(name, b'0', USTAR, data)
    }

    /// Other bytes at an offset.
    pub(super) fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.block[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Another size than that of the data.
    pub(super) fn size(self, size: u64) -> Self {
        self.put(124, &octal(size, 12))
    }

    pub(super) fn link(self, target: &str) -> Self {
        self.put(157, target.as_bytes())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut block = self.block;
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
        block[148..155].copy_from_slice(&octal(sum, 7));
        let mut bytes = block.to_vec();
        bytes.extend_from_slice(&self.data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

/// A PAX header out of records.
pub(super) fn pax(records: &[(&str, &[u8])]) -> Raw {
    extended(b'x', records)
}

pub(super) fn extended(kind: u8, records: &[(&str, &[u8])]) -> Raw {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..).find(|l| l.to_string().len() + rest == *l).unwrap();
        data.extend_from_slice(format!("{length} {key}=").as_bytes());
        data.extend_from_slice(value);
        data.push(b'\n');
    }
    Raw::new("pax/x", kind, USTAR, &data)
}

/// GNU's long name or link.
pub(super) fn long(kind: u8, name: &str) -> Raw {
    Raw::new("././@LongLink", kind, GNU, format!("{name}\0").as_bytes())
}

pub(super) fn tar(parts: &[Raw]) -> Vec<u8> {
    let mut bytes: Vec<u8> = parts.iter().flat_map(Raw::bytes).collect();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

pub(super) fn read(parts: &[Raw]) -> Result<Vec<Entry>, Fault> {
    entries(&tar(parts))
}

/// The first entry, and that a plain one behind it is found.
fn one(parts: &[Raw]) -> Entry {
    let with_next = [parts, &[Raw::file("next", b"abc")]].concat();
    let all = read(&with_next).unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!(all.len(), 2);
    assert_eq!((&all[1].path[..], all[1].size), (&b"next"[..], 3));
    all.into_iter().next().unwrap()
}

#[test]
fn names_by_every_dialect() {
    let name = |parts: &[Raw]| String::from_utf8(one(parts).path).unwrap();
    assert_eq!(name(&[Raw::new("n", b'0', V7, b"").put(345, b"not a prefix")]), "n");
    assert_eq!(name(&[Raw::file("n", b"").put(345, b"pre/fix")]), "pre/fix/n");
    assert_eq!(name(&[Raw::file("n", b"").put(345, b"pre").put(508, b"tar\0")]), "pre/n");
    // Some writers take `\0` for `0` in the version; who reads no prefix then is alone.
    assert_eq!(name(&[Raw::new("n", b'0', b"ustar\0\x000", b"").put(345, b"pre")]), "pre/n");
    assert_eq!(name(&[Raw::file(&"n".repeat(100), b"")]), "n".repeat(100));
    // GNU tar puts times of access and change there in incremental archives.
    let times = octal(0o12345670123, 12).repeat(2);
    assert_eq!(name(&[Raw::new("n", b'0', GNU, b"").put(345, &times)]), "n");
    assert_eq!(name(&[long(b'L', "one"), long(b'L', "two"), Raw::new("n", b'0', GNU, b"")]), "two");
    assert_eq!(name(&[pax(&[("path", b"p")]), long(b'L', "p"), Raw::file("n", b"")]), "p");
    assert_eq!(name(&[long(b'L', "p"), pax(&[("size", b"0")]), Raw::file("n", b"")]), "p");
    assert_eq!(name(&[pax(&[("mtime", b"1")]), long(b'L', "p"), Raw::file("n", b"")]), "p");
    assert_eq!(name(&[pax(&[("path", b"p"), ("hdrcharset", b"BINARY")]), Raw::file("n", b"")]), "p");
    assert_eq!(name(&[Raw::new("label", b'V', GNU, b""), Raw::file("n", b"")]), "n");
    let link = one(&[long(b'K', "far/away"), Raw::new("n", b'2', GNU, b"").link("far")]);
    assert_eq!((link.kind, &link.link[..]), (EntryKind::Symlink, &b"far/away"[..]));
}

#[test]
fn paths_deeper_than_any_linux_opens() {
    let deep = "d/".repeat(100_000) + "f";
    let entry = one(&[pax(&[("path", deep.as_bytes())]), Raw::file("n", b"")]);
    assert_eq!(entry.path, deep.as_bytes());
    let entry = one(&[long(b'L', &deep), Raw::new("n", b'0', GNU, b"")]);
    assert_eq!(entry.path, deep.as_bytes());
    let fault = read(&[long(b'L', &"d/".repeat(1 << 20)), Raw::file("n", b"")]).unwrap_err();
    assert!(fault.in_layer("L").to_string().ends_with("a name of 2097153 bytes"));
}

#[test]
fn directories_before_and_after_posix() {
    for part in [
        Raw::new("d/", 0, V7, b""),
        Raw::new("d/", b'5', USTAR, b""),
        Raw::new("d", b'5', GNU, b""),
        // Some writers put the size of the directory itself there; nothing follows.
        Raw::new("d/", b'5', USTAR, b"").size(4096),
        // What GNU tar's incremental archives know of a directory.
        Raw::new("d/", b'D', GNU, b"Yfile\0Nother\0\0"),
    ] {
        assert_eq!(one(&[part]).kind, EntryKind::Directory);
    }
    assert_eq!(one(&[Raw::new("f", 0, V7, b"abc")]).kind, EntryKind::File);
    assert_eq!(one(&[Raw::new("f", b'7', USTAR, b"abc")]).kind, EntryKind::File);
}

#[test]
fn a_hard_link_may_repeat_the_size_of_its_file() {
    let link = Raw::new("n", b'1', USTAR, b"").link("to").size(512);
    let all = read(&[Raw::file("to", &[1; 512]), link, Raw::file("next", b"abc")]).unwrap();
    assert_eq!((all[1].kind, all[1].size, &all[2].path[..]), (EntryKind::HardLink, 0, &b"next"[..]));
}

#[test]
fn numbers_that_octal_cannot_hold() {
    let mut big = [0_u8; 12];
    big[0] = 0x80;
    big[4..].copy_from_slice(&(1_u64 << 40).to_be_bytes());
    let uid = [0x80, 0, 0, 1, 0, 0, 0, 0];
    let entry = one(&[Raw::new("n", b'0', GNU, b"").put(108, &uid).put(136, &[0xff; 12])]);
    assert_eq!((entry.uid, entry.mtime), (1 << 32, Time { seconds: -1, nanoseconds: 0 }));
    let records: &[(&str, &[u8])] =
        &[("uid", b"4294967294"), ("gid", b"77"), ("mtime", b"-0.25"), ("size", b"3"), ("uname", "jürgen".as_bytes())];
    let entry = one(&[pax(records), Raw::file("n", b"abc").put(124, &big)]);
    assert_eq!((entry.uid, entry.gid, entry.size), (4_294_967_294, 77, 3));
    assert_eq!(entry.mtime, Time { seconds: -1, nanoseconds: 750_000_000 });
    assert_eq!(entry.uname, "jürgen".as_bytes());
    let huge = Raw::file("n", b"").put(124, &big).bytes();
    assert_eq!(super::Archive::new(&huge[..]).next().unwrap().unwrap().size, 1 << 40);
}

#[test]
fn global_headers_hold_until_taken_back() {
    let all = read(&[
        extended(b'g', &[("comment", b"git's commit"), ("uid", b"77"), ("gid", b"5"), ("SCHILY.xattr.user.a", b"1")]),
        Raw::file("a", b""),
        pax(&[("uid", b"78"), ("gid", b""), ("SCHILY.xattr.user.a", b"2")]),
        Raw::file("b", b""),
        extended(b'g', &[("uid", b"")]),
        Raw::file("c", b""),
    ])
    .unwrap();
    let owners: Vec<_> = all.iter().map(|e| (e.uid, e.gid, e.xattrs[0].1[0])).collect();
    assert_eq!(owners, [(77, 5, b'1'), (78, 0, b'2'), (0, 5, b'1')]);
    let much = vec![b'x'; 5_000];
    let fault = read(&[extended(b'g', &[("SCHILY.xattr.user.a", &much)])]).unwrap_err();
    assert!(fault.in_layer("L").to_string().ends_with("5006 bytes of global PAX headers"));
}

#[test]
fn acls_and_labels_become_xattrs() {
    let acl: &[u8] = b"user::rw-,user:joe:r--,user:ann:rw-:1001,group::r--,mask::rw-,other::r--";
    let records: &[(&str, &[u8])] = &[
        ("SCHILY.acl.access", acl),
        ("SCHILY.acl.default", b"user::rwx,group::r-x,other::r-x"),
        ("RHT.security.selinux", b"system_u:object_r:etc_t:s0"),
        ("SCHILY.acl.ace", b"owner@:rw:allow"),
        ("SCHILY.fflags", b"nodump"),
    ];
    let file = one(&[pax(records), Raw::file("n", b"")]);
    let names: Vec<_> = file.xattrs.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    assert_eq!(names, ["security.selinux", "system.posix_acl_access"]);
    assert_eq!(file.xattrs[1].1.len(), 4 + 5 * 8);
    assert_eq!(
        file.left_out,
        [
            "NFSv4 ACL: Linux has none",
            "file flags nodump: not carried over",
            "ACL entry user:joe:r--: no numeric id",
            "default ACL: not a directory",
        ]
    );
    let directory = one(&[pax(&records[1..2]), Raw::new("d", b'5', USTAR, b"")]);
    assert_eq!(directory.xattrs[0].0, b"system.posix_acl_default");
    // What is there as bytes is not made again from text.
    let both: &[(&str, &[u8])] = &[("SCHILY.acl.access", acl), ("SCHILY.xattr.system.posix_acl_access", b"\x02")];
    assert_eq!(one(&[pax(both), Raw::file("n", b"")]).xattrs[0].1, b"\x02");
}

fn sparse(records: &[(&str, &[u8])], data: &[u8]) -> [Raw; 2] {
    [pax(records), Raw::file("GNUSparseFile.0/n", data)]
}

/// A map as lines, padded, with the data behind it.
pub(super) fn lined(map: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = map.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    [&bytes[..], data].concat()
}

#[test]
fn holes_in_every_form() {
    let expected = Sparse { real_size: 100, extents: vec![(0, 1), (50, 2)] };
    let old = |pairs: &[(u64, u64)]| {
        let map: Vec<u8> = pairs.iter().flat_map(|(o, l)| [octal(*o, 12), octal(*l, 12)].concat()).collect();
        Raw::new("n", b'S', GNU, b"").put(386, &map).put(483, &octal(100, 12))
    };
    let three = |raw: Raw| Raw { data: b"abc".to_vec(), ..raw }.size(3);
    let v1: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"n"),
        ("GNU.sparse.realsize", b"100"),
    ];
    let v00: &[(&str, &[u8])] = &[
        ("path", b"n"),
        ("GNU.sparse.size", b"100"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.offset", b"0"),
        ("GNU.sparse.numbytes", b"1"),
        ("GNU.sparse.offset", b"50"),
        ("GNU.sparse.numbytes", b"2"),
    ];
    let v01: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"100"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.name", b"n"),
        ("GNU.sparse.map", b"0,1,50,2"),
    ];
    for (what, parts) in [
        ("old", vec![three(old(&[(0, 1), (50, 2)]))]),
        ("old with its end", vec![three(old(&[(0, 1), (50, 2), (100, 0)]))]),
        ("old, long name", vec![long(b'L', "n"), three(old(&[(0, 1), (50, 2)]))]),
        ("0.0", sparse(v00, b"abc").to_vec()),
        ("0.1", sparse(v01, b"abc").to_vec()),
        ("1.0", sparse(v1, &lined("2\n0\n1\n50\n2\n", b"abc")).to_vec()),
        ("1.0 with its end", sparse(v1, &lined("3\n0\n1\n50\n2\n100\n0\n", b"abc")).to_vec()),
    ] {
        let entry = one(&parts);
        assert_eq!((&entry.path[..], entry.size, entry.kind), (&b"n"[..], 3, EntryKind::File), "{what}");
        assert_eq!(entry.sparse.as_ref(), Some(&expected), "{what}");
    }
    let none = Sparse { real_size: 100, extents: vec![] };
    assert_eq!(one(&[old(&[])]).sparse.unwrap(), none);
    assert_eq!(one(&sparse(v1, &lined("1\n100\n0\n", b""))).sparse.unwrap(), none);
}

#[test]
fn an_old_map_goes_on_in_blocks_behind_the_header() {
    let pair = |i: u64| [octal(i * 1000, 12), octal(1, 12)].concat();
    let pairs = |range: std::ops::Range<u64>| range.flat_map(pair).collect::<Vec<u8>>();
    let header = Raw::new("n", b'S', GNU, b"").put(386, &pairs(0..4)).put(482, &[1]).put(483, &octal(1 << 20, 12));
    let block = |range, more: u8| {
        let mut block = pairs(range);
        block.resize(504, 0);
        block.resize(512, more);
        block
    };
    let mut tar = header.size(28).bytes();
    tar.extend(block(4..25, 1));
    tar.extend(block(25..28, 0));
    tar.extend_from_slice(&[7; 28]);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar.extend(super::dialects::tar(&[Raw::file("next", b"")]));
    let all = entries(&tar).unwrap();
    assert_eq!(all[0].sparse.as_ref().unwrap().extents[27], (27_000, 1));
    assert_eq!((all[0].size, &all[1].path[..]), (28, &b"next"[..]));
}

#[test]
fn ends_of_archives() {
    let file = Raw::file("n", b"abc").bytes();
    let zeros = |count: usize| [&file[..], &vec![0; count]].concat();
    for whole in [zeros(0), zeros(512), zeros(1024), zeros(10_240), zeros(700), file[..515].to_vec()] {
        assert_eq!(entries(&whole).unwrap().len(), 1, "{} bytes", whole.len());
    }
    assert_eq!(entries(&[zeros(1024), b"leavings".to_vec()].concat()).unwrap().len(), 1);
    assert_eq!(entries(&[0; 1024]).unwrap().len(), 0);
    assert_eq!(entries(&[]).unwrap().len(), 0);
}
