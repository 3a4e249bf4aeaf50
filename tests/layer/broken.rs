//! What is damaged, missing or not what it was taken for: one line, a hint, the code, nothing left. Contract U7, E1.

use crate::bench::{Bench, entry, names_in, refusal, tar};

/// An OCI layout `img` of two layers, made with nothing but coreutils; `$one` and `$two` are their digests.
const LAYOUT: &str = r#"
    mkdir -p img/blobs/sha256 l1 l2; head -c 300000 /dev/urandom > l1/a; echo b > l2/b
    put() { d=$(sha256sum < $1 | cut -d' ' -f1); cp $1 img/blobs/sha256/$d; echo $d; }
    for n in 1 2; do tar -C l$n -cf l$n.tar .; gzip -nk l$n.tar; done
    one=$(put l1.tar.gz) two=$(put l2.tar.gz)
    id() { sha256sum < l$1.tar | cut -d' ' -f1; }
    echo '{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:'$(id 1)'","sha256:'$(id 2)'"]}}' > config
    c=$(put config)
    size() { stat -c %s img/blobs/sha256/$1; }
    echo '{"schemaVersion":2,"config":{"digest":"sha256:'$c'","size":'$(size $c)'},"layers":[{"digest":"sha256:'$one'","size":'$(size $one)'},{"digest":"sha256:'$two'","size":'$(size $two)'}]}' > manifest
    m=$(put manifest)
    echo '{"schemaVersion":2,"manifests":[{"digest":"sha256:'$m'","size":'$(size $m)',"annotations":{"org.opencontainers.image.ref.name":"t:1"}}]}' > img/index.json
    echo '{"imageLayoutVersion":"1.0.0"}' > img/oci-layout
    echo $one > one
"#;

fn layout() -> (Bench, String) {
    let bench = Bench::new();
    bench.sh(LAYOUT);
    let one = std::fs::read_to_string(bench.path("one")).unwrap().trim().to_owned();
    (bench, one)
}

#[test]
fn a_damaged_layer_leaves_no_folder() {
    let (bench, one) = layout();
    let blob = bench.path(&format!("img/blobs/sha256/{one}"));
    let good = std::fs::read(&blob).unwrap();
    let layer = format!("layer sha256:{one}: ");
    let refused = || {
        let (line, hint) = bench.refused("-C out img", 1);
        assert!(!bench.path("out").exists());
        assert!(!hint.is_empty());
        line
    };
    std::fs::write(&blob, &good[..1000]).unwrap();
    assert_eq!(refused(), format!("{layer}is cut short: 1000 of {} bytes", good.len()));
    for at in [3, 200_000, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&blob, &bad).unwrap();
        let line = refused();
        assert!(line.starts_with(&format!("{layer}digest is sha256:")), "{line}");
        assert!(line.ends_with(&format!("(expected sha256:{one})")), "{line}");
    }
    std::fs::remove_file(&blob).unwrap();
    assert_eq!(refused(), format!("img: blobs/sha256/{one} is missing"));
    std::fs::write(&blob, &good).unwrap();
    assert_eq!(bench.unpacked("-C out img").len(), 2);
}

#[test]
fn a_layer_that_is_not_the_configurations_is_told_by_its_diff_id() {
    let bench = Bench::new();
    bench.sh(&LAYOUT.replace("id() { sha256sum < l$1.tar", "id() { sha256sum < l2.tar"));
    let (line, hint) = bench.refused("-C out img", 1);
    assert!(line.starts_with("layer sha256:") && line.contains(": diff id is sha256:"), "{line}");
    assert!(hint.contains("configuration"), "{hint}");
    assert!(!bench.path("out").exists());
}

#[test]
fn layers_that_are_there_stay_when_another_fails() {
    let (bench, one) = layout();
    let folders = bench.unpacked("-C out img");
    bench.sh(&format!("rm -r {}; echo x > img/blobs/sha256/{one}", folders[0]));
    bench.refused("-C out img", 1);
    assert_eq!(names_in(&bench.path("out")), [folders[1].trim_start_matches("out/")]);
}

#[test]
fn damaged_documents_are_named() {
    let (bench, _) = layout();
    bench.sh("cp -r img a; echo '{' > a/index.json; cp -r img b; for f in $(grep -l rootfs b/blobs/sha256/*); do echo >> $f; done");
    let (line, _) = bench.refused("-C out a", 1);
    assert!(line.starts_with("a: index.json: cannot be read: "), "{line}");
    let (line, _) = bench.refused("-C out b", 1);
    assert!(line.starts_with("b/blobs/sha256/") && line.contains(": digest is sha256:"), "{line}");
    assert!(!bench.path("out").exists());
}

