//! Limits limit: each option is shown by what a program in the container cannot do, or by what the kernel counted against it.
//! Here on the tree this machine has; `tests/vm` runs the same on cgroup v2.

use crate::lab::Lab;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use testkit::need;

/// Whether cgroup v2 holds this machine's limits.
pub(crate) fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The folder of a container's group with `controller`.
pub(crate) fn group(lab: &Lab, container: &str, controller: &str) -> PathBuf {
    let pid = lab.field(container, "{{.State.Pid}}");
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its groups");
    let of = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let wanted = if is_v2() { controllers.is_empty() } else { controllers.split(',').any(|c| c == controller) };
        wanted.then(|| path.trim_start_matches('/').to_owned())
    };
    let path = text.lines().find_map(of).expect("a group");
    let root = Path::new("/sys/fs/cgroup");
    if is_v2() { root.join(path) } else { root.join(controller).join(path) }
}

/// A file of a container's group, by v1's name or by v2's.
pub(crate) fn read(lab: &Lab, container: &str, controller: &str, v1: &str, v2: &str) -> String {
    let path = group(lab, container, controller).join(if is_v2() { v2 } else { v1 });
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().to_owned()
}

/// Processor time a container has used.
pub(crate) fn used(lab: &Lab, container: &str) -> Duration {
    if is_v2() {
        let stat = read(lab, container, "", "", "cpu.stat");
        let micros = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).expect("a count");
        Duration::from_micros(micros.parse().expect("a number"))
    } else {
        Duration::from_nanos(read(lab, container, "cpuacct", "cpuacct.usage", "").parse().expect("a number"))
    }
}

/// How often a container was held back by its quota.
pub(crate) fn throttled(lab: &Lab, container: &str) -> u64 {
    let stat = read(lab, container, "cpu", "cpu.stat", "cpu.stat");
    let count = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap_or("0");
    count.parse().expect("a number")
}

/// What a container took of a processor in `span`.
pub(crate) fn share(lab: &Lab, container: &str, span: Duration) -> f64 {
    let (before, begin) = (used(lab, container), Instant::now());
    std::thread::sleep(span);
    (used(lab, container) - before).as_secs_f64() / begin.elapsed().as_secs_f64()
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn who_takes_more_memory_is_killed() {
    need!(root, overlay);
    let lab = Lab::new();
    // tail keeps what it is asked for; a swap limit as large as the memory limit leaves no swap.
    let hog = "head -c 100m /dev/zero | tail -c 100m | wc -c";
    let said = lab.said(["run", "--rm", "-m", "32m", "--memory-swap", "32m", "host", "sh", "-c", hog]);
    // Where the hog is slow to go, the kernel takes the shell beside it too, and it is not counted.
    assert!(said.out == "0\n" || said.out.is_empty() && said.code == 137, "{said:?}");
    let said = lab.said(["run", "--rm", "-m", "400m", "host", "sh", "-c", hog]);
    assert_eq!(said.out, "104857600\n", "{said:?}");
    // A buffer of that size, in PID 1 itself.
    let alone = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"];
    let said =
        lab.said([&["run", "--name", "hog", "--memory=32MB", "--memory-swap=32mb", "host"], &alone[..]].concat());
    assert_eq!(said.code, 137, "{said:?}");
    assert_eq!(lab.field("hog", "{{.State.OOMKilled}}"), "true");
}

/// Swap is the whole machine's: `tests/vm` runs it in the virtual machine, alone.
#[test]
fn who_may_swap_goes_on_where_others_are_killed() {
    if std::env::var_os("VENEER_GUEST").is_none() {
        return;
    }
    need!(root, overlay, disk, cgroup2);
    struct Swap(PathBuf);
    impl Swap {
        fn of(file: PathBuf) -> Self {
            let make = "dd if=/dev/zero of=\"$0\" bs=1M count=64 && chmod 600 \"$0\" && mkswap \"$0\" && swapon \"$0\"";
            let made = std::process::Command::new("sh").args(["-c", make]).arg(&file).output().expect("sh");
            assert!(made.status.success(), "{made:?}");
            Self(file)
        }
    }
    impl Drop for Swap {
        fn drop(&mut self) {
            let _ = std::process::Command::new("swapoff").arg(&self.0).status();
        }
    }
    let lab = Lab::new();
    let _swap = Swap::of(lab.path().join("swap"));
    let run = |more: &[&str]| {
        let hog = "head -c 32m /dev/zero | tail -c 32m | wc -c";
        lab.said([&["run", "--rm", "-m", "24m"], more, &["host", "sh", "-c", hog]].concat())
    };
    let killed = run(&["--memory-swap", "24m"]);
    assert!(killed.out == "0\n" || killed.out.is_empty() && killed.code == 137, "{killed:?}");
    for enough in [&["--memory-swap", "64m"][..], &[]] {
        let said = run(enough);
        assert_eq!((said.out.as_str(), said.code), ("33554432\n", 0), "{enough:?}: {said:?}");
    }
}

#[test]
fn who_forks_more_is_refused() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "for n in 1 2 3 4 5 6; do sleep 5 & done; echo all";
    let said = lab.said(["run", "--rm", "--pids-limit", "4", "host", "sh", "-c", script]);
    assert!(said.out.is_empty() && said.err.contains("fork") && said.code != 0, "{said:?}");
    let said = lab.said(["run", "--rm", "--pids-limit", "-1", "host", "sh", "-c", "sleep 0 & echo all"]);
    assert_eq!((said.out.as_str(), said.code), ("all\n", 0), "{said:?}");
}

