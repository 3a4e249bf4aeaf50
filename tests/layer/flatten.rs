//! All layers into one root file system: what umoci makes of an image, and what an overlay of its layers shows: contract U10.

use crate::bench::{Bench, names_in};
use testkit::tree::snapshot;

/// Three layers into `img:t`, with all that layers do to each other: removed, opaque, replaced by another type, linked, dressed.
const IMAGE: &str = r#"
    umask 022
    mkdir -p 1/{etc,usr/bin,var/log,gone/deep,op/old,dir2file,same}
    echo one > 1/etc/conf; echo keep > 1/etc/keep; echo x > 1/gone/deep/f; echo x > 1/op/old/f; echo x > 1/dir2file/f
    echo f > 1/file2dir; ln -s etc 1/link; echo s > 1/usr/bin/su; chown 1:2 1/usr/bin/su; chmod 4755 1/usr/bin/su
    ln 1/etc/keep 1/usr/keep; setfattr -n user.a -v 1 1/etc/conf; chmod 700 1/var/log; chown 10:11 1/var/log; mkfifo 1/pipe
    setfattr -n user.d -v d 1/etc; mknod 1/null c 1 3; touch -d 2001-02-03 1/etc 1/usr 1/var/log 1/same
    mkdir -p 2/{etc,op/new,file2dir,usr/bin}; echo two > 2/etc/conf; touch 2/.wh.gone 2/op/.wh..wh..opq 2/.wh.dir2file
    echo n > 2/op/new/f; echo d > 2/file2dir/f; chmod 1777 2/op; touch -d 2002-02-03 2/etc 2/op 2/file2dir 2/usr
    echo file > 2/dir2file; ln -s ../etc/conf 2/usr/bin/conf; touch 2/usr/.wh.keep
    mkdir -p 3/{gone,etc}; echo back > 3/gone/g; touch 3/.wh.pipe; ln 3/gone/g 3/gone/h; touch 3/etc/.wh.conf
    touch -d 2003-02-03 3/gone 3/etc; chmod 750 3/gone
    umoci init --layout img >/dev/null; umoci new --image img:t
    for n in 1 2 3; do tar -C $n --xattrs --xattrs-include='user.*' --numeric-owner -cf $n.tar .; umoci raw add-layer --image img:t $n.tar; done
"#;

#[test]
fn the_tree_is_umocis_and_the_overlays() {
    testkit::need!(root, overlay, "umoci", "setfattr");
    let bench = Bench::new();
    bench.sh(IMAGE);
    assert_eq!(bench.unpacked("--flatten -C out img:t"), ["out"]);
    let ours = snapshot(&bench.path("out"));
    assert_eq!(ours.at("usr/bin/su").mode, 0o4755);
    assert!(
        !ours.has("usr/keep") && !ours.has("op/old") && !ours.has("pipe") && ours.has("gone/h") && ours.has("dir2file")
    );
    bench.sh("umoci raw unpack --image img:t ref");
    // umoci leaves the time of a directory it removed something from as that made it.
    snapshot(&bench.path("ref"))
        .without_times(|path, n| n.kind == "directory" && path != "same")
        .assert_same(&ours.clone().without_times(|path, n| n.kind == "directory" && path != "same"), "umoci");
    bench.unpacked("-C layers img:t");
    let merged = bench.path("merged");
    std::fs::create_dir(&merged).unwrap();
    // One image by three ways: its overlay, seen from inside a mount namespace of its own.
    bench.sh(
        "lower=$($UNPACK -C layers img:t | tac | paste -sd:)
         unshare -m --propagation private sh -c 'mount -t overlay -o lowerdir='$lower' none merged && tar -C merged --xattrs --xattrs-include=\"user.*\" --numeric-owner -cf merged.tar .'
         mkdir again; tar -C again --xattrs --xattrs-include='user.*' --numeric-owner -xpf merged.tar",
    );
    snapshot(&bench.path("again")).assert_same(&ours, "overlay");
}

#[test]
fn into_an_empty_folder_and_never_into_a_full_one() {
    testkit::need!(root, "umoci", "setfattr");
    let bench = Bench::new();
    bench.sh(IMAGE);
    bench.sh("mkdir empty full; echo mine > full/f");
    bench.unpacked("--flatten -C empty -j 1 img:t");
    bench.unpacked("--flatten -C new -j 4 img:t");
    snapshot(&bench.path("empty")).assert_same(&snapshot(&bench.path("new")), "one worker and four");
    let before = snapshot(&bench.path("full"));
    let (line, hint) = bench.refused("--flatten -C full img:t", 1);
    assert_eq!(line, "full: is not empty");
    assert!(hint.contains("empty or does not exist"), "{hint}");
    before.assert_same(&snapshot(&bench.path("full")), "the full folder");
}

#[test]
fn a_layer_that_fails_takes_all_back() {
    testkit::need!(root, "umoci", "setfattr");
    let bench = Bench::new();
    bench.sh(IMAGE);
    // The second layer's content is not what its name says.
    bench
        .sh(r#"mkdir empty; m=$(grep -l '"layers"' img/blobs/sha256/* | xargs ls -S | head -n1); b=$(grep -o 'sha256:[0-9a-f]*' $m | sed -n 3p)
           printf x >> img/blobs/sha256/${b#sha256:}"#);
    for dir in ["empty", "new"] {
        let (line, _) = bench.refused(&format!("--flatten -C {dir} img:t"), 1);
        assert!(line.starts_with("layer sha256:"), "{line}");
        assert!(names_in(&bench.path(dir)).is_empty());
    }
    assert!(bench.path("empty").exists() && !bench.path("new").exists());
    assert!(names_in(&bench.path(".")).iter().all(|name| !name.starts_with(".unpack-")));
}
