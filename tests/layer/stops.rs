//! A full disk, a signal, a kill: nothing half-made stays, or the next run removes it. Contract U7, U14, U17.

use crate::bench::{Bench, UNPACK, names_in};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_full_disk_leaves_nothing() {
    testkit::need!(root, "skopeo");
    let bench = Bench::new();
    bench.sh("mkdir in t; head -c 3000000 /dev/urandom > in/big; echo x > in/small; tar -C in -cf a.tar small big");
    let script = |what: &str| {
        format!(
            "unshare -m --propagation private sh -c 'mount -t tmpfs -o size=1m none t; $UNPACK -C t/out {what}; echo code=$?; ls -A t t/out; df --output=used t | tail -n1'"
        )
    };
    let out = bench.try_sh(&script("a.tar"));
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(
        stderr.starts_with("unpack: layer a.tar: big: write: no space left on device\nhint: make room"),
        "{stderr}"
    );
    assert!(stdout.starts_with("code=1\nt:\n"), "{stdout}");
    assert!(stdout.trim_end().ends_with(" 0") || stdout.trim_end().ends_with("\n0"), "{stdout}");
    // An image, by file and by pipe (there the blobs themselves do not fit).
    bench.sh(
        "mkdir -p img; cat > m.json <<'E'\n[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"l.tar\"]}]\nE
         d=$(sha256sum < a.tar | cut -d' ' -f1); cp a.tar img/$d.tar; echo '{\"rootfs\":{\"diff_ids\":[\"sha256:'$d'\"]}}' > img/$d.json
         sed \"s/c.json/$d.json/; s/l.tar/$d.tar/\" m.json > img/manifest.json; tar -C img -cf img.tar $d.json $d.tar manifest.json",
    );
    for what in ["img.tar", "- < img.tar", "- < <(cat img.tar)"] {
        let inner = script(what).replace("sh -c", "bash -c");
        let out = bench.try_sh(&inner);
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(stderr.contains("no space left on device\nhint: make room"), "{what}: {stderr}");
        assert!(stdout.starts_with("code=1\nt:\n"), "{what}: {stdout}");
        assert!(!stdout.contains("unpack-"), "{what}: {stdout}");
    }
}

#[test]
fn a_signal_while_it_waits_for_more_takes_everything_back() {
    let bench = Bench::new();
    bench.sh("mkdir in; head -c 4000000 /dev/urandom > in/big; tar -C in -cf a.tar .; mkdir empty");
    let tar = std::fs::read(bench.path("a.tar")).unwrap();
    for (signal, dir, stays) in
        [(libc::SIGINT, "new", false), (libc::SIGTERM, "empty", true), (libc::SIGHUP, "new", false)]
    {
        let dir = bench.path(dir);
        // whoever started the tests may ignore signals, and what is ignored stays ignored
        let mut command = Command::new("env");
        command.args(["--default-signal", UNPACK, "-C"]).arg(&dir).arg("-");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(&tar[..3_000_000]).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while !names_in(&dir).contains(&"big".to_owned()) {
            assert!(Instant::now() < until, "nothing was unpacked");
            std::thread::sleep(Duration::from_millis(5));
        }
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child.id().cast_signed()),
            nix::sys::signal::Signal::try_from(signal).unwrap(),
        )
        .unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal), "{status}");
        assert_eq!(names_in(&dir), [""; 0]);
        assert_eq!(dir.exists(), stays);
    }
}

#[test]
fn an_ignored_signal_stays_ignored() {
    let bench = Bench::new();
    bench.sh("mkdir in; head -c 2000000 /dev/urandom > in/f; tar -C in -cf a.tar .");
    bench.sh(
        "trap '' HUP; mkfifo p; $UNPACK -C out - < p & pid=$!; exec 3> p; head -c 1000000 a.tar >&3; timeout 60 sh -c 'until [ -s out/f ]; do sleep 0.01; done'
         kill -HUP $pid; tail -c +1000001 a.tar >&3; exec 3>&-; wait $pid; cmp in/f out/f",
    );
}

#[test]
fn what_a_killed_run_left_is_swept_and_what_a_living_one_is_at_is_not() {
    let bench = Bench::new();
    bench.sh(
        "mkdir -p img in; echo x > in/f; tar -C in -cf a.tar f; d=$(sha256sum < a.tar | cut -d' ' -f1); cp a.tar img/$d.tar
         echo '{\"rootfs\":{\"diff_ids\":[\"sha256:'$d'\"]}}' > img/$d.json
         echo '[{\"Config\":\"'$d.json'\",\"Layers\":[\"'$d.tar'\"]}]' > img/manifest.json; tar -C img -cf img.tar $d.json $d.tar manifest.json
         mkdir -p out/.unpack-1-0-dead.tmp/d/e out/.unpack-2-0-alive.tmp out/mine; touch out/.unpack-1-0-dead.tmp/d/f",
    );
    let folders = bench.sh("exec 9< out/.unpack-2-0-alive.tmp; flock 9; $UNPACK -C out img.tar");
    let name = folders.trim().trim_start_matches("out/");
    let mut expected = vec![".unpack-2-0-alive.tmp", name, "mine"];
    expected.sort_unstable();
    assert_eq!(names_in(&bench.path("out")), expected);
}

