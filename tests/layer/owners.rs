//! Owners that are mapped, and owners that are recorded for overlays to show: contract U19.

use crate::bench::Bench;
use testkit::tree::snapshot;

const LAYER: &str = r#"
    umask 022
    mkdir -p in/{d,dev}; echo x > in/d/f; chown 7:8 in/d/f; chmod 4755 in/d/f; chown 9:10 in/d; chmod 2750 in/d; ln -s f in/d/l
    mknod in/dev/sda b 8 16; mknod in/dev/tty c 5 0; chmod 666 in/dev/tty; chown 0:5 in/dev/tty; mkfifo in/pipe; chmod 640 in/pipe
    chmod 400 in/d/f; chmod u+s in/d/f; tar -C in --numeric-owner -cf a.tar .
"#;

#[test]
fn mapped_owners_are_umocis() {
    testkit::need!(root, "umoci");
    let bench = Bench::new();
    bench.sh(LAYER);
    let maps = "--uid-map 0:100000:65536 --gid-map 0:200000:65536";
    bench.unpacked(&format!("{maps} -C out a.tar"));
    bench.sh(&format!(
        "umoci init --layout img >/dev/null; umoci new --image img:t; umoci raw add-layer --image img:t a.tar
         umoci raw unpack {maps} --image img:t ref"
    ));
    snapshot(&bench.path("ref")).assert_same(&snapshot(&bench.path("out")), "mapped");
    assert_eq!(snapshot(&bench.path("out")).at("d/f").owner, (100_007, 200_008));
    let (line, hint) = bench.refused("--uid-map 0:100000:5 --gid-map 0:0:65536 -C no a.tar", 1);
    assert!(line.contains("owner ") && line.ends_with("has no id on this machine in the map"), "{line}");
    assert!(hint.contains("--uid-map"), "{hint}");
    assert!(!bench.path("no").exists());
}

#[test]
fn recorded_owners_are_in_the_xattr_that_engines_read() {
    testkit::need!(root, "setpriv", "getfattr");
    let bench = Bench::new();
    bench.sh(LAYER);
    bench.sh("chmod 777 .");
    bench.sh("setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all $UNPACK --rootless -C out a.tar");
    let tree = snapshot(&bench.path("out"));
    let recorded = |path: &str| {
        let node = tree.at(path);
        assert_eq!(node.owner, (65534, 65534), "{path}");
        (node.kind, String::from_utf8(node.xattrs["user.containers.override_stat"].clone()).unwrap())
    };
    assert_eq!(recorded("d/f"), ("file", "7:8:4400:file".into()));
    assert_eq!(recorded("d"), ("directory", "9:10:2750:dir".into()));
    assert_eq!(recorded(""), ("directory", "0:0:0755:dir".into()));
    assert_eq!(recorded("dev/sda"), ("file", "0:0:0644:block-8-16".into()));
    assert_eq!(recorded("dev/tty"), ("file", "0:5:0666:char-5-0".into()));
    assert_eq!(recorded("pipe"), ("file", "0:0:0640:pipe".into()));
    assert_eq!((tree.at("d/l").kind, tree.at("d/f").mode, tree.at("d").mode), ("link", 0o600, 0o750));
}

#[test]
fn an_overlay_shows_recorded_owners() {
    testkit::need!(root, fuse, "fuse-overlayfs");
    let bench = Bench::new();
    bench.sh(LAYER);
    bench.unpacked("--rootless -C out a.tar");
    let ovl = env!("CARGO_BIN_EXE_ovl-mount");
    // fuse-overlayfs of Debian 12 reads owner and mode only; newer ones, and ours, the type as well.
    let script = |mount: &str, what: &str| {
        format!(
            "rm -rf up work m; mkdir up work m; unshare -m --propagation private sh -c '{mount}; cd m; stat -c \"%n %u:%g %a %F %t:%T\" {what}; cd ..; umount m'"
        )
    };
    let theirs = "fuse-overlayfs -o xattr_permissions=2,lowerdir=out,upperdir=up,workdir=work m";
    let ours = format!("{ovl} --driver fuse -o lowerdir=out,upperdir=up,workdir=work m");
    let files = "d d/f";
    assert_eq!(bench.sh(&script(theirs, files)), bench.sh(&script(&ours, files)));
    let shown = bench.sh(&script(&ours, "d/f dev/sda dev/tty pipe"));
    assert_eq!(
        shown,
        "d/f 7:8 4400 regular file 0:0\ndev/sda 0:0 644 block special file 8:10\ndev/tty 0:5 666 character special file 5:0\npipe 0:0 640 fifo 0:0\n"
    );
}
