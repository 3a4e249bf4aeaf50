//! Names, sizes, times and attributes that no honest writer writes: taken as they are where a file system can hold them, refused
//! with one line where it cannot, and shown so that no terminal takes them for orders.

use crate::bench::{Bench, names_in};
use crate::hostile::Ground;
use testkit::corpus::{Item, global, open_ended, tar};

const OWNERS: &str = "--no-same-owner";

#[test]
fn names_cannot_move_the_terminals_cursor() {
    let ground = Ground::new();
    for (name, shown) in [
        (&b"../\x1b[2Jx"[..], "../\\u{1b}[2Jx"),
        (b"../a\nunpack: all is well", "../a\\nunpack: all is well"),
        (b"../\x07\x08\r\t\x7f", "../\\u{7}\\u{8}\\r\\t\\u{7f}"),
        (b"../\xff\xfe", "../\\xff\\xfe"),
        (b"../\xc2\x9b2J", "../\\u{9b}2J"),
        ("../\u{202e}gpj.exe".as_bytes(), "../\\u{202e}gpj.exe"),
        ("../\u{2028}x\u{200b}\u{feff}".as_bytes(), "../\\u{2028}x\\u{200b}\\u{feff}"),
        ("../grün".as_bytes(), "../grün"),
    ] {
        let (line, _) = ground.refused(&tar(&[Item::file(name, b"")]), "", shown);
        assert_eq!(line, format!("{shown}: climbs out of the layer by .."));
    }
    // Nor in hints, xattr names, link targets, and what is skipped.
    let link = Item::link("l", "../\x1b[1m");
    let (line, _) = ground.refused(&tar(&[link, Item::file("l/x", b"")]), OWNERS, "link");
    assert_eq!(line, "l/x: climbs out of the layer through the symbolic link l -> ../\\u{1b}[1m");
    let (_, said) = ground.taken(&tar(&[Item::file("f", b"").xattr("user.overlay.\x1b[1m", "")]), OWNERS, "xattr");
    assert!(said.contains("user.overlay.\\u{1b}[1m") && !said.contains('\x1b'), "{said}");
    let (line, _) = ground.refused(&tar(&[Item::new(b'\x1b', "f")]), OWNERS, "type");
    assert!(!line.contains('\x1b'), "{line}");
}

#[test]
fn odd_names_are_kept_to_the_byte() {
    let ground = Ground::new();
    let names: [&[u8]; 9] =
        [b"new\nline", b"esc\x1b[2J", b"\xff\xfe\x80", b" ", b"-rf", b"*", b"\\", &[b'n'; 255], b"a\tb\x7f"];
    let items: Vec<Item> = names.iter().map(|name| Item::file(name, b"x")).collect();
    let (tree, said) = ground.taken(&tar(&items), OWNERS, "odd names");
    assert_eq!((tree.nodes.len(), said.as_str()), (names.len() + 1, ""));
    for name in names {
        assert!(tree.has(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name)));
    }
    // As long as a path can be: 4095 bytes, in parts of 255.
    let deep = format!("{}{}", format!("{}/", "p".repeat(254)).repeat(16), "q".repeat(15));
    assert_eq!(deep.len(), 4095);
    ground.bench.write("odd.tar", &tar(&[Item::file(&deep, b"x").pax("mtime", "1")]));
    ground.bench.unpacked(&format!("-C out {OWNERS} odd.tar"));
    assert_eq!(ground.bench.sh(&format!("cd out; stat -c %Y {deep}; cd ..; rm -r out")), "1\n");
}

