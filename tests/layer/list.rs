//! What is in a layer, and in the layers of an image, without writing anything: contract U16.

use crate::bench::{Bench, names_in, refusal};
use serde_json::Value;

/// A tree with everything in it that a tar can hold, and names that are hard to print; `$tar` packs it.
const TREE: &str = r#"
    export LC_ALL=C.UTF-8 TZ=Asia/Kolkata; umask 022; mkdir -p in/d/e; cd in
    echo hello > d/f; ln d/f d/hard; ln -s ../d/f d/e/sym; mkfifo d/pipe; touch 'with space' $'new\nline' 'back\slash' $'esc\e[2J' 'grün' $'\xff\xfe'
    ln -s $'odd\ttarget' l; chmod 6755 d/f; chmod 1777 d/e; chmod 4644 'with space'; touch -d '1965-02-03 04:05:06.789' d/pipe; touch -d '2031-12-31T23:59:59' l -h
    truncate -s 3M sparse; echo x | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none; head -c 1234567 /dev/zero > big
    setfattr -n user.note -v 'a"b' d/f; cd ..; tar() { command tar --numeric-owner "$@"; }
"#;

#[test]
fn prints_what_tar_prints() {
    testkit::need!(root, "zstd", "setfattr");
    let bench = Bench::new();
    bench.sh(&format!(
        "{TREE} mknod in/null c 1 3; mknod in/disk b 259 65537; chown -R 1000:100 in/d; chown 4000000:4000000 in/big
         for f in gnu pax; do tar -C in --format=$f --xattrs -cf $f.tar .;done
         tar -C in --format=ustar -cf ustar.tar d/e; tar -C in -cf plain.tar d l null; gzip -k gnu.tar; zstd -q pax.tar
         for a in gnu.tar pax.tar ustar.tar plain.tar; do
             tar -tf $a > names; $UNPACK -t $a | diff names - ; tar -tvf $a > long; $UNPACK -tv $a | diff long -; $UNPACK --list --long - < $a | diff long -
         done
         tar -tvf gnu.tar | diff - <($UNPACK -tv gnu.tar.gz); tar -tvf pax.tar | diff - <($UNPACK -tv pax.tar.zst); cat pax.tar.zst | $UNPACK -t - | diff <(tar -tf pax.tar) -
         TZ=America/St_Johns; tar -tvf pax.tar | diff - <($UNPACK -tv pax.tar)
         [ \"$($UNPACK -tz plain.tar | tr '\\0' ,)\" = \"$(tar -tf plain.tar | tr '\\n' ,)\" ]"
    ));
    assert!(!names_in(&bench.path("")).contains(&"d".to_owned()), "listing wrote something");
}

#[test]
fn json_has_what_the_headers_say() {
    testkit::need!(root, "setfattr");
    let bench = Bench::new();
    bench.sh(&format!(
        "{TREE} mknod in/null c 1 3; chown 7:8 in/d/f; chmod 6755 in/d/f; tar -C in --format=pax --xattrs --sort=name -cf a.tar d l null $'\\xff\\xfe' big"
    ));
    let lines = bench.unpacked("-t --json a.tar");
    let all: Vec<Value> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let find = |path: &str| all.iter().find(|v| v["path"] == path).unwrap_or_else(|| panic!("{path}: {lines:#?}"));
    let f = find("d/f");
    assert_eq!((&f["type"], &f["mode"], &f["size"]), (&"file".into(), &"6755".into(), &6.into()));
    assert_eq!((&f["uid"], &f["gid"]), (&7.into(), &8.into()));
    assert_eq!(f["xattrs"]["user.note"], "YSJi");
    let offset = f["offset"].as_u64().unwrap() as usize;
    assert_eq!(&std::fs::read(bench.path("a.tar")).unwrap()[offset..offset + 6], b"hello\n");
    assert_eq!((&find("d/hard")["type"], &find("d/hard")["link"]), (&"hardlink".into(), &"d/f".into()));
    let pipe = find("d/pipe");
    // 04:05 in India is 22:35 the day before in Greenwich.
    assert_eq!((&pipe["type"], pipe["mtime_seconds"].as_i64()), (&"fifo".into(), Some(-154_920_294)));
    assert_eq!(pipe["mtime_nanoseconds"], 789_000_000);
    assert_eq!(find("l")["link"], "odd\ttarget");
    assert_eq!(find("null")["device"], serde_json::json!([1, 3]));
    let odd = all.iter().find(|v| v["path_base64"].is_string()).unwrap();
    assert_eq!((&odd["path_base64"], &odd["path"]), (&"//4=".into(), &"\u{fffd}\u{fffd}".into()));
    assert!(f.get("device").is_none() && f.get("layer").is_none() && f.get("path_base64").is_none());
}

#[test]
fn files_with_holes_have_the_size_they_will_have() {
    let bench = Bench::new();
    bench.sh(&format!(
        "{TREE} tar -C in --format=gnu -Scf gnu.tar sparse d/f; for v in 0.0 0.1 1.0; do tar -C in --format=pax --sparse-version=$v -Scf pax-$v.tar sparse d/f; done
         for a in gnu pax-0.0 pax-0.1 pax-1.0; do tar -tvf $a.tar | diff - <($UNPACK -tv $a.tar); done"
    ));
    for archive in ["gnu.tar", "pax-0.0.tar", "pax-0.1.tar", "pax-1.0.tar"] {
        let lines = bench.unpacked(&format!("-t --json {archive}"));
        let sparse: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&sparse["path"], &sparse["size"]), (&"sparse".into(), &(3 << 20).into()), "{archive}");
        let extents: Vec<(u64, u64)> = serde_json::from_value(sparse["sparse"].clone()).unwrap();
        assert!(extents.iter().any(|(at, length)| (*at..at + length).contains(&2_000_000)), "{archive}: {extents:?}");
        let within: u64 = extents.iter().take_while(|(at, length)| at + length <= 2_000_000).map(|(_, l)| l).sum();
        let (at, _) = extents.iter().find(|(at, length)| (*at..at + length).contains(&2_000_000)).unwrap();
        let byte = sparse["offset"].as_u64().unwrap() + within + 2_000_000 - at;
        assert_eq!(std::fs::read(bench.path(archive)).unwrap()[byte as usize], b'x', "{archive}");
    }
}

