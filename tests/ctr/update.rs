//! `ctr update`: limits of a container that runs change while it runs, are kept, and are refused whole.

use crate::lab::Lab;
use crate::limits::{is_v2, read, share, throttled};
use std::time::Duration;
use testkit::need;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn limits_change_while_it_runs_and_are_kept() {
    need!(root, overlay);
    let lab = Lab::new();
    let busy = "while :; do :; done";
    lab.ok(["run", "-d", "--name", "one", "host", "sh", "-c", busy]);
    lab.ok(["run", "-d", "--name", "two", "-m", "64m", "host", "sh", "-c", busy]);
    // So little that they would have more also where many others want the processors.
    let said = lab.ok(["update", "--cpus", "0.05", "--pids-limit", "3", "one", "two"]);
    assert_eq!(said, "one\ntwo\n");
    for name in ["one", "two"] {
        assert!(Lab::within(PATIENCE, || throttled(&lab, name) > 3), "{name} is held back");
        let share = share(&lab, name, Duration::from_secs(1));
        assert!(share < 0.2, "{name} took {share}");
        let said = lab.said(["exec", name, "sh", "-c", "sleep 5 & sleep 5 & sleep 5 & echo all"]);
        assert!(said.out.is_empty() && said.code != 0, "{said:?}");
    }
    assert_eq!(
        lab.field("two", "{{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.Memory}}"),
        "50000000 3 67108864"
    );
    // A later start has them too.
    lab.ok(["restart", "-t", "0", "two"]);
    assert!(Lab::within(PATIENCE, || throttled(&lab, "two") > 3), "it is held back again");
    assert_eq!(read(&lab, "two", "pids", "pids.max", "pids.max"), "3");
    lab.ok(["update", "--pids-limit", "-1", "two"]);
    assert_eq!(read(&lab, "two", "pids", "pids.max", "pids.max"), "max");
}

#[test]
fn memory_below_what_it_has_is_refused_and_nothing_changes() {
    need!(root, overlay);
    let lab = Lab::new();
    let hog = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo up; sleep 1000";
    lab.ok(["run", "-d", "--name", "big", "-m", "64m", "host", "sh", "-c", hog]);
    assert!(Lab::within(PATIENCE, || lab.ok(["logs", "big"]) == "up\n"));
    let id = lab.field("big", "{{.Id}}");
    let said = lab.said(["update", "-m", "8m", "--pids-limit", "7", "big"]);
    let line = said.err.lines().next().unwrap_or_default();
    let words = format!("ctr: Cannot update container {id}: unable to set memory limit to 8388608 (current usage: ");
    assert!(line.starts_with(&words) && said.code == 1 && said.out.is_empty(), "{said:?}");
    assert_eq!(read(&lab, "big", "memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    assert_eq!(lab.field("big", "{{.HostConfig.Memory}}"), "67108864");
    assert_eq!(lab.field("big", "{{.State.Status}}"), "running", "nor is it killed");
    lab.ok(["update", "-m", "40m", "big"]);
    assert_eq!(read(&lab, "big", "memory", "memory.limit_in_bytes", "memory.max"), "41943040");
    let swap = if is_v2() { "92274688" } else { "134217728" };
    assert_eq!(
        read(&lab, "big", "memory", "memory.memsw.limit_in_bytes", "memory.swap.max"),
        swap,
        "together as before"
    );
}

#[test]
fn one_that_does_not_run_has_them_when_it_does() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["create", "--name", "later", "host", "sleep", "1000"]);
    lab.ok(["update", "--cpuset-cpus", "0", "--memory", "32m", "--memory-swap", "-1", "later"]);
    lab.ok(["start", "later"]);
    assert_eq!(lab.ok(["exec", "later", "nproc"]), "1\n");
    assert_eq!(read(&lab, "later", "memory", "memory.limit_in_bytes", "memory.max"), "33554432");
    lab.ok(["update", "--cpu-shares", "64", "later"]);
    assert_ne!(read(&lab, "later", "cpu", "cpu.shares", "cpu.weight"), if is_v2() { "100" } else { "1024" });
}

#[test]
fn what_cannot_be_in_dockers_words() {
    need!(root, overlay);
    let lab = Lab::new();
    let id = lab.ok(["create", "--name", "still", "--cpus", "1", "host", "true"]);
    let cannot = format!("Cannot update container {}: ", id.trim());
    let more =
        "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time";
    let quota = "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set";
    for (options, sentence) in [
        (&[][..], "you must provide one or more flags when using this command".to_owned()),
        (&["-m", "1m"], "Minimum memory limit allowed is 6MB".to_owned()),
        (&["-m", "64m"], format!("{cannot}{more}")),
        (&["--cpu-quota", "20000"], format!("{cannot}{quota}")),
        (&["--cpus", "4000"], "Range of CPUs".to_owned()),
    ] {
        let said = lab.said([&["update"], options, &["still"]].concat());
        assert!(said.err.starts_with(&format!("ctr: {sentence}")) && said.code == 1, "{options:?}: {said:?}");
        assert!(said.out.is_empty(), "{said:?}");
    }
    let said = lab.said(["update", "--cpu-shares", "50", "nobody", "still"]);
    assert_eq!((said.out.as_str(), said.code), ("still\n", 1), "{said:?}");
    assert!(said.err.starts_with("ctr: No such container: nobody\n"), "{said:?}");
    lab.ok(["create", "--name", "brief", "--rm", "host", "true"]);
    let said = lab.said(["update", "--restart", "always", "brief"]);
    let remove = "Restart policy cannot be updated because AutoRemove is enabled for the container";
    assert!(said.err.contains(remove) && said.code == 1, "{said:?}");
    let said = lab.said(["update", "--cpus", "x", "still"]);
    assert_eq!(said.code, 125, "{said:?}");
}
