//! What programs would read differently, and that it is refused with both readings. Each case was run by GNU tar 1.34,
//! bsdtar 3.6.2, Go 1.27 and Python 3.11.

use super::dialects::{GNU, Raw, USTAR, V7, extended, lined, long, octal, pax, read, tar};
use super::{entries, message};

fn refused(parts: &[Raw]) -> String {
    let all = [parts, &[Raw::file("next", b"abc")]].concat();
    match read(&all) {
        Err(fault) => message(fault).replace("layer L: ", ""),
        Ok(entries) => {
            panic!("read: {:?}", entries.iter().map(|e| String::from_utf8_lossy(&e.path)).collect::<Vec<_>>())
        }
    }
}

#[test]
fn sizes_of_what_has_no_data() {
    for (kind, what) in [(b'2', "symbolic link"), (b'3', "device"), (b'4', "device"), (b'6', "pipe")] {
        let raw = Raw::new("n", kind, USTAR, b"").link("to");
        let message = refused(&[raw.clone().size(512), Raw::file("hidden", b"")]);
        assert_eq!(message, format!("n: a {what} with a size of 512: Go reads no data behind it, tar -t that much"));
    }
    for (kind, what) in [(b'1', "hard link"), (b'2', "symbolic link"), (b'5', "directory"), (b'6', "pipe")] {
        let raw = Raw::new("n", kind, USTAR, b"").link("to");
        let message = refused(&[pax(&[("size", b"512")]), raw.clone(), Raw::file("hidden", b"")]);
        assert_eq!(
            message,
            format!("n: a {what} with a PAX size of 512: Go reads no data behind it, others that much")
        );
        // PAX may take a size back.
        read(&[pax(&[("size", b"0")]), raw.size(512), Raw::file("next", b"")]).unwrap();
    }
    let link = Raw::new("n", b'1', USTAR, b"").link("to").size(512);
    let message = refused(&[extended(b'g', &[("comment", b"x")]), link, Raw::file("hidden", b"")]);
    assert_eq!(message, "n: a hard link with a size of 512: Go reads no data behind it, bsdtar that much");
    let message = refused(&[Raw::new("n/", 0, V7, b"").size(512), Raw::file("hidden", b"")]);
    assert_eq!(message, "n/: a directory with a size of 512: Go reads no data behind it, tar -t that much");
    let message = refused(&[Raw::new("label", b'V', GNU, &[0; 512])]);
    assert_eq!(message, "label: a label with a size: GNU tar and Go read data behind it, bsdtar none");
}

#[test]
fn files_named_as_directories() {
    let expected = "a regular file with / behind its name: Go reads a file, GNU tar a directory";
    for (kind, magic) in [(b'0', USTAR), (b'0', V7), (b'7', USTAR), (b'S', GNU)] {
        assert_eq!(refused(&[Raw::new("d/", kind, magic, b"")]), format!("d/: {expected}"));
    }
    assert_eq!(refused(&[pax(&[("path", b"d/")]), Raw::file("d", b"")]), format!("d/: {expected}"));
    assert_eq!(refused(&[Raw::file("", b"").put(345, b"pre")]), format!("pre/: {expected}"));
    // What counts is the name that all read.
    assert_eq!(read(&[pax(&[("path", b"f")]), Raw::file("f/", b"abc")]).unwrap()[0].size, 3);
}

#[test]
fn headers_before_one_entry() {
    let file = Raw::file("n", b"");
    for (parts, message) in [
        (
            vec![pax(&[("size", b"1024")]), long(b'L', "long"), file.clone()],
            "././@LongLink: a PAX size of 1024 before a long name of 5 bytes: most apply it to the entry, some to the name",
        ),
        (
            vec![pax(&[("path", b"a")]), pax(&[("mtime", b"1")]), file.clone()],
            "pax/x: two PAX headers before one entry: Go and GNU tar read the last, bsdtar both",
        ),
        (
            vec![pax(&[("path", b"a")]), long(b'L', "b"), file.clone()],
            "n: a GNU long name and a PAX path that differ: Go reads b, GNU tar a",
        ),
        (
            vec![pax(&[("linkpath", b"a")]), long(b'K', "b"), Raw::new("n", b'2', GNU, b"").link("c")],
            "n: a GNU long name and a PAX linkpath that differ: Go reads b, GNU tar a",
        ),
        (vec![long(b'L', ""), file.clone()], "n: an empty GNU long name: Go reads the one in the header, GNU tar none"),
        (
            vec![pax(&[("path", b"a")]), extended(b'g', &[("comment", b"c")]), file.clone()],
            "pax/x: a global header between an entry and its extended headers: GNU tar keeps them for the entry, Go does not",
        ),
        (
            vec![long(b'L', "a"), Raw::new("v", b'V', GNU, b""), file.clone()],
            "v: a label between an entry and its extended headers: GNU tar keeps them for the entry, Go does not",
        ),
    ] {
        assert_eq!(refused(&parts), message);
    }
    let tar = tar(&[file, pax(&[("path", b"lost")])]);
    assert!(message(entries(&tar).unwrap_err()).ends_with("ends behind an extended header"));
}