#[test]
fn what_is_no_image_or_layer() {
    let (bench, _) = layout();
    bench.sh("tar -C img -cf img.tar .; bzip2 -k l2.tar; xz -k l2.tar; echo hello > text; : > nothing; mkdir folder; cp img.tar a:b");
    for (words, code, message, hint) in [
        ("nowhere", 1, "open nowhere: no such file or directory", "a layer or image is a file or folder here"),
        ("debian:12", 1, "open debian:12: no such file or directory", "a layer or image is a file or folder here"),
        ("folder", 1, "folder: no image: neither index.json nor manifest.json in it", "an image is an OCI layout"),
        ("img:t:2", 1, "img: holds no image t:2", "it holds t:1"),
        ("img.tar:x", 1, "img.tar: holds no image x", "it holds t:1"),
        ("a:b:t:2", 1, "a:b: holds no image t:2", "it holds t:1"),
        (
            "--platform linux/arm64 img",
            1,
            "img: holds no image for linux/arm64",
            "choose with --platform one of linux/amd64",
        ),
        ("text", 1, "layer text: is neither a tar nor gzip nor zstd", "a layer is a tar"),
        ("nothing", 1, "layer nothing: is empty", "two blocks of zeros"),
        ("l2.tar.bz2", 1, "layer l2.tar.bz2: is packed with bzip2", "unpack it with bzip2 first"),
        ("l2.tar.xz", 1, "layer l2.tar.xz: is packed with xz", "unpack it with xz first"),
        ("l2.tar:x", 1, "l2.tar: no image: neither index.json nor manifest.json in it", "an image is an OCI layout"),
        (
            "--as image l2.tar",
            1,
            "l2.tar: no image: neither index.json nor manifest.json in it",
            "an image is an OCI layout",
        ),
        ("--as layer --platform linux/amd64 l2.tar", 2, "l2.tar: a layer has no --platform; only an image has", ""),
        ("--whiteouts apply img", 2, "img: an image; --whiteouts apply is for one layer", "one after the other"),
        ("--frobnicate x", 2, "unexpected argument '--frobnicate' found", "unpack --help"),
        ("", 2, "nothing to unpack", "unpack --help"),
        ("-C no/such/folder l2.tar", 1, "mkdir no/such/folder: no such file or directory", ""),
        ("-C text l2.tar", 1, "open text: not a directory", ""),
    ] {
        let words = if words.contains("-C") { words.to_owned() } else { format!("-C out {words}") };
        let (line, told) = bench.refused(&words, code);
        assert_eq!(line, message, "{words}");
        assert!(told.contains(hint), "{words}: {told}");
        assert!(!bench.path("out").exists(), "{words}");
    }
    assert_eq!(bench.unpacked("-C out a:b:t:1").len(), 2);
    // Taken for a layer because the user says so.
    bench.unpacked("-C as --as layer img.tar");
    assert!(bench.path("as/index.json").is_file());
}

#[test]
fn what_is_not_read_yet_is_said_by_name() {
    let bench = Bench::new();
    bench.write("odd.tar", &tar(&[entry(b'M', "part", "", b"")]));
    assert_eq!(
        bench.refused("-C out odd.tar", 1).0,
        "layer odd.tar: part: a part of a file that began on another volume"
    );
    assert!(!bench.path("out").exists());
}

#[test]
fn a_pipe_that_ends_too_early() {
    let (bench, _) = layout();
    bench.sh("tar -C img -cf img.tar .");
    for (script, message) in [
        (
            "head -c 100000 l1.tar.gz | $UNPACK -C out -",
            "layer standard input: is cut short: its gzip stream ends too early",
        ),
        (
            "head -c 100000 l1.tar | $UNPACK -C out -",
            "layer standard input: is cut short: ends in the middle of a file",
        ),
        ("$UNPACK -C out - </dev/null", "layer standard input: is empty"),
        ("echo hello | $UNPACK -C out -", "layer standard input: is neither a tar nor gzip nor zstd"),
    ] {
        let (line, _) = refusal(&bench.try_sh(script), 1, script);
        assert_eq!(line, message, "{script}");
        assert!(!bench.path("out").exists());
    }
    // Cut inside a blob, after all documents: an image that lacks its end.
    bench.sh("cd img; tar -cf ../late.tar oci-layout index.json $(grep -lE 'rootfs|layers' blobs/sha256/*) blobs/sha256/$(cat ../one)");
    let script = "head -c 200000 late.tar | $UNPACK -C out -";
    let (line, _) = refusal(&bench.try_sh(script), 1, script);
    assert!(line.starts_with("standard input: is cut short in the middle of blobs/sha256/"), "{line}");
    assert!(!bench.path("out").exists());
}