#[test]
fn killed_outright_and_then_again() {
    testkit::need!("umoci");
    let bench = Bench::new();
    bench.sh("mkdir in; head -c 9000000 /dev/urandom > in/big; (cd in; seq 500 | xargs touch); tar -C in -cf a.tar .; umoci init --layout img >/dev/null
              umoci new --image img:t; umoci raw add-layer --image img:t a.tar; mkfifo feed; tar -C img -cf img.tar .");
    for _ in 0..3 {
        let out = bench.path("out");
        let mut child =
            Command::new(UNPACK).arg("-C").arg(&out).arg(bench.path("img")).stdout(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while !names_in(&out).iter().any(|n| n.ends_with(".tmp")) && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "nothing was begun");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let folder = bench.unpacked("-C out img").remove(0);
    assert_eq!(names_in(&bench.path("out")), [folder.trim_start_matches("out/")]);
    bench.sh(&format!("diff -r in {folder}"));
}

#[test]
fn two_at_once_into_one_folder_both_succeed() {
    testkit::need!("umoci");
    let bench = Bench::new();
    bench.sh("umoci init --layout img >/dev/null; umoci new --image img:t
              for n in 1 2 3; do mkdir in$n; (cd in$n; seq 200 | xargs touch; head -c 1000000 /dev/urandom > big); tar -C in$n -cf a.tar .; umoci raw add-layer --image img:t a.tar; done");
    for _ in 0..3 {
        bench.sh(
            "for n in 1 2 3 4; do $UNPACK -C out img > told$n 2> said$n & pids[$n]=$!; done; for n in 1 2 3 4; do wait ${pids[$n]}; done
             for n in 2 3 4; do cmp told1 told$n; done; cat said? | diff /dev/null -; [ $(ls -A out | wc -l) = 3 ]; n=0
             while read f; do n=$((n + 1)); diff -r in$n $f; done < told1; rm -r out",
        );
    }
}

#[test]
fn what_is_there_already_is_not_read_and_not_spoken_of() {
    testkit::need!("umoci", "jq", "strace");
    let bench = Bench::new();
    bench.sh("mkdir in; head -c 3000000 /dev/urandom > in/big; tar -C in -cf a.tar .; umoci init --layout img >/dev/null; umoci new --image img:t
              umoci raw add-layer --image img:t a.tar; $UNPACK -C out img > first
              m=$(jq -r .manifests[0].digest img/index.json); jq -r .layers[0].digest img/blobs/sha256/${m#*:} | cut -d: -f2 > blob");
    let blob = std::fs::read_to_string(bench.path("blob")).unwrap();
    let script = "strace -f -o trace -e trace=open,openat,openat2,mkdir,mkdirat,unlink,unlinkat,syncfs,fsync $UNPACK -C out img 2> said > again; cmp first again; [ ! -s said ]; cat trace";
    let trace = bench.sh(script);
    assert!(trace.contains("index.json") && !trace.contains(blob.trim()), "{trace}");
    assert!(!trace.contains("sync") && !trace.contains(".tmp"), "{trace}");
    // Nor need the layers be there any more.
    bench.sh(&format!("rm img/blobs/sha256/{}", blob.trim()));
    assert_eq!(bench.unpacked("-C out img").len(), 1);
}

#[test]
fn a_folder_that_was_empty_is_as_it_was() {
    testkit::need!(root);
    let bench = Bench::new();
    bench.sh("mkdir in dir; echo 1 > in/one; chmod 700 in; chown 5:6 in; touch -d 2001-01-01 in; tar -C in -cf a.tar .; chmod 751 dir; touch -d 2002-02-02 dir");
    let state = || bench.sh("stat -c '%a %u %g %Y' dir; ls -A dir; getfattr -d -m- dir 2>/dev/null || true");
    let before = state();
    bench.refused("-C dir --include nope a.tar", 1);
    assert_eq!(state(), before);
    bench.sh("head -c 1025 a.tar > cut.tar");
    bench.refused("-C dir cut.tar", 1);
    assert_eq!(state(), before);
    bench.unpacked("-C dir a.tar");
    assert_ne!(state(), before);
}

/// Contract U21.
#[test]
fn limits_hold_for_all_layers_together() {
    testkit::need!("umoci");
    let bench = Bench::new();
    bench.sh("umoci init --layout img >/dev/null; umoci new --image img:t
              for n in 1 2; do mkdir in$n; head -c 1000000 /dev/urandom > in$n/f$n; tar -C in$n -cf a$n.tar .; umoci raw add-layer --image img:t a$n.tar; done");
    for flatten in ["", "--flatten "] {
        let (line, hint) = bench.refused(&format!("{flatten}-C out --max-size 1500K img"), 1);
        assert!(
            line.starts_with("layer sha256:") && line.ends_with("beyond the 1536000 bytes that are allowed"),
            "{line}"
        );
        assert!(hint.contains("--max-size"), "{hint}");
        let (line, hint) = bench.refused(&format!("{flatten}-C out --max-files 3 img"), 1);
        assert!(line.ends_with("more than the 3 files that are allowed"), "{line}");
        assert!(hint.contains("--max-files") && !bench.path("out").exists(), "{hint}");
        bench.unpacked(&format!("{flatten}-C out --max-size 2MB --max-files 4 img"));
        bench.sh("rm -r out");
    }
    bench.refused("-C out --max-size 999999 a1.tar", 1);
    assert!(!bench.path("out").exists());
}
