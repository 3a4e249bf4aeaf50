//! Extended attributes that are somebody else's word, or more than a file system holds. Contract U8.

use crate::bench::Bench;
use testkit::corpus::{Item, tar};
use testkit::tree::snapshot;

#[test]
fn overlays_own_xattrs_in_a_layer_are_not_believed() {
    testkit::need!(root, overlay);
    let bench = Bench::new();
    // What an overlay would make of them: another's files, nothing of what is below, a file with other content.
    let items = [
        Item::dir("d/").xattr("trusted.overlay.redirect", "/secret").xattr("user.overlay.redirect", "/secret"),
        Item::dir("o/").xattr("trusted.overlay.opaque", "y").xattr("user.overlay.opaque", "y").xattr("user.mine", "1"),
        Item::dir("x/").xattr("trusted.overlay.opaque", "x").xattr("user.overlay.opaque", "x"),
        Item::file("x/f", b"").xattr("trusted.overlay.whiteout", "").xattr("user.overlay.whiteout", ""),
        Item::file("f", b"own")
            .xattr("trusted.overlay.metacopy", "")
            .xattr("trusted.overlay.redirect", "/secret/f")
            .xattr("user.overlay.metacopy", ""),
    ];
    bench.write("a.tar", &tar(&items));
    bench.sh(
        "mkdir -p low/d low/o low/x low/secret m; echo low | tee low/d/old low/o/old low/x/f > low/secret/f; echo low > low/f",
    );
    for (form, space, options) in
        [("overlay", "trusted", "redirect_dir=on,metacopy=on,"), ("userxattr", "user", "userxattr,")]
    {
        let out = bench.unpack(&format!("-C {form} --whiteouts {form} a.tar"));
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{stderr}");
        for line in
            ["d/: xattr trusted.overlay.redirect", "o/: xattr user.overlay.opaque", "f: xattr user.overlay.metacopy"]
        {
            assert!(stderr.contains(&format!("skipped {line} belongs to overlay file systems")), "{stderr}");
        }
        assert_eq!(snapshot(&bench.path(form)).at("o").xattrs.keys().collect::<Vec<_>>(), ["user.mine"]);
        let shown = |upper: &str| {
            bench.sh(&format!(
                "unshare -m --propagation private sh -ec 'mount -t overlay -o {options}lowerdir={upper}:low none m; cd m; {{ ls d o x; cat f x/f; }} || :' 2>&1"
            ))
        };
        assert_eq!(shown(form), "d:\nold\n\no:\nold\n\nx:\nf\nown", "{form}");
        // The mount would believe them: GNU tar lets them through.
        bench.sh(&format!(
            "rm -rf believed; mkdir believed; tar -C believed --xattrs --xattrs-include='{space}.*' -xpf a.tar 2>&1"
        ));
        assert_ne!(shown("believed"), shown(form), "{form}");
    }
}

#[test]
fn more_xattrs_than_a_file_system_holds_are_an_error_that_names_the_entry() {
    testkit::need!(root, loop, "mkfs.ext4");
    let bench = Bench::new();
    // What a name and a value may have at most is the kernel's; what a file may have in all is the file system's, and here known.
    let many = (0..64).fold(Item::file("many", b"x"), |item, n| item.xattr(format!("user.n{n}"), [b'v'; 200]));
    let cases = [
        (Item::file("f", b"x").xattr("user.big", vec![b'v'; 65_537]), "f: setxattr user.big: argument list too long"),
        (Item::file("g", b"x").xattr(format!("user.{}", "n".repeat(251)), b"v"), "numerical result out of range"),
        (Item::dir("d/").xattr("user.big", vec![b'v'; 5000]), "d/: setxattr user.big: no space left on device"),
        (many, "many: setxattr user.n"),
    ];
    for (n, (item, _)) in cases.iter().enumerate() {
        bench.write(&format!("{n}.tar"), &tar(&[Item::file("before", b"1"), item.clone()]));
    }
    bench.sh("truncate -s 16M disk; mkfs.ext4 -q -O ^ea_inode -b 4096 disk; mkdir m");
    // GNU tar warns, leaves them out and takes the layer for good.
    let report = bench.sh(&format!(
        "unshare -m --propagation private bash -c 'mount -o loop disk m; for n in {}; do
            mkdir m/tar; tar -C m/tar --xattrs --xattrs-include=\"*\" -xpf $n.tar 2> said; echo \"tar $? $(grep -c Cannot said)\"; rm -r m/tar
            $UNPACK -C m/out $n.tar 2>&1; echo \"unpack $?\"; ls m
            $UNPACK -C m/out --no-xattrs $n.tar && ls m/out; rm -r m/out; done'",
        (0..cases.len()).map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
    ));
    let parts: Vec<&str> = report.split("tar 0 ").skip(1).collect();
    assert_eq!(parts.len(), cases.len(), "{report}");
    for (n, (part, (_, why))) in parts.iter().zip(&cases).enumerate() {
        let mut lines = part.lines();
        assert_ne!(lines.next(), Some("0"), "{part}");
        let line = lines.next().unwrap_or_default();
        assert!(line.starts_with(&format!("unpack: layer {n}.tar: ")) && line.contains(why), "{part}");
        let hint = "hint: the file system is full, or holds no xattrs that large: make room, or use --no-xattrs";
        assert_eq!(lines.next(), Some(hint), "{part}");
        // Nothing is left, and without them the layer is taken.
        assert_eq!((lines.next(), lines.next()), (Some("unpack 1"), Some("lost+found")), "{part}");
        assert_eq!(lines.next(), Some("before"), "{part}");
    }
}
