//! What images come as, made by the programs that make them: contract U2, U6, U11 to U13.

use crate::bench::{Bench, names_in, refusal};

/// `img`: an OCI layout with the images `t` (two layers) and `u` (the first layer once more on top), by umoci. `$P` is podman and `$B` buildah with
/// a store of their own, `$S` skopeo. Tars without padding behind their end, which skopeo's zstd:chunked would drop.
const IMAGES: &str = r#"
    mkdir -p r1/etc r2/etc; echo base > r1/etc/conf; echo two > r2/etc/new; head -c 100000 /dev/urandom > r1/data
    umoci init --layout img >/dev/null; umoci new --image img:t; for n in 1 2; do tar -b1 -C r$n -cf l$n.tar .; umoci raw add-layer --image img:t l$n.tar; done
    umoci tag --image img:t u; umoci raw add-layer --image img:u l1.tar
"#;

const PROGRAMS: &str = r#"
    store="--root $PWD/store --runroot $PWD/run --storage-driver vfs"; P="podman $store" B="buildah $store" S="skopeo --insecure-policy"
"#;

fn images() -> Bench {
    let bench = Bench::new();
    bench.sh(IMAGES);
    bench
}

/// Every one of `sources` gives the folders that `img:t` gives.
#[track_caller]
fn all_the_same(bench: &Bench, sources: &[&str]) {
    let folders = |out: Vec<String>| -> Vec<String> {
        out.iter().map(|f| f.rsplit('/').next().unwrap_or_default().to_owned()).collect()
    };
    let expected = folders(bench.unpacked("-C ref img:t"));
    for source in sources {
        assert_eq!(folders(bench.unpacked(&format!("-C out {source}"))), expected, "{source}");
        bench.sh("diff -r ref out; rm -r out");
    }
}

#[test]
fn what_podman_and_buildah_save() {
    testkit::need!(root, "umoci", "podman", "buildah");
    let bench = images();
    bench.sh(&format!(
        "{PROGRAMS} id=$($B pull -q oci:img:t); other=$($B pull -q oci:img:u); $P tag $id localhost/app:1; $P tag $id localhost:5000/x/app:2; $P tag $other localhost/other:9
         for f in docker-archive oci-archive; do $P save -q --format $f -o $f.tar localhost/app:1 localhost:5000/x/app:2; done
         for f in oci-dir docker-dir; do $P save -q --format $f -o $f localhost/app:1; done
         $P save -q -m -o several.tar localhost/app:1 localhost:5000/x/app:2 localhost/other:9
         $B push -q --format v2s2 $id oci:pushed:t; $B push -q $id docker-archive:pushed.tar:me/app:3; mkdir opened; tar -C opened -xf docker-archive.tar"
    ));
    all_the_same(
        &bench,
        &[
            "docker-archive.tar",
            "docker-archive.tar:localhost:5000/x/app:2",
            "docker-archive.tar:localhost/app:1",
            "oci-archive.tar",
            "oci-dir",
            "oci-dir:localhost/app:1",
            "docker-dir",
            "several.tar:app:1",
            "several.tar:localhost:5000/x/app:2",
            "pushed",
            "pushed.tar:me/app:3",
            "pushed.tar:docker.io/me/app:3",
            "opened",
            "opened:app:1",
        ],
    );
    let (line, hint) = bench.refused("-C out several.tar", 1);
    assert_eq!(line, "several.tar: holds 2 images");
    assert_eq!(
        hint,
        "name one: several.tar:REF with REF of localhost/app:1, localhost/other:9, localhost:5000/x/app:2"
    );
    // A layer that comes twice is in the archive once.
    assert_eq!(bench.unpacked("-C out several.tar:other:9").len(), 3);
}

