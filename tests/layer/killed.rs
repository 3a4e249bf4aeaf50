//! Ended at any system call, or told by one that it cannot be done: what was there stays, what is half done goes, and doing it
//! again gives what doing it once gives. Contract U7.
//!
//! strace counts each thread's calls for itself and acts on the one with that number: so the instants are exact, and which
//! they are changes with the number of threads.

use crate::bench::{Bench, UNPACK, names_in};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use testkit::corpus::{Item, tar};
use testkit::tree::{Tree, snapshot};

/// Calls that make, change or keep something.
const CHANGES: &str = "mkdirat,openat,write,writev,pwrite64,pwritev,symlinkat,linkat,mknodat,rename,renameat,renameat2,unlinkat,fchmod,fchmodat,?fchmodat2,fchown,fchownat,utimensat,fsetxattr,?setxattrat,lsetxattr,fallocate,ftruncate,copy_file_range,syncfs,fsync,flock";

/// The same without those that also read, and those that take back.
const MAKES: &str = "mkdirat,write,writev,pwrite64,pwritev,symlinkat,linkat,mknodat,rename,renameat,renameat2,fchmod,fchmodat,?fchmodat2,fchown,fchownat,utimensat,fsetxattr,?setxattrat,lsetxattr,fallocate,ftruncate,syncfs,fsync";

fn thorough() -> bool {
    std::env::var_os("VENEER_EVERY_CALL").is_some()
}

/// One of everything, big and small.
fn items(mark: &str) -> Vec<Item> {
    vec![
        Item::dir("./").mode(0o755),
        Item::dir("d/").mode(0o750).owner(1, 2).xattr("user.a", "1"),
        Item::file("d/f", mark.as_bytes()).mode(0o4755).xattr("user.b", "2"),
        Item::file("big", vec![b'x'; 300_000]),
        Item::link("l", "d/f").owner(3, 4),
        Item::hard("h", "d/f"),
        Item::new(b'6', "p"),
        Item::char_device("null", 1, 3),
        Item::file("d/.wh.old", b""),
        Item::file("deep/er/f", b"implied"),
    ]
}

/// A docker-archive of two layers, at `img.tar`, and a layer, at `a.tar`.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("a.tar", &tar(&items("one")));
    bench.write("b.tar", &tar(&items("two")));
    bench.sh(
        "id() { sha256sum < $1.tar | cut -d' ' -f1; }; mkdir img; a=$(id a) b=$(id b); cp a.tar img/$a.tar; cp b.tar img/$b.tar
         echo '{\"rootfs\":{\"diff_ids\":[\"sha256:'$a'\",\"sha256:'$b'\"]}}' > img/$a.json
         echo '[{\"Config\":\"'$a.json'\",\"Layers\":[\"'$a.tar'\",\"'$b.tar'\"]}]' > img/manifest.json; tar -C img -cf img.tar .",
    );
    bench
}

