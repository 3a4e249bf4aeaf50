//! What GNU tar makes of a tar, `unpack` makes of it too: contract U1, U6.

use crate::bench::Bench;
use testkit::tree::{Tree, snapshot};

/// A tree with one of everything, in `in/`.
const EVERYTHING: &str = r#"
    umask 022
    mkdir -p in/{bin,etc,dev,deep/er/still,empty,'with space',closed}
    printf 'hello' > in/etc/motd; printf 'x\ny' > in/etc/$'new\nline'; printf '\xff' > in/$'not-utf8-\xff'
    head -c 3000000 /dev/urandom > in/big; : > in/empty-file; head -c 1024 /dev/zero > in/two-blocks
    n=$(printf 'n%.0s' {1..120}); mkdir -p in/$n/$n/$n; echo deep > in/$n/$n/$n/file; ln -s $n/$n/$n/file in/long-link
    ln in/$n/$n/$n/file in/etc/long-hard-link
    ln -s ../etc/motd in/bin/motd; ln -s /nowhere/at/all in/dangling; ln -s .. in/up
    ln in/etc/motd in/bin/hard; ln in/etc/motd in/deep/er/still/hard; ln -P in/bin/motd in/bin/motd2
    cp /bin/true in/bin/su; chown 0:5 in/bin/su; chmod 4755 in/bin/su; chmod 2755 in/deep; chmod 1777 in/empty
    mkfifo -m 600 in/pipe; mknod in/dev/null c 1 3; mknod in/dev/loop b 7 300; chmod 666 in/dev/null
    chown 1000:1000 in/etc/motd; chown -h 12:34 in/dangling; chown 3000000:4000000 in/two-blocks
    chmod 000 in/closed; echo in > in/closed/file; chmod 0 in/closed/file
    touch -d '2001-02-03 04:05:06.123456789' in/etc/motd; touch -d '1960-01-01' in/empty-file
    touch -h -d '2011-11-11 11:11:11.5' in/dangling; touch -d '2030-01-01 00:00:00.000000001' in/pipe in/dev/null
    touch -d '1999-12-31 23:59:59.75' in/deep/er/still; touch -d '1999-12-31' in/deep
"#;

const XATTRS: &str = r#"
    setfattr -n user.plain -v value in/big; setfattr -n user.binary -v 0x0a0a003d31320a in/big
    setfattr -n user.dir -v 1 in/deep; setfattr -n trusted.t -v 0x00ff in/etc; setfattr -h -n trusted.l -v 1 in/dangling
    setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 in/bin/su
"#;

fn same(bench: &Bench, reference: &str, ours: &str, what: &str) -> Tree {
    let tree = snapshot(&bench.path(reference));
    tree.assert_same(&snapshot(&bench.path(ours)), what);
    tree
}

#[test]
fn one_of_everything_in_every_format_and_compression() {
    testkit::need!(root, "zstd", "setfattr");
    let bench = Bench::new();
    bench.sh(EVERYTHING);
    bench.sh(XATTRS);
    for (format, options) in [("pax", "--xattrs --xattrs-include=*"), ("gnu", ""), ("oldgnu", "")] {
        bench.sh(&format!("tar -C in --format={format} {options} -cf {format}.tar ."));
        bench.sh(&format!(
            "mkdir ref-{format}; tar -C ref-{format} --xattrs --xattrs-include='*' --numeric-owner --same-owner -xpf {format}.tar"
        ));
        bench.unpacked(&format!("-C out-{format} {format}.tar"));
        let tree = same(&bench, &format!("ref-{format}"), &format!("out-{format}"), format);
        assert!(tree.nodes.len() > 30, "{} entries", tree.nodes.len());
        assert_eq!(tree.at("bin/hard").same_as, tree.at("etc/motd").same_as);
        assert_eq!(tree.at("two-blocks").owner, (3_000_000, 4_000_000));
        if format == "pax" {
            assert_eq!(tree.at("big").xattrs["user.binary"], b"\n\n\0=12\n");
            assert_eq!(tree.at("etc/motd").mtime.map(|m| m.1), Some(123_456_789));
        }
    }
    bench.sh("gzip -kc pax.tar > a; cat a <(gzip -c </dev/null) > pax.tgz; zstd -qc pax.tar > pax.tzst");
    bench.sh("split -n 3 pax.tar part.; for p in part.*; do gzip -c $p; done > members; for p in part.*; do zstd -qc $p; done > frames");
    for packed in ["pax.tgz", "pax.tzst", "members", "frames"] {
        bench.unpacked(&format!("-C out-{packed} {packed}"));
        same(&bench, "ref-pax", &format!("out-{packed}"), packed);
        bench.sh(&format!("cat {packed} | $UNPACK -C pipe-{packed} -"));
        same(&bench, "ref-pax", &format!("pipe-{packed}"), packed);
    }
}

#[test]
fn ustar_and_v7_within_what_they_can_hold() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh(EVERYTHING);
    bench.sh("rm -r in/n* in/long-link in/etc/long-hard-link in/empty-file; chown 0:0 in/two-blocks");
    bench.sh("d=in/$(printf 'p%.0s' {1..90})/$(printf 'q%.0s' {1..90}); mkdir -p $d; touch $d/file");
    bench.sh("tar -C in --format=ustar -cf ustar.tar .; mkdir ref; tar -C ref --numeric-owner -xpf ustar.tar");
    bench.unpacked("-C out ustar.tar");
    same(&bench, "ref", "out", "ustar");
    bench.sh(
        "rm -r in/pp* in/pipe in/dev; tar -C in --format=v7 -cf v7.tar .; mkdir ref7; tar -C ref7 --numeric-owner -xpf v7.tar",
    );
    bench.unpacked("-C out7 v7.tar");
    same(&bench, "ref7", "out7", "v7");
}

#[test]
fn an_ordinary_user_gets_what_tar_gives_them() {
    testkit::need!(root, "setpriv");
    let bench = Bench::new();
    bench.sh(EVERYTHING);
    bench.sh("rm -r in/dev; tar -C in --format=pax -cf a.tar .; chmod 777 .");
    let user = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all";
    bench.sh(&format!("{user} mkdir ref; {user} tar -C ref -xpf a.tar"));
    bench.sh(&format!("{user} $UNPACK -C out a.tar"));
    same(&bench, "ref", "out", "as nobody");
    assert!(snapshot(&bench.path("out")).nodes.values().all(|n| n.owner == (65534, 65534)));
}

#[test]
fn into_a_folder_that_holds_something_as_tar_does() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh("mkdir -p in/d; echo new > in/f; echo 1 > in/d/new; ln -s new in/l; tar -C in -cf a.tar f d l");
    for dir in ["ref", "out"] {
        bench.sh(&format!(
            "mkdir -p {dir}/d {dir}/other; echo old > {dir}/f; ln {dir}/f {dir}/keep; echo 2 > {dir}/d/old; ln -s /etc {dir}/l
             touch -d 2020-01-01 {dir} {dir}/*"
        ));
    }
    bench.sh("tar -C ref --numeric-owner -xpf a.tar");
    bench.unpacked("-C out a.tar");
    let untimed = |name: &str| {
        snapshot(&bench.path(name)).without_times(|path, _| path.as_os_str().is_empty() || path == "d/old")
    };
    untimed("ref").assert_same(&untimed("out"), "into a full folder");
    assert_eq!(std::fs::read_to_string(bench.path("out/keep")).unwrap(), "old\n");
}