#[test]
fn who_computes_more_is_held_back() {
    need!(root, overlay);
    let lab = Lab::new();
    let busy = "while :; do :; done";
    lab.ok(["run", "-d", "--name", "part", "--cpus", ".2", "host", "sh", "-c", busy]);
    lab.ok(["run", "-d", "--name", "quota", "--cpu-period", "50000", "--cpu-quota", "5000", "host", "sh", "-c", busy]);
    for (name, most) in [("part", 0.35), ("quota", 0.25)] {
        assert!(Lab::within(PATIENCE, || throttled(&lab, name) > 3), "{name} is held back");
        let share = share(&lab, name, Duration::from_secs(2));
        assert!(share < most, "{name} took {share}");
    }
}

#[test]
fn who_weighs_less_gets_less() {
    need!(root, overlay);
    let lab = Lab::new();
    let busy = "while :; do :; done";
    // Both want the same processor all the time; whoever else is on it takes from both.
    for (name, weight) in [("heavy", "1024"), ("light", "32")] {
        lab.ok(["run", "-d", "--name", name, "--cpuset-cpus", "0", "-c", weight, "host", "sh", "-c", busy]);
    }
    let both = || (used(&lab, "heavy"), used(&lab, "light"));
    let before = both();
    let apart = || {
        let now = both();
        let (heavy, light) = (now.0 - before.0, now.1 - before.1);
        heavy > Duration::from_millis(500) && heavy > light * 3
    };
    assert!(Lab::within(PATIENCE, apart), "{before:?} {:?}", both());
}

#[test]
fn who_may_use_one_processor_sees_one() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "nproc; grep -E 'Cpus_allowed_list|Mems_allowed_list' /proc/self/status";
    let out = lab.ok(["run", "--rm", "--cpuset-cpus", "0", "--cpuset-mems", "0", "host", "sh", "-c", script]);
    assert_eq!(out, "1\nCpus_allowed_list:\t0\nMems_allowed_list:\t0\n");
}

