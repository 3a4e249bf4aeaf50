//! Layer to directory to layer to directory: the same tree, and what we packed ourselves comes back with the same digest.
//! Contract U24.

use crate::bench::Bench;
use std::path::Path;
use testkit::fixture;
use testkit::tree::snapshot;

/// Each layer of the layout `img`, there and back.
fn round(bench: &Bench, img: &Path) {
    let layers = bench.sh(&format!(
        "m=$(jq -r '.manifests[0].digest' {0}/index.json); jq -r '.layers[].digest' {0}/blobs/sha256/${{m#sha256:}}",
        img.display()
    ));
    assert!(!layers.is_empty());
    for digest in layers.lines() {
        let blob = img.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
        bench.sh(&format!(
            "rm -rf a b; $UNPACK -C a {0}; $UNPACK pack --json -c gzip:1 -o a.gz a > a.json; $UNPACK -C b a.gz; $UNPACK pack --json -c zstd:1 -o b.zst b > b.json
             [ $(jq -r .diff_id a.json) = $(jq -r .diff_id b.json) ]; $UNPACK verify b a.gz; $UNPACK verify a b.zst",
            blob.display()
        ));
        // A whiteout has no time of its own; a layer without an entry for its root gets that of unpacking, which is then kept.
        let read = |name: &str| snapshot(&bench.path(name)).without_times(|_, node| node.device == Some((0, 0)));
        read("a").assert_same(&read("b"), digest);
    }
}

#[test]
fn layers_of_real_images() {
    testkit::need!(root, images, "jq");
    let bench = Bench::new();
    round(&bench, &fixture::debian_oci_gzip());
    round(&bench, &fixture::busybox_oci_zstd());
}

#[test]
fn a_layer_that_another_engine_made() {
    testkit::need!(root, "buildah", "jq");
    let bench = Bench::new();
    bench.sh(
        "mkdir -p t/etc t/opt; echo a > t/etc/a; echo b > t/opt/b; ln t/opt/b t/opt/c; chown 5:6 t/opt/b; setcap cap_net_raw=ep t/opt/b 2>/dev/null || :
         S=\"--root $PWD/store --runroot $PWD/run --storage-driver vfs\"; id=$(buildah $S from scratch); buildah $S copy -q $id t / >/dev/null; buildah $S commit -q $id oci:img:t >/dev/null 2>&1; buildah $S rm $id >/dev/null",
    );
    round(&bench, &bench.path("img"));
}
