//! Images of every form come out as the same folders, and these as the image's tree: contract U2 to U5, U8.

use crate::bench::{Bench, names_in};
use std::path::PathBuf;
use testkit::fixture;
use testkit::tree::{Tree, snapshot};

/// Three layers, the upper two hiding and replacing; `img` is an OCI layout of them by umoci, tagged `t`.
const LAYERS: &str = r#"
    umask 022
    mkdir -p r1/{etc,usr/{bin,lib},gone/deep,opq,become-file,run}; echo base > r1/etc/conf; echo lib > r1/usr/lib/lib; ln r1/usr/lib/lib r1/usr/lib/hard
    echo 1 > r1/gone/deep/f; echo 1 > r1/opq/old; echo 1 > r1/become-file/f; echo 1 > r1/become-dir; ln -s usr/bin r1/bin; ln -s /run r1/usr/run
    chmod 4755 r1/usr/lib/lib; chown -R 33:44 r1/opq; touch -d '2015-05-05 05:05:05.055' r1/etc/conf r1/usr/lib r1/etc
    mkdir -p r2/{etc,opq,become-dir,usr/bin}; echo changed > r2/etc/conf; touch r2/.wh.gone r2/opq/.wh..wh..opq; echo 2 > r2/opq/new
    echo 2 > r2/become-file; echo 2 > r2/become-dir/f; echo 2 > r2/usr/bin/tool; touch -d 2016-06-06 r2/usr/bin r2/opq
    mkdir -p r3/etc r3/gone; touch r3/etc/.wh.conf; echo 3 > r3/gone/back; touch -d 2017-07-07 r3/etc r3/gone
    umoci init --layout img >/dev/null; umoci new --image img:t
    for n in 1 2 3; do tar -C r$n --format=pax --numeric-owner -cf l$n.tar .; umoci raw add-layer --image img:t l$n.tar; done
"#;

fn layers() -> Bench {
    let bench = Bench::new();
    bench.sh(LAYERS);
    bench
}

/// The trees of the printed folders, without their places.
fn trees(bench: &Bench, folders: &[String]) -> Vec<Tree> {
    folders.iter().map(|f| snapshot(&bench.path(f))).collect()
}

