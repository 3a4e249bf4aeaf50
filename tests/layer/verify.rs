//! `unpack verify`: a line for each difference, in the documented form, and the exit code. Contract U25, contract U31.

use crate::bench::Bench;

const LAYER: &str = r#"
    mkdir -p in/dir/sub in/links; echo one > in/dir/file; ln in/dir/file in/dir/hard; ln -s file in/dir/link; echo own > in/links/a; echo own > in/links/b; mkfifo in/pipe; truncate -s 1M in/holes
    setfattr -n user.k -v v in/dir/file; touch in/.wh.gone; find in -depth ! -type l -exec touch -d '2016-06-06 06:06:06.5Z' {} +; touch -h -d @5 in/dir/link; $UNPACK pack in > l
"#;

#[test]
fn what_was_unpacked_is_equal_in_every_form() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh(LAYER);
    for form in ["overlay", "userxattr", "oci"] {
        bench.sh(&format!("$UNPACK -C {form} --whiteouts {form} l; $UNPACK verify {form} l; $UNPACK verify {form} - < l; gzip -dc l | $UNPACK verify {form} -; gzip -dc l | zstd -q | $UNPACK verify --json {form} -"));
    }
    bench.sh("$UNPACK -C applied --whiteouts apply l; $UNPACK verify --applied applied l; [ \"$($UNPACK verify applied l)\" = 'missing .wh.gone' ]");
    bench.sh("mkdir d e; $UNPACK pack d > empty; $UNPACK verify e --no-times empty");
}

#[test]
fn each_difference_is_a_line() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh(LAYER);
    let keep = "touch -d '2016-06-06 06:06:06.5Z'";
    for (change, lines) in [
        ("rm t/dir/file", "missing dir/file\nchanged dir/hard: hard link a file of its own (layer: to dir/file)\n"),
        ("rm -r t/dir", "missing dir\nmissing dir/file\nmissing dir/hard\nmissing dir/link\nmissing dir/sub\n"),
        ("mkdir t/new; touch t/new/x; touch 't/dir/a\nb'", "extra dir/a\\nb\nextra new\n"),
        (
            "chmod 700 t/dir/sub; chown 5:6 t/dir/sub",
            "changed dir/sub: mode 0700 (layer: 0755), owner 5 (layer: 0), group 6 (layer: 0)\n",
        ),
        (&format!("echo two > t/dir/file; {keep} t/dir/file"), "changed dir/file: content\n"),
        (&format!("echo longer > t/dir/file; {keep} t/dir/file"), "changed dir/file: size 7 (layer: 4)\n"),
        (
            &format!("printf x | dd of=t/holes bs=1 seek=500000 conv=notrunc status=none; {keep} t/holes"),
            "changed holes: content\n",
        ),
        ("touch -d @1.5 t/pipe", "changed pipe: mtime 1.500000000 (layer: 1465193166.500000000)\n"),
        (
            "rm t/dir/link; ln -s other t/dir/link; touch -h -d @5 t/dir/link",
            "changed dir/link: target other (layer: file)\n",
        ),
        ("rm t/pipe; touch t/pipe", "changed pipe: type file (layer: fifo)\n"),
        (
            "setfattr -n user.k -v w t/dir/file; setfattr -n user.n -v 1 t/dir/file",
            "changed dir/file: xattr user.k w (layer: v), xattr user.n 1 (layer: none)\n",
        ),
        ("setfattr -x user.k t/dir/file", "changed dir/file: xattr user.k none (layer: v)\n"),
        (
            &format!("rm t/dir/hard; cp -a t/dir/file t/dir/hard; {keep} t/dir"),
            "changed dir/hard: hard link a file of its own (layer: to dir/file)\n",
        ),
        ("ln -f t/links/a t/links/b", "changed links/b: hard link to links/a (layer: a file of its own)\n"),
        ("rm t/gone", "missing .wh.gone\n"),
        ("mknod t/dir/sub/hidden c 0 0", "extra dir/sub/.wh.hidden\n"),
        ("setfattr -n trusted.overlay.opaque -v y t/links", "changed links: opaque yes (layer: no)\n"),
    ] {
        bench.sh("rm -rf t; $UNPACK -C t --whiteouts overlay l");
        bench.sh(change);
        let out = bench.unpack("verify --exclude nothing t l");
        let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.stderr.is_empty() && out.status.code() == Some(1),
            "{change}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        // Directories that something was done in have other times.
        let times =
            |line: &&str| !line.contains(": mtime ") || lines.contains(": mtime ") && line.starts_with("changed pipe");
        let stdout: String = stdout.lines().filter(times).map(|line| format!("{line}\n")).collect();
        assert_eq!(stdout, lines, "{change}");
    }
    bench.sh("rm -rf t; $UNPACK -C t --whiteouts overlay l; chmod 700 t/dir/sub");
    let line = bench.try_sh("$UNPACK verify --json t l").stdout;
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(value["path"], "dir/sub");
    assert_eq!(value["difference"], "changed");
    assert_eq!(value["changes"][0], serde_json::json!({"what": "mode", "here": "0700", "layer": "0755"}));
    bench.sh("$UNPACK verify --exclude sub t l");
}