#[test]
fn who_transfers_more_waits() {
    need!(root, overlay, disk);
    let lab = Lab::new();
    let disk = testkit::gate::disk(lab.path()).expect("a disk").display().to_string();
    let slow = |option: &str, rate: &str, script: &str| {
        let begin = Instant::now();
        let said = lab.said(["run", "--rm", option, &format!("{disk}:{rate}"), "host", "sh", "-c", script]);
        assert_eq!(said.code, 0, "{option}: {said:?}");
        assert!(begin.elapsed() > Duration::from_millis(1200), "{option}: {:?} {said:?}", begin.elapsed());
        said
    };
    // Direct: v1 holds back nothing else.
    let write = "dd if=/dev/zero of=/x bs=256k count=8 oflag=direct 2>/dev/null";
    let said = slow("--device-write-bps", "1mb", write);
    assert_eq!(said.err.contains("hint: with cgroup v1"), !is_v2(), "{said:?}");
    slow("--device-read-bps", "1mb", &format!("{write}; dd if=/x of=/dev/null bs=256k iflag=direct 2>/dev/null"));
    let many = "dd if=/dev/zero of=/x bs=4k count=20 oflag=direct 2>/dev/null";
    slow("--device-write-iops", "10", many);
    slow("--device-read-iops", "10", &format!("{many}; dd if=/x of=/dev/null bs=4k iflag=direct 2>/dev/null"));
}

#[test]
fn limits_of_a_process() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "ulimit -n; ulimit -Hn; head -c 5000 /dev/zero >/x; stat -c %s /x";
    let said =
        lab.said(["run", "--rm", "--ulimit", "nofile=20:30", "--ulimit", "fsize=1024", "host", "sh", "-c", script]);
    assert!(said.out.starts_with("20\n30\n") && said.out.ends_with("1024\n"), "{said:?}");
    assert_eq!(lab.ok(["run", "--rm", "--oom-score-adj", "500", "host", "cat", "/proc/self/oom_score_adj"]), "500\n");
    let said = lab.said([
        "run",
        "--rm",
        "--shm-size",
        "1m",
        "host",
        "dd",
        "if=/dev/zero",
        "of=/dev/shm/x",
        "bs=1M",
        "count=2",
    ]);
    assert!(said.code == 1 && said.err.contains("No space left on device"), "{said:?}");
}

#[test]
fn soft_limits_are_told_to_the_kernel() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut line =
        vec!["run", "-d", "--name", "soft", "-m", "64m", "--memory-swap", "96m", "--memory-reservation", "32m"];
    if !is_v2() {
        line.extend(["--memory-swappiness", "10"]);
    }
    line.extend(["host", "sleep", "1000"]);
    lab.ok(line);
    let of = |v1, v2| read(&lab, "soft", "memory", v1, v2);
    assert_eq!(of("memory.limit_in_bytes", "memory.max"), "67108864");
    assert_eq!(of("memory.soft_limit_in_bytes", "memory.low"), "33554432");
    // v1 counts both together
    let swap = if is_v2() { "33554432" } else { "100663296" };
    assert_eq!(of("memory.memsw.limit_in_bytes", "memory.swap.max"), swap);
    if !is_v2() {
        assert_eq!(of("memory.swappiness", ""), "10");
    }
}

#[test]
fn who_has_a_reservation_keeps_it_where_memory_is_scarce() {
    need!(root, overlay, disk, cgroup2);
    let lab = Lab::new();
    let parent = format!("veneer-test-low-{}", std::process::id());
    // Both hold as much that could go at once; what they share has too little for a third.
    let fill = "head -c 50m /dev/zero >/x; sync /x; cat /x >/dev/null; echo full; sleep 1000";
    for (name, options) in [("kept", &["--memory-reservation", "64m"][..]), ("other", &[])] {
        let line = ["run", "-d", "--name", name, "--cgroup-parent", &parent];
        lab.ok([&line[..], options, &["host", "sh", "-c", fill]].concat());
        assert!(Lab::within(PATIENCE, || lab.ok(["logs", name]).contains("full")), "{name}");
    }
    let above = group(&lab, "kept", "memory").parent().expect("a group above").to_owned();
    std::fs::write(above.join("memory.max"), "178257920").expect("a limit");
    let cached = |name: &str| {
        let stat = read(&lab, name, "memory", "memory.stat", "memory.stat");
        let bytes = stat.lines().find_map(|line| line.strip_prefix("file ")).expect("a count");
        bytes.parse::<u64>().expect("a number") >> 20
    };
    let before = [cached("kept"), cached("other")];
    let hog = "head -c 90m /dev/zero | tail -c 90m | wc -c";
    let said = lab.said(["run", "--rm", "--cgroup-parent", &parent, "host", "sh", "-c", hog]);
    assert_eq!(said.out, "94371840\n", "{said:?}");
    let after = [cached("kept"), cached("other")];
    assert!(after[0] + 3 >= before[0], "MiB of who has one, and of who has none: {before:?} {after:?}");
    assert!(after[1] + 12 < before[1], "MiB of who has one, and of who has none: {before:?} {after:?}");
}