#[test]
fn every_form_of_an_image_gives_the_same_folders() {
    testkit::need!(root, "umoci", "skopeo", "zstd");
    let bench = layers();
    let reference = bench.unpacked("-C ref img:t");
    assert_eq!(reference.len(), 3);
    let names: Vec<&str> = reference.iter().map(|f| f.trim_start_matches("ref/")).collect();
    // The first chain id is the first diff id.
    assert_eq!(names[0], bench.sh("sha256sum < l1.tar").split(' ').next().unwrap());
    let expected = trees(&bench, &reference);

    bench.sh("skopeo --insecure-policy copy -q oci:img:t oci-archive:oci.tar:t
         skopeo --insecure-policy copy -q oci:img:t docker-archive:docker.tar:some/name:t
         skopeo --insecure-policy copy -q --dest-compress-format zstd oci:img:t oci:zst:t
         tar -C img -cf dot.tar .; gzip -k docker.tar; zstd -q oci.tar; mkfifo p");
    for image in [
        "img",
        "oci.tar",
        "oci.tar:t",
        "docker.tar",
        "docker.tar:some/name:t",
        "zst:t",
        "dot.tar",
        "docker.tar.gz",
        "oci.tar.zst",
    ] {
        let folders = bench.unpacked(&format!("-C out {image}"));
        assert_eq!(folders.iter().map(|f| f.trim_start_matches("out/")).collect::<Vec<_>>(), names, "{image}");
        for (expected, tree) in expected.iter().zip(trees(&bench, &folders)) {
            expected.assert_same(&tree, image);
        }
        assert_eq!(names_in(&bench.path("out")).len(), 3, "{image}");
        bench.sh("rm -r out");
    }
    for pipe in [
        "cat docker.tar | $UNPACK -C out -",
        "cat oci.tar.zst | $UNPACK -C out -:t",
        "$UNPACK -C out - < docker.tar",
        "$UNPACK -C out <(cat dot.tar)",
    ] {
        let printed = bench.sh(pipe);
        assert_eq!(
            printed.lines().collect::<Vec<_>>(),
            reference.iter().map(|f| f.replace("ref/", "out/")).collect::<Vec<_>>()
        );
        for (expected, name) in expected.iter().zip(&names) {
            expected.assert_same(&snapshot(&bench.path("out").join(name)), pipe);
        }
        bench.sh("rm -r out");
    }
    let printed = bench.sh("$UNPACK -z -C ref img");
    assert_eq!(printed, reference.iter().map(|f| format!("{f}\0")).collect::<String>());
}

#[test]
fn whiteouts_come_out_in_the_overlays_form_and_the_overlay_is_the_image() {
    testkit::need!(root, overlay, "umoci");
    let bench = layers();
    let folders = bench.unpacked("-C out img:t");
    let two = snapshot(&bench.path(&folders[1]));
    assert_eq!((two.at("gone").kind, two.at("gone").device), ("char", Some((0, 0))));
    assert_eq!(two.at("opq").xattrs["trusted.overlay.opaque"], b"y");
    assert!(!two.has("opq/.wh..wh..opq") && !two.has(".wh.gone"));

    bench.sh("umoci raw unpack --image img:t umoci >/dev/null");
    let theirs = snapshot(&bench.path("umoci"));
    assert!(theirs.has("gone/back") && !theirs.has("etc/conf") && !theirs.has("opq/old"));
    for n in 1..4 {
        bench.unpacked(&format!("-C flat --whiteouts apply l{n}.tar"));
    }
    theirs.assert_same(&snapshot(&bench.path("flat")), "umoci and the layers carried out");

    let lower = folders.iter().rev().map(String::as_str).collect::<Vec<_>>().join(":");
    let script = format!(
        "mkdir m; unshare -m --propagation private sh -c 'mount -t overlay -o lowerdir={lower} none m && cp -a m merged'"
    );
    bench.sh(&script);
    let dirless = |tree: Tree| tree.without_xattrs(|n| n.starts_with("trusted.overlay."));
    dirless(theirs).assert_same(&dirless(snapshot(&bench.path("merged"))), "umoci and the overlay");
}

#[test]
fn a_second_time_nothing_is_done() {
    testkit::need!(root, "umoci");
    let bench = layers();
    let first = bench.unpacked("-C out img:t");
    let before = bench.sh("find out -printf '%i %C@ %p\\n' | sort");
    assert_eq!(bench.unpacked("-C out img:t"), first);
    assert_eq!(bench.sh("find out -printf '%i %C@ %p\\n' | sort"), before);
    let lines = bench.unpacked("-C out --json img:t");
    assert!(lines.len() == 3 && lines.iter().all(|l| l.contains("\"unpacked\":false")), "{lines:?}");
    // Only what is missing, and without reading the others' blobs.
    bench.sh(&format!(
        "rm -r {}; find img/blobs -size +0 -exec sh -c 'gzip -t $1 2>/dev/null && truncate -s 0 $1' - {{}} ';'",
        first[2]
    ));
    let (line, _) = bench.refused("-C out img:t", 1);
    assert!(line.contains(": is cut short: 0 of "), "{line}");
    assert_eq!(names_in(&bench.path("out")).len(), 2);
}

#[test]
fn json_tells_each_layer() {
    testkit::need!(root, "umoci");
    let bench = layers();
    let lines = bench.unpacked("-C out --json img:t");
    for (n, line) in lines.iter().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let sum = bench.sh(&format!("sha256sum < l{}.tar", n + 1));
        assert_eq!(value["diff_id"], format!("sha256:{}", sum.split(' ').next().unwrap()));
        assert_eq!(value["unpacked"], true);
        assert_eq!(value["path"], format!("out/{}", value["chain_id"].as_str().unwrap().trim_start_matches("sha256:")));
        assert!(value["entries"].as_u64().unwrap() > 3 && value["tar_bytes"].as_u64().unwrap() >= 10240, "{line}");
        assert!(value["digest"].as_str().unwrap().starts_with("sha256:"), "{line}");
    }
}

