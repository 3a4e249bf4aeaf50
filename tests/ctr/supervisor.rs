//! The supervisor as a process of this machine: what it costs, what it holds, and what it outlives.

use crate::lab::{Lab, SOON};
use crate::restart::state;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::need;

/// How many containers run while it is measured; a build that is not optimised takes long for them.
const MANY: usize = if cfg!(debug_assertions) { 12 } else { 100 };

/// Kilobytes of a process: `Pss` and `Private_Dirty`, and of the latter what is no relocated constant of the program.
fn memory(pid: i32) -> [u64; 3] {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("a map");
    let number = |line: &str| line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let rollup = read("smaps_rollup");
    let of = |name: &str| rollup.lines().find(|line| line.starts_with(name)).map_or(0, number);
    let (mut own, mut constants) = (0, false);
    for line in read("smaps").lines() {
        if line.split(' ').next().is_some_and(|range| range.contains('-')) {
            constants = line.contains(" r--p ");
        } else if line.starts_with("Private_Dirty:") && !constants {
            own += number(line);
        }
    }
    [of("Pss:"), of("Private_Dirty:"), own]
}

#[test]
fn it_takes_less_than_a_megabyte() {
    need!(root, overlay);
    let lab = Lab::new();
    let pids: Vec<i32> = (0..MANY)
        .map(|number| {
            let name = format!("box{number}");
            lab.ok([
                "run",
                "-d",
                "--name",
                &name,
                "--health-cmd",
                "true",
                "--health-interval",
                "1h",
                "host",
                "sleep",
                "1000",
            ]);
            lab.field(&name, "{{.State.SupervisorPid}}").parse().expect("a pid")
        })
        .collect();
    let fits = |pid: i32| {
        let [pss, dirty, own] = memory(pid);
        // Constants that are relocated when a program starts are several times as many in one that is not optimised.
        own < 450 && (cfg!(debug_assertions) || (pss < 1000 && dirty < 1000))
    };
    let small = Lab::within(SOON, || pids.iter().all(|pid| fits(*pid)));
    assert!(
        small,
        "[Pss, Private_Dirty, of which no constants] in kB: {:?}",
        pids.iter().map(|p| memory(*p)).collect::<Vec<_>>()
    );
}

#[test]
fn it_outlives_the_shell_and_the_terminal_it_was_started_from() {
    need!(root, overlay);
    let lab = Lab::new();
    let mut command = Command::new("setsid");
    // A log-in: a session with a terminal, which hangs up when its leader goes.
    command
        .args(["script", "-qec"])
        .arg(format!("{} run -d --name box host sleep 1000; kill -HUP 0", env!("CARGO_BIN_EXE_ctr")));
    command.arg("/dev/null").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    lab.environment(&mut command);
    let _ = command.status().expect("script runs");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(lab.field("box", "{{.State.Status}}"), "running");
    let supervisor = state(&lab)["supervisor"]["pid"].as_i64().expect("a pid");
    let stat = std::fs::read_to_string(format!("/proc/{supervisor}/stat")).expect("it lives");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    assert_eq!(fields[3], supervisor.to_string(), "a session of its own");
    assert_eq!(fields[4], "0", "no terminal");
    for descriptor in std::fs::read_dir(format!("/proc/{supervisor}/fd")).expect("descriptors").flatten() {
        let target = std::fs::read_link(descriptor.path()).unwrap_or_default();
        assert!(!target.starts_with("/dev/pts"), "{}", target.display());
    }
}

/// Mounts something at `disk` of the lab in a mount namespace of its own, starts a container there, and unmounts it.
fn unmounted(propagation: &str, extra: &str) -> String {
    let lab = Lab::new();
    let disk = lab.path().join("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let ctr = env!("CARGO_BIN_EXE_ctr");
    let script = format!(
        "set -e; mount -t tmpfs disk {disk}; mkdir {disk}/in; {ctr} run -d --name box {extra} host sleep 1000 >/dev/null
         pid=$({ctr} inspect -f '{{{{.State.SupervisorPid}}}}' box)
         umount {disk}
         grep -c ' {disk} ' /proc/$pid/mountinfo || :
         {ctr} rm -f box >/dev/null",
        disk = disk.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", propagation, "sh", "-c", &script]).stdin(Stdio::null());
    lab.environment(&mut command);
    let out = command.output().expect("unshare runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

#[test]
fn it_holds_no_mount_of_the_machine() {
    need!(root, overlay);
    for propagation in ["private", "shared"] {
        assert_eq!(unmounted(propagation, ""), "0", "{propagation}");
    }
}

#[test]
fn what_is_mounted_meanwhile_is_there_at_the_next_run() {
    need!(root, overlay);
    let lab = Lab::new();
    let disk = lab.path().join("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let ctr = env!("CARGO_BIN_EXE_ctr");
    let script = format!(
        "set -e; {ctr} run -d --name box --restart always -v {disk}:/disk host sh -c 'ls /disk; sleep 2' >/dev/null
         mount -t tmpfs disk {disk}; touch {disk}/later
         for i in $(seq 100); do {ctr} logs box | grep -q later && break; sleep 0.2; done
         {ctr} logs box | head -1; {ctr} rm -f box >/dev/null; umount {disk}",
        disk = disk.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", &script]).stdin(Stdio::null());
    lab.environment(&mut command);
    let out = command.output().expect("unshare runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "later\n");
}

#[test]
fn what_is_mounted_in_a_shared_volume_is_seen_on_both_sides() {
    need!(root, overlay);
    let lab = Lab::new();
    let disk = lab.path().join("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let ctr = env!("CARGO_BIN_EXE_ctr");
    let script = format!(
        "set -e; mount -t tmpfs disk {disk}; mount --make-shared {disk}; mkdir {disk}/in {disk}/out
         {ctr} run -d --name box --privileged -v {disk}:/disk:rshared host sleep 1000 >/dev/null
         {ctr} exec box mount -t tmpfs inner /disk/in; {ctr} exec box touch /disk/in/from-inside; ls {disk}/in
         mount -t tmpfs outer {disk}/out; touch {disk}/out/from-outside; {ctr} exec box ls /disk/out
         {ctr} rm -f box >/dev/null; umount {disk}/in {disk}/out; umount {disk}
         grep -c {disk} /proc/self/mountinfo || :",
        disk = disk.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", &script]).stdin(Stdio::null());
    lab.environment(&mut command);
    let out = command.output().expect("unshare runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "from-inside\nfrom-outside\n0\n");
}