#[test]
fn what_skopeo_copies() {
    testkit::need!(root, "umoci", "skopeo", "openssl", "jq");
    let bench = images();
    bench.sh(&format!(
        "{PROGRAMS} copy() {{ $S copy -q \"$@\"; }}
         copy --format v2s2 oci:img:t dir:v2s2; copy --format oci oci:img:t dir:flat; copy dir:v2s2 oci:back:t; copy --format v2s2 oci:img:t docker-archive:d.tar:a:1
         copy oci:img:t oci-archive:o.tar:t; copy --dest-compress --dest-compress-format zstd:chunked oci:img:t oci:chunked:t; copy --dest-decompress oci:img:t dir:plain
         copy --format v2s1 oci:img:t dir:v2s1; openssl genrsa -out key.pem 2048 2>/dev/null; openssl rsa -in key.pem -pubout -out pub.pem 2>/dev/null
         copy --encryption-key jwe:pub.pem oci:img:t oci:secret:t"
    ));
    let digest = |what: &str| {
        let script = "m=$(jq -r '.manifests[0].digest' o/index.json); case $WHAT in manifest) echo $m;; *) jq -r .config.digest o/blobs/sha256/${m#*:};; esac";
        bench.sh(&format!("mkdir -p o; tar -C o -xf o.tar; WHAT={what}; {script}")).trim().to_owned()
    };
    let (manifest, config) = (digest("manifest"), digest("config"));
    all_the_same(
        &bench,
        &[
            "v2s2",
            "flat",
            "back",
            "plain",
            "d.tar",
            "o.tar",
            "chunked",
            &format!("o.tar@{manifest}"),
            &format!("o.tar:{manifest}"),
            &format!("img@{config}"),
            &format!("img:anything@{config}"),
            &format!("img:{}", &config[7..23]),
        ],
    );
    for (words, message, hint) in [
        ("v2s1", "v2s1: an image of Docker's schema 1, which is not read", "convert it: skopeo copy --format oci"),
        ("oci:img:t", "open oci:img:t: no such file or directory", "without the word before the colon: img:t"),
        (
            "docker://debian:12",
            "open docker://debian:12: no such file or directory",
            "skopeo copy docker://debian:12 oci:FOLDER",
        ),
        ("img@sha256:0000000000000000", "img: holds no image sha256:0000000000000000", "it holds t, u"),
    ] {
        let (line, told) = bench.refused(&format!("-C out {words}"), 1);
        assert_eq!(line, message, "{words}");
        assert!(told.contains(hint), "{words}: {told}");
    }
    let (line, hint) = bench.refused("-C out secret", 1);
    assert!(line.starts_with("layer sha256:") && line.ends_with(": is encrypted"), "{line}");
    assert!(hint.contains("--decryption-key"), "{hint}");
    assert!(!bench.path("out").exists());
}