#[test]
fn names_that_no_file_system_holds_are_refused() {
    let ground = Ground::new();
    let shown = |name: &str| name.to_owned();
    let n256 = "n".repeat(256);
    let (line, _) = ground.refused(&tar(&[Item::file(&n256, b"x")]), OWNERS, "256 bytes");
    assert_eq!(line, format!("{}: create: file name too long", shown(&n256)));
    let (line, _) = ground.refused(&tar(&[Item::dir(format!("a/{n256}/b"))]), OWNERS, "256 bytes between");
    assert!(line.contains("file name too long"), "{line}");
    let (line, _) = ground.refused(&tar(&[Item::link("l", "t".repeat(5000))]), OWNERS, "a target of 5000 bytes");
    assert!(line.contains("file name too long"), "{line}");
    // A path longer than the kernel takes at once is no such name; what was made is removed again. There is an end to depth.
    let deep = Item::file("d/".repeat(2100) + "f", b"x");
    ground.bench.write("deep.tar", &tar(std::slice::from_ref(&deep)));
    ground.bench.unpacked(&format!("-C out {OWNERS} deep.tar"));
    assert_eq!(ground.bench.sh("find out -name f | wc -l; rm -rf out deep.tar"), "1\n");
    ground.refused(&tar(&[deep, Item::file("../x", b"")]), OWNERS, "deep, and then one that climbs out");
    let (line, _) = ground.refused(&tar(&[Item::file("d/".repeat(100_000) + "f", b"x")]), OWNERS, "too deep");
    assert!(
        line.ends_with("... lies deeper than 4096 directories") || line.contains("...: lies deeper than"),
        "{line}"
    );
    let with_nul = [
        (Item::file("f", b"").pax("path", b"a\0b"), "a NUL in its PAX path"),
        (Item::link("l", "x").pax("linkpath", b"a\0b"), "a NUL in its PAX linkpath"),
        (Item::hard("l", "x").pax("linkpath", b"a\0b"), "a NUL in its PAX linkpath"),
        (Item::file("f", b"").xattr(b"user.a\0b", b"x"), "a PAX record that does not add up"),
        (Item::file("", b""), "an entry without a proper name"),
    ];
    for (item, why) in with_nul {
        let (line, _) = ground.refused(&tar(&[item]), OWNERS, why);
        assert!(line.contains(why), "{line}");
    }
    // GNU's long names end at the first NUL, as GNU tar has it.
    let (tree, _) = ground.taken(&tar(&[Item::file("f", b"").gnu_name(b"a\0../../b")]), OWNERS, "GNU");
    assert!(tree.has("a") && tree.nodes.len() == 2);
}

#[test]
fn trees_deeper_than_a_path_can_be_are_removed_again() {
    let ground = Ground::on(Bench::in_memory());
    // Through links, 120 levels at a time, so that no single name is too long. Less than 20 links: the kernel counts those it
    // followed before it had to start again (fs/namei.c, total_link_count), so of its 40 only half can be relied on.
    let mut items = Vec::new();
    let levels = "d/".repeat(120);
    let mut at = String::new();
    for level in 0..19 {
        let below = format!("{at}{levels}");
        items.push(Item::file(format!("{below}f"), b"x"));
        items.push(Item::link(format!("l{level}"), below.trim_end_matches('/')));
        at = format!("l{level}/");
    }
    // In one name of 5,000 bytes, too.
    items.push(Item::file("e/".repeat(2_500) + "f", b"x"));
    ground.bench.write("odd.tar", &tar(&items));
    ground.bench.unpacked(&format!("-C out {OWNERS} odd.tar"));
    ground.bench.sh("rm -rf out");
    items.push(Item::file("../out-of-here", b""));
    let (line, _) = ground.refused(&tar(&items), OWNERS, "deep");
    assert!(line.ends_with("climbs out of the layer by .."), "{line}");
    let deep = tar(&items);
    ground.refused_into_a_full_folder(&deep, OWNERS, &line);
    // As many links as the kernel surely follows, and one more than it ever does.
    let chain = |count: usize| {
        let mut items = vec![Item::dir("d0/")];
        items.extend((1..=count).map(|n| Item::link(format!("d{n}"), format!("d{}", n - 1))));
        items.push(Item::file(format!("d{count}/f"), b"x"));
        tar(&items)
    };
    assert!(ground.taken(&chain(20), OWNERS, "20 links").0.has("d0/f"));
    assert_eq!(ground.refused(&chain(41), OWNERS, "41 links").0, "d41/f: too many symbolic links on the way to it");
    let circle = tar(&[Item::link("a", "b"), Item::link("b", "a"), Item::file("a/f", b"")]);
    assert_eq!(ground.refused(&circle, OWNERS, "a circle").0, "a/f: too many symbolic links on the way to it");
    let self_link = tar(&[Item::link("a", "a"), Item::file("a/f", b"")]);
    assert_eq!(ground.refused(&self_link, OWNERS, "itself").0, "a/f: too many symbolic links on the way to it");
}

