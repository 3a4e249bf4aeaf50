//! Writes the first inputs: archives of every dialect, small, each into the folders of the targets that take it.
//! Built by rustc alone, since what is built with libFuzzer's flags has to be linked with it. `seeds FOLDER` makes `FOLDER/{archive,records,paths,unpack,against_crate_tar}/`.

use std::fs;
use std::path::Path;

const USTAR: &[u8] = b"ustar\x0000";
const GNU: &[u8] = b"ustar  \0";

fn octal(number: usize, width: usize) -> Vec<u8> {
    format!("{number:0w$o}\0", w = width - 1).into_bytes()
}

/// One header and its data; `put` are bytes at offsets.
fn part(name: &[u8], kind: u8, magic: &[u8], data: &[u8], put: &[(usize, &[u8])]) -> Vec<u8> {
    let mut block = [0_u8; 512];
    let mut set = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    set(0, name);
    set(156, &[kind]);
    set(257, magic);
    for (at, number, width) in [(100, 0o644, 8), (108, 0, 8), (116, 0, 8), (124, data.len(), 12), (136, 1, 12)] {
        set(at, &octal(number, width));
    }
    for (at, bytes) in put {
        set(*at, bytes);
    }
    block[148..156].fill(b' ');
    let sum = block.iter().map(|&b| usize::from(b)).sum();
    block[148..155].copy_from_slice(&octal(sum, 7));
    let mut bytes = [&block[..], data].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn records(records: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..).find(|l| l.to_string().len() + rest == *l).unwrap();
        bytes.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
    }
    bytes
}

/// Every kind of PAX header.
fn headers() -> Vec<Vec<u8>> {
    let all: &[&[(&str, &str)]] = &[
        &[
            ("path", "a/b"),
            ("linkpath", "c"),
            ("size", "3"),
            ("uid", "70000"),
            ("gid", ""),
            ("uname", "u"),
            ("mtime", "-1.5"),
        ],
        &[("SCHILY.xattr.user.a", "1\n2"), ("LIBARCHIVE.xattr.user.%62", "YWI="), ("RHT.security.selinux", "a:b:c")],
        &[("SCHILY.acl.access", "user::rwx,user:joe:r--:5,group::r--,group:x:r--,mask::rwx,other::---\n")],
        &[
            ("SCHILY.acl.default", "u::rwx,g::r-x,o::r-x"),
            ("SCHILY.fflags", "nodump"),
            ("SCHILY.acl.ace", "owner@:rw:allow"),
        ],
        &[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "s"),
            ("GNU.sparse.realsize", "9000"),
        ],
        &[
            ("GNU.sparse.size", "9000"),
            ("GNU.sparse.numblocks", "2"),
            ("GNU.sparse.map", "0,1,4096,2"),
            ("GNU.sparse.name", "s"),
        ],
        &[
            ("GNU.sparse.size", "9000"),
            ("GNU.sparse.numblocks", "1"),
            ("GNU.sparse.offset", "4096"),
            ("GNU.sparse.numbytes", "3"),
        ],
        &[("SCHILY.realsize", "3"), ("SCHILY.filetype", "regular"), ("hdrcharset", "BINARY"), ("comment", "c")],
        &[("GNU.volume.label", "v"), ("GNU.dumpdir", "Yf\0\0")],
    ];
    all.iter().map(|header| records(header)).collect()
}

