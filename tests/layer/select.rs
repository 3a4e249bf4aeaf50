//! `--include` and `--exclude` choose what GNU tar chooses: contract U15.

use crate::bench::{Bench, names_in};
use testkit::tree::snapshot;

const TREE: &str = r"
    umask 022; mkdir -p in/a/b/c in/sp* in/etc/ssl/certs in/usr/share/doc/x in/usr/lib; cd in; export LC_ALL=C.UTF-8
    touch a/b/c/f a/b/foo 'sp*/x' etc/passwd etc/foo.conf etc/ssl/certs/ca.crt usr/share/doc/x/copyright usr/lib/lib.so.1 usr/lib/lib.a foo .hid usr/.hid2 ü 'a[b'
    ln -s a/b l; touch -d 2020-02-02 usr/lib usr; cd ..; shopt -s dotglob; (cd in; tar -cf ../a.tar *); tar -C in -cf dot.tar .
";

#[test]
fn excludes_what_tar_excludes() {
    let bench = Bench::new();
    bench.sh(TREE);
    for pattern in [
        "foo",
        "b",
        "b/c",
        "*hid*",
        ".hid",
        "?",
        "a[b",
        "a[[]b",
        "sp\\*",
        "sp*",
        "share/*",
        "c/f",
        "[a-e]tc",
        "[!a]tc",
        "[[:alpha:]]tc",
        "*.so*",
        "*",
        "usr/*/lib*",
        "l*b*.?",
        "\\foo",
        "ü",
        "[à-ÿ]",
        "a//b",
        "**",
        "*/c*",
        "f",
        "[z-a]",
    ] {
        bench.sh(&format!(
            "LC_ALL=C.UTF-8 tar -tf a.tar --exclude='{pattern}' | diff - <($UNPACK -t --exclude '{pattern}' a.tar)"
        ));
    }
    bench.sh(
        "mkdir tar; tar -C tar -xf a.tar --exclude=doc --exclude='*.a'; $UNPACK -C ours --exclude doc --exclude '*.a' a.tar",
    );
    let (tar, ours) = (snapshot(&bench.path("tar")), snapshot(&bench.path("ours")));
    let rootless = |path: &std::path::Path| path.as_os_str().is_empty();
    tar.without_times(|path, _| rootless(path)).assert_same(&ours.without_times(|path, _| rootless(path)), "exclude");
    assert!(bench.path("ours/usr/lib/lib.so.1").exists() && !bench.path("ours/usr/share/doc").exists());
}

#[test]
fn includes_what_tar_includes() {
    let bench = Bench::new();
    bench.sh(TREE);
    for pattern in ["etc", "etc/", "*foo*", "*/c", "a?b", "usr/l*", "*", "[ae]*", "*.conf", "etc/*/certs"] {
        bench.sh(&format!(
            "LC_ALL=C.UTF-8 tar -tf a.tar --wildcards '{pattern}' | diff - <($UNPACK -t --include '{pattern}' a.tar)"
        ));
    }
    bench.sh("tar -tf a.tar --wildcards etc 'a/*' --exclude='*.crt' | diff - <($UNPACK -t --include etc --include 'a/*' --exclude '*.crt' a.tar)");
    bench.unpacked("-C out --include etc/passwd --include ./usr/lib/ a.tar");
    assert_eq!(bench.sh("cd out; find . -type f | sort"), "./etc/passwd\n./usr/lib/lib.a\n./usr/lib/lib.so.1\n");
    // However the archive writes its names.
    assert_eq!(bench.sh("$UNPACK -t --include /etc/passwd --exclude ./etc/ssl dot.tar"), "./etc/passwd\n");
    let (line, hint) = bench.refused("-C none --include passwd a.tar", 1);
    assert_eq!(line, "a.tar: nothing in it fits passwd");
    assert!(hint.contains("*/NAME") && !bench.path("none").exists(), "{hint}");
}

#[test]
fn part_of_a_layer_has_not_the_layers_name() {
    testkit::need!("umoci");
    let bench = Bench::new();
    bench.sh("mkdir -p a/etc a/usr b; echo 1 > a/etc/f; echo 2 > a/usr/g; echo 3 > b/h; umoci init --layout img >/dev/null; umoci new --image img:t
              for n in a b; do tar -C $n -cf $n.tar .; umoci raw add-layer --image img:t $n.tar; done");
    let whole = bench.unpacked("-C out img");
    let part = bench.unpacked("-C out --exclude usr img");
    assert_eq!((whole.len(), part.len()), (2, 2));
    assert!(part[0].starts_with(&format!("{}-", whole[0])) && part[1].starts_with(&format!("{}-", whole[1])));
    assert_eq!(names_in(&bench.path(&part[0])), ["etc"]);
    assert_eq!(names_in(&bench.path(&whole[0])), ["etc", "usr"]);
    // The same part is there already, another is not.
    assert!(bench.unpacked("-C out --json --exclude usr img").iter().all(|l| l.contains("\"unpacked\":false")));
    assert_ne!(bench.unpacked("-C out --exclude etc img"), part);
    let before = names_in(&bench.path("out"));
    assert_eq!(bench.refused("-C out --include nope img", 1).0, "img: nothing in it fits nope");
    assert_eq!(names_in(&bench.path("out")), before);
}

#[test]
fn a_hard_link_to_what_was_left_out_is_an_error() {
    let bench = Bench::new();
    bench.sh("mkdir in; echo 1 > in/one; ln in/one in/two; tar -C in --sort=name -cf a.tar one two");
    let (line, hint) = bench.refused("-C out --exclude one a.tar", 1);
    assert_eq!(line, "layer a.tar: two: hard link to one, which is left out");
    assert_eq!(hint, "take that too, or leave this out as well");
    assert!(!bench.path("out").exists());
    bench.unpacked("-C out --exclude two a.tar");
}
