//! Files with holes, ACLs and labels, in every form that tools write them: contract U1.

use crate::bench::Bench;
use testkit::corpus::{Item, tar};
use testkit::tree::snapshot;

#[test]
fn holes_in_every_form_as_tar_unpacks_them() {
    testkit::need!(root);
    let bench = Bench::new();
    // Holes at the start, in the middle, at the end; more pieces than a header or one block of a map holds; nothing but a hole.
    bench.sh(
        r#"mkdir in; cd in; truncate -s 5M start; printf abc >> start; printf abc > end; truncate -s 5M end; truncate -s 3M none; printf plain > plain
           for i in {0..60}; do printf "piece $i" | dd of=many bs=1 seek=$((i * 65536 + i)) conv=notrunc status=none; done; truncate -s 8M many
           n=$(printf 'n%.0s' {1..150}); cp --sparse=always many $n; cd ..
           for f in gnu oldgnu posix; do tar -C in -S --format=$f -cf $f.tar .; done
           for v in 0.0 0.1 1.0; do tar -C in -S --format=posix --sparse-version=$v -cf v$v.tar .; done
           if command -v bsdtar >/dev/null; then bsdtar -C in --format=pax -cf bsd.tar .; fi"#,
    );
    for name in crate::bench::names_in(&bench.path("")).iter().filter(|name| name.ends_with(".tar")) {
        bench.sh(&format!("mkdir ref; tar -C ref -xpf {name}"));
        bench.unpacked(&format!("-C out --as layer {name}"));
        snapshot(&bench.path("ref")).assert_same(&snapshot(&bench.path("out")), name);
        let blocks = |folder: &str| -> u64 {
            let all = bench.sh(&format!("cd {folder}; stat -c %b *"));
            all.lines().map(|line| line.parse::<u64>().expect("a number")).sum()
        };
        let (ours, theirs) = (blocks("out"), blocks("ref"));
        assert!(ours <= theirs + 64, "{name}: {ours} blocks, of tar's {theirs}");
        bench.sh("rm -r ref out");
    }
}

#[test]
fn acls_and_xattrs_as_tar_unpacks_them() {
    testkit::need!(root, "setfacl", "setfattr");
    let bench = Bench::new();
    bench.sh(
        "mkdir -p in/d; echo x > in/f; setfacl -m u:4711:rwx,g:55:r in/f; setfacl -m u:4711:- in/d; setfacl -d -m u:4712:rwx,g::r in/d
         setfattr -n user.a -v 0x000aff in/f; setfattr -n user.empty in/f; ln in/f in/hard
         tar -C in --format=posix --acls --xattrs --xattrs-include='*' -cf gnu.tar .
         mkdir ref; tar -C ref --acls --xattrs --xattrs-include='*' -xpf gnu.tar
         if command -v bsdtar >/dev/null; then bsdtar -C in --format=pax --acls --xattrs -cf bsd.tar .; fi",
    );
    let reference = snapshot(&bench.path("ref"));
    assert!(reference.at("f").xattrs.contains_key("system.posix_acl_access"), "tar keeps ACLs here");
    for name in ["gnu.tar", "bsd.tar"].into_iter().filter(|name| bench.path(name).exists()) {
        bench.unpacked(&format!("-C out {name}"));
        reference.assert_same(&snapshot(&bench.path("out")), name);
        bench.sh("rm -r out");
    }
}

#[test]
fn what_cannot_be_carried_over_is_told() {
    testkit::need!("getfacl");
    let bench = Bench::new();
    let acl = "user::rw-,user:joe:rw-,user:ann:r--:1234,group::r--,mask::rw-,other::---";
    let items = [
        Item::file("f", b"x").pax("SCHILY.acl.access", acl),
        Item::file("g", b"x").pax("SCHILY.acl.ace", "owner@:rw:allow").pax("SCHILY.fflags", "nodump"),
    ];
    bench.write("a.tar", &tar(&items));
    let out = bench.unpack("-C out --no-same-owner a.tar");
    let lines = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{lines}");
    for line in [
        "f: ACL entry user:joe:rw-: no numeric id",
        "g: NFSv4 ACL: Linux has none",
        "g: file flags nodump: not carried over",
    ] {
        assert!(lines.contains(line), "{lines}");
    }
    let acl = bench.sh("getfacl -nc --omit-header out/f");
    assert_eq!(acl.trim(), "user::rw-\nuser:1234:r--\ngroup::r--\nmask::rw-\nother::---");
}
