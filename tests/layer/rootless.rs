//! Without root, and in user namespaces with one id: what cannot be done is said, or skipped with a line when asked: contract U8, U19, U20.

use crate::bench::{Bench, refusal};
use testkit::tree::snapshot;

const USER: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all";

const LAYER: &str = r#"
    mkdir -p in/dev in/o; echo x > in/f; chown 1000:1000 in/f; mknod in/dev/null c 1 3; touch in/.wh.gone in/o/.wh..wh..opq
    tar -C in -cf all.tar .; rm -r in/dev; tar -C in -cf plain.tar .; chmod 777 .
"#;

#[test]
fn devices_are_an_error_or_skipped_with_a_line() {
    testkit::need!(root, "setpriv");
    let bench = Bench::new();
    bench.sh(LAYER);
    let script = format!("{USER} $UNPACK -C out all.tar");
    let (line, hint) = refusal(&bench.try_sh(&script), 1, &script);
    assert_eq!(line, "layer all.tar: ./dev/null: mknod: operation not permitted");
    assert!(hint.contains("--rootless"), "{hint}");
    assert!(!bench.path("out").exists());
    let out = bench.try_sh(&format!("{USER} $UNPACK -C out --devices skip all.tar"));
    assert!(out.status.success());
    assert_eq!(
        String::from_utf8_lossy(&out.stderr),
        "unpack: layer all.tar: skipped ./dev/null: device: not permitted\n"
    );
    let tree = snapshot(&bench.path("out"));
    assert!(tree.has("f") && !tree.has("dev/null"));
    // Without root nothing need be left out: devices and owners are kept in an xattr.
    let out = bench.try_sh(&format!("{USER} $UNPACK -C recorded --rootless all.tar"));
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let recorded = snapshot(&bench.path("recorded"));
    assert_eq!(recorded.at("dev/null").xattrs["user.containers.override_stat"], b"0:0:0644:char-1-3");
    assert_eq!(recorded.at("f").xattrs["user.containers.override_stat"], b"1000:1000:0644:file");
    // Any user makes whiteouts, and marks opaque directories in user.*; contract U8.
    assert_eq!((tree.at("gone").kind, tree.at("gone").device), ("char", Some((0, 0))));
    assert_eq!(tree.at("o").xattrs["user.overlay.opaque"], b"y");
}

#[test]
fn in_a_user_namespace_of_one_id() {
    testkit::need!(root, userns, "setpriv");
    let bench = Bench::new();
    bench.sh(LAYER);
    let script = format!("{USER} unshare -Ur $UNPACK -C out plain.tar");
    let (line, hint) = refusal(&bench.try_sh(&script), 1, &script);
    assert_eq!(line, "layer plain.tar: ./f: chown 1000:1000: invalid argument");
    assert!(hint.contains("--map-auto") && hint.contains("--no-same-owner"), "{hint}");
    assert!(!bench.path("out").exists());
    bench.sh(&format!("{USER} unshare -Ur $UNPACK -C out --no-same-owner plain.tar"));
    let tree = snapshot(&bench.path("out"));
    assert_eq!((tree.at("f").owner, tree.at("gone").device), ((65534, 65534), Some((0, 0))));
    assert_eq!(tree.at("o").xattrs.keys().collect::<Vec<_>>(), ["user.overlay.opaque"]);
    let script = format!("{USER} unshare -Ur $UNPACK -C no --no-same-owner --whiteouts overlay plain.tar");
    let (line, hint) = refusal(&bench.try_sh(&script), 1, &script);
    assert_eq!(line, "layer plain.tar: ./o/.wh..wh..opq: setxattr trusted.overlay.opaque: operation not permitted");
    assert!(hint.contains("--whiteouts userxattr"), "{hint}");
}

#[test]
fn with_ranges_of_ids_an_image_keeps_its_owners_and_mounts() {
    testkit::need!(root, user, overlay, "umoci");
    let bench = Bench::new();
    bench.sh(LAYER);
    bench.sh(
        "umoci init --layout img >/dev/null; umoci new --image img:t; mkdir -p low/o; echo y > low/gone; echo y > low/o/old
         tar -C low -cf low.tar .; umoci raw add-layer --image img:t low.tar; umoci raw add-layer --image img:t plain.tar",
    );
    let home = testkit::user::scratch();
    bench.sh(&format!("cp -r img {0}/img; chown -R {1} {0}/img", home.path().display(), testkit::user::NAME));
    let script = format!(
        "cd {}; f=$({} -C out img) && set -- $f && mkdir m && mount -t overlay -o userxattr,lowerdir=$2:$1 none m
         cd m && stat -c '%n %u:%g' f && ls && ls o | wc -l",
        home.path().display(),
        crate::bench::UNPACK
    );
    let out = testkit::user::command("unshare").args(["-Urm", "--map-auto", "sh", "-euc", &script]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&out.stdout), "f 1000:1000\nf\no\n0\n", "{}", text(&out.stderr));
    // What belongs to ids of the range can be removed only in there.
    let remove = format!("rm -rf {}/out", home.path().display());
    assert!(
        testkit::user::command("unshare").args(["-Ur", "--map-auto", "sh", "-c", &remove]).status().unwrap().success()
    );
}