#[test]
fn records_that_readers_take_differently() {
    let file = Raw::file("n", b"abc");
    for (records, expected) in [
        (&[("path", &b"a\0b"[..])][..], "a NUL in its PAX path: GNU tar reads a shorter name, Go none"),
        (&[("path", b"")], "an empty path in its PAX header: Go reads the name in the header, GNU tar none"),
        (&[("linkpath", b"")], "an empty linkpath in its PAX header: Go reads the name in the header, GNU tar none"),
        (
            &[("path", b"a"), ("path", b"b")],
            "two different records path in one PAX header: GNU tar and Go take the last, others the first",
        ),
        (
            &[("size", b"3"), ("size", b"512")],
            "two different records size in one PAX header: GNU tar and Go take the last, others the first",
        ),
        (&[("size", b"")], "bad size in its PAX header"),
        (&[("size", b"+3")], "bad size in its PAX header"),
        (&[("size", b" 3")], "bad size in its PAX header"),
        (&[("size", b"3\0")], "bad size in its PAX header"),
        (&[("size", b"99999999999999999999")], "bad size in its PAX header"),
        (&[("uid", b"-2")], "bad uid in its PAX header"),
        (&[("mtime", b"1.x")], "bad mtime in its PAX header"),
        (&[("GNU.volume.filename", b"n")], "a part of a file that began on another volume"),
        (&[("SCHILY.filetype", b"socket")], "a socket"),
    ] {
        assert_eq!(refused(&[pax(records), file.clone()]), format!("pax/x: {expected}"));
    }
    // The same said twice is no dispute.
    read(&[pax(&[("path", b"a"), ("path", b"a")]), file.clone()]).unwrap();
    for key in ["path", "linkpath", "size", "GNU.sparse.realsize"] {
        let message = refused(&[extended(b'g', &[(key, b"1")]), file.clone()]);
        assert!(message.contains("GNU tar "), "{message}");
    }
    for bad in [&b"11 path=abc\n\0\0\0"[..], b"11 path=abc\nzzz", b"\n11 path=abc\n", b" 11 path=ab\n", b"10 path=ab;"]
    {
        let raw = Raw::new("x", b'x', USTAR, bad);
        assert_eq!(refused(&[raw, file.clone()]), "x: a PAX record that does not add up");
    }
}

#[test]
fn prefixes_of_others() {
    let dispute = "reads the path n";
    for (raw, expected) in [
        (
            Raw::new("n", b'0', GNU, b"").put(345, b"pre"),
            "a GNU header with a prefix: GNU tar reads the path n, Go pre/n",
        ),
        (
            Raw::new("n", b'0', b"ustar 00", b"").put(345, b"pre"),
            "a prefix in a header that is neither ustar nor GNU: GNU tar reads the path n, bsdtar pre/n",
        ),
    ] {
        assert!(expected.contains(dispute));
        assert_eq!(refused(&[raw]), format!("n: {expected}"));
    }
    let long = Raw::file("n", b"").put(345, &[b'p'; 140]).put(508, b"tar\0");
    assert!(
        refused(&[long]).starts_with("n: a prefix that runs into star's times: star reads the path n, GNU tar ppp")
    );
    // Go's old prefix must be ASCII, and a time is none.
    read(&[Raw::new("n", b'0', GNU, b"").put(345, "größe".as_bytes())]).unwrap();
}

#[test]
fn sizes_with_more_around_them() {
    for (field, expected) in [
        (&b"0000000003x "[..], "bad size in its header"),
        (b"00000003 777", "bad size in its header"),
        (b"-0000000003\0", "bad size in its header"),
        (b"+0000000003\0", "bad size in its header"),
        (b"00000000008\0", "bad size in its header"),
        (b"\x0000000000030"[..12].as_ref(), "NUL before the digits of a size: bsdtar reads 0, Go what is behind"),
        (&[0xff; 12], "negative size in its header"),
        (b"\x81\0\0\0\0\0\0\0\0\0\0\x03", "bad size in its header"),
    ] {
        assert_eq!(refused(&[Raw::file("n", b"abc").put(124, field)]), format!("n: {expected}"));
    }
    for field in [&b"          3\0"[..], b"000000000003", b"3\0leavings\0\0", b"\x80\0\0\0\0\0\0\0\0\0\0\x03"] {
        read(&[Raw::file("n", b"abc").put(124, field), Raw::file("next", b"")]).unwrap();
    }
}

