//! Layers that want to write where they must not: contract U9. Each is one line that names layer and entry, a hint, code 1,
//! and nothing outside or left behind.

use crate::bench::{Bench, entry, names_in, tar};

#[test]
fn nothing_is_written_outside() {
    let file = |name: &str| entry(b'0', name, "", b"evil");
    let link = |name: &str, target: &str| entry(b'2', name, target, b"");
    let hard = |name: &str, target: &str| entry(b'1', name, target, b"");
    let bench = Bench::new();
    bench.write("victim", b"safe");
    let outside = bench.path("outside");
    std::fs::create_dir(&outside).unwrap();
    let outside = outside.to_str().unwrap();
    let cases: &[(&[Vec<u8>], String)] = &[
        (&[file("../victim")], "../victim: climbs out of the layer by ..".into()),
        (&[file("a/b/../../../victim")], "a/b/../../../victim: climbs out of the layer by ..".into()),
        (&[file("/../victim")], "/../victim: climbs out of the layer by ..".into()),
        (
            &[link("l", ".."), file("l/victim")],
            "l/victim: climbs out of the layer through the symbolic link l -> ..".into(),
        ),
        (
            &[link("l", outside), file("l/new")],
            format!("l/new: climbs out of the layer through the symbolic link l -> {outside}"),
        ),
        (
            &[entry(b'5', "d/", "", b""), link("d/l", "../.."), link("m", "d/l"), file("m/victim")],
            "m/victim: climbs out of the layer through the symbolic link m -> d/l".into(),
        ),
        (&[hard("h", "../victim")], "h: hard link to ../victim, which climbs out of the layer by ..".into()),
        (
            &[link("l", ".."), hard("h", "l/victim")],
            "h: climbs out of the layer through the symbolic link l -> ..".into(),
        ),
        (&[file("a/.wh...")], "a/.wh...: a whiteout of ..".into()),
        (&[file("../.wh.victim")], "../.wh.victim: climbs out of the layer by ..".into()),
        (
            &[link("l", ".."), file("l/.wh.victim")],
            "l/.wh.victim: climbs out of the layer through the symbolic link l -> ..".into(),
        ),
    ];
    for (entries, message) in cases {
        for whiteouts in ["overlay", "userxattr", "apply"] {
            bench.write("evil.tar", &tar(entries));
            let (line, hint) = bench.refused(&format!("-C out --no-same-owner --whiteouts {whiteouts} evil.tar"), 1);
            assert_eq!(line, format!("layer evil.tar: {message}"));
            assert_eq!(hint, "the layer is hostile or broken; do not use this image");
            assert_eq!(names_in(&bench.path("")), ["evil.tar", "outside", "victim"], "{message}");
            assert_eq!(names_in(outside.as_ref()), [""; 0], "{message}");
        }
    }
    assert_eq!(std::fs::read(bench.path("victim")).unwrap(), b"safe");
}

#[test]
fn links_themselves_may_point_anywhere_and_are_replaced_not_followed() {
    let bench = Bench::new();
    bench.write("victim", b"safe");
    let entries = [
        entry(b'2', "l", "../victim", b""),
        entry(b'0', "l", "", b"inside"),
        entry(b'2', "m", "../victim", b""),
        entry(b'1', "n", "m", b""),
        entry(b'0', "/absolute", "", b"in"),
    ];
    bench.write("odd.tar", &tar(&entries));
    bench.unpacked("-C out --no-same-owner odd.tar");
    assert_eq!(std::fs::read(bench.path("victim")).unwrap(), b"safe");
    assert_eq!(std::fs::read(bench.path("out/l")).unwrap(), b"inside");
    assert_eq!(std::fs::read_link(bench.path("out/n")).unwrap().to_str(), Some("../victim"));
    assert_eq!(std::fs::read(bench.path("out/absolute")).unwrap(), b"in");
}

#[test]
fn names_cannot_move_the_terminals_cursor() {
    let bench = Bench::new();
    bench.write("evil.tar", &tar(&[entry(b'0', "../\x1b[2Jx", "", b"")]));
    let (line, _) = bench.refused("-C out evil.tar", 1);
    assert_eq!(line, "layer evil.tar: ../\\u{1b}[2Jx: climbs out of the layer by ..");
}

#[test]
fn a_tree_deeper_than_a_path_can_be_is_refused_and_removed() {
    let bench = Bench::new();
    // Through links, a hundred levels at a time, so that no single name is too long.
    let mut entries = Vec::new();
    let levels = "d/".repeat(45);
    let mut at = String::new();
    for level in 0..40 {
        entries.push(entry(b'0', &format!("{at}{levels}f"), "", b"x"));
        entries.push(entry(
            b'2',
            &format!("l{level}"),
            &format!("{at}{levels}").trim_end_matches('/').replace("//", "/"),
            b"",
        ));
        at = format!("l{level}/");
    }
    bench.write("deep.tar", &tar(&entries));
    bench.unpacked("-C out --no-same-owner deep.tar");
    entries.push(entry(b'0', "../out-of-here", "", b""));
    bench.write("deep.tar", &tar(&entries));
    let (line, _) = bench.refused("-C gone --no-same-owner deep.tar", 1);
    assert!(line.ends_with("climbs out of the layer by .."), "{line}");
    assert!(!bench.path("gone").exists());
    bench.sh("rm -rf out");
}