#[test]
fn who_may_not_be_killed_waits() {
    need!(root, overlay);
    let lab = Lab::new();
    // Its own writes: a read into too large a buffer only comes back short.
    let hog = ["host", "sh", "-c", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); sleep 1000"];
    let line = ["run", "-d", "--name", "stuck", "-m", "16m", "--memory-swap", "16m", "--oom-kill-disable"];
    if is_v2() {
        let said = lab.said([&line[..], &["host", "true"]].concat());
        assert!(
            said.err.contains("WARNING: Your kernel does not support OomKillDisable. OomKillDisable discarded."),
            "{said:?}"
        );
        return;
    }
    lab.ok([&line[..], &hog[..]].concat());
    let stuck = || read(&lab, "stuck", "memory", "memory.oom_control", "").contains("under_oom 1");
    assert!(Lab::within(PATIENCE, stuck));
    assert_eq!(lab.field("stuck", "{{.State.Status}}"), "running");
    lab.ok(["rm", "-f", "stuck"]);
}

#[test]
fn its_group_lies_where_it_is_told_to() {
    need!(root, overlay);
    let lab = Lab::new();
    let parent = format!("veneer-test-{}", std::process::id());
    lab.ok(["run", "-d", "--name", "inner", "--cgroup-parent", &format!("{parent}/deep"), "host", "sleep", "1000"]);
    let folder = group(&lab, "inner", "devices");
    let id = lab.field("inner", "{{.Id}}");
    assert!(folder.ends_with(Path::new(&parent).join("deep").join(id)), "{folder:?}");
    lab.ok(["rm", "-f", "inner"]);
    let left = |path: &Path| path.ancestors().any(|a| a.ends_with(&parent) && a.exists());
    assert!(Lab::within(PATIENCE, || !left(&folder)), "{folder:?}");
}

#[test]
fn files_of_v2_by_their_names() {
    need!(root, overlay);
    let lab = Lab::new();
    let script = "for n in 1 2 3 4 5 6; do sleep 5 & done; echo all";
    let said = lab.said(["run", "--rm", "--cgroup-conf", "pids.max=4", "host", "sh", "-c", script]);
    if is_v2() {
        assert!(said.out.is_empty() && said.err.contains("fork"), "{said:?}");
    } else {
        assert!(
            said.out == "all\n" && said.err.contains("WARNING: --cgroup-conf names files of cgroup v2"),
            "{said:?}"
        );
    }
}