#[test]
fn holes_that_are_none_for_some() {
    let incomplete =
        "GNU.sparse records that are not one map of a known version: GNU tar reads a file with holes, Go one without";
    let whole: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"nm"),
        ("GNU.sparse.realsize", b"100"),
    ];
    let data = lined("1\n0\n3\n", b"abc");
    let file = |data: &[u8]| Raw::file("n", data);
    for missing in [0, 1, 3] {
        let mut records = whole.to_vec();
        records.remove(missing);
        assert_eq!(refused(&[pax(&records), file(&data)]), format!("pax/x: {incomplete}"));
    }
    for records in [
        &[("GNU.sparse.name", &b"nm"[..])][..],
        &[("GNU.sparse.realsize", b"100")],
        &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"1"), ("GNU.sparse.realsize", b"100")],
        &[("GNU.sparse.size", b"100"), ("GNU.sparse.numblocks", b"2"), ("GNU.sparse.map", b"0,3")],
        &[("GNU.sparse.size", b"100"), ("GNU.sparse.map", b"0,3")],
        &[("GNU.sparse.size", b"100"), ("GNU.sparse.numblocks", b"1"), ("GNU.sparse.offset", b"0")],
    ] {
        assert_eq!(refused(&[pax(records), file(b"abc")]), format!("pax/x: {incomplete}"));
    }
    for (map, expected) in [
        (&b"0,1,50"[..], "bad GNU.sparse.map in its PAX header"),
        (b"", "bad GNU.sparse.map in its PAX header"),
        (b"10,2,5,1", "a map of holes that is not in order: GNU tar writes over what it wrote, Go reads none"),
    ] {
        let records = [("GNU.sparse.size", &b"100"[..]), ("GNU.sparse.numblocks", b"2"), ("GNU.sparse.map", map)];
        assert_eq!(refused(&[pax(&records), file(b"abc")]), format!("pax/x: {expected}"));
    }
    let adds_up = "nm: a map of holes that does not add up";
    assert_eq!(refused(&[pax(&whole), file(&data[..512])]), format!("{adds_up}: the map says 3 bytes, the header 0"));
    let more = [&data[..], b"more"].concat();
    assert_eq!(refused(&[pax(&whole), file(&more)]), format!("{adds_up}: the map says 3 bytes, the header 7"));
    assert_eq!(refused(&[pax(&whole), file(b"1\n0\n3\n")]), adds_up);
    assert_eq!(refused(&[pax(&whole), file(&lined("+1\n0\n3\n", b"abc"))]), adds_up);
    let beyond = refused(&[pax(&whole), file(&lined("1\n99\n3\n", b"abc"))]);
    assert_eq!(beyond, "nm: a map of holes up to byte 102 of a file of 100 bytes");
    let link = Raw::new("n", b'2', USTAR, b"").link("to");
    assert_eq!(refused(&[pax(&whole), link]), "nm: a map of holes for what is no regular file");
    let message = refused(&[long(b'L', "other"), pax(&whole), file(&data)]);
    assert_eq!(message, "n: a GNU long name and a PAX path that differ: Go reads other, GNU tar nm");
}

#[test]
fn old_maps_of_holes() {
    let old =
        |map: &[u8], size: u64| Raw::new("s", b'S', GNU, b"abc").size(size).put(386, map).put(483, &octal(100, 12));
    let pair = |offset, length| [octal(offset, 12), octal(length, 12)].concat();
    let message = refused(&[old(&pair(0, 2), 3)]);
    assert_eq!(message, "s: a map of holes that does not add up: the map says 2 bytes, the header 3");
    let message = refused(&[old(&[vec![0; 12], octal(3, 12)].concat(), 3)]);
    assert!(message.starts_with("s: half a piece in a map of holes"), "{message}");
    let message = refused(&[old(&pair(0, 3), 3).put(482, &[1])]);
    assert!(message.starts_with("s: a map of holes that goes on behind its end"), "{message}");
    let message = refused(&[old(&pair(0, 3), 3).put(257, USTAR)]);
    assert_eq!(message, "s: star's own form of a file with holes");
    let star: &[(&str, &[u8])] = &[("SCHILY.realsize", b"100")];
    let message = refused(&[pax(star), Raw::file("n", b"abc")]);
    assert_eq!(message, "n: star's own form of a file with holes or on several volumes");
    read(&[pax(&[("SCHILY.realsize", b"3")]), Raw::file("n", b"abc")]).unwrap();
}

#[test]
fn types_that_only_some_know() {
    for (kind, expected) in [
        (b'A', "Solaris' ACL (type A)"),
        (b'E', "Solaris' extended attributes (type E)"),
        (b'X', "Solaris' extended header (type X)"),
        (b'M', "a part of a file that began on another volume"),
        (b'N', "GNU tar's old list of long names (type N)"),
        (b'Z', "entries of type 'Z' are not read"),
        (1, "entries of type '\\u{1}' are not read"),
        (0xff, "entries of type '\\xff' are not read"),
    ] {
        assert_eq!(refused(&[Raw::new("n", kind, GNU, &[0; 512])]), format!("n: {expected}"));
    }
}

#[test]
fn one_block_of_zeros_and_more() {
    let file = Raw::file("n", b"abc").bytes();
    let tar = [&file[..], &[0; 512], &file].concat();
    let expected =
        "layer L: one block of zeros at byte 1024, and more behind it: GNU tar ends there, Go reads no such archive";
    assert_eq!(message(entries(&tar).unwrap_err()), expected);
}
