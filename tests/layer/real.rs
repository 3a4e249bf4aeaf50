//! Images from real Debian content, unpacked by us and by others, mounted by the kernel and not: the same tree to the last
//! xattr. Contract U2, U8.

use crate::bench::Bench;
use std::path::Path;
use testkit::fixture;
use testkit::tree::{Tree, snapshot};

/// Debian for engines and users, too: minutes.
fn long() -> bool {
    std::env::var_os("VENEER_LONG").is_some()
}

/// Without what an overlay adds by itself, and without the root's time where no entry says it.
fn plain(tree: Tree) -> Tree {
    tree.without_xattrs(|name| name.starts_with("trusted.overlay.") || name.starts_with("user.overlay."))
        .without_times(|path, _| path.as_os_str().is_empty())
}

/// The tree that the kernel's overlay makes of folders, lowest first.
fn overlaid(bench: &Bench, folders: &[String]) -> Tree {
    let lower = folders.iter().rev().map(String::as_str).collect::<Vec<_>>().join(":");
    // An overlay wants two layers.
    bench.sh(&format!(
        "rm -rf m merged none; mkdir -p m none; unshare -m --propagation private sh -c 'mount -t overlay -o lowerdir={lower}:none none m && tar -C m --xattrs --xattrs-include=\\* --numeric-owner --format=pax -cf merged.tar . && mkdir merged && tar -C merged --xattrs --xattrs-include=\\* --numeric-owner --same-owner -xpf merged.tar'"
    ));
    plain(snapshot(&bench.path("merged")))
}

fn same(reference: &Tree, other: &Tree, what: &str) {
    assert!(reference.nodes.len() > 10, "{what}: {} entries", reference.nodes.len());
    reference.assert_same(other, what);
}

fn check(image: &Path, archive: &Path) {
    let bench = Bench::in_memory();
    let image = image.display();
    bench.sh(&format!("umoci raw unpack --image {image}:$(jq -r '.manifests[0].annotations[\"org.opencontainers.image.ref.name\"]' {image}/index.json) umoci >/dev/null"));
    let theirs = plain(snapshot(&bench.path("umoci")));
    let folders = bench.unpacked(&format!("-C out {image}"));
    same(&theirs, &overlaid(&bench, &folders), "umoci and the kernel's overlay of our folders");
    // The same from the docker-archive, from a pipe, and in one oci-archive.
    let names: Vec<String> = folders.iter().map(|f| f.trim_start_matches("out/").to_owned()).collect();
    bench.sh(&format!("tar -C {image} -cf oci.tar ."));
    for (what, script) in [
        ("docker-archive", format!("$UNPACK -C other {}", archive.display())),
        ("docker-archive on a pipe", format!("cat {} | $UNPACK -C other -", archive.display())),
        ("oci-archive", "$UNPACK -C other oci.tar".to_owned()),
    ] {
        let printed = bench.sh(&script);
        assert_eq!(printed.lines().map(|l| l.trim_start_matches("other/")).collect::<Vec<_>>(), names, "{what}");
        for name in &names {
            let of = |dir: &str| plain(snapshot(&bench.path(dir).join(name)));
            of("out").assert_same(&of("other"), what);
        }
        bench.sh("rm -r other");
    }
}

#[test]
fn busybox_is_the_same_by_all_ways() {
    testkit::need!(root, overlay, images, "umoci", "jq");
    check(&fixture::busybox_oci(), &fixture::busybox_docker_archive());
}

#[test]
fn debian_is_the_same_by_all_ways() {
    testkit::need!(root, overlay, images, "umoci", "jq");
    check(&fixture::debian_oci_gzip(), &fixture::debian_docker_archive());
}

#[test]
fn debian_in_zstd_is_debian_in_gzip() {
    testkit::need!(root, images);
    let bench = Bench::in_memory();
    let gzip = bench.unpacked(&format!("-C gzip {}", fixture::debian_oci_gzip().display()));
    let zstd = bench.unpacked(&format!("-C zstd {}", fixture::debian_oci_zstd().display()));
    assert_eq!(gzip.len(), zstd.len());
    for (one, other) in gzip.iter().zip(&zstd) {
        assert_eq!(one.trim_start_matches("gzip"), other.trim_start_matches("zstd"));
        plain(snapshot(&bench.path(one))).assert_same(&plain(snapshot(&bench.path(other))), one);
    }
}

#[test]
fn an_engines_mount_shows_the_same() {
    testkit::need!(root, images, "podman");
    let bench = Bench::new();
    let archive = if long() { fixture::debian_docker_archive() } else { fixture::busybox_docker_archive() };
    let podman = "podman --root $PWD/store --runroot $PWD/run --storage-driver vfs --cgroup-manager cgroupfs";
    bench.sh(&format!(
        "unshare -m --propagation private bash -euc 'mount -t tmpfs none /sys/fs/cgroup/unified 2>/dev/null || :
           {podman} load -q -i {0} >/dev/null; id=$({podman} images -q | head -n1); m=$({podman} image mount $id); cp -a $m podman; {podman} image umount $id >/dev/null; {podman} rmi -f $id >/dev/null'",
        archive.display()
    ));
    let folders = bench.unpacked(&format!("-C out {}", archive.display()));
    // A root that no entry names is 0555 there.
    let below = |tree: Tree| tree.keep_only(|path, _| !path.as_os_str().is_empty());
    let theirs = below(plain(snapshot(&bench.path("podman"))));
    same(&theirs, &below(overlaid(&bench, &folders)), "podman and the kernel's overlay of our folders");
}

#[test]
fn an_ordinary_user_in_their_namespaces_gets_the_same() {
    testkit::need!(root, user, images, overlay);
    let bench = Bench::new();
    let image = if long() { fixture::debian_oci_gzip() } else { fixture::busybox_oci() };
    let folders = bench.unpacked(&format!("-C out {}", image.display()));
    let expected = overlaid(&bench, &folders);
    // As the user, with their ranges of ids, in a user namespace; seen from inside.
    let scratch = testkit::user::scratch();
    let script = format!(
        "cd {}; {} --user --map-root-user --map-auto --mount -- sh -ec '{} -C out --devices skip {} > list 2> said; mkdir m none; mount -t overlay -o userxattr,lowerdir=$(tac list | tr \"\\n\" : )none none m; tar -C m --xattrs --xattrs-include=\\* --numeric-owner --format=pax -cf merged.tar .; rm -rf out'",
        scratch.path().display(),
        env!("CARGO_BIN_EXE_nsrun"),
        crate::bench::UNPACK,
        image.display()
    );
    let done = testkit::user::command("sh").arg("-c").arg(script).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    bench.sh(&format!(
        "mkdir theirs; tar -C theirs --xattrs --xattrs-include=\\* --numeric-owner --same-owner -xpf {}/merged.tar",
        scratch.path().display()
    ));
    // Devices they cannot make, and trusted xattrs they cannot set.
    let comparable = |tree: Tree| {
        plain(tree)
            .keep_only(|_, node| !matches!(node.kind, "char" | "block"))
            .without_xattrs(|n| n.starts_with("trusted."))
    };
    let dev = |tree: Tree| tree.without_times(|path, _| path.starts_with("dev"));
    same(
        &dev(comparable(expected)),
        &dev(comparable(plain(snapshot(&bench.path("theirs"))))),
        "root and an ordinary user",
    );
}