#[test]
fn what_cannot_be_is_one_line_and_leaves_nothing() {
    need!(root, overlay);
    let lab = Lab::new();
    let count = std::fs::read_to_string("/sys/devices/system/cpu/online").expect("processors");
    let processors: u32 = count.trim().rsplit('-').next().and_then(|n| n.parse().ok()).map_or(1, |last: u32| last + 1);
    let range = format!("Range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available");
    let set = format!("Requested CPUs are not available - requested 0-4000, available: {}", count.trim());
    let invalid =
        |value: &str, flag: &str, why: &str| format!("invalid argument \"{value}\" for \"{flag}\" flag: {why}");
    let cases: Vec<(&[&str], String)> = vec![
        (&["-m", "1m"], "Minimum memory limit allowed is 6MB".into()),
        (
            &["-m", "10m", "--memory-swap", "7m"],
            "Minimum memoryswap limit should be larger than memory limit, see usage".into(),
        ),
        (&["--cpus", "5000"], range.clone()),
        (&["--cpus", "-1"], range),
        (&["--cpuset-cpus", "0-4000"], set),
        (
            &["--cpus", "1", "--cpu-quota", "5000"],
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set".into(),
        ),
        (&["--oom-score-adj", "2000"], "Invalid value 2000, range for oom score adj is [-1000, 1000]".into()),
        (&["-m", "lots"], invalid("lots", "-m, --memory", "invalid size: 'lots'")),
        (&["--memory-swap", "-2"], invalid("-2", "--memory-swap", "invalid size: '-2'")),
        (&["--cpus", "x"], invalid("x", "--cpus", "failed to parse x as a rational number")),
        (&["-c", "x"], invalid("x", "-c, --cpu-shares", "strconv.ParseInt: parsing \"x\": invalid syntax")),
        (
            &["--ulimit", "nofile=2:1"],
            invalid("nofile=2:1", "--ulimit", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
        ),
        (&["--device-read-bps", "sda:1"], invalid("sda:1", "--device-read-bps", "bad format for device path: sda:1")),
    ];
    for (options, sentence) in cases {
        let said = lab.said([&["run", "--rm"], options, &["host", "true"]].concat());
        assert_eq!(said.err.lines().next(), Some(&*format!("ctr: {sentence}")), "{options:?}");
        assert_eq!(said.code, 125, "{options:?}: {said:?}");
    }
    let said = lab.said(["run", "--device-read-bps", "/dev/no-such-disk:1", "host", "true"]);
    assert_eq!(said.err.lines().next(), Some("ctr: stat /dev/no-such-disk: no such file or directory"));
    // What only the kernel can refuse comes later, and leaves nothing either.
    let said = lab.said(["run", "--rm", "--cpus", "0.0001", "host", "true"]);
    assert!(said.code == 125 && said.err.starts_with("ctr: "), "{said:?}");
    let left = lab.ok(["ps", "-aq"]);
    assert_eq!(left, "", "half made");
}

#[test]
fn what_the_kernel_has_not_is_a_warning() {
    need!(root, overlay);
    let lab = Lab::new();
    let said = lab.said(["run", "--rm", "--kernel-memory", "50m", "host", "echo", "ran"]);
    let words = "WARNING: Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.";
    assert!(said.out == "ran\n" && said.err.lines().any(|line| line == words), "{said:?}");
}

#[test]
fn the_printed_script_limits_too() {
    need!(root, overlay);
    let lab = Lab::new();
    let hog = "for n in 1 2 3 4 5 6; do sleep 5 & done; echo all";
    let line = ["run", "--explain", "--pids-limit", "4", "--ulimit", "nofile=50", "host", "sh", "-c", hog];
    let script = lab.ok(line);
    assert!(script.contains("\"pids\"") && script.contains("RLIMIT_NOFILE"), "{script}");
    let tools = crate::explain::tools(&lab);
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).env("PATH", path).env("TMPDIR", lab.path());
    let said = crate::lab::Said::from(shell.output().expect("sh runs"));
    assert!(said.out.is_empty() && said.err.contains("fork") && said.code != 0, "{said:?}");
}

#[test]
fn without_root_limits_are_warnings() {
    need!(root, user, fuse);
    let user = crate::rootless::user();
    let limits = ["run", "--rm", "-m", "64m", "--cpus", "1", "--pids-limit", "10", "--ulimit", "nofile=50"];
    let said = user.ctr(&[&limits[..], &["host", "sh", "-c", "ulimit -n"]].concat());
    assert_eq!((said.out.as_str(), said.code), ("50\n", 0), "{said:?}");
    let warned = |what: &str| {
        let sentence = format!("WARNING: Your kernel does not support {what}");
        said.err.lines().filter(|line| line.starts_with(&sentence)).count()
    };
    let each = [warned("memory limit"), warned("CPU CFS"), warned("PIDs limit")];
    assert_eq!(each, [1, 1, 1], "{said:?}");
}