fn archives() -> Vec<Vec<u8>> {
    let file = |name: &str| part(name.as_bytes(), b'0', USTAR, b"abc", &[]);
    let link = |name: &str, kind: u8, to: &str| part(name.as_bytes(), kind, USTAR, b"", &[(157, to.as_bytes())]);
    let directory = |name: &str| part(name.as_bytes(), b'5', USTAR, b"", &[]);
    let pair = |offset, length| [octal(offset, 12), octal(length, 12)].concat();
    let mut all = vec![
        [directory("d/"), file("d/f"), link("d/h", b'1', "d/f"), link("l", b'2', "d"), file("l/g")].concat(),
        [part(b"c", b'3', USTAR, b"", &[(329, b"0000001\0"), (337, b"0000003\0")]), part(b"p", b'6', USTAR, b"", &[])]
            .concat(),
        [part(b"L", b'L', GNU, b"long/name\0", &[]), part(b"K", b'K', GNU, b"far\0", &[]), link("n", b'2', "x")]
            .concat(),
        [part(b"v7", 0, &[], b"abc", &[]), part(b"v7/", 0, &[], b"", &[])].concat(),
        part(b"n", b'0', USTAR, b"abc", &[(345, b"pre"), (508, b"tar\0")]),
        part(b"n", b'0', GNU, b"abc", &[(108, &[0x80, 0, 0, 1, 0, 0, 0, 0]), (136, &[0xff; 12])]),
        part(b"s", b'S', GNU, b"abc", &[(386, &pair(0, 1)), (410, &pair(4096, 2)), (483, &octal(9000, 12))]),
        [part(b"label", b'V', GNU, b"", &[]), part(b"d/", b'D', GNU, b"Yf\0\0", &[])].concat(),
        [file(".wh.gone"), file("d/.wh..wh..opq"), file("d/new"), file("/absolute"), file("./a/../b"), file("../out")]
            .concat(),
        [
            link("out", b'2', "../victim"),
            file("out/file"),
            link("h", b'1', "out/file"),
            link("abs", b'2', "/mnt/victim"),
        ]
        .concat(),
        [file("f"), directory("f"), file("f/g"), directory("f/g/"), link("f", b'2', "f")].concat(),
    ];
    let lines = |text: &str| {
        let mut map = text.as_bytes().to_vec();
        map.resize(512, 0);
        [&map[..], b"abc"].concat()
    };
    for header in headers() {
        for data in [b"abc".to_vec(), lines("2\n0\n1\n4096\n2\n")] {
            all.push(
                [part(b"x", b'x', USTAR, &header, &[]), part(b"f", b'0', USTAR, &data, &[]), file("next")].concat(),
            );
        }
        all.push([part(b"g", b'g', USTAR, &header, &[]), file("f"), file("next")].concat());
        all.push([part(b"x", b'x', USTAR, &header, &[]), link("l", b'2', "to"), directory("d")].concat());
    }
    for archive in &mut all {
        archive.extend_from_slice(&[0; 1024]);
    }
    all
}

/// As one gzip member (RFC 1952) of one stored block (RFC 1951).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    let length = bytes.len() as u16;
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(bytes);
    packed.extend((!crc).to_le_bytes());
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed
}

/// As one zstd frame (RFC 8878) of one raw block.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0x60];
    packed.extend((bytes.len() as u16 - 256).to_le_bytes());
    packed.extend(&((bytes.len() as u32) << 3 | 1).to_le_bytes()[..3]);
    packed.extend(bytes);
    packed
}

fn main() {
    let folder = std::env::args_os().nth(1).expect("a folder");
    let write = |target: &str, inputs: &[Vec<u8>]| {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).unwrap();
        for (at, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{at:03}")), input).unwrap();
        }
    };
    let archives = archives();
    write("archive", &archives);
    write("against_crate_tar", &archives);
    write("records", &headers());
    let names = ["a/b", "/a", "./a/../b", "../a", "a/../..", "a//b/", "/", ".", "..", "", ".wh.a", "a/.wh..wh..opq"];
    write("paths", &names.map(|name| name.as_bytes().to_vec()));
    let how = |bytes: &[u8], how: usize| [&[how as u8][..], bytes].concat();
    let mut whole: Vec<Vec<u8>> = archives.iter().enumerate().map(|(at, archive)| how(archive, at)).collect();
    for archive in &archives[..11] {
        let (first, second) = archive.split_at(512);
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
        whole.push(how(&gzip(archive), 3));
        whole.push(how(&[gzip(first), gzip(second)].concat(), 0));
        whole.push(how(&zstd(archive), 2));
        whole.push(how(&[zstd(first), skippable, zstd(second)].concat(), 1));
    }
    write("unpack", &whole);
}