#[test]
fn an_image_layer_by_layer_with_its_whiteouts() {
    testkit::need!("umoci");
    let bench = Bench::new();
    bench.sh("mkdir -p a/etc b/etc; echo 1 > a/etc/conf; echo 2 > b/etc/.wh.conf; touch b/.wh..wh..opq b/etc/new
              umoci init --layout img >/dev/null; umoci new --image img:t
              for n in a b; do tar -C $n --sort=name -cf $n.tar .; umoci raw add-layer --image img:t $n.tar; done");
    let expected = bench.sh("cat a.tar | tar -t; tar -tf b.tar");
    assert_eq!(bench.sh("$UNPACK -t img"), expected);
    assert_eq!(bench.sh("tar -C img -c . | $UNPACK -t -:t"), expected);
    let all: Vec<Value> =
        bench.unpacked("-t --json img").iter().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let find = |path: &str| all.iter().find(|v| v["path"] == path).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(find("./etc/.wh.conf")["whiteout"], "etc/conf");
    assert_eq!(find("./.wh..wh..opq")["opaque"], "");
    let (conf, new) = (find("./etc/conf"), find("./etc/new"));
    assert!(conf.get("whiteout").is_none() && conf.get("opaque").is_none());
    let sum =
        |name: &str| format!("sha256:{}", bench.sh(&format!("sha256sum < {name}.tar")).split(' ').next().unwrap());
    assert_eq!((&conf["diff_id"], &new["diff_id"]), (&sum("a").into(), &sum("b").into()));
    assert!(conf["layer"].as_str().unwrap().starts_with("sha256:") && conf["layer"] != new["layer"]);
    // Only what is asked for, in all layers; whiteouts of it among them.
    assert_eq!(bench.sh("$UNPACK -t --include etc/conf img"), "./etc/conf\n./.wh..wh..opq\n./etc/.wh.conf\n");
}

#[test]
fn a_reader_that_wants_no_more_and_a_layer_that_is_broken() {
    let bench = Bench::in_memory();
    bench.sh("mkdir in; (cd in; seq 20000 | xargs touch); tar -C in -cf a.tar .; gzip -k a.tar");
    let script = "set +o pipefail; { $UNPACK -t a.tar; echo $? >code; } 2>err | head -n 1 >first; cat first code err";
    assert_eq!(bench.sh(script), "./\n0\n");
    let script = "head -c 20000 a.tar.gz | $UNPACK -t - > names";
    let (line, _) = refusal(&bench.try_sh(script), 1, script);
    assert_eq!(line, "layer standard input: is cut short: its gzip stream ends too early");
    let names = std::fs::read_to_string(bench.path("names")).unwrap();
    assert!(names.lines().count() > 100 && bench.sh("tar -tf a.tar").starts_with(&names), "{}", names.len());
}

#[test]
fn what_listing_has_no_use_for_is_refused() {
    let bench = Bench::new();
    bench.sh("mkdir in; tar -cf a.tar in");
    for (words, message) in [
        ("-t --flatten a.tar", "--flatten says how to write, and --list writes nothing"),
        ("-tv --json a.tar", "--long and --json exclude each other"),
        ("-v a.tar", "--long goes with --list"),
        ("-t --json -z a.tar", "--json and --null exclude each other"),
        ("-tzf a.tar", "unexpected argument '-f' found"),
    ] {
        assert_eq!(bench.refused(words, 2).0, message, "{words}");
    }
    for words in ["-xzf a.tar", "-C out -xf a.tar", "xzf a.tar"] {
        let (_, hint) = bench.refused(words, 2);
        assert!(hint.ends_with("unpack -C DIR ARCHIVE"), "{words}: {hint}");
    }
    let (line, hint) = bench.refused("-t --include nope a.tar", 1);
    assert_eq!(line, "a.tar: nothing in it fits nope");
    assert!(hint.contains("*/NAME"), "{hint}");
}
