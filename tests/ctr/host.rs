//! The main job: `ctr run host`, this machine under a writable layer.

use crate::lab::Lab;
use std::path::Path;
use testkit::need;

const JOB: &str = "echo hello from $(hostname); touch /etc/veneer-was-here; ls -l /etc/veneer-was-here";

fn main_job(driver: &str) {
    let lab = Lab::new();
    let said = lab.said(["run", "--rm", "--driver", driver, "host", "sh", "-c", JOB]);
    assert_eq!(said.code, 0, "{said:?}");
    let mut lines = said.out.lines();
    let hello = lines.next().expect("a first line");
    let name = hello.strip_prefix("hello from ").expect(hello);
    assert!(name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{hello}");
    assert!(lines.next().is_some_and(|l| l.ends_with(" /etc/veneer-was-here")), "{said:?}");
    assert!(!Path::new("/etc/veneer-was-here").exists(), "the machine's /etc was written to");
    assert_eq!(lab.ok(["ps", "-aq"]), "", "--rm left the container");
    let left: Vec<_> = std::fs::read_dir(lab.root().join("overlay2")).expect("overlay2").flatten().collect();
    assert_eq!(left.len(), 1, "only the folder of short links: {left:?}");
}

#[test]
fn the_main_job_by_the_kernels_overlay() {
    need!(root, overlay);
    main_job("kernel");
}

#[test]
fn the_main_job_by_fuse() {
    need!(root, fuse);
    main_job("fuse");
}

#[test]
fn which_driver_serves_is_seen_in_the_mount_table() {
    need!(root, overlay, fuse);
    let lab = Lab::new();
    for (driver, kind) in [("kernel", "overlay"), ("fuse", "fuse")] {
        let first =
            lab.ok(["run", "--rm", "--driver", driver, "host", "sh", "-c", "grep ' / / ' /proc/self/mountinfo"]);
        let shown = first.split(" - ").nth(1).unwrap_or_default().to_owned();
        assert!(shown.starts_with(kind), "{driver}: {first}");
    }
}

#[test]
fn it_has_no_network_unless_asked() {
    need!(root, overlay);
    let lab = Lab::new();
    let links = |args: &[&str]| lab.ok([&["run", "--rm"], args, &["host", "ls", "/sys/class/net"]].concat());
    assert_eq!(links(&[]), "lo\n");
    assert_eq!(lab.ok(["run", "--rm", "host", "cat", "/sys/class/net/lo/operstate"]), "unknown\n", "lo is up");
    let mut ours: Vec<_> = std::fs::read_dir("/sys/class/net")
        .expect("links")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    ours.sort();
    assert_eq!(links(&["--network", "host"]).lines().collect::<Vec<_>>(), ours);
}

#[test]
fn the_store_is_covered_and_other_file_systems_are_named_once() {
    need!(root, overlay);
    let lab = Lab::new();
    let marker = lab.root();
    std::fs::create_dir_all(&marker).expect("made");
    let script = format!("ls -A {0}; echo x >{0}/x || echo covered", marker.display());
    let said = lab.said(["run", "--rm", "host", "sh", "-c", &script]);
    assert_eq!(said.out, "covered\n", "{said:?}");
    let told = said.err.matches("other file systems are not in view").count();
    let others = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let others = others
        .lines()
        .filter_map(|l| l.split(' ').nth(4))
        .any(|p| p != "/" && !["/proc", "/sys", "/dev"].iter().any(|f| p == *f || p.starts_with(&format!("{f}/"))));
    assert_eq!(told, usize::from(others), "{said:?}");
}

#[test]
fn options_reach_the_process() {
    need!(root, overlay);
    let lab = Lab::new();
    let run = |args: &[&str]| lab.ok([&["run", "--rm"], args].concat()).trim_end().to_owned();
    assert_eq!(run(&["-w", "/usr/bin", "host", "pwd"]), "/usr/bin");
    assert_eq!(run(&["-e", "A=b c", "host", "sh", "-c", "echo $A"]), "b c");
    assert_eq!(
        run(&["-u", "1234:4321", "host", "sh", "-c", "id -u; id -g; grep CapEff /proc/self/status"]),
        "1234\n4321\nCapEff:\t0000000000000000"
    );
    assert_eq!(run(&["-u", "daemon", "host", "id", "-un"]), "daemon");
    assert_eq!(
        run(&["--hostname", "box", "host", "sh", "-c", "hostname; echo $HOSTNAME; cat /etc/hostname"]),
        "box\nbox\nbox"
    );
    assert_eq!(run(&["--entrypoint", "echo", "host", "a", "-b"]), "a -b");
    assert_eq!(run(&["host", "sh", "-c", "echo $$"]), "1", "the command itself is PID 1");
    assert_eq!(run(&["--init", "host", "sh", "-c", "test $$ -ne 1 && echo child"]), "child");
    assert_eq!(
        run(&["--security-opt", "no-new-privileges", "host", "grep", "NoNewPrivs", "/proc/self/status"]),
        "NoNewPrivs:\t1"
    );
    assert_eq!(run(&["host", "grep", "NoNewPrivs", "/proc/self/status"]), "NoNewPrivs:\t0", "su and sudo work inside");
    assert_eq!(run(&["host", "grep", "CapBnd", "/proc/self/status"]), "CapBnd:\t00000000a80425fb", "docker's fourteen");
    assert_eq!(
        run(&["--cap-drop", "all", "--cap-add", "chown", "host", "grep", "CapBnd", "/proc/self/status"]),
        "CapBnd:\t0000000000000001"
    );
    assert_eq!(run(&["host", "grep", "Seccomp:", "/proc/self/status"]), "Seccomp:\t2");
}

#[test]
fn volumes_are_bound_and_read_only_when_asked() {
    need!(root, overlay);
    let lab = Lab::new();
    let data = lab.path().join("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::write(data.join("in"), "from outside").expect("written");
    let volume = format!("{}:/srv/data", data.display());
    let script = "cat /srv/data/in; echo inside >/srv/data/out";
    assert_eq!(lab.ok(["run", "--rm", "-v", &volume, "host", "sh", "-c", script]), "from outside");
    assert_eq!(std::fs::read_to_string(data.join("out")).expect("written"), "inside\n");
    let said = lab.said(["run", "--rm", "-v", &format!("{volume}:ro"), "host", "touch", "/srv/data/x"]);
    assert!(said.code != 0 && said.err.contains("Read-only file system"), "{said:?}");
    assert!(!data.join("x").exists());
}

#[test]
fn input_output_and_codes_are_the_commands() {
    need!(root, overlay);
    let lab = Lab::new();
    let said = lab.fed(b"one\ntwo\n", &["run", "--rm", "-i", "host", "sort", "-r"]);
    assert_eq!((said.out.as_str(), said.code), ("two\none\n", 0), "{said:?}");
    let said = lab.fed(b"ignored", &["run", "--rm", "host", "cat"]);
    assert_eq!((said.out.as_str(), said.code), ("", 0), "without -i there is no input");
    let said = lab.said(["run", "--rm", "host", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((said.out.as_str(), said.code), ("out\n", 7));
    assert!(said.err.ends_with("err\n"), "{said:?}");
    let said = lab.said(["run", "--rm", "host", "sh", "-c", "kill -KILL $$; kill -SEGV $$; exit 1"]);
    assert_eq!(said.code, 1, "PID 1 has no default signals from inside: {said:?}");
    let megabyte = lab.said(["run", "--rm", "host", "head", "-c", "3000000", "/dev/zero"]);
    assert_eq!(megabyte.out.len(), 3_000_000);
}

#[test]
fn no_loop_device_can_be_opened_inside() {
    need!(root, overlay, loop);
    let lab = Lab::new();
    let script = "mknod /tmp/l b 7 0 && echo made; exec 3</tmp/l && echo opened; exec 4</dev/null && echo null";
    let said = lab.said(["run", "--rm", "host", "bash", "-c", script]);
    assert_eq!(said.out, "made\nnull\n", "{said:?}");
    assert!(said.err.contains("Operation not permitted"), "{said:?}");
}
