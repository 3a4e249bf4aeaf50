//! What an overlay notes in its upper comes out as a layer says it, in whichever spelling; what a layer cannot say is refused.
//! Contract U27, contract U30.

use crate::bench::Bench;

/// The uppers `o`, `u`, `x` and `w`: the same thing said in four ways.
const SPELLINGS: &str = r#"
    for u in o u x w; do mkdir -p $u/etc $u/opq; echo new > $u/opq/new; echo c > $u/etc/conf; done
    mknod o/etc/gone c 0 0; mknod o/first c 0 0; setfattr -n trusted.overlay.opaque -v y o/opq; setfattr -n trusted.overlay.origin -v x o/etc/conf; setfattr -n trusted.overlay.impure -v y o/etc
    mknod u/etc/gone c 0 0; mknod u/first c 0 0; setfattr -n user.overlay.opaque -v y u/opq
    touch x/etc/gone x/first; setfattr -n trusted.overlay.whiteout -v y x/etc/gone x/first; setfattr -n trusted.overlay.opaque -v x x/etc x; setfattr -n user.fuseoverlayfs.opaque -v y x/opq
    touch w/etc/.wh.gone w/.wh.first w/opq/.wh..wh..opq
    for u in o u x w; do find $u -depth -exec touch -d 2016-06-06 {} +; done
"#;

#[test]
fn every_spelling_gives_the_same_layer() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh(SPELLINGS);
    bench.sh("for u in o u x w; do $UNPACK pack $u > $u.tar.gz; cmp o.tar.gz $u.tar.gz; done");
    let names = bench.sh("tar tzf o.tar.gz | tr '\\n' ' '");
    assert_eq!(names, "./ etc/ etc/conf etc/.wh.gone .wh.first opq/ opq/.wh..wh..opq opq/new ");
    bench.sh("$UNPACK -C back --whiteouts overlay o.tar.gz; $UNPACK pack back | cmp - o.tar.gz; $UNPACK -C oci --whiteouts oci o.tar.gz; $UNPACK pack oci | cmp - o.tar.gz");
    for upper in ["o", "u", "w", "back", "oci"] {
        bench.sh(&format!("$UNPACK verify {upper} o.tar.gz"));
    }
}

#[test]
fn what_a_layer_cannot_say_is_refused_by_name() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh("mkdir -p r/moved m d/.wh.x p n; touch m/f n/.wh.x; echo x > p/.wh.x; mknod n/c c 0 0; setfattr -n trusted.overlay.redirect -v /old r/moved; setfattr -n trusted.overlay.metacopy -v '' m/f");
    for (words, message) in [
        ("r", "pack r: moved: it has another name in the layers below (overlay.redirect), which a layer cannot say"),
        ("m", "pack m: f: its content is in a layer below (overlay.metacopy), which a layer cannot say"),
        ("d", "pack d: .wh.x: its name is that of a whiteout, but it is a directory"),
        ("p", "pack p: .wh.x: its name is that of a whiteout, but it is no empty file"),
        ("--tree n", "pack n: .wh.x: its name means a whiteout in a layer"),
        ("--tree --exclude .wh.x n", "pack n: c: a device 0:0, which is a whiteout to an overlay"),
    ] {
        let (line, hint) = bench.refused(&format!("pack -o l {words}"), 1);
        assert_eq!(line, message);
        assert!(!hint.is_empty(), "{words}");
        assert!(!bench.path("l").exists());
    }
    let (_, hint) = bench.refused("pack -o l m", 1);
    assert!(hint.contains("ovl-mount convert"), "{hint}");
}

#[test]
fn sockets_are_left_out_with_a_line() {
    testkit::need!("python3");
    let bench = Bench::new();
    bench.sh("mkdir t; cd t; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'");
    let out = bench.unpack("pack -o l t");
    assert!(out.status.success());
    assert_eq!(String::from_utf8_lossy(&out.stderr), "unpack: pack t: left out s: a socket\n");
}

#[test]
fn an_upper_packed_and_applied_is_the_merged_view() {
    testkit::need!(root, overlay);
    let bench = Bench::new();
    // Nested too deep in overlays the kernel mounts no further one: a tmpfs is none.
    bench.sh(
        "unshare -m --propagation private bash -euc '
         mkdir s; mount -t tmpfs none s; cd s; mkdir lower upper work m
         mkdir -p lower/{etc/sub,usr/lib,var/log/old,opt/a/b}; for i in $(seq 30); do echo $i > lower/usr/lib/f$i; done; echo c > lower/etc/conf; echo l > lower/var/log/old/x; echo b > lower/opt/a/b/c; ln lower/usr/lib/f1 lower/usr/lib/hard
         for seed in 1 2 3; do RANDOM=$seed
           rm -rf upper work; mkdir upper work; mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off none m
           for i in $(seq 60); do f=m/usr/lib/f$((RANDOM % 30 + 1)); case $((RANDOM % 9)) in 0) rm -rf $f;; 1) [ -d $f ] || echo new$i > $f;; 2) rm -rf $f; mkdir $f; echo in > $f/in;; 3) [ ! -e $f ] || chmod 600 $f;;
             4) mv $f m/etc/moved$i 2>/dev/null || :;; 5) rm -rf $f; ln -s ../x $f;; 6) ln m/etc/conf m/etc/hard$i 2>/dev/null || :;; 7) rm -rf m/var/log/old; mkdir m/var/log/old; echo $i > m/var/log/old/y;; 8) touch -d @$i m/opt/a/b/c 2>/dev/null || :;; esac; done
           rm -rf m/opt/a; [ $seed = 2 ] || mkdir m/opt/a; setfattr -n user.x -v $seed m/etc
           cp -a m merged; $UNPACK pack upper > l; umount m
           cp -a lower flat; $UNPACK -C flat --whiteouts apply l; $UNPACK pack flat > one; $UNPACK pack merged > two; cmp one two; $UNPACK verify upper l
           $UNPACK pack --diff lower merged > d; rm -rf flat; cp -a lower flat; $UNPACK -C flat --whiteouts apply d; $UNPACK pack flat | cmp - two
           rm -rf flat merged; done'",
    );
}
