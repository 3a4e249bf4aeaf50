//! The way back: `unpack pack` writes the same bytes each time, into a pipe or a file that is complete or not there.
//! Contract U24,
//! contract U26, contract U28, contract U29.

use crate::bench::{Bench, UNPACK, names_in};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// A tree with one of everything that a tar can hold; `$1` names its folder.
const TREE: &str = r#"
    tree() { mkdir -p $1/dir/deep $1/empty; echo one > $1/dir/file; ln $1/dir/file $1/dir/deep/hard; ln -s ../file $1/dir/deep/link; mkfifo $1/fifo
        head -c 300000 /dev/zero | tr '\0' a > $1/large; truncate -s 3M $1/holes; echo end >> $1/holes; chmod 4755 $1/large; chmod 1777 $1/empty
        touch -d '2015-05-05 05:05:05.055' $1/dir/file; touch -h -d '1969-01-01 00:00:00.5Z' $1/dir/deep/link; touch "$1/a name
with a newline" "$1/$(printf %0.sx {1..120})"; setfattr -n user.key -v "$(printf 'two\nlines')" $1/dir/file; }
    settle() { find $1 -depth ! -type l -exec touch -d '2016-06-06 06:06:06.5' {} +; find $1 -type l -exec touch -h -d 2017-07-07 {} +; }
"#;

#[test]
fn packs_to_a_pipe_or_a_file_and_says_what_it_made() {
    let bench = Bench::new();
    bench.sh(&format!("{TREE} tree t; $UNPACK pack t > a.tar.gz; $UNPACK pack -o b.tar.gz t; cmp a.tar.gz b.tar.gz; $UNPACK pack -o - t | cmp - a.tar.gz; gzip -dc a.tar.gz > a.tar
        $UNPACK pack -o c.tar t; cmp a.tar c.tar; $UNPACK pack -o d.tar.zst t; head -c4 d.tar.zst | od -tx1 | grep -q '28 b5 2f fd'; $UNPACK pack -c none t | cmp - a.tar
        echo old > e.tar; ln -s e.tar link; umask 027; $UNPACK pack -c none -o link t; cmp e.tar a.tar; [ -L link ] && [ $(stat -c %a e.tar) = 640 ]"));
    let line = bench.sh("$UNPACK pack --json -o j.tar.gz t");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let sum = |file: &str| format!("sha256:{}", bench.sh(&format!("sha256sum < {file}")).split(' ').next().unwrap());
    assert_eq!((value["digest"].as_str(), value["diff_id"].as_str()), (Some(&*sum("j.tar.gz")), Some(&*sum("a.tar"))));
    assert_eq!(value["media_type"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let size = |file: &str| std::fs::metadata(bench.path(file)).unwrap().len();
    assert_eq!(
        (value["blob_bytes"].as_u64(), value["tar_bytes"].as_u64()),
        (Some(size("j.tar.gz")), Some(size("a.tar")))
    );
    assert_eq!(value["entries"].as_u64(), Some(bench.sh("tar tf a.tar --quoting-style=escape").lines().count() as u64));
    let left = names_in(&bench.path("."));
    assert!(left.iter().all(|name| !name.contains(".tmp")), "{left:?}");
    let (line, hint) = bench.refused("pack --json t", 2);
    assert_eq!(
        (line.as_str(), hint.as_str()),
        ("--json goes to standard output, where the layer goes", "write the layer to a file with -o")
    );
    let (line, _) = bench.refused("pack none", 1);
    assert_eq!(line, "open none: no such file or directory");
}

#[test]
fn the_layer_itself_is_left_out() {
    let bench = Bench::new();
    bench.sh("mkdir t; cd t; echo x > f; $UNPACK pack -c none . > l 2>../err; [ \"$(tar tf l | tr '\\n' ' ')\" = './ f ' ]; [ \"$(cat ../err)\" = 'unpack: pack .: left out l: the layer itself' ]");
}

#[test]
fn a_terminal_is_not_for_layers() {
    testkit::need!("script");
    let bench = Bench::new();
    bench.sh("mkdir t");
    let out = bench.try_sh("script -qec \"$UNPACK pack t\" log < /dev/null; exit $?");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("unpack: standard output is a terminal, which a layer is not for"), "{text}");
    assert_eq!(out.status.code(), Some(1));
}

#[test]
fn the_same_digest_whatever_the_order_umask_clock_threads_and_file_system() {
    testkit::need!(root);
    let bench = Bench::new();
    // The copy is made backwards, under another umask, on a tmpfs where there is one; links last.
    bench.sh(&format!(
        "{TREE} tree a; settle a; mkdir b; (umask 077; cd a; find . -mindepth 1 -type d | sort -r | while read -r d; do mkdir -p ../b/$d; done
         find . ! -type d -print0 | sort -rz | while IFS= read -r -d '' f; do [ -e \"../b/$f\" ] || [ -L \"../b/$f\" ] || cp -a --sparse=always \"$f\" \"../b/$f\"; done)
         ln -f b/dir/file b/dir/deep/hard; for d in . dir dir/deep empty; do chmod --reference=a/$d b/$d; done; settle b; ls -U a b >/dev/null
         $UNPACK pack -o one.tar.gz a; mkdir m"
    ));
    for how in [
        "$UNPACK pack b",
        "$UNPACK pack -j1 b",
        "$UNPACK pack -j5 b",
        "umask 0; TZ=Asia/Tokyo SOURCE_DATE_EPOCH=4000000000 $UNPACK pack a",
        "unshare -m --propagation private sh -c 'mount -t tmpfs none m; cp -a b m; $UNPACK pack m/b'",
        "$UNPACK -C c one.tar.gz; $UNPACK pack c",
    ] {
        bench.sh(&format!("{{ {how}; }} | cmp - one.tar.gz"));
    }
    // Names of one file: sorted, the first holds the data.
    let listed = bench.sh("tar --numeric-owner -tvf one.tar.gz | grep 'link to'");
    assert!(listed.contains("dir/file link to dir/deep/hard"), "{listed}");
}

#[test]
fn times_are_bounded_by_source_date_epoch_and_set_by_mtime() {
    let bench = Bench::new();
    bench.sh("mkdir t; touch -d @1000 t/old; touch -d @3000.25 t/new");
    let times = |how: &str| {
        bench.sh(&format!("{how} t | tar --utc --full-time -tzvf - | awk '{{print $5}}' | sort -u | tr '\\n' ' '"))
    };
    bench.sh("touch -d @2000 t");
    assert_eq!(times("SOURCE_DATE_EPOCH=2000 $UNPACK pack"), "00:16:40 00:33:20 ");
    assert_eq!(times("$UNPACK pack"), "00:16:40 00:33:20 00:50:00.25 ");
    assert_eq!(times("$UNPACK pack --mtime 1970-01-01T00:00:07Z"), "00:00:07 ");
    let out = bench.try_sh("SOURCE_DATE_EPOCH=today $UNPACK pack t");
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("SOURCE_DATE_EPOCH: today: not a number of seconds"));
}

#[test]
fn other_readers_get_the_same_tree() {
    testkit::need!(root, "umoci", "python3");
    let bench = Bench::new();
    bench.sh(&format!("{TREE} tree t; mknod t/null c 1 3; chown 3000000:70000 t/large; setfacl -m u:77:rw t/dir 2>/dev/null || :; setcap cap_net_raw=ep t/dir/file 2>/dev/null || :; settle t
        $UNPACK pack t > a.tar.gz; mkdir gnu; tar -C gnu -xpzf a.tar.gz --numeric-owner --xattrs --xattrs-include='*'
        umoci init --layout img >/dev/null; umoci new --image img:t; gzip -dc a.tar.gz > a.tar; umoci raw add-layer --image img:t a.tar; umoci raw unpack --image img:t go >/dev/null
        python3 -c 'import tarfile; print(sum(1 for _ in tarfile.open(\"a.tar.gz\")))' > count"));
    let read = |name: &str| testkit::tree::snapshot(&bench.path(name));
    let ours = read("t");
    ours.assert_same(&read("gnu"), "GNU tar");
    // Of links bsdtar sets no times before 1970, and it takes ACLs in star's form only; umoci knows whole seconds only.
    let whole = |tree: testkit::tree::Tree| tree.without_times(|_, _| true);
    let no_acls = |tree: testkit::tree::Tree| whole(tree).without_xattrs(|name| name.starts_with("system.posix_acl"));
    whole(ours.clone()).assert_same(&whole(read("go")), "umoci");
    // Holes came through as holes.
    let on_disk = |name: &str| bench.sh(&format!("du -k {name}/holes | cut -f1"));
    assert_eq!(on_disk("gnu"), on_disk("t"));
    if testkit::gate::find_program("bsdtar").is_some() {
        bench.sh("mkdir bsd; bsdtar -C bsd -xpf a.tar.gz --numeric-owner");
        no_acls(ours).assert_same(&no_acls(read("bsd")), "bsdtar");
        assert_eq!(on_disk("bsd"), on_disk("t"));
    }
    assert_eq!(bench.sh("cat count").trim(), bench.sh("tar tzf a.tar.gz --quoting-style=escape | wc -l").trim());
}

#[test]
fn engines_take_it_as_a_layer() {
    testkit::need!(root, "skopeo", "buildah", "jq");
    let bench = Bench::new();
    // A file of holes is read by Go's archive/tar; several gzip members by containers/storage.
    bench.sh(&format!(
        "{TREE} tree t; rm 't/'*newline; settle t; head -c 3000000 /dev/urandom > t/random; mkdir -p img/blobs/sha256
         for how in gzip zstd zstd:5; do rm -rf img/index.json; $UNPACK pack --json -c $how -o l t > l.json; put() {{ d=$(sha256sum < $1 | cut -d' ' -f1); mv $1 img/blobs/sha256/$d; echo $d; }}; put l >/dev/null
         jq -c '{{architecture:\"amd64\",os:\"linux\",config:{{}},rootfs:{{type:\"layers\",diff_ids:[.diff_id]}}}}' l.json > c; size=$(stat -c %s c); c=$(put c)
         jq -c --arg c sha256:$c --argjson s $size '{{schemaVersion:2,mediaType:\"application/vnd.oci.image.manifest.v1+json\",config:{{mediaType:\"application/vnd.oci.image.config.v1+json\",digest:$c,size:$s}},layers:[{{mediaType:.media_type,digest:.digest,size:.blob_bytes}}]}}' l.json > m; size=$(stat -c %s m); m=$(put m)
         echo '{{\"schemaVersion\":2,\"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:'$m'\",\"size\":'$size',\"annotations\":{{\"org.opencontainers.image.ref.name\":\"t\"}}}}]}}' > img/index.json
         echo '{{\"imageLayoutVersion\":\"1.0.0\"}}' > img/oci-layout; S=\"--root $PWD/store --runroot $PWD/run --storage-driver vfs\"
         id=$(buildah $S from --pull-never oci:img:t 2>log || {{ cat log >&2; exit 1; }}); at=$(buildah $S mount $id); rm -rf got; cp -a $at got; buildah $S umount $id >/dev/null; buildah $S rm $id >/dev/null
         $UNPACK verify --no-times got img:t > diff || {{ ls got; cat diff; }}; $UNPACK -C out img; rm -rf flat; mv out/* flat; $UNPACK verify flat img/blobs/sha256/$(jq -r .digest l.json | cut -d: -f2); mv flat gone; rm -rf gone out; done"
    ));
}

#[test]
fn what_changes_while_it_is_read_is_an_error_that_names_it() {
    let bench = Bench::new();
    for (change, expected) in [
        ("echo more >> t/a", "t: a: changed while it was read: had 30000000 bytes, now 30000005"),
        ("truncate -s 1M t/a", "t: a: changed while it was read: ends after "),
        ("rm t/z", "t: z: vanished while it was packed"),
    ] {
        bench.sh("rm -rf t; mkdir t; head -c 30000000 /dev/urandom > t/a; echo z > t/z");
        let mut child = Command::new(UNPACK)
            .args(["pack", "-c", "none", "t"])
            .current_dir(bench.path("."))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdout.take().unwrap();
        pipe.read_exact(&mut [0; 5000]).unwrap();
        bench.sh(change);
        std::io::copy(&mut pipe, &mut std::io::sink()).unwrap();
        let out = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{change}: {stderr}");
        assert!(stderr.starts_with(&format!("unpack: pack {expected}")), "{change}: {stderr}");
        assert!(stderr.contains("\nhint: stop what writes there"), "{change}: {stderr}");
    }
}

#[test]
fn a_reader_that_goes_a_full_disk_and_a_signal_leave_nothing() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh("mkdir t m; head -c 30000000 /dev/urandom > t/a; set +o pipefail; { $UNPACK pack t 2>err; echo $? > code; } | head -c 10 >/dev/null; [ $(cat code) = 0 ]; [ ! -s err ]");
    let out = bench.try_sh("unshare -m --propagation private sh -c 'mount -t tmpfs -o size=1m none m; $UNPACK pack -o m/l t; echo $?; ls -A m; df --output=used m | tail -n1'");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(
        stderr.starts_with("unpack: pack t: the layer: write: no space left on device\nhint: make room"),
        "{stderr}"
    );
    assert_eq!(stdout.split_whitespace().collect::<Vec<_>>(), ["1", "0"]);

    bench.sh("truncate -s 4G t/b; mkdir o");
    let mut command = Command::new("env");
    command.args(["--default-signal", UNPACK, "pack", "--no-sparse", "-o", "o/l", "t"]).current_dir(bench.path("."));
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    // In the middle of it: it has read more than comes with the program.
    let io = format!("/proc/{}/io", child.id());
    let read_bytes = || -> u64 {
        let io = std::fs::read_to_string(&io).unwrap_or_default();
        io.lines().find_map(|l| l.strip_prefix("rchar: ")?.parse().ok()).unwrap_or(0)
    };
    while read_bytes() < 100_000_000 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGINT), "{status}");
    assert_eq!(names_in(&bench.path("o")), [""; 0]);
}

#[test]
fn owners_go_back_through_the_map_or_become_one() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh("mkdir t; touch t/a t/b; chown 100000:100005 t/a; chown 1000:1000 t/b; chown 1000:1000 t");
    let owners = |options: &str| {
        bench.sh(&format!(
            "$UNPACK pack {options} t | tar --numeric-owner -tzvf - | awk '{{print $2, $NF}}' | tr '\\n' ' '"
        ))
    };
    assert_eq!(owners("--idmap 0:1000 --idmap 1:100000:65536"), "0/0 ./ 1/6 a 0/0 b ");
    assert_eq!(owners("--owner 5 --group 6"), "5/6 ./ 5/6 a 5/6 b ");
    assert_eq!(owners("--no-root --owner 0 --gid-map 0:1000 --exclude a"), "0/0 b ");
    let out = bench.try_sh("$UNPACK pack --idmap 0:1000 t > l");
    assert!(
        String::from_utf8_lossy(&out.stderr)
            .starts_with("unpack: pack t: a: owner 100000 is in none of the ranges of the map\nhint: give a map")
    );
    // There and back.
    bench.sh("$UNPACK pack --idmap 0:1000 --idmap 1:100000:65536 t > l; $UNPACK -C m --idmap 0:1000 --idmap 1:100000:65536 l; $UNPACK pack --idmap 0:1000 --idmap 1:100000:65536 m | cmp - l
        $UNPACK verify --idmap 0:1000 --idmap 1:100000:65536 m l; ! $UNPACK verify m l > /dev/null");
}

#[test]
fn what_was_recorded_without_root_is_what_root_has() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh(&format!("{TREE} tree t; mknod t/null c 1 3; mknod t/disk b 8 0; chown 12:34 t/dir t/dir/file t/null; settle t; $UNPACK pack t > l; $UNPACK -C r --rootless l 2>/dev/null
        [ ! -c r/null ]; $UNPACK pack r > again; $UNPACK verify r l; tar -tzvf l > one; tar -tzvf again > two"));
    // Links hold no record: they are the caller's, who is root there.
    let without_links = |file: &str| bench.sh(&format!("grep -v -- '->' {file}"));
    assert_eq!(without_links("one"), without_links("two"));
}

#[test]
fn include_and_exclude_choose_and_bring_directories_along() {
    let bench = Bench::new();
    bench.sh("mkdir -p t/etc/conf.d t/usr/lib; touch t/etc/a.conf t/etc/conf.d/b t/usr/lib/c.o t/usr/lib/d t/.wh.gone");
    let names = |options: &str| bench.sh(&format!("$UNPACK pack {options} t | tar -tzf - | tr '\\n' ' '"));
    assert_eq!(
        names("--exclude *.o --exclude gone"),
        "./ etc/ etc/a.conf etc/conf.d/ etc/conf.d/b usr/ usr/lib/ usr/lib/d "
    );
    assert_eq!(names("--include etc/*.conf"), "./ etc/ etc/a.conf .wh.gone ");
}