#[test]
fn sizes_that_lie() {
    let ground = Ground::new();
    let cut = "is cut short: ends in the middle of a file";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (tar(&[Item::file("f", b"x").claims(4096)]), cut),
        (open_ended(&[Item::file("f", vec![0; 512]).claims(1 << 20)]), cut),
        (tar(&[Item::file("f", b"x").claims(1 << 40)]), cut),
        (tar(&[Item::file("f", b"x").claims(1 << 62)]), cut),
        (tar(&[Item::file("f", b"x").claims(1 << 63)]), "f: bad size in its header"),
        (tar(&[Item::file("f", b"x").claims(u64::MAX)]), "f: bad size in its header"),
        (tar(&[Item::file("f", b"x").raw(124, &[0xff; 12])]), "f: negative size in its header"),
        (tar(&[Item::file("f", b"x").raw(124, &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]), "f: bad size in its header"),
        (tar(&[Item::file("f", b"x").raw(124, b"0000000001x\0")]), "f: bad size in its header"),
        (tar(&[Item::file("f", b"x").raw(124, b"-0000000001\0")]), "f: bad size in its header"),
        (tar(&[Item::file("f", b"x").pax("size", "-1")]), "bad size in its PAX header"),
        (tar(&[Item::file("f", b"x").pax("size", "+1")]), "bad size in its PAX header"),
        (tar(&[Item::file("L", b"name\0").raw(156, b"L")]), "behind an extended header"),
        (tar(&[Item::file("f", b"").pax(b"pa\0th", b"x")]), "PAX"),
        (tar(&[Item::file("f", b"x").pax("size", "1.0")]), "bad size in its PAX header"),
        (tar(&[Item::file("f", b"x").pax("size", "99999999999999999999")]), "bad size in its PAX header"),
        (tar(&[Item::file("f", b"x").pax("size", "9223372036854775807")]), cut),
        (tar(&[Item::file("f", b"x").pax("size", "18446744073709551615")]), ""),
        (tar(&[Item::file("f", b"x").bad_checksum()]), ""),
        (tar(&[Item::file("f", b"x"), Item::file("g", b"x").bad_checksum()]), "bad tar header at byte 1024"),
        (tar(&[Item::file("f", b"").after(&global(&[("path", "g")]))]), "a global PAX header that names one entry"),
        (tar(&[Item::file("f", b"").after(&global(&[("size", "0")]))]), "a global PAX header that names one entry"),
        (tar(&[Item::file("f", b"").pax_raw(b"0 a=b\n")]), "a PAX record that does not add up"),
        (tar(&[Item::file("f", b"").pax_raw(b"9999999999 a=b\n")]), "a PAX record that does not add up"),
        (tar(&[Item::file("f", b"").pax_raw(b"-7 a=b\n")]), "a PAX record that does not add up"),
        (tar(&[Item::file("f", b"").pax_raw(b"6 a=bc\n")]), "a PAX record that does not add up"),
        (tar(&[Item::file("f", b"").pax_raw(b"6 a=b")]), "a PAX record that does not add up"),
        (tar(&[Item::file("x", b"").raw(156, b"x").claims(1 << 30)]), "a PAX header of 1073741824 bytes"),
        (tar(&[Item::file("x", b"").raw(156, b"L").claims(1 << 30)]), "a name of 1073741824 bytes"),
        (tar(&[Item::file("x", b"").raw(156, b"L").claims(1 << 62)]), "a name of 4611686018427387904 bytes"),
        (open_ended(&[Item::file("L", b"name\0").raw(156, b"L")]), "is cut short: ends behind an extended header"),
        (
            tar(&[Item::file("x", b"").raw(156, b"x").data(b"")]).into_iter().take(512).collect(),
            "behind an extended header",
        ),
    ];
    for (layer, why) in &cases {
        let (line, hint) = ground.refused(layer, OWNERS, why);
        assert!(line.contains(why), "{line}\nwanted {why}");
        assert!(!hint.is_empty(), "{line}: no hint");
        ground.refused_into_a_full_folder(layer, OWNERS, &line);
    }
}

#[test]
fn times_modes_and_owners_at_their_limits() {
    testkit::need!(root);
    let ground = Ground::new();
    let items = [
        Item::file("before", b"").mtime("-1.5"),
        Item::file("base256", b"").raw(136, &[0xff; 12]),
        Item::file("zero", b"").mtime("0"),
        Item::file("nanoseconds", b"").mtime("1.123456789123"),
        Item::file("set-id", b"#!").mode(0o6755),
        Item::dir("sticky/").mode(0o1777),
        Item::file("all-bits", b"").mode(0o100_7777),
        Item::file("nobody", b"").owner(65534, 65534).mode(0o4755),
        Item::file("far", b"").pax("uid", "4294967294").pax("gid", "4294967294"),
        Item::file("future", b"").mtime("1099511627776"),
    ];
    let (tree, said) = ground.taken(&tar(&items), "", "limits");
    assert_eq!(said, "");
    assert_eq!(tree.at("before").mtime, Some((-2, 500_000_000)));
    assert_eq!(tree.at("base256").mtime, Some((-1, 0)));
    assert_eq!(tree.at("zero").mtime, Some((0, 0)));
    assert_eq!(tree.at("nanoseconds").mtime, Some((1, 123_456_789)));
    assert_eq!(tree.at("set-id").mode, 0o6755);
    assert_eq!(tree.at("sticky").mode, 0o1777);
    assert_eq!(tree.at("all-bits").mode, 0o7777);
    assert_eq!((tree.at("nobody").mode, tree.at("nobody").owner), (0o4755, (65534, 65534)));
    assert_eq!(tree.at("far").owner, (u32::MAX - 1, u32::MAX - 1));
    for (item, why) in [
        (Item::file("f", b"").pax("uid", "4294967295"), "owner 4294967295 is no id that Linux knows"),
        (Item::file("f", b"").pax("gid", "4294967296"), "group 4294967296 is no id that Linux knows"),
        (Item::file("f", b"").raw(108, &[0xff; 8]), "negative owner in its header"),
        (Item::file("f", b"").pax("uid", "-1"), "bad uid in its PAX header"),
        (Item::file("f", b"").mtime("99999999999999999999"), "bad mtime in its PAX header"),
        (Item::file("f", b"").mtime("nan"), "bad mtime in its PAX header"),
        (Item::file("f", b"").mtime("1e3"), "bad mtime in its PAX header"),
    ] {
        let (line, hint) = ground.refused(&tar(&[item]), "", why);
        assert!(line.contains(why), "{line}");
        assert!(!hint.is_empty(), "{line}: no hint");
    }
}