/// `unpack WORDS` with something injected into the `call`th of the calls.
fn injected(bench: &Bench, calls: &str, what: &str, call: usize, words: &str) -> Output {
    Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null"])
        .arg(format!("-etrace={calls}"))
        .arg(format!("-einject={calls}:{what}:when={call}"))
        .arg(UNPACK)
        .args(words.split_whitespace())
        .current_dir(bench.path(""))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The numbers to try: all of them, or some, others each day.
fn calls() -> impl Iterator<Item = usize> {
    let (first, step) = if thorough() { (0, 1) } else { (std::process::id() as usize % 5, 5) };
    (1..1500).skip(first).step_by(step)
}

/// Without what no entry says: directories that are only implied get the time of the day, and those that a run that was killed
/// has left stay as they are, for nobody knows any more whose they are.
fn timeless(tree: Tree) -> Tree {
    tree.keep_only(|path, _| path.to_str() != Some("deep") && path.to_str() != Some("deep/er"))
        .without_times(|path, _| path.as_os_str().is_empty())
}

#[test]
fn killed_anywhere_an_image_is_unpacked_the_next_time() {
    testkit::need!(root, "strace");
    let bench = bench();
    let folders = bench.unpacked("-C clean img.tar");
    let clean = timeless(snapshot(&bench.path("clean")));
    let names = names_in(&bench.path("clean"));
    for call in calls() {
        bench.sh("rm -rf out");
        let out = injected(&bench, CHANGES, "signal=KILL", call, "-C out --jobs 2 img.tar");
        let ended = out.status.success();
        // Whatever has its name is whole.
        for name in names_in(&bench.path("out")).iter().filter(|name| names.contains(name)) {
            let (whole, there) = (bench.path("clean").join(name), bench.path("out").join(name));
            let of = |tree: Tree| tree.without_times(|path, _| path.starts_with("deep"));
            of(snapshot(&whole)).assert_same(&of(snapshot(&there)), &format!("killed at call {call}"));
        }
        let again = bench.unpacked("-C out img.tar");
        assert_eq!(again.len(), folders.len(), "killed at call {call}");
        assert_eq!(names_in(&bench.path("out")), names, "killed at call {call}");
        for name in &names {
            let of =
                |dir: &str| snapshot(&bench.path(dir).join(name)).without_times(|path, _| path.starts_with("deep"));
            of("clean").assert_same(&of("out"), &format!("again after call {call}"));
        }
        if ended {
            assert!(call > 8, "it ends before call {call}");
            return;
        }
    }
    drop(clean);
    panic!("it never ends");
}

#[test]
fn killed_anywhere_a_layer_is_unpacked_the_next_time_and_nothing_of_others_is_lost() {
    testkit::need!(root, "strace");
    let bench = bench();
    bench.sh("mkdir was; mkdir -p was/d was/mine; echo precious > was/mine/f; echo replaced > was/d/f; echo old > was/d/old; echo replaced > was/l");
    for full in [false, true] {
        bench.sh(if full { "rm -rf clean; cp -a was clean" } else { "rm -rf clean; mkdir clean" });
        bench.unpacked("-C clean --whiteouts apply a.tar");
        let clean = timeless(snapshot(&bench.path("clean")));
        let mut ended = false;
        for call in calls() {
            bench.sh(if full { "rm -rf out; cp -a was out" } else { "rm -rf out; mkdir out" });
            let out = injected(&bench, CHANGES, "signal=KILL", call, "-C out --whiteouts apply a.tar");
            ended = out.status.success();
            if full {
                // What it had is in its place, or where runs that were killed leave what they replaced.
                let found = bench.sh("cat out/mine/f; { grep -rlx replaced out || :; } | wc -l; if [ -e out/d/old ]; then cat out/d/old; else grep -rhx old out || :; fi");
                let mut lines = found.lines();
                assert_eq!(lines.next(), Some("precious"), "killed at call {call}");
                let left: usize = lines.next().unwrap().parse().unwrap();
                assert!(ended || left == 2 || new_in_place(&bench), "killed at call {call}: {left} of 2 are left");
            }
            let again = bench.unpack("-C out --whiteouts apply a.tar");
            assert!(again.status.success(), "again after call {call}: {}", String::from_utf8_lossy(&again.stderr));
            bench.sh("rm -rf out/.unpack-replaced-*");
            clean
                .assert_same(&timeless(snapshot(&bench.path("out"))), &format!("full {full}, again after call {call}"));
            if ended {
                break;
            }
        }
        assert!(ended, "it never ends");
    }
}

/// Whether the run that was killed had finished: what it replaced is gone for good then.
fn new_in_place(bench: &Bench) -> bool {
    bench.try_sh("cmp -s clean/d/f out/d/f && [ -L out/l ]").status.success()
}

/// One call fails, as on a disk that is full, over quota or broken.
fn one_call_fails(words: &str, target_is_full: bool) {
    let bench = bench();
    bench.sh("mkdir -p was/d was/mine; echo precious > was/mine/f; echo replaced > was/d/f; echo old > was/d/old");
    if target_is_full {
        bench.sh("cp -a was clean");
    }
    bench.unpacked(&words.replace("-C out", "-C clean"));
    let clean = timeless(snapshot(&bench.path("clean")));
    for (at, error) in ["ENOSPC", "EDQUOT", "EIO"].into_iter().enumerate() {
        let mut ended = false;
        for call in calls().map(|call| call + at) {
            bench.sh(if target_is_full { "rm -rf out; cp -a was out" } else { "rm -rf out" });
            let out = injected(&bench, MAKES, &format!("error={error}"), call, words);
            let (stderr, what) = (String::from_utf8_lossy(&out.stderr), format!("{words}: {error} at call {call}"));
            assert!(!stderr.contains("panicked"), "{what}: {stderr}");
            match out.status.code() {
                // Some can do without: room set aside beforehand, a message.
                Some(0) => {
                    let there = timeless(snapshot(&bench.path("out")));
                    if words.contains("img.tar") {
                        assert_eq!(names_in(&bench.path("out")), names_in(&bench.path("clean")), "{what}");
                    } else {
                        clean.assert_same(&there, &what);
                    }
                    ended = stderr.is_empty() && call > 60;
                }
                Some(1) => {
                    let lines: Vec<&str> = stderr.lines().collect();
                    assert!(
                        lines.len() <= 2 && (lines.is_empty() || lines[0].starts_with("unpack: ")),
                        "{what}: {stderr}"
                    );
                    if target_is_full {
                        // What gives times back may be the call that fails.
                        let of =
                            |dir: &str| snapshot(&bench.path(dir)).without_times(|_, node| node.kind == "directory");
                        of("was").assert_same(&of("out"), &what);
                    } else {
                        assert!(!bench.path("out").exists(), "{what}: {:?} is left", names_in(&bench.path("out")));
                    }
                }
                other => panic!("{what}: {other:?} {stderr}"),
            }
            if ended {
                break;
            }
        }
        assert!(ended, "{words}: it never ends");
    }
}

#[test]
fn a_call_that_fails_in_a_layer_leaves_nothing() {
    testkit::need!(root, "strace");
    one_call_fails("-C out a.tar", false);
}

#[test]
fn a_call_that_fails_in_an_image_leaves_nothing() {
    testkit::need!(root, "strace");
    one_call_fails("-C out img.tar", false);
}

#[test]
fn a_call_that_fails_in_a_full_folder_leaves_it_as_it_was() {
    testkit::need!(root, "strace");
    one_call_fails("-C out --whiteouts apply a.tar", true);
}

/// Real file systems too small by a little more each time, in bytes and in inodes.
#[test]
fn a_disk_of_every_size_is_full_in_one_line() {
    testkit::need!(root, "unshare");
    let bench = bench();
    let script = |options: &str, words: &str| {
        format!(
            "mkdir -p t; unshare -m --propagation private bash -c 'mount -t tmpfs -o {options} none t; $UNPACK -C t/out {words} && echo done || {{ echo code=$?; ls -A t; }}'"
        )
    };
    for words in ["a.tar", "img.tar", "--flatten img.tar"] {
        for (what, steps) in [("size", 16..=176), ("nr_inodes", 2..=40)] {
            let mut done = false;
            let step = if thorough() {
                1
            } else if what == "size" {
                8
            } else {
                3
            };
            for n in steps.step_by(step) {
                let n = if words == "a.tar" || what != "size" { n } else { n * 5 };
                let options = if what == "size" { format!("size={}k", n * 4) } else { format!("nr_inodes={n}") };
                let out = bench.try_sh(&script(&options, words));
                let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
                if stdout.ends_with("done\n") {
                    done = true;
                    break;
                }
                assert_eq!(stdout, "code=1\n", "{words}, {options}: something is left");
                assert!(
                    stderr.contains("no space left on device\nhint: ") && stderr.contains("make room"),
                    "{words}, {options}: {stderr}"
                );
                assert_eq!(stderr.lines().count(), 2, "{stderr}");
            }
            assert!(done, "{words}: {what} is never enough");
        }
    }
}

#[test]
fn interrupted_at_any_moment_it_leaves_nothing() {
    let bench = Bench::in_memory();
    let mut items: Vec<Item> = (0..300).map(|n| Item::file(format!("d{}/f{n}", n % 7), vec![b'x'; 5000])).collect();
    items.push(Item::file("big", vec![b'y'; 3_000_000]));
    bench.write("a.tar", &tar(&items));
    bench.sh("mkdir was; echo mine > was/mine; mkdir was/d1; echo old > was/d1/f1");
    let was = snapshot(&bench.path("was"));
    let rounds = std::env::var("VENEER_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let start = Instant::now();
    bench.unpacked("-C clean --no-same-owner a.tar");
    let whole = start.elapsed();
    let (mut done, mut stopped) = (0, 0);
    for round in 0..rounds {
        let full = round % 2 == 1;
        bench.sh(if full { "rm -rf out; cp -a was out" } else { "rm -rf out" });
        let mut child = Command::new("env")
            .args(["--default-signal", UNPACK, "-C", "out", "--no-same-owner", "--whiteouts", "apply", "a.tar"])
            .current_dir(bench.path(""))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole.mul_f64(f64::from(round) / f64::from(rounds)) + Duration::from_micros(500));
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let status = child.wait().unwrap();
        if status.success() {
            done += 1;
            continue;
        }
        assert_eq!(status.signal(), Some(libc::SIGINT), "{status}");
        if bench.path("out").exists()
            && snapshot(&bench.path("out")).nodes.len()
                == snapshot(&bench.path("clean")).nodes.len() + usize::from(full)
        {
            // It came when all was done.
            done += 1;
            continue;
        }
        stopped += 1;
        if full {
            was.assert_same(&snapshot(&bench.path("out")), "interrupted in a full folder");
        } else {
            assert!(!bench.path("out").exists(), "interrupted, and {:?} is left", names_in(&bench.path("out")));
        }
    }
    assert!(stopped > 0, "{done} were done before they could be interrupted");
}