#[test]
fn links_on_the_way_stay_inside_and_the_last_of_equal_names_counts() {
    let bench = Bench::new();
    bench.sh("mkdir -p a/usr/bin b/bin; ln -s /usr/bin a/bin; echo x > b/bin/tool; tar -C a -cf l.tar usr bin; tar -C b -rf l.tar bin/tool; echo y > b/bin/tool; tar -C b -rf l.tar bin/tool
        $UNPACK -C t l.tar; [ -f t/usr/bin/tool ]; $UNPACK verify t l.tar; rm t/bin; ln -s /etc t/bin");
    let out = bench.unpack("verify t l.tar");
    let stdout = String::from_utf8_lossy(&out.stdout);
    assert!(stdout.contains("missing bin/tool") && out.status.code() == Some(1), "{stdout}");
}

#[test]
fn the_folders_of_an_image() {
    testkit::need!(root, "umoci");
    let bench = Bench::new();
    bench.sh("mkdir a b; echo 1 > a/f; touch b/.wh.f; for n in a b; do $UNPACK pack -o $n.tar $n; done; umoci init --layout img >/dev/null; umoci new --image img:t; for n in a b; do umoci raw add-layer --image img:t $n.tar; done");
    let folders = bench.unpacked("-C out img:t");
    bench.sh("$UNPACK verify out img:t; $UNPACK verify out img");
    bench.sh(&format!("chmod 600 {}/f; rm -r {}", folders[0], folders[1]));
    let out = bench.unpack("verify out img:t");
    let name = |folder: &str| folder.trim_start_matches("out/").to_owned();
    let expected = format!("changed {}/f: mode 0600 (layer: 0644)\nmissing {}\n", name(&folders[0]), name(&folders[1]));
    assert_eq!((String::from_utf8_lossy(&out.stdout).into_owned(), out.status.code()), (expected, Some(1)));
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let bench = Bench::new();
    bench.sh("mkdir t; echo x > t/f; $UNPACK pack t > l; head -c 200 l > cut");
    let (line, _) = bench.refused("verify t cut", 1);
    assert!(line.starts_with("layer cut: is cut short"), "{line}");
    assert_eq!(bench.refused("verify t none", 1).0, "open none: no such file or directory");
    assert_eq!(bench.refused("verify none l", 1).0, "open none: no such file or directory");
    assert_eq!(bench.refused("verify t", 2).0, "what to compare is DIR and a layer");
    let (line, _) = bench.refused("verify --platform linux/arm64 t l", 2);
    assert_eq!(line, "l: a layer has no --platform; only an image has");
}