#[test]
fn several_images_in_one_archive_and_a_layer_twice() {
    testkit::need!(root, "umoci");
    let bench = layers();
    bench.sh("umoci tag --image img:t u; umoci raw add-layer --image img:u l3.tar");
    let (line, hint) = bench.refused("-C out img", 1);
    assert_eq!((line.as_str(), hint.as_str()), ("img: holds 2 images", "name one: img:REF with REF of t, u"));
    let folders = bench.unpacked("-C out img:u");
    assert_eq!(folders.len(), 4);
    // The same layer on top of itself is another chain: the kernel's overlay refuses one folder twice. Contract U4.
    assert_ne!(folders[2], folders[3]);
    let trees = trees(&bench, &folders);
    trees[2].assert_same(&trees[3], "the layer that comes twice");
    assert_eq!(bench.unpacked("-C out img:t"), folders[..3]);
}

#[test]
fn a_reader_that_wants_no_more_is_no_failure() {
    testkit::need!(root, "umoci");
    let bench = layers();
    bench.sh("set +o pipefail; { $UNPACK -C out img:t; echo $? > code; } | true; [ $(cat code) = 0 ]; [ $(ls out | wc -l) = 3 ]");
}

#[test]
fn a_real_image_as_umoci_has_it() {
    testkit::need!(root, images, overlay, "umoci", "jq");
    let bench = Bench::in_memory();
    let show = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (gzip, zstd) = (show(fixture::debian_oci_gzip()), show(fixture::debian_oci_zstd()));
    // umoci takes no tag with a colon in it.
    bench.sh(&format!("cp -r {gzip} img; sed -i 's/\"debian:12\"/\"t\"/' img/index.json; umoci raw unpack --image img:t umoci >/dev/null"));
    // These layers have no entry for the root, whose time then is that of unpacking.
    let read = |name: &str| {
        let tree = snapshot(&bench.path(name)).without_xattrs(|n| n.starts_with("trusted.overlay."));
        tree.without_times(|path, _| path.as_os_str().is_empty())
    };
    let umoci = read("umoci");
    assert!(umoci.nodes.len() > 3000 && umoci.nodes.values().any(|n| n.xattrs.contains_key("security.capability")));

    let folders = bench.unpacked(&format!("-C a {gzip}"));
    assert_eq!(folders.len(), 4);
    let lower = folders.iter().rev().map(String::as_str).collect::<Vec<_>>().join(":");
    bench.sh(&format!(
        "mkdir m; unshare -m --propagation private sh -c 'mount -t overlay -o lowerdir={lower} none m && cp -a m merged'"
    ));
    umoci.assert_same(&read("merged"), "umoci and the overlay of the folders");
    // The docker-archive is the same image, so there is nothing to do.
    let lines = bench.unpacked(&format!("-C a --json {}", show(fixture::debian_docker_archive())));
    assert!(lines.len() == 4 && lines.iter().all(|l| l.contains("\"unpacked\":false")), "{lines:?}");

    let layers = bench.sh(&format!(
        "m=$(jq -r '.manifests[0].digest' {zstd}/index.json); jq -r '.layers[].digest' {zstd}/blobs/sha256/${{m#sha256:}}"
    ));
    for digest in layers.lines() {
        bench.unpacked(&format!(
            "-C flat --whiteouts apply {zstd}/blobs/sha256/{}",
            digest.trim_start_matches("sha256:")
        ));
    }
    umoci.assert_same(&read("flat"), "umoci and the layers, zstd, carried out");
}