#[test]
fn xattrs_at_their_limits() {
    testkit::need!(root);
    let ground = Ground::new();
    let (tree, _) =
        ground.taken(&tar(&[Item::file("f", b"x").xattr("user.a", vec![7; 2000]).xattr("user.b", "")]), "", "2000");
    assert_eq!((tree.at("f").xattrs["user.a"].len(), tree.at("f").xattrs["user.b"].len()), (2000, 0));
    for (item, why) in [
        (Item::file("f", b"").xattr("user.big", vec![7; 65_537]), "setxattr user.big: argument list too long"),
        (Item::file("f", b"").xattr("user.".to_owned() + &"n".repeat(251), "x"), "numerical result out of range"),
        (Item::file("f", b"").xattr("", "x"), "xattr"),
        (
            Item::file("f", b"").xattr("security.capability", "nonsense"),
            "setxattr security.capability: invalid argument",
        ),
    ] {
        let (line, _) = ground.refused(&tar(&[item]), "", why);
        assert!(line.contains(why), "{line}\nwanted {why}");
    }
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let item = Item::file("f", b"x").owner(5, 5).mode(0o4755).xattr("security.capability", capability);
    let (tree, said) = ground.taken(&tar(&[item]), "", "capability");
    assert_eq!(said, "");
    assert_eq!(tree.at("f").xattrs["security.capability"], capability);
    assert_eq!(tree.at("f").mode, 0o4755);
}

#[test]
fn an_image_inside_a_layer_stays_a_file() {
    let ground = Ground::new();
    let inner =
        tar(&[Item::file("manifest.json", b"[]"), Item::file("oci-layout", b"{}"), Item::file("../victim", b"evil")]);
    let layer =
        tar(&[Item::file("image.tar", &inner), Item::file("manifest.json", b"[]"), Item::file("index.json", b"{}")]);
    let (tree, _) = ground.taken(&layer, OWNERS, "an image in a layer");
    assert_eq!(tree.at("image.tar").size, inner.len() as u64);
    assert_eq!(tree.nodes.len(), 4);
    // A layer with nothing in it but an image's names is told apart by the user.
    let (tree, _) =
        ground.taken(&tar(&[Item::file("manifest.json", b"[]")]), &format!("{OWNERS} --as layer"), "as told");
    assert!(tree.has("manifest.json"));
}

#[test]
fn devices_without_the_right_to_make_them() {
    testkit::need!(root, "setpriv", "unshare");
    let bench = Bench::new();
    let devices = [Item::char_device("null", 1, 3), Item::new(b'4', "disk").octal(329, 8, 8).octal(337, 8, 0)];
    for (at, device) in devices.into_iter().enumerate() {
        let name = ["null", "disk"][at];
        bench.write("a.tar", &tar(&[Item::file("f", b""), device]));
        for without in ["setpriv --bounding-set -mknod --inh-caps -mknod", "unshare --user --map-root-user"] {
            let script = format!("{without} $UNPACK -C out --no-same-owner a.tar");
            let (line, hint) = crate::bench::refusal(&bench.try_sh(&script), 1, &script);
            assert_eq!(line, format!("layer a.tar: {name}: mknod: operation not permitted"));
            assert!(hint.contains("--rootless") || hint.contains("--devices"), "{hint}");
            assert_eq!(names_in(&bench.path("")), ["a.tar"]);
        }
    }
}
