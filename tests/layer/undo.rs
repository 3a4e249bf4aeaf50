//! What a run did to a folder that held something is taken back when it fails, is stopped, or was killed: exactly what it made
//! goes, and what was there is as it was. Contract U7, U17.

use crate::bench::{Bench, UNPACK, names_in};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::tree::snapshot;

/// `full/` with a bit of everything, and `new/`, a layer that replaces, adds to and re-declares it, then something big.
const FOLDERS: &str = r#"
    umask 022
    mkdir -p full/{d/sub,gone/deep,mode,other}; echo old > full/f; ln full/f full/hard; echo 1 > full/d/f; echo 2 > full/gone/deep/f
    ln -s f full/l; mkfifo full/pipe; echo x > full/dirtofile; chmod 711 full/mode; chown 5:6 full/mode; setfattr -n user.a -v old full/mode
    mkdir full/filetodir; touch -d '2001-02-03 04:05:06.7' full/* full/d/* full/gone/*; touch -d 1999-01-01 full
    mkdir -p new/{d/added/deep,mode,dirtofile,l,op}; echo new > new/f; echo n > new/d/f; echo a > new/d/added/deep/f; ln new/f new/f2
    echo file > new/filetodir; chmod 500 new/mode; setfattr -n user.a -v new new/mode; setfattr -n user.b -v new new/mode
    touch new/.wh.gone new/d/.wh..wh..opq; head -c 3000000 /dev/urandom > new/zbig
    tar -C new --xattrs --xattrs-include='user.*' --sort=name -cf a.tar .
"#;

/// The same without what needs `--whiteouts apply`.
const PLAIN: &str =
    "rm new/.wh.gone new/d/.wh..wh..opq; tar -C new --xattrs --xattrs-include='user.*' --sort=name -cf a.tar .";

#[test]
fn a_failure_leaves_a_full_folder_as_it_was() {
    testkit::need!(root, "setfattr");
    let bench = Bench::new();
    bench.sh(FOLDERS);
    let before = snapshot(&bench.path("full"));
    // Cut short in the big file, the last one; and right at the end, when all is there and the digest is wrong.
    bench.sh("head -c 2000000 a.tar > cut.tar; gzip -1c a.tar > a.tgz; { head -c -6 a.tgz; printf 'xx'; tail -c 4 a.tgz; } > bad.tgz");
    for (what, options) in [("cut.tar", "--whiteouts apply"), ("bad.tgz", "--whiteouts apply")] {
        let (line, _) = bench.refused(&format!("{options} -C full {what}"), 1);
        assert!(line.contains("cut short") || line.contains("broken"), "{line}");
        before.assert_same(&snapshot(&bench.path("full")), what);
    }
    bench.unpacked("--whiteouts apply -C full a.tar");
    let after = snapshot(&bench.path("full"));
    assert!(after.has("d/added/deep/f") && !after.has("gone") && !after.has("d/sub") && after.has("hard"));
    assert_eq!(
        (after.at("filetodir").kind, after.at("dirtofile").kind, after.at("l").kind),
        ("file", "directory", "directory")
    );
    assert_eq!((after.at("mode").mode, &after.at("mode").xattrs["user.a"][..]), (0o500, &b"new"[..]));
    assert!(names_in(&bench.path("full")).iter().all(|name| !name.starts_with(".unpack-")));
}

#[test]
fn without_apply_too_and_in_the_form_of_an_overlay() {
    testkit::need!(root, "setfattr");
    let bench = Bench::new();
    bench.sh(FOLDERS);
    bench.sh("rm -r full/gone/* full/d/sub");
    bench.sh("head -c 2000000 a.tar > cut.tar");
    let before = snapshot(&bench.path("full"));
    bench.refused("-C full cut.tar", 1);
    before.assert_same(&snapshot(&bench.path("full")), "overlay form");
    bench.unpacked("-C full a.tar");
    let after = snapshot(&bench.path("full"));
    assert_eq!((after.at("gone").kind, after.at("d").xattrs.contains_key("trusted.overlay.opaque")), ("char", true));
}

#[test]
fn a_full_disk_leaves_a_full_folder_as_it_was() {
    testkit::need!(root, "setfattr");
    let bench = Bench::new();
    bench.sh(FOLDERS);
    bench.sh(PLAIN);
    bench.sh("mkdir t");
    let script = "unshare -m --propagation private bash -c 'mount -t tmpfs -o size=2m none t; cp -a full t; tar -C t/full -cf before.tar .
        ! $UNPACK -C t/full a.tar 2> said; tar -C t/full -cf after.tar .; ls -A t'";
    let out = bench.sh(script);
    assert_eq!(out, "full\n");
    assert!(
        std::fs::read_to_string(bench.path("said"))
            .unwrap()
            .contains("zbig: write: no space left on device\nhint: make room")
    );
    bench.sh("mkdir b a; tar -C b -xpf before.tar; tar -C a -xpf after.tar");
    snapshot(&bench.path("b")).assert_same(&snapshot(&bench.path("a")), "after a full disk");
}

#[test]
fn a_signal_takes_back_and_a_kill_leaves_what_was_replaced_where_it_is_told() {
    testkit::need!(root, "setfattr");
    let bench = Bench::new();
    bench.sh(FOLDERS);
    bench.sh(PLAIN);
    let before = snapshot(&bench.path("full"));
    let tar = std::fs::read(bench.path("a.tar")).unwrap();
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        let mut command = Command::new("env");
        command.args(["--default-signal", UNPACK, "-C"]).arg(bench.path("full")).arg("-");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(&tar[..2_500_000]).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while !names_in(&bench.path("full")).contains(&"zbig".to_owned()) {
            assert!(Instant::now() < until, "nothing was unpacked");
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::try_from(signal).unwrap()).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(signal));
        if signal != libc::SIGKILL {
            before.assert_same(&snapshot(&bench.path("full")), "after a signal");
        }
    }
    // What was there is in the folder whose name says so, and the next run tells of it and lets it be.
    let stash: Vec<String> =
        names_in(&bench.path("full")).into_iter().filter(|n| n.starts_with(".unpack-replaced-")).collect();
    assert_eq!(stash.len(), 1, "{stash:?}");
    let kept = bench.path("full").join(&stash[0]);
    let contents: Vec<String> =
        names_in(&kept).iter().filter_map(|n| std::fs::read_to_string(kept.join(n)).ok()).collect();
    assert!(contents.contains(&"old\n".to_owned()), "{contents:?}");
    let out = bench.unpack("-C full a.tar");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && said.contains(&stash[0]), "{said}");
    assert!(kept.exists());
}

#[test]
fn what_somebody_else_put_there_meanwhile_stays() {
    let bench = Bench::new();
    bench.sh("mkdir -p full/d in/new; echo 1 > full/f; head -c 3000000 /dev/urandom > in/new/zbig; tar -C in -cf a.tar new; mkfifo p");
    bench.sh(
        "$UNPACK -C full - < p 2> said & pid=$!; exec 3> p; head -c 2000000 a.tar >&3; until test -e full/new/zbig; do sleep 0.01; done
         echo theirs > full/new/theirs; echo theirs > full/d/theirs; exec 3>&-; ! wait $pid",
    );
    let names = names_in(&bench.path("full/new"));
    assert_eq!((names, bench.path("full/d/theirs").exists()), (vec!["theirs".to_owned()], true));
    assert!(std::fs::read_to_string(bench.path("said")).unwrap().contains("new: "));
}