#[test]
fn one_image_for_several_machines() {
    testkit::need!(root, "buildah", "skopeo", "jq");
    let bench = Bench::new();
    bench.sh(&format!(
        "{PROGRAMS} $B manifest create list >/dev/null
         for a in amd64 arm64/v8 arm/v7 arm/v6; do
             c=$($B from --arch ${{a%/*}} scratch); echo $a > plat; $B copy -q $c plat /plat >/dev/null; $B config --arch ${{a%/*}} $c
             case $a in */*) $B config --variant ${{a#*/}} $c;; esac; $B commit -q $c i-${{a/\\/}} >/dev/null; $B manifest add list i-${{a/\\/}} >/dev/null
         done
         $B manifest push -q --all list oci:multi:all; $S copy -q --all oci:multi:all oci-archive:multi.tar:all; $S copy -q --all oci:multi:all dir:flat
         jq -r '.manifests[0].digest' multi/index.json > index"
    ));
    let index = std::fs::read_to_string(bench.path("index")).unwrap().trim().to_owned();
    for source in ["multi", "multi:all", "multi.tar", "flat", &format!("multi@{index}")] {
        for (platform, got) in [
            ("linux/amd64", "amd64"),
            ("linux/amd64/v3", "amd64"),
            ("linux/arm64", "arm64/v8"),
            ("linux/arm64/v8.2", "arm64/v8"),
            ("linux/aarch64", "arm64/v8"),
            ("linux/arm", "arm/v7"),
            ("linux/arm/v7", "arm/v7"),
            ("linux/arm/v6", "arm/v6"),
            ("linux/arm/v8", "arm/v7"),
        ] {
            let folders = bench.unpacked(&format!("-C out --platform {platform} {source}"));
            let plat = std::fs::read_to_string(bench.path(&folders[0]).join("plat")).unwrap();
            assert_eq!(plat.trim(), got, "{source} {platform}");
        }
    }
    let (line, hint) = bench.refused("-C none --platform linux/s390x multi", 1);
    assert_eq!(line, "multi: holds no image for linux/s390x");
    assert_eq!(hint, "choose with --platform one of linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64/v8");
    assert_eq!(bench.unpacked("-C out multi").len(), 1);
}

/// A layout `img` made by hand: `put FILE` keeps a blob and says `"digest":…,"size":…` of it, `image LAYERS` makes config and manifest.
const BY_HAND: &str = r#"
    mkdir -p img/blobs/sha256 l; echo content > l/file; tar -C l -cf l.tar file; gzip -nk l.tar; echo '{"imageLayoutVersion":"1.0.0"}' > img/oci-layout
    put() { d=$(sha256sum < $1 | cut -d' ' -f1); cp $1 img/blobs/sha256/$d; echo '"digest":"sha256:'$d'","size":'$(stat -c %s $1); }
    config() { echo '{"os":"linux","architecture":"'$1'","rootfs":{"type":"layers","diff_ids":["sha256:'$(sha256sum < ${2:-l.tar} | cut -d' ' -f1)'"]}}' > config; put config; }
    manifest() { echo '{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",'$1'},"layers":[{'$2'}]}' > manifest; put manifest; }
    index() { echo '{"schemaVersion":2,"manifests":['"$1"']}' > index; put index; }
    root() { echo '{"schemaVersion":2,"manifests":['"$1"']}' > img/index.json; }
    c=$(config amd64) l=$(put l.tar.gz); m=$(manifest "$c" "$l")
"#;

#[test]
fn indexes_in_indexes_and_what_is_no_image_beside_it() {
    let bench = Bench::new();
    bench.sh(&format!(
        "{BY_HAND} arm=$(manifest \"$(config arm64)\" \"$l\"); att=$(manifest \"$(config unknown)\" \"$l\"); echo sig > sig; empty=$(put sig)
         echo '{{\"schemaVersion\":2,\"artifactType\":\"application/x\",\"config\":{{\"mediaType\":\"application/vnd.oci.empty.v1+json\",'$empty'}},\"layers\":[]}}' > art; art=$(put art)
         echo '{{\"schemaVersion\":2,\"config\":{{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",'$empty'}},\"layers\":[{{'$empty'}}]}}' > helm; helm=$(put helm)
         inner=$(index \"{{$m,\\\"platform\\\":{{\\\"os\\\":\\\"linux\\\",\\\"architecture\\\":\\\"amd64\\\"}}}},{{$arm}},{{$att,\\\"platform\\\":{{\\\"os\\\":\\\"unknown\\\",\\\"architecture\\\":\\\"unknown\\\"}},\\\"annotations\\\":{{\\\"vnd.docker.reference.type\\\":\\\"attestation-manifest\\\"}}}}\")
         middle=$(index \"{{$inner}}\"); root \"{{$middle,\\\"annotations\\\":{{\\\"org.opencontainers.image.ref.name\\\":\\\"localhost:5000/a/b:1.2\\\"}}}},{{$art}},{{$helm}},{{$empty,\\\"artifactType\\\":\\\"application/sig\\\"}}\""
    ));
    let lines = bench.unpacked("-C out --platform linux/amd64 img:localhost:5000/a/b:1.2");
    assert_eq!(lines.len(), 1);
    assert_eq!(bench.unpacked("-C out --platform linux/arm64 img"), lines, "one layer of two images is one folder");
    let deep = "w=$m; for i in $(seq 12); do w=$(index \"{$w}\"); done; root \"{$w}\"";
    bench.sh(&format!("rm -r img l l.tar l.tar.gz; {BY_HAND} {deep}"));
    assert_eq!(bench.refused("-C none img", 1).0, "img: indexes nested too deep");
    bench.sh(&format!(
        "rm -r img l l.tar l.tar.gz; {BY_HAND} echo '{{\"schemaVersion\":2,\"artifactType\":\"application/x\",\"layers\":[]}}' > art; root \"{{$(put art)}}\""
    ));
    assert_eq!(bench.refused("-C none img", 1).0, "img: there is no image in it, only artifacts");
}

#[test]
fn layers_that_are_odd() {
    let bench = Bench::new();
    let with = |layer: &str, tar: &str| {
        bench.sh(&format!(
            "rm -rf img l l.tar l.tar.gz; {BY_HAND} head -c 1024 /dev/zero > none.tar; c=$(config amd64 {tar}); size=$(stat -c %s l.tar.gz); {layer} root \"{{$m}}\""
        ));
    };
    // A tar of nothing, as Docker's schema 1 had for every line of history without one.
    with("gzip -nk none.tar; m=$(manifest \"$c\" \"$(put none.tar.gz)\");", "none.tar");
    let folders = bench.unpacked("-C out img");
    assert_eq!(names_in(&bench.path(&folders[0])), [""; 0]);
    // The media type is not asked for what it is packed with.
    for media_type in [
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        with(&format!("m=$(manifest \"$c\" \"$l,\\\"mediaType\\\":\\\"{media_type}\\\"\");"), "l.tar");
        assert_eq!(bench.sh("rm -rf out; cat $($UNPACK -C out img)/file"), "content\n", "{media_type}");
    }
    bench.sh("rm -r out");
    for (layer, tar, end) in [
        (
            "m=$(manifest \"$c\" \"\\\"mediaType\\\":\\\"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\\\",\\\"urls\\\":[\\\"https://x.invalid/\\\"],\\\"digest\\\":\\\"sha256:$(printf %064d 1)\\\",\\\"size\\\":5\");",
            "l.tar",
            ": is not in the image: a foreign layer, which only its publisher gives out",
        ),
        ("m=$(manifest \"$c\" \"${l%:*}:$((size + 1))\");", "l.tar", ": is cut short: 176 of 177 bytes"),
        ("m=$(manifest \"$c\" \"${l%:*}:$((size - 1))\");", "l.tar", "bytes"),
        (
            "m=$(manifest \"$c\" \"$l\"); rm img/blobs/sha256/$(sha256sum < l.tar.gz | cut -d' ' -f1);",
            "l.tar",
            " is missing",
        ),
        ("m=$(manifest \"$c\" \"\\\"digest\\\":\\\"sha512:00\\\",\\\"size\\\":5\");", "l.tar", "sha512:00"),
        ("m=$(manifest \"$c\" \"$l},{$l\");", "l.tar", ": its manifest has 2 layers, its configuration 1"),
    ] {
        with(layer, tar);
        let size = std::fs::metadata(bench.path("l.tar.gz")).unwrap().len();
        let end = end.replace("176 of 177", &format!("{size} of {}", size + 1));
        let (line, hint) = bench.refused("-C out img", 1);
        assert!(line.ends_with(&end) || line.contains(&end), "{line}\n{end}");
        assert!(!hint.is_empty() && !bench.path("out").exists(), "{line}");
    }
}

#[test]
fn names_outside_are_refused_in_an_archive_that_was_unpacked() {
    let bench = Bench::new();
    bench.sh("mkdir img; echo secret > secret; echo '[{\"Config\":\"../secret\",\"Layers\":[]}]' > img/manifest.json
              mkdir abs; echo \"[{\\\"Config\\\":\\\"$PWD/secret\\\",\\\"Layers\\\":[]}]\" > abs/manifest.json");
    assert_eq!(bench.refused("-C out img", 1).0, "img: manifest.json: names \"../secret\", which is outside");
    assert!(bench.refused("-C out abs", 1).0.ends_with("secret\", which is outside"));
}

#[test]
fn every_image_comes_by_a_pipe_too() {
    testkit::need!(root, "umoci", "skopeo", "zstd");
    let bench = images();
    bench.sh(&format!(
        "{PROGRAMS} $S copy -q oci:img:t oci-archive:o.tar:t; $S copy -q --format v2s2 oci:img:t docker-archive:d.tar:a:1
         tar -C img -cf both.tar .; gzip -k d.tar; zstd -q o.tar; zstd -q l1.tar; gzip -k l2.tar; $UNPACK -C ref img:t > folders"
    ));
    for (feed, source) in [
        ("cat o.tar", "-"),
        ("cat o.tar", "-:t"),
        ("cat d.tar", "-:a:1"),
        ("cat d.tar.gz", "-"),
        ("cat o.tar.zst", "-"),
        ("cat both.tar", "-:t"),
    ] {
        bench.sh(&format!(
            "{feed} | $UNPACK -C out {source} | sed s,out/,ref/, | diff folders -; diff -r ref out; rm -r out"
        ));
        bench
            .sh(&format!("{feed} > fed; $UNPACK -C out {source} < fed | sed s,out/,ref/, | diff folders -; rm -r out"));
    }
    for layer in ["l1.tar", "l1.tar.zst", "l2.tar", "l2.tar.gz"] {
        bench.sh(&format!(
            "n={}; $UNPACK -C file {layer}; cat {layer} | $UNPACK -C pipe -; $UNPACK -C in - < {layer}; for d in file pipe in; do diff -r r$n $d; rm -r $d; done",
            &layer[1..2]
        ));
    }
    // Nothing of a stream that is no image stays either.
    let script = "head -c 50000 o.tar | $UNPACK -C out -";
    refusal(&bench.try_sh(script), 1, script);
    assert!(!bench.path("out").exists());
}
