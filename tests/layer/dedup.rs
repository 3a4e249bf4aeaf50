//! Equal files of different layers share their blocks, and only those, and no tree is another for it.

use crate::bench::Bench;
use std::os::unix::fs::MetadataExt;
use testkit::tree::{Tree, snapshot};

/// Three layers: `same` and `linked` equal in all, `mode`, `time` and `attr` in content alone; `twice/*` two equal ones in one layer.
const IMAGE: &str = r#"
    umask 022
    head -c 100000 /dev/urandom > data; head -c 70000 /dev/urandom > other; head -c 2000 /dev/urandom > little
    for n in 1 2 3; do
        mkdir -p $n/d$n $n/twice; for f in same mode time attr; do cp data $n/d$n/$f; done
        cp other $n/linked; ln $n/linked $n/d$n/linked; cp other $n/twice/a; cp other $n/twice/b; cp little $n/little
        chmod 60$n $n/d$n/mode; touch -d 2001-01-0$n $n/d$n/time; setfattr -n user.n -v $n $n/d$n/attr
        touch -d 2000-01-01 $n/d$n/same $n/d$n/attr $n/linked $n/twice/* $n/little; touch -d 2000-01-01 $n/d$n/mode $n/d$n $n/twice $n
    done
    umoci init --layout img >/dev/null; umoci new --image img:t
    for n in 1 2 3; do tar -C $n --xattrs --xattrs-include='user.*' -cf $n.tar .; umoci raw add-layer --image img:t $n.tar; done
"#;

fn inode(bench: &Bench, path: &str) -> u64 {
    bench.path(path).metadata().unwrap_or_else(|e| panic!("{path}: {e}")).ino()
}

/// A file whose other names are in other layers has one in this.
fn alone(mut tree: Tree) -> Tree {
    let names: Vec<_> = tree.nodes.values().filter_map(|node| node.same_as.clone()).collect();
    for node in tree.nodes.values_mut() {
        if names.iter().filter(|name| node.same_as.as_ref() == Some(name)).count() == 1 {
            node.same_as = None;
        }
    }
    tree
}

#[test]
fn hard_links_where_all_is_equal() {
    testkit::need!(root, "umoci", "setfattr");
    let bench = Bench::new();
    bench.sh(IMAGE);
    let plain = bench.unpacked("-C plain img:t");
    let folders = bench.unpacked("--dedup hardlink -C out img:t");
    let at = |n: usize, name: &str| inode(&bench, &format!("{}/{}", folders[n - 1], name));
    assert!(at(1, "d1/same") == at(2, "d2/same") && at(2, "d2/same") == at(3, "d3/same"));
    for name in ["mode", "time", "attr"] {
        assert_ne!(at(1, &format!("d1/{name}")), at(2, &format!("d2/{name}")), "{name}");
    }
    // A layer's own links stay a group of their own; two equal files of a layer stay two.
    assert!(at(1, "linked") == at(1, "d1/linked") && at(1, "linked") != at(2, "linked"));
    assert!(at(2, "twice/a") != at(2, "twice/b"));
    assert_ne!(at(1, "little"), at(2, "little"));
    for (plain, folder) in plain.iter().zip(&folders) {
        let shared = alone(snapshot(&bench.path(folder)));
        alone(snapshot(&bench.path(plain))).assert_same(&shared, "the same tree, shared or not");
    }
    // A layer that was there takes part, and does not change.
    bench.sh(&format!("rm -r {}", folders[2]));
    let before = at(1, "d1/same");
    let lines = bench.unpacked("--dedup hardlink --json -C out img:t");
    assert_eq!((before, at(1, "d1/same")), (at(3, "d3/same"), before));
    assert!(lines[2].contains("\"shared_bytes\":") && !lines[2].contains("\"shared_bytes\":0"), "{}", lines[2]);
}

#[test]
fn reflinks_where_the_file_system_has_them() {
    testkit::need!(root, loop, "umoci", "setfattr", "mkfs.xfs");
    let bench = Bench::new();
    bench.sh(IMAGE);
    let out = bench.sh("truncate -s 400M disk; mkfs.xfs -q disk; mkdir m
         unshare -m --propagation private bash -euc '
           mount -o loop disk m; $UNPACK -C m/plain img:t > /dev/null; sync -f m; a=$(df --output=used -B1 m | tail -n1)
           $UNPACK --dedup reflink -C m/out img:t > /dev/null; sync -f m; b=$(df --output=used -B1 m | tail -n1)
           diff -r --no-dereference m/plain m/out; find m/out -name attr | xargs cat | sha256sum; echo $((b - a))'");
    let used: i64 = out.lines().last().unwrap().trim().parse().unwrap();
    // 12 files of 100,000 bytes become one; a folder of its own takes 2.2 MB.
    assert!(used < 1_200_000, "{used}");
    let (line, hint) = bench.refused("--dedup reflink -C /dev/shm/veneer-dedup-test img:t", 1);
    assert!(line.contains("cannot share blocks"), "{line}");
    assert!(hint.contains("hardlink"), "{hint}");
    assert!(!std::path::Path::new("/dev/shm/veneer-dedup-test").exists());
}
